//! A call's two chains, each between its rings: run by the audio thread, or by whoever it is lent to.

use std::sync::atomic::Ordering;

use crate::downlink::Downlink;
use crate::frame::{MediaFrame, Packet};
use crate::ports::Shared;
use crate::ring::{Reader, Writer};
use crate::stats::CallStats;
use crate::units::{Clock, Nanos};
use crate::uplink::{Progress, Uplink};

/// Frames in a row that only had to be passed on before the chain downward is lent: handing it over and taking it back costs as much as two
/// frames on the audio thread.
pub(crate) const CALM_FRAMES: u32 = 5;

/// The chain upward.
pub(crate) struct Up {
    pub(crate) chain: Uplink,
    pub(crate) from_media: Reader<MediaFrame>,
    pub(crate) to_model: Writer<Packet>,
}

impl Up {
    pub(crate) fn tick(&mut self, clock: &impl Clock, stats: &CallStats) -> Progress {
        self.chain.tick(clock, &mut self.from_media, &mut self.to_model, stats)
    }
}

/// The chain downward.
pub(crate) struct Down {
    pub(crate) chain: Downlink,
    pub(crate) from_model: Reader<Packet>,
    pub(crate) to_media: Writer<MediaFrame>,
    /// Frames since there last was more to do than to pass one on.
    calm: u32,
    /// When the next frame is due.
    due: Nanos,
}

impl Down {
    pub(crate) fn new(chain: Downlink, from_model: Reader<Packet>, to_media: Writer<MediaFrame>) -> Self {
        Self { chain, from_model, to_media, calm: 0, due: Nanos::MAX }
    }

    /// Whether no more is to be done for some time than to pass packets on as they come.
    pub(crate) fn is_calm(&self) -> bool {
        self.calm >= CALM_FRAMES
    }

    pub(crate) fn tick(&mut self, clock: &impl Clock, shared: &Shared, stats: &CallStats) -> Progress {
        self.chain.set_far_end(Nanos(shared.far_end.load(Ordering::Relaxed)));
        let progress = self.chain.tick(clock, &mut self.from_model, &mut self.to_media, stats);
        self.due = progress.next;
        let calm = self.chain.is_calm() && !progress.blocked;
        self.calm = if calm { self.calm.saturating_add(progress.pushed.into()) } else { 0 };
        progress
    }

    /// Passes on what has come. If nothing has when it is due, it is not calm any more: what then, is not decided here.
    pub(crate) fn pass(&mut self, clock: &impl Clock, shared: &Shared, stats: &CallStats) -> Progress {
        if !self.from_model.is_empty() {
            return self.tick(clock, shared, stats);
        }
        if clock.now() >= self.due {
            self.calm = 0;
        }
        Progress { next: self.due, ..Progress::NONE }
    }
}
