//! What all calls of a run send and hear, gathered as it happens.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::Spread;
use crate::report::{self, BargeIn, Direction};
use crate::watermark::{FRAME, Heard, Score, Sighting};

/// Samples a second.
const RATE: f64 = 8_000.0;
/// A frame seen later than this was said by somebody else at another time: the recording is longer than all calls take to say the same.
const MAX_DELAY: Duration = Duration::from_millis(1_500);
/// An announced interruption belongs to the call whose reply stood within so many frames of it.
const NEAR_FRAMES: i64 = 40;
/// Longest wait for `clear`.
const CLEAR_WITHIN: Duration = Duration::from_secs(2);
/// Interruptions waiting for their `clear`, at most: far more than can be under way at once.
const MAX_PENDING: usize = 4_096;

/// Everything that is gathered.
pub(crate) struct Tally {
    zero: Instant,
    measuring: AtomicBool,
    over: AtomicBool,
    pub(crate) up: Road,
    pub(crate) down: Road,
    interruptions: Mutex<Interruptions>,
    pub(crate) phone_lateness: Mutex<Spread>,
    pub(crate) model_lateness: Mutex<Spread>,
}

/// One direction.
pub(crate) struct Road {
    pub(crate) score: Arc<Score>,
    /// When each frame of the recording was last handed to the kernel, ns since `zero`.
    sent: Box<[AtomicU64]>,
    /// When it was first through the simulated network after that.
    left: Box<[AtomicU64]>,
    gathered: Mutex<Gathered>,
}

#[derive(Default)]
struct Gathered {
    total: Spread,
    added: Spread,
    second: Spread,
    counts: Direction,
    /// How often each shift was seen, for the look-ahead.
    shifts: Box<[u64]>,
    look_ahead: Duration,
    /// What the network between the two ends takes at least.
    path: Duration,
}

#[derive(Default)]
struct Interruptions {
    pending: VecDeque<(usize, Instant)>,
    clear: Spread,
    backlog: Spread,
    counts: BargeIn,
    second: u64,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Sums stay usable whoever panicked while adding to them.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Road {
    fn new(score: Arc<Score>, path: Duration) -> Self {
        let never = || (0..score.frames()).map(|_| AtomicU64::new(0)).collect();
        Self {
            sent: never(),
            left: never(),
            score,
            gathered: Mutex::new(Gathered { shifts: vec![0; FRAME].into(), path, ..Gathered::default() }),
        }
    }
}

impl Tally {
    /// For these recordings; `path` is what the simulated network takes at least, downward.
    pub(crate) fn new(up: Arc<Score>, down: Arc<Score>, path: Duration) -> Self {
        Self {
            zero: Instant::now(),
            measuring: AtomicBool::new(false),
            over: AtomicBool::new(false),
            up: Road::new(up, Duration::ZERO),
            down: Road::new(down, path),
            interruptions: Mutex::default(),
            phone_lateness: Mutex::default(),
            model_lateness: Mutex::default(),
        }
    }

    pub(crate) fn is_measuring(&self) -> bool {
        self.measuring.load(Ordering::Relaxed)
    }

    /// From now on figures count. The look-ahead of the codecs is what was seen most often until now.
    pub(crate) fn begin(&self) {
        for road in [&self.up, &self.down] {
            let mut gathered = lock(&road.gathered);
            let most = (0..FRAME).max_by_key(|shift| gathered.shifts[*shift]).unwrap_or(0);
            if gathered.shifts[most] > 0 {
                gathered.look_ahead = Duration::from_secs_f64(most as f64 / RATE);
            }
            gathered.second = Spread::default();
        }
        self.measuring.store(true, Ordering::Relaxed);
    }

