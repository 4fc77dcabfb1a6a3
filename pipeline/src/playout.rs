//! What the jitter buffer is told, says of packets and gives to play, and where in the stream its playout is.

use std::time::Duration;

use crate::frame::{FRAME_MS, Packet};
use crate::units::{Nanos, Ticks};

/// With nothing to play for so long after the due time, the sender has stopped rather than lost packets. Longer takes
/// pauses for stalls and learns a delay from them; shorter takes stalls for pauses.
pub const IDLE_AFTER: Duration = Duration::from_millis(120);
/// So much before it will be heard a packet goes out at most. Less keeps back what would cover what is late on the way to the caller;
/// more is sound that can no longer be left out.
pub(crate) const MOST_EARLY: Duration = Duration::from_millis(10);

/// How the buffer behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JitterConfig {
    /// Delay before the network is known.
    pub start_delay: Duration,
    /// Delay never exceeded: beyond it, audio is dropped. A conversation falters from about 400 ms one way.
    pub max_delay: Duration,
    /// Where the delay aimed at is no longer than this, a packet that follows the last one without a hole goes out as it comes: it waits at the
    /// far end as well as here, where a timer would have to wake for it. More saves few wakes, and where the machine is busy every frame shows
    /// its packet's own delay.
    pub at_once: Duration,
    /// When losses are frequent and the stream carries in-band FEC, wait for one packet more, to recover them.
    pub wait_for_fec: bool,
}

impl Default for JitterConfig {
    fn default() -> Self {
        Self {
            start_delay: Duration::from_millis(10),
            max_delay: Duration::from_millis(300),
            at_once: Duration::from_millis(4),
            wait_for_fec: true,
        }
    }
}

/// What became of a packet on arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// It waits for its time.
    Queued,
    /// It waits for its time, having been overtaken by a younger one.
    Reordered,
    /// Its place has been played.
    Late,
    /// It was here before.
    Duplicate,
    /// Its payload cannot hold audio; its place will be concealed.
    Malformed,
    /// Its sequence number is of no stream known (yet).
    Foreign,
}

/// What to play now.
#[derive(Debug)]
pub enum Playout<'a> {
    /// This packet.
    Packet(&'a Packet),
    /// The lost piece of this length before `successor`, from the copy that it may carry.
    Fec {
        /// The packet that followed the lost one; it will be played next.
        successor: &'a Packet,
        /// What is missing.
        lost: Ticks,
    },
    /// So much made-up audio.
    Conceal(Ticks),
    /// So much silence: a loss too long to be concealed.
    Silence(Ticks),
    /// Nothing, until a packet comes or the next due time: the sender paused. Whatever is half a frame goes out.
    Pause,
}

/// Counts since they were last taken.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct JitterCounts {
    /// Packets proven lost and not recovered.
    pub concealed: u64,
    /// Audio made up for them.
    pub concealed_ticks: u64,
    /// Packets recovered from their successors.
    pub fec: u64,
    /// Packets dropped because the buffer was full or too deep.
    pub dropped: u64,
    /// Delay added by waiting, ns.
    pub grown_ns: u64,
    /// Delay taken back, ns.
    pub shrunk_ns: u64,
}

impl JitterCounts {
    /// Decides whether blind concealment stood in for lost packets or rang out after a stop.
    pub(crate) fn settle(&mut self, play: &mut Play, lost: bool) {
        let (packets, length) = std::mem::take(&mut play.blind);
        if lost {
            self.concealed += packets;
            self.concealed_ticks += length.0 as u64;
        }
    }
}

/// Where playout is.
pub(crate) struct Play {
    /// See [`JitterConfig::at_once`].
    at_once: Duration,
    /// When `pos` is to be heard; `None` before the first packet and after a flush.
    pub(crate) due: Option<Nanos>,
    /// How much earlier than that its packet is wanted, because what is decoded before it makes no whole frame.
    pub(crate) lead: Ticks,
    /// When the last packet was due.
    pub(crate) begun: Nanos,
    /// Since when playout is held on for a packet that is missing.
    pub(crate) held: Option<Nanos>,
    pub(crate) seq: i64,
    pub(crate) pos: Ticks,
    /// Length of the last packet: what a lost one is taken to have had.
    pub(crate) length: Ticks,
    /// Made up since the last real packet.
    pub(crate) concealed: Ticks,
    /// Of that, packets and ticks not yet known to have been lost.
    pub(crate) blind: (u64, Ticks),
    /// The last packet said that nothing may follow.
    pub(crate) quiet: bool,
    /// Nothing was there at the due time; a packet's arrival goes on.
    pub(crate) waiting: bool,
}

impl Play {
    pub(crate) fn new(at_once: Duration) -> Self {
        Self {
            at_once,
            due: None,
            lead: Ticks(0),
            begun: Nanos(0),
            held: None,
            seq: 0,
            pos: Ticks(0),
            length: Ticks::from_millis(FRAME_MS as i64),
            concealed: Ticks(0),
            blind: (0, Ticks(0)),
            quiet: false,
            waiting: true,
        }
    }

    /// The moment in playout's time, which is [`lead`](Self::lead) ahead.
    pub(crate) fn clock(&self, now: Nanos) -> Nanos {
        now + self.lead.duration()
    }

    /// By how much what is due then may go out before it will be heard, with so much delay aimed at: not at all unless it follows the last
    /// packet without a hole. Else the far end may have nothing left, would play it at once, and then lack what is late.
    pub(crate) fn ahead(&self, due: Nanos, target: Duration) -> Duration {
        let goes_on = due == self.begun + self.length.duration();
        if goes_on && target <= self.at_once { self.at_once } else { Duration::ZERO }
    }

    /// So much was played, of whatever.
    pub(crate) fn advance(&mut self, length: Ticks) {
        self.pos += length;
        self.due = self.due.map(|due| due + length.duration());
    }
}
