//! A call's ports: what the network side keeps of it, and what both sides say to each other beside the rings.

use std::fmt;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};

use crossbeam::queue::ArrayQueue;

use crate::call::Command;
use crate::chains::{Down, Up};
use crate::frame::{MediaFrame, Packet};
use crate::guard::forbid_alloc;
use crate::loan::{Borrower, Whereabouts};
use crate::ring::{Bell, Full, Reader, Writer};
use crate::stats::CallStats;
use crate::units::{Clock, Nanos};
use crate::uplink::Progress;
use crate::wish::Wish;
use crate::worker::Link;

/// The network side's three handles on a call, each for another task.
#[derive(Debug)]
pub struct CallPorts {
    /// For the media socket.
    pub media: MediaPort,
    /// For the model's peer.
    pub model: ModelPort,
    /// For the call's task.
    pub control: Control,
}

/// The media socket's port: the caller's frames in, the model's frames out.
pub struct MediaPort {
    pub(crate) push: Writer<MediaFrame>,
    pub(crate) pop: Reader<MediaFrame>,
    pub(crate) uplink: Whereabouts<Up>,
    pub(crate) model_bell: Arc<dyn Bell>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) stats: Arc<CallStats>,
}

impl MediaPort {
    /// Hands in a frame of the caller's. Refused (and counted as `dropped_full`) if the ring is full.
    pub fn push(&mut self, frame: &MediaFrame<impl AsRef<[u8]>>) -> Result<(), Full> {
        let pushed = self.push.push(frame);
        if pushed.is_err() {
            self.stats.dropped_full.add(1);
        }
        if self.uplink.is_lent() {
            self.model_bell.ring()
        } else {
            self.shared.ring()
        }
        pushed
    }

    /// The next frame for the caller, due already: to be sent at once. Whether there was one.
    pub fn pop_into(&mut self, frame: &mut MediaFrame) -> bool {
        let popped = self.pop.pop_into(frame);
        if popped {
            self.shared.took(&self.shared.staged);
        }
        popped
    }

    /// The next frame for the caller. Dearer than [`pop_into`](Self::pop_into): all of its room is moved.
    pub fn pop(&mut self) -> Option<MediaFrame> {
        let mut frame = MediaFrame::default();
        self.pop_into(&mut frame).then_some(frame)
    }

    /// Tells the audio thread when everything handed to the far end will have been played, as the far end's model has it: the far end
    /// plays first in, first out, so what waits there is delay that only leaving out sound takes back. [`Nanos`] 0: not known.
    pub fn set_far_end(&self, ends: Nanos) {
        self.shared.far_end.store(ends.0, Ordering::Relaxed);
    }

    /// Whether the call has left its audio thread: nothing more will come.
    pub fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }
}

/// The model's peer's port: packets for the model out, the model's packets in.
pub struct ModelPort {
    pub(crate) push: Writer<Packet>,
    pub(crate) pop: Reader<Packet>,
    pub(crate) uplink: Borrower<Up>,
    pub(crate) downlink: Borrower<Down>,
    pub(crate) media_bell: Arc<dyn Bell>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) stats: Arc<CallStats>,
}

impl ModelPort {
    /// Runs the uplink here, as long as it only passes bytes on: the audio thread would be woken for each frame to do no more. It is
    /// asked for from the first call on, and back on the audio thread when a codec is needed or [`leave`](Self::leave) is
    /// called. To be called whenever the model's bell has rung, packets were taken from here, or it is time: gives when that is.
    pub fn run_uplink(&mut self, clock: &impl Clock) -> Progress {
        let stats = &*self.stats;
        borrowed(&self.shared, &self.shared.uplink, &mut self.uplink, |up| up.tick(clock, stats))
            .unwrap_or(Progress::NONE)
    }

    /// Runs the downlink here, as long as it only passes on what comes: mu-law to mu-law in calm ([`JitterConfig::at_once`]), for which the
    /// audio thread and then the media socket's would be woken with each packet. It is asked for from the first call on, and back on the
    /// audio thread as soon as there is anything to decode, to wait for or to make up, or [`leave`](Self::leave) is called. To be called
    /// whenever the model's bell has rung, packets were pushed here, or it is time: gives when that is.
    ///
    /// [`JitterConfig::at_once`]: crate::JitterConfig::at_once
    pub fn run_downlink(&mut self, clock: &impl Clock) -> Nanos {
        let (shared, stats) = (&*self.shared, &*self.stats);
        let passed = borrowed(shared, &shared.downlink, &mut self.downlink, |down| {
            (down.pass(clock, shared, stats), down.is_calm())
        });
        let Some((progress, calm)) = passed else { return Nanos::MAX };
        if progress.pushed {
            self.media_bell.ring();
        }
        if !calm {
            self.downlink.give_back();
            self.shared.ring();
            return Nanos::MAX;
        }
        progress.next
    }

    /// Both chains are run by the audio thread again.
    pub fn leave(&mut self) {
        if self.shared.uplink.forgo() | self.shared.downlink.forgo() {
            self.uplink.give_back();
            self.downlink.give_back();
            self.shared.ring();
        }
    }

    /// Whether no packet for the model waits.
    pub fn is_empty(&self) -> bool {
        self.pop.is_empty()
    }

