//! How deep to wait: the spread of packets' delays against the fastest of the last ten seconds.
//!
//! A packet's *transit* is its arrival minus its media time, in ns with an arbitrary origin. The smallest transit of
//! the window is the path itself; what others take longer is jitter. The target is the quantile of that spread: no
//! histogram and no decay, so the resolution is that of the clock and an outlier is forgotten after the window.
//!
//! The window is cut in blocks of media time. Each keeps its smallest transit and its few largest, which is all that
//! the smallest of the whole and a high quantile of it can depend on; so an arrival costs a handful of comparisons.
//! Media time rather than the clock drives the window: a pause in the stream forgets nothing.

use std::time::Duration;

use crate::units::Ticks;

/// Blocks in the window.
const BLOCKS: usize = 20;
/// Media time a block covers; 20 of them are the window of 10 s. A longer window remembers rare stalls and keeps
/// waiting for them; a shorter one forgets them and conceals.
const BLOCK: Ticks = Ticks::from_millis(500);
/// Largest transits kept per block. The quantile is exact while its rank from the top does not exceed it.
const KEPT: usize = 6;
/// Added to the quantile: the rounding of everything else, and what the worker's own wake-up may take.
const MARGIN: Duration = Duration::from_millis(1);
/// Packets before the measured spread is trusted below the starting value.
const TRUSTED: u32 = 10;
/// Loss from which waiting one more packet for in-band FEC pays, per mille: NetEq's rate is 20 ms for one percent.
const FEC_LOSS_PER_MILLE: u32 = 5;

#[derive(Clone, Copy)]
struct Block {
    /// Descending; `i64::MIN` where nothing is.
    top: [i64; KEPT],
    min: i64,
    packets: u32,
    lost: u32,
    length: Ticks,
}

const EMPTY: Block = Block { top: [i64::MIN; KEPT], min: i64::MAX, packets: 0, lost: 0, length: Ticks(0) };

/// The spread of delays and the share of losses over the last ten seconds of media.
pub struct DelayEstimator {
    blocks: [Block; BLOCKS],
    current: usize,
    quantile: f64,
    start: Duration,
    max: Duration,
    /// What the blocks say, worked out at each change rather than at each question.
    base: i64,
    target: Duration,
}

impl DelayEstimator {
    /// Nothing known yet. `quantile` (0 to 1) is the share of packets that shall be in time, `start` what to wait
    /// before enough is known, `max` the most to wait ever.
    pub fn new(quantile: f64, start: Duration, max: Duration) -> Self {
        Self {
            blocks: [EMPTY; BLOCKS],
            current: 0,
            quantile,
            start,
            max,
            base: i64::MAX,
            target: start.min(max),
        }
    }

    /// A packet of `length` arrived with this transit (ns).
    pub fn handle_arrival(&mut self, transit: i64, length: Ticks) {
        if self.blocks[self.current].length >= BLOCK {
            self.current = (self.current + 1) % BLOCKS;
            self.blocks[self.current] = EMPTY;
        }
        let block = &mut self.blocks[self.current];
        block.length += length;
        block.packets += 1;
        block.min = block.min.min(transit);
        if transit > block.top[KEPT - 1] {
            let place = block.top.iter().position(|t| transit > *t).unwrap_or(KEPT - 1);
            block.top[place..].rotate_right(1);
            block.top[place] = transit;
        }
        self.work_out();
    }

    /// So many packets never came.
    pub fn handle_loss(&mut self, packets: u32) {
        self.blocks[self.current].lost += packets;
    }

    /// The path's origin moved by `by` ns (a resumed stream): what was learnt of its spread stays.
    pub fn rebase(&mut self, by: i64) {
        for block in self.blocks.iter_mut().filter(|b| b.packets > 0) {
            block.min += by;
            for top in block.top.iter_mut().filter(|t| **t > i64::MIN) {
                *top += by;
            }
        }
        self.work_out();
    }

    /// The smallest transit of the window, ns; `None` before the first packet.
    pub fn base(&self) -> Option<i64> {
        (self.base != i64::MAX).then_some(self.base)
    }

