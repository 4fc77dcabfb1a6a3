//! One call's two halves: the ports that the network side keeps, and the slot that lives on an audio thread.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};

use crossbeam::queue::ArrayQueue;

use crate::downlink::Downlink;
use crate::frame::{FRAME_MS, MediaFormat, MediaFrame, ModelCodec, Packet};
use crate::jitter::JitterConfig;
use crate::opus::{self, OpusConfig};
use crate::ring::{self, Bell, Full, Item as _, Reader, Writer};
use crate::stats::CallStats;
use crate::units::{Clock, Nanos};
use crate::uplink::Uplink;
use crate::wish::{self, Wish};
use crate::worker::Link;

/// Commands that may wait. A call sees a handful in a minute.
const COMMANDS: usize = 32;
/// Why making the codecs cannot fail.
const TAKEN: &str =
    "libopus takes each of our rates, and the encoder clamps its settings to what libopus takes";

/// How a call sounds on both sides.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct CallConfig {
    /// The media side. Default: 8 kHz mu-law.
    pub media: MediaFormat,
    /// What is sent to the model. What it sends may be any codec, packet by packet.
    pub codec: ModelCodec,
    /// The Opus encoder.
    pub opus: OpusConfig,
    /// The jitter buffer.
    pub jitter: JitterConfig,
}

/// What the control road tells the audio road.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Packets from the model are played again. Calls start like this.
    OpenDownlink,
    /// Everything not yet handed to the media side is forgotten; packets are dropped and counted as `muted` until
    /// [`Command::OpenDownlink`]; later frames carry `generation`. Frames already in the ring to the media side
    /// carry an older one, and its reader drops them.
    Flush {
        /// What later frames carry.
        generation: u32,
    },
    /// Packets to the model are of this codec from now on.
    SetCodec(ModelCodec),
    /// The call leaves its audio thread.
    Stop,
}

/// Makes a call: the ports for the network side, and the slot for [`crate::Workers::add`].
///
/// `media_bell` rings when frames for the media side are ready, `model_bell` when packets for the model are; both
/// ring once more when the slot has stopped, by command, by a panic in it, or because its [`Control`] was dropped.
/// Allocates some 0.12 MB in all for a telephone's media, of which the codec states are 0.05 and not written before
/// Opus is spoken (`tests/memory.rs`).
pub fn call(
    config: CallConfig,
    media_bell: Arc<dyn Bell>,
    model_bell: Arc<dyn Bell>,
) -> (CallPorts, CallSlot) {
    let shared = Arc::new(Shared::default());
    let stats = Arc::new(CallStats::default());
    let commands = Arc::new(ArrayQueue::new(COMMANDS));
    let frame_bytes = config.media.frame_bytes();
    // The bitrate is a mean: single packets are half as long again.
    let packet_bytes = (config.opus.bitrate.min(opus::MAX_BITRATE) / 8 / 1000 * FRAME_MS) as usize * 3 / 2;
    let (uplink_in, from_media) = ring::ring_of(ring::UPLINK_IN_MS, frame_bytes);
    let (to_model, uplink_out) = ring::ring_of(ring::UPLINK_OUT_MS, packet_bytes.max(Packet::USUAL_BYTES));
    let (downlink_in, from_model) = ring::ring(ring::DOWNLINK_IN_MS);
    let (to_media, downlink_out) = ring::ring_of(ring::DOWNLINK_OUT_MS, frame_bytes);
    let slot = Slot {
        uplink: Uplink::new(config.media, config.codec, &config.opus).expect(TAKEN),
        downlink: Downlink::new(config.media, config.jitter).expect(TAKEN),
        from_media,
        to_model,
        from_model,
        to_media,
        commands: Arc::clone(&commands),
        shared: Arc::clone(&shared),
        stats: Arc::clone(&stats),
        media_bell,
        model_bell,
        panic: None,
    };
    let ports = CallPorts {
        media: MediaPort {
            push: uplink_in,
            pop: downlink_out,
            shared: Arc::clone(&shared),
            stats: Arc::clone(&stats),
        },
        model: ModelPort {
            push: downlink_in,
            pop: uplink_out,
            shared: Arc::clone(&shared),
            stats: Arc::clone(&stats),
        },
        control: Control { commands, shared, stats },
    };
    (ports, CallSlot(Box::new(slot)))
}

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
    push: Writer<MediaFrame>,
    pop: Reader<MediaFrame>,
    shared: Arc<Shared>,
    stats: Arc<CallStats>,
}

