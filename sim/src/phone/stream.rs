//! `<Connect><Stream>`: the bidirectional media stream of a call.

use std::time::{Duration, Instant};

use futures_util::{FutureExt, StreamExt};
use tokio_tungstenite::tungstenite::Message;
use url::Url;

use super::call::{Call, Next};
use super::faults::{CloseStyle, StreamFault, TokenFault, When};
use super::message::{self, StreamIds};
use super::playback::Playback;
use super::socket;
use super::streaming::{Course, Open};
use super::timeline::Moment;
use super::twiml::{self, Stream};
use super::uplink::Uplink;
use super::validator::ViolationKind;

/// The first frame comes 100 to 170 ms after the stream began (captures: 102, 155, 171). It is the first beat after a random moment of this span, so up to 20 ms more.
const FIRST_MEDIA_MS: (i64, i64) = (100, 150);

impl Call {
    /// Opens the stream, carries it to its end and says what follows; `Next::On` if it is over and the call is not.
    pub(crate) async fn stream(&mut self, noun: Stream) -> Next {
        let stream_sid = self.set.dice.sid("MZ");
        let ids = StreamIds {
            account: self.set.identity.account.clone(),
            call: self.set.identity.call.clone(),
            stream: stream_sid,
        };
        self.set.diary.now(Moment::StreamConnecting);
        let opening = match self.opening(&noun) {
            Ok(opening) => opening,
            Err((code, why)) => return self.refused(&ids, &noun, code, None, why),
        };
        let (wire, reader, unasked) = match self.during(opening.open()).await {
            Err(next) => return next,
            Ok(Err(refused)) => return self.refused(&ids, &noun, refused.code, refused.status, refused.why),
            Ok(Ok(open)) => open,
        };
        let zero = Instant::now();
        self.set.diary.at(self.set.diary.since(zero), Moment::StreamUpgraded);
        self.notes.stream_sids.push(ids.stream.clone());
        for (kind, detail) in unasked {
            self.violate(kind, detail);
        }
        let wait = self.set.dice.between(FIRST_MEDIA_MS.0, FIRST_MEDIA_MS.1).unsigned_abs();
        // What goes wrong goes wrong once.
        let first = self.notes.stream_sids.len() == 1;
        let faults = if first { self.set.plan.faults.stream.clone() } else { vec![] };
        let mut open = Open {
            uplink: Uplink::new(ids.clone(), &faults, self.set.dice.roll()),
            ids,
            noun,
            wire,
            reader,
            playback: Playback::default(),
            zero,
            beat: zero,
            beat_late: Duration::ZERO,
            first_media: zero + Duration::from_millis(wait),
            sent_media: false,
            tapped: 0,
            got_audio: false,
            half_open: false,
            deaf_until: None,
            faults,
        };
        if let Some(next) = self.introduce(&mut open).await {
            return self.leave(open, next);
        }
        self.stream_callback(&open.ids, &open.noun, "stream-started", None);
        let course = loop {
            match self.step(&mut open).await {
                Course::Goes => {}
                other => break other,
            }
        };
        match course {
            Course::Goes => unreachable!("the loop goes on while the stream does"),
            Course::Leaves(next) => self.leave(open, next),
            Course::Lost { code, reason } => self.lost(open, code, reason),
            Course::Reset => {
                self.gather(&open);
                self.stream_callback(
                    &open.ids,
                    &open.noun,
                    "stream-error",
                    Some("Stream - Websocket - Broken pipe"),
                );
                open.wire.reset(open.reader).await;
                Next::On
            }
            Course::Abandoned => {
                self.gather(&open);
                self.warn(twiml::Warning::new(31_924, "Stream - Websocket - Protocol Error"));
                self.stream_callback(
                    &open.ids,
                    &open.noun,
                    "stream-error",
                    Some("Stream - Websocket - Protocol Error"),
                );
                self.park(open);
                Next::On
            }
        }
    }

