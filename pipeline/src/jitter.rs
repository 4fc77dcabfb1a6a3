//! The jitter buffer: puts packets back in order and says when each shall be played, and what if it is not there.
//! Pure: packets and the time go in ([`JitterBuffer::handle_packet`]), what to play comes out
//! ([`JitterBuffer::poll`]). It decodes nothing and knows no samples, so it serves every codec alike, even mixed.
//!
//! There is no sound card behind it and so no grid: a packet is played at `fastest path + its media time + target`,
//! where the target is what [`DelayEstimator`] says. A packet missing then is held on for as long as that says, because
//! a hole of 2 ms is less than a packet thrown away. If the target grows, the next packet waits. If it shrinks, or one was late, what
//! follows may go out before it will be heard, but is heard no sooner, for the far end plays first in, first out. So the caller is told
//! by how much that is too late ([`JitterBuffer::excess`]), takes sound out, and says how much ([`JitterBuffer::handle_cut`]). Where the target
//! is short, all of it is waited at the far end ([`JitterConfig::at_once`]).
//!
//! Three things look alike when nothing is there at the due time, and only the next packet tells them apart:
//! - *loss*: its sequence number skips. The hole is concealed, or recovered from the successor (Opus FEC);
//! - *lateness*: it continues. It is played, whatever was made up meanwhile, and the delay grows by that; one alone is not;
//! - *a stop*: after [`IDLE_AFTER`] with nothing to play, or marked as a talkspurt's start. The stream starts afresh,
//!   wherever its timestamp is; nothing was lost and nothing is concealed.

use std::time::Duration;

use crate::conceal::{MAX_BLIND, MAX_CONCEALED};
use crate::delay::DelayEstimator;
use crate::frame::{ModelCodec, Packet};
use crate::opus;
pub use crate::playout::{Arrival, IDLE_AFTER, JitterConfig, JitterCounts, Playout};
use crate::playout::{MOST_EARLY, Play};
pub use crate::store::CAPACITY;
use crate::store::Store;
use crate::timeline::{Head, REMEMBERED, length_of};
use crate::units::{Nanos, SeqNo, Ticks};

/// A sequence number further off is another stream's, or this one's after a restart of the sender (RFC 3550, A.1).
const MAX_MISORDER: i64 = 500;
/// A transit this far from the path's is a jump of the timestamp, not a delay.
const MAX_STEP: Duration = Duration::from_secs(1);
/// Distance from the target that is left alone: correcting less would only be noise.
const SLACK: Duration = Duration::from_micros(100);
/// Within a voice the delay grows by so much at least: each time is a hole. More has packets come late meanwhile.
const LEAST_WAIT: Duration = Duration::from_millis(1);

/// One stream's buffer. About 25 kB; allocates when made and never after.
pub struct JitterBuffer {
    config: JitterConfig,
    delay: DelayEstimator,
    store: Store,
    head: Option<Head>,
    /// Following a fresh start, until arrivals stop catching up: their transits teach the path, not the jitter.
    settling: bool,
    /// The next number of a foreign stream that may be a restart.
    probation: Option<u16>,
    /// Packets carry copies of their predecessors.
    fec_seen: bool,
    play: Play,
    counts: JitterCounts,
}

impl JitterBuffer {
    /// An empty buffer.
    pub fn new(config: JitterConfig) -> Self {
        Self {
            delay: DelayEstimator::new(config.start_delay, config.max_delay),
            play: Play::new(config.at_once),
            config,
            store: Store::new(),
            head: None,
            settling: false,
            probation: None,
            fec_seen: false,
            counts: JitterCounts::default(),
        }
    }

