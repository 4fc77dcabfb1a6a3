use super::*;

const MS: u64 = 1_000_000;
/// Arrival of media time 0, so that nothing is before the clock's origin.
const T0: u64 = 1_000;

/// A stream of 20 ms mu-law packets, and what a listener would note.
struct Rig {
    buffer: JitterBuffer,
    voiced: bool,
}

/// What was played, and when (ms, rounded).
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Heard {
    Packet(u16, u64),
    Conceal(i64, u64),
    Fec(i64, u64),
    Silence(i64, u64),
    Pause(u64),
}
use Heard::{Conceal, Fec, Pause, Silence};

impl Rig {
    fn new() -> Self {
        let start_delay = Duration::from_millis(1);
        Self::with(JitterConfig { start_delay, at_once: Duration::ZERO, ..JitterConfig::default() })
    }

    fn with(config: JitterConfig) -> Self {
        Self { buffer: JitterBuffer::new(config), voiced: true }
    }

    /// Packet `seq`, sent at `20 * seq` ms of media time, arriving at `at` ms.
    fn arrive(&mut self, seq: u16, at: u64) -> Arrival {
        self.arrive_as(seq, u32::from(seq) * 160, at, false)
    }

    fn arrive_as(&mut self, seq: u16, timestamp: u32, at: u64, marker: bool) -> Arrival {
        let born = Nanos::from_millis(T0 + at);
        let packet = Packet::new(born, ModelCodec::Pcmu, seq, timestamp, marker, &[0x80; 160]).unwrap();
        self.buffer.handle_packet(&packet)
    }

    /// Everything played up to `until` ms.
    fn play(&mut self, until: u64) -> Vec<Heard> {
        let mut heard = Vec::new();
        while let Some(due) = self.buffer.next_due().filter(|due| *due <= Nanos::from_millis(T0 + until)) {
            while let Some((at, playout)) = self.buffer.poll(due, self.voiced) {
                let at = (at.0 + MS / 2) / MS - T0;
                let cut = matches!(playout, Playout::Packet(_)) && !self.voiced;
                heard.push(match playout {
                    Playout::Packet(packet) => Heard::Packet(packet.seq, at),
                    Playout::Conceal(length) => Conceal(length.0 / 48, at),
                    Playout::Fec { lost, .. } => Fec(lost.0 / 48, at),
                    Playout::Silence(length) => Silence(length.0 / 48, at),
                    Playout::Pause => Pause(at),
                });
                // Silence is left out while the buffer is too deep.
                if cut && self.buffer.excess() > Ticks(0) {
                    self.buffer.handle_cut(Ticks(960), Ticks(0));
                }
            }
        }
        heard
    }

    /// `n` packets in time, so that the target is known and small; the next is `n`.
    fn settled(n: u16) -> Self {
        let mut rig = Self::new();
        for seq in 0..n {
            assert_eq!(rig.arrive(seq, u64::from(seq) * 20), Arrival::Queued);
            let at = u64::from(seq) * 20 + 1;
            assert_eq!(rig.play(at), [Heard::Packet(seq, at)]);
        }
        rig.buffer.take_counts();
        rig
    }
}

#[test]
fn packets_in_order_leave_a_millisecond_after_they_came() {
    Rig::settled(40);
}

#[test]
fn on_a_calm_path_packets_leave_as_they_come_but_those_after_a_hole() {
    let mut rig =
        Rig::with(JitterConfig { start_delay: Duration::from_millis(1), ..JitterConfig::default() });
    rig.arrive(0, 0);
    assert!(!rig.buffer.is_hungry());
    assert_eq!(rig.play(0), [], "the far end has nothing yet");
    assert_eq!(rig.play(1), [Heard::Packet(0, 1)]);
    for seq in 1..40 {
        assert!(rig.buffer.is_hungry(), "it wants to be told");
        let at = u64::from(seq) * 20;
        rig.arrive(seq, at);
        assert_eq!(rig.play(at), [Heard::Packet(seq, at)]);
    }
    assert!(rig.buffer.wait().is_zero() && !rig.buffer.target().is_zero());
    // 40 is lost. Nothing is made up before its time, and what follows waits for its own.
    assert_eq!(rig.play(800), []);
    assert_eq!(rig.play(810), [Conceal(20, 807)]);
    rig.arrive(41, 820);
    assert_eq!(rig.play(820), []);
    assert_eq!(rig.play(821), [Heard::Packet(41, 821)]);
    rig.arrive(42, 840);
    assert_eq!(rig.play(840), [Heard::Packet(42, 840)]);
}

