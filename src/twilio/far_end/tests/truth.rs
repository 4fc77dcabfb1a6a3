//! What really happens: a path each way and a queue that is played by a clock of its own, in steps of 1 ms.

use std::fmt;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::*;

/// A path, in both directions alike. Order is kept, as TCP does.
#[derive(Debug, Clone, Default)]
pub struct Path {
    pub one_way: Duration,
    /// Uniform, on top.
    pub jitter: Duration,
    /// Every so often nothing arrives for so long: on the way there, then, half a period later, on the way back.
    pub stalls: Vec<(Duration, Duration)>,
}

/// What is sent.
#[derive(Debug, Clone)]
pub struct Script {
    pub seed: u64,
    pub path: Path,
    pub seconds: u64,
    /// How much faster than ours Twilio's clock is.
    pub drift_ppm: i64,
    pub lost_marks: f64,
    /// The sender leaves out a frame when the model says that more than this waits.
    pub leave_out_above: Option<Duration>,
    /// Replies of some seconds with pauses and interruptions, or one without end.
    pub pauses: bool,
    /// The caller's line sends sound, as all but muted ones do.
    pub caller: bool,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            seed: 0,
            path: Path::default(),
            seconds: 60,
            drift_ppm: 0,
            lost_marks: 0.0,
            leave_out_above: None,
            pauses: true,
            caller: true,
        }
    }
}

/// How near the model came.
#[derive(Debug, Default)]
pub struct Score {
    /// Share of the frames, of those too that pauses leave out.
    pub within_20_ms: f64,
    pub worst: Duration,
    /// Of the truth.
    pub deepest: Duration,
    pub left_out: u32,
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { within_20_ms, worst, deepest, left_out } = self;
        write!(
            f,
            "{:.2} % within 20 ms, worst {worst:?}, deepest {deepest:?}, {left_out} left out",
            within_20_ms * 100.0
        )
    }
}

#[derive(Debug, Clone)]
enum Item {
    Frame,
    Mark(String),
    Clear,
    Ping(u64),
    /// The caller's sound, spoken then.
    Caller(u64),
}

/// One direction: what arrives when.
struct Wire {
    path: Path,
    /// Added to the time before it is looked whether the path stands still.
    shift: Duration,
    rng: SmallRng,
    items: VecDeque<(u64, Item)>,
    last: u64,
}

impl Wire {
    fn new(path: &Path, shift: Duration, seed: u64) -> Self {
        let rng = SmallRng::seed_from_u64(seed);
        Self { path: path.clone(), shift, rng, items: VecDeque::new(), last: 0 }
    }

    fn send(&mut self, now: u64, item: Item) {
        let jitter = self.path.jitter.mul_f64(self.rng.random::<f64>());
        let mut arrives = now + (self.path.one_way + jitter).as_nanos() as u64;
        for (every, lasting) in &self.path.stalls {
            let phase = (arrives + self.shift.as_nanos() as u64) % every.as_nanos() as u64;
            if phase < lasting.as_nanos() as u64 {
                arrives += lasting.as_nanos() as u64 - phase;
            }
        }
        self.last = self.last.max(arrives);
        self.items.push_back((self.last, item));
    }

    fn arrived(&mut self, now: u64) -> Option<Item> {
        self.items.pop_front_if(|(at, _)| *at <= now).map(|(_, item)| item)
    }
}

/// Plays what has arrived: the documented behaviour and nothing more.
struct Player {
    queue: VecDeque<Item>,
    sounding: bool,
    next_beat: u64,
    beat: u64,
}

impl Player {
    /// Marks to echo.
    fn arrive(&mut self, item: Item) -> Vec<Item> {
        match item {
            Item::Clear => {
                let marks = self.queue.drain(..).filter(|item| matches!(item, Item::Mark(_)));
                marks.collect()
            }
            Item::Mark(_) if self.queue.is_empty() && !self.sounding => vec![item],
            Item::Ping(_) => vec![item],
            _ => {
                self.queue.push_back(item);
                Vec::new()
            }
        }
    }

    fn play(&mut self, now: u64) -> Vec<Item> {
        let mut due = Vec::new();
        while self.next_beat <= now {
            self.next_beat += self.beat;
            self.sounding = false;
            while let Some(mark) = self.queue.pop_front_if(|item| matches!(item, Item::Mark(_))) {
                due.push(mark);
            }
            self.sounding = self.queue.pop_front().is_some();
        }
        due
    }

