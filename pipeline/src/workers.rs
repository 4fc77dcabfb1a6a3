//! The audio threads as the rest of the process sees them: start, add a call, look at the load, stop.
// This side may lock, wait and allocate: it never runs on an audio thread.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, clippy::disallowed_types)]

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::sync::Parker;

use crate::call::CallSlot;
use crate::rt::{self, Memory, Priority};
use crate::stats::AgeHistogram;
use crate::thread::{self, Setup, Standing};
use crate::worker::{Link, Worker};

/// How many threads, where, and how eager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkersConfig {
    /// The cores to use, by number. Default: all that the process may use.
    pub cores: Option<Vec<usize>>,
    /// Threads. Default: one for each core.
    pub count: Option<usize>,
    /// Ask for real-time priority.
    pub priority: bool,
    /// Keep the process' memory from being paged out, where that is allowed.
    pub lock_memory: bool,
    /// Spin so long before sleeping and before a deadline: trades CPU for some 70 µs of wake-up. Default: none.
    pub spin: Duration,
    /// With so many calls that there is always something to do, look at them once in this time. Shorter costs more wakes, of the
    /// audio thread and of the sockets' tasks that wake it; longer adds up to as much delay each way. With few calls it is less (4 µs for
    /// each). Default: 0.5 ms; zero: no pace.
    pub pace: Duration,
    /// Calls that one thread takes.
    pub calls_per_worker: usize,
}

impl Default for WorkersConfig {
    fn default() -> Self {
        Self {
            cores: None,
            count: None,
            priority: true,
            lock_memory: true,
            spin: Duration::ZERO,
            pace: Duration::from_micros(500),
            calls_per_worker: 256,
        }
    }
}

/// The threads could not be started.
#[derive(Debug)]
pub enum StartError {
    /// No core was named, or none is known.
    NoCores,
    /// A core was named that the process may not use.
    UnknownCore(usize),
    /// A thread could not be made.
    Thread(std::io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCores => f.write_str("no core to run audio threads on"),
            Self::UnknownCore(core) => write!(f, "core {core} is not one this process may use"),
            Self::Thread(error) => write!(f, "cannot start an audio thread: {error}"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Thread(error) => Some(error),
            Self::NoCores | Self::UnknownCore(_) => None,
        }
    }
}

/// How one worker stands.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerLoad {
    /// Its core, if it could be tied to it.
    pub core: Option<usize>,
    /// What came of asking for priority.
    pub priority: Priority,
    /// What came of locking the process' memory.
    pub memory: Memory,
    /// Calls on it.
    pub calls: usize,
    /// Calls it takes.
    pub capacity: usize,
    /// Time spent serving since the start.
    pub busy: Duration,
    /// Steps made since the start.
    pub steps: u64,
    /// Share of the last second that it worked, 0 to 1: near 1 frames come late, and calls should go elsewhere.
    pub utilisation: f64,
    /// How long a step takes: median and 99th percentile since the start. Within it every other call of the worker waits.
    pub step: (Duration, Duration),
    /// Calls that ended by a panic in them.
    pub panics: u64,
    /// How late due calls were served: median and 99th percentile since the start.
    pub lateness: (Duration, Duration),
}

/// The audio threads.
pub struct Workers {
    workers: Vec<Handle>,
    calls_per_worker: usize,
    memory: Memory,
}

struct Handle {
    link: Arc<Link>,
    core: usize,
    standing: Standing,
    thread: Option<JoinHandle<()>>,
    /// Free places in the worker's table.
    free: Mutex<Vec<usize>>,
}