#[test]
fn with_a_longer_delay_a_packet_waits_here() {
    let mut rig =
        Rig::with(JitterConfig { start_delay: Duration::from_millis(40), ..JitterConfig::default() });
    rig.arrive(0, 0);
    assert_eq!(rig.play(40), [Heard::Packet(0, 40)]);
    rig.arrive(1, 20);
    assert!(!rig.buffer.is_hungry());
    assert_eq!(rig.play(60), [Heard::Packet(1, 60)]);
    assert_eq!(rig.buffer.wait(), rig.buffer.target());
}

#[test]
fn an_overtaken_packet_waits_its_turn_once_such_delays_are_known() {
    let mut rig = Rig::settled(20);
    // 20 comes 25 ms late, overtaken by 21: too late this time, in time the next.
    rig.arrive(21, 420);
    assert_eq!(rig.play(424), [Conceal(20, 401), Heard::Packet(21, 421)]);
    assert_eq!(rig.arrive(20, 425), Arrival::Late);
    for seq in 22..30 {
        rig.arrive(seq, u64::from(seq) * 20);
    }
    assert_eq!(rig.play(610)[..2], [Heard::Packet(22, 466), Heard::Packet(23, 486)], "25 ms deeper");
    rig.arrive(31, 620);
    assert_eq!(rig.arrive(30, 625), Arrival::Reordered);
    assert_eq!(rig.play(660), [Heard::Packet(30, 626), Heard::Packet(31, 646)]);
}

#[test]
fn a_duplicate_is_played_once() {
    let mut rig = Rig::settled(20);
    assert_eq!(rig.arrive(20, 400), Arrival::Queued);
    assert_eq!(rig.arrive(20, 400), Arrival::Duplicate);
    assert_eq!(rig.arrive(19, 400), Arrival::Duplicate);
    assert_eq!(rig.play(410), [Heard::Packet(20, 401)]);
    assert_eq!(rig.arrive(20, 405), Arrival::Duplicate);
}

#[test]
fn one_lost_packet_is_one_packet_concealed() {
    let mut rig = Rig::settled(20);
    assert_eq!(rig.play(415), [Conceal(20, 407)], "it was held on for");
    rig.arrive(21, 420);
    assert_eq!(rig.play(430), [Heard::Packet(21, 421)], "it waits at the far end for what was made up");
    let counts = rig.buffer.take_counts();
    assert_eq!((counts.concealed, counts.concealed_ticks), (1, 960));
}

#[test]
fn what_follows_a_late_packet_goes_out_in_time_and_is_heard_as_late() {
    let mut rig = Rig::settled(3_000);
    assert!(!rig.buffer.is_hungry());
    assert_eq!(rig.play(60_002), [], "held on for");
    assert!(rig.buffer.is_hungry());
    rig.arrive(3_000, 60_005);
    assert_eq!(rig.play(60_005), [Heard::Packet(3_000, 60_005)]);
    let late = rig.buffer.excess();
    assert!((Ticks::from_millis(4)..=Ticks::from_millis(5)).contains(&late), "{late:?}");
    assert!(rig.buffer.is_hungry(), "the next may go out before it will be heard");
    for seq in 3_001..3_005 {
        let at = u64::from(seq) * 20;
        rig.arrive(seq, at);
        assert_eq!(rig.play(at), [], "not before its own time");
        assert_eq!(rig.play(at + 1), [Heard::Packet(seq, at + 1)]);
    }
    assert_eq!(rig.buffer.excess(), late, "what may be taken out");
    // One that is late by less than that makes no hole.
    assert_eq!(rig.play(60_103), []);
    rig.arrive(3_005, 60_103);
    assert_eq!(rig.play(60_103), [Heard::Packet(3_005, 60_103)]);
    assert_eq!(rig.buffer.excess(), late);
}

