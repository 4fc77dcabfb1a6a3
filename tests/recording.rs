//! Recordings of calls: what they sound like beside what the caller heard, and that none is lost or left behind.

mod support;

#[path = "recording/bucket.rs"]
mod bucket;
#[path = "recording/heard.rs"]
mod heard;
#[path = "recording/kept.rs"]
mod kept;
#[path = "recording/played.rs"]
mod played;