    /// Nothing counts any more, and all callers hang up.
    pub(crate) fn end(&self) {
        self.measuring.store(false, Ordering::Relaxed);
        self.over.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn stamp(&self, at: Instant) -> u64 {
        at.duration_since(self.zero).as_nanos() as u64 + 1
    }

    /// A frame of the recording is handed to the kernel, or to the simulated network.
    pub(crate) fn sent(&self, road: &Road, frame: usize, at: Instant) {
        road.sent[frame].store(self.stamp(at), Ordering::Relaxed);
        if self.is_measuring() && !road.score.is_pause(frame) {
            lock(&road.gathered).counts.sent += 1;
        }
    }

    /// The frame is through the simulated network. A second copy of it says nothing more.
    pub(crate) fn left(&self, road: &Road, frame: usize, at: Instant) {
        if road.left[frame].load(Ordering::Relaxed) < road.sent[frame].load(Ordering::Relaxed) {
            road.left[frame].store(self.stamp(at), Ordering::Relaxed);
        }
    }

    /// Something was made of what a listener heard. `wait` is what a jitter buffer on the way waits on purpose, counted from the quickest
    /// packet.
    pub(crate) fn heard(&self, road: &Road, heard: Heard, wait: Duration) {
        if let Heard::Frame(sighting) = heard {
            return self.sighted(road, sighting, wait);
        }
        if !self.is_measuring() {
            return;
        }
        let mut gathered = lock(&road.gathered);
        let counts = &mut gathered.counts;
        match heard {
            Heard::Concealed(frames) => counts.concealed += frames,
            Heard::Lost(frames) => counts.lost += frames,
            Heard::Repeated(frames) => counts.duplicated += frames,
            Heard::Splice => counts.splices += 1,
            Heard::Elsewhere | Heard::Frame(_) => {}
        }
    }

    fn sighted(&self, road: &Road, sighting: Sighting, wait: Duration) {
        let [sent, left] =
            [&road.sent, &road.left].map(|stamps| stamps[sighting.frame].load(Ordering::Relaxed));
        let arrived =
            sighting.at.duration_since(self.zero) + Duration::from_secs_f64(sighting.shift as f64 / RATE);
        let [sent_at, left_at] = [sent, left].map(|stamp| Duration::from_nanos(stamp.saturating_sub(1)));
        let total = arrived.saturating_sub(sent_at);
        if sent == 0 || total > MAX_DELAY {
            return;
        }
        let mut gathered = lock(&road.gathered);
        if !self.is_measuring() {
            gathered.shifts[sighting.shift.min(FRAME - 1)] += 1;
            return;
        }
        // Nothing can go on before it is there, nor should before the wait is over. Of a lost packet only the second is known: what was
        // heard of it came with the next one.
        let due = (sent_at + gathered.path + wait).max(left_at);
        let added = arrived.saturating_sub(due + gathered.look_ahead);
        gathered.total.record(total);
        gathered.added.record(added);
        gathered.second.record(added);
        gathered.counts.heard += 1;
        if added.as_secs_f64() * 1e3 > report::LATE_MS {
            gathered.counts.late += 1;
        }
    }

    /// The model announced that the caller speaks, behind `frame`.
    pub(crate) fn announced(&self, frame: usize, at: Instant) {
        let mut all = lock(&self.interruptions);
        if self.is_measuring() {
            all.counts.announced += 1;
            all.second += 1;
        }
        if all.pending.len() == MAX_PENDING {
            all.pending.pop_front();
        }
        all.pending.push_back((frame, at));
    }

    /// `clear` came at a phone that heard `last` last and had so much sound waiting. Gives the frame that was announced.
    pub(crate) fn cleared(&self, last: usize, backlog: Duration, at: Instant) -> Option<usize> {
        let frames = self.down.score.frames() as i64;
        let mut all = lock(&self.interruptions);
        all.pending.retain(|(_, announced)| at.saturating_duration_since(*announced) < CLEAR_WITHIN);
        let near = all.pending.iter().position(|(frame, _)| {
            let behind = (*frame as i64 - last as i64 + frames / 2).rem_euclid(frames) - frames / 2;
            behind.abs() <= NEAR_FRAMES
        })?;
        let (frame, announced) = all.pending.remove(near)?;
        if self.is_measuring() {
            all.counts.cleared += 1;
            all.clear.record(at.saturating_duration_since(announced));
            all.backlog.record(backlog);
        }
        Some(frame)
    }

    /// A frame of an interrupted reply came after `clear`.
    pub(crate) fn stale(&self) {
        if self.is_measuring() {
            lock(&self.interruptions).counts.stale_frames += 1;
        }
    }

    /// The last second: median, 99th percentile and largest of what was added upward and downward, and interruptions.
    pub(crate) fn second(&self) -> ([f64; 3], [f64; 3], u64) {
        let take = |road: &Road| {
            let spread = std::mem::take(&mut lock(&road.gathered).second);
            [0.5, 0.99, 1.0].map(|q| spread.percentile(q).as_secs_f64() * 1e3)
        };
        (take(&self.up), take(&self.down), std::mem::take(&mut lock(&self.interruptions).second))
    }

    /// A direction's figures. `wait`: the jitter buffer's, as the bridge tells it.
    pub(crate) fn direction(&self, road: &Road, wait: Option<Duration>) -> Direction {
        let gathered = lock(&road.gathered);
        let ms = |d: Duration| d.as_secs_f64() * 1e3;
        Direction {
            total: (&gathered.total).into(),
            added: (&gathered.added).into(),
            look_ahead_ms: ms(gathered.look_ahead),
            jitter_wait_ms: wait.map(ms),
            histogram: gathered.added.buckets().map(|(edge, count)| (ms(edge), count)).collect(),
            ..gathered.counts.clone()
        }
    }

    /// The interruptions' figures.
    pub(crate) fn barge_in(&self) -> BargeIn {
        let all = lock(&self.interruptions);
        BargeIn { clear: (&all.clear).into(), backlog: (&all.backlog).into(), ..all.counts.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// What is `added` to a frame of the downward recording: sent at 0 over a path of 20 ms, through the network after `left`, heard after
    /// `heard`.
    fn added(left: &[Duration], wait: Duration, heard: Duration) -> Duration {
        let score = Arc::new(Score::new(500, 1));
        let tally = Tally::new(Arc::clone(&score), score, 20 * MS);
        tally.begin();
        let (frame, zero) = (3, tally.zero);
        tally.sent(&tally.down, frame, zero);
        for left in left {
            tally.left(&tally.down, frame, zero + *left);
        }
        let sighting = Sighting { frame, at: zero + heard, shift: 0 };
        tally.heard(&tally.down, Heard::Frame(sighting), wait);
        let gathered = lock(&tally.down.gathered);
        assert_eq!(gathered.counts.heard, 1);
        gathered.added.percentile(1.0)
    }

    fn is_about(was: Duration, ms: f64) {
        // A spread keeps three figures.
        assert!((was.as_secs_f64() * 1e3 - ms).abs() <= 0.01 * ms + 0.001, "{was:?}, not {ms} ms");
    }

    #[test]
    fn what_the_network_does_and_what_is_waited_is_not_added() {
        // It came 3 ms later than the quickest, and went on after 1 ms.
        is_about(added(&[23 * MS], Duration::ZERO, 24 * MS), 1.0);
        // It had to wait for its time anyway.
        is_about(added(&[23 * MS], 5 * MS, 26 * MS), 1.0);
        // It came when its time was over.
        is_about(added(&[29 * MS], 5 * MS, 30 * MS), 1.0);
    }

    #[test]
    fn what_is_held_for_no_reason_is_added() {
        is_about(added(&[20 * MS], 5 * MS, 45 * MS), 20.0);
    }

    #[test]
    fn of_two_copies_the_first_counts_and_of_a_lost_packet_its_time() {
        is_about(added(&[21 * MS, 60 * MS], Duration::ZERO, 61 * MS), 40.0);
        is_about(added(&[], 40 * MS, 62 * MS), 2.0);
    }
}
