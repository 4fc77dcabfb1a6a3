//! How deep to wait: what each millisecond of delay costs against what the packets later than it cost.
//!
//! A packet's *transit* is its arrival minus its media time, in ns with an arbitrary origin. The smallest transit of
//! the last ten seconds is the path itself (`BASE_BLOCK`); so a drift of the clocks moves the path and is no jitter.
//! What a packet takes longer than the path is its *lag*, counted in a histogram that forgets slowly.
//!
//! The target is where `delay + cost × share of packets with a greater lag` is least (`LOSS_COST_MS`). That waits for lags as
//! long as they are near and frequent (jitter, reordering, a wireless link's short stalls) and gives up on those that are
//! far and rare (a stall of 200 ms twice a minute), which no fixed quantile does.
//!
//! Media time rather than the clock drives everything: a pause in the stream forgets nothing.

use std::time::Duration;

use crate::units::Ticks;

/// Delay that is worth one percent of packets in time, ms. NetEq's reordering optimiser takes 20, the E-model (ITU-T
/// G.107) about 155. Higher waits for rarer packets: it hears all of a wireless link's stalls, and sits at 100 ms for a TCP
/// segment lost twice a minute. Lower conceals both.
const LOSS_COST_MS: f32 = 160.0;
/// Share lost anyway at which one more is only a quarter as bad, in the manner of ITU-T G.107's `Bpl` (G.113), which is 0.043 for
/// losses in bursts. Lower is content with less where much is missing; higher waits there too.
const LOSS_TOLERANCE: f32 = 0.027;
/// How long to hold on for a packet that is missing at its time before it is concealed, 6 ms: a hole of that length is less than the
/// whole packet of delay that making it up costs if it comes after all, and a busy machine is late by so much now and then. Half as
/// long as the delay where that is more, up to the second. Longer catches more that is just late; but each packet that was lost
/// indeed delays what follows by as much.
const HOLD_BINS: (usize, usize) = (24, 72);
/// Probability that another packet is missing after a lost one, 0.25, per bin of its 20 ms. If the delay is longer than
/// a packet, the next one should be here when one is due; if it is not, a stall is likelier than a loss.
const AFTER_LOSS: f32 = 0.982_82;
/// Share of packets taken to be just a little late though none was seen to be, so that the first are not lost. Above the
/// share of losses of a sound network, or it would never hold on; lower than a lossy one's, where that delays.
const UNSEEN: f32 = 0.000_5;
/// A hole however short is heard as if it were so much longer: 1 ms.
const CLICK_BINS: f32 = 4.0;
/// From here on a millisecond counts four times, 75 ms: with the network's own delay and the model's, a conversation begins
/// to falter. Lower gives up on stalls of that length, higher lets rare ones hold up all.
const FAR_BINS: f32 = 300.0;
const FAR_COST: f32 = 3.0;
/// What a packet that is not played costs: its 20 ms.
const FRAME_BINS: f32 = 80.0;
/// By how many bins holding on must be cheaper: without lateness to catch it is not done.
const HOLD_GAIN: f32 = 0.1;
/// Resolution of the histogram. Coarser wastes half of it on every call; finer costs time on every packet.
const BIN_NS: i64 = 250_000;
const BIN_MS: f32 = 0.25;
/// Lags beyond are counted in the last bin: 300 ms.
const BINS: usize = 1_200;
/// Packets after which a lag counts only 1/e: 100 s of 20 ms packets. A longer memory knows rare lags better; a shorter
/// one follows a network that changes, and in doing so takes a few stalls in a row for a habit.
const MEMORY: f32 = 5_000.0;
/// Weight of the newest packet at which all are scaled down, so that the sums stay exact enough for `f32`.
const HEAVY: f32 = 64.0;
/// Added to the target: the rounding of everything else, and what the worker's own wake-up may take.
const MARGIN: Duration = Duration::from_micros(250);
/// Packets before the measured lags are trusted below the starting value. More of them keep a clean path at it for
/// longer; fewer learn the first late packets by losing them.
const TRUSTED: u32 = 50;
/// Packets, none of them later than the target, after which that is worked out again. Each time costs some µs on a path
/// with much jitter; less often is slower to come down, by as many packets.
const HEEDED: u32 = 4;
/// Blocks of the path's window.
const BLOCKS: usize = 20;
/// Media time a block covers; 20 of them are 10 s. Longer takes a path that has become slower for jitter for longer, and
/// drift too (100 ppm are 1 ms in 10 s); shorter mistakes a busy spell for the path.
const BASE_BLOCK: Ticks = Ticks::from_millis(500);
/// A path this much slower at once is another path: lags learnt on it were measured from the wrong one.
const STEP_NS: i64 = 5_000_000;
/// Loss from which waiting one more packet for in-band FEC pays, per mille: NetEq's rate is 20 ms for one percent.
const FEC_LOSS_PER_MILLE: f32 = 5.0;