impl MediaPort {
    /// Hands in a frame of the caller's. Refused (and counted as `dropped_full`) if the ring is full.
    pub fn push(&mut self, frame: &MediaFrame<impl AsRef<[u8]>>) -> Result<(), Full> {
        let pushed = self.push.push(frame);
        if pushed.is_err() {
            self.stats.dropped_full.add(1);
        }
        self.shared.ring();
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
    push: Writer<Packet>,
    pop: Reader<Packet>,
    shared: Arc<Shared>,
    stats: Arc<CallStats>,
}

impl ModelPort {
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
    commands: Arc<ArrayQueue<Command>>,
    shared: Arc<Shared>,
    stats: Arc<CallStats>,
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
struct Shared {
    /// Where to ring; unset until the call is given to a worker.
    door: OnceLock<Door>,
    closed: AtomicBool,
    /// The control handle is gone.
    abandoned: AtomicBool,
    /// Uplink packets wait for room.
    blocked: Wish,
    /// Downlink frames wait for room.
    staged: Wish,
    /// A packet must be announced: nothing is due, or it would be before what is.
    hungry: Wish,
    /// See [`MediaPort::set_far_end`], ns. One number that stays true as time passes, so that it needs no lock and no renewal.
    far_end: AtomicU64,
}

impl Shared {
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

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

/// A call's place on a worker, as its ports see it.
struct Door {
    link: Arc<Link>,
    index: usize,
}

/// The audio thread's half of a call, on its way to a worker.
pub struct CallSlot(pub(crate) Box<Slot>);

impl CallSlot {
    /// From now on the ports ring at `link`. A call is given to one worker only, once.
    pub(crate) fn connect(&self, link: &Arc<Link>, index: usize) {
        let _ = self.0.shared.door.set(Door { link: Arc::clone(link), index });
        fence(Ordering::SeqCst);
    }
}

impl fmt::Debug for CallSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallSlot").finish_non_exhaustive()
    }
}

/// What lives on the audio thread.
pub(crate) struct Slot {
    uplink: Uplink,
    downlink: Downlink,
    from_media: Reader<MediaFrame>,
    to_model: Writer<Packet>,
    from_model: Reader<Packet>,
    to_media: Writer<MediaFrame>,
    commands: Arc<ArrayQueue<Command>>,
    shared: Arc<Shared>,
    stats: Arc<CallStats>,
    media_bell: Arc<dyn Bell>,
    model_bell: Arc<dyn Bell>,
    /// What a panic in here carried: freed outside with the rest.
    pub(crate) panic: Option<Box<dyn Any + Send>>,
}

impl Slot {
    /// One bounded step of both chains. Gives when it must come again, or `None` when the call is over.
    pub(crate) fn tick(&mut self, clock: &impl Clock) -> Option<Nanos> {
        while let Some(command) = self.commands.pop() {
            match command {
                Command::OpenDownlink => self.downlink.open(),
                Command::Flush { generation } => {
                    self.downlink.flush(generation);
                    // What has arrived is of the old reply, also if the next command opens the downlink again.
                    while self.from_model.pop().is_some() {
                        self.stats.packets_in.add(1);
                        self.stats.muted.add(1);
                    }
                }
                Command::SetCodec(codec) => self.uplink.set_codec(codec),
                Command::Stop => return None,
            }
        }
        if self.shared.abandoned.load(Ordering::Acquire) {
            return None;
        }
        self.downlink.set_far_end(Nanos(self.shared.far_end.load(Ordering::Relaxed)));
        // Downward first: it is what is due.
        let down = self.downlink.tick(clock, &mut self.from_model, &mut self.to_media, &self.stats);
        if down.pushed {
            self.media_bell.ring();
        }
        let up = self.uplink.tick(clock, &mut self.from_media, &mut self.to_model, &self.stats);
        if up.pushed {
            self.model_bell.ring();
        }

        let hungry = down.next == Nanos::MAX || self.downlink.is_hungry();
        self.shared.hungry.set(hungry);
        self.shared.blocked.set(up.blocked);
        self.shared.staged.set(down.blocked);
        let mut next = down.next.min(up.next);
        if hungry || up.blocked || down.blocked {
            wish::settle();
            let missed = (hungry && !self.from_model.is_empty())
                || (up.blocked && crate::uplink::room(&self.to_model))
                || (down.blocked && self.to_media.free() > 0);
            if missed {
                next = clock.now();
            }
        }
        Some(next)
    }

    /// The ports are told that it is over.
    pub(crate) fn close(&self) {
        self.shared.closed.store(true, Ordering::Release);
        self.media_bell.ring();
        self.model_bell.ring();
    }
}

// A call that never reached a worker, or whose worker is shut down, is closed all the same.
impl Drop for Slot {
    fn drop(&mut self) {
        if !self.shared.is_closed() {
            self.close();
        }
    }
}

#[cfg(test)]
#[path = "call_tests.rs"]
mod tests;
