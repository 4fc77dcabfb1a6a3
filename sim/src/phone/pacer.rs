//! The beat of every call: a thread of its own that keeps absolute deadlines.
//!
//! Timers of the async runtime are 1 to 2 ms late at the median and drift if they are relative. This thread sleeps until an absolute deadline (a futex wait, 50 to
//! 100 us late on an idle Linux machine) and then only hands out the beat; the frame itself is made and written by the call's task, so a beat costs one wake-up more. What
//! comes of it is measured at the socket and reported as `Lateness`.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::mpsc as std_mpsc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

/// The length of a beat.
pub(crate) const BEAT: Duration = Duration::from_millis(20);

/// Beats a call may be behind before they are lost: 10 s. Losing them keeps a stuck call from growing; they are counted by their index.
const BACKLOG: usize = 500;

/// Calls that may wait to join between two beats. More wait in `join`, a few microseconds each: the thread takes them whenever it is not handing out beats.
const JOINING: usize = 1_024;

/// One beat of one call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Beat {
    /// Counted from 0 since the call joined.
    pub(crate) index: u64,
    /// When it was due.
    pub(crate) due: Instant,
}

struct Join {
    first: Instant,
    beats: mpsc::Sender<Beat>,
}

/// A handle of the thread; the thread ends when all handles are gone.
#[derive(Debug, Clone)]
pub(crate) struct Pacer(std_mpsc::SyncSender<Join>);

impl Pacer {
    pub(crate) fn start() -> std::io::Result<Self> {
        let (joins, inbox) = std_mpsc::sync_channel(JOINING);
        thread::Builder::new().name("phone-pacer".into()).spawn(move || run(&inbox))?;
        Ok(Self(joins))
    }

    /// Beats from `first` on, every 20 ms, until the receiver is dropped.
    pub(crate) fn join(&self, first: Instant) -> mpsc::Receiver<Beat> {
        let (beats, receiver) = mpsc::channel(BACKLOG);
        self.0.send(Join { first, beats }).expect("the thread lives as long as a handle does");
        receiver
    }
}

fn run(inbox: &std_mpsc::Receiver<Join>) {
    let mut due: BinaryHeap<Reverse<(Instant, u64, u64)>> = BinaryHeap::new();
    let mut calls: HashMap<u64, mpsc::Sender<Beat>> = HashMap::new();
    let mut names = 0;
    loop {
        let wait = due.peek().map(|Reverse((at, ..))| at.saturating_duration_since(Instant::now()));
        let joined = match wait {
            Some(wait) => inbox.recv_timeout(wait),
            None => inbox.recv().map_err(|_| std_mpsc::RecvTimeoutError::Disconnected),
        };
        match joined {
            Ok(Join { first, beats }) => {
                names += 1;
                calls.insert(names, beats);
                due.push(Reverse((first, names, 0)));
            }
            Err(std_mpsc::RecvTimeoutError::Timeout) => {}
            // Calls that are under way end with the phone.
            Err(std_mpsc::RecvTimeoutError::Disconnected) => return,
        }
        let now = Instant::now();
        while let Some(&Reverse((at, name, index))) = due.peek().filter(|Reverse((at, ..))| *at <= now) {
            due.pop();
            let gone = match calls[&name].try_send(Beat { index, due: at }) {
                Ok(()) | Err(mpsc::error::TrySendError::Full(_)) => false,
                Err(mpsc::error::TrySendError::Closed(_)) => true,
            };
            if gone {
                calls.remove(&name);
            } else {
                due.push(Reverse((at + BEAT, name, index + 1)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn beats_keep_to_their_grid_and_calls_to_themselves() {
        let pacer = Pacer::start().unwrap();
        let zero = Instant::now();
        let (mut a, mut b) = (pacer.join(zero), pacer.join(zero + Duration::from_millis(7)));
        for n in 0..10u32 {
            let (x, y) = (a.recv().await.unwrap(), b.recv().await.unwrap());
            assert_eq!((x.index, y.index), (u64::from(n), u64::from(n)));
            assert_eq!(x.due, zero + BEAT * n, "deadlines are absolute, so lateness does not add up");
            assert_eq!(y.due, zero + Duration::from_millis(7) + BEAT * n);
            assert!(Instant::now() >= x.due, "never early");
        }
        drop(a);
        assert_eq!(b.recv().await.unwrap().index, 10);
    }
}
