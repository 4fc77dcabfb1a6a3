//! The pace of the model's RTP: absolute deadlines, its own sequence numbers and timestamps.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::codec::Codec;
use super::faults::{MediaFaults, Pause};
use super::unverified::{AfterPause, Idle, Unverified};

/// One packet, ready to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Sequence number, extended beyond 16 bits.
    pub(crate) sequence: u64,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) payload: Arc<[u8]>,
}

pub(crate) struct Pacer {
    unverified: Unverified,
    pause: Option<Pause>,
    malformed_every: Option<u32>,
    beat: Duration,
    step: u32,
    next: Option<Instant>,
    opened: Option<Instant>,
    sequence: u64,
    timestamp: u32,
    /// When the last packet was due, for timestamps after a pause.
    last: Option<Instant>,
    pause_taken: bool,
    silent: usize,
    packets: u32,
}

/// Payloads that no decoder may trip over: an empty one, a frame-count byte that lies, lengths beyond the packet, 120 ms of nothing, noise.
const MALFORMED: [&[u8]; 5] =
    [&[], &[0xff, 0x3f], &[0x7b, 0x83, 0xfe, 0xfe, 1, 2], &[0x1b, 0xbf], &[0xff; 40]];

impl Pacer {
    pub(crate) fn new(codec: Codec, unverified: &Unverified, faults: &MediaFaults, random: u32) -> Self {
        let frame = Duration::from_millis(unverified.frame_ms.into());
        Self {
            unverified: unverified.clone(),
            pause: faults.pause,
            malformed_every: faults.malformed_every,
            beat: frame.div_f64(faults.pace.clamp(0.01, 100.0)),
            step: codec.clock_hz() / 1000 * unverified.frame_ms,
            next: None,
            opened: None,
            sequence: u64::from(random & 0x7fff),
            timestamp: random,
            last: None,
            pause_taken: false,
            silent: 0,
            packets: 0,
        }
    }

    /// The data channel is open: from now on there may be sound.
    pub(crate) fn open(&mut self, now: Instant) {
        if self.opened.is_none() {
            self.opened = Some(now);
            if self.unverified.idle == Idle::Silence {
                self.next = Some(now);
            }
        }
    }

    /// There is sound to send: beat at once if the stream stands still.
    pub(crate) fn wake(&mut self, now: Instant) {
        if self.next.is_none() && self.opened.is_some() {
            self.next = Some(now);
        }
    }