#[test]
fn a_long_loss_is_concealed_then_silent() {
    let mut rig = Rig::settled(20);
    // A jump of ten packets, all of whose time has yet to be played.
    rig.arrive(30, 400);
    let heard = rig.play(615);
    let ms = |of: fn(&Heard) -> Option<i64>| heard.iter().filter_map(of).sum::<i64>();
    assert_eq!(ms(|h| if let Conceal(ms, _) = h { Some(*ms) } else { None }), 120, "{heard:?}");
    assert_eq!(ms(|h| if let Silence(ms, _) = h { Some(*ms) } else { None }), 80, "{heard:?}");
    assert!(matches!(heard.last(), Some(Heard::Packet(30, _))), "{heard:?}");
    assert_eq!(rig.buffer.take_counts().concealed, 10);
}

#[test]
fn fault_36_a_stop_in_silence_conceals_nothing() {
    let mut rig = Rig::settled(20);
    rig.voiced = false;
    assert_eq!(rig.play(2_000), [Pause(401)]);
    assert_eq!(rig.buffer.next_due(), None, "nothing is due until a packet comes");
    // It resumes with its clock stopped…
    rig.arrive(20, 2_000);
    assert_eq!(rig.play(2_010), [Heard::Packet(20, 2_001)]);
    // …and later with its clock gone on.
    assert_eq!(rig.play(5_000), [Pause(2_021)]);
    rig.arrive_as(21, 21 * 160 + 24_000, 5_000, true);
    rig.arrive_as(22, 22 * 160 + 24_000, 5_020, false);
    assert_eq!(rig.play(5_030), [Heard::Packet(21, 5_001), Heard::Packet(22, 5_021)]);
    assert_eq!(rig.buffer.take_counts().concealed, 0);
    assert!(
        rig.buffer.target() <= Duration::from_millis(3),
        "a pause is not jitter: {:?}",
        rig.buffer.target()
    );
}

#[test]
fn a_stop_in_a_voice_rings_out_and_is_not_counted_as_loss() {
    let mut rig = Rig::settled(20);
    assert_eq!(rig.play(3_000), [Conceal(20, 407), Conceal(20, 427), Conceal(20, 447), Pause(467)]);
    rig.arrive(20, 3_000);
    assert_eq!(rig.play(3_010), [Heard::Packet(20, 3_001)]);
    assert_eq!(rig.buffer.take_counts(), JitterCounts::default());
}

#[test]
fn where_much_is_lost_what_is_missing_is_concealed_for_longer() {
    let mut rig = Rig::new();
    for seq in (0..60).filter(|seq| seq % 20 != 10) {
        rig.arrive(seq, u64::from(seq) * 20);
        rig.play(u64::from(seq) * 20 + 19);
    }
    let heard = rig.play(3_000);
    let made: Vec<_> = heard.iter().filter(|h| matches!(h, Conceal(..))).collect();
    assert_eq!(made.len(), 6, "120 ms: {heard:?}");
    assert!(matches!(heard.last(), Some(Pause(_))), "{heard:?}");
}

#[test]
fn a_marked_start_soon_after_a_stop_is_no_loss_either() {
    let mut rig = Rig::settled(20);
    assert_eq!(rig.play(410), [Conceal(20, 407)]);
    rig.arrive_as(20, 77_777, 440, true);
    assert_eq!(rig.play(442), [Heard::Packet(20, 441)]);
    assert_eq!(rig.buffer.take_counts().concealed, 0);
}

#[test]
fn a_timestamp_jump_without_a_pause_plays_on() {
    let mut rig = Rig::settled(20);
    for seq in 20..30 {
        rig.arrive_as(seq, u32::from(seq) * 160 + 3_000_000, u64::from(seq) * 20, false);
    }
    let heard = rig.play(600);
    assert_eq!(heard.len(), 10, "{heard:?}");
    assert!(matches!(heard[0], Heard::Packet(20, 401..=402)), "{heard:?}");
    assert!(matches!(heard[9], Heard::Packet(29, 581..=582)), "{heard:?}");
    assert_eq!(rig.buffer.take_counts().concealed, 0);
}

#[test]
fn sequence_and_timestamp_wrap() {
    let mut rig = Rig::new();
    for i in 0..40_u16 {
        let seq = 65_516_u16.wrapping_add(i);
        let timestamp = (u32::MAX - 2_000).wrapping_add(u32::from(i) * 160);
        rig.arrive_as(seq, timestamp, u64::from(i) * 20, false);
        assert_eq!(rig.play(u64::from(i) * 20 + 1), [Heard::Packet(seq, u64::from(i) * 20 + 1)]);
    }
}

