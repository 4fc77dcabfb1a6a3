//! From an offer to a peer and its answer.

use std::net::UdpSocket;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use str0m::change::SdpOffer;
use str0m::media::Mid;
use str0m::{Candidate, IceCreds, Rtc};
use tokio::sync::broadcast;

use super::codec::{Codec, Payload};
use super::config::{Codecs, ModelConfig};
use super::drill::{Course, Drilled};
use super::ear::Ear;
use super::ids::Ids;
use super::mind::Mind;
use super::pacer::Pacer;
use super::peer::{Parts, Peer};
use super::record::{Log, Request, RtpIn, RtpOut, SessionRecord, SimEvent, Transport};
use super::refusal::Refusal;
use super::sdp::{Answer, IceCredentials, Offer};
use super::session::{self, Session};
use super::settings::Settings;
use super::socket;
use super::sound::Plan;
use super::unverified::{NoCommonCodec, SendCodec};
use crate::network::Network;

/// What a channel may buffer: enough for one event far beyond any limit of a client.
const CHANNEL_BUFFER: usize = 64 * 1024 * 1024;
/// Largest message we receive, as the documentation bounds `input_audio_buffer.append`: 15 MiB of base64 and its envelope.
const MAX_MESSAGE: u32 = 16 * 1024 * 1024;
/// An RTCP report interval that no session lives to see.
const NO_RTCP: Duration = Duration::from_secs(100_000);

/// A request that has been understood.
pub(crate) struct Asked {
    pub(crate) request: Request,
    pub(crate) offer: Offer,
    pub(crate) settings: Settings,
    pub(crate) received: Instant,
    pub(crate) number: u64,
}

/// A peer that is ready, and what to answer.
pub(crate) struct Ready {
    pub(crate) peer: Peer,
    pub(crate) log: Arc<Log>,
    pub(crate) answer: String,
}

/// The plans of a server, one a codec, the courses of its drill, and the plan of its WebSockets.
pub(crate) struct Plans(Vec<Arc<Plan>>, Vec<(Codec, Course)>, Arc<Plan>);

impl Plans {
    pub(crate) fn new(config: &ModelConfig) -> Self {
        let codecs: &[Codec] = match config.answer.codecs {
            Codecs::OpusOnly => &[Codec::Opus],
            Codecs::OpusAndG711 => &[Codec::Opus, Codec::Pcmu, Codec::Pcma],
        };
        let plan = |codec: &Codec| {
            Arc::new(Plan::new(&config.script, *codec, config.unverified.frame_ms, &config.voice))
        };
        let course = |codec: &Codec| {
            let drill = config.drill.as_ref()?;
            Some((*codec, Course::new(drill, *codec, &config.voice)))
        };
        let socket = Arc::new(Plan::new(&config.script, Codec::Pcmu, socket::FRAME_MS, &config.voice));
        Self(codecs.iter().map(plan).collect(), codecs.iter().filter_map(course).collect(), socket)
    }

    /// What is said over a WebSocket: mu-law, whatever its format makes of it.
    pub(crate) fn socket(&self) -> Arc<Plan> {
        Arc::clone(&self.2)
    }

    fn of(&self, codec: Codec) -> Arc<Plan> {
        Arc::clone(self.0.iter().find(|plan| plan.codec == codec).unwrap_or(&self.0[0]))
    }

    fn course(&self, codec: Codec) -> Option<Course> {
        self.1.iter().find(|(known, _)| *known == codec).map(|(_, course)| course.clone())
    }

    fn speaks(&self, codec: Codec) -> bool {
        self.0.iter().any(|plan| plan.codec == codec)
    }
}

