use super::*;

const MS: Duration = Duration::from_millis(1);

/// A playout with a clock that its user moves.
struct Bench {
    playout: Playout,
    start: Instant,
    now: Instant,
    /// Frames given: when, since the start in ms, and the first byte of each.
    frames: Vec<(u64, u8)>,
    told: Vec<Out>,
}

impl Bench {
    fn new() -> Self {
        let now = Instant::now();
        let (frames, told) = (Vec::new(), Vec::new());
        Self { playout: Playout::default(), start: now, now, frames, told }
    }

    fn drain(&mut self) {
        while let Some(out) = self.playout.poll(self.now) {
            match out {
                Out::Frame { audio, .. } => {
                    self.frames.push(((self.now - self.start).as_millis() as u64, audio[0]));
                }
                other => self.told.push(other),
            }
        }
    }

    /// Lets time pass, waking exactly when the playout asks for it.
    fn pass(&mut self, ms: u32) {
        let until = self.now + MS * ms;
        self.drain();
        while let Some(due) = self.playout.poll_timeout().filter(|due| *due <= until) {
            assert!(due >= self.now || self.now - due < MS, "asked for a moment that has passed");
            self.now = self.now.max(due);
            self.drain();
        }
        self.now = until;
        self.drain();
    }

    /// A response whose sound of `ms` has come at once; each frame begins with its number.
    fn reply(&mut self, name: &str, ms: usize) {
        self.playout.handle_created(name.into(), true);
        self.delta(name, ms);
        self.playout.handle_audio_done(&format!("item of {name}"));
        self.playout.handle_done(self.now, name, false);
    }

    fn delta(&mut self, name: &str, ms: usize) {
        let audio = (0..ms * BYTES_PER_MS).map(|i| (i / FRAME_BYTES) as u8).collect();
        self.playout.handle_delta(name.into(), &format!("item of {name}"), audio);
    }

    fn interrupt(&mut self, heard_ms: Option<u32>) {
        self.playout.handle_interrupt(self.now, heard_ms);
        self.drain();
    }

    fn told(&mut self) -> Vec<Out> {
        std::mem::take(&mut self.told)
    }
}

fn started(name: &str) -> Out {
    Out::Started { response_id: name.into() }
}

fn stopped(name: &str) -> Out {
    Out::Stopped { response_id: name.into() }
}

fn cleared(name: &str) -> Out {
    Out::Cleared { response_id: name.into() }
}

fn truncated(name: &str, audio_end_ms: u64) -> Out {
    Out::Truncate { item_id: format!("item of {name}"), audio_end_ms }
}

#[test]
fn a_reply_leaves_at_the_pace_of_speech_with_a_lead() {
    let mut bench = Bench::new();
    bench.reply("a", 200);
    bench.pass(0);
    assert_eq!(bench.frames, [(0, 0), (0, 1)]);
    assert_eq!(bench.told(), [started("a")]);
    bench.pass(159);
    assert_eq!(bench.frames.last(), Some(&(140, 8)));
    assert!(bench.told().is_empty());
    bench.pass(1);
    assert_eq!(bench.frames.last(), Some(&(160, 9)));
    assert_eq!(bench.told(), [stopped("a")]);
    bench.pass(5_000);
    assert_eq!((bench.frames.len(), bench.told()), (10, Vec::new()));
}

#[test]
fn deltas_of_any_length_make_the_same_frames_and_the_last_is_filled_up() {
    let mut bench = Bench::new();
    bench.playout.handle_created("a".into(), true);
    for piece in [1, 0, 158, 3, 160, 79] {
        bench.playout.handle_delta("a".into(), "i", vec![7; piece]);
    }
    bench.pass(0);
    // 401 bytes: two frames, and a rest that waits for more.
    assert_eq!(bench.frames.len(), 2);
    bench.playout.handle_audio_done("i");
    bench.playout.handle_done(bench.now, "a", false);
    bench.pass(20);
    assert_eq!(bench.frames.len(), 3);
    assert_eq!(bench.told(), [started("a"), stopped("a")]);
    assert_eq!(bench.playout.held_bytes, 0);
}

#[test]
fn a_reply_that_is_made_too_slowly_pauses_and_goes_on_without_a_burst() {
    let mut bench = Bench::new();
    bench.playout.handle_created("a".into(), true);
    bench.delta("a", 100);
    bench.pass(500);
    assert_eq!((bench.frames.len(), bench.told()), (5, vec![started("a")]));
    bench.delta("a", 200);
    bench.pass(0);
    // The lead anew, not all that is overdue.
    assert_eq!(bench.frames.len(), 7);
    bench.pass(20);
    assert_eq!(bench.frames.len(), 8);
    // Paused, all that was given has been heard; then it is the lead again that was not.
    bench.interrupt(None);
    assert_eq!(bench.told(), [cleared("a"), truncated("a", 120)]);
}

#[test]
fn a_late_look_catches_up_and_a_very_late_one_does_not() {
    let mut bench = Bench::new();
    bench.reply("a", 3_000);
    bench.pass(0);
    bench.now += MS * 100;
    bench.drain();
    assert_eq!(bench.frames.len(), 7);
    bench.now += MS * 2_000;
    bench.drain();
    assert_eq!(bench.frames.len(), 9);
}

