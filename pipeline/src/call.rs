//! One call's two halves: the ports that the network side keeps, and the slot that lives on an audio thread.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam::queue::ArrayQueue;

use crate::chains::{Down, Up};
use crate::downlink::Downlink;
use crate::frame::{FRAME_MS, MediaFormat, ModelCodec, Packet};
use crate::jitter::JitterConfig;
use crate::loan::{self, Owner};
use crate::opus::{self, OpusConfig};
use crate::ports::{CallPorts, Control, MediaPort, ModelPort, Shared};
use crate::ring::{self, Bell, Item as _};
use crate::stats::CallStats;
use crate::units::{Clock, Nanos};
use crate::uplink::{self, Progress, Uplink};
use crate::wish;
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
    let up = Up {
        chain: Uplink::new(config.media, config.codec, &config.opus).expect(TAKEN),
        from_media,
        to_model,
    };
    let (uplink, uplink_borrower) = loan::loan(up);
    let whereabouts = uplink.whereabouts();
    let chain = Downlink::new(config.media, config.jitter).expect(TAKEN);
    let (downlink, downlink_borrower) = loan::loan(Down::new(chain, from_model, to_media));
    let slot = Slot {
        media: config.media,
        codec: config.codec,
        uplink,
        downlink,
        commands: Arc::clone(&commands),
        postponed: None,
        shared: Arc::clone(&shared),
        stats: Arc::clone(&stats),
        media_bell: Arc::clone(&media_bell),
        model_bell: Arc::clone(&model_bell),
        panic: None,
    };
    let ports = CallPorts {
        media: MediaPort {
            push: uplink_in,
            pop: downlink_out,
            uplink: whereabouts,
            model_bell,
            shared: Arc::clone(&shared),
            stats: Arc::clone(&stats),
        },
        model: ModelPort {
            push: downlink_in,
            pop: uplink_out,
            uplink: uplink_borrower,
            downlink: downlink_borrower,
            media_bell,
            shared: Arc::clone(&shared),
            stats: Arc::clone(&stats),
        },
        control: Control { commands, shared, stats },
    };
    (ports, CallSlot(Box::new(slot)))
}

/// The audio thread's half of a call, on its way to a worker.
pub struct CallSlot(pub(crate) Box<Slot>);

impl CallSlot {
    /// From now on the ports ring at `link`. A call is given to one worker only, once.
    pub(crate) fn connect(&self, link: &Arc<Link>, index: usize) {
        self.0.shared.connect(link, index);
    }
}

impl fmt::Debug for CallSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallSlot").finish_non_exhaustive()
    }
}

/// What lives on the audio thread.
pub(crate) struct Slot {
    media: MediaFormat,
    /// What is sent to the model.
    codec: ModelCodec,
    /// Lent to the model's peer while there is nothing to encode.
    uplink: Owner<Up>,
    /// Lent to it while there is nothing to decode, to wait for or to make up.
    downlink: Owner<Down>,
    commands: Arc<ArrayQueue<Command>>,
    /// A command that waits for the downlink to come back.
    postponed: Option<Command>,
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
        while let Some(command) = self.postponed.take().or_else(|| self.commands.pop()) {
            match command {
                Command::OpenDownlink | Command::Flush { .. } => {
                    if !self.obey(command) {
                        self.postponed = Some(command);
                        break;
                    }
                }
                Command::SetCodec(codec) => self.codec = codec,
                Command::Stop => return None,
            }
        }
        if self.shared.abandoned.load(Ordering::Acquire) {
            return None;
        }
        // Downward first: it is what is due.
        let (down, hungry) = self.tick_downlink(clock);
        let up = self.tick_uplink(clock);

        self.shared.hungry.set(hungry);
        self.shared.blocked.set(up.blocked);
        self.shared.staged.set(down.blocked);
        let mut next = down.next.min(up.next);
        if hungry || up.blocked || down.blocked {
            wish::settle();
            let missed = (hungry && self.downlink.with(|down| !down.from_model.is_empty()).unwrap_or(false))
                || (up.blocked && self.uplink.with(|up| uplink::room(&up.to_model)).unwrap_or(false))
                || (down.blocked && self.downlink.with(|down| down.to_media.free() > 0).unwrap_or(false));
            if missed {
                next = clock.now();
            }
        }
        Some(next)
    }

    /// Does what concerns the downlink, if that is here.
    fn obey(&mut self, command: Command) -> bool {
        let stats = &self.stats;
        let obeyed = self.downlink.with(|down| match command {
            Command::OpenDownlink => down.chain.open(),
            Command::Flush { generation } => {
                down.chain.flush(generation);
                // What has arrived is of the old reply, also if the next command opens the downlink again.
                while down.from_model.pop().is_some() {
                    stats.packets_in.add(1);
                    stats.muted.add(1);
                }
            }
            Command::SetCodec(_) | Command::Stop => {}
        });
        obeyed.is_some()
    }

    /// Runs the chain downward, or sees to it that it is where it belongs. With it whether the next packet must be announced.
    fn tick_downlink(&mut self, clock: &impl Clock) -> (Progress, bool) {
        let recalled = self.postponed.is_some();
        self.shared.downlink.recall(recalled);
        let (shared, stats) = (&*self.shared, &*self.stats);
        let ticked = self.downlink.with(|down| {
            let progress = down.tick(clock, shared, stats);
            (progress, progress.next == Nanos::MAX || down.chain.is_hungry(), down.is_calm())
        });
        let Some((progress, hungry, calm)) = ticked else {
            // Until it is back, its borrower is reminded.
            if recalled {
                self.model_bell.ring();
            }
            return (Progress::NONE, false);
        };
        if progress.pushed {
            self.media_bell.ring();
        }
        if calm && shared.downlink.is_asked() && self.downlink.offer(|_| ()) {
            self.model_bell.ring();
            return (Progress::NONE, false);
        }
        (progress, hungry)
    }

    /// Runs the chain upward, or sees to it that it is where it belongs.
    fn tick_uplink(&mut self, clock: &impl Clock) -> Progress {
        let (codec, stats) = (self.codec, &self.stats);
        let lend = self.shared.uplink.is_asked() && uplink::is_identity(self.media, codec);
        self.shared.uplink.recall(!lend);
        if lend {
            if self.uplink.offer(|up| up.chain.set_codec(codec)) {
                self.model_bell.ring();
            }
            return Progress::NONE;
        }
        let progress = self.uplink.with(|up| {
            up.chain.set_codec(codec);
            up.tick(clock, stats)
        });
        // Until it is back, its borrower is reminded.
        if progress.is_none_or(|progress| progress.pushed) {
            self.model_bell.ring();
        }
        progress.unwrap_or(Progress::NONE)
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
