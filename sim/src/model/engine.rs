//! The threads that carry sessions.

use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

use super::peer::Peer;
use super::record::End;
use super::wait::{Sockets, wake_exactly};

/// Commands that wait for a thread at once; a set-up request beyond them is answered with 503.
const MAX_COMMANDS: usize = 256;

enum Command {
    Add(Box<Peer>),
    Hangup(String),
    Stop,
}

/// A thread with its sessions.
pub(crate) struct Engine {
    commands: SyncSender<Command>,
    bell: UnixStream,
    thread: Option<JoinHandle<()>>,
}

impl Engine {
    pub(crate) fn start(index: usize) -> io::Result<Self> {
        let (commands, inbox) = sync_channel(MAX_COMMANDS);
        let (bell, rung) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        rung.set_nonblocking(true)?;
        let thread = std::thread::Builder::new()
            .name(format!("sim-model-{index}"))
            .spawn(move || run(&inbox, rung))?;
        Ok(Self { commands, bell, thread: Some(thread) })
    }

    /// Hands over a session. `false` if the thread is too far behind.
    pub(crate) fn add(&self, peer: Peer) -> bool {
        self.command(Command::Add(Box::new(peer)))
    }

    /// Ends a session; unknown ids are nobody's.
    pub(crate) fn hangup(&self, call_id: &str) -> bool {
        self.command(Command::Hangup(call_id.to_owned()))
    }

    fn command(&self, command: Command) -> bool {
        let taken = match self.commands.try_send(command) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        };
        // A full pipe means the bell is ringing already.
        let _ = (&self.bell).write(&[1]);
        taken
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Should the inbox be full, the closed bell ends the thread as well.
        self.command(Command::Stop);
        let _ = self.bell.shutdown(std::net::Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(inbox: &Receiver<Command>, mut rung: UnixStream) {
    wake_exactly();
    let mut peers: Vec<Peer> = Vec::new();
    let mut sockets = Sockets::default();
    let mut changed = true;
    loop {
        if changed {
            sockets.set([rung.as_raw_fd()].into_iter().chain(peers.iter().map(Peer::fd)));
            changed = false;
        }
        let deadline = peers.iter().map(Peer::due).min();
        if let Err(error) = sockets.wait(deadline) {
            tracing::error!(%error, "the simulated model cannot wait for its sockets");
            return;
        }
        let now = Instant::now();
        for (index, peer) in peers.iter_mut().enumerate() {
            let readable = sockets.is_ready(index + 1);
            if readable || peer.due() <= now {
                drive(peer, readable);
            }
        }
        changed |= peers.iter().any(Peer::has_ended);
        peers.retain(|peer| !peer.has_ended());
        if sockets.is_ready(0) {
            let closed = matches!(rung.read(&mut [0; 64]), Ok(0));
            for command in inbox.try_iter() {
                match command {
                    Command::Add(peer) => peers.push(*peer),
                    Command::Hangup(id) => {
                        peers.iter_mut().filter(|p| p.call_id() == id).for_each(|p| p.close(End::Hangup));
                    }
                    Command::Stop => return stop(&mut peers),
                }
            }
            changed = true;
            if closed {
                return stop(&mut peers);
            }
        }
    }
}

/// A session that panics ends alone.
fn drive(peer: &mut Peer, readable: bool) {
    if catch_unwind(AssertUnwindSafe(|| peer.drive(readable))).is_err() {
        tracing::error!(call = peer.call_id(), "a simulated session panicked");
        peer.abandon();
    }
}

fn stop(peers: &mut [Peer]) {
    for peer in peers {
        peer.close(End::Shutdown);
        drive(peer, false);
        peer.finish(End::Shutdown);
    }
}