    /// How long after the fastest possible arrival a packet should be played.
    pub fn target(&self) -> Duration {
        self.target
    }

    /// Whether losses are frequent enough to wait for the packet after a lost one, if that carries a copy of it.
    pub fn fec_pays(&self) -> bool {
        let (lost, packets) = self.blocks.iter().fold((0, 0), |(l, p), b| (l + b.lost, p + b.packets));
        // Two at least: a single loss says nothing about the next.
        lost >= 2 && lost * 1000 >= FEC_LOSS_PER_MILLE * (lost + packets)
    }

    fn work_out(&mut self) {
        let (mut base, mut packets) = (i64::MAX, 0);
        for block in &self.blocks {
            base = base.min(block.min);
            packets += block.packets;
        }
        self.base = base;
        if packets == 0 {
            self.target = self.start.min(self.max);
            return;
        }
        // Rank from the top: 1 is the largest.
        let beyond = (f64::from(packets) * (1.0 - self.quantile)) as usize;
        let rank = beyond.min(KEPT - 1) + 1;
        let mut largest = [i64::MIN; KEPT];
        for block in &self.blocks {
            for transit in block.top {
                if transit <= largest[rank - 1] {
                    break; // both are sorted: nothing further in this block can enter
                }
                let place = largest.iter().position(|t| transit > *t).unwrap_or(rank - 1);
                largest[place..rank].rotate_right(1);
                largest[place] = transit;
            }
        }
        let spread = Duration::from_nanos(largest[rank - 1].saturating_sub(base).max(0) as u64);
        let mut target = spread + MARGIN;
        if packets < TRUSTED {
            target = target.max(self.start);
        }
        self.target = target.min(self.max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: Ticks = Ticks::from_millis(20);
    const MS: i64 = 1_000_000;

    fn estimator() -> DelayEstimator {
        DelayEstimator::new(0.995, Duration::from_millis(10), Duration::from_millis(300))
    }

    fn feed(e: &mut DelayEstimator, n: usize, transit: i64) {
        for _ in 0..n {
            e.handle_arrival(transit, PACKET);
        }
    }

    #[test]
    fn waits_the_starting_value_until_something_is_known() {
        let mut e = estimator();
        assert_eq!((e.base(), e.target()), (None, Duration::from_millis(10)));
        feed(&mut e, 9, 5 * MS);
        assert_eq!(e.target(), Duration::from_millis(10));
        feed(&mut e, 1, 5 * MS);
        assert_eq!((e.base(), e.target()), (Some(5 * MS), MARGIN));
    }

    #[test]
    fn the_quantile_is_exact() {
        let mut e = estimator();
        // 500 packets whose delays are 0..500 × 0.1 ms in scrambled order: 2 may be beyond the .995 quantile.
        for i in 0..500_i64 {
            e.handle_arrival((i * 7 % 500) * MS / 10, PACKET);
        }
        assert_eq!(e.target(), Duration::from_micros(49_700) + MARGIN);
    }

    #[test]
    fn one_outlier_is_forgotten_after_the_window() {
        let mut e = estimator();
        feed(&mut e, 10, 0);
        e.handle_arrival(80 * MS, PACKET);
        assert_eq!(e.target(), Duration::from_millis(81));
        feed(&mut e, 200, 0); // 4 s later it is one of more than 200: beyond the quantile
        assert_eq!(e.target(), MARGIN);
        e.handle_arrival(80 * MS, PACKET);
        assert_eq!(e.target(), Duration::from_millis(81), "twice is a habit");
        feed(&mut e, 600, 0);
        assert_eq!(e.target(), MARGIN);
    }

    #[test]
    fn a_slower_path_becomes_the_base_after_the_window() {
        let mut e = estimator();
        feed(&mut e, 100, 0);
        feed(&mut e, 100, 30 * MS);
        assert_eq!(e.target(), Duration::from_millis(31));
        feed(&mut e, 500, 30 * MS);
        assert_eq!((e.base(), e.target()), (Some(30 * MS), MARGIN));
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
        feed(&mut e, 1, i64::MAX / 2);
        assert_eq!(e.target(), Duration::from_millis(300));
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
