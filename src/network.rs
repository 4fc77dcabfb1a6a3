//! The network threads: one beside each audio thread, on the same core, with the sockets and tasks of that worker's calls.
//!
//! Each frame passes a socket's task, the audio thread and the other socket's task. On one core each of them hands it on by a switch of
//! threads; to another core it would have to be woken each time, which costs more than all that is done to the frame (figures in
//! `docs/performance.md`). What takes long and can wait (HTTP, TLS, tools, records) is left to the runtime that [`Network::start`] was
//! called in.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::{Builder, Handle, Runtime};

/// The network threads, and the runtime beside them.
pub struct Network {
    cores: Vec<Core>,
    control: Handle,
}

struct Core {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    seats: Arc<AtomicUsize>,
}

impl Network {
    /// Starts a thread for each audio thread, in their order. `cores` are those they are tied to, if they could be. Must be called within
    /// the runtime that is to do everything else.
    ///
    /// # Errors
    ///
    /// A thread or its poller could not be made.
    pub fn start(cores: impl IntoIterator<Item = Option<usize>>) -> io::Result<Self> {
        let cores = cores.into_iter().enumerate().map(|(number, core)| {
            let runtime = Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .thread_name(format!("network-{number}"))
                .on_thread_start(move || {
                    // One that may run anywhere does the same, only dearer.
                    let _ = core.is_some_and(pipeline::pin);
                })
                .build()?;
            Ok(Core { runtime: Some(runtime), seats: Arc::default() })
        });
        Ok(Self { cores: cores.collect::<io::Result<_>>()?, control: Handle::current() })
    }

    /// A seat on the core that has the fewest taken.
    pub fn seat(&self) -> Seat {
        let taken = |core: &&Core| core.seats.load(Ordering::Relaxed);
        let least = self.cores.iter().enumerate().min_by_key(|(_, core)| taken(core));
        let (core, runtime, seats) = match least {
            Some((number, Core { runtime: Some(runtime), seats })) => {
                (number, runtime.handle().clone(), Arc::clone(seats))
            }
            _ => (0, self.control.clone(), Arc::default()),
        };
        seats.fetch_add(1, Ordering::Relaxed);
        Seat { core, runtime, seats }
    }

    /// Where everything runs that is not of the sound's way: it may take its time there.
    pub fn control(&self) -> &Handle {
        &self.control
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for core in &mut self.cores {
            if let Some(runtime) = core.runtime.take() {
                // Without waiting: the last one to hold this may be a task of the very thread.
                runtime.shutdown_background();
            }
        }
    }
}

/// A call's place on a core, or that of a session that waits for one. Dropped it is free again.
#[derive(Debug)]
pub struct Seat {
    core: usize,
    runtime: Handle,
    seats: Arc<AtomicUsize>,
}

impl Seat {
    /// The number of the worker and of the network thread there.
    pub fn core(&self) -> usize {
        self.core
    }

    /// That network thread.
    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn calls_are_spread_over_the_cores() {
        let network = Network::start([None, None, None]).unwrap();
        let mut seats: Vec<_> = (0..6).map(|_| network.seat()).collect();
        assert_eq!(seats.iter().map(Seat::core).collect::<Vec<_>>(), [0, 1, 2, 0, 1, 2]);
        seats.remove(4);
        assert_eq!(network.seat().core(), 1, "the one that became free");
    }

    #[tokio::test]
    async fn a_seat_is_on_its_workers_core() {
        let core = pipeline::cores()[0];
        let network = Network::start([Some(core)]).unwrap();
        let seen = network.seat().runtime().spawn(async {
            // proc_pid_status(5): the cores that this thread may run on.
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            let cores = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
            (std::thread::current().name().map(str::to_owned), cores.trim().to_owned())
        });
        assert_eq!(seen.await.unwrap(), (Some("network-0".to_owned()), core.to_string()));
    }
}
