//! A call that we have placed, until somebody answers: what it comes to if nobody does, for the records too.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::App;
use crate::call::CallEnd;
use crate::hosting::{Line, Ringing};
use crate::store::{Begun, Ended, Record, Spent, unix_ms};

/// When a call that rings is taken back although Twilio has not said that it is over: this long after it should have. Twilio may queue
/// a call before it rings, one a second.
const GRACE: Duration = Duration::from_secs(600);

/// Waits beside everything else for the end of the ringing. `ring` is how long it may ring; `begun` is what is recorded if nobody
/// answers. If somebody does, the call writes its own records.
pub(super) fn watch(app: &Arc<App>, ringing: Arc<Ringing>, ring: Duration, begun: Begun) {
    let app = Arc::clone(app);
    if let Some(store) = &app.store {
        store.announce(&begun);
    }
    tokio::spawn(async move {
        let end = match tokio::time::timeout(ring + GRACE, ringing.over()).await {
            Ok(end) => end,
            Err(_) => {
                ringing.end(CallEnd::NoAnswer);
                ringing.hang_up();
                ringing.over().await
            }
        };
        let Some(end) = end else { return };
        metrics::counter!("aria_calls_ended_total", "reason" => end.as_str()).increment(1);
        let snapshot = ringing.snapshot();
        if let Some(store) = &app.store {
            let mut detail = serde_json::to_value(&snapshot).unwrap_or_default();
            if let Some(fields) = detail.as_object_mut() {
                fields.remove("transcript");
            }
            store.record(Record::Begun(begun));
            store.record(Record::Ended(Ended {
                sid: ringing.call_sid().to_owned(),
                ended_ms: unix_ms(),
                end: end.as_str().to_owned(),
                spent: Spent::default(),
                interruptions: 0,
                uplink_p99_us: None,
                downlink_p99_us: None,
                detail,
            }));
        }
        app.registry.finish(ringing.call_sid(), end, snapshot, Instant::now());
    });
}
