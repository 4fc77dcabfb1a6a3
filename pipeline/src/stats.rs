//! Counters and histograms that the audio thread writes and anyone may read, without locks.

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Buckets per doubling: the width of a bucket is an eighth of its value at most.
const PER_OCTAVE: usize = 8;
/// Doublings from 1 µs on: 2^26 µs are 67 s, longer than any age a live call can show.
const OCTAVES: usize = 26;
/// One linear bucket group for everything below 8 µs.
const BUCKETS: usize = PER_OCTAVE * (OCTAVES - 2);

/// Ages in logarithmic buckets from 1 µs to a minute, 12.5 % wide at most; about 800 bytes.
pub struct AgeHistogram {
    buckets: [AtomicU32; BUCKETS],
    count: AtomicU64,
    sum_ns: AtomicU64,
    max_ns: AtomicU64,
}

impl AgeHistogram {
    /// An empty histogram.
    pub const fn new() -> Self {
        Self {
            buckets: [const { AtomicU32::new(0) }; BUCKETS],
            count: AtomicU64::new(0),
            sum_ns: AtomicU64::new(0),
            max_ns: AtomicU64::new(0),
        }
    }

    /// Adds one age. Wait-free; may be called from the audio thread.
    pub fn record(&self, age: Duration) {
        let ns = age.as_nanos() as u64;
        self.buckets[bucket(ns / 1000)].fetch_add(1, Relaxed);
        self.count.fetch_add(1, Relaxed);
        self.sum_ns.fetch_add(ns, Relaxed);
        self.max_ns.fetch_max(ns, Relaxed);
    }

    /// The age that a share `q` (0 to 1) of all ages does not exceed, to the upper edge of its bucket and never
    /// above [`max`](Self::max). Zero when nothing was recorded.
    pub fn percentile(&self, q: f64) -> Duration {
        // The buckets are summed rather than trusting `count`: a writer may be between the two.
        let total: u64 = self.buckets.iter().map(|b| u64::from(b.load(Relaxed))).sum();
        if total == 0 {
            return Duration::ZERO;
        }
        let rank = ((q.clamp(0.0, 1.0) * total as f64).ceil() as u64).max(1);
        let mut seen = 0;
        for (i, bucket) in self.buckets.iter().enumerate() {
            seen += u64::from(bucket.load(Relaxed));
            if seen >= rank {
                return Duration::from_micros(upper_edge(i)).min(self.max());
            }
        }
        self.max()
    }

    /// How many ages do not exceed `age`, to the bucket that it falls in.
    pub fn at_most(&self, age: Duration) -> u64 {
        let last = bucket(u64::try_from(age.as_micros()).unwrap_or(u64::MAX));
        self.buckets[..=last].iter().map(|b| u64::from(b.load(Relaxed))).sum()
    }

    /// How many ages were recorded.
    pub fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }

    /// The largest age.
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.max_ns.load(Relaxed))
    }

    /// The mean age; zero when nothing was recorded.
    pub fn mean(&self) -> Duration {
        Duration::from_nanos(self.sum_ns.load(Relaxed).checked_div(self.count()).unwrap_or(0))
    }

    /// Adds everything that `other` holds.
    pub fn merge(&self, other: &Self) {
        for (mine, theirs) in self.buckets.iter().zip(&other.buckets) {
            mine.fetch_add(theirs.load(Relaxed), Relaxed);
        }
        self.count.fetch_add(other.count.load(Relaxed), Relaxed);
        self.sum_ns.fetch_add(other.sum_ns.load(Relaxed), Relaxed);
        self.max_ns.fetch_max(other.max_ns.load(Relaxed), Relaxed);
    }
}

impl Default for AgeHistogram {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for AgeHistogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgeHistogram")
            .field("count", &self.count())
            .field("p50", &self.percentile(0.5))
            .field("p99", &self.percentile(0.99))
            .field("max", &self.max())
            .finish()
    }
}

fn bucket(us: u64) -> usize {
    if us < PER_OCTAVE as u64 {
        return us as usize;
    }
    let octave = us.ilog2() as usize; // >= 3
    let within = (us >> (octave - 3)) as usize & (PER_OCTAVE - 1);
    ((octave - 2) * PER_OCTAVE + within).min(BUCKETS - 1)
}

/// The first microsecond that is no longer in the bucket.
fn upper_edge(bucket: usize) -> u64 {
    let next = bucket + 1;
    if next < PER_OCTAVE {
        return next as u64;
    }
    let octave = next / PER_OCTAVE + 2;
    ((PER_OCTAVE + next % PER_OCTAVE) as u64) << (octave - 3)
}

