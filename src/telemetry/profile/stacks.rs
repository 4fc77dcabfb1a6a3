//! Addresses become names, equal stacks become one line, lines become a picture.

use std::collections::BTreeMap;

use super::Threads;
use super::picture;
use super::sampler::{Recording, Sample};
use super::symbols::{Names, UNKNOWN};

/// The leaf of a stack that was in the kernel when the timer ran out.
const KERNEL: &str = "[kernel]";
/// Stands above the thread's name where the outermost frames are missing: too deep, or the unwinder lost its way.
const BROKEN: &str = "[broken stack]";
/// Where stacks begin: a thread's start in the C library, or the program's. A walk that ends elsewhere is broken.
const ROOTS: [&str; 6] = ["clone3", "__clone3", "clone", "__clone", "_start", "__libc_start_main"];

/// The stacks of a profile.
#[derive(Debug)]
pub struct Stacks {
    threads: Threads,
    hz: u32,
    /// Collapsed: `thread;outermost;…;innermost`, and for how many samples.
    counts: BTreeMap<String, u64>,
    /// All samples.
    pub samples: u64,
    /// Samples whose stack does not reach the thread's beginning.
    pub broken: u64,
    /// Samples for which there was no room.
    pub lost: u64,
}

impl Stacks {
    pub(super) fn of(recording: Recording, threads: Threads, hz: u32) -> Self {
        let mut stacks =
            Self { threads, hz, counts: BTreeMap::new(), samples: 0, broken: 0, lost: recording.lost };
        let mut names = Names::new();
        for sample in &recording.samples {
            let thread = group(recording.threads.get(sample.thread).map_or(UNKNOWN, String::as_str));
            let (whole, line) = collapse(thread, sample, &mut names);
            stacks.samples += sample.weight;
            stacks.broken += if whole { 0 } else { sample.weight };
            *stacks.counts.entry(line).or_default() += sample.weight;
        }
        // Tables of debug information: some 20 MB that the next profile reads again.
        backtrace::clear_symbol_cache();
        stacks
    }

    /// Collapsed stacks, one a line, outermost first: `thread;frame;…;frame count`.
    pub fn folded(&self) -> String {
        self.counts.iter().map(|(stack, count)| format!("{stack} {count}\n")).collect()
    }

    /// The flamegraph.
    pub fn svg(&self) -> String {
        let title = format!(
            "CPU time of threads: {}. {} samples, {} Hz of CPU time, {} with a broken stack, {} lost",
            self.threads.as_str(),
            self.samples,
            self.hz,
            self.broken,
            self.lost
        );
        picture::draw(&title, &self.counts)
    }
}

/// The thread's name without its number: equal threads are one tower.
fn group(thread: &str) -> &str {
    match thread.rsplit_once('-') {
        Some((name, number)) if number.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => thread,
    }
}

/// A stack as one line, and whether it is whole.
fn collapse(thread: &str, sample: &Sample, names: &mut Names) -> (bool, String) {
    // Lookups are for return addresses, which are behind their call; the interrupted instruction is itself.
    let at = |(depth, address): (usize, &usize)| if depth == 0 { address + 1 } else { *address };
    let addresses: Vec<usize> = sample.frames.iter().enumerate().map(at).collect();
    addresses.iter().for_each(|address| names.learn(*address));
    let mut frames: Vec<&str> = addresses.iter().flat_map(|address| names.of(*address)).collect();
    // The unwinder goes one step beyond the first function of a thread.
    if let [.., root, UNKNOWN] = frames[..]
        && ROOTS.contains(&root)
    {
        frames.pop();
    }
    let whole = !sample.cut && frames.last().is_some_and(|root| ROOTS.contains(root));
    let mut line = thread.to_owned();
    if !whole {
        line = format!("{line};{BROKEN}");
    }
    for frame in frames.iter().rev() {
        line.push(';');
        line.push_str(frame);
    }
    if sample.frames.first().is_some_and(|at| in_kernel(*at)) {
        line.push(';');
        line.push_str(KERNEL);
    }
    (whole, line)
}

/// Whether this is where a system call returns to or is begun again: the timer ran out in the kernel.
fn in_kernel(instruction: usize) -> bool {
    #[cfg(target_arch = "x86_64")]
    const CALL: [u8; 2] = [0x0f, 0x05]; // syscall
    #[cfg(not(target_arch = "x86_64"))]
    const CALL: [u8; 4] = [0x01, 0x00, 0x00, 0xd4]; // svc #0
    let is_call = |at: usize| {
        // SAFETY: a thread ran here, so this page of code is mapped; the bytes before an instruction are code of the same function.
        let code = unsafe { std::slice::from_raw_parts(at as *const u8, CALL.len()) };
        code == CALL
    };
    is_call(instruction - CALL.len()) || is_call(instruction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_threads_are_one_tower() {
        assert_eq!(group("audio-0"), "audio");
        assert_eq!(group("network-12"), "network");
        assert_eq!(group("aria"), "aria");
        assert_eq!(group("a-b"), "a-b");
    }

    #[test]
    fn a_stack_that_does_not_reach_the_root_is_called_broken() {
        let here = equal_threads_are_one_tower as *const () as usize;
        let sample = Sample { thread: 0, weight: 1, frames: vec![here, here + 1], cut: false };
        let (whole, line) = collapse("audio", &sample, &mut Names::new());
        assert!(!whole && line.starts_with("audio;[broken stack];"), "{line}");
        assert!(line.contains("profile::stacks::tests::equal_threads_are_one_tower"), "{line}");
    }

    #[test]
    fn equal_stacks_are_counted_together() {
        let here = equal_threads_are_one_tower as *const () as usize;
        let sample = |weight| Sample { thread: 0, weight, frames: vec![here], cut: true };
        let recording =
            Recording { threads: vec!["audio-3".into()], samples: vec![sample(1), sample(2)], lost: 4 };
        let stacks = Stacks::of(recording, Threads::Audio, 99);
        assert_eq!((stacks.samples, stacks.broken, stacks.lost), (3, 3, 4));
        let folded = stacks.folded();
        assert!(folded.lines().count() == 1 && folded.ends_with(" 3\n"), "{folded}");
        assert!(stacks.svg().contains("3 samples, 99 Hz"));
    }
}
