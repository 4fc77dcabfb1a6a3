//! A WebSocket that writes while it waits for something to read.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::{Sink, Stream as _};
use pipeline::{AgeHistogram, Nanos};
use reqwest::Upgraded;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// Largest message that is read. A minute of mu-law in base64 is 640 kB, and a delta carries less than a second; whoever sends more is not
/// the model.
const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;
/// The WebSocket's read buffer. Deltas of 200 ms are 2 KB; it grows for what is larger.
const READ_BUFFER_BYTES: usize = 4096;
/// What may wait in the WebSocket layer: one message, of which a `session.update` with long instructions and many tools is the largest.
const MAX_WRITE_BUFFER_BYTES: usize = 1024 * 1024;
/// Messages that wait for a socket that does not take them: half a second of the caller's frames, and the call's events.
pub const MAX_WAITING: usize = 64;

/// The WebSocket's settings.
pub fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        // Each message leaves at once.
        .write_buffer_size(0)
        .max_write_buffer_size(MAX_WRITE_BUFFER_BYTES)
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES))
}

/// The stream and what waits to be written to it.
pub struct Stream {
    ws: WebSocketStream<Upgraded>,
    waiting: VecDeque<(Message, Option<Nanos>)>,
}

impl Stream {
    /// Nothing waits.
    pub fn new(ws: WebSocketStream<Upgraded>) -> Self {
        Self { ws, waiting: VecDeque::new() }
    }

    /// Whether [`MAX_WAITING`] messages wait.
    pub fn is_full(&self) -> bool {
        self.waiting.len() >= MAX_WAITING
    }

    /// Writes a message with the next [`Self::next`], behind those that wait. `born` is that of the sound in it.
    pub fn push(&mut self, message: Message, born: Option<Nanos>) {
        self.waiting.push_back((message, born));
    }

    /// Writes what waits until a message can be read; `None` once the connection is gone. `sent` is filled with the
    /// age of the sound that leaves. May be dropped and called again at any time.
    pub async fn next(&mut self, sent: Option<&AgeHistogram>) -> Option<Message> {
        poll_fn(|cx| {
            if self.poll_write(cx, sent).is_err() {
                return Poll::Ready(None);
            }
            Pin::new(&mut self.ws).poll_next(cx).map(|message| message?.ok())
        })
        .await
    }

    /// Writes what waits, as far as the socket takes it.
    fn poll_write(&mut self, cx: &mut Context<'_>, sent: Option<&AgeHistogram>) -> Result<(), ()> {
        let mut ws = Pin::new(&mut self.ws);
        while !self.waiting.is_empty() {
            match ws.as_mut().poll_ready(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Err(()),
                Poll::Pending => return Ok(()),
            }
            let Some((message, born)) = self.waiting.pop_front() else { break };
            ws.as_mut().start_send(message).map_err(|_| ())?;
            if let (Some(born), Some(sent)) = (born, sent) {
                sent.record(pipeline::now().saturating_sub(born));
            }
        }
        match ws.poll_flush(cx) {
            Poll::Ready(Err(_)) => Err(()),
            _ => Ok(()),
        }
    }

    /// Writes what waits and a close frame. The caller bounds the time.
    pub async fn close(mut self) {
        poll_fn(|cx| match self.poll_write(cx, None) {
            Ok(()) if !self.waiting.is_empty() => Poll::Pending,
            _ => Poll::Ready(()),
        })
        .await;
        // The server may have gone first.
        let _ = self.ws.close(None).await;
    }
}
