//! The peer connection at work: one task and one UDP socket a call.
//!
//! [`open`] asks for the session and returns a [`Leg`]; [`run`] drives it until it is closed or lost. Sound goes straight
//! between the socket and the call's rings; events go to the call's task. The server plays its replies itself and knows what it has
//! sent.

mod media_time;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use pipeline::{ModelCodec, ModelPort, Monotonic, Nanos, Packet};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use super::connect::{self, Client, ConnectError, Hold};
use super::datagrams::Datagrams;
use super::leg::{COMMAND_QUEUE, LegCommand, LegEvent, Rings, rung};
use super::peer::{Peer, PeerEvent, is_media};
use super::received::Received;
use super::sdp::Reach;
use media_time::MediaTime;

/// Largest datagram read: an Ethernet frame and some.
const MAX_DATAGRAM: usize = 2048;
/// Datagrams taken per wake-up, so that a flood cannot keep the task from sending.
const READS_PER_WAKE: usize = 32;
/// How long to sleep if the stack wants nothing.
const IDLE: Duration = Duration::from_secs(1);

/// A granted session, not yet running. Dropped it is given back.
pub struct Granted {
    leg: Leg,
    hold: Hold,
}

/// Its connection.
pub struct Leg {
    /// Boxed: a future that moves it would hold it three times over, 9 kB each.
    peer: Box<Peer>,
    socket: Datagrams,
    /// ICE and DTLS are up already.
    connected: bool,
    /// What the answer wants to hear.
    pub codec: ModelCodec,
}

/// Asks for a session until it is granted, refused for good, nobody wants it any more, or `deadline` has passed. Each attempt makes a
/// fresh offer.
pub async fn open(
    client: &Client,
    session: &str,
    safety_identifier: &str,
    codecs: &[ModelCodec],
    deadline: Instant,
    wanted: &AtomicBool,
) -> Result<Granted, ConnectError> {
    connect::attempts(deadline, wanted, || attempt(client, session, safety_identifier, codecs)).await
}

impl Granted {
    /// The connection, and the claim to the session.
    pub fn part(self) -> (Leg, Hold) {
        (self.leg, self.hold)
    }

    /// Drives the connection until ICE and DTLS are up.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Network`] if it is lost or not up by `deadline`.
    pub async fn connect(&mut self, deadline: Instant) -> Result<(), ConnectError> {
        self.leg.connect(deadline).await
    }
}

impl Leg {
    async fn connect(&mut self, deadline: Instant) -> Result<(), ConnectError> {
        let mut buffer = vec![0; MAX_DATAGRAM];
        loop {
            // What follows the connection is left for whoever runs the leg.
            while !self.connected
                && let Some(event) = self.peer.poll_event()
            {
                match event {
                    PeerEvent::Connected => self.connected = true,
                    PeerEvent::Lost | PeerEvent::ChannelClosed => {
                        return Err(ConnectError::Network("the peer connection failed"));
                    }
                    _ => {}
                }
            }
            let now = Instant::now();
            while let Some((to, datagram)) = self.peer.poll_datagram(now) {
                self.socket.send(to, &datagram);
            }
            if self.connected {
                return Ok(());
            }
            if now >= deadline {
                return Err(ConnectError::Network("the peer connection did not come up"));
            }
            let due = self.peer.poll_timeout().map_or(deadline, |due| due.min(deadline));
            tokio::select! {
                received = self.socket.recv_from(&mut buffer) => {
                    // Errors are those of earlier sends; the deadline decides what they mean.
                    if let Ok((n, from)) = received {
                        self.peer.handle_datagram(Instant::now(), pipeline::now(), from, &buffer[..n]);
                    }
                }
                () = tokio::time::sleep_until(due.into()) => self.peer.handle_timeout(Instant::now()),
            }
        }
    }
}