    /// When the next beat is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// The beat due at `now`, if any: the moment it was due at. A configured pause moves the beats behind it.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Instant> {
        let due = self.next.filter(|at| *at <= now)?;
        if let (Some(pause), Some(opened), false) = (self.pause, self.opened, self.pause_taken)
            && due >= opened + pause.at
        {
            self.pause_taken = true;
            self.next = Some(due + pause.length);
            return None;
        }
        self.next = Some(due + self.beat);
        Some(due)
    }

    /// A packet of speech for the beat that was due at `due`.
    pub(crate) fn speech(&mut self, due: Instant, payload: Arc<[u8]>, first: bool) -> Frame {
        let idle = self.last.map(|last| due.saturating_duration_since(last + self.beat));
        let stopped = idle.is_none_or(|idle| idle >= self.beat);
        if let Some(idle) = idle.filter(|_| self.unverified.after_pause == AfterPause::WallClock) {
            let beats = (idle.as_secs_f64() / self.beat.as_secs_f64()).round() as u32;
            self.timestamp = self.timestamp.wrapping_add(beats.wrapping_mul(self.step));
        }
        self.packets += 1;
        let malformed = self.malformed_every.is_some_and(|n| self.packets.is_multiple_of(n.max(1)));
        let payload = match malformed {
            true => Arc::from(MALFORMED[self.packets as usize / 2 % MALFORMED.len()]),
            false => payload,
        };
        let marker = self.unverified.marker && (first || stopped);
        self.frame(due, payload, marker)
    }

    /// The beat found nothing to say: a packet of silence, or the end of the stream for now.
    pub(crate) fn nothing(&mut self, due: Instant, silence: &[Arc<[u8]>]) -> Option<Frame> {
        if self.unverified.idle == Idle::Stop || silence.is_empty() {
            self.next = None;
            return None;
        }
        self.silent = (self.silent + 1) % silence.len();
        Some(self.frame(due, Arc::clone(&silence[self.silent]), false))
    }

    fn frame(&mut self, due: Instant, payload: Arc<[u8]>, marker: bool) -> Frame {
        let frame = Frame { sequence: self.sequence, timestamp: self.timestamp, marker, payload };
        self.sequence += 1;
        self.timestamp = self.timestamp.wrapping_add(self.step);
        self.last = Some(due);
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pacer(unverified: Unverified, faults: &MediaFaults) -> (Pacer, Instant) {
        let now = Instant::now();
        let mut pacer = Pacer::new(Codec::Opus, &unverified, faults, 1_000);
        pacer.open(now);
        (pacer, now)
    }

    fn payload() -> Arc<[u8]> {
        Arc::from(&[1u8, 2][..])
    }

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn beats_keep_to_their_schedule_however_late_they_are_asked() {
        let (mut pacer, start) = pacer(Unverified::default(), &MediaFaults::default());
        assert_eq!(pacer.due(start), None);
        pacer.wake(start);
        assert_eq!(pacer.due(start + 3 * MS), Some(start));
        assert_eq!(pacer.due(start + 19 * MS), None);
        assert_eq!(pacer.due(start + 45 * MS), Some(start + 20 * MS));
        assert_eq!(pacer.due(start + 45 * MS), Some(start + 40 * MS));
        assert_eq!(pacer.due(start + 45 * MS), None);
    }

    #[test]
    fn a_pause_shows_in_the_timestamp_or_not_and_the_sequence_never_skips() {
        for (after_pause, expected) in [(AfterPause::WallClock, 960 * 50), (AfterPause::Continuous, 960)] {
            let (mut pacer, start) =
                pacer(Unverified { after_pause, ..Unverified::default() }, &MediaFaults::default());
            let first = pacer.speech(start, payload(), true);
            assert!(pacer.nothing(start + 20 * MS, &[]).is_none());
            assert_eq!(pacer.next(), None);
            let second = pacer.speech(start + 1_000 * MS, payload(), true);
            assert_eq!(second.timestamp - first.timestamp, expected);
            assert_eq!(second.sequence - first.sequence, 1);
            assert!(first.marker && second.marker);
            let third = pacer.speech(start + 1_020 * MS, payload(), false);
            assert_eq!((third.timestamp - second.timestamp, third.marker), (960, false));
        }
    }

    #[test]
    fn silence_keeps_the_beat() {
        let silent = Unverified { idle: Idle::Silence, ..Unverified::default() };
        let (mut pacer, start) = pacer(silent, &MediaFaults::default());
        let due = pacer.due(start).expect("beats from the start");
        let frame = pacer.nothing(due, &[payload()]).expect("a silent packet");
        let due = pacer.due(start + 20 * MS).expect("and goes on");
        assert_eq!(pacer.speech(due, payload(), true).timestamp - frame.timestamp, 960);
    }

    #[test]
    fn faults_pause_hurry_and_spoil() {
        let pause = Some(Pause { at: 100 * MS, length: 1_000 * MS });
        let (mut slow, start) =
            pacer(Unverified::default(), &MediaFaults { pause, ..MediaFaults::default() });
        slow.wake(start + 100 * MS);
        assert_eq!(slow.due(start + 100 * MS), None);
        assert_eq!(slow.due(start + 1_099 * MS), None);
        assert_eq!(slow.due(start + 1_100 * MS), Some(start + 1_100 * MS));
        let faults = MediaFaults { pace: 2.0, malformed_every: Some(2), ..MediaFaults::default() };
        let (mut quick, start) = pacer(Unverified::default(), &faults);
        quick.wake(start);
        assert_eq!(quick.due(start), Some(start));
        assert_eq!(quick.due(start + 10 * MS), Some(start + 10 * MS));
        assert_eq!(quick.speech(start, payload(), true).payload, payload());
        assert_ne!(quick.speech(start + 10 * MS, payload(), false).payload, payload());
    }
}
