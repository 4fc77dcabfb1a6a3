//! How alike two sounds are. Sounds are 8 kHz samples.

use sim::phone::g711;
use sim::speech;

/// 20 ms.
const FRAME: usize = 160;
/// Step and window of the rough alignment: 10 ms.
const STEP: usize = 80;
/// Pieces that are aligned each by itself, because a late packet puts a gap into the sound and a jitter buffer may leave silence out:
/// 200 ms.
const PIECE: usize = 1_600;
/// How far a piece may lie from where the rough alignment puts it: 100 ms either way.
const SLACK: usize = 800;
/// Mean level above which sound is speech; the phone's ear hears from here on.
pub const LOUD: f64 = 200.0;
/// Mean level below which a line is silent.
pub const SILENT: f64 = 60.0;

/// What is said in a clip, as a telephone has it.
pub fn clip(name: &str) -> Vec<i16> {
    speech::clip(name).unwrap_or_else(|| panic!("there is no clip {name}")).samples_8k()
}

/// The same after one mu-law companding.
pub fn companded(samples: &[i16]) -> Vec<i16> {
    samples.iter().map(|&s| g711::decode(g711::encode(s))).collect()
}

/// Mean level.
pub fn rms(samples: &[i16]) -> f64 {
    if samples.is_empty() {
        return 0.0;
    }
    (samples.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / samples.len() as f64).sqrt()
}

/// Milliseconds of 20 ms frames that are not silent.
pub fn audible_ms(samples: &[i16]) -> usize {
    samples.chunks(FRAME).filter(|f| rms(f) > LOUD).count() * 20
}

/// How well `said` is found in `heard`: normalised correlation of the loud 200 ms pieces where they fit best, weighted by their
/// energy. 1.0 is the same sound at any level, other speech stays below 0.6.
pub fn likeness(heard: &[i16], said: &[i16]) -> f64 {
    places(heard, said)
        .into_iter()
        .map(|place| {
            let (mut sum, mut weight) = (0.0, 0.0);
            for (at, piece) in pieces(said, PIECE) {
                let energy = piece.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>();
                sum += energy * best(heard, piece, place + at as isize);
                weight += energy;
            }
            if weight > 0.0 { sum / weight } else { 0.0 }
        })
        .fold(0.0, f64::max)
}

/// The share of the loud 20 ms frames of `said` that are in `heard` sample for sample, where they belong.
pub fn exactness(heard: &[i16], said: &[i16]) -> f64 {
    let exact = |place: isize| {
        let all: Vec<_> = pieces(said, FRAME).collect();
        let found = all.iter().filter(|(at, frame)| {
            let (from, to) = around(place + *at as isize, heard.len(), FRAME);
            heard[from..to].windows(FRAME).any(|window| window == *frame)
        });
        found.count() as f64 / all.len().max(1) as f64
    };
    places(heard, said).into_iter().map(exact).fold(0.0, f64::max)
}

/// Where `said` begins in `heard` by the rough alignment, in samples; negative where its beginning is missing.
pub fn place(heard: &[i16], said: &[i16]) -> Option<isize> {
    places(heard, said).into_iter().next()
}

fn pieces(said: &[i16], length: usize) -> impl Iterator<Item = (usize, &[i16])> {
    said.chunks_exact(length).enumerate().map(move |(i, p)| (i * length, p)).filter(|(_, p)| rms(p) > LOUD)
}

fn around(place: isize, heard: usize, length: usize) -> (usize, usize) {
    let from = place.saturating_sub(SLACK as isize).clamp(0, heard as isize) as usize;
    let to = place.saturating_add((SLACK + length) as isize).clamp(0, heard as isize) as usize;
    (from, to)
}

fn best(heard: &[i16], piece: &[i16], place: isize) -> f64 {
    let (from, to) = around(place, heard.len(), piece.len());
    let piece: Vec<f32> = piece.iter().map(|&s| f32::from(s)).collect();
    let heard: Vec<f32> = heard[from..to].iter().map(|&s| f32::from(s)).collect();
    let own = piece.iter().map(|s| s * s).sum::<f32>().sqrt();
    let windows = heard.windows(piece.len()).map(|window| {
        let (mut dot, mut energy) = (0.0f32, 0.0f32);
        for (a, b) in window.iter().zip(&piece) {
            dot += a * b;
            energy += a * a;
        }
        if energy > 0.0 { dot / (energy.sqrt() * own) } else { 0.0 }
    });
    windows.fold(0.0f32, f32::max).into()
}

/// The most promising places by the course of the level, the best first.
fn places(heard: &[i16], said: &[i16]) -> Vec<isize> {
    let (heard, said) = (levels(heard), levels(said));
    if heard.is_empty() || said.is_empty() {
        return Vec::new();
    }
    // A reply may begin before what was recorded, and a cut one ends early.
    let margin = said.len() as isize / 2;
    let mut all: Vec<(f64, isize)> = (-margin..heard.len() as isize)
        .map(|at| {
            let level = |i: usize| usize::try_from(at + i as isize).ok().and_then(|i| heard.get(i)).copied();
            (similar(&said, level), at)
        })
        .collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut chosen: Vec<isize> = Vec::new();
    for (_, at) in all {
        if chosen.iter().all(|c| c.abs_diff(at) > SLACK / STEP) {
            chosen.push(at);
        }
        if chosen.len() == 3 {
            break;
        }
    }
    chosen.into_iter().map(|at| at * STEP as isize).collect()
}

/// Correlation of two courses of level.
fn similar(said: &[f64], heard: impl Fn(usize) -> Option<f64>) -> f64 {
    let n = said.len() as f64;
    let (mut sx, mut sy, mut sxx, mut syy, mut sxy) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (i, &x) in said.iter().enumerate() {
        let y = heard(i).unwrap_or(0.0);
        sx += x;
        sy += y;
        sxx += x * x;
        syy += y * y;
        sxy += x * y;
    }
    let (vx, vy) = (sxx - sx * sx / n, syy - sy * sy / n);
    if vx <= 0.0 || vy <= 0.0 { 0.0 } else { (sxy - sx * sy / n) / (vx * vy).sqrt() }
}

fn levels(samples: &[i16]) -> Vec<f64> {
    samples.chunks_exact(STEP).map(|s| (1.0 + rms(s) / SILENT).ln()).collect()
}

/// Where `said` begins in `heard` to the sample, by its loudest piece; `None` where it is not found.
pub fn exact_place(heard: &[i16], said: &[i16]) -> Option<isize> {
    let rough = place(heard, said)?;
    let (at, piece) = pieces(said, PIECE).max_by(|a, b| rms(a.1).total_cmp(&rms(b.1)))?;
    let (from, to) = around(rough + at as isize, heard.len(), PIECE);
    let like = |window: &[i16]| {
        let (mut dot, mut energy) = (0.0, 0.0);
        for (a, b) in window.iter().zip(piece) {
            dot += f64::from(*a) * f64::from(*b);
            energy += f64::from(*a).powi(2);
        }
        if energy > 0.0 { dot / energy.sqrt() } else { 0.0 }
    };
    let all = heard[from..to].windows(PIECE).map(like).enumerate();
    let (best, _) = all.max_by(|a, b| a.1.total_cmp(&b.1))?;
    Some((from + best) as isize - at as isize)
}
