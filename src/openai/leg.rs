//! The model side of a call behind one small boundary: events and audio in our own words.
//!
//! [`open`] gets a session by whichever way is to be had, [`Opened::start`] sets it to work as a `link::Link`. A way is a module
//! (`rtc`, `socket`) that takes [`LegCommand`]s, tells [`LegEvent`]s and moves sound between the model and a [`ModelPort`]; another
//! protocol is one more. What a way lacks it makes up: over a WebSocket the leg plays the reply itself and tells of it in the words
//! that the server has over WebRTC.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pipeline::{AgeHistogram, ModelCodec, ModelPort};
use tokio::sync::mpsc;

use super::connect::{self, Client, ConnectError, Hold};
use super::received::Received;
use super::{rtc, socket};
use crate::bell::TaskBell;

pub use crate::config::Transport;

/// Commands waiting for the leg; over WebRTC also texts that wait for the channel to open.
pub const COMMAND_QUEUE: usize = 64;
/// Events waiting for the call's task: some seconds of transcript deltas.
pub const EVENT_QUEUE: usize = 512;
/// Of the set-up's budget, how much is WebRTC's where a WebSocket may follow it: the rest is three round trips and TLS.
const WEBRTC_SHARE: Duration = Duration::from_secs(2);
/// From the answer to ICE and DTLS being up, where a WebSocket may follow: four round trips to a far region. Longer is UDP that does not
/// pass.
const ICE_LIMIT: Duration = Duration::from_secs(1);
/// What a WebSocket is given to come up in, however late it is. After a slow answer and ICE that fails it goes beyond the budget, for
/// which the caller hears the ringing tone longer instead of an apology.
const SOCKET_LIMIT: Duration = Duration::from_secs(1);

/// What the call wants of its leg.
#[derive(Debug)]
pub enum LegCommand {
    /// Send an event. Before the channel is open it waits.
    Text(String),
    /// Sound flows from now on.
    Audio(Box<Rings>),
    /// The caller has interrupted: nothing more of what the model has said may sound. Over WebRTC the server knows by itself.
    Interrupt {
        /// How much was heard since the last `output_audio_buffer.started`, ms, as far as the call knows. Otherwise the leg reckons by
        /// what it has given to the rings.
        heard_ms: Option<u32>,
    },
    /// Close the connection and end the task.
    Close,
}

/// The call's rings, as a leg has them.
#[derive(Debug)]
pub struct Rings {
    /// The model's end of them.
    pub port: ModelPort,
    /// Rung when packets for the model are there.
    pub bell: Arc<TaskBell>,
    /// Filled with the age of the caller's sound when it leaves.
    pub sent: Arc<AgeHistogram>,
}

/// What the leg tells the call.
#[derive(Debug)]
pub enum LegEvent {
    /// The connection is up: ICE and DTLS, or the WebSocket.
    Connected,
    /// Events can be sent.
    ChannelOpen,
    /// An event of the server, or one that the leg makes in its place.
    Text(String),
    /// The first sound of the caller left.
    FirstFrameOut,
    /// The connection is gone; always the last event.
    Lost,
}

/// Resolves when packets for the model are there; never without a bell.
pub(super) async fn rung(bell: Option<&TaskBell>) {
    match bell {
        Some(bell) => bell.rung().await,
        None => std::future::pending().await,
    }
}

enum Way {
    WebRtc(Box<rtc::Leg>),
    WebSocket(Box<socket::Leg>),
}

/// A granted session, not yet running. Dropped it is given back.
pub struct Opened {
    way: Way,
    /// The claim to the session; a WebSocket has none and needs none.
    pub(super) hold: Option<Hold>,
    /// What the model wants to hear.
    pub codec: ModelCodec,
}

impl Opened {
    /// The way that was taken: never [`Transport::Auto`].
    pub fn transport(&self) -> Transport {
        match self.way {
            Way::WebRtc(_) => Transport::WebRtc,
            Way::WebSocket(_) => Transport::WebSocket,
        }
    }

    /// Drives the leg until it is closed or lost, and gives the call's rings back. `received` is filled with where the model's sound has
    /// come to.
    pub(super) async fn run(
        self,
        received: Arc<Received>,
        commands: mpsc::Receiver<LegCommand>,
        events: mpsc::Sender<LegEvent>,
    ) -> Option<ModelPort> {
        match self.way {
            Way::WebRtc(leg) => rtc::run(*leg, received, commands, events).await,
            Way::WebSocket(leg) => socket::run(*leg, received, commands, events).await,
        }
    }
}

impl From<rtc::Granted> for Opened {
    fn from(granted: rtc::Granted) -> Self {
        let (leg, hold) = granted.part();
        Self { hold: Some(hold), codec: leg.codec, way: Way::WebRtc(Box::new(leg)) }
    }
}

impl From<socket::Leg> for Opened {
    fn from(leg: socket::Leg) -> Self {
        Self { hold: None, codec: ModelCodec::Pcmu, way: Way::WebSocket(Box::new(leg)) }
    }
}

/// Gets a session within [`connect::BUDGET`]. `session` is the whole session as JSON, `caller` a name for the caller that hides the number,
/// `codecs` what is offered over WebRTC, in order. Nobody waits for it any more once `wanted` is false.
///
/// # Errors
///
/// The last refusal of the last way that was tried.
pub async fn open(
    client: &Client,
    session: &str,
    caller: &str,
    codecs: &[ModelCodec],
    transport: Transport,
    wanted: &AtomicBool,
) -> Result<Opened, ConnectError> {
    let begun = Instant::now();
    let end = begun + connect::BUDGET;
    let refused = match transport {
        Transport::WebRtc => {
            return Ok(rtc::open(client, session, caller, codecs, end, wanted).await?.into());
        }
        Transport::WebSocket => return Ok(socket::open(client, session, caller, end, wanted).await?.into()),
        Transport::Auto => {
            match connected(client, session, caller, codecs, begun + WEBRTC_SHARE, wanted).await {
                Ok(leg) => return Ok(leg.into()),
                Err(error) => error,
            }
        }
    };
    if refused.is_final() || !wanted.load(Ordering::Relaxed) {
        return Err(refused);
    }
    metrics::counter!("aria_model_fallbacks_total", "reason" => refused.reason()).increment(1);
    tracing::warn!(error = %refused, "no WebRTC with the model: trying a WebSocket");
    let end = end.max(Instant::now() + SOCKET_LIMIT);
    Ok(socket::open(client, session, caller, end, wanted).await?.into())
}

/// WebRTC that is known to work.
async fn connected(
    client: &Client,
    session: &str,
    caller: &str,
    codecs: &[ModelCodec],
    until: Instant,
    wanted: &AtomicBool,
) -> Result<rtc::Granted, ConnectError> {
    let mut granted = rtc::open(client, session, caller, codecs, until, wanted).await?;
    granted.connect(Instant::now() + ICE_LIMIT).await?;
    Ok(granted)
}
