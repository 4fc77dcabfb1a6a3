//! Cores that stay awake while there are calls enough to wake them all the time.
//!
//! Between two frames a core sleeps, and each frame then pays for waking it: the interrupt, the way out of the sleep and, in a virtual
//! machine, out of the hypervisor's hands. Linux lets a process say how long waking may take: as long as a file stays open that 0 µs were
//! written to, idle cores poll instead (PM QoS, kernel documentation `power/pm_qos_interface`). It ends with the process, however that ends.
//! What it costs is power, so it is not asked for while few calls leave the cores time to sleep.
// Files are opened where calls come and go, never on an audio thread.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

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

/// What idle cores will do if they are to stay awake from so many calls on; never with 0.
pub fn idle(from: usize) -> Idle {
    Awake::new(from).idle()
}

/// The wish that cores stay awake, and whether it is in force.
pub(crate) struct Awake {
    device: PathBuf,
    idle: Idle,
    held: Mutex<Option<File>>,
}

impl Awake {
    /// Whether it may be had is found out at once. It will be in force from so many calls on; never with 0.
    pub(crate) fn new(from: usize) -> Self {
        Self::at(PathBuf::from(DEVICE), from)
    }

    fn at(device: PathBuf, from: usize) -> Self {
        let idle = match (from, open(&device)) {
            (0, _) => Idle::Sleep,
            (_, Ok(_)) => Idle::Poll { from },
            (_, Err(error)) if error.kind() == io::ErrorKind::NotFound => Idle::Unsupported,
            (_, Err(error)) => Idle::Denied(error.raw_os_error().unwrap_or(0)),
        };
        Self { device, idle, held: Mutex::new(None) }
    }

    /// What idle cores do.
    pub(crate) fn idle(&self) -> Idle {
        self.idle
    }

    /// The number of calls has changed. They are counted here, where the last to change it counts last.
    pub(crate) fn update(&self, calls: impl FnOnce() -> usize) {
        let Idle::Poll { from } = self.idle else { return };
        // A file is whole whatever happened to the thread that held it.
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if calls() < from {
            *held = None;
        } else if held.is_none() {
            // It could be had at the start. If it cannot now, cores sleep as they would without it, and the next call asks again.
            *held = open(&self.device)
                .and_then(|mut file| file.write_all(&WAKE_US.to_ne_bytes()).map(|()| file))
                .ok();
        }
    }
}

fn open(device: &PathBuf) -> io::Result<File> {
    OpenOptions::new().write(true).open(device)
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
        let awake = Awake::at(device.clone(), 3);
        assert_eq!(awake.idle(), Idle::Poll { from: 3 });
        awake.update(|| 2);
        assert_eq!((asked(), awake.held.lock().unwrap().is_some()), (vec![], false), "too few calls");
        awake.update(|| 3);
        awake.update(|| 4);
        assert_eq!(
            (asked(), awake.held.lock().unwrap().is_some()),
            (vec![0; 4], true),
            "asked for once, and held"
        );
        awake.update(|| 2);
        assert!(awake.held.lock().unwrap().is_none());
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
                awake.update(|| 1);
                assert_eq!(allowed(), Some(WAKE_US));
                awake.update(|| 0);
                assert_eq!(allowed(), Some(before));
            }
            // Not ours to ask for, and that is told.
            None => assert!(matches!(awake.idle(), Idle::Denied(_) | Idle::Unsupported)),
        }
    }

    #[test]
    fn what_is_not_asked_for_is_not_taken() {
        let awake = Awake::new(0);
        awake.update(|| 1000);
        assert_eq!(awake.idle(), Idle::Sleep);
        assert!(awake.held.lock().unwrap().is_none());
        assert_eq!(Awake::at(PathBuf::from("/nowhere/at/all"), 1).idle(), Idle::Unsupported);
    }
}
