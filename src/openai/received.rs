//! How far the model's sound has come, on its own clock: what of it was sent, and where the present reply began.

use std::sync::Mutex;
use std::time::Duration;

use pipeline::{FRAME_MS, ModelCodec, Nanos, Packet, Ticks, opus};

/// A stream that has stopped for so long begins anew: packets of one reply follow each other within 60 ms.
const STOPPED: Duration = Duration::from_millis(80);
/// The event that a reply begins to sound may come so much later than its first packet.
const EVENT_LAG: Duration = Duration::from_millis(250);

/// Written by the leg's task, read by the call's.
#[derive(Debug, Default)]
pub struct Received(Mutex<Place>);

/// A place in the model's sound.
#[derive(Debug, Clone, Copy, Default)]
pub struct Place {
    /// RTP time behind the last packet, and when that came.
    last: Option<(u32, Nanos)>,
    clock: u32,
    /// RTP time of the first packet after a stop, and when it came.
    began: Option<(u32, Nanos)>,
    /// RTP time at which the present reply began.
    reply: Option<u32>,
    /// The reply was announced, its first packet has not come.
    announced: bool,
}

impl Received {
    /// A packet of the model's came.
    pub fn handle_packet(&self, packet: &Packet<impl AsRef<[u8]>>) {
        let mut place = self.lock();
        let stopped = place.last.is_none_or(|(_, at)| packet.born.saturating_sub(at) >= STOPPED);
        if stopped || packet.marker {
            place.began = Some((packet.timestamp, packet.born));
            if std::mem::take(&mut place.announced) {
                place.reply = Some(packet.timestamp);
            }
        }
        place.clock = packet.codec.rtp_clock();
        let end = packet.timestamp.wrapping_add(length(packet));
        // One that was overtaken ends no later than the other.
        let ahead = |(last, _): (u32, Nanos)| (end.wrapping_sub(last) as i32) > 0;
        if stopped || place.last.is_none_or(ahead) {
            place.last = Some((end, packet.born));
        }
    }

    /// The server says at `now` that a reply begins to sound. Its packets come by another way, a little before or after.
    pub fn reply_begins(&self, now: Nanos) {
        let mut place = self.lock();
        let flows = place.last.is_some_and(|(_, at)| now.saturating_sub(at) < STOPPED);
        let lately = place.began.filter(|(_, at)| now.saturating_sub(*at) < EVENT_LAG);
        place.announced = false;
        place.reply = match (lately, flows) {
            (Some((began, _)), _) => Some(began),
            // A stream of silence becomes one of speech without a sign.
            (None, true) => place.last.map(|(end, _)| end),
            (None, false) => {
                place.announced = true;
                None
            }
        };
    }

    /// Where it stands.
    pub fn place(&self) -> Place {
        *self.lock()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Place> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Place {
    /// What of the sound up to here is not heard by a caller for whom it ended with the frame that begins at `source`, played or not;
    /// and what he heard of the present reply. `None` if nothing has come, or the two have nothing to do with each other.
    pub fn unheard(&self, source: u32, whole: bool) -> Option<(Duration, Option<Duration>)> {
        let (end, _) = self.last?;
        let frame = if whole { self.clock / 1000 * FRAME_MS } else { 0 };
        let mut heard_to = source.wrapping_add(frame);
        // What he heard last was of an earlier reply.
        if let Some(reply) = self.reply
            && (heard_to.wrapping_sub(reply) as i32) < 0
        {
            heard_to = reply;
        }
        let heard = self.reply.map(|reply| self.time(heard_to.wrapping_sub(reply)));
        let unheard = end.wrapping_sub(heard_to) as i32;
        // The last frame may be longer than what came.
        Some((self.time(unheard.max(0) as u32), heard))
    }

    /// The same for one who has heard nothing of it.
    pub fn unheard_at_all(&self) -> Option<(Duration, Option<Duration>)> {
        let (end, _) = self.last?;
        Some((self.time(end.wrapping_sub(self.reply?)), Some(Duration::ZERO)))
    }

    fn time(&self, ticks: u32) -> Duration {
        Duration::from_secs_f64(f64::from(ticks) / f64::from(self.clock.max(1)))
    }
}

/// On the codec's RTP clock.
fn length(packet: &Packet<impl AsRef<[u8]>>) -> u32 {
    match packet.codec {
        ModelCodec::Opus => {
            opus::packet_duration(packet.payload()).unwrap_or(Ticks::from_millis(FRAME_MS.into())).0 as u32
        }
        ModelCodec::Pcmu | ModelCodec::Pcma => packet.payload().len() as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(at_ms: u64, timestamp: u32) -> Packet {
        Packet::new(Nanos::from_millis(at_ms), ModelCodec::Pcmu, 0, timestamp, false, &[0xff; 160]).unwrap()
    }

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn a_reply_begins_with_the_first_packet_after_a_stop_whichever_comes_first() {
        for event_first in [true, false] {
            let received = Received::default();
            received.handle_packet(&packet(0, 0));
            if event_first {
                received.reply_begins(Nanos::from_millis(995));
            }
            for n in 0..50 {
                received.handle_packet(&packet(1_000 + n * 20, 8_000 + n as u32 * 160));
            }
            if !event_first {
                received.reply_begins(Nanos::from_millis(1_030));
            }
            let place = received.place();
            // The 46th frame was the last to be heard.
            let unheard = place.unheard(8_000 + 45 * 160, true);
            if event_first {
                assert_eq!(unheard, Some((MS(80), Some(MS(920)))));
            } else {
                assert_eq!(place.unheard(0, true).map(|(unheard, _)| unheard), Some(MS(1_000)));
            }
        }
    }

    #[test]
    fn in_a_stream_that_never_stops_it_begins_where_the_event_comes() {
        let received = Received::default();
        for n in 0..100 {
            if n == 50 {
                received.reply_begins(Nanos::from_millis(n * 20));
            }
            received.handle_packet(&packet(n * 20, n as u32 * 160));
        }
        let place = received.place();
        assert_eq!(place.unheard(97 * 160, true), Some((MS(40), Some(MS(960)))));
        assert_eq!(place.unheard_at_all(), Some((MS(1_000), Some(MS(0)))));
    }

    #[test]
    fn nothing_is_said_of_what_is_not_known() {
        assert_eq!(Received::default().place().unheard(5, true), None);
        let received = Received::default();
        received.handle_packet(&packet(0, u32::MAX - 79));
        assert_eq!(received.place().unheard(u32::MAX - 79, false), Some((MS(20), None)));
        assert_eq!(received.place().unheard_at_all(), None);
    }
}
