//! What the call was like, and whether it was a conversation.

use std::time::Duration;

use aria_bridge::call::{CallEnd, Delays, Snapshot, Speaker};
use sim::desk::Appointment;
use sim::model::{End, SessionRecord};
use sim::phone::{CallReport, Moment};

use super::live::label;
use super::story;

/// Turns of each side without which it was no conversation.
const MIN_TURNS: usize = 3;
/// After `clear` and what Twilio has already handed on, nothing of the old reply may sound.
const SETTLE: Duration = Duration::from_millis(60);
/// Mean level below which the line counts as silent: mu-law's idle noise stays far below, speech far above.
const SILENT_RMS: f64 = 60.0;

/// Everything that was seen of the call, from three sides.
pub struct Evidence {
    /// The bridge's.
    pub snapshot: Option<Snapshot>,
    /// The model's.
    pub sessions: Vec<SessionRecord>,
    /// What is in the desk's database after the call.
    pub appointments: Vec<Appointment>,
    /// The display's: when, and microseconds to `clear`.
    pub interruptions: Vec<(u64, u64)>,
    /// The bridge let go of the call in time.
    pub released: bool,
    /// The phone's.
    pub call: CallReport,
}

/// Prints the timeline and the delays.
pub fn print(evidence: &Evidence) {
    let Some(snapshot) = &evidence.snapshot else { return };
    println!("\ntimeline (since the webhook reached the bridge)");
    for (step, at_ms) in &snapshot.progress {
        println!("  {:<34}{at_ms:>8} ms", label(*step));
    }
    for (at_ms, clear_us) in &evidence.interruptions {
        println!(
            "  {:<34}{at_ms:>8} ms   clear written {:.2} ms later",
            "interruption",
            *clear_us as f64 / 1e3
        );
    }
    for (said, quiet) in cut_offs(&evidence.call) {
        println!("  {:<34}{:>8} ms", "caller's word → ARIA silent", quiet.saturating_sub(said).as_millis());
    }
    for Appointment { id, day, time, what, .. } in &evidence.appointments {
        println!("  {:<34}{:>8}      no. {id}, {day} at {time}: {what}", "appointment in the database", "");
    }
    println!(
        "\nadded delay, ms (codec look-ahead and jitter target not counted)   p50     p95     p99     max   frames"
    );
    row("caller → model: message read → packet sent", snapshot.uplink);
    row("model → caller: frame due → message written", snapshot.downlink);
    let late = evidence.call.lateness;
    println!(
        "  {:<60}{:>8.2}{:>8}{:>8.2}{:>8.2}{:>9}",
        "(the simulated phone's own lateness)",
        ms(late.p50),
        "",
        ms(late.p99),
        ms(late.max),
        late.frames
    );
}

