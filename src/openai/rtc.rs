//! The peer connection at work: one task and one UDP socket a call.
//!
//! [`open`] asks for the session and returns a [`Leg`]; [`run`] drives it until it is closed or lost. Sound goes straight
//! between the socket and the call's rings; events go to the call's task.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pipeline::{AgeHistogram, Bell, ModelCodec, ModelPort};
use tokio::net::UdpSocket;
use tokio::sync::{Notify, mpsc};

use super::connect::{self, Client, ConnectError, Hold};
use super::peer::{Peer, PeerEvent, is_media};
use super::received::Received;
use super::sdp::Reach;

/// Largest datagram read: an Ethernet frame and some.
const MAX_DATAGRAM: usize = 2048;
/// Datagrams taken per wake-up, so that a flood cannot keep the task from sending.
const READS_PER_WAKE: usize = 32;
/// How long to sleep if the stack wants nothing.
const IDLE: Duration = Duration::from_secs(1);
/// Texts waiting for the channel to open or the task to send.
pub const COMMAND_QUEUE: usize = 64;
/// Events waiting for the call's task: some seconds of transcript deltas.
pub const EVENT_QUEUE: usize = 512;

/// What the call wants of its leg.
#[derive(Debug)]
pub enum LegCommand {
    /// Send an event. Before the channel is open it waits.
    Text(String),
    /// The call's rings: sound flows from now on.
    Audio(ModelPort),
    /// Close the connection and end the task.
    Close,
}

/// What the leg tells the call.
#[derive(Debug)]
pub enum LegEvent {
    /// ICE and DTLS are up.
    Connected,
    /// The event channel is open.
    ChannelOpen,
    /// An event of the server.
    Text(String),
    /// The first sound of the caller left.
    FirstFrameOut,
    /// The connection is gone; always the last event.
    Lost,
}

/// Woken by the audio thread when packets for the model are ready.
#[derive(Debug, Default)]
pub struct ModelBell(Notify);

impl Bell for ModelBell {
    fn ring(&self) {
        self.0.notify_one();
    }
}

/// A granted session, not yet running.
pub struct Leg {
    /// Boxed: a future that moves it would hold it three times over, 9 kB each.
    peer: Box<Peer>,
    socket: UdpSocket,
    /// Until the leg runs, dropping it gives the session back.
    hold: Hold,
    /// To hang up with.
    pub call_id: Option<String>,
    /// What the answer wants to hear.
    pub codec: ModelCodec,
}

/// Asks for a session until it is granted, refused for good, nobody wants it any more, or the budget is spent. Each attempt makes a
/// fresh offer.
pub async fn open(
    client: &Client,
    session: &str,
    safety_identifier: &str,
    codecs: &[ModelCodec],
    wanted: &AtomicBool,
) -> Result<Leg, ConnectError> {
    let deadline = Instant::now() + connect::BUDGET;
    let attempts = async {
        let mut last: Option<ConnectError> = None;
        for n in 0..connect::MAX_ATTEMPTS {
            if let Some(error) = last.take() {
                let asked = match &error {
                    ConnectError::Refused { retry_after, .. } => *retry_after,
                    _ => None,
                };
                let pause = connect::backoff(n, asked);
                // Who is told to come back later than the caller can wait need not wait for it.
                if !wanted.load(Ordering::Relaxed) || Instant::now() + pause >= deadline {
                    return Err(error);
                }
                tokio::time::sleep(pause).await;
            }
            match attempt(client, session, safety_identifier, codecs).await {
                Ok(leg) => return Ok(leg),
                Err(error) => {
                    metrics::counter!("aria_model_connect_errors_total", "reason" => error.reason())
                        .increment(1);
                    tracing::warn!(attempt = n + 1, %error, "the model did not take the call");
                    if !error.is_transient() {
                        return Err(error);
                    }
                    last = Some(error);
                }
            }
        }
        Err(last.unwrap_or(ConnectError::Budget))
    };
    tokio::time::timeout_at(deadline.into(), attempts).await.unwrap_or_else(|_| {
        metrics::counter!("aria_model_connect_errors_total", "reason" => "budget").increment(1);
        Err(ConnectError::Budget)
    })
}