impl Handle {
    fn free(&self) -> MutexGuard<'_, Vec<usize>> {
        // A list of numbers is whole whatever happened to the thread that held it.
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Workers {
    /// Starts the threads and waits until each has found its place.
    pub fn start(config: WorkersConfig) -> Result<Self, StartError> {
        let known = rt::cores();
        let cores = config.cores.unwrap_or_else(|| known.to_vec());
        if let Some(unknown) = cores.iter().find(|core| !known.contains(core)) {
            return Err(StartError::UnknownCore(*unknown));
        }
        if cores.is_empty() || config.calls_per_worker == 0 {
            return Err(StartError::NoCores);
        }
        let count = config.count.unwrap_or(cores.len()).max(1);
        let mut workers = Self {
            workers: Vec::with_capacity(count),
            calls_per_worker: config.calls_per_worker,
            memory: if config.lock_memory { rt::lock_memory() } else { Memory::Pageable },
        };
        for (number, core) in cores.iter().cycle().take(count).enumerate() {
            let parker = Parker::new();
            let link = Arc::new(Link::new(config.calls_per_worker, parker.unparker().clone()));
            let setup =
                Setup { core: Some(*core), priority: config.priority, spin: config.spin, pace: config.pace };
            let (tell, told) = mpsc::sync_channel(1);
            let (its_link, capacity) = (Arc::clone(&link), config.calls_per_worker);
            let thread = std::thread::Builder::new()
                .name(format!("audio-{number}"))
                .spawn(move || {
                    let worker = Worker::new(capacity, Arc::clone(&its_link));
                    let _ = tell.send(thread::set_up(setup));
                    thread::run(worker, &its_link, &parker, setup);
                })
                .map_err(StartError::Thread)?;
            let standing = told.recv().unwrap_or(Standing { pinned: false, priority: Priority::Unsupported });
            workers.workers.push(Handle {
                link,
                core: *core,
                standing,
                thread: Some(thread),
                free: Mutex::new((0..config.calls_per_worker).rev().collect()),
            });
        }
        Ok(workers)
    }

    /// Gives a call to the least loaded worker; gives it back if all are full.
    pub fn add(&self, slot: CallSlot) -> Result<(), CallSlot> {
        self.reap();
        let least = self.workers.iter().min_by_key(|worker| worker.link.calls.load(Ordering::Relaxed));
        Self::put(least, slot)
    }

    /// Gives a call to this worker, counted from 0, whose core its sockets are served on; gives it back if that is full.
    pub fn add_to(&self, worker: usize, slot: CallSlot) -> Result<(), CallSlot> {
        self.reap();
        Self::put(self.workers.get(worker), slot)
    }

    fn put(worker: Option<&Handle>, slot: CallSlot) -> Result<(), CallSlot> {
        let Some(worker) = worker else { return Err(slot) };
        let Some(index) = worker.free().pop() else { return Err(slot) };
        worker.link.calls.fetch_add(1, Ordering::Relaxed);
        slot.connect(&worker.link, index);
        if let Err((index, slot)) = worker.link.inbox.push((index, slot.0)) {
            // Cannot be: the inbox has a place for each in the table, and `index` was free.
            worker.link.calls.fetch_sub(1, Ordering::Relaxed);
            worker.free().push(index);
            return Err(CallSlot(slot));
        }
        worker.link.wake();
        Ok(())
    }

    /// Frees calls that have stopped, here rather than on their threads; gives how many. [`add`](Self::add) does it
    /// too; a process that has gone quiet should call it now and then.
    pub fn reap(&self) -> usize {
        let mut freed = 0;
        for worker in &self.workers {
            while let Some((index, slot)) = worker.link.outbox.pop() {
                drop(slot);
                worker.link.calls.fetch_sub(1, Ordering::Relaxed);
                worker.free().push(index);
                freed += 1;
            }
        }
        freed
    }

    /// How each worker stands.
    pub fn load(&self) -> Vec<WorkerLoad> {
        self.workers
            .iter()
            .map(|worker| WorkerLoad {
                core: worker.standing.pinned.then_some(worker.core),
                priority: worker.standing.priority,
                calls: worker.link.calls.load(Ordering::Relaxed),
                capacity: self.calls_per_worker,
                memory: self.memory,
                busy: worker.link.load.busy(),
                steps: worker.link.load.steps(),
                utilisation: worker.link.load.utilisation(thread::now()),
                step: median_and_99th(&worker.link.load.ticks),
                panics: worker.link.panics.load(Ordering::Relaxed),
                lateness: median_and_99th(&worker.link.lateness),
            })
            .collect()
    }

    /// Stops the threads and frees every call; their ports see `closed`.
    pub fn shutdown(self) {
        drop(self);
    }
}

fn median_and_99th(histogram: &AgeHistogram) -> (Duration, Duration) {
    (histogram.percentile(0.5), histogram.percentile(0.99))
}

impl Drop for Workers {
    fn drop(&mut self) {
        for worker in &self.workers {
            worker.link.stop.store(true, Ordering::Release);
            worker.link.wake();
        }
        for worker in &mut self.workers {
            if let Some(thread) = worker.thread.take() {
                // An audio thread's own panic was told where it happened; there is nothing to add here.
                let _ = thread.join();
            }
        }
        self.reap();
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.load()).finish()
    }
}