fn row(name: &str, delays: Option<Delays>) {
    let d = delays.unwrap_or_default();
    let ms = |us: u64| us as f64 / 1e3;
    println!(
        "  {name:<60}{:>8.2}{:>8.2}{:>8.2}{:>8.2}{:>9}",
        ms(d.p50_us),
        ms(d.p95_us),
        ms(d.p99_us),
        ms(d.max_us),
        d.count
    );
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Checks the call from all sides, prints what was found, and says whether it was a conversation.
pub fn verdict(evidence: &Evidence) -> bool {
    let mut good = true;
    println!("\nwas it a conversation?");
    for (ok, what) in checks(evidence) {
        println!("  {} {what}", if ok { "yes" } else { "NO " });
        good &= ok;
    }
    for violation in &evidence.call.violations {
        println!("      violation: {:?} {}", violation.kind, violation.detail);
    }
    for warning in &evidence.call.warnings {
        println!("      warning: {} {}", warning.code, warning.text);
    }
    good
}

fn checks(evidence: &Evidence) -> Vec<(bool, String)> {
    let call = &evidence.call;
    let turns = evidence.snapshot.as_ref().map(|s| s.transcript.as_slice()).unwrap_or_default();
    let count = |speaker| turns.iter().filter(|t| t.speaker == speaker).count();
    let (caller, aria) = (count(Speaker::Caller), count(Speaker::Aria));
    let interrupted = turns.iter().filter(|t| t.interrupted).count();
    let session = evidence.sessions.first();
    let heard_turns = session.map_or(0, |s| s.turns.len());
    let (missing, late) = session.map_or((0, 0), |s| (s.rtp_in.missing, s.rtp_in.late));
    let outputs: Vec<&str> = session.map_or_else(Vec::new, |s| {
        let outputs = s.client_events.iter().filter(|e| e.event["item"]["type"] == "function_call_output");
        outputs.filter_map(|e| e.event["item"]["output"].as_str()).collect()
    });
    let found = outputs.iter().any(|output| output.contains(story::CONTACT));
    let booked = evidence.appointments.iter().filter(|a| story::is_booked(a)).count();
    let played: u64 = session.map_or(0, |s| s.replies.iter().map(|r| u64::from(r.played_ms)).sum());
    let heard = audible(call);
    let timed_out =
        call.times(|m| matches!(m, Moment::StepTimedOut { .. } | Moment::StepFailed { .. })).len();
    let clears = call.times(|m| matches!(m, Moment::Clear { .. })).len();
    let stale = stale_after_clear(call);
    let end = evidence.snapshot.as_ref().and_then(|s| s.ended);
    let model_end = session.and_then(|s| s.ended.as_ref()).map(|e| e.how.clone());
    vec![
        (
            caller >= MIN_TURNS && aria >= MIN_TURNS,
            format!("{caller} turns of the caller and {aria} of ARIA are in the transcript"),
        ),
        (heard_turns >= MIN_TURNS, format!("the model heard the caller speak {heard_turns} times")),
        (
            missing == 0 && late == 0,
            format!("no sound of the caller was lost on the way ({missing} packets missing, {late} late)"),
        ),
        (
            // What the model counts as played begins and ends with quiet that is not audible.
            heard.as_millis() as u64 >= played * 6 / 10 && played > 0,
            format!(
                "the caller heard {:.1} s of speech of the {:.1} s that ARIA played",
                heard.as_secs_f64(),
                played as f64 / 1e3
            ),
        ),
        (
            clears >= 1 && interrupted >= 1 && !evidence.interruptions.is_empty(),
            format!("the caller interrupted ARIA {} time(s)", evidence.interruptions.len()),
        ),
        (
            stale.is_none(),
            match stale {
                None => "nothing of an interrupted reply was heard after it".into(),
                Some(rms) => format!("an interrupted reply was still heard (level {rms:.0})"),
            },
        ),
        (
            found,
            format!(
                "the caller was found in the customer system, over HTTP ({} tool outputs reached the model)",
                outputs.len()
            ),
        ),
        (
            booked == 1 && evidence.appointments.len() == 1,
            format!(
                "the appointment was made, over MCP ({booked} of {} in the database)",
                evidence.appointments.len()
            ),
        ),
        (
            call.violations.is_empty() && call.warnings.is_empty(),
            format!(
                "Twilio's protocol was kept ({} violations, {} warnings)",
                call.violations.len(),
                call.warnings.len()
            ),
        ),
        (
            timed_out == 0 && call.steps.0 == call.steps.1,
            format!("the caller did {} of {} steps", call.steps.0, call.steps.1),
        ),
        (
            end == Some(CallEnd::CallerHungUp) && evidence.released,
            format!("the call ended as it should ({})", end.map_or("it did not", CallEnd::as_str)),
        ),
        (
            matches!(model_end, Some(End::Hangup | End::PeerClosed)),
            format!("the model's session was closed ({model_end:?})"),
        ),
    ]
}

/// Pairs of the caller's word over a speaking ARIA and the moment she fell silent.
fn cut_offs(call: &CallReport) -> Vec<(Duration, Duration)> {
    let clears = call.times(|m| matches!(m, Moment::Clear { .. }));
    let words = call.times(|m| matches!(m, Moment::SaidOn));
    clears
        .into_iter()
        .filter_map(|clear| {
            let word = words.iter().rev().find(|at| **at <= clear)?;
            Some((*word, clear))
        })
        .collect()
}

/// How long the caller heard something.
fn audible(call: &CallReport) -> Duration {
    let frames = call.heard.chunks(160).filter(|f| rms(f) > SILENT_RMS).count();
    Duration::from_millis(20) * frames as u32
}

/// The level of the first 300 ms after each `clear` has settled, if it is not silence.
fn stale_after_clear(call: &CallReport) -> Option<f64> {
    let clears = call.times(|m| matches!(m, Moment::Clear { .. }));
    clears
        .into_iter()
        .map(|at| {
            let from = call.sample_at(at + SETTLE).min(call.heard.len());
            let to = (from + 2_400).min(call.heard.len());
            rms(&call.heard[from..to])
        })
        .find(|level| *level > SILENT_RMS)
}

fn rms(samples: &[i16]) -> f64 {
    if samples.is_empty() {
        return 0.0;
    }
    (samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / samples.len() as f64).sqrt()
}