#[derive(Clone, Copy)]
struct Block {
    min: i64,
    packets: u32,
    length: Ticks,
}

const EMPTY: Block = Block { min: i64::MAX, packets: 0, length: Ticks(0) };

/// What is known of the path and of how much longer packets take than it.
pub struct DelayEstimator {
    blocks: [Block; BLOCKS],
    current: usize,
    /// Weights of lags; allocated once.
    lags: Box<[f32]>,
    total: f32,
    /// Weight of what was not there when its successor came, and of that, of what was only overtaken.
    missing: f32,
    overtaken: f32,
    hold: Duration,
    /// Weight of the next packet: growing it is forgetting the others.
    weight: f32,
    packets: u32,
    /// Packets since all was worked out.
    unheeded: u32,
    start: Duration,
    max: Duration,
    /// What all this says, worked out at each change rather than at each question.
    base: i64,
    target: Duration,
}

impl DelayEstimator {
    /// Nothing known yet. `start` is what to wait before enough is known, `max` the most to wait ever.
    pub fn new(start: Duration, max: Duration) -> Self {
        Self {
            blocks: [EMPTY; BLOCKS],
            current: 0,
            lags: vec![0.0; BINS].into_boxed_slice(),
            total: 0.0,
            missing: 0.0,
            overtaken: 0.0,
            hold: Duration::ZERO,
            weight: 1.0,
            packets: 0,
            unheeded: 0,
            start,
            max,
            base: i64::MAX,
            target: start.min(max),
        }
    }

    /// A packet of `length` arrived with this transit (ns).
    pub fn handle_arrival(&mut self, transit: i64, length: Ticks) {
        if self.blocks[self.current].length >= BASE_BLOCK {
            self.current = (self.current + 1) % BLOCKS;
            self.blocks[self.current] = EMPTY;
        }
        let block = &mut self.blocks[self.current];
        block.length += length;
        block.packets += 1;
        block.min = block.min.min(transit);
        self.follow_path();
        self.packets = self.packets.saturating_add(1);
        let bin = (transit.saturating_sub(self.base) / BIN_NS).clamp(0, BINS as i64 - 1);
        self.lags[bin as usize] += self.weight;
        self.total += self.weight;
        self.weight *= 1.0 + 1.0 / MEMORY;
        if self.weight > HEAVY {
            self.lags.iter_mut().for_each(|lag| *lag /= HEAVY);
            self.total /= HEAVY;
            self.missing /= HEAVY;
            self.overtaken /= HEAVY;
            self.weight /= HEAVY;
        }
        self.unheeded += 1;
        let surprised = lag_of(bin as usize) > self.target;
        if surprised || self.packets <= TRUSTED || self.unheeded >= HEEDED {
            self.unheeded = 0;
            self.work_out();
        }
    }

    /// So many packets never came.
    pub fn handle_loss(&mut self, packets: u32) {
        self.missing += self.weight * packets as f32;
    }

    /// One that was taken for lost came after all.
    pub fn handle_found(&mut self) {
        self.overtaken = (self.overtaken + self.weight).min(self.missing);
    }

    /// The path's origin moved by `by` ns (a resumed stream): what was learnt of its lags stays.
    pub fn rebase(&mut self, by: i64) {
        for block in self.blocks.iter_mut().filter(|b| b.packets > 0) {
            block.min += by;
        }
        if self.base != i64::MAX {
            self.base += by;
        }
    }

    /// The smallest transit of the window, ns; `None` before the first packet.
    pub fn base(&self) -> Option<i64> {
        (self.base != i64::MAX).then_some(self.base)
    }

    /// How long after the fastest possible arrival a packet should be played.
    pub fn target(&self) -> Duration {
        self.target
    }