    /// Takes a packet that arrived at `packet.born`.
    pub fn handle_packet(&mut self, packet: &Packet) -> Arrival {
        let Some(length) = length_of(packet) else { return Arrival::Malformed };
        let Some(head) = self.head else {
            self.start(packet, length, 0, Ticks(0));
            return Arrival::Queued;
        };
        if self.play.due.is_none() {
            // Everything was cleared, maybe long ago: whatever comes is where the stream goes on.
            self.restart(packet, length, head);
            return Arrival::Queued;
        }
        let step = i64::from(SeqNo(packet.seq).since(SeqNo(head.seq as u16)));
        if step.abs() > MAX_MISORDER {
            return self.handle_foreign(packet, length, head);
        }
        self.probation = None;
        let seq = head.seq + step;
        if step <= -REMEMBERED {
            return Arrival::Late;
        }
        if step <= 0 && self.head.as_mut().is_some_and(|head| head.mark(-step)) {
            return Arrival::Duplicate;
        }
        if step > 0 && self.is_fresh(packet, &head, step) {
            self.start(packet, length, seq, head.end);
            return Arrival::Queued;
        }

        let pos = head.position(packet, step, length);
        let transit = packet.born.0 as i64 - pos.nanos();
        self.learn(transit, length, head.transit, step);
        if step > 0 {
            self.delay.handle_loss((step - 1) as u32);
            self.head = Some(Head::new(packet, seq, pos, length).after(&head));
        } else {
            self.delay.handle_found();
        }
        if packet.codec == ModelCodec::Opus && self.config.wait_for_fec && !self.fec_seen {
            self.fec_seen = opus::has_fec(packet.payload());
        }
        if seq < self.play.seq && !self.take_back(seq, pos) {
            return Arrival::Late;
        }
        self.make_room(seq);
        self.insert(packet, seq, pos, length, false);
        let now = self.play.clock(packet.born);
        if self.play.waiting {
            self.resume(now);
        } else if let Some(since) = self.play.held.take() {
            // What was held on for is here, or is known to be lost.
            self.play.due = Some(now.max(since));
        }
        if step < 0 { Arrival::Reordered } else { Arrival::Queued }
    }

    /// When [`poll`](Self::poll) has something to say; `None` if only a packet can change that.
    pub fn next_due(&self) -> Option<Nanos> {
        let due = self.play.due.filter(|_| !self.play.waiting)?;
        Some(due - self.play.lead.duration() - self.early(due))
    }

    /// Whether a packet, of which none is here, would go out as soon as it came.
    pub fn is_hungry(&self) -> bool {
        // For less than a millisecond nobody is woken twice.
        let early = self.excess().duration() >= LEAST_WAIT;
        let soon = |due| early || self.play.ahead(due, self.target()) > Duration::ZERO;
        self.is_empty() && (self.play.waiting || self.play.held.is_some() || self.play.due.is_some_and(soon))
    }

    /// What to play, if its time has come. To be called until it gives `None`.
    ///
    /// `voiced`: the last thing played was not nothing, so that something missing would be noticed.
    pub fn poll(&mut self, now: Nanos, voiced: bool) -> Option<(Nanos, Playout<'_>)> {
        let lead = self.play.lead.duration();
        self.step(self.play.clock(now), voiced).map(|(due, playout)| (due - lead, playout))
    }

    fn step(&mut self, now: Nanos, voiced: bool) -> Option<(Nanos, Playout<'_>)> {
        loop {
            let due = self.play.due.filter(|due| !self.play.waiting && *due <= now + self.early(*due))?;
            let early = self.early(due);
            let Some(index) = self.store.first(self.play.seq) else {
                let hold = self.delay.hold();
                if self.play.held.is_none() && self.play.blind.0 == 0 && voiced && hold > Duration::ZERO {
                    self.play.held = Some(due);
                    self.play.due = Some(due + hold);
                    continue;
                }
                self.play.held = None;
                return Some((due, self.nothing_there(voiced)));
            };
            let entry = self.store.at(index);
            let (seq, pos, length, fresh) = (entry.seq, entry.pos, entry.length, entry.fresh);
            self.counts.settle(&mut self.play, !fresh);

            let hole = pos - self.play.pos;
            if hole > Ticks(0) && seq > self.play.seq && !fresh {
                // A hole is made up for, but not while that keeps what is here beyond the limit.
                let over = self.lag(due, self.play.pos) - self.config.max_delay.as_nanos() as i64;
                let skipped = Ticks::from_nanos(over.max(0)).min(hole);
                if skipped < hole {
                    self.play.pos += skipped;
                    return Some((due, self.fill(index, hole - skipped)));
                }
                self.counts.concealed += (seq - self.play.seq) as u64;
                self.play.pos = pos;
                self.play.seq = seq;
                continue;
            }
            self.play.seq = seq;
            if hole > Ticks(0) {
                // The sender skipped media time: it paused, and we do too.
                self.play.pos = pos;
                self.play.due = Some(self.ideal(pos).map_or(due, |ideal| ideal.max(due)));
                if fresh {
                    continue;
                }
                return Some((due, Playout::Pause));
            }

            let lag = self.lag(due, pos);
            let excess = lag - self.wanted_lag();
            let least = if voiced { LEAST_WAIT } else { SLACK };
            if excess < -(least.as_nanos() as i64) {
                self.counts.grown_ns += excess.unsigned_abs();
                self.play.due = Some(due.offset(-excess));
                continue;
            }
            if lag > self.config.max_delay.as_nanos() as i64 && self.store.len() > 1 {
                // Too deep to be caught up by small steps: what is oldest goes.
                self.store.take(index);
                self.counts.dropped += 1;
                self.counts.shrunk_ns += length.nanos().max(0) as u64;
                self.play.seq = seq + 1;
                self.play.pos = pos + length;
                continue;
            }
            self.play.due = Some(due + length.duration());
            self.play.begun = due;
            self.play.seq = seq + 1;
            self.play.pos = pos + length;
            self.play.length = length;
            self.play.concealed = Ticks(0);
            let packet = self.store.take(index);
            self.play.quiet = packet.codec == ModelCodec::Opus && opus::is_dtx(packet.payload());
            let out = (due - early).max(self.play.clock(packet.born)).min(due);
            return Some((out, Playout::Packet(packet)));
        }
    }