async fn attempt(
    client: &Client,
    session: &str,
    safety_identifier: &str,
    codecs: &[ModelCodec],
) -> Result<Granted, ConnectError> {
    let local_error = |e: std::io::Error| ConnectError::Local(e.to_string());
    let socket = Datagrams::bind((Ipv4Addr::UNSPECIFIED, 0).into()).map_err(local_error)?;
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
    let leg = Leg { peer: Box::new(peer), socket, connected: false, codec: granted.answer.codec() };
    Ok(Granted { leg, hold: granted.hold })
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

/// Drives the leg until it is closed or lost, and gives the call's rings back. `received` is filled with where the model's sound has come
/// to.
pub async fn run(
    leg: Leg,
    received: Arc<Received>,
    mut commands: mpsc::Receiver<LegCommand>,
    events: mpsc::Sender<LegEvent>,
) -> Option<ModelPort> {
    // It was made where the session was asked for. From now on the runtime that moves the sound shall hear of it.
    let socket = match leg.socket.moved_here() {
        Ok(socket) => socket,
        Err(error) => {
            tracing::warn!(%error, "the socket to the model was lost");
            let _ = events.try_send(LegEvent::Lost);
            return None;
        }
    };
    let mut leg = Running {
        peer: leg.peer,
        socket,
        rings: None,
        time: MediaTime::default(),
        waiting: Vec::new(),
        connected: leg.connected,
        open: false,
        first_frame: false,
        stack_due: Instant::now(),
        uplink_due: None,
        downlink_due: Nanos::MAX,
        unsettled: true,
        received,
        events,
    };
    if leg.connected {
        leg.tell(LegEvent::Connected);
    }
    let mut buffer = vec![0; MAX_DATAGRAM];
    // One for the leg's life. It is moved when it would ring too late; ringing too early costs less than moving it with every packet.
    let timer = tokio::time::sleep_until(leg.stack_due.into());
    let mut timer = std::pin::pin!(timer);
    // Another of the next packet for the caller. That is due with every packet anew, and a timer of tokio's that is moved to later rings at
    // the old time as well: it is made anew.
    let mut overdue = std::pin::pin!(tokio::time::sleep(IDLE));
    loop {
        if leg.settle().is_err() {
            break;
        }
        // Whatever woke us, what waits goes out: nobody rings again for what was there before the connection.
        leg.send_audio();
        if leg.play_audio() {
            overdue.set(tokio::time::sleep(leg.downlink_due.saturating_sub(pipeline::now())));
        }
        let due = leg.uplink_due.map_or(leg.stack_due, |due| due.min(leg.stack_due)).into();
        if due < timer.deadline() || timer.is_elapsed() {
            timer.as_mut().reset(due);
        }
        tokio::select! {
            biased;
            command = commands.recv() => match command {
                Some(LegCommand::Text(text)) => leg.send_text(text),
                Some(LegCommand::Audio(rings)) => {
                    leg.time.begin_stream();
                    leg.rings = Some(*rings);
                }
                // The server hears the caller as well, and stops by itself.
                Some(LegCommand::Interrupt { .. }) => {}
                Some(LegCommand::Close) | None => break,
            },
            () = rung(leg.rings.as_ref().map(|rings| &*rings.bell)) => {}
            received = leg.socket.recv_from(&mut buffer) => {
                if leg.receive(received, &mut buffer).is_err() {
                    break;
                }
            }
            () = timer.as_mut() => leg.handle_timeout(Instant::now()),
            () = overdue.as_mut(), if leg.downlink_due < Nanos::MAX => {}
        }
    }
    leg.peer.close();
    leg.flush();
    metrics::counter!("aria_model_stranger_datagrams_total").increment(leg.peer.strangers());
    // The call may be waiting for this; if its queue is full it reads the closed channel instead.
    let _ = leg.events.try_send(LegEvent::Lost);
    leg.rings.map(|rings| {
        let mut port = rings.port;
        port.leave();
        port
    })
}

struct Running {
    peer: Box<Peer>,
    socket: Datagrams,
    rings: Option<Rings>,
    time: MediaTime,
    /// Events that came before the channel was open.
    waiting: Vec<String>,
    connected: bool,
    open: bool,
    first_frame: bool,
    /// When the stack wants to be told the time.
    stack_due: Instant,
    /// When the uplink wants to be looked at without a ring of its bell.
    uplink_due: Option<Instant>,
    /// When the downlink does, if no packet comes before: never is [`Nanos::MAX`].
    downlink_due: Nanos,
    /// The stack may have datagrams, events or another deadline: anything but sound went in. Each question to the stack walks through all
    /// its parts, so it is not asked after every packet.
    unsettled: bool,
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

    /// Sends what is there; what needs no codec is taken from the caller here. The uplink keeps the pace of a burst.
    fn send_audio(&mut self) {
        while self.connected
            && let Some(rings) = &mut self.rings
        {
            let uplink = rings.port.run_uplink(&Monotonic);
            self.send_packets();
            if !uplink.blocked {
                let left = uplink.next.saturating_sub(pipeline::now());
                self.uplink_due = (uplink.next < Nanos::MAX).then(|| Instant::now() + left);
                break;
            }
        }
    }

    /// Passes on what came for the caller if no more is to be done with it. Whether the next is due at another time than the last.
    fn play_audio(&mut self) -> bool {
        let Some(rings) = &mut self.rings else { return false };
        let due = rings.port.run_downlink(&Monotonic);
        let moved = due != self.downlink_due;
        self.downlink_due = due;
        moved
    }

    fn send_packets(&mut self) {
        let Some(rings) = &mut self.rings else { return };
        if rings.port.is_empty() {
            return;
        }
        let mut packet = Packet::default();
        while rings.port.pop_into(&mut packet) {
            let now = Instant::now();
            packet.timestamp = self.time.of(&packet, now);
            if self.peer.send_audio(now, &packet).is_err() {
                metrics::counter!("aria_model_audio_unsent_total").increment(1);
                continue;
            }
            if let Some((to, datagram)) = self.peer.poll_datagram(now) {
                self.socket.send(to, &datagram);
                // Something else was before the sound, which is still in there.
                self.unsettled |= !is_media(&datagram);
            }
            rings.sent.record(pipeline::now().saturating_sub(packet.born));
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
                if let Some(rings) = &mut self.rings
                    && rings.port.push(&packet).is_err()
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
        self.tell(told);
        Ok(())
    }

    fn tell(&self, event: LegEvent) {
        if self.events.try_send(event).is_err() {
            metrics::counter!("aria_model_events_dropped_total").increment(1);
        }
    }

    fn flush(&mut self) {
        let now = Instant::now();
        while let Some((to, datagram)) = self.peer.poll_datagram(now) {
            self.socket.send(to, &datagram);
        }
    }
}