    /// How long to hold on for a packet that is missing at its time.
    pub fn hold(&self) -> Duration {
        self.hold
    }

    /// Whether losses are frequent enough to wait for the packet after a lost one, if that carries a copy of it.
    pub fn fec_pays(&self) -> bool {
        let lost = self.lost();
        // Two at least: a single loss says nothing about the next.
        lost > 1.5 * self.weight && lost * 1000.0 >= FEC_LOSS_PER_MILLE * (self.total + lost)
    }

    /// Weight of what never came.
    fn lost(&self) -> f32 {
        self.missing - self.overtaken
    }

    fn follow_path(&mut self) {
        let base = self.blocks.iter().map(|block| block.min).min().unwrap_or(i64::MAX);
        if self.base != i64::MAX && base.saturating_sub(self.base) >= STEP_NS {
            let bins = ((base - self.base) / BIN_NS).min(BINS as i64) as usize;
            let before: f32 = self.lags[..bins].iter().sum();
            self.lags.copy_within(bins.., 0);
            self.lags[BINS - bins..].fill(0.0);
            self.lags[0] += before;
        }
        self.base = base;
    }

    /// Finds the cheapest delay, and whether to hold on a little for what is missing then.
    fn work_out(&mut self) {
        let share = 1.0 / (self.total + self.lost());
        let tolerance = LOSS_TOLERANCE / (LOSS_TOLERANCE + self.lost() * share);
        let per_share = LOSS_COST_MS * 100.0 / BIN_MS * tolerance * tolerance;
        let per_weight = per_share * share;
        // What the packets later than the delay weigh: all of them, and those that holding on would catch.
        let mut later = self.total;
        let (mut near, mut near_lags, mut edge) = (0.0_f32, 0.0_f32, 0);
        // Holding on is no use for what is overtaken either: its successor is here.
        let mut in_vain = self.missing * share;
        let mut best = (f32::MAX, 0, false);
        for (bin, weight) in self.lags.iter().enumerate() {
            let delay = bin as f32;
            let waiting = delay + FAR_COST * (delay - FAR_BINS).max(0.0);
            if waiting > best.0 {
                break; // waiting so long costs more than giving up on all
            }
            later -= weight;
            if bin > 0 && edge >= bin {
                near -= weight;
                near_lags -= weight * delay;
            }
            edge = edge.max(bin);
            let hold = hold_bins(bin);
            while edge < (bin + hold).min(BINS - 1) {
                edge += 1;
                near += self.lags[edge];
                near_lags += self.lags[edge] * edge as f32;
            }
            let cost = waiting + later.max(0.0) * per_weight;
            if cost < best.0 {
                best = (cost, bin, false);
            }
            let held = (near_lags - near * (delay - CLICK_BINS)).max(0.0) / FRAME_BINS;
            let holding = waiting
                + ((later - near).max(0.0) + held) * per_weight
                + (in_vain - UNSEEN) * per_share * hold as f32 / FRAME_BINS;
            in_vain *= AFTER_LOSS;
            if holding < best.0 - HOLD_GAIN {
                best = (holding, bin, true);
            }
        }
        let hold = if best.2 { hold_bins(best.1) } else { 0 };
        self.hold = Duration::from_nanos(hold as u64 * BIN_NS as u64);
        let mut target = lag_of(best.1) + MARGIN;
        if self.packets < TRUSTED {
            target = target.max(self.start);
        }
        self.target = target.min(self.max);
    }
}

/// The end of a bin.
fn lag_of(bin: usize) -> Duration {
    Duration::from_nanos(((bin as i64 + 1) * BIN_NS) as u64)
}

