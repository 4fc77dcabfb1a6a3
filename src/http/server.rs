//! The accept loop and one connection's life.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::response::Response;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::App;
use super::pool::{Pool, Slot, capacity};
use super::tls::{LOOK_EVERY, Tls};

/// Longest a request's head may take, and longest a connection may idle between requests. Slow senders (slowloris) hold a
/// connection no longer than this.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest request head, bytes. Twilio's are below 1 KiB; proxies add to them.
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// Connections the kernel keeps until we accept them.
const BACKLOG: u32 = 1024;
/// Pause after a failed accept, out of descriptors: long enough for a connection that was put out to be gone.
const ACCEPT_PAUSE: Duration = Duration::from_millis(2);
/// The same where nothing can be put out: calls hold all descriptors, and spinning would only burn the core.
const FULL_PAUSE: Duration = Duration::from_millis(50);
/// Between two log lines about failing accepts.
const LOG_EVERY: Duration = Duration::from_secs(5);
/// How long requests under way may take once the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// Who sent a request.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub address: SocketAddr,
    pub slot: Arc<Slot>,
}

/// Opens the listening socket.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves until `shutdown` resolves and requests under way are done. Media sockets live on in tasks of their own; end their calls
/// first ([`crate::hosting::drain`]).
pub async fn serve(
    listener: TcpListener,
    app: Arc<App>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let tls = app.tls.clone();
    let router = super::router(app);
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let pool = Pool::new(capacity());
    let (stop, stopping) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    let mut logged = None;
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => accepted,
            _ = look.tick(), if tls.is_some() => {
                if let Some(tls) = tls.clone() {
                    tokio::task::spawn_blocking(move || look_at(&tls));
                }
                continue;
            }
            // Finished ones are let go.
            Some(_) = connections.join_next() => continue,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                accept_failed(&error, &pool, &mut logged).await;
                continue;
            }
        };
        let Some(slot) = pool.enter() else {
            metrics::counter!("aria_connections_total", "outcome" => "refused").increment(1);
            continue;
        };
        let peer = Peer { address, slot: Arc::new(slot) };
        connections.spawn(opened(stream, tls.clone(), peer, router.clone(), stopping.clone()));
    }
    drop(listener);
    stop.send_replace(true);
    let all = async { while connections.join_next().await.is_some() {} };
    // What does not finish in time is dropped with the set.
    let _ = tokio::time::timeout(STOP_TIMEOUT, all).await;
    Ok(())
}

async fn accept_failed(error: &io::Error, pool: &Pool, logged: &mut Option<Instant>) {
    metrics::counter!("aria_connections_total", "outcome" => "accept_failed").increment(1);
    // The peer was gone before we came: nothing of ours is wrong.
    if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
        return;
    }
    if logged.is_none_or(|at| at.elapsed() >= LOG_EVERY) {
        tracing::error!(%error, "cannot accept connections");
        *logged = Some(Instant::now());
    }
    let pause = if pool.make_room() { ACCEPT_PAUSE } else { FULL_PAUSE };
    tokio::time::sleep(pause).await;
}

fn look_at(tls: &Tls) {
    match tls.look() {
        Ok(true) => tracing::info!("the certificate is another one now"),
        Ok(false) => {}
        Err(error) => {
            tracing::error!(%error, "the certificate's files have changed and are of no use; the old one stays")
        }
    }
}

async fn opened(
    stream: TcpStream,
    tls: Option<Arc<Tls>>,
    peer: Peer,
    router: Router,
    mut stopping: watch::Receiver<bool>,
) {
    // A frame must not wait for the acknowledgement of the one before it. A socket that refuses is already dead.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else { return connection(stream, peer, router, stopping).await };
    let slot = peer.slot.clone();
    let accepted = tokio::select! {
        accepted = tls.accept(stream) => accepted,
        () = slot.put_out() => None,
        () = stopped(&mut stopping) => None,
    };
    match accepted {
        Some(stream) => connection(stream, peer, router, stopping).await,
        None => metrics::counter!("aria_connections_total", "outcome" => "no_tls").increment(1),
    }
}

async fn connection<S>(stream: S, peer: Peer, router: Router, mut stopping: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let slot = peer.slot.clone();
    let routes = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        peer.slot.doubt();
        request.extensions_mut().insert(peer.clone());
        let answer = routes.call(request);
        async move { Ok::<Response, Infallible>(answer.await.unwrap_or_else(|never| match never {})) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_header_size(MAX_HEADER_BYTES)
        .max_buf_size(2 * MAX_HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let outcome = tokio::select! {
        served = connection.as_mut() => if served.is_ok() { "served" } else { "broken" },
        () = slot.put_out() => "dropped",
        () = stopped(&mut stopping) => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
            "stopped"
        }
    };
    metrics::counter!("aria_connections_total", "outcome" => outcome).increment(1);
}

async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // The sender is gone only if the server is.
    let _ = stopping.wait_for(|stop| *stop).await;
}