    /// The next packet for the model: to be sent at once. Whether there was one.
    pub fn pop_into(&mut self, packet: &mut Packet) -> bool {
        let popped = self.pop.pop_into(packet);
        if popped {
            self.shared.took(&self.shared.blocked);
        }
        popped
    }

    /// The next packet for the model. Dearer than [`pop_into`](Self::pop_into): all of its room is moved.
    pub fn pop(&mut self) -> Option<Packet> {
        let mut packet = Packet::default();
        self.pop_into(&mut packet).then_some(packet)
    }

    /// Hands in a packet of the model's. Refused (and counted as `dropped_full`) if the ring is full.
    pub fn push(&mut self, packet: &Packet<impl AsRef<[u8]>>) -> Result<(), Full> {
        let pushed = self.push.push(packet);
        if pushed.is_err() {
            self.stats.dropped_full.add(1);
        }
        // While a frame is due anyway, the packet is early enough if it is looked at then: half the wake-ups saved.
        self.shared.took(&self.shared.hungry);
        pushed
    }

    /// Whether the call has left its audio thread: nothing more will come.
    pub fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }
}

/// The call's task's handle. Dropping it stops the call, so that no slot outlives its call.
pub struct Control {
    pub(crate) commands: Arc<ArrayQueue<Command>>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) stats: Arc<CallStats>,
}

impl Control {
    /// Sends a command; commands are obeyed in order, before any audio that arrives later.
    pub fn send(&self, command: Command) -> Result<(), Full> {
        let sent = self.commands.push(command).map_err(|_| Full);
        self.shared.ring();
        sent
    }

    /// When everything handed to the far end will have been played, as last told by [`MediaPort::set_far_end`].
    pub fn far_end(&self) -> Nanos {
        Nanos(self.shared.far_end.load(Ordering::Relaxed))
    }

    /// The call's counters.
    pub fn stats(&self) -> Arc<CallStats> {
        Arc::clone(&self.stats)
    }

    /// Whether the call has left its audio thread.
    pub fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.shared.abandoned.store(true, Ordering::Release);
        self.shared.ring();
    }
}

// Whatever becomes of the port, the chains are not gone with it.
impl Drop for ModelPort {
    fn drop(&mut self) {
        self.leave();
    }
}

impl fmt::Debug for MediaPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MediaPort").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}

impl fmt::Debug for ModelPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelPort").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}

/// Flags between the two halves.
#[derive(Default)]
pub(crate) struct Shared {
    /// Where to ring; unset until the call is given to a worker.
    door: OnceLock<Door>,
    pub(crate) closed: AtomicBool,
    /// The control handle is gone.
    pub(crate) abandoned: AtomicBool,
    /// Where the chains shall be.
    pub(crate) uplink: Terms,
    pub(crate) downlink: Terms,
    /// Uplink packets wait for room.
    pub(crate) blocked: Wish,
    /// Downlink frames wait for room.
    pub(crate) staged: Wish,
    /// A packet must be announced: nothing is due, or it would be before what is.
    pub(crate) hungry: Wish,
    /// See [`MediaPort::set_far_end`], ns. One number that stays true as time passes, so that it needs no lock and no renewal.
    pub(crate) far_end: AtomicU64,
}

impl Shared {
    /// From now on the ports ring there. A call is given to one worker only, once.
    pub(crate) fn connect(&self, link: &Arc<Link>, index: usize) {
        let _ = self.door.set(Door { link: Arc::clone(link), index });
        fence(Ordering::SeqCst);
    }

    fn ring(&self) {
        let mut door = self.door.get();
        if door.is_none() {
            // The call may just be on its way to a worker. With the fence in `connect`, either the door is seen here, or the worker's
            // first look sees what is rung for.
            fence(Ordering::SeqCst);
            door = self.door.get();
        }
        if let Some(door) = door {
            door.link.ring(door.index);
        }
    }

    /// Rings if the audio side wishes to be told.
    fn took(&self, wish: &Wish) {
        if wish.is_set() {
            self.ring();
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

/// What the model's port and the audio thread tell each other of a chain that may be lent.
#[derive(Default)]
pub(crate) struct Terms {
    /// The port would run it.
    asked: AtomicBool,
    /// It may not.
    recalled: AtomicBool,
}

impl Terms {
    /// Whether this was news.
    fn ask(&self) -> bool {
        !self.asked.load(Ordering::Relaxed) && !self.asked.swap(true, Ordering::Release)
    }

    /// Whether it had been asked for.
    fn forgo(&self) -> bool {
        self.asked.swap(false, Ordering::Release)
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }

    pub(crate) fn recall(&self, recalled: bool) {
        self.recalled.store(recalled, Ordering::Release);
    }
}

/// Asks for a chain and works with it if it is here, or hands it over if it is called home.
fn borrowed<T, R>(
    shared: &Shared,
    terms: &Terms,
    chain: &mut Borrower<T>,
    work: impl FnOnce(&mut T) -> R,
) -> Option<R> {
    if terms.ask() {
        shared.ring();
    }
    if terms.recalled.load(Ordering::Acquire) {
        if chain.give_back() {
            shared.ring();
        }
        return None;
    }
    if shared.is_closed() {
        return None;
    }
    chain.with(|chain| forbid_alloc(|| work(chain)))
}

/// A call's place on a worker, as its ports see it.
struct Door {
    link: Arc<Link>,
    index: usize,
}
