//! A client of the simulated model for its own tests: str0m as the controlling ICE agent and DTLS server, a caller's microphone, a notebook.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::channel::ChannelId;
use str0m::format::Codec;
use str0m::media::{Direction, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpWrite;
use str0m::{Candidate, Event, IceConnectionState, Input, Output, Rtc};

/// One RTP packet that the client received.
#[derive(Debug, Clone)]
pub struct Heard {
    pub at: Instant,
    pub payload_type: u8,
    pub sequence: u16,
    pub timestamp: u32,
    pub marker: bool,
    pub payload: Vec<u8>,
}

/// What the client saw.
#[derive(Debug, Default)]
pub struct Notes {
    pub connected: Option<Instant>,
    pub open: Option<Instant>,
    pub channel_closed: bool,
    pub closed: bool,
    pub events: Vec<(Instant, Value)>,
    pub raw: Vec<String>,
    pub rtp: Vec<Heard>,
}

enum Order {
    Say(Vec<i16>),
    Send(String),
    Close,
}

/// An offer with everything that is needed to take its answer.
pub struct Offering {
    rtc: Rtc,
    socket: UdpSocket,
    mid: Mid,
    pending: SdpPendingOffer,
    channel: ChannelId,
    pub offer: String,
}

/// Makes an offer with these codecs in this order; `None` in `codecs` leaves the audio line out.
pub fn offer(codecs: &[Codec]) -> Offering {
    str0m::crypto::from_feature_flags().install_process_default();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let mut builder = Rtc::builder()
        .set_rtp_mode(true)
        .set_stats_interval(None)
        .clear_codecs()
        .clear_extension_map()
        .set_sctp_max_message_size(16 * 1024 * 1024);
    for codec in codecs {
        builder = match codec {
            Codec::Opus => builder.enable_opus(true, false),
            Codec::PCMU => builder.enable_pcmu(true, false),
            Codec::PCMA => builder.enable_pcma(true, false),
            _ => builder,
        };
    }
    let mut rtc = builder.build(Instant::now());
    rtc.add_local_candidate(
        Candidate::host(socket.local_addr().expect("bound"), "udp").expect("a host candidate"),
    );
    let mut change = rtc.sdp_api();
    let mid = change.add_media(MediaKind::Audio, Direction::SendRecv, None, None, None);
    let channel = change.add_channel("oai-events".to_owned());
    let (offer, pending) = change.apply().expect("something to offer");
    Offering { rtc, socket, mid, pending, channel, offer: offer.to_sdp_string() }
}

/// A session part that a bridge might send.
pub fn session() -> Value {
    json!({"type": "realtime", "model": "gpt-realtime-2.1", "instructions": "You are ARIA.",
           "audio": {"input": {"transcription": {"model": "gpt-realtime-whisper"},
               "turn_detection": {"type": "server_vad", "silence_duration_ms": 400}}},
           "tools": [{"type": "function", "name": "lookup", "parameters": {"type": "object"}}]})
}

/// Posts an offer as multipart with a standard key.
pub async fn post(base: &str, offer: &str, session: Option<&Value>) -> reqwest::Response {
    let sdp =
        reqwest::multipart::Part::text(offer.to_owned()).mime_str("application/sdp").expect("a good type");
    let mut form = reqwest::multipart::Form::new().part("sdp", sdp);
    if let Some(session) = session {
        form = form.text("session", session.to_string());
    }
    let client =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
    let request = client.post(format!("{base}/realtime/calls")).bearer_auth("sk-test").multipart(form);
    request.send().await.expect("the server answers")
}

/// A caller on the line.
pub struct Client {
    pub call_id: String,
    pub answer: String,
    pub posted: Instant,
    pub notes: Arc<Mutex<Notes>>,
    orders: SyncSender<Order>,
    thread: Option<JoinHandle<()>>,
}

impl Client {
    /// Offers these codecs, posts, and connects.
    pub async fn call(base: &str, codecs: &[Codec], session: &Value) -> Self {
        let offering = offer(codecs);
        let posted = Instant::now();
        let response = post(base, &offering.offer, Some(session)).await;
        assert_eq!(response.status(), 201, "{}", response.text().await.unwrap_or_default());
        assert_eq!(response.headers()["content-type"], "application/sdp");
        let location = response.headers()["location"].to_str().expect("ASCII").to_owned();
        let answer = response.text().await.expect("a body");
        Self::connect(offering, answer, &location, posted)
    }

    pub fn connect(offering: Offering, answer: String, location: &str, posted: Instant) -> Self {
        let notes = Arc::<Mutex<Notes>>::default();
        let (orders, inbox) = sync_channel(64);
        let thread = std::thread::spawn({
            let (notes, answer) = (Arc::clone(&notes), answer.clone());
            move || run(offering, &answer, &notes, &inbox)
        });
        let call_id = location.rsplit('/').next().unwrap_or_default().to_owned();
        Self { call_id, answer, posted, notes, orders, thread: Some(thread) }
    }

    /// Says this, 8 kHz; silence goes out otherwise.
    pub fn say(&self, clip: &str) {
        let clip = sim::speech::clip(clip).expect("a clip of that name");
        self.orders.send(Order::Say(clip.samples_8k())).expect("the client runs");
    }

    pub fn send(&self, event: Value) {
        self.send_text(event.to_string());
    }

    pub fn send_text(&self, text: String) {
        self.orders.send(Order::Send(text)).expect("the client runs");
    }

    pub fn close(&self) {
        let _ = self.orders.send(Order::Close);
    }

    pub fn kinds(&self) -> Vec<String> {
        let notes = self.notes.lock().expect("no panic");
        notes.events.iter().map(|(_, e)| e["type"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Waits until this holds of the notes, at most 20 s.
    pub async fn until<T>(&self, what: &str, check: impl Fn(&Notes) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(found) = check(&self.notes.lock().expect("no panic")) {
                return found;
            }
            assert!(Instant::now() < deadline, "no {what}; events: {:?}", self.kinds());
            // Polled, because the notes are written by another thread and nothing here measures this wait.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits for the n-th event of this type, from 0.
    pub async fn nth(&self, kind: &str, n: usize) -> (Instant, Value) {
        self.until(&format!("{kind} number {n}"), |notes| {
            notes.events.iter().filter(|(_, e)| e["type"] == kind).nth(n).cloned()
        })
        .await
    }

    pub async fn event(&self, kind: &str) -> (Instant, Value) {
        self.nth(kind, 0).await
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(offering: Offering, answer: &str, notes: &Mutex<Notes>, inbox: &Receiver<Order>) {
    let Offering { mut rtc, socket, mid, pending, channel, .. } = offering;
    let Ok(answer) = SdpAnswer::from_sdp_string(answer) else { return };
    if rtc.sdp_api().accept_answer(pending, answer).is_err() {
        return;
    }
    socket.set_nonblocking(true).expect("any socket can");
    let local = socket.local_addr().expect("bound");
    let mut buffer = [0; 2048];
    let mut microphone: VecDeque<i16> = VecDeque::new();
    let mut encoder = Microphone::default();
    let mut next_frame = None;
    let mut open = false;
    let mut unsent: VecDeque<String> = VecDeque::new();
    let mut closing: Option<Instant> = None;
    loop {
        for order in inbox.try_iter() {
            match order {
                Order::Say(samples) => microphone.extend(samples),
                Order::Send(text) => unsent.push_back(text),
                Order::Close => {
                    let _ = rtc.close();
                    closing.get_or_insert(Instant::now() + Duration::from_millis(50));
                }
            }
        }
        if closing.is_some_and(|at| Instant::now() >= at) {
            return;
        }
        if open && let Some(mut channel) = rtc.channel(channel) {
            while let Some(text) = unsent.pop_front() {
                assert!(channel.write(false, text.as_bytes()).expect("an open channel"));
            }
        }
        let now = Instant::now();
        if let Some(at) = next_frame.filter(|at| *at <= now) {
            next_frame = Some(at + Duration::from_millis(20));
            let frame: Vec<i16> = (0..160).map(|_| microphone.pop_front().unwrap_or(0)).collect();
            encoder.send(&mut rtc, mid, &frame, now);
        }
        loop {
            match rtc.poll_output() {
                Ok(Output::Timeout(_)) => break,
                Ok(Output::Transmit(transmit)) => {
                    let _ = socket.send_to(&transmit.contents, transmit.destination);
                }
                Ok(Output::Event(event)) => {
                    let mut notes = notes.lock().expect("no panic");
                    match event {
                        Event::Connected => {
                            notes.connected = Some(Instant::now());
                            next_frame = Some(Instant::now());
                        }
                        Event::ChannelOpen(..) => {
                            open = true;
                            notes.open = Some(Instant::now());
                        }
                        Event::ChannelData(data) => {
                            let text = String::from_utf8(data.data).expect("UTF-8");
                            match serde_json::from_str(&text) {
                                Ok(event) => notes.events.push((Instant::now(), event)),
                                Err(_) => notes.raw.push(text),
                            }
                        }
                        Event::ChannelClose(_) => {
                            open = false;
                            notes.channel_closed = true;
                        }
                        Event::RtpPacket(packet) => notes.rtp.push(Heard {
                            at: packet.timestamp,
                            payload_type: *packet.header.payload_type,
                            sequence: packet.header.sequence_number,
                            timestamp: packet.header.timestamp,
                            marker: packet.header.marker,
                            payload: packet.payload.to_vec(),
                        }),
                        Event::Closed | Event::IceConnectionStateChange(IceConnectionState::Disconnected) => {
                            notes.closed = true;
                        }
                        _ => {}
                    }
                }
                Err(_) => return,
            }
        }
        let input = match socket.recv_from(&mut buffer) {
            Ok((size, source)) => match Receive::new(Protocol::Udp, source, local, &buffer[..size]) {
                Ok(receive) => Input::Receive(Instant::now(), receive),
                Err(_) => continue,
            },
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                // A read timeout would be a scheduler tick late, and the microphone with it.
                std::thread::sleep(Duration::from_micros(300));
                Input::Timeout(Instant::now())
            }
            Err(_) => continue,
        };
        if rtc.handle_input(input).is_err() {
            return;
        }
    }
}

/// Mu-law, or Opus by libopus itself: the first codec of the answer.
#[derive(Default)]
struct Microphone {
    sequence: u64,
    timestamp: u32,
    opus: Option<Opus>,
}

impl Microphone {
    fn send(&mut self, rtc: &mut Rtc, mid: Mid, frame: &[i16], now: Instant) {
        let Some(media) = rtc.media(mid) else { return };
        let Some(&pt) = media.remote_pts().first() else { return };
        let (payload, step) = if *pt == 0 {
            (frame.iter().map(|&s| mulaw(s)).collect::<Vec<u8>>(), 160)
        } else {
            (self.opus.get_or_insert_with(Opus::new).encode(frame), 960)
        };
        if let Some(stream) = rtc.direct_api().stream_tx_by_mid(mid, None) {
            stream.write_rtp(RtpWrite::new(pt, self.sequence.into(), self.timestamp, now, payload));
        }
        self.sequence += 1;
        self.timestamp = self.timestamp.wrapping_add(step);
    }
}

/// The textbook form, by comparing decision levels: another way than the simulation's.
fn mulaw(sample: i16) -> u8 {
    let magnitude = (i32::from(sample).abs() + 132).min(32_767);
    let exponent = (0..8).rev().find(|e| magnitude >= 132 << e || *e == 0).unwrap_or(0);
    let mantissa = (magnitude >> (exponent + 3)) & 15;
    !(((exponent << 4) | mantissa) as u8 | if sample < 0 { 0x80 } else { 0 })
}

struct Opus(*mut unsafe_libopus::OpusEncoder);

impl Opus {
    fn new() -> Self {
        let mut error = 0;
        // SAFETY: parameters the library allows.
        let encoder = unsafe {
            unsafe_libopus::opus_encoder_create(8_000, 1, unsafe_libopus::OPUS_APPLICATION_VOIP, &mut error)
        };
        assert_eq!(error, 0);
        Self(encoder)
    }

    fn encode(&mut self, frame: &[i16]) -> Vec<u8> {
        let mut packet = vec![0; 1_275];
        // SAFETY: pointers valid for the lengths given.
        let size = unsafe {
            unsafe_libopus::opus_encode(
                self.0,
                frame.as_ptr(),
                frame.len() as i32,
                packet.as_mut_ptr(),
                1_275,
            )
        };
        packet.truncate(usize::try_from(size).expect("a good frame"));
        packet
    }
}

impl Drop for Opus {
    fn drop(&mut self) {
        // SAFETY: created above, destroyed once.
        unsafe { unsafe_libopus::opus_encoder_destroy(self.0) }
    }
}

/// Decodes received packets to 8 kHz in the order they came.
pub fn decode(packets: &[Heard], is_opus: bool) -> Vec<i16> {
    if !is_opus {
        let expand = |code: u8| {
            let code = !code;
            let magnitude = ((i32::from(code & 15) * 8 + 132) << (code >> 4 & 7)) - 132;
            (if code & 0x80 != 0 { -magnitude } else { magnitude }) as i16
        };
        return packets.iter().flat_map(|p| p.payload.iter().map(|&c| expand(c))).collect();
    }
    let mut error = 0;
    // SAFETY: parameters the library allows; pointers valid for the lengths given; destroyed once.
    unsafe {
        let decoder = unsafe_libopus::opus_decoder_create(8_000, 1, &mut error);
        let mut out = Vec::new();
        for packet in packets {
            let mut pcm = [0i16; 960];
            let size = unsafe_libopus::opus_decode(
                decoder,
                packet.payload.as_ptr(),
                packet.payload.len() as i32,
                pcm.as_mut_ptr(),
                960,
                0,
            );
            out.extend(&pcm[..usize::try_from(size).expect("a good packet")]);
        }
        unsafe_libopus::opus_decoder_destroy(decoder);
        out
    }
}

/// Root mean square.
pub fn rms(samples: &[i16]) -> f64 {
    (samples.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / samples.len().max(1) as f64).sqrt()
}