async fn attempt(
    client: &Client,
    session: &str,
    safety_identifier: &str,
    codecs: &[ModelCodec],
) -> Result<Leg, ConnectError> {
    let local_error = |e: std::io::Error| ConnectError::Local(e.to_string());
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.map_err(local_error)?;
    let port = socket.local_addr().map_err(local_error)?.port();
    let addresses = host_addresses(client.reach(), port).await;
    if addresses.is_empty() {
        return Err(ConnectError::Local("no network address to offer".into()));
    }
    let (mut peer, offer) =
        Peer::new(Instant::now(), &addresses, codecs).map_err(|e| ConnectError::Local(e.to_string()))?;
    let granted = client.create(&offer, session, safety_identifier).await?;
    if let Err(error) = peer.accept(Instant::now(), &granted.answer) {
        tracing::warn!(%error, "the answer was not accepted");
        return Err(super::sdp::SdpError::NotSdp.into());
    }
    let call_id = granted.hold.call_id().map(str::to_owned);
    Ok(Leg { peer: Box::new(peer), socket, hold: granted.hold, call_id, codec: granted.answer.codec() })
}

/// Host candidates of a socket bound to all addresses: the one that the default route uses, and loopback if the model may be there.
async fn host_addresses(reach: Reach, port: u16) -> Vec<SocketAddr> {
    let mut addresses = Vec::with_capacity(2);
    if reach == Reach::Private {
        addresses.push(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    // Connecting a UDP socket sends nothing; it asks the routing table. TEST-NET-1 (RFC 5737) goes by the default route.
    if let Ok(probe) = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await
        && probe.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).await.is_ok()
        && let Ok(address) = probe.local_addr()
        && !address.ip().is_loopback()
    {
        addresses.push(SocketAddr::new(address.ip(), port));
    }
    addresses
}

/// Drives the leg until it is closed or lost, and gives the call's rings back. `sent` is filled with the age of the caller's sound when
/// its datagram leaves, `received` with where the model's sound has come to.
pub async fn run(
    leg: Leg,
    bell: Arc<ModelBell>,
    sent: Arc<AgeHistogram>,
    received: Arc<Received>,
    mut commands: mpsc::Receiver<LegCommand>,
    events: mpsc::Sender<LegEvent>,
) -> Option<ModelPort> {
    // The call hangs up from now on.
    leg.hold.keep();
    let mut leg = Running {
        peer: leg.peer,
        socket: leg.socket,
        port: None,
        waiting: Vec::new(),
        connected: false,
        open: false,
        first_frame: false,
        stack_due: Instant::now(),
        unsettled: true,
        sent,
        received,
        events,
    };
    let mut buffer = vec![0; MAX_DATAGRAM];
    // One for the leg's life. It is moved when it would ring too late; ringing too early costs less than moving it with every packet.
    let timer = tokio::time::sleep_until(leg.stack_due.into());
    let mut timer = std::pin::pin!(timer);
    loop {
        if leg.settle().is_err() {
            break;
        }
        // Whatever woke us, what waits goes out: nobody rings again for what was there before the connection.
        leg.send_audio();
        let due = leg.stack_due.into();
        if due < timer.deadline() || timer.is_elapsed() {
            timer.as_mut().reset(due);
        }
        tokio::select! {
            biased;
            command = commands.recv() => match command {
                Some(LegCommand::Text(text)) => leg.send_text(text),
                Some(LegCommand::Audio(port)) => leg.port = Some(port),
                Some(LegCommand::Close) | None => break,
            },
            // Another session's leg may wait for the same call's bell until it takes over.
            () = bell.0.notified(), if leg.port.is_some() => {}
            received = leg.socket.recv_from(&mut buffer) => {
                if leg.receive(received, &mut buffer).is_err() {
                    break;
                }
            }
            () = timer.as_mut() => leg.handle_timeout(Instant::now()),
        }
    }
    leg.peer.close();
    leg.flush();
    metrics::counter!("aria_model_stranger_datagrams_total").increment(leg.peer.strangers());
    // The call may be waiting for this; if its queue is full it reads the closed channel instead.
    let _ = leg.events.try_send(LegEvent::Lost);
    leg.port
}

struct Running {
    peer: Box<Peer>,
    socket: UdpSocket,
    port: Option<ModelPort>,
    /// Events that came before the channel was open.
    waiting: Vec<String>,
    connected: bool,
    open: bool,
    first_frame: bool,
    /// When the stack wants to be told the time.
    stack_due: Instant,
    /// The stack may have datagrams, events or another deadline: anything but sound went in. Each question to the stack walks through all
    /// its parts, so it is not asked after every packet.
    unsettled: bool,
    sent: Arc<AgeHistogram>,
    received: Arc<Received>,
    events: mpsc::Sender<LegEvent>,
}

/// The leg is over.
struct Over;

impl Running {
    /// Gets everything out of the stack that is in it.
    fn settle(&mut self) -> Result<(), Over> {
        let settled = !self.unsettled;
        // Events may make us send texts: once more until nothing moves.
        while std::mem::take(&mut self.unsettled) {
            self.drain_events()?;
            self.flush();
        }
        if !settled {
            self.stack_due = self.peer.poll_timeout().unwrap_or_else(|| Instant::now() + IDLE);
        }
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) {
        if now >= self.stack_due {
            self.peer.handle_timeout(now);
            self.unsettled = true;
        }
    }

    fn send_text(&mut self, text: String) {
        if !self.open {
            if self.waiting.len() < COMMAND_QUEUE {
                self.waiting.push(text);
            }
            return;
        }
        if self.peer.send_text(Instant::now(), &text).is_err() {
            metrics::counter!("aria_model_events_unsent_total").increment(1);
        }
        self.unsettled = true;
    }

    /// Sends what is there. The audio thread keeps the pace of a burst.
    fn send_audio(&mut self) {
        let Some(port) = self.port.as_mut().filter(|_| self.connected) else { return };
        while let Some(packet) = port.pop() {
            let now = Instant::now();
            if self.peer.send_audio(now, &packet).is_err() {
                metrics::counter!("aria_model_audio_unsent_total").increment(1);
                continue;
            }
            if let Some((to, datagram)) = self.peer.poll_datagram(now) {
                transmit(&self.socket, to, &datagram);
                // Something else was before the sound, which is still in there.
                self.unsettled |= !is_media(&datagram);
            }
            self.sent.record(pipeline::now().saturating_sub(packet.born));
            if !self.first_frame {
                self.first_frame = true;
                let _ = self.events.try_send(LegEvent::FirstFrameOut);
            }
        }
    }

    fn receive(
        &mut self,
        first: std::io::Result<(usize, SocketAddr)>,
        buffer: &mut [u8],
    ) -> Result<(), Over> {
        let mut received = first;
        for _ in 0..READS_PER_WAKE {
            match received {
                Ok((n, from)) => {
                    let datagram = &buffer[..n];
                    self.peer.handle_datagram(Instant::now(), pipeline::now(), from, datagram);
                    // What came goes on at once; the datagram after it may be of another moment.
                    if !is_media(datagram) {
                        self.unsettled = true;
                        self.settle()?;
                    } else if let Some(event) = self.peer.poll_media() {
                        self.handle_event(event)?;
                    }
                }
                // An ICMP error of an earlier send (RFC 1122 4.1.3.3) shows up here; consent checks decide what it means.
                Err(e) if e.kind() == std::io::ErrorKind::ConnectionRefused => {}
                Err(_) => return Ok(()),
            }
            received = self.socket.try_recv_from(buffer);
        }
        Ok(())
    }

    fn drain_events(&mut self) -> Result<(), Over> {
        while let Some(event) = self.peer.poll_event() {
            self.handle_event(event)?;
        }
        if self.events.is_closed() { Err(Over) } else { Ok(()) }
    }

    fn handle_event(&mut self, event: PeerEvent) -> Result<(), Over> {
        let told = match event {
            PeerEvent::Audio(packet) => {
                self.received.handle_packet(&packet);
                if let Some(port) = &mut self.port
                    && port.push(packet).is_err()
                {
                    metrics::counter!("aria_model_audio_dropped_total").increment(1);
                }
                return Ok(());
            }
            PeerEvent::Connected => {
                self.connected = true;
                LegEvent::Connected
            }
            PeerEvent::ChannelOpen => {
                self.open = true;
                for text in std::mem::take(&mut self.waiting) {
                    self.send_text(text);
                }
                LegEvent::ChannelOpen
            }
            PeerEvent::Text(text) => LegEvent::Text(text),
            PeerEvent::ChannelClosed | PeerEvent::Lost => return Err(Over),
        };
        if self.events.try_send(told).is_err() {
            metrics::counter!("aria_model_events_dropped_total").increment(1);
        }
        Ok(())
    }

    fn flush(&mut self) {
        let now = Instant::now();
        while let Some((to, datagram)) = self.peer.poll_datagram(now) {
            transmit(&self.socket, to, &datagram);
        }
    }
}

/// UDP sends do not wait: a full socket buffer loses the datagram as the network would, and it is counted.
fn transmit(socket: &UdpSocket, to: SocketAddr, datagram: &[u8]) {
    if socket.try_send_to(datagram, to).is_err() {
        metrics::counter!("aria_model_datagrams_unsent_total").increment(1);
    }
}
