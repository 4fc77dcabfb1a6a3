//! A leg's UDP socket, of which the poller tells what arrives and nothing else.
//!
//! tokio's own socket also asks to be told when it may send. Linux tells that once for every datagram that has left, and the thread would wake
//! for it fifty times a second and call. Here a datagram that cannot be sent is lost, as in the network, and nobody waits to send it.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A socket on the runtime that it was made in.
#[derive(Debug)]
pub struct Datagrams(AsyncFd<UdpSocket>);

impl Datagrams {
    /// # Errors
    ///
    /// The socket cannot be bound, or not watched.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind(address)?;
        socket.set_nonblocking(true)?;
        Self::watch(socket)
    }

    /// The same socket on the runtime that this is called in.
    ///
    /// # Errors
    ///
    /// It cannot be watched there.
    pub fn moved_here(self) -> io::Result<Self> {
        Self::watch(self.0.into_inner())
    }

    fn watch(socket: UdpSocket) -> io::Result<Self> {
        // SAFETY: a socket of the standard library has one descriptor, which is open until it is dropped, and nothing here puts another in its
        // place.
        let watched = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) };
        Ok(Self(watched?))
    }

    /// # Errors
    ///
    /// As the operating system has it.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.get_ref().local_addr()
    }

    /// The next datagram's length, and where it came from.
    ///
    /// # Errors
    ///
    /// Also those of earlier sends (RFC 1122, 4.1.3.3): the socket goes on.
    pub async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.0.async_io(Interest::READABLE, |socket| socket.recv_from(buffer)).await
    }

    /// The same without waiting.
    ///
    /// # Errors
    ///
    /// And [`io::ErrorKind::WouldBlock`] if there is none.
    pub fn try_recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.0.try_io(Interest::READABLE, |socket| socket.recv_from(buffer))
    }

    /// Sends, or loses, a datagram: a full socket buffer loses it as the network would, and it is counted.
    pub fn send(&self, to: SocketAddr, datagram: &[u8]) {
        if self.0.get_ref().send_to(datagram, to).is_err() {
            metrics::counter!("aria_model_datagrams_unsent_total").increment(1);
        }
    }
}
