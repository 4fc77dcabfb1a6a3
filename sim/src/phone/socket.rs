//! The WebSocket of a media stream, from Twilio's side: the upgrade as captured, a writer of its own, and a handle on the TCP connection for faults.

use std::io::{self, Write};
use std::net::TcpStream as StdTcpStream;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::http::Request;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::faults::{CloseStyle, RawMessage};
use super::frames::{Finding, FrameScanner};
use super::route::Place;
use super::tap::Tap;

/// From the first SYN to the 101. Twilio's limit is undocumented; webhooks suggest 5 to 15 s.
const OPEN: Duration = Duration::from_secs(10);
/// How long the other side may take to answer our close frame.
const CLOSE: Duration = Duration::from_secs(2);
/// Messages waiting for the socket: 10 s of frames. Beyond it Twilio discards the caller's audio (31930).
const WAITING: usize = 500;
/// Lateness samples kept: more than five hours of frames.
const SAMPLES: usize = 1_000_000;
/// The largest message read at all; the validator complains much earlier.
const READ_LIMIT: usize = 16 << 20;

type Socket = WebSocketStream<Scanned>;
pub(crate) type Reader = SplitStream<Socket>;

/// Why there is no stream.
#[derive(Debug)]
pub(crate) struct Refused {
    /// Twilio's error number.
    pub(crate) code: u32,
    pub(crate) status: Option<u16>,
    pub(crate) why: String,
}

/// How to open a stream.
pub(crate) struct Opening {
    pub(crate) place: Place,
    pub(crate) signature: Option<String>,
    /// Through a receive buffer of a few kilobytes, so that not reading is felt soon.
    pub(crate) small_buffer: bool,
    pub(crate) tap: Option<Arc<dyn Tap>>,
}

/// An open stream. The reading half is separate, because it is waited on together with the beat.
pub(crate) struct Wire {
    outbox: mpsc::Sender<Outgoing>,
    writer: JoinHandle<()>,
    late: Arc<Mutex<Vec<u32>>>,
    scan: Arc<Mutex<Scan>>,
    /// A second descriptor of the same connection: keeps it open without reading or writing, writes below the framing, resets it.
    tcp: StdTcpStream,
    pub(crate) dropped: usize,
}

enum Outgoing {
    Text {
        text: String,
        due: Option<Instant>,
        /// Its number, if it is of the tap.
        tapped: Option<u64>,
    },
    Raw(RawMessage),
    Close(CloseStyle),
}

impl Opening {
    /// Connects and upgrades.
    ///
    /// # Errors
    /// The number Twilio would report.
    pub(crate) async fn open(self) -> Result<(Wire, Reader, Vec<Finding>), Refused> {
        match tokio::time::timeout(OPEN, self.attempt()).await {
            Ok(result) => result,
            Err(_) => Err(Refused { code: 31_901, status: None, why: "no answer in time".into() }),
        }
    }

