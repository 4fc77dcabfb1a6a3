//! A TCP relay before the bridge that cuts media sockets at a chosen byte.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How a socket is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// RST on both sides.
    Reset,
    /// FIN on both sides.
    Close,
    /// FIN toward the bridge alone; the other direction goes on.
    HalfClose,
    /// RST on both sides, and no other connection of the phone's lives on or comes through any more.
    Vanish,
}

/// One cut.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    /// Bytes that still reach the bridge, the upgrade request included.
    pub after_bytes: usize,
    /// How.
    pub how: How,
}

/// A cut that was made.
#[derive(Debug, Clone)]
pub struct Made {
    /// The call of the stream, if its `start` had been sent.
    pub call_sid: Option<String>,
    /// When.
    pub at: Instant,
    /// How.
    pub cut: Cut,
}

/// The relay. Media sockets take the cuts in turn; when there are none left they are relayed whole, as everything else is.
pub struct Cutter {
    address: SocketAddr,
    made: Arc<Mutex<Vec<Made>>>,
    task: JoinHandle<()>,
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Cutter {
    /// A relay to the bridge.
    pub fn start(bridge: SocketAddr, cuts: Vec<Cut>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a plain socket");
        let address = listener.local_addr().expect("it is bound");
        let made: Arc<Mutex<Vec<Made>>> = Arc::default();
        let (cuts, book) = (Arc::new(Mutex::new(VecDeque::from(cuts))), Arc::clone(&made));
        let gone = watch::Sender::new(false);
        let task = tokio::spawn(async move {
            let listener = TcpListener::from_std(listener).expect("it is not blocking");
            while let Ok((phone, _)) = listener.accept().await {
                tokio::spawn(relay(phone, bridge, Arc::clone(&cuts), Arc::clone(&book), gone.clone()));
            }
        });
        Self { address, made, task }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The cuts made so far.
    pub fn made(&self) -> Vec<Made> {
        lock(&self.made).clone()
    }
}

async fn relay(
    phone: TcpStream,
    bridge: SocketAddr,
    cuts: Arc<Mutex<VecDeque<Cut>>>,
    made: Arc<Mutex<Vec<Made>>>,
    gone: watch::Sender<bool>,
) {
    let Ok(bridge) = TcpStream::connect(bridge).await else { return };
    let mut first = [0; 16];
    let is_media = loop {
        match phone.peek(&mut first).await {
            Ok(16) => break first.starts_with(b"GET /api/twilio/"),
            Ok(0) | Err(_) => return,
            Ok(_) => tokio::task::yield_now().await,
        }
    };
    let cut = if is_media { cuts.lock().expect("nobody panics with it").pop_front() } else { None };
    // Whichever side breaks, the other is told by the end of its socket. Errors are how it ends.
    if let Some(cut) = cut {
        let _ = relay_until(phone, bridge, cut, &made, &gone).await;
        return;
    }
    let mut watched = gone.subscribe();
    tokio::select! {
        // In this order: what a phone that is gone has just sent must not slip through.
        biased;
        // The sender is here.
        _ = watched.wait_for(|gone| *gone) => {}
        _ = relay_all(phone, bridge) => {}
    }
}

fn lock(made: &Mutex<Vec<Made>>) -> std::sync::MutexGuard<'_, Vec<Made>> {
    made.lock().expect("nobody panics with it")
}

async fn relay_all(mut phone: TcpStream, mut bridge: TcpStream) -> io::Result<()> {
    tokio::io::copy_bidirectional(&mut phone, &mut bridge).await.map(|_| ())
}

async fn relay_until(
    phone: TcpStream,
    bridge: TcpStream,
    cut: Cut,
    made: &Mutex<Vec<Made>>,
    gone: &watch::Sender<bool>,
) -> io::Result<()> {
    let (mut up_from, mut down_to) = phone.into_split();
    let (mut down_from, mut up_to) = bridge.into_split();
    let down = tokio::spawn(async move {
        let _ = copy(&mut down_from, &mut down_to).await;
        // The phone is told of the bridge's end.
        let _ = down_to.shutdown().await;
        (down_from, down_to)
    });
    let call_sid = forward(&mut up_from, &mut up_to, cut.after_bytes).await?;
    let note = |at| lock(made).push(Made { call_sid, at, cut });
    if cut.how == How::HalfClose {
        note(Instant::now());
        up_to.shutdown().await?;
        // What the phone still says goes nowhere.
        let mut sink = [0; 4096];
        while up_from.read(&mut sink).await? > 0 {}
        return Ok(());
    }
    if matches!(cut.how, How::Reset | How::Vanish) {
        up_from.as_ref().set_zero_linger()?;
        up_to.as_ref().set_zero_linger()?;
    }
    if cut.how == How::Vanish {
        // First: the phone says at once that its stream is broken.
        gone.send_replace(true);
    }
    note(Instant::now());
    // The sockets end with the last of their halves.
    down.abort();
    let _ = down.await;
    Ok(())
}

/// Passes `bytes` on, and finds the call they are of.
async fn forward(
    from: &mut OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    bytes: usize,
) -> io::Result<Option<String>> {
    let (mut left, mut seen) = (bytes, Vec::new());
    let mut buffer = [0; 1024];
    while left > 0 {
        let room = left.min(buffer.len());
        let n = from.read(&mut buffer[..room]).await?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        to.write_all(&buffer[..n]).await?;
        // `start` is among the first messages; the rest is sound.
        if seen.len() < 4096 {
            seen.extend_from_slice(&buffer[..n]);
        }
        left -= n;
    }
    Ok(call_sid(&seen))
}

/// WebSocket clients mask what they send, with a key before each message (RFC 6455, 5.3).
fn call_sid(seen: &[u8]) -> Option<String> {
    let head = seen.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let mut rest = &seen[head..];
    loop {
        let short = usize::from(*rest.get(1)? & 0x7f);
        let (length, at) = match short {
            126 => (usize::from(u16::from_be_bytes([*rest.get(2)?, *rest.get(3)?])), 4),
            127 => return None,
            _ => (short, 2),
        };
        let key = rest.get(at..at + 4)?;
        let body = rest.get(at + 4..at + 4 + length)?;
        let text: Vec<u8> = body.iter().zip(key.iter().cycle()).map(|(b, k)| b ^ k).collect();
        let message: serde_json::Value = serde_json::from_slice(&text).ok()?;
        if let Some(call) = message["start"]["callSid"].as_str() {
            return Some(call.to_owned());
        }
        rest = &rest[at + 4 + length..];
    }
}
