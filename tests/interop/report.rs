//! What the model's peer saw, as it tells at `GET /report`.

use std::io::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use url::Url;

/// How often a condition is looked at again.
const POLL: Duration = Duration::from_millis(20);

/// All sessions of a peer.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Report {
    /// Name and version of the WebRTC stack.
    pub stack: String,
    /// In the order of their requests.
    pub calls: Vec<Session>,
}

/// One session.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
pub struct Session {
    /// Our offer.
    pub offer: String,
    /// The `session` part of our request.
    pub session: serde_json::Value,
    /// Label of the data channel, once open.
    pub channel: Option<String>,
    /// Whether the peer saw it close.
    pub channel_closed: bool,
    /// Types of the events that we sent.
    pub events: Vec<String>,
    /// Bytes of the largest of them.
    pub largest_event: usize,
    /// Frames or packets of sound that arrived, silence included.
    pub frames: u64,
    /// Loud sound, s.
    pub tone_seconds: f64,
    /// Its frequency, Hz.
    pub tone_hz: f64,
}

/// Writes one line past the capture of test output: what was skipped or measured is news when the test passes too.
pub fn tell(line: &str) {
    // Nobody may be listening.
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Asks the peer until `condition` holds for its session `index`; fails after `limit`.
pub async fn wait_for(
    base: &Url,
    index: usize,
    limit: Duration,
    what: &str,
    condition: impl Fn(&Session) -> bool,
) -> (Report, Duration) {
    let start = Instant::now();
    loop {
        let response = reqwest::get(base.join("/report").expect("a path")).await.expect("the peer answers");
        let report: Report = response.json().await.expect("the report has this shape");
        if condition(&report.calls[index]) {
            return (report, start.elapsed());
        }
        assert!(start.elapsed() < limit, "{what} within {limit:?}; the peer saw {:?}", report.calls[index]);
        tokio::time::sleep(POLL).await;
    }
}
