//! Tools at work: what is pending, what the caller hears meanwhile, and what earlier sessions' calls were. Pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Tool calls waiting at once; the model is told that further ones failed.
const MAX_PENDING: usize = 16;
/// Silence that a caller takes for a tool's before something is said.
const FILLER_AFTER: Duration = Duration::from_millis(1_500);
/// Finished calls kept for the next session.
const MAX_KEPT: usize = 32;
/// Of an output kept, bytes.
const MAX_KEPT_BYTES: usize = 4 * 1024;

/// A call of a tool that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finished {
    pub call_id: String,
    pub name: String,
    pub arguments: String,
    pub output: String,
    /// ms since the webhook.
    pub at_ms: u64,
}

#[derive(Debug)]
struct Pending {
    call_id: String,
    name: String,
    arguments: String,
    /// Of the session that called it: another one cannot take its output.
    session: u32,
    since: Instant,
    filler: Option<String>,
}

/// The tools of one call.
#[derive(Debug, Default)]
pub(super) struct Tools {
    pending: Vec<Pending>,
    finished: VecDeque<Finished>,
}

/// What to do about a call of a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Run,
    /// It is running.
    Repeated,
    TooMany,
}

impl Tools {
    /// The model calls a tool.
    pub fn called(
        &mut self,
        now: Instant,
        session: u32,
        call_id: &str,
        name: &str,
        arguments: &str,
        filler: Option<String>,
    ) -> Verdict {
        if self.pending.iter().any(|pending| pending.call_id == call_id) {
            return Verdict::Repeated;
        }
        if self.pending.len() >= MAX_PENDING {
            return Verdict::TooMany;
        }
        let pending = Pending {
            call_id: call_id.to_owned(),
            name: name.to_owned(),
            arguments: arguments.to_owned(),
            session,
            since: now,
            filler,
        };
        self.pending.push(pending);
        Verdict::Run
    }

    /// A tool is done. Whether the session `session` is the one that waits for its output; `None` if nobody does.
    pub fn done(&mut self, session: u32, call_id: &str, output: &str, at_ms: u64) -> Option<bool> {
        let place = self.pending.iter().position(|pending| pending.call_id == call_id)?;
        let pending = self.pending.remove(place);
        let mut output = output.to_owned();
        if output.len() > MAX_KEPT_BYTES {
            let end = (0..=MAX_KEPT_BYTES).rev().find(|&i| output.is_char_boundary(i)).unwrap_or(0);
            output.truncate(end);
        }
        if self.finished.len() >= MAX_KEPT {
            self.finished.pop_front();
        }
        let Pending { call_id, name, arguments, session: of, .. } = pending;
        self.finished.push_back(Finished { call_id, name, arguments, output, at_ms });
        Some(of == session)
    }

    /// Whether tools are at work.
    pub fn busy(&self) -> bool {
        !self.pending.is_empty()
    }

    /// What the caller is told while he waits, if it is time.
    pub fn filler(&mut self, now: Instant) -> Option<String> {
        let due = |pending: &&mut Pending| pending.filler.is_some() && now >= pending.since + FILLER_AFTER;
        self.pending.iter_mut().find(due)?.filler.take()
    }

    /// When [`Self::filler`] wants to be asked.
    pub fn filler_at(&self) -> Option<Instant> {
        let waiting = self.pending.iter().filter(|pending| pending.filler.is_some());
        waiting.map(|pending| pending.since + FILLER_AFTER).min()
    }

    /// What was called and answered, the oldest first.
    pub fn finished(&self) -> impl Iterator<Item = &Finished> {
        self.finished.iter()
    }
}