    fn depth(&self, now: u64) -> Duration {
        let frames = self.queue.iter().filter(|item| matches!(item, Item::Frame)).count() as u64;
        if frames == 0 && !self.sounding {
            return Duration::ZERO;
        }
        Duration::from_nanos(self.next_beat.saturating_sub(now) + frames * self.beat)
    }
}

/// Plays a script and compares, whenever a frame may be written, what the model says is before it with what is there when it gets there.
pub fn run(script: &Script) -> Score {
    let mut rng = SmallRng::seed_from_u64(script.seed);
    let beat = (20_000_000 - 20 * script.drift_ppm) as u64;
    let mut player =
        Player { queue: VecDeque::new(), sounding: false, next_beat: rng.random_range(0..20_000_000), beat };
    let half = script.path.stalls.first().map_or(Duration::ZERO, |(every, _)| *every / 2);
    let mut there = Wire::new(&script.path, Duration::ZERO, script.seed + 1);
    let mut back = Wire::new(&script.path, half, script.seed + 2);
    let mut far = FarEnd::new(SampleRate::Hz8000);
    let (mut said, mut truth) = (Vec::new(), Vec::new());
    let mut score = Score::default();

    let begin = 1_000u64;
    let phase = rng.random_range(0..1_000_000);
    let (mut speaking_until, mut next_reply) = (begin, begin);
    let (mut frames, mut unmarked, mut last_frame, mut generation) = (0u32, 0u32, 0u64, 0u32);
    for ms in begin..begin + script.seconds * 1000 {
        let now = ms * 1_000_000 + phase;
        let moment = Nanos(now);
        said.push(far.depth(moment));
        truth.push(player.depth(now));
        if (ms - begin).is_multiple_of(10_000) {
            there.send(now, Item::Ping(now));
        }
        if ms >= next_reply {
            let (reply, pause) = match script.pauses {
                true => (rng.random_range(300..8_000), rng.random_range(0..3_000)),
                false => (u64::MAX / 4, 0),
            };
            speaking_until = ms + reply;
            next_reply = speaking_until + pause;
            // Some replies are cut off, and the next begins at once.
            if script.pauses && rng.random_bool(0.3) {
                there.send(now, Item::Clear);
                far.clear(moment);
                (generation, frames, unmarked) = (generation + 1, 0, 0);
            }
        }
        let frame_due = ms < speaking_until && (ms - begin).is_multiple_of(20);
        if frame_due && script.leave_out_above.is_some_and(|most| far.depth(moment) > most) {
            score.left_out += 1;
        } else if frame_due {
            there.send(now, Item::Frame);
            far.frame(FRAME, moment);
            (frames, unmarked, last_frame) = (frames + 1, unmarked + 1, ms);
        }
        if unmarked >= 8 || (unmarked > 0 && ms >= last_frame + 60) {
            unmarked = 0;
            let name = format!("g{generation}:{frames}");
            far.mark(name.clone(), moment);
            there.send(now, Item::Mark(name));
        }
        while let Some(item) = there.arrived(now) {
            player.arrive(item).into_iter().for_each(|echo| back.send(now, echo));
        }
        player.play(now).into_iter().for_each(|echo| back.send(now, echo));
        if script.caller && (ms - begin) % 20 == 7 {
            back.send(now, Item::Caller(ms - begin));
        }
        while let Some(item) = back.arrived(now) {
            match item {
                Item::Caller(time) => far.caller(time * 8, moment),
                Item::Ping(sent) => far.pinged(Duration::from_nanos(now - sent), moment),
                Item::Mark(name) if !rng.random_bool(script.lost_marks) => {
                    far.echoed("forged", moment);
                    assert!(far.echoed(&name, moment));
                }
                _ => {}
            }
        }
    }
    let there_ms = script.path.one_way.as_millis() as usize;
    let frames = said.iter().zip(&truth[there_ms..]).step_by(20);
    let errors: Vec<Duration> = frames.map(|(said, truth)| said.abs_diff(*truth)).collect();
    let near = errors.iter().filter(|error| **error <= Duration::from_millis(20)).count();
    score.within_20_ms = near as f64 / errors.len() as f64;
    score.worst = errors.into_iter().max().unwrap_or_default();
    score.deepest = truth.into_iter().max().unwrap_or_default();
    score
}