    /// By how much the next packet goes out before it will be heard, as it may as well wait at the far end.
    fn early(&self, due: Nanos) -> Duration {
        let next = self.store.first(self.play.seq).map(|index| self.store.at(index));
        let goes_on = next.is_some_and(|next| next.seq == self.play.seq && next.pos == self.play.pos);
        let late = Duration::from_nanos((self.lag(due, self.play.pos) - self.wanted_lag()).max(0) as u64);
        if goes_on { MOST_EARLY.min(late + self.play.ahead(due, self.target())) } else { Duration::ZERO }
    }

    /// How much later than need be the packet after the one just played will be heard: what may be taken out.
    pub fn excess(&self) -> Ticks {
        let Some(due) = self.play.due else { return Ticks(0) };
        let excess = self.lag(due, self.play.pos) - self.target().as_nanos() as i64;
        Ticks::from_nanos((excess - SLACK.as_nanos() as i64).max(0))
    }

    /// So much of the packet just played was left out: what follows is heard sooner, though not sooner than is
    /// wished. Its packet is wanted `lead` before that, to make a whole frame with what is decoded already.
    pub fn handle_cut(&mut self, cut: Ticks, lead: Ticks) {
        self.play.lead = lead;
        let Some(due) = self.play.due else { return };
        let earliest = self.ideal(self.play.pos).map_or(due, |ideal| ideal + lead.duration());
        // Not before what was played began: its end may have been moved forward already.
        let sooner = (due - cut.duration()).max(earliest).max(self.play.begun).min(due);
        self.counts.shrunk_ns += due.saturating_sub(sooner).as_nanos() as u64;
        self.play.due = Some(sooner);
    }

    /// What was decoded was completed to a whole frame by so much silence: nothing is wanted early any more.
    pub fn handle_padding(&mut self, silence: Ticks) {
        self.play.lead = Ticks(0);
        self.play.due = self.play.due.map(|due| due + silence.duration());
    }

    /// Drops everything held. What was learnt of the network stays.
    pub fn clear(&mut self) {
        self.store.clear();
        self.play.due = None;
        self.play.lead = Ticks(0);
        self.play.held = None;
        self.play.waiting = true;
        self.play.blind = (0, Ticks(0));
        self.play.concealed = Ticks(0);
        if let Some(head) = self.head {
            self.play.seq = head.seq + 1;
            self.play.pos = head.end;
        }
    }

    /// The delay aimed at.
    pub fn target(&self) -> Duration {
        let target = self.delay.target();
        if self.fec_seen && self.config.wait_for_fec && self.delay.fec_pays() {
            return (target + self.play.length.duration()).min(self.config.max_delay);
        }
        target
    }

    /// Of that, what a packet waits here; the rest it waits at the far end.
    pub fn wait(&self) -> Duration {
        if self.target() <= self.config.at_once { Duration::ZERO } else { self.target() }
    }

    /// Packets held.
    pub fn len(&self) -> usize {
        self.store.len()
    }

    /// Whether no packet is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Counts since the last call of this.
    pub fn take_counts(&mut self) -> JitterCounts {
        std::mem::take(&mut self.counts)
    }