/// A counter that the audio thread increases and anyone reads.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// The value.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

/// What happened to one call's audio.
#[derive(Debug, Default)]
pub struct CallStats {
    /// Media frames taken from the caller.
    pub frames_in: Counter,
    /// Packets made for the model.
    pub packets_out: Counter,
    /// Packets taken from the model, whatever became of them.
    pub packets_in: Counter,
    /// Media frames made for the caller, 20 ms each.
    pub frames_out: Counter,
    /// Lost packets that were replaced by concealment.
    pub concealed: Counter,
    /// Milliseconds of audio made by concealment.
    pub concealed_ms: Counter,
    /// Lost packets that were recovered from their successor (Opus in-band FEC).
    pub fec: Counter,
    /// Packets that came after their place had been played.
    pub late: Counter,
    /// Packets and media frames that came twice.
    pub duplicate: Counter,
    /// Packets that came after a younger one and still in time.
    pub reordered: Counter,
    /// Packets dropped between a flush and the next `OpenDownlink`.
    pub muted: Counter,
    /// Frames and packets dropped because a queue was full, of either direction.
    pub dropped_full: Counter,
    /// Packets whose payload could not be decoded.
    pub decode_errors: Counter,
    /// Media frames the encoder refused; always 0 unless the codec library is broken.
    pub encode_errors: Counter,
    /// Gaps in the caller's media time.
    pub uplink_gaps: Counter,
    /// Packets of silence sent to the model in place of a caller whose line had stopped.
    pub silence_filled: Counter,
    /// Nanoseconds of delay that the jitter buffer added by waiting longer than planned.
    pub grown_ns: Counter,
    /// Nanoseconds of delay that the jitter buffer took back.
    pub shrunk_ns: Counter,
    target_us: AtomicU64,
    wait_us: AtomicU64,
    /// From a media frame's birth to its packet leaving the audio thread.
    pub uplink_age: AgeHistogram,
    /// From the moment a frame was due to it leaving the audio thread.
    pub downlink_age: AgeHistogram,
    /// From a packet's arrival to its first frame leaving the audio thread: what the jitter buffer adds.
    pub buffered: AgeHistogram,
}

impl CallStats {
    /// The delay that the jitter buffer aims at now, above the fastest path.
    pub fn target(&self) -> Duration {
        Duration::from_micros(self.target_us.load(Relaxed))
    }

    /// Of that, what it waits itself; the rest is spent at the far end.
    pub fn wait(&self) -> Duration {
        Duration::from_micros(self.wait_us.load(Relaxed))
    }

    pub(crate) fn set_target(&self, target: Duration, wait: Duration) {
        self.target_us.store(target.as_micros() as u64, Relaxed);
        self.wait_us.store(wait.as_micros() as u64, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_and_buckets_agree() {
        for i in 0..BUCKETS - 1 {
            let edge = upper_edge(i);
            assert_eq!(bucket(edge - 1), i, "below {edge}");
            assert_eq!(bucket(edge), i + 1, "at {edge}");
        }
        assert_eq!(bucket(u64::MAX / 1000), BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_within_an_eighth() {
        let histogram = AgeHistogram::new();
        for us in 1..=10_000 {
            histogram.record(Duration::from_micros(us));
        }
        for (q, exact) in [(0.5, 5_000.0), (0.95, 9_500.0), (0.99, 9_900.0)] {
            let got = histogram.percentile(q).as_micros() as f64;
            assert!(got >= exact && got <= exact * 1.126, "{q}: {got}");
        }
        assert_eq!(histogram.percentile(1.0), Duration::from_millis(10));
        assert_eq!((histogram.count(), histogram.max()), (10_000, Duration::from_millis(10)));
    }

    #[test]
    fn merging_adds() {
        let (a, b) = (AgeHistogram::new(), AgeHistogram::new());
        a.record(Duration::from_micros(10));
        b.record(Duration::from_millis(10));
        a.merge(&b);
        assert_eq!(a.count(), 2);
        assert_eq!(a.max(), Duration::from_millis(10));
        let at_most =
            [Duration::from_micros(9), Duration::from_micros(11), Duration::MAX].map(|age| a.at_most(age));
        assert_eq!(at_most, [0, 1, 2]);
        assert_eq!(AgeHistogram::new().percentile(0.5), Duration::ZERO);
    }
}
