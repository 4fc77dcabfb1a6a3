//! Finds a [`Score`] in what is heard, frame for frame and to the sample.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::{FRAME, SYMBOLS, Score, WORD};

/// Likeness from which a noise counts as heard. Lower takes concealment and chance for frames; higher misses what Opus makes of the first
/// frames behind a pause. Where nothing is expected, four in a row must be like noises that follow each other.
const EXPECTED: f32 = 0.5;
/// Mean square below which nobody speaks: −50 dBFS.
const SILENCE: f32 = 10_000.0;
/// Noises missing in a row until the place is looked for anew.
const MISSES: u32 = 2;
/// A place so many frames away from where it should be is another reply's, not a jump within one.
const ELSEWHERE: i64 = 200;
/// Samples kept: 400 ms.
const KEPT: usize = 20 * FRAME;

/// A frame that was heard.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sighting {
    /// Its place in the recording.
    pub frame: usize,
    /// When the piece of sound that it begins in arrived.
    pub at: Instant,
    /// How far into that piece it begins, samples.
    pub shift: usize,
}

/// What a listener makes of the sound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Heard {
    /// A frame.
    Frame(Sighting),
    /// So many frames had something else in their place.
    Concealed(u64),
    /// So many frames were left out.
    Lost(u64),
    /// So many frames came again.
    Repeated(u64),
    /// The sound was shortened or stretched by less than a frame.
    Splice,
    /// Another place of the recording: a new reply.
    Elsewhere,
}

#[derive(Debug, Clone, Copy)]
struct Lock {
    /// The frame expected next, and where it begins.
    frame: usize,
    at: u64,
    misses: u32,
}

/// Listens to one stream.
pub struct Listener {
    score: Arc<Score>,
    samples: Vec<f32>,
    /// Number of the first sample kept.
    start: u64,
    /// Where pieces begin and when they came.
    pieces: VecDeque<(u64, Instant)>,
    lock: Option<Lock>,
    /// The last frame seen and where it began.
    last: Option<(usize, u64)>,
}

impl Listener {
    /// Nothing heard yet.
    pub fn new(score: Arc<Score>) -> Self {
        Self {
            score,
            samples: Vec::with_capacity(2 * KEPT),
            start: 0,
            pieces: VecDeque::new(),
            lock: None,
            last: None,
        }
    }

    /// The frame seen last.
    pub fn last(&self) -> Option<usize> {
        self.last.map(|(frame, _)| frame)
    }

    /// What was heard so far does not go on: a reply was cut off.
    pub fn forget(&mut self) {
        self.lock = None;
        self.drop_until(self.end());
    }

    /// Takes a piece of 8 kHz sound that arrived at `at`; `tell` hears what it brings. A frame is known once all of it is there, so a
    /// frame that does not begin with a piece is told with the next one.
    pub fn hear(&mut self, samples: impl IntoIterator<Item = i16>, at: Instant, mut tell: impl FnMut(Heard)) {
        self.pieces.push_back((self.end(), at));
        self.samples.extend(samples.into_iter().map(f32::from));
        loop {
            let went_on = match self.lock {
                Some(lock) => self.follow(lock, &mut tell),
                None => self.search(&mut tell),
            };
            if !went_on {
                break;
            }
        }
        let surplus = self.samples.len().saturating_sub(KEPT);
        self.drop_until(self.start + surplus as u64);
    }

    fn end(&self) -> u64 {
        self.start + self.samples.len() as u64
    }

    fn at(&self, place: u64) -> &[f32] {
        &self.samples[(place - self.start) as usize..]
    }

    fn drop_until(&mut self, place: u64) {
        let n = place.saturating_sub(self.start).min(self.samples.len() as u64);
        self.samples.drain(..n as usize);
        self.start += n;
        while self.pieces.get(1).is_some_and(|(begin, _)| *begin <= self.start) {
            self.pieces.pop_front();
        }
    }

