//! Cores that stay awake while there are calls enough to wake them all the time.
//!
//! Between two frames a core sleeps, and each frame then pays for waking it: the interrupt, the way out of the sleep and, in a virtual
//! machine, out of the hypervisor's hands. Linux lets a process say how long waking may take: as long as a file stays open that 0 µs were
//! written to, idle cores poll instead (PM QoS, kernel documentation `power/pm_qos_interface`). It ends with the process, however that ends.
//! What it costs is power, so it is not asked for while few calls leave the cores time to sleep.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Linux's device for it.
const DEVICE: &str = "/dev/cpu_dma_latency";
/// The longest that waking may take, µs, as the device reads it.
const WAKE_US: i32 = 0;

/// What idle cores do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idle {
    /// They sleep: nothing else was asked for.
    Sleep,
    /// With so many calls and more they poll.
    Poll {
        /// Calls in all.
        from: usize,
    },
    /// They sleep: this process may not ask for anything else. The error number (`EACCES` unless the device is open to it).
    Denied(i32),
    /// They sleep: this system has no way known here to ask for anything else. Containers often lack the device.
    Unsupported,
}

impl fmt::Display for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sleep => f.write_str("idle cores sleep"),
            Self::Poll { from } => write!(f, "idle cores stay awake from {from} calls on"),
            Self::Denied(_) => {
                write!(f, "idle cores sleep (nothing else allowed: open {DEVICE} to this user)")
            }
            Self::Unsupported => write!(f, "idle cores sleep (there is no {DEVICE})"),
        }
    }
}

/// The wish that cores stay awake.
pub struct Awake(Arc<Wish>);

struct Wish {
    device: PathBuf,
    idle: Idle,
    now: Mutex<Now>,
}

#[derive(Default)]
struct Now {
    calls: usize,
    /// Open while the wish is in force.
    held: Option<File>,
}

impl Awake {
    /// Whether it may be had is found out at once. It will be in force from so many calls on; never with 0.
    pub fn new(from: usize) -> Self {
        Self::at(Path::new(DEVICE), from)
    }

    fn at(device: &Path, from: usize) -> Self {
        let idle = match (from, open(device)) {
            (0, _) => Idle::Sleep,
            (_, Ok(_)) => Idle::Poll { from },
            (_, Err(error)) if error.kind() == io::ErrorKind::NotFound => Idle::Unsupported,
            (_, Err(error)) => Idle::Denied(error.raw_os_error().unwrap_or(0)),
        };
        Self(Arc::new(Wish { device: device.to_owned(), idle, now: Mutex::default() }))
    }

    /// What idle cores do.
    pub fn idle(&self) -> Idle {
        self.0.idle
    }

    /// A call has begun. It is over when what this gives is dropped.
    pub fn call(&self) -> Counted {
        self.0.count(|calls| calls + 1);
        Counted(Arc::clone(&self.0))
    }
}

/// A call among those that keep the cores awake.
pub struct Counted(Arc<Wish>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.count(|calls| calls - 1);
    }
}

impl Wish {
    fn count(&self, change: impl FnOnce(usize) -> usize) {
        let mut now = self.now();
        now.calls = change(now.calls);
        let Idle::Poll { from } = self.idle else { return };
        if now.calls < from {
            now.held = None;
        } else if now.held.is_none() {
            // It could be had at the start. If it cannot now, cores sleep as they would without it, and the next call asks again.
            now.held = ask(&self.device).ok();
        }
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        // A number and a file are whole whatever happened to the thread that held them.
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open(device: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).open(device)
}

fn ask(device: &Path) -> io::Result<File> {
    let mut file = open(device)?;
    file.write_all(&WAKE_US.to_ne_bytes())?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// What the kernel now allows waking to take, µs: the least of all that is asked for. `None` where it may not be asked.
    fn allowed() -> Option<i32> {
        let mut bytes = [0; 4];
        File::open(DEVICE).ok()?.read_exact(&mut bytes).ok()?;
        Some(i32::from_ne_bytes(bytes))
    }

    #[test]
    fn cores_are_kept_awake_by_enough_calls_and_let_go_after_them() {
        let device = std::env::temp_dir().join(format!("aria-awake-{}", std::process::id()));
        std::fs::write(&device, "").unwrap();
        let asked = || std::fs::read(&device).unwrap();
        let awake = Awake::at(&device, 3);
        let held = || awake.0.now().held.is_some();
        assert_eq!(awake.idle(), Idle::Poll { from: 3 });
        let mut calls = vec![awake.call(), awake.call()];
        assert_eq!((asked(), held()), (vec![], false), "too few calls");
        calls.extend([awake.call(), awake.call()]);
        assert_eq!((asked(), held()), (vec![0; 4], true), "asked for once");
        calls.truncate(3);
        assert!(held());
        calls.clear();
        assert!(!held());
        std::fs::remove_file(&device).unwrap();
    }

    #[test]
    fn the_kernel_hears_of_it() {
        let before = allowed();
        let awake = Awake::new(1);
        match before {
            Some(before) => {
                assert_eq!(awake.idle(), Idle::Poll { from: 1 });
                assert!(before > WAKE_US, "somebody else on this machine keeps the cores awake: {before} µs");
                let call = awake.call();
                assert_eq!(allowed(), Some(WAKE_US));
                drop(call);
                assert_eq!(allowed(), Some(before));
            }
            // Not ours to ask for, and that is told.
            None => assert!(matches!(awake.idle(), Idle::Denied(_) | Idle::Unsupported)),
        }
    }

    #[test]
    fn what_is_not_asked_for_is_not_taken() {
        let awake = Awake::new(0);
        let _calls: Vec<_> = (0..1000).map(|_| awake.call()).collect();
        assert_eq!(awake.idle(), Idle::Sleep);
        assert!(awake.0.now().held.is_none());
        assert_eq!(Awake::at(Path::new("/nowhere/at/all"), 1).idle(), Idle::Unsupported);
    }
}
