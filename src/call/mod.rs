//! A call: from the webhook to its last record. Events and the time go in, actions come out.

mod end;
mod handle;
mod observe;
pub mod session;
pub mod task;
pub mod transcript;

pub use crate::openai::wire::Usage;
pub use end::CallEnd;
pub use handle::{
    AttachError, Attached, CallHandle, Inbound, MediaBell, MediaClosed, MediaCommand, MediaEvent, mask,
};
pub use observe::{CallEvent, Delays, Latency, Progress, Snapshot, Sound, Speaker, Turn};
