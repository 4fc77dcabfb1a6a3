//! What a call under fault is judged by.

use std::time::Duration;

use aria_bridge::call::CallEnd;
use sim::phone::report::EndedBy;

use crate::support::house::Held;
use crate::support::sound::{clip, likeness};

/// The caller heard our apology within `limit` of the answer, then a clean hang-up, and nothing else went wrong.
pub fn apologised(held: &Held, end: CallEnd, limit: Duration, what: &str) -> Duration {
    let after = held.apology().unwrap_or_else(|| panic!("{what}: no apology: {:?}", held.report));
    assert!(after <= limit, "{what}: the apology came {after:?} after the answer");
    ended(held, end, what);
    after
}

/// The call ended with this reason and the document's hang-up, and Twilio's protocol was kept.
pub fn ended(held: &Held, end: CallEnd, what: &str) {
    assert_eq!(held.end(), Some(end), "{what}: {:?}", held.report);
    assert_eq!(held.report.ended.by, EndedBy::Document, "{what}: {:?}", held.report);
    assert!(held.report.violations.is_empty(), "{what}: {:?}", held.report.violations);
}

/// An ordinary call: the protocol was kept, all steps were done and these clips of the model were heard.
pub fn ordinary(held: &Held, clips: &[&str], what: &str) -> f64 {
    held.assert_orderly();
    let likes = clips.iter().map(|name| {
        let like = likeness(&held.report.heard, &clip(name));
        assert!(
            like >= 0.8,
            "{what}: {name} was heard with a likeness of {like:.3}; {}",
            held.evidence(what)
        );
        like
    });
    likes.fold(1.0, f64::min)
}
