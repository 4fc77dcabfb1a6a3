//! The call as it happens, one line an event.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aria_bridge::call::{CallEvent, Progress, Speaker};
use aria_bridge::hosting::Registry;
use tokio::sync::broadcast::error::RecvError;

/// How often the registry is asked whether the call is there.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// What the display saw of the call and the report needs.
#[derive(Debug, Default)]
pub struct Observed {
    /// When each interruption was heard, ms since the webhook, and from there to `clear` written, microseconds.
    pub interruptions: Vec<(u64, u64)>,
}

/// Shows the first call that comes, until it ends.
pub async fn watch(registry: Arc<Registry>) -> Observed {
    let line = loop {
        match registry.snapshots().first().and_then(|s| registry.line(&s.call_sid)) {
            Some(line) => break line,
            None => tokio::time::sleep(LOOK_EVERY).await,
        }
    };
    let mut events = line.subscribe();
    let mut observed = Observed::default();
    let mut shown = BTreeMap::new();
    for (step, at_ms) in line.snapshot().progress {
        progress(step, at_ms, &mut shown);
    }
    loop {
        match events.recv().await {
            Ok(event) => {
                if let CallEvent::Interrupted { at_ms, clear_us, .. } = event {
                    observed.interruptions.push((at_ms, clear_us));
                }
                let over = matches!(event, CallEvent::Ended { .. });
                show(event, &mut shown);
                if over {
                    return observed;
                }
            }
            Err(RecvError::Lagged(missed)) => println!("           … {missed} events not shown"),
            Err(RecvError::Closed) => return observed,
        }
    }
}

fn show(event: CallEvent, shown: &mut BTreeMap<&'static str, u64>) {
    match event {
        CallEvent::Progress { step, at_ms } => progress(step, at_ms, shown),
        CallEvent::Transcript { speaker, text, done: true, .. } => {
            let who = match speaker {
                Speaker::Caller => "caller",
                Speaker::Aria => "ARIA",
            };
            println!("           {who:>6}: {text}");
        }
        CallEvent::Interrupted { at_ms, clear_us, .. } => {
            println!(
                "{} -- the caller interrupts: cleared {:.2} ms later",
                stamp(at_ms),
                clear_us as f64 / 1e3
            );
        }
        CallEvent::ToolStarted { name, at_ms, .. } => println!("{} -- tool {name} …", stamp(at_ms)),
        CallEvent::ToolEnded { name, ok, took_ms, .. } => {
            println!(
                "           -- tool {name} {} after {took_ms} ms",
                if ok { "answered" } else { "failed" }
            );
        }
        CallEvent::Ended { reason, at_ms } => println!("{} -- ended: {}", stamp(at_ms), reason.as_str()),
        _ => {}
    }
}

fn progress(step: Progress, at_ms: u64, shown: &mut BTreeMap<&'static str, u64>) {
    let what = label(step);
    if shown.insert(what, at_ms).is_none() {
        println!("{} -- {what}", stamp(at_ms));
    }
}

/// A milestone in words.
pub fn label(step: Progress) -> &'static str {
    match step {
        Progress::Webhook => "webhook",
        Progress::ModelAnswered => "model answered the offer",
        Progress::ModelReady => "session ready",
        Progress::MediaStarted => "media stream started",
        Progress::FirstFrame => "first frame of the caller sent",
        Progress::FirstReply => "first frame of ARIA written",
    }
}

fn stamp(ms: u64) -> String {
    format!("[{:>7.3} s]", ms as f64 / 1e3)
}
