//! What a media stream runs over: a socket that can change the runtime it is served by.

use std::io;
use std::os::fd::AsFd;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// A connection, with TLS or without.
pub trait Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Has the runtime that this is called in hear of the socket from now on, instead of the one that accepted it. Nothing of what was
    /// read or is under way is lost.
    ///
    /// # Errors
    ///
    /// The process is out of descriptors, or the socket is gone. It stays as it was.
    fn register_here(&mut self) -> io::Result<()>;
}

impl Socket for TcpStream {
    fn register_here(&mut self) -> io::Result<()> {
        // A second handle on the same socket: the first one goes with its registration.
        let second = std::net::TcpStream::from(self.as_fd().try_clone_to_owned()?);
        *self = Self::from_std(second)?;
        Ok(())
    }
}

impl Socket for TlsStream<TcpStream> {
    fn register_here(&mut self) -> io::Result<()> {
        self.get_mut().0.register_here()
    }
}
