//! Packets from an address that ICE never checked.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::faults::Spray;

/// A foreign socket that talks to the client.
pub(crate) struct Sprayer {
    socket: UdpSocket,
    spray: Spray,
    next: Option<Instant>,
    until: Instant,
    sent: u64,
}

impl Sprayer {
    /// Sprays for its configured time, counted from `opened`.
    pub(crate) fn new(spray: Spray, ip: IpAddr, opened: Instant) -> io::Result<Self> {
        let socket = UdpSocket::bind((ip, 0))?;
        socket.set_nonblocking(true)?;
        let start = opened + spray.at;
        Ok(Self { socket, spray, next: Some(start), until: start + spray.length, sent: 0 })
    }

    /// When the next packet is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Sends what is due to the client; `ssrc` is the stream that forged RTP pretends to be.
    pub(crate) fn run(&mut self, now: Instant, client: SocketAddr, ssrc: u32) {
        let every = Duration::from_secs(1) / self.spray.per_second.max(1);
        while let Some(at) = self.next.filter(|at| *at <= now) {
            // A full socket buffer means the flood is as strong as this machine allows.
            let _ = self.socket.send_to(&packet(self.sent, ssrc), client);
            self.sent += 1;
            self.next = Some(at + every).filter(|next| *next < self.until);
        }
    }
}

/// The n-th foreign packet.
fn packet(n: u64, ssrc: u32) -> Vec<u8> {
    match n % 4 {
        0 => client_hello(n),
        // A fatal DTLS alert (level 2, internal error 80) in epoch 0.
        1 => vec![21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, n as u8, 0, 2, 2, 80],
        // A STUN binding request without credentials, its length a lie.
        2 => [&[0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42][..], &n.to_be_bytes(), &[0; 4]].concat(),
        // RTP without the keys: it cannot pass authentication.
        _ => {
            [&[0x80, 111, (n >> 8) as u8, n as u8, 0, 0, 0, 0][..], &ssrc.to_be_bytes(), &[0x55; 60]].concat()
        }
    }
}

/// A DTLS 1.2 ClientHello (RFC 6347 section 4.3.2) with one cipher suite and no cookie.
fn client_hello(n: u64) -> Vec<u8> {
    let mut body = vec![0xfe, 0xfd];
    body.extend([n as u8; 32]);
    body.extend([0, 0, 0, 2, 0xc0, 0x2b, 1, 0]);
    let length = body.len() as u8;
    let mut hello = vec![1, 0, 0, length, 0, 0, 0, 0, 0, 0, 0, length];
    hello.extend(body);
    let mut record = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, n as u8, 0, hello.len() as u8];
    record.extend(hello);
    record
}
