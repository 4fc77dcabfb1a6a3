//! The WebSocket handshake of a media stream, done by hand (RFC 6455, 4.2), so that the socket's buffers are ours to set and
//! nothing is upgraded before its signature was checked.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::App;
use super::server::Peer;
use crate::twilio::form::Form;
use crate::twilio::media;
use crate::twilio::public_url::MEDIA_PATH;
use crate::twilio::signature::{SETTINGS_HEADER, SIGNATURE_HEADER};

/// The one version of the protocol.
const VERSION: &str = "13";
/// The kernel's send buffer of a media socket, bytes (Linux doubles it for its own needs). It holds what is on its way over the
/// longest round trip, half a second of messages; beyond that a peer that does not read is noticed instead of buffered for. The
/// kernel's own choice would grow to megabytes, minutes of sound.
const SEND_BUFFER_BYTES: u32 = 16 * 1024;
/// Length of a key: 16 bytes in base64.
const KEY_CHARS: usize = 24;

/// The media of a call: Twilio Media Streams, both ways, over a WebSocket (RFC 6455).
/// <https://www.twilio.com/docs/voice/media-streams/websocket-messages>
#[utoipa::path(
    get,
    operation_id = "media",
    path = MEDIA_PATH,
    tag = "Twilio",
    security(("twilio" = [])),
    responses(
        (status = 101, description = "The WebSocket; `start` must carry the call's one-time token within 5 s"),
        (status = 400, description = "`Sec-WebSocket-Key` is missing or wrong"),
        (status = 403, description = "The signature is missing or wrong"),
        (status = 426, description = "It is no handshake of a WebSocket, version 13"),
    )
)]
pub(super) async fn media(State(app): State<Arc<App>>, mut request: Request) -> Response {
    if !app.unsigned_allowed && !is_signed(&app, &request) {
        if app.refused("upgrade_signature") {
            tracing::warn!("a media stream's signature is missing or wrong");
        }
        return StatusCode::FORBIDDEN.into_response();
    }
    let key = match accept_key(request.headers()) {
        Ok(key) => key,
        Err(status) => {
            app.refused("upgrade_malformed");
            let hints = [(header::UPGRADE, "websocket"), (header::SEC_WEBSOCKET_VERSION, VERSION)];
            return (status, hints).into_response();
        }
    };
    let peer = request.extensions().get::<Peer>().cloned();
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        // The peer may leave between our answer and here.
        let Ok(upgraded) = upgrade.await else { return };
        let upgraded = match upgraded.downcast::<TokioIo<TcpStream>>() {
            Ok(parts) => {
                let tcp = parts.io.into_inner();
                let small = small_send_buffer(&tcp);
                return converse(tcp, small, parts.read_buf, &app, peer).await;
            }
            Err(upgraded) => upgraded,
        };
        match upgraded.downcast::<TokioIo<TlsStream<TcpStream>>>() {
            Ok(parts) => {
                let tls = parts.io.into_inner();
                let small = small_send_buffer(tls.get_ref().0);
                // Boxed: a call without TLS would have the room for it as well.
                Box::pin(converse(tls, small, parts.read_buf, &app, peer)).await;
            }
            Err(_) => tracing::error!("an upgraded connection is not of this server"),
        }
    });
    let headers = [
        (header::CONNECTION, HeaderValue::from_static("Upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::SEC_WEBSOCKET_ACCEPT, key),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

/// Runs the media stream on a socket whose send buffer is `small`, or could not be made so.
async fn converse<S>(socket: S, small: io::Result<()>, read: Bytes, app: &App, peer: Option<Peer>)
where
    S: media::Socket,
{
    let claimed = || {
        if let Some(peer) = &peer {
            peer.slot.leave();
        }
    };
    // As a rule that is nothing: a copy of it, so that the buffer it was read into goes back now and not at the end of the call.
    let copy = read.to_vec();
    drop(read);
    match small {
        Ok(()) => media::run(socket, copy, &app.registry, claimed).await,
        Err(error) => tracing::warn!(%error, "a media socket was lost at its upgrade"),
    }
}

/// tokio sets buffer sizes only before a connection is made; a second handle on the same socket gets round that.
fn small_send_buffer(tcp: &TcpStream) -> io::Result<()> {
    let second = std::net::TcpStream::from(tcp.as_fd().try_clone_to_owned()?);
    TcpSocket::from_std_stream(second).set_send_buffer_size(SEND_BUFFER_BYTES)
}

fn is_signed(app: &App, request: &Request) -> bool {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let Some(signature) = header(SIGNATURE_HEADER) else { return false };
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    app.verifier.verify(
        &app.public.signed_by_upgrade(target),
        &Form::default(),
        signature,
        header(SETTINGS_HEADER),
    )
}

/// The answer to the client's key, if the request is a proper handshake.
fn accept_key(headers: &HeaderMap) -> Result<HeaderValue, StatusCode> {
    if !lists(headers, header::CONNECTION, "upgrade") || !lists(headers, header::UPGRADE, "websocket") {
        return Err(StatusCode::UPGRADE_REQUIRED);
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != VERSION) {
        return Err(StatusCode::UPGRADE_REQUIRED);
    }
    let mut keys = headers.get_all(header::SEC_WEBSOCKET_KEY).into_iter();
    let (Some(key), None) = (keys.next(), keys.next()) else { return Err(StatusCode::BAD_REQUEST) };
    let is_key = key.len() == KEY_CHARS && base64_simd::STANDARD.check(key.as_bytes()).is_ok();
    if !is_key {
        return Err(StatusCode::BAD_REQUEST);
    }
    Ok(derive_accept_key(key.as_bytes()).parse().expect("base64 is a header value"))
}

/// Whether a header's comma-separated list holds `token`, in any case.
fn lists(headers: &HeaderMap, name: header::HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|part| part.trim().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(pairs: &[(&'static str, &str)]) -> Result<HeaderValue, StatusCode> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        accept_key(&headers)
    }

    /// RFC 6455, 1.3.
    #[test]
    fn the_handshake_of_the_rfc() {
        let good = [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        assert_eq!(accept(&good).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        for (without, status) in [(0, 426), (1, 426), (2, 426), (3, 400)] {
            let rest: Vec<_> =
                good.iter().enumerate().filter(|(i, _)| *i != without).map(|(_, p)| *p).collect();
            assert_eq!(accept(&rest).unwrap_err().as_u16(), status);
        }
        for odd in ["", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZQ==AAAA", "!!!!IHNhbXBsZSBub25jZQ=="]
        {
            let mut bad = good;
            bad[3].1 = odd;
            assert_eq!(accept(&bad).unwrap_err(), 400, "{odd}");
        }
        let twice = [&good[..], &good[3..]].concat();
        assert_eq!(accept(&twice).unwrap_err(), 400);
    }
}