    /// Whether this packet begins a stream anew rather than continuing it.
    fn is_fresh(&self, packet: &Packet, head: &Head, step: i64) -> bool {
        let Some(base) = self.delay.base() else { return true };
        let advance = head.advance(packet);
        // How late it would be if it continued; a change of clock says nothing about that.
        let behind = advance.map_or(0, |advance| packet.born.0 as i64 - (head.pos + advance).nanos() - base);
        let jumped = behind.unsigned_abs() > MAX_STEP.as_nanos() as u64;
        if advance.is_some_and(|advance| advance <= Ticks(0)) || jumped {
            return true;
        }
        let Some(due) = self.play.due else { return true };
        let now = self.play.clock(packet.born);
        let stopped = self.store.len() == 0 && now >= due;
        if !stopped {
            return false;
        }
        if packet.marker && step == 1 {
            return true;
        }
        // A stream whose clock ran on during the pause is where it belongs and needs no fresh start.
        let in_place =
            advance.is_some() && behind <= (self.target() + Duration::from_millis(20)).as_nanos() as i64;
        now.saturating_sub(due) >= IDLE_AFTER && !in_place
    }

    /// Places the first packet of a stream, or of one that resumed: taken to have come by the fastest path.
    fn start(&mut self, packet: &Packet, length: Ticks, seq: i64, earliest: Ticks) {
        let seq = if self.head.is_none() { i64::from(packet.seq) } else { seq };
        let base = *self.delay.base().get_or_insert(packet.born.0 as i64);
        // A tick is not a whole number of ns: rounded up, the packet seems a trifle early rather than late.
        let pos = Ticks(Ticks::from_nanos(packet.born.0 as i64 - base).0 + 1).max(earliest);
        let transit = packet.born.0 as i64 - pos.nanos();
        if self.delay.base().is_none() {
            self.delay.handle_arrival(transit, length);
        }
        self.settling = true;
        let head = Head::new(packet, seq, pos, length);
        self.head = Some(self.head.map_or(head, |previous| head.after(&previous)));
        if self.store.len() == 0 {
            self.play.seq = seq;
            self.play.pos = pos;
            self.play.length = length;
            self.play.concealed = Ticks(0);
            self.play.blind = (0, Ticks(0));
            // Not before what is being played ends.
            let now = self.play.clock(packet.born);
            self.play.due = Some((now + self.target()).max(self.play.due.unwrap_or_default()));
            self.play.held = None;
            self.play.waiting = false;
        }
        self.make_room(seq);
        self.insert(packet, seq, pos, length, true);
    }

    fn handle_foreign(&mut self, packet: &Packet, length: Ticks, head: Head) -> Arrival {
        if self.probation != Some(packet.seq) {
            self.probation = Some(packet.seq.wrapping_add(1));
            return Arrival::Foreign;
        }
        // Two in a row (RFC 3550, A.1): the sender restarted.
        self.restart(packet, length, head);
        Arrival::Queued
    }

    /// Numbers go on above all before, their lower 16 bits equal to the sender's.
    fn restart(&mut self, packet: &Packet, length: Ticks, head: Head) {
        self.probation = None;
        let next = head.seq + 1;
        let seq = next + i64::from(packet.seq.wrapping_sub(next as u16));
        self.start(packet, length, seq, head.end);
    }

    fn learn(&mut self, transit: i64, length: Ticks, previous: i64, step: i64) {
        if self.settling {
            // Packets that were held up together arrive faster than they were sent; the last of them shows the path.
            let catching_up = step > 0 && transit < previous - 5_000_000;
            if catching_up {
                if let Some(base) = self.delay.base().filter(|base| transit < *base) {
                    self.delay.rebase(transit - base);
                }
                return;
            }
            self.settling = false;
        }
        self.delay.handle_arrival(transit, length);
    }

    /// Something came after all: playout goes on.
    fn resume(&mut self, now: Nanos) {
        self.play.waiting = false;
        let Some(due) = self.play.due else { return };
        let Some(index) = self.store.first(self.play.seq) else { return };
        let (seq, pos) = (self.store.at(index).seq, self.store.at(index).pos);
        // What is missing before it was silence, and what is left of that is awaited as such: half a packet made up would
        // split every frame after it. But the last of it may be here as a copy.
        let (hole, copied) = (pos - self.play.pos, self.play.length);
        let packet = self.store.packet(index);
        let copy = hole >= copied && packet.codec == ModelCodec::Opus && opus::has_fec(packet.payload());
        let (lost, skipped) = if copy { (seq - 1, hole - copied) } else { (seq, hole) };
        if lost > self.play.seq {
            let skipped = skipped.max(Ticks(0));
            self.counts.concealed += (lost - self.play.seq) as u64;
            self.counts.concealed_ticks += skipped.0 as u64;
            self.play.seq = lost;
            self.play.pos += skipped;
        }
        let ideal = if copy { self.ideal(self.play.pos) } else { None };
        self.play.due = Some(due.max(now).max(ideal.map_or(now, |ideal| self.play.clock(ideal))));
    }