    async fn attempt(self) -> Result<(Wire, Reader, Vec<Finding>), Refused> {
        let refuse =
            |code| move |e: &dyn std::fmt::Display| Refused { code, status: None, why: e.to_string() };
        let tcp = self.connect().await.map_err(|e| refuse(connect_code(&e))(&e))?;
        let (tcp, handle) = twice(tcp).map_err(|e| refuse(31_900)(&e))?;
        let mut request = Request::get(self.place.url.as_str())
            .header("host", &self.place.host)
            .header("user-agent", "Twilio.TmeWs/1.0")
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-key", generate_key())
            .header("sec-websocket-version", "13");
        if let Some(signature) = &self.signature {
            request = request.header("x-twilio-signature", signature);
        }
        let request = request.body(()).map_err(|e| refuse(31_923)(&e))?;
        let config = WebSocketConfig::default()
            .read_buffer_size(16 * 1024)
            .write_buffer_size(0)
            .max_message_size(Some(READ_LIMIT))
            .max_frame_size(Some(READ_LIMIT));
        let scan = Arc::new(Mutex::new(Scan::default()));
        let scanned = Scanned { tcp, scan: scan.clone() };
        let (socket, response) = tokio_tungstenite::client_async_with_config(request, scanned, Some(config))
            .await
            .map_err(|e| match e {
                Error::Http(response) => {
                    let status = response.status().as_u16();
                    Refused { code: 31_920, status: Some(status), why: format!("HTTP status {status}") }
                }
                other => Refused { code: 31_920, status: None, why: other.to_string() },
            })?;
        let unasked = ["sec-websocket-protocol", "sec-websocket-extensions"]
            .into_iter()
            .filter(|name| response.headers().contains_key(*name))
            .map(|name| {
                (super::validator::ViolationKind::Http, format!("{name} in the answer, nobody asked for it"))
            })
            .collect();
        let (sink, reader) = socket.split();
        let (outbox, inbox) = mpsc::channel(WAITING);
        let late = Arc::new(Mutex::new(Vec::new()));
        let raw = handle.try_clone().map_err(|e| refuse(31_900)(&e))?;
        let writer = tokio::spawn(write(sink, inbox, late.clone(), raw, self.tap));
        Ok((Wire { outbox, writer, late, scan, tcp: handle, dropped: 0 }, reader, unasked))
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        let none = || io::Error::new(io::ErrorKind::NotFound, "no such host");
        let host = self.place.url.host_str().ok_or_else(none)?.trim_matches(['[', ']']);
        let port = self.place.url.port_or_known_default().ok_or_else(none)?;
        let address = tokio::net::lookup_host((host, port)).await?.next().ok_or_else(none)?;
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if self.small_buffer {
            socket.set_recv_buffer_size(4_096)?;
        }
        let stream = socket.connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

fn connect_code(error: &io::Error) -> u32 {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => 31_902,
        io::ErrorKind::NotFound | io::ErrorKind::HostUnreachable => 31_904,
        _ => 31_901,
    }
}

fn twice(tcp: TcpStream) -> io::Result<(TcpStream, StdTcpStream)> {
    let tcp = tcp.into_std()?;
    let handle = tcp.try_clone()?;
    Ok((TcpStream::from_std(tcp)?, handle))
}

impl Wire {
    /// Hands a message to the writer. `due` is when it should have been on its way. A message that finds no room is counted and lost.
    pub(crate) fn text(&mut self, text: String, due: Option<Instant>) {
        self.media(text, due, None);
    }

    /// The same for a frame of sound, with its number if it is the tap's.
    pub(crate) fn media(&mut self, text: String, due: Option<Instant>, tapped: Option<u64>) {
        self.post(Outgoing::Text { text, due, tapped });
    }

    pub(crate) fn raw(&mut self, message: RawMessage) {
        self.post(Outgoing::Raw(message));
    }

    fn post(&mut self, outgoing: Outgoing) {
        // A closed outbox means that the connection is gone, which the reader tells.
        if let Err(mpsc::error::TrySendError::Full(_)) = self.outbox.try_send(outgoing) {
            self.dropped += 1;
        }
    }

    /// What the framing was like since the last time.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        std::mem::take(&mut self.scan.lock().expect("nothing panics while it holds the scanner").findings)
    }

    /// Frames and pings so far.
    pub(crate) fn framing(&self) -> super::report::Framing {
        let scan = self.scan.lock().expect("nothing panics while it holds the scanner");
        super::report::Framing { frames: scan.scanner.frames, pings: scan.scanner.pings }
    }

    /// Microseconds of lateness of every frame written so far.
    pub(crate) fn late(&self) -> Vec<u32> {
        self.late.lock().expect("nothing panics while it holds the samples").clone()
    }

    /// The descriptor that keeps the connection open while nobody reads or writes.
    pub(crate) fn park(self) -> io::Result<StdTcpStream> {
        self.writer.abort();
        self.tcp.try_clone()
    }

    /// Resets the connection.
    pub(crate) async fn reset(self, reader: Reader) {
        self.writer.abort();
        let _ = self.writer.await;
        drop(reader);
        // Of the last descriptor: without lingering, closing sends RST instead of FIN.
        if let Ok(tcp) = TcpStream::from_std(self.tcp) {
            let _ = tcp.set_zero_linger();
        }
    }

    /// Ends the connection as asked, and waits a little for the other side.
    pub(crate) async fn close(self, mut reader: Reader, style: CloseStyle) -> Option<StdTcpStream> {
        let Self { outbox, mut writer, tcp, .. } = self;
        if style == CloseStyle::Never {
            drop(outbox);
            // What is queued still goes out; then the socket lies open.
            let _ = tokio::time::timeout(CLOSE, &mut writer).await;
            return Some(tcp);
        }
        let _ = tokio::time::timeout(CLOSE, outbox.send(Outgoing::Close(style))).await;
        drop(outbox);
        if style != CloseStyle::Abrupt {
            let _ =
                tokio::time::timeout(CLOSE, async { while let Some(Ok(_)) = reader.next().await {} }).await;
        }
        if tokio::time::timeout(CLOSE, &mut writer).await.is_err() {
            // The other side does not read; what is left will never go out.
            writer.abort();
        }
        None
    }
}

