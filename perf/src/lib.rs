//! What is measured about a bridge from outside, and how it is reported.

pub mod load;
pub mod report;
mod spread;
mod summary;
pub mod watermark;

pub use spread::Spread;
pub use summary::Summary;