/// How long a packet is held on for if the delay is so long, in bins.
fn hold_bins(delay: usize) -> usize {
    HOLD_BINS.0.max(delay / 2).min(HOLD_BINS.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: Ticks = Ticks::from_millis(20);
    const MS: i64 = 1_000_000;

    fn estimator() -> DelayEstimator {
        DelayEstimator::new(Duration::from_millis(10), Duration::from_millis(300))
    }

    fn feed(e: &mut DelayEstimator, n: usize, transit: i64) {
        for _ in 0..n {
            e.handle_arrival(transit, PACKET);
        }
    }

    /// What is waited for lags of so many ms: the end of their bin, and the margin.
    fn waits_for(ms: u64) -> Duration {
        Duration::from_millis(ms) + Duration::from_nanos(BIN_NS as u64) + MARGIN
    }

    #[test]
    fn waits_the_starting_value_until_something_is_known() {
        let mut e = estimator();
        assert_eq!((e.base(), e.target()), (None, Duration::from_millis(10)));
        feed(&mut e, TRUSTED as usize - 1, 5 * MS);
        assert_eq!(e.target(), Duration::from_millis(10));
        feed(&mut e, 1, 5 * MS);
        assert_eq!((e.base(), e.target()), (Some(5 * MS), waits_for(0)));
    }

    #[test]
    fn near_and_frequent_is_waited_for_far_and_rare_is_not() {
        let mut e = estimator();
        for i in 0..1_000 {
            // One in a hundred by 40 ms, one in a thousand by 200 ms.
            e.handle_arrival(
                if i == 500 {
                    200
                } else if i % 100 == 1 {
                    40
                } else {
                    i % 4
                } * MS,
                PACKET,
            );
        }
        assert_eq!(e.target(), waits_for(40));
    }

    #[test]
    fn a_rare_lag_is_waited_for_less_where_much_is_lost_anyway() {
        let mut clean = estimator();
        let mut lossy = estimator();
        for i in 0..1_000 {
            let transit = if i % 200 == 1 { 40 } else { i % 4 } * MS;
            clean.handle_arrival(transit, PACKET);
            lossy.handle_arrival(transit, PACKET);
            lossy.handle_loss(u32::from(i % 10 == 0));
        }
        assert!(clean.target() + clean.hold() >= waits_for(40) && clean.target() > waits_for(35));
        assert_eq!((lossy.target(), lossy.hold()), (waits_for(3), Duration::ZERO));
    }

    #[test]
    fn holds_on_as_long_as_lateness_is_likelier_than_loss() {
        let mut e = estimator();
        for i in 0..1_000_i64 {
            e.handle_arrival(i % 3 * MS, PACKET);
        }
        assert_eq!(e.hold(), Duration::from_millis(6));
        e.handle_loss(20);
        feed(&mut e, HEEDED as usize, 0);
        assert_eq!(e.hold(), Duration::ZERO);
    }

    #[test]
    fn a_lag_is_forgotten_with_time() {
        let mut e = estimator();
        feed(&mut e, 1_000, 0);
        e.handle_arrival(10 * MS, PACKET);
        assert!(
            e.target() > waits_for(3) && e.target() + e.hold() > waits_for(9),
            "or nearly, and held on for"
        );
        feed(&mut e, 20_000, 0);
        assert_eq!(e.target(), waits_for(0));
    }

    #[test]
    fn a_slower_path_becomes_the_base_after_the_window() {
        let mut e = estimator();
        feed(&mut e, 100, 0);
        feed(&mut e, 100, 30 * MS);
        assert_eq!(e.target(), waits_for(30));
        feed(&mut e, 500, 30 * MS);
        assert_eq!((e.base(), e.target()), (Some(30 * MS), waits_for(0)));
    }

    #[test]
    fn rebasing_keeps_the_spread() {
        let mut e = estimator();
        feed(&mut e, 20, 0);
        e.handle_arrival(8 * MS, PACKET);
        let target = e.target();
        e.rebase(-500 * MS);
        assert_eq!((e.base(), e.target()), (Some(-500 * MS), target));
    }

    #[test]
    fn never_beyond_the_maximum() {
        let mut e = estimator();
        feed(&mut e, 1, 0);
        feed(&mut e, 300, i64::MAX / 2);
        assert!(e.target() > Duration::from_millis(250));
        let mut e = DelayEstimator::new(Duration::from_millis(10), Duration::from_millis(100));
        feed(&mut e, 1, 0);
        feed(&mut e, 300, 200 * MS);
        assert_eq!(e.target(), Duration::from_millis(100));
    }

    #[test]
    fn waiting_for_fec_needs_a_habit_of_loss() {
        let mut e = estimator();
        feed(&mut e, 100, 0);
        e.handle_loss(1);
        assert!(!e.fec_pays());
        e.handle_loss(1);
        assert!(e.fec_pays());
        feed(&mut e, 400, 0);
        assert!(!e.fec_pays(), "2 of 500 are below half a percent");
    }
}
