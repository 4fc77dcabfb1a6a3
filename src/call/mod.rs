//! A call: from the webhook to its last record. Events and the time go in, actions come out.

mod end;
mod handle;
mod inbound;
mod listening;
pub mod manner;
mod observe;
mod onward;
mod records;
pub mod session;
pub mod task;
pub mod transcript;

pub use crate::openai::wire::Usage;
pub use end::CallEnd;
pub use handle::{AttachError, Attached, CallHandle, Clip, MediaClosed, MediaCommand, MediaEvent, Played};
pub use inbound::{Direction, Inbound, mask};
pub use listening::Listening;
pub use observe::{CallEvent, Delays, Latency, Progress, Snapshot, Sound, Speaker, Turn};
pub use onward::{Dialed, Onward};
