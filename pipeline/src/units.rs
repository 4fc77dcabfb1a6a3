//! Units as types: a millisecond is never mistaken for a sample, nor a wrapped sequence number for a distance.

use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

/// A moment on the monotonic clock, in nanoseconds.
///
/// The whole bridge uses one such clock ([`crate::now`]); the pure parts are only ever handed values of it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanos(pub u64);

impl Nanos {
    /// Later than every moment: "no deadline".
    pub const MAX: Self = Self(u64::MAX);

    /// A moment `ms` milliseconds after the clock's origin.
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms * 1_000_000)
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub const fn saturating_sub(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This moment plus a signed number of nanoseconds, clamped to the clock's range.
    pub const fn offset(self, nanos: i64) -> Self {
        Self(self.0.saturating_add_signed(nanos))
    }

    /// Signed nanoseconds from `other` to this.
    pub const fn minus(self, other: Self) -> i64 {
        self.0.wrapping_sub(other.0) as i64
    }
}

/// Where the time comes from. The audio thread's is the monotonic clock; a test's is a number it sets.
pub trait Clock {
    /// The time.
    fn now(&self) -> Nanos;
}

impl Add<Duration> for Nanos {
    type Output = Self;
    fn add(self, later: Duration) -> Self {
        // 2^64 ns are 584 years: the cast loses nothing that can be waited for.
        Self(self.0.saturating_add(later.as_nanos() as u64))
    }
}

impl AddAssign<Duration> for Nanos {
    fn add_assign(&mut self, later: Duration) {
        *self = *self + later;
    }
}

impl Sub<Duration> for Nanos {
    type Output = Self;
    fn sub(self, earlier: Duration) -> Self {
        Self(self.0.saturating_sub(earlier.as_nanos() as u64))
    }
}

/// A sampling rate that occurs in a call. Opus works at each of them by itself (RFC 6716, 2).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SampleRate {
    /// 8 kHz: G.711, the telephone.
    #[default]
    Hz8000,
    /// 16 kHz: wideband L16 media.
    Hz16000,
    /// 24 kHz: wideband L16 media.
    Hz24000,
}

impl SampleRate {
    /// Samples in a second.
    pub const fn hz(self) -> u32 {
        match self {
            Self::Hz8000 => 8_000,
            Self::Hz16000 => 16_000,
            Self::Hz24000 => 24_000,
        }
    }

    /// The rate of that many samples in a second, if it is one of ours.
    pub const fn from_hz(hz: u32) -> Option<Self> {
        match hz {
            8_000 => Some(Self::Hz8000),
            16_000 => Some(Self::Hz16000),
            24_000 => Some(Self::Hz24000),
            _ => None,
        }
    }

    /// Samples in `ms` milliseconds.
    pub const fn samples(self, ms: u32) -> usize {
        (self.hz() / 1000 * ms) as usize
    }

    /// Media ticks (1/48000 s) in one sample.
    pub const fn ticks_per_sample(self) -> i64 {
        (Ticks::PER_SECOND as u32 / self.hz()) as i64
    }
}

/// A length or position in media time, in 1/48000 s: a whole number of samples at each of our rates, and Opus'
/// own RTP clock (RFC 7587, 4.1).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticks(pub i64);

impl Ticks {
    /// Ticks in a second.
    pub const PER_SECOND: i64 = 48_000;

    /// `ms` milliseconds.
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms * (Self::PER_SECOND / 1000))
    }

    /// The same length in nanoseconds, rounded down (a tick is 20 833⅓ ns).
    pub const fn nanos(self) -> i64 {
        self.0 * 62_500 / 3
    }

    /// The whole ticks in so many nanoseconds.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos * 3 / 62_500)
    }

    /// Whole samples of that length at `rate`; negative lengths give zero.
    pub const fn samples(self, rate: SampleRate) -> usize {
        if self.0 <= 0 { 0 } else { (self.0 / rate.ticks_per_sample()) as usize }
    }

    /// The length of `samples` at `rate`.
    pub const fn of_samples(samples: usize, rate: SampleRate) -> Self {
        Self(samples as i64 * rate.ticks_per_sample())
    }

    /// The length, none if negative.
    pub const fn duration(self) -> Duration {
        let nanos = self.nanos();
        Duration::from_nanos(if nanos < 0 { 0 } else { nanos as u64 })
    }
}

impl Add for Ticks {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl AddAssign for Ticks {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl Sub for Ticks {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

/// An RTP sequence number: counts packets modulo 2^16 (RFC 3550, 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeqNo(pub u16);

impl SeqNo {
    /// Signed packets from `other` to this, the short way round the circle.
    pub const fn since(self, other: Self) -> i16 {
        self.0.wrapping_sub(other.0) as i16
    }
}

/// An RTP timestamp: counts clock ticks modulo 2^32 (RFC 3550, 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtpTime(pub u32);

impl RtpTime {
    /// Signed ticks from `other` to this, the short way round the circle.
    pub const fn since(self, other: Self) -> i32 {
        self.0.wrapping_sub(other.0) as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_wrap_the_short_way() {
        assert_eq!(SeqNo(2).since(SeqNo(65_534)), 4);
        assert_eq!(SeqNo(65_534).since(SeqNo(2)), -4);
        assert_eq!(RtpTime(100).since(RtpTime(u32::MAX - 59)), 160);
    }

    #[test]
    fn ticks_are_whole_samples_at_each_rate() {
        for rate in [SampleRate::Hz8000, SampleRate::Hz16000, SampleRate::Hz24000] {
            assert_eq!(Ticks::from_millis(20).samples(rate), rate.samples(20));
            assert_eq!(Ticks::of_samples(rate.samples(20), rate), Ticks(960));
            assert_eq!(SampleRate::from_hz(rate.hz()), Some(rate));
        }
        assert_eq!(Ticks(960).nanos(), 20_000_000);
        assert_eq!(Ticks::from_nanos(20_000_000), Ticks(960));
        assert_eq!(Ticks(-5).samples(SampleRate::Hz8000), 0);
    }

    #[test]
    fn moments_saturate() {
        assert_eq!(Nanos(5).saturating_sub(Nanos(9)), Duration::ZERO);
        assert_eq!(Nanos(5) - Duration::from_secs(1), Nanos(0));
        assert_eq!(Nanos::MAX + Duration::from_secs(1), Nanos::MAX);
        assert_eq!(Nanos(5).offset(-9), Nanos(0));
    }
}