    fn opening(&self, noun: &Stream) -> Result<socket::Opening, (u32, String)> {
        // Twilio drops the query of a stream's URL, so it is neither sent nor signed.
        let written = noun.url.split('?').next().unwrap_or_default();
        let url = Url::parse(written).map_err(|e| (31_923, e.to_string()))?;
        let loopback = match url.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        };
        match url.scheme() {
            "wss" => {}
            // On this machine there is no TLS terminator; anywhere else Twilio refuses.
            "ws" if loopback => {}
            scheme => return Err((31_922, format!("scheme {scheme}"))),
        }
        let faults = &self.set.plan.faults;
        let small_buffer = faults.stream.iter().any(|f| matches!(f, StreamFault::SlowReader { .. }));
        let signature = self.set.asker.signature(written, &[], faults.upgrade_signature);
        Ok(socket::Opening {
            place: self.set.asker.route.to(&url),
            signature,
            small_buffer,
            tap: self.set.plan.tap.clone(),
        })
    }

    fn refused(
        &mut self,
        ids: &StreamIds,
        noun: &Stream,
        code: u32,
        status: Option<u16>,
        why: String,
    ) -> Next {
        self.set.diary.now(Moment::StreamRefused { code, status });
        self.warn(twiml::Warning::new(code, why));
        let text = match code {
            31_920 => "Stream - Websocket - Handshake Error",
            31_922 => "Stream - Websocket - Invalid Scheme",
            31_923 => "Stream - Websocket - Invalid URL",
            _ => "Stream - Websocket - Connection Error",
        };
        self.stream_callback(ids, noun, "stream-error", Some(text));
        Next::On
    }

    /// `connected` and `start`, with what the faults put around them.
    async fn introduce(&mut self, open: &mut Open) -> Option<Next> {
        self.inject(open, |when| when == When::First);
        open.wire.text(message::connected(), None);
        self.inject(open, |when| when == When::BeforeStart);
        let late = open.faults.iter().find_map(|f| match f {
            StreamFault::LateStart { by } => Some(*by),
            _ => None,
        });
        if let Some(by) = late {
            self.set.diary.now(Moment::Fault("late start"));
            if let Err(next) = self.during(tokio::time::sleep(by)).await {
                return Some(next);
            }
        }
        // Whatever is here already was sent by somebody who could not know the stream.
        while let Some(Some(Ok(Message::Text(_) | Message::Binary(_)))) = open.reader.next().now_or_never() {
            self.violate(ViolationKind::BeforeStart, "a message before start".into());
        }
        let faults = &self.set.plan.faults;
        let mut parameters = open.noun.parameters.clone();
        match &faults.token {
            TokenFault::None => {}
            TokenFault::Drop => parameters.retain(|(name, _)| name != "token"),
            TokenFault::Replace(token) => {
                parameters.iter_mut().filter(|(n, _)| n == "token").for_each(|(_, v)| v.clone_from(token));
            }
        }
        let told = StreamIds {
            account: faults.start_account_sid.clone().unwrap_or_else(|| open.ids.account.clone()),
            call: faults.start_call_sid.clone().unwrap_or_else(|| open.ids.call.clone()),
            stream: open.ids.stream.clone(),
        };
        let format = faults.start_format.clone();
        open.wire.text(open.uplink.start(&told, &parameters, format.as_ref()), None);
        self.set.diary.now(Moment::StartSent);
        self.inject(open, |when| when == When::AfterStart);
        None
    }

    /// The call goes elsewhere: `stop`, then the end of the socket, in the background.
    fn leave(&mut self, mut open: Open, next: Next) -> Next {
        self.gather(&open);
        self.stream_callback(&open.ids, &open.noun, "stream-stopped", None);
        if open.half_open {
            self.park(open);
            return next;
        }
        let faults = self.set.plan.faults.clone();
        for message in open.uplink.stop() {
            if !(faults.no_stop && message.starts_with(r#"{"event":"stop""#)) {
                open.wire.text(message, None);
            }
        }
        if !faults.no_stop {
            self.set.diary.now(Moment::StopSent);
        }
        self.inject(&mut open, |when| when == When::AfterStop);
        let parked = self.set.parked.clone();
        self.tails.spawn(async move {
            if let Some(tcp) = open.wire.close(open.reader, faults.close).await {
                parked.lock().expect("nothing panics while it holds the list").push(tcp);
            }
        });
        next
    }

    fn lost(&mut self, open: Open, code: u16, reason: String) -> Next {
        self.check_framing(&open);
        self.gather(&open);
        self.set.diary.now(Moment::StreamClosed { code, reason });
        let (event, error) = match code {
            1_006 => ("stream-error", Some("Stream - Websocket - Broken pipe")),
            _ => ("stream-stopped", None),
        };
        self.stream_callback(&open.ids, &open.noun, event, error);
        // The library has the answer to the close frame ready; reading on sends it.
        self.tails.spawn(async move {
            open.wire.close(open.reader, CloseStyle::Normal).await;
        });
        Next::On
    }

    fn park(&mut self, open: Open) {
        if let Ok(tcp) = open.wire.park() {
            self.set.parked.lock().expect("nothing panics while it holds the list").push(tcp);
        }
    }

    fn gather(&mut self, open: &Open) {
        self.notes.late.extend(open.wire.late());
        self.notes.framing = open.wire.framing();
        self.notes.dropped += open.wire.dropped;
        if open.wire.dropped > 0 {
            self.warn(twiml::Warning::new(
                31_930,
                "the bridge reads too slowly; the caller's audio is discarded",
            ));
        }
    }

    fn stream_callback(&mut self, ids: &StreamIds, noun: &Stream, event: &str, error: Option<&str>) {
        let Some(target) = noun.status_callback.clone() else { return };
        let params = self.set.identity.stream(&ids.stream, noun.name.as_deref(), event, error);
        let question = self.question(&target, params);
        self.callbacks.send(event, question);
    }
}
