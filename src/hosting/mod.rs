//! Which calls are here, who may come in, and how the house empties.

pub mod admission;
pub mod drain;
pub mod line;
pub mod outbound;
pub mod rate;
pub mod registry;
pub mod ringing;
pub mod token;

pub use admission::Refusal;
pub use line::{Line, Switchboard};
pub use registry::Registry;
pub use ringing::Ringing;
