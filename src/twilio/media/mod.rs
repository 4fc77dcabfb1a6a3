//! One media socket, from the upgrade to its end.
//!
//! ```text
//! connected, start (token, 5 s) ─► claim ─► attach ─► reader ║ writer ─► close
//! ```
//! Reader and writer are two futures of one task: neither waits for the other, and when either is done the socket is closed.

mod close;
mod end;
mod intake;
mod kept;
mod late;
mod open;
mod pings;
mod quiet;
mod reader;
mod socket;
mod sources;
mod voice;
mod watchdog;
mod writer;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

pub use end::StreamEnd;
pub use intake::{Intake, Taken};
pub use socket::Socket;

use self::kept::Kept;
use self::open::Opened;
use self::pings::Pings;
use self::quiet::Quiet;
use self::reader::Reader;
use self::sources::Sources;
use self::voice::Voice;
use self::writer::Writer;
use super::far_end::FarEnd;
use super::order::Phase;
use super::wire::{MAX_MESSAGE_BYTES, Outgoing};
use crate::call::{MediaClosed, MediaEvent};
use crate::hosting::Registry;

/// The WebSocket's read buffer: six of Twilio's messages. The default of 128 KiB costs as much memory per call, and 8 µs a
/// message.
const READ_BUFFER_BYTES: usize = 2048;
/// A message of sound and the mark behind it leave as one: a call of the system takes longer than both. Whatever is alone leaves at once,
/// because it is flushed.
const WRITE_BUFFER_BYTES: usize = 1024;
/// What may wait in the WebSocket layer for a socket that does not take it. One message waits at a time; pongs come on top.
const MAX_WRITE_BUFFER_BYTES: usize = 16 * 1024;
/// How long the call may take to hear that its stream is gone.
const TELL_TIMEOUT: Duration = Duration::from_secs(1);

/// The WebSocket's settings, on this side.
pub fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_write_buffer_size(MAX_WRITE_BUFFER_BYTES)
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES))
}

/// Serves an upgraded socket until it is refused or handed to its call's core, where it is served to its end. `read` is what the peer sent
/// behind its request; `claimed` is called once the stream has proved to be its call's.
pub async fn run<S: Socket>(io: S, read: Vec<u8>, registry: &Arc<Registry>, claimed: impl FnOnce()) {
    let mut ws = WebSocketStream::from_partially_read(io, read, Role::Server, Some(config())).await;
    match open::open(&mut ws, registry).await {
        Ok(opened) => {
            claimed();
            let runtime = opened.attached.runtime.clone();
            runtime.spawn(served(ws, opened, Arc::clone(registry)));
        }
        Err(end) => {
            metrics::counter!("aria_streams_refused_total", "reason" => end.as_str()).increment(1);
            tracing::warn!(reason = end.as_str(), "media stream refused");
            ended(ws, end).await;
        }
    }
}

async fn served<S: Socket>(mut ws: WebSocketStream<S>, opened: Opened, registry: Arc<Registry>) {
    if let Err(error) = ws.get_mut().register_here() {
        // It may go on: who hears of it from afar hears of it later.
        tracing::warn!(%error, "a media socket stays on another thread than its call");
    }
    let (ws, end) = stream(ws, opened, &registry).await;
    ended(ws, end).await;
}

async fn ended<S: Socket>(ws: WebSocketStream<S>, end: StreamEnd) {
    metrics::counter!("aria_stream_ends_total", "outcome" => end.as_str()).increment(1);
    close::close(ws, end).await;
}