async fn write(
    mut sink: SplitSink<Socket, Message>,
    mut inbox: mpsc::Receiver<Outgoing>,
    late: Arc<Mutex<Vec<u32>>>,
    mut raw: StdTcpStream,
    tap: Option<Arc<dyn Tap>>,
) {
    while let Some(outgoing) = inbox.recv().await {
        let sent = match outgoing {
            Outgoing::Text { text, due: Some(due), tapped: Some(frame) } if let Some(tap) = &tap => {
                tap.sent(frame, due, Instant::now());
                sink.send(Message::text(text)).await
            }
            Outgoing::Text { text, due, .. } => {
                let sent = sink.send(Message::text(text)).await;
                if let Some(due) = due.filter(|_| sent.is_ok()) {
                    let mut late = late.lock().expect("nothing panics while it holds the samples");
                    if late.len() < SAMPLES {
                        late.push(u32::try_from(due.elapsed().as_micros()).unwrap_or(u32::MAX));
                    }
                }
                sent
            }
            Outgoing::Raw(RawMessage::Text(text)) => sink.send(Message::text(text)).await,
            Outgoing::Raw(RawMessage::Binary(bytes)) => sink.send(Message::binary(bytes)).await,
            Outgoing::Raw(RawMessage::Frame(first, payload)) => {
                sink.send(Message::Frame(frame(first, payload))).await
            }
            Outgoing::Raw(RawMessage::Bytes(bytes)) => write_below(&mut raw, &bytes).await.map_err(Error::Io),
            Outgoing::Close(CloseStyle::Normal) => {
                let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
                sink.send(Message::Close(Some(frame))).await
            }
            Outgoing::Close(CloseStyle::NoCode) => sink.send(Message::Close(None)).await,
            Outgoing::Close(CloseStyle::Abrupt | CloseStyle::Never) => {
                let _ = raw.shutdown(std::net::Shutdown::Both);
                return;
            }
        };
        if sent.is_err() {
            return;
        }
    }
}

fn frame(first: u8, payload: Vec<u8>) -> Frame {
    let opcode = match first & 0x0F {
        0x0 => OpCode::Data(Data::Continue),
        0x1 => OpCode::Data(Data::Text),
        0x2 => OpCode::Data(Data::Binary),
        0x8 => OpCode::Control(Control::Close),
        0x9 => OpCode::Control(Control::Ping),
        0xA => OpCode::Control(Control::Pong),
        other @ 0x3..=0x7 => OpCode::Data(Data::Reserved(other)),
        other => OpCode::Control(Control::Reserved(other)),
    };
    let mut frame = Frame::message(payload, opcode, first & 0x80 != 0);
    let header = frame.header_mut();
    (header.rsv1, header.rsv2, header.rsv3) = (first & 0x40 != 0, first & 0x20 != 0, first & 0x10 != 0);
    frame
}

/// Writes to the non-blocking descriptor below the library. Only faults use it, so a short sleep between attempts is good enough.
async fn write_below(raw: &mut StdTcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match raw.write(bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                tokio::time::sleep(Duration::from_millis(1)).await
            }
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// The scanner behind the HTTP answer.
#[derive(Debug, Default)]
struct Scan {
    /// How much of the blank line that ends the HTTP answer has been seen; 4 is all of it.
    blank: usize,
    scanner: FrameScanner,
    findings: Vec<Finding>,
}

impl Scan {
    fn feed(&mut self, mut bytes: &[u8]) {
        while self.blank < 4 && !bytes.is_empty() {
            let expected = b"\r\n\r\n"[self.blank];
            self.blank = if bytes[0] == expected { self.blank + 1 } else { usize::from(bytes[0] == b'\r') };
            bytes = &bytes[1..];
        }
        let findings = self.scanner.feed(bytes);
        // A bridge gone mad must not fill the memory; the first ones tell enough.
        self.findings.extend(findings.into_iter().take(100));
    }
}

/// A TCP stream whose incoming bytes are looked at.
pub(crate) struct Scanned {
    tcp: TcpStream,
    scan: Arc<Mutex<Scan>>,
}

impl AsyncRead for Scanned {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.tcp).poll_read(cx, buf);
        let fresh = &buf.filled()[before..];
        if !fresh.is_empty() {
            self.scan.lock().expect("nothing panics while it holds the scanner").feed(fresh);
        }
        result
    }
}

impl AsyncWrite for Scanned {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