    /// Looks for the frame that should follow. Says whether there was enough to look at.
    fn follow(&mut self, lock: Lock, tell: &mut impl FnMut(Heard)) -> bool {
        if self.end() < lock.at + FRAME as u64 + 1 {
            return false;
        }
        let Some(symbol) = self.score.symbol(lock.frame) else {
            // A pause may be cut or stretched: what comes behind it is looked for.
            self.lock = None;
            self.drop_until(lock.at);
            return true;
        };
        // Clocks drift: a sample either way.
        let likeness = |at: u64| self.score.likeness(symbol, self.at(at));
        let (mut at, mut best) = (lock.at, likeness(lock.at));
        if lock.misses == 0 {
            for near in [lock.at.saturating_sub(1).max(self.start), lock.at + 1] {
                let other = likeness(near);
                if other > best + 0.02 {
                    (at, best) = (near, other);
                }
            }
        }
        let next = (lock.frame + 1) % self.score.frames();
        if best >= EXPECTED {
            self.see(lock.frame, at, tell);
            self.lock = Some(Lock { frame: next, at: at + FRAME as u64, misses: 0 });
        } else if lock.misses + 1 < MISSES {
            self.lock = Some(Lock { frame: next, at: lock.at + FRAME as u64, misses: lock.misses + 1 });
        } else {
            // From behind the last frame that was seen.
            self.lock = None;
            let from = self.last.map_or(lock.at, |(_, at)| at + FRAME as u64);
            self.drop_until(from.min(lock.at));
        }
        true
    }

    /// Looks for any word from the beginning of what is kept.
    fn search(&mut self, tell: &mut impl FnMut(Heard)) -> bool {
        let needed = FRAME * (WORD + 1) + 2;
        if self.samples.len() < needed {
            return false;
        }
        let energy: f32 = self.samples[..FRAME].iter().map(|s| s * s).sum::<f32>() / FRAME as f32;
        if energy < SILENCE {
            self.drop_until(self.start + FRAME as u64 / 2);
            return true;
        }
        let mut best = (0, 0.0);
        for offset in 0..FRAME {
            let likeness =
                (0..SYMBOLS).map(|s| self.score.likeness(s, &self.samples[offset..])).fold(0.0, f32::max);
            if likeness > best.1 {
                best = (offset, likeness);
            }
        }
        let found = (best.1 >= EXPECTED).then(|| self.word(best.0)).flatten();
        match found {
            Some(frame) => {
                let at = self.start + best.0 as u64;
                self.resume(frame, at, tell);
                self.lock = Some(Lock { frame, at, misses: 0 });
            }
            None => self.drop_until(self.start + FRAME as u64),
        }
        true
    }

    /// The place of the word that begins `offset` samples into what is kept.
    fn word(&self, offset: usize) -> Option<usize> {
        let mut word = [0; WORD];
        for (i, symbol) in word.iter_mut().enumerate() {
            let samples = &self.samples[offset + i * FRAME..];
            let likeness = |s: &usize| self.score.likeness(*s, samples);
            let best = (0..SYMBOLS).max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
            if likeness(&best) < EXPECTED {
                return None;
            }
            *symbol = best;
        }
        self.score.find(word)
    }

    /// The place was found again: what lies between it and the last frame that was seen?
    fn resume(&self, frame: usize, at: u64, tell: &mut impl FnMut(Heard)) {
        let Some((last, last_at)) = self.last else { return };
        let frames = self.score.frames() as i64;
        // Frames passed over in the recording, and places passed over in the sound.
        let skipped = (frame as i64 - last as i64 - 1 + frames / 2).rem_euclid(frames) - frames / 2;
        let samples = at as i64 - last_at as i64 - FRAME as i64;
        let places = (samples + FRAME as i64 / 2).div_euclid(FRAME as i64).max(0);
        if skipped.abs() > ELSEWHERE {
            return tell(Heard::Elsewhere);
        }
        let pauses = self.score.pauses(last + 1, skipped.max(0) as usize) as i64;
        let skipped = skipped - pauses;
        if skipped < 0 {
            tell(Heard::Repeated(skipped.unsigned_abs()));
        }
        let concealed = skipped.clamp(0, places);
        if concealed > 0 {
            tell(Heard::Concealed(concealed as u64));
        }
        if skipped > concealed {
            tell(Heard::Lost((skipped - concealed) as u64));
        }
        if pauses == 0 && (samples - places * FRAME as i64).abs() > 1 {
            tell(Heard::Splice);
        }
    }

