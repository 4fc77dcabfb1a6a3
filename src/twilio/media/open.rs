//! The first seconds of a media socket: `connected`, then `start` with the one-time token of its call.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use pipeline::MediaFormat;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::{StreamEnd, broken, dropped};
use crate::call::{AttachError, Attached};
use crate::hosting::Registry;
use crate::twilio::order::{Kind, Phase};
use crate::twilio::twiml::TOKEN_PARAMETER;
use crate::twilio::wire::{Event, Start, parse};

/// From the upgrade to `start`. Twilio sends it one round trip after the upgrade.
pub const START_TIMEOUT: Duration = Duration::from_secs(5);
/// Messages before `start`: Twilio sends one; room for pings and for events that may be added.
const MAX_MESSAGES: usize = 16;
/// How long the call may take to make room for its stream.
const ATTACH_TIMEOUT: Duration = Duration::from_secs(5);

/// A stream that has proved to be its call's, and its share of the call.
pub(super) struct Opened {
    pub start: Start,
    pub format: MediaFormat,
    pub cancelled: Arc<Notify>,
    pub attached: Attached,
    /// The number of the next message.
    pub sequence: Option<u64>,
}

pub(super) async fn open<S>(ws: &mut WebSocketStream<S>, registry: &Registry) -> Result<Opened, StreamEnd>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut start, sequence) = tokio::time::timeout(START_TIMEOUT, first_messages(ws))
        .await
        .map_err(|_| StreamEnd::StartTimeout)??;
    let token = start.parameters.remove(TOKEN_PARAMETER).ok_or(StreamEnd::NoToken)?;
    if !start.is_inbound_only() {
        return Err(StreamEnd::WrongTrack);
    }
    let format = start.media_format.audio().ok_or(StreamEnd::WrongFormat)?;
    let claim = registry.claim(&token, &start, Instant::now()).map_err(StreamEnd::Unclaimed)?;
    let attached = match tokio::time::timeout(ATTACH_TIMEOUT, claim.line.attach(start.clone())).await {
        Ok(attached) => attached.map_err(StreamEnd::Unattached),
        Err(_) => Err(StreamEnd::Unattached(AttachError::Ended)),
    };
    match attached {
        Ok(attached) => Ok(Opened { start, format, cancelled: claim.cancelled, attached, sequence }),
        Err(end) => {
            registry.stream_closed(&start.call_sid, &start.stream_sid, true);
            Err(end)
        }
    }
}

async fn first_messages<S>(ws: &mut WebSocketStream<S>) -> Result<(Start, Option<u64>), StreamEnd>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut phase = Phase::default();
    for _ in 0..MAX_MESSAGES {
        let text = match ws.next().await {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
            Some(Ok(Message::Binary(_))) => return Err(StreamEnd::Binary),
            Some(Ok(Message::Close(_))) | None => return Err(StreamEnd::ClosedByPeer),
            Some(Err(error)) => return Err(broken(&error)),
        };
        let message = parse(&text).map_err(|_| StreamEnd::Malformed)?;
        let kind = match &message.event {
            Event::Connected => Kind::Connected,
            Event::Start(_) => Kind::Start,
            Event::Media(_) => Kind::Media,
            Event::Dtmf(_) => Kind::Dtmf,
            Event::Mark(_) => Kind::Mark,
            Event::Stop => Kind::Stop,
            Event::Unknown => {
                dropped("unknown_event");
                continue;
            }
        };
        phase = phase.after(kind).map_err(|_| StreamEnd::OutOfOrder)?;
        if let Event::Start(start) = message.event {
            let next = message.sequence.and_then(|number| number.checked_add(1));
            return Ok((start, next));
        }
    }
    Err(StreamEnd::Flood)
}