    /// A packet whose number is passed: whether it is played all the same, because what stood for it was made up with nothing
    /// here that came after it. Then the stream goes on with it, the delay longer by what was made up since. One alone is given
    /// up: it sounds no worse (PESQ 0.003 at most, six networks) and what follows is not 20 ms late until the next pause.
    fn take_back(&mut self, seq: i64, pos: Ticks) -> bool {
        let (packets, length) = self.play.blind;
        let blind = self.play.seq - packets as i64;
        if seq < blind || packets == 1 {
            return false;
        }
        let passed = (self.play.pos - pos).max(Ticks(0)).min(length);
        if passed > Ticks(0) {
            self.counts.concealed += (seq - blind) as u64;
            self.counts.concealed_ticks += length.0 as u64;
        }
        self.counts.grown_ns += passed.nanos() as u64;
        self.play.blind = (0, Ticks(0));
        self.play.pos = self.play.pos - passed;
        self.play.seq = seq;
        true
    }

    /// Due, and no packet at all is here.
    fn nothing_there(&mut self, voiced: bool) -> Playout<'static> {
        // Where much is lost, this is a loss rather than a stop.
        let most = if self.delay.fec_pays() { MAX_CONCEALED } else { MAX_BLIND };
        if voiced && !self.play.quiet && self.play.blind.1 < most {
            let length = self.play.length.min(most - self.play.blind.1);
            self.play.advance(length);
            self.play.seq += 1;
            self.play.blind.0 += 1;
            self.play.blind.1 += length;
            return Playout::Conceal(length);
        }
        self.play.waiting = true;
        Playout::Pause
    }

    /// Due, not here, but a later packet is: lost for good.
    fn fill(&mut self, index: usize, hole: Ticks) -> Playout<'_> {
        let missing = self.store.at(index).seq - self.play.seq;
        // Of several, all but the last are of the usual length; the last is what remains, unless that is a pause.
        let lost =
            if missing > 1 { hole.min(self.play.length) } else { hole.min(Ticks(self.play.length.0 * 2)) };
        self.play.seq += 1;
        self.play.advance(lost);
        let successor = self.store.packet(index);
        if missing == 1 && successor.codec == ModelCodec::Opus && opus::has_fec(successor.payload()) {
            self.counts.fec += 1;
            return Playout::Fec { successor, lost };
        }
        self.counts.concealed += 1;
        self.counts.concealed_ticks += lost.0 as u64;
        let audible = self.play.concealed < MAX_CONCEALED;
        self.play.concealed += lost;
        if audible { Playout::Conceal(lost) } else { Playout::Silence(lost) }
    }

    /// When `pos` should be played.
    fn ideal(&self, pos: Ticks) -> Option<Nanos> {
        let base = self.delay.base()?;
        Some(Nanos(0).offset(base.saturating_add(pos.nanos())) + self.target())
    }

    /// The lag at which the next packet is there when it is wanted, ns.
    fn wanted_lag(&self) -> i64 {
        self.target().as_nanos() as i64 + self.play.lead.nanos()
    }

    /// By how much playing `pos` at `due` is later than its fastest possible arrival, ns.
    fn lag(&self, due: Nanos, pos: Ticks) -> i64 {
        self.delay.base().map_or(0, |base| due.0 as i64 - base - pos.nanos())
    }

    fn insert(&mut self, packet: &Packet, seq: i64, pos: Ticks, length: Ticks, fresh: bool) {
        self.counts.dropped += u64::from(!self.store.insert(packet, seq, pos, length, fresh));
    }

    /// Gives up what is too old to be held together with `seq`.
    fn make_room(&mut self, seq: i64) {
        let oldest = seq - CAPACITY as i64 + 1;
        if self.play.seq >= oldest {
            return;
        }
        self.counts.dropped += self.store.drop_before(oldest);
        self.play.seq = oldest;
    }
}

#[cfg(test)]
#[path = "jitter_tests.rs"]
mod tests;
