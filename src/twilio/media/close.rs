//! The orderly end of a media socket.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::StreamEnd;

/// How long the peer may take to answer our close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// What is still read of a peer that was refused, bytes. Closing with unread data would make the kernel reset the connection, and
/// the peer would never see why it was closed.
const LINGER_BYTES: usize = 256 * 1024;

pub(super) async fn close<S>(mut ws: WebSocketStream<S>, end: StreamEnd)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let closing = async {
        match end.close() {
            Some((code, reason)) => {
                let frame = CloseFrame { code: code.into(), reason: reason.into() };
                if ws.close(Some(frame)).await.is_err() {
                    return;
                }
                // Until the peer's own close; what it had already sent is of no use now.
                while let Some(Ok(message)) = ws.next().await {
                    if matches!(message, Message::Close(_)) {
                        break;
                    }
                }
            }
            // The peer's close is answered by reading on.
            None if end == StreamEnd::ClosedByPeer => while let Some(Ok(_)) = ws.next().await {},
            None => return,
        }
        let io = ws.get_mut();
        if io.shutdown().await.is_err() {
            return;
        }
        let (mut rest, mut room) = ([0; 4096], LINGER_BYTES);
        while let Ok(n @ 1..) = io.read(&mut rest).await {
            room = room.saturating_sub(n);
            if room == 0 {
                break;
            }
        }
    };
    // Late is as good as never: the socket is dropped either way.
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, closing).await;
}