pub(crate) fn set_up(
    config: &ModelConfig,
    plans: &Plans,
    watchers: &broadcast::Sender<SimEvent>,
    asked: Asked,
) -> Result<Ready, Refusal> {
    let Asked { request, offer, mut settings, received, number } = asked;
    let seed = config.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(number);
    let mut ids = Ids::new(seed);
    let (media, events) = config.faults.of(number);
    let payloads: Vec<Payload> = offer.payloads.iter().copied().filter(|p| plans.speaks(p.codec)).collect();
    if payloads.is_empty() && config.unverified.no_common_codec == NoCommonCodec::Refuse {
        return Err(invalid_offer());
    }
    let ice = IceCredentials {
        // The real fragment: eight characters, `/`, a region, `/`, eight characters.
        ufrag: format!("{}/u1/{}", ids.word(7), ids.word(8)),
        pwd: ids.word(32),
    };
    let socket = UdpSocket::bind((config.media_ip, 0)).map_err(internal)?;
    socket.set_nonblocking(true).map_err(internal)?;
    let local = socket.local_addr().map_err(internal)?;
    let mut rtc = peer_connection(config, &payloads, &ice, received);
    rtc.add_local_candidate(Candidate::host(local, "udp").map_err(internal)?);
    let huge = events.huge.map(|_| CHANNEL_BUFFER as u32);
    let parsed = SdpOffer::from_sdp_string(&offer.for_peer(huge)).map_err(|_| invalid_offer())?;
    rtc.sdp_api().accept_offer(parsed).map_err(|_| invalid_offer())?;
    let audio = Mid::from(offer.audio_mid.as_str());
    let mut direct = rtc.direct_api();
    let ssrc = direct.stream_tx_by_mid(audio, None).map(|stream| stream.ssrc());
    let ssrc = ssrc.unwrap_or_else(|| direct.new_ssrc());
    let sends = match config.unverified.sends {
        SendCodec::FirstInAnswer => payloads.first(),
        SendCodec::PreferOpus => payloads.iter().find(|p| p.codec == Codec::Opus).or(payloads.first()),
        SendCodec::LastInAnswer => payloads.last(),
    };
    let sends = sends.copied().unwrap_or(Payload { payload_type: 111, codec: Codec::Opus });
    let answer = Answer {
        session_number: u64::from(ids.bits()) << 31 | u64::from(ids.bits() >> 1),
        unix_seconds: unix_seconds(),
        fingerprint: direct.local_dtls_fingerprint().to_string(),
        ice,
        audio_mid: offer.audio_mid.clone(),
        channel_mid: offer.channel_mid.clone(),
        payloads: payloads.clone(),
        setup: if offer.setup == "active" { "passive" } else { "active" },
        ssrc: *ssrc,
        candidates: std::iter::once(local).chain(config.answer.extra_candidates.iter().copied()).collect(),
        extmap_allow_mixed: offer.extmap_allow_mixed,
    };
    let answer = answer_text(&answer, config);
    let session_id = ids.of("sess");
    settings.identify(&session_id, unix_seconds() + config.session_limit.as_secs());
    let log = Log::new(
        SessionRecord {
            call_id: format!("rtc_u1_{}", ids.hex(32)),
            transport: Transport::WebRtc,
            session_id,
            requested: received,
            request,
            answer: answer.clone(),
            answered_after: received.elapsed(),
            connected_after: None,
            channel_after: None,
            client_events: Vec::new(),
            server_events: Vec::new(),
            rtp_in: RtpIn::default(),
            rtp_out: RtpOut { codec: Some(sends.codec), ..RtpOut::default() },
            turns: Vec::new(),
            replies: Vec::new(),
            remarks: Vec::new(),
            ended: None,
        },
        config.keep_heard,
        watchers.clone(),
    );
    let session = mind(config, plans, sends.codec, settings, seed ^ 1, number);
    let peer = Peer::new(Parts {
        audio: (!payloads.is_empty()).then_some(audio),
        ear: Ear::new(payloads, received),
        pacer: Pacer::new(sends.codec, &config.unverified, &media, ids.bits()),
        network: Network::new(config.network.clone(), seed ^ 2),
        impairs_everything: config.network.everything,
        faults: media.clone(),
        log: Arc::clone(&log),
        rtc,
        socket,
        local,
        ssrc,
        sends,
        session,
    });
    Ok(Ready { peer, log, answer })
}

fn mind(
    config: &ModelConfig,
    plans: &Plans,
    codec: Codec,
    settings: Settings,
    seed: u64,
    number: u64,
) -> Mind {
    if let Some(course) = plans.course(codec) {
        return Mind::Drill(Box::new(Drilled::new(course, number, settings.value().clone(), seed)));
    }
    let plan = plans.of(codec);
    let silence = Arc::clone(&plan.silence);
    let session = Session::new(session::Setup {
        transport: Transport::WebRtc,
        settings,
        plan,
        timing: config.timing,
        unverified: config.unverified.clone(),
        faults: config.faults.of(number).1,
        limit: config.session_limit,
        speaks_after: config.faults.of(number).0.channel_speaks_after,
        seed,
    });
    Mind::Conversation { session: Box::new(session), silence }
}

fn peer_connection(config: &ModelConfig, payloads: &[Payload], ice: &IceCredentials, now: Instant) -> Rtc {
    let speaks = |codec: Codec| payloads.iter().any(|p| p.codec == codec);
    let mut builder = Rtc::builder()
        .set_rtp_mode(true)
        .set_ice_lite(config.answer.ice_lite)
        .set_local_ice_credentials(IceCreds { ufrag: ice.ufrag.clone(), pass: ice.pwd.clone() })
        .set_stats_interval(None)
        .clear_extension_map()
        .clear_codecs()
        .enable_opus(speaks(Codec::Opus), false)
        .enable_pcmu(speaks(Codec::Pcmu), false)
        .enable_pcma(speaks(Codec::Pcma), false)
        .set_sctp_max_buffered_amount(CHANNEL_BUFFER)
        .set_sctp_max_message_size(MAX_MESSAGE);
    if !config.unverified.rtcp {
        builder = builder.set_rtcp_report_interval_audio(NO_RTCP);
    }
    builder.build(now)
}

fn answer_text(answer: &Answer, config: &ModelConfig) -> String {
    match &config.faults.answer {
        Some(fault) => answer.faulty_text(&config.answer, fault),
        None => answer.text(&config.answer),
    }
}

pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn invalid_offer() -> Refusal {
    let message = "Invalid SDP offer. Please try again with a WHIP-compliant offer.";
    Refusal::new("invalid_offer", message, None)
}

/// The simulation itself cannot go on: no socket, no port.
fn internal(error: impl std::fmt::Display) -> Refusal {
    Refusal {
        kind: "server_error",
        code: None,
        message: format!("The simulated model could not set up a session: {error}"),
        param: None,
    }
}

/// The session part of a request that has none.
pub(crate) fn default_session() -> Value {
    serde_json::json!({"type": "realtime", "model": "gpt-realtime"})
}
