//! Where the process spends its CPU time, without hardware counters and without another program: it samples its own threads' stacks.
//!
//! Each thread of the chosen group gets a timer on its own CPU time that interrupts it while it runs, and the handler writes the
//! stack down. A thread outside the group is never touched. Nothing of this is there, no handler and no buffer, until somebody asks.

mod picture;
mod sampler;
mod stacks;
mod symbols;

use std::str::FromStr;
use std::time::Duration;

use sampler::Sampler;
pub use stacks::Stacks;
use tokio::sync::oneshot;

/// Which threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// The audio workers, `audio-N`.
    Audio,
    /// Those beside them, `network-N`: both peers' sockets, and calls.
    Network,
    /// The runtime's others, `control-N`: web server, tools, whatever else may take its time.
    Control,
    /// Every thread there is when the profile begins.
    All,
}

impl Threads {
    fn has(self, name: &str) -> bool {
        match self {
            Self::Audio => name.starts_with("audio-"),
            Self::Network => name.starts_with("network-"),
            Self::Control => name.starts_with("control-"),
            Self::All => true,
        }
    }

    /// As in the request.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Network => "network",
            Self::Control => "control",
            Self::All => "all",
        }
    }
}

impl FromStr for Threads {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Audio, Self::Network, Self::Control, Self::All]
            .into_iter()
            .find(|t| t.as_str() == text)
            .ok_or(())
    }
}

/// Why there is no profile.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// One at a time: they share the signal and would slow each other down.
    #[error("a profile is being taken; ask again when it is done")]
    Busy,
    /// The stack cannot be walked inside a signal handler here.
    #[error(
        "profiles need Linux on x86-64 or aarch64 with glibc 2.35 or newer, whose unwinder takes no lock"
    )]
    Unsupported,
    /// A timer or the handler was refused, or the stacks could not be worked up.
    #[error("cannot take a profile: {0}")]
    Failed(#[from] std::io::Error),
}

/// Samples `threads` for `time`, each `hz` times per second of CPU time that it uses. Dropping the future ends the sampling.
pub async fn take(time: Duration, threads: Threads, hz: u32) -> Result<Stacks, ProfileError> {
    let sampler = Sampler::start(time, threads, hz)?;
    tokio::time::sleep(time).await;
    // Reading the debug information takes most of a second of CPU: at a low priority, on a thread that nobody else needs.
    let (tell, told) = oneshot::channel();
    std::thread::Builder::new().name("profile".into()).spawn(move || {
        lower_priority();
        // Nobody listens any more if the request was given up.
        let _ = tell.send(Stacks::of(sampler.finish(), threads, hz));
    })?;
    told.await.map_err(|_| std::io::Error::other("the stacks could not be worked up").into())
}

fn lower_priority() {
    #[cfg(target_os = "linux")]
    // SAFETY: no memory is handed over; on Linux 0 means the calling thread. Refused, it stays at the priority that it has.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, 10);
    }
}