#[test]
fn a_stall_grows_the_delay_and_time_shrinks_it() {
    let mut rig = Rig::settled(20);
    rig.voiced = false;
    // 80 ms late, then four at once, then as before.
    assert_eq!(rig.play(480), [Pause(401)]);
    for seq in 20..24 {
        rig.arrive(seq, 480);
    }
    let mut last = Vec::new();
    for seq in 24..2_000 {
        last = rig.play(u64::from(seq) * 20);
        rig.arrive(seq, u64::from(seq) * 20);
    }
    last.extend(rig.play(1_999 * 20 + 19));
    let delay = |heard: &[Heard]| match heard.last() {
        Some(Heard::Packet(seq, at)) => at - u64::from(*seq) * 20,
        other => panic!("{other:?}"),
    };
    assert!(delay(&last) <= 4, "{last:?}");
    let counts = rig.buffer.take_counts();
    assert_eq!((counts.concealed, counts.dropped), (0, 0), "late is not lost");
    assert!(counts.shrunk_ns >= 70 * MS);
}

#[test]
fn a_restarted_sender_is_taken_up_with_its_second_packet() {
    let mut rig = Rig::settled(20);
    rig.voiced = false;
    assert_eq!(rig.arrive_as(40_000, 5, 400, false), Arrival::Foreign);
    assert_eq!(rig.arrive_as(40_001, 165, 420, false), Arrival::Queued);
    assert_eq!(rig.play(425).last(), Some(&Heard::Packet(40_001, 421)));
    assert_eq!(rig.arrive_as(40_002, 325, 440, false), Arrival::Queued);
    assert_eq!(rig.play(445), [Heard::Packet(40_002, 441)]);
}

#[test]
fn the_delay_never_exceeds_its_limit() {
    let mut rig = Rig::settled(20);
    // Ten seconds of audio at once: what is too deep is dropped, the rest plays.
    for seq in 20..520 {
        rig.arrive(seq, 400);
    }
    assert!(rig.buffer.len() <= CAPACITY);
    let heard = rig.play(100_000);
    let packets = heard.iter().filter(|h| matches!(h, Heard::Packet(..))).count();
    assert!((10..=17).contains(&packets), "{packets} packets of 20 ms fit in 300 ms");
    assert!(rig.buffer.take_counts().dropped > 400);
}

#[test]
fn after_a_flush_whatever_comes_starts_anew() {
    let mut rig = Rig::settled(20);
    rig.arrive(20, 400);
    rig.buffer.clear();
    assert!(rig.buffer.is_empty());
    assert_eq!(rig.play(10_000), []);
    // A thousand packets later, most of them dropped by the caller.
    rig.arrive_as(1_020, 9_999, 20_000, false);
    assert_eq!(rig.play(20_010), [Heard::Packet(1_020, 20_001)]);
    assert_eq!(rig.buffer.take_counts().concealed, 0);
}

#[test]
fn codecs_may_mix() {
    let mut rig = Rig::settled(20);
    // Opus: a silent 20 ms CELT frame, on a clock that has nothing to do with the other's.
    let born = Nanos::from_millis(T0 + 400);
    let opus = Packet::new(born, ModelCodec::Opus, 20, 4_000_000_000, false, &[0b1001_1000, 0, 0]).unwrap();
    assert_eq!(rig.buffer.handle_packet(&opus), Arrival::Queued);
    rig.arrive(21, 420);
    assert_eq!(rig.play(425), [Heard::Packet(20, 401), Heard::Packet(21, 421)]);
}

#[test]
fn what_cannot_be_audio_is_malformed() {
    let mut rig = Rig::settled(20);
    for (codec, payload) in [(ModelCodec::Pcmu, &[][..]), (ModelCodec::Opus, &[]), (ModelCodec::Opus, &[3])] {
        let packet = Packet::new(Nanos::from_millis(T0 + 400), codec, 20, 3_200, false, payload).unwrap();
        assert_eq!(rig.buffer.handle_packet(&packet), Arrival::Malformed);
    }
    assert_eq!(rig.play(410), [Conceal(20, 407)]);
}