async fn stream<S: Socket>(
    ws: WebSocketStream<S>,
    opened: Opened,
    registry: &Registry,
) -> (WebSocketStream<S>, StreamEnd) {
    let Opened { start, format, cancelled, attached, sequence } = opened;
    tracing::info!(call = %start.call_sid, stream = %start.stream_sid, "media stream started");
    let (mut sink, mut source) = ws.split();
    let (port, far_end) = (Mutex::new(attached.port), Mutex::new(FarEnd::new(format.rate)));
    let (pings, quiet, mut sources) = (Pings::default(), Quiet::default(), Sources::default());
    let events = attached.events;
    let tape = attached.tape;
    let reader = Reader {
        stream: &mut source,
        port: &port,
        far_end: &far_end,
        pings: &pings,
        quiet: &quiet,
        events: events.clone(),
        cancelled: &cancelled,
        listening: &attached.listening,
        tape: tape.as_deref(),
        intake: Intake::new(format),
        kept: Kept::default(),
        stream_sid: &start.stream_sid,
        phase: Phase::Started,
        sequence,
    };
    let writer = Writer {
        sink: &mut sink,
        port: &port,
        far_end: &far_end,
        pings: &pings,
        quiet: &quiet,
        bell: &attached.bell,
        commands: attached.commands,
        events: events.clone(),
        written: &attached.written,
        ahead: &attached.ahead,
        tape: tape.as_deref(),
        format,
        sources: &mut sources,
        voice: Voice::default(),
        out: Outgoing::new(&start.stream_sid),
    };
    let end = {
        // Not a `select!`, which polls both whenever one is woken: they are woken in turn, with every frame.
        let halves: [BoxFuture<'_, StreamEnd>; 2] = [Box::pin(reader.run()), Box::pin(writer.run())];
        let first = halves.into_iter().collect::<FuturesUnordered<_>>().next().await;
        first.expect("there are two of them")
    };
    if let Some(tape) = &tape
        && let Some(now) = lock(&far_end).caller_time(pipeline::now())
    {
        // What waits at Twilio goes with the stream.
        lock(tape).cut(now);
    }
    tracing::info!(call = %start.call_sid, stream = %start.stream_sid, outcome = end.as_str(), "media stream ended");
    let by_us = matches!(end, StreamEnd::ClosedByCall { .. } | StreamEnd::CallEnded);
    registry.stream_closed(&start.call_sid, &start.stream_sid, by_us);
    let why = end.why();
    // Nothing that was sent after Twilio's last sign was played.
    let last_sign = |far_end: &mut FarEnd| far_end.clear(far_end.last_sign());
    let played = (why == MediaClosed::Lost).then(|| sources.at(last_sign(&mut lock(&far_end)))).flatten();
    // The last event must arrive; nobody waits for this socket any more.
    let _ = tokio::time::timeout(TELL_TIMEOUT, events.send(MediaEvent::Closed { why, played })).await;
    (sink.reunite(source).expect("both halves are of this stream"), end)
}

/// What a failed read means.
fn broken(error: &Error) -> StreamEnd {
    match error {
        Error::Capacity(CapacityError::MessageTooLong { .. }) => StreamEnd::TooLarge,
        Error::Utf8(_) => StreamEnd::NotUtf8,
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) | Error::Io(_) => StreamEnd::Reset,
        Error::ConnectionClosed | Error::AlreadyClosed => StreamEnd::ClosedByPeer,
        _ => StreamEnd::Framing,
    }
}

/// Counts something of a stream that went no further.
fn dropped(reason: &'static str) {
    metrics::counter!("aria_stream_dropped_total", "reason" => reason).increment(1);
}

/// The two futures of a task never run at once, so this never waits; and neither panics while it holds one.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

impl StreamEnd {
    /// Whether the peer is to blame.
    pub fn is_refusal(self) -> bool {
        self.why() == MediaClosed::Refused
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use futures_util::SinkExt;
    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
    use tokio_tungstenite::tungstenite::Message;

    use super::*;

    /// How often it was written to.
    #[derive(Default)]
    struct Writes(usize);

    impl AsyncRead for Writes {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Writes {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.0 += 1;
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn a_message_leaves_at_once_and_one_that_is_fed_with_the_next() {
        let mut out = Outgoing::new("MZ0123456789abcdef0123456789abcdef");
        let mut ws = WebSocketStream::from_raw_socket(Writes::default(), Role::Server, Some(config())).await;
        ws.send(Message::Text(out.media(&[0; 160]))).await.unwrap();
        assert_eq!(ws.get_ref().0, 1);
        ws.feed(Message::Text(out.media(&[0; 160]))).await.unwrap();
        assert_eq!(ws.get_ref().0, 1, "it waits for the mark behind it");
        ws.send(Message::Text(out.mark("g0:8"))).await.unwrap();
        assert_eq!(ws.get_ref().0, 2);
    }
}