    fn see(&mut self, frame: usize, at: u64, tell: &mut impl FnMut(Heard)) {
        if let Some((last, _)) = self.last
            && self.lock.is_some_and(|lock| lock.misses > 0)
        {
            let frames = self.score.frames();
            let between = (frame + frames - last - 1) % frames;
            tell(Heard::Concealed(between as u64));
        }
        self.last = Some((frame, at));
        let piece = self.pieces.iter().rev().find(|(begin, _)| *begin <= at);
        if let Some((begin, arrived)) = piece {
            tell(Heard::Frame(Sighting { frame, at: *arrived, shift: (at - begin) as usize }));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sim::phone::g711;

    use super::*;

    /// Plays pieces 20 ms apart and gathers what is heard.
    fn play(score: &Arc<Score>, sound: &[i16]) -> Vec<Heard> {
        let (mut listener, zero) = (Listener::new(Arc::clone(score)), Instant::now());
        let mut heard = Vec::new();
        for (i, piece) in sound.chunks(FRAME).enumerate() {
            listener
                .hear(piece.iter().copied(), zero + Duration::from_millis(20) * i as u32, |h| heard.push(h));
        }
        heard
    }

    fn sound(score: &Score, frames: std::ops::Range<usize>) -> Vec<i16> {
        frames.flat_map(|f| score.mulaw(f)).map(g711::decode).collect()
    }

    fn frames(heard: &[Heard]) -> Vec<(usize, usize)> {
        let sightings = heard.iter().filter_map(|h| match h {
            Heard::Frame(s) => Some((s.frame, s.shift)),
            _ => None,
        });
        sightings.collect()
    }

    fn rest(heard: Vec<Heard>) -> Vec<Heard> {
        heard.into_iter().filter(|h| !matches!(h, Heard::Frame(_))).collect()
    }

    #[test]
    fn frames_are_seen_where_they_are_however_they_are_shifted() {
        let score = Arc::new(Score::new(500, 3));
        let all = score.frames();
        for shift in [0, 1, 52, 159] {
            let mut line = vec![0; shift];
            // Over a pause, and over the end.
            line.extend(sound(&score, all - 40..all + 20));
            line.extend([0; 6 * FRAME]);
            let heard = play(&score, &line);
            let spoken = (all - 40..all + 20).filter(|f| !score.is_pause(*f));
            assert_eq!(frames(&heard), spoken.map(|f| (f % all, shift)).collect::<Vec<_>>());
            assert!(rest(heard).is_empty());
        }
    }

    #[test]
    fn a_pause_may_be_shorter_or_longer() {
        let score = Arc::new(Score::new(500, 3));
        let pause = (0..).find(|f| score.is_pause(*f)).expect("there is one");
        for silence in [0, 3, 30] {
            let line = [
                sound(&score, pause - 20..pause),
                vec![0; silence * FRAME],
                sound(&score, pause + 20..pause + 40),
                vec![0; 6 * FRAME],
            ];
            let heard = play(&score, &line.concat());
            assert_eq!(frames(&heard).len(), 40, "{silence}");
            assert!(rest(heard).is_empty(), "{silence}");
        }
    }

    #[test]
    fn gaps_losses_repetitions_and_splices_are_told_apart() {
        let score = Arc::new(Score::new(1_000, 3));
        let line = |pieces: &[&[i16]]| [pieces.concat(), vec![0; 6 * FRAME]].concat();
        let (a, b) = (sound(&score, 0..20), sound(&score, 23..40));
        let hole = line(&[&a, &[0; 3 * FRAME], &b]);
        assert_eq!(rest(play(&score, &hole)), [Heard::Concealed(3)]);
        let short = line(&[&a, &[0; FRAME], &sound(&score, 21..40)]);
        assert_eq!(rest(play(&score, &short)), [Heard::Concealed(1)]);
        assert_eq!(rest(play(&score, &line(&[&a, &b]))), [Heard::Lost(3)]);
        assert_eq!(rest(play(&score, &line(&[&a, &a[10 * FRAME..]]))), [Heard::Repeated(10)]);
        let spliced = line(&[&a, &sound(&score, 20..40)[40..]]);
        assert!(rest(play(&score, &spliced)).contains(&Heard::Splice));
        assert_eq!(rest(play(&score, &line(&[&a, &sound(&score, 350..370)]))), [Heard::Elsewhere]);
    }

    #[test]
    fn another_recording_and_noise_are_not_heard() {
        let (score, other) = (Arc::new(Score::new(500, 3)), Score::new(500, 4));
        assert!(play(&score, &sound(&other, 0..50)).is_empty());
        assert!(play(&score, &[0; 50 * FRAME]).is_empty());
    }
}
