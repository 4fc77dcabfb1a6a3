//! The conversation over real sockets: what the model believes was heard, sessions that end, keys, silence, transfers.

mod support;

#[path = "talk/beginning.rs"]
mod beginning;
#[path = "talk/dispatch.rs"]
mod dispatch;
#[path = "talk/farewell.rs"]
mod farewell;
#[path = "talk/greeting.rs"]
mod greeting;
#[path = "talk/interruptions.rs"]
mod interruptions;
#[path = "talk/keys.rs"]
mod keys;
#[path = "talk/losses.rs"]
mod losses;
#[path = "talk/policies.rs"]
mod policies;
#[path = "talk/renewal.rs"]
mod renewal;
#[path = "talk/standby.rs"]
mod standby;
#[path = "talk/transfer.rs"]
mod transfer;
#[path = "talk/truth.rs"]
mod truth;

use std::time::Duration;

/// The value that a share `q` of all do not exceed.
fn percentile(sorted: &[Duration], q: f64) -> Duration {
    let index = ((sorted.len() as f64 * q).ceil() as usize).clamp(1, sorted.len());
    sorted[index - 1]
}