#[test]
fn an_interruption_drops_the_rest_and_tells_what_was_heard() {
    let mut bench = Bench::new();
    bench.playout.handle_created("a".into(), true);
    bench.delta("a", 4_000);
    bench.pass(1_000);
    bench.told();
    bench.interrupt(None);
    assert_eq!(bench.told(), [cleared("a"), truncated("a", 1_000)]);
    // Twice is once.
    bench.interrupt(None);
    bench.interrupt(Some(5));
    assert!(bench.told().is_empty());
    let frames = bench.frames.len();
    bench.pass(5_000);
    assert_eq!(bench.frames.len(), frames);
    // What still comes of it is not heard, the next one is.
    bench.delta("a", 100);
    bench.playout.handle_done(bench.now, "a", true);
    bench.reply("b", 40);
    bench.pass(100);
    assert_eq!((bench.frames.len(), bench.told()), (frames + 2, vec![started("b"), stopped("b")]));
}

#[test]
fn what_the_call_knows_goes_before_what_is_reckoned_within_what_was_given() {
    for (heard_ms, believed) in [(0, 0), (730, 730), (9_999, 1_040)] {
        let mut bench = Bench::new();
        bench.reply("a", 4_000);
        bench.pass(1_000);
        bench.told();
        bench.interrupt(Some(heard_ms));
        assert_eq!(bench.told(), [cleared("a"), truncated("a", believed)]);
    }
}

#[test]
fn nothing_is_truncated_before_its_first_sound_or_after_its_last() {
    let mut bench = Bench::new();
    bench.playout.handle_created("a".into(), true);
    bench.interrupt(None);
    assert!(bench.told().is_empty());
    bench.reply("b", 200);
    bench.pass(200);
    assert_eq!(bench.told(), [started("b"), stopped("b")]);
    bench.interrupt(None);
    assert!(bench.told().is_empty());
    // All was given, the lead was not heard yet.
    bench.reply("c", 200);
    bench.pass(190);
    assert_eq!(bench.told(), [started("c"), stopped("c")]);
    bench.interrupt(None);
    assert_eq!(bench.told(), [truncated("c", 190)]);
}

#[test]
fn what_the_server_cuts_stops_at_once_and_the_call_says_how_much_was_heard() {
    let mut bench = Bench::new();
    let cut = |bench: &mut Bench| {
        bench.playout.handle_created("a".into(), true);
        bench.delta("a", 2_000);
        bench.pass(300);
        bench.playout.handle_done(bench.now, "a", true);
        bench.pass(100);
    };
    cut(&mut bench);
    assert_eq!(bench.told(), [started("a"), cleared("a")]);
    assert_eq!(bench.frames.len(), 17);
    bench.interrupt(Some(280));
    assert_eq!(bench.told(), [truncated("a", 280)]);
    // A call that says nothing: what was reckoned when it was cut, before the next response.
    let mut bench = Bench::new();
    cut(&mut bench);
    bench.told();
    bench.reply("b", 40);
    bench.pass(0);
    assert_eq!(bench.told(), [truncated("a", 300), started("b"), stopped("b")]);
    // Cut before its first frame could be given: nobody has heard anything.
    let mut bench = Bench::new();
    bench.reply("x", 1_000);
    bench.playout.handle_created("a".into(), true);
    bench.delta("a", 2_000);
    bench.pass(100);
    bench.playout.handle_done(bench.now, "a", true);
    bench.pass(5_000);
    assert_eq!(bench.told(), [started("x"), truncated("a", 0), stopped("x")]);
}

#[test]
fn what_is_beside_the_conversation_is_not_truncated() {
    let mut bench = Bench::new();
    bench.playout.handle_created("a".into(), false);
    bench.delta("a", 1_000);
    bench.pass(100);
    bench.interrupt(None);
    assert_eq!(bench.told(), [started("a"), cleared("a")]);
}

#[test]
fn replies_follow_each_other_without_a_gap_and_each_is_told_of() {
    let mut bench = Bench::new();
    bench.reply("a", 100);
    bench.reply("b", 100);
    bench.pass(300);
    assert_eq!(bench.told(), [started("a"), stopped("a"), started("b"), stopped("b")]);
    let times: Vec<u64> = bench.frames.iter().map(|f| f.0).collect();
    assert_eq!(times, [0, 0, 20, 40, 60, 80, 100, 120, 140, 160]);
    // The interruption of the first drops the second unheard.
    bench.reply("c", 200);
    bench.reply("d", 200);
    bench.pass(100);
    bench.told();
    bench.interrupt(None);
    assert_eq!(bench.told(), [cleared("c"), truncated("c", 100), truncated("d", 0)]);
}

#[test]
fn ten_minutes_are_held_and_no_more() {
    let mut bench = Bench::new();
    bench.playout.handle_created("a".into(), true);
    for _ in 0..601 {
        bench.delta("a", 1_000);
    }
    assert_eq!(bench.playout.held_bytes, MAX_HELD_BYTES);
    assert_eq!(bench.playout.take_dropped(), 8_000);
    bench.pass(1_000);
    assert!(bench.playout.held_bytes < MAX_HELD_BYTES);
    bench.interrupt(None);
    assert_eq!(bench.playout.held_bytes, 0);
}