#[test]
fn fault_36_quiet_announced_by_dtx_is_no_loss() {
    let mut rig =
        Rig::with(JitterConfig { start_delay: Duration::from_millis(1), ..JitterConfig::default() });
    let mut send = |seq: u16, at: u64, payload: &[u8]| {
        let timestamp = at as u32 * 48;
        let born = Nanos::from_millis(T0 + at);
        rig.buffer
            .handle_packet(&Packet::new(born, ModelCodec::Opus, seq, timestamp, false, payload).unwrap());
        rig.play(at + 15)
    };
    for i in 0..12 {
        assert_eq!(send(i, u64::from(i) * 20, &[0b0000_1000, 1, 2, 3]).len(), 1);
    }
    // An empty frame every 400 ms, with the clock going on.
    for i in 12..16 {
        let heard = send(i, 240 + u64::from(i - 12) * 400, &[0b0000_1000]);
        assert!(matches!(heard.last(), Some(Heard::Packet(..))), "{heard:?}");
        assert!(heard.iter().all(|h| matches!(h, Heard::Packet(..) | Pause(_))), "{heard:?}");
    }
    assert_eq!(rig.buffer.take_counts().concealed, 0);
}

#[test]
fn what_comes_in_a_burst_after_a_stall_is_played_whole() {
    let mut rig = Rig::settled(40);
    // 200 ms of nothing while somebody speaks: 60 ms are made up, then it is waited for.
    assert_eq!(rig.play(999), [Conceal(20, 807), Conceal(20, 827), Conceal(20, 847), Pause(867)]);
    for seq in 40..51 {
        assert_eq!(rig.arrive(seq, 1_000), Arrival::Queued, "{seq}");
    }
    let heard = rig.play(1_219);
    assert_eq!(heard.len(), 11, "{heard:?}");
    assert!(
        heard.iter().zip(40..).all(|(h, seq)| matches!(h, Heard::Packet(s, _) if *s == seq)),
        "{heard:?}"
    );
    assert_eq!(rig.buffer.take_counts().concealed, 0, "nothing was lost");
    assert!(rig.buffer.excess() > Ticks::from_millis(150), "and the delay is as much longer");
}

#[test]
fn what_comes_after_it_was_made_up_is_played_unless_it_is_one_or_another_follows_it() {
    let mut rig = Rig::settled(40);
    assert_eq!(rig.play(830), [Conceal(20, 807), Conceal(20, 827)]);
    assert_eq!(rig.arrive(40, 831), Arrival::Queued);
    assert_eq!(rig.play(850), [Heard::Packet(40, 837)], "10 ms before it will be heard, no more");
    // One alone: what follows is as soon as it would have been.
    let mut rig = Rig::settled(3_000);
    assert_eq!(rig.play(60_010), [Conceal(20, 60_007)]);
    assert_eq!(rig.arrive(3_000, 60_011), Arrival::Late);
    rig.arrive(3_001, 60_020);
    assert_eq!(rig.play(60_030), [Heard::Packet(3_001, 60_021)]);
    let mut rig = Rig::settled(40);
    rig.arrive(41, 800);
    assert_eq!(rig.play(825), [Conceal(20, 801), Heard::Packet(41, 811)]);
    assert_eq!(rig.arrive(40, 826), Arrival::Late);
}

/// A path that is slower from now on costs a packet or two, and then it is the path.
#[test]
fn a_path_that_becomes_slower_is_followed() {
    for by in [3, 8, 15, 19, 35, 90] {
        let mut rig = Rig::settled(400);
        let mut heard = Vec::new();
        for seq in 400..500_u16 {
            heard.extend(rig.play(u64::from(seq) * 20 + by - 1));
            rig.arrive(seq, u64::from(seq) * 20 + by);
        }
        let played = heard.iter().filter(|h| matches!(h, Heard::Packet(..))).count();
        assert!(played >= 90, "{by} ms: {played} of 100");
    }
}

#[test]
fn what_is_left_out_makes_what_follows_due_so_much_sooner() {
    let mut rig = Rig::settled(3_000);
    rig.play(60_099);
    for seq in 3_000..3_006 {
        rig.arrive(seq, 60_100);
    }
    // 100 ms deeper; a quarter of the next packet is left out, so that the one after makes the frame whole.
    assert!(matches!(rig.play(60_101).last(), Some(Heard::Packet(..))));
    let due = rig.buffer.next_due().unwrap();
    let excess = rig.buffer.excess();
    rig.buffer.handle_cut(Ticks(240), Ticks(720));
    assert_eq!(
        rig.buffer.next_due().unwrap(),
        due - Duration::from_millis(20),
        "5 sooner, and 15 before its time"
    );
    assert_eq!(excess - rig.buffer.excess(), Ticks(240));
}
