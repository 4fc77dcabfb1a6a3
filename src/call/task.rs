//! A call at work: joins the state machine with the sockets, the rings and the tools.
//!
//! One task a call. It waits for events only; sound passes it by on the rings.

mod actions;
mod link;
mod release;

use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use pipeline::{
    AgeHistogram, CallConfig, Command, Control, MediaFormat, ModelCodec, ModelPort, OpusConfig, Workers,
};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::handle::{REQUEST_QUEUE, Request, Shared};
use super::records::Recorder;
use super::session::{Input, Session, Unheard};
use super::{
    AttachError, Attached, CallEnd, CallHandle, Delays, Inbound, Listening, MediaClosed, MediaCommand,
    MediaEvent, Played, Snapshot, Sound, mask,
};
use crate::awake::Awake;
use crate::bell::TaskBell;
use crate::config::{Agent, Live, Settings};
use crate::network::{Network, Seat};
use crate::openai::connect::Client;
use crate::openai::leg::{LegCommand, LegEvent, Transport};
use crate::openai::link::Link;
use crate::openai::received::Place;
use crate::openai::standby::Standby;
use crate::openai::{session, wire};
use crate::recording::{Recordings, Tape};
use crate::store::Store;
use crate::telemetry::audio;
use crate::tools;
use crate::twilio::rest;
use crate::twilio::wire::Start;
use link::{Dial, finished};

/// Commands waiting at the media socket: a `clear` per interruption.
const MEDIA_COMMANDS: usize = 32;
/// Events waiting from the media socket: marks come ten a second.
const MEDIA_EVENTS: usize = 256;
/// How often an observer's snapshot is renewed while frames flow.
const SNAPSHOT_EVERY: Duration = Duration::from_secs(1);

/// What every call needs.
pub struct Deps {
    /// What the bridge was told.
    pub settings: Live,
    /// OpenAI over HTTP.
    pub model: Client,
    /// Sessions that wait for calls.
    pub standby: Standby,
    /// The audio threads.
    pub workers: Arc<Workers>,
    /// The network threads beside them.
    pub network: Arc<Network>,
    /// Keeps cores from sleeping while there are calls enough.
    pub awake: Awake,
    /// Twilio over HTTP; `None` without an account.
    pub twilio: Option<rest::Client>,
    /// Runs the model's tools.
    pub tools: tools::Runner,
    /// Where calls are written down; `None`: nowhere.
    pub store: Option<Arc<Store>>,
    /// Where calls are recorded; `None`: nowhere.
    pub recordings: Option<Arc<Recordings>>,
}

/// Starts a call: the session is asked for at once, so that it is up before the stream's `start`.
pub fn spawn(inbound: Inbound, deps: &Arc<Deps>) -> CallHandle {
    let settings = deps.settings.now();
    let agent = inbound.agent_of(&settings);
    let agent = Arc::new(agent.filled(inbound.person(), inbound.ours(), &inbound.variables));
    let (requests_in, requests) = mpsc::channel(REQUEST_QUEUE);
    let snapshot = Snapshot {
        call_sid: inbound.call_sid.clone(),
        agent: agent.name.clone(),
        from: mask(&inbound.from),
        to: mask(&inbound.to),
        progress: vec![(super::Progress::Webhook, 0)],
        transcript: Vec::new(),
        uplink: None,
        downlink: None,
        sound: None,
        far_end: None,
        interruptions: 0,
        total_tokens: 0,
        usage: super::Usage::default(),
        sessions: 0,
        ended: None,
    };
    let handle = CallHandle(Arc::new(Shared {
        inbound,
        requests: requests_in,
        snapshot: Mutex::new(snapshot),
        stats: Mutex::default(),
        events: OnceLock::new(),
        onward: Mutex::new(None),
        ended: watch::Sender::new(None),
        released: watch::Sender::new(false),
    }));
    // A session that waits is where its sockets are.
    let (ready, seat) = link::ready(deps, &agent, None)
        .map_or_else(|| (None, deps.network.seat()), |(link, seat)| (Some(link), seat));
    let runtime = seat.runtime().clone();
    let call = Call::new(handle.clone(), agent, settings, Arc::clone(deps), ready, seat);
    let running = runtime.spawn(Box::new(call).run(requests));
    // A defect in one call must leave a reason behind and no other call may notice.
    let guarded = handle.clone();
    let counted = deps.awake.call();
    runtime.spawn(async move {
        if running.await.is_err() {
            guarded.finish(CallEnd::Internal);
        }
        guarded.0.released.send_replace(true);
        drop(counted);
    });
    handle
}

impl CallHandle {
    fn finish(&self, reason: CallEnd) {
        let first = self.0.ended.send_if_modified(|ended| ended.is_none() && ended.replace(reason).is_none());
        if first {
            self.0.snapshot.lock().unwrap_or_else(|e| e.into_inner()).ended = Some(reason);
            metrics::counter!("aria_calls_ended_total", "reason" => reason.as_str()).increment(1);
            metrics::gauge!("aria_calls").decrement(1.0);
        }
    }
}

struct Call {
    handle: CallHandle,
    deps: Arc<Deps>,
    agent: Arc<Agent>,
    /// Those in force when it began.
    settings: Arc<Settings>,
    session: Session,
    /// What the model may do in this call.
    desk: tools::Desk,
    dial: Option<Dial>,
    /// A session that waited for calls, until it is asked for.
    ready: Option<Link>,
    /// The session that talks to the caller.
    link: Option<Link>,
    /// The one that will take over.
    next: Option<Link>,
    codec: Option<ModelCodec>,
    /// A session that waited for calls may be asked to be this one's: none has refused it yet.
    standby_fits: bool,
    model_bell: Arc<TaskBell>,
    /// The model's end of the rings, while no session has it.
    model_port: Option<ModelPort>,
    control: Option<Control>,
    media: Option<mpsc::Sender<MediaCommand>>,
    media_events: Option<mpsc::Receiver<MediaEvent>>,
    listening: Arc<Listening>,
    /// Where the model's sound was when the caller interrupted it.
    cut: Option<Place>,
    sent: Arc<AgeHistogram>,
    written: Arc<AgeHistogram>,
    ahead: Arc<AgeHistogram>,
    tools: JoinSet<Input>,
    events_sent: u64,
    records: Recorder,
    tape: Option<Arc<Mutex<Tape>>>,
    seat: Seat,
}

impl Call {
    fn new(
        handle: CallHandle,
        agent: Arc<Agent>,
        settings: Arc<Settings>,
        deps: Arc<Deps>,
        ready: Option<Link>,
        seat: Seat,
    ) -> Self {
        metrics::gauge!("aria_calls").increment(1.0);
        let began = handle.inbound().at;
        let price = settings.prices.get(&agent.model).copied();
        let records = Recorder::begin(deps.store.clone(), handle.inbound(), &agent, price);
        Self {
            records,
            session: Session::new(began, actions::manner(&agent, &settings)),
            desk: deps.tools.desk(Arc::clone(&agent), handle.inbound().person(), handle.inbound().ours()),
            handle,
            deps,
            agent,
            settings,
            dial: None,
            ready,
            link: None,
            next: None,
            codec: None,
            standby_fits: true,
            model_bell: Arc::default(),
            model_port: None,
            control: None,
            media: None,
            media_events: None,
            listening: Arc::default(),
            cut: None,
            sent: Arc::default(),
            written: Arc::default(),
            ahead: Arc::default(),
            tools: JoinSet::new(),
            events_sent: 0,
            tape: None,
            seat,
        }
    }

    /// Boxed, since a future holds what it was given as well as what it has made of it.
    async fn run(mut self: Box<Self>, mut requests: mpsc::Receiver<Request>) {
        self.dial();
        let mut refresh = tokio::time::interval(SNAPSHOT_EVERY);
        refresh.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let reason = loop {
            if let Some(reason) = self.act().await {
                break reason;
            }
            let deadline = self.session.poll_timeout().unwrap_or_else(Instant::now);
            // Whatever is ready is taken in this order: an interruption before anything that can wait.
            tokio::select! {
                biased;
                event = link::next(&mut self.link) => self.handle_leg(event).await,
                event = next(&mut self.media_events) => self.handle_media(event),
                request = requests.recv() => self.handle_request(request),
                dialed = finished(&mut self.dial) => self.handle_dialed(dialed),
                event = link::next(&mut self.next) => self.handle_next(event),
                Some(done) = self.tools.join_next() => {
                    // A tool that panicked was aborted with the set; its deadline input never comes, the call's own limit does.
                    if let Ok(input) = done {
                        self.session.handle(Instant::now(), input);
                    }
                }
                () = tokio::time::sleep_until(deadline.into()) => self.session.handle_timeout(Instant::now()),
                _ = refresh.tick() => self.refresh_snapshot(),
            }
        };
        self.refresh_snapshot();
        if let Some(control) = &self.control {
            audio::ended(&control.stats(), &self.sent, &self.written);
        }
        self.records.end(reason, &self.handle.snapshot(), &self.session);
        self.handle.finish(reason);
        // The largest of its futures by far, and the last: no living call has room for it.
        Box::pin(self.release(reason)).await;
    }

    async fn handle_leg(&mut self, event: Option<LegEvent>) {
        let now = Instant::now();
        match event {
            Some(LegEvent::Text(text)) => {
                if let Some(event) = self.read(&text) {
                    if self.refuses_this_call(&event) {
                        // It goes by the settings of its agent alone, not by those of this call: another, made for it, takes over.
                        return self.lose_link(now).await;
                    }
                    if let (wire::ServerEvent::PlayoutStarted { .. }, Some(link)) = (&event, &self.link) {
                        link.received.reply_begins(pipeline::now());
                    }
                    if let wire::ServerEvent::SpeechStopped { .. } = &event {
                        self.desk.caller_spoke();
                    }
                    self.session.handle(now, Input::Model(event));
                }
            }
            Some(LegEvent::FirstFrameOut) => {
                if self.session.sessions() == 1 {
                    self.session.handle(now, Input::FirstFrameOut);
                }
            }
            Some(LegEvent::Connected | LegEvent::ChannelOpen) => {}
            Some(LegEvent::Lost) | None => self.lose_link(now).await,
        }
    }

    /// Whether a session that waited for calls will not have the settings of this one. No other is tried.
    fn refuses_this_call(&mut self, event: &wire::ServerEvent) -> bool {
        let refused = matches!(event, wire::ServerEvent::Error(e) if e.event_id == session::UPDATE_ID);
        self.standby_fits &= !refused;
        refused
    }

    async fn lose_link(&mut self, now: Instant) {
        if let Some(link) = self.link.take() {
            self.model_port = link.close().await;
        }
        self.session.handle(now, Input::ModelLost);
    }

    fn handle_next(&mut self, event: Option<LegEvent>) {
        let now = Instant::now();
        match event {
            Some(LegEvent::Text(text)) => {
                if let Some(event) = self.read(&text) {
                    if self.refuses_this_call(&event) {
                        self.next = None;
                        return self.session.handle(now, Input::NextLost);
                    }
                    self.session.handle(now, Input::Next(event));
                }
            }
            Some(LegEvent::FirstFrameOut | LegEvent::Connected | LegEvent::ChannelOpen) => {}
            Some(LegEvent::Lost) | None => {
                self.next = None;
                self.session.handle(now, Input::NextLost);
            }
        }
    }

    fn read(&self, text: &str) -> Option<wire::ServerEvent> {
        let event = wire::parse(text)
            .inspect_err(|_| metrics::counter!("aria_model_events_malformed_total").increment(1))
            .ok()?;
        match &event {
            wire::ServerEvent::Unknown { .. } => {
                metrics::counter!("aria_model_events_unknown_total").increment(1)
            }
            wire::ServerEvent::Error(error) => {
                metrics::counter!("aria_model_errors_total").increment(1);
                tracing::warn!(call = %self.handle.inbound().call_sid, kind = %error.kind, code = %error.code, "the model reports an error");
            }
            _ => {}
        }
        Some(event)
    }

    fn handle_media(&mut self, event: Option<MediaEvent>) {
        let now = Instant::now();
        let event = event.unwrap_or(MediaEvent::Closed { why: MediaClosed::Lost, played: None });
        if matches!(event, MediaEvent::Closed { .. }) {
            self.media_events = None;
            self.media = None;
        }
        match event {
            MediaEvent::Cleared { after, played, .. } => {
                let unheard = self.cut.take().and_then(|cut| self.unheard(cut, played));
                self.session.handle(now, Input::Cleared { after, unheard });
            }
            MediaEvent::Closed { why: MediaClosed::Lost, played } => {
                // What it cuts off is known by now.
                let place = self.link.as_ref().map(|link| link.received.place());
                self.session.handle(now, Input::Media(event));
                let unheard = place.and_then(|cut| self.unheard(cut, played));
                self.session.handle(now, Input::Cleared { after: Duration::ZERO, unheard });
            }
            event => self.session.handle(now, Input::Media(event)),
        }
    }

    /// What the caller has not heard of a reply that was cut off at `cut`, if what he heard last was `played`.
    fn unheard(&self, cut: Place, played: Option<Played>) -> Option<Unheard> {
        let unheard = match played {
            Some(played) => cut.unheard(played.source, played.whole),
            None => cut.unheard_at_all(),
        };
        let unheard = unheard.map(|(unheard, heard)| Unheard { unheard, heard });
        let Some(link) = self.link.as_ref().filter(|link| link.transport == Transport::WebSocket) else {
            return unheard;
        };
        // There the leg tells the server what was heard; it only has to know.
        let heard = unheard.and_then(|unheard| unheard.heard);
        let heard_ms = heard.map(|heard| heard.as_millis() as u32);
        link.try_send(LegCommand::Interrupt { heard_ms });
        unheard.map(|unheard| Unheard { unheard: Duration::ZERO, ..unheard })
    }

    fn handle_request(&mut self, request: Option<Request>) {
        let now = Instant::now();
        match request {
            Some(Request::Attach { start, reply }) => {
                let attached = self.attach(&start);
                let ok = attached.is_ok();
                // The socket may have gone while we answered; then its events end at once.
                if reply.send(attached).is_ok() && ok {
                    self.session.handle(now, Input::MediaStarted);
                }
            }
            Some(Request::Say(text)) => self.session.handle(now, Input::Say(text)),
            Some(Request::Transfer(onward)) => self.session.handle(now, Input::Transfer(onward)),
            Some(Request::Reopening) => self.session.handle(now, Input::Reopening),
            Some(Request::Returned(dialed)) => self.session.handle(now, Input::Returned(dialed)),
            Some(Request::Machine { beep }) => self.session.handle(now, Input::Machine { beep }),
            Some(Request::End(reason)) => self.session.handle(now, Input::End(reason)),
            // The handle holds a sender, and this call holds the handle.
            None => self.session.handle(now, Input::End(CallEnd::Internal)),
        }
    }

    fn attach(&mut self, start: &Start) -> Result<Attached, AttachError> {
        if self.media_events.is_some() {
            // A stream's token is given out once Twilio is done with the one before, whatever we have noticed of that.
            self.handle_media(None);
        }
        let audio = &self.settings.audio;
        let config = CallConfig {
            media: start.media_format.audio().ok_or(AttachError::Format)?,
            codec: self.codec.unwrap_or(session::codecs(self.agent.codec)[0]),
            opus: OpusConfig {
                complexity: audio.opus_complexity,
                bitrate: audio.opus_bitrate,
                ..OpusConfig::default()
            },
            ..CallConfig::default()
        };
        let bell = Arc::new(TaskBell::default());
        let (ports, slot) = pipeline::call(config, bell.clone(), self.model_bell.clone());
        let workers = &self.deps.workers;
        // Another core than that of its sockets is dearer, and better than none.
        let added = workers.add_to(self.seat.core(), slot).or_else(|slot| workers.add(slot));
        added.map_err(|_| AttachError::Full)?;
        match &self.link {
            // What was left of an earlier stream goes with its rings.
            Some(link) => drop(link.try_send(LegCommand::Audio(self.rings(ports.model)))),
            None => self.model_port = Some(ports.model),
        }
        self.record(config.media);
        let (commands, commands_out) = mpsc::channel(MEDIA_COMMANDS);
        let (events, events_out) = mpsc::channel(MEDIA_EVENTS);
        self.media = Some(commands);
        self.media_events = Some(events_out);
        let stats = ports.control.stats();
        *self.handle.0.stats.lock().unwrap_or_else(|e| e.into_inner()) = Some(Arc::clone(&stats));
        self.control = Some(ports.control);
        Ok(Attached {
            port: ports.media,
            bell,
            commands: commands_out,
            events,
            stats,
            written: Arc::clone(&self.written),
            listening: Arc::clone(&self.listening),
            ahead: Arc::clone(&self.ahead),
            tape: self.tape.clone(),
            runtime: self.seat.runtime().clone(),
        })
    }

    /// A stream in this format begins: it is recorded, behind what was recorded of an earlier one.
    fn record(&mut self, format: MediaFormat) {
        let recordings = self.deps.recordings.as_ref().filter(|_| self.agent.record);
        match &self.tape {
            Some(tape) => {
                if !tape.lock().unwrap_or_else(|e| e.into_inner()).resume(format) {
                    self.tape = None;
                }
            }
            None => {
                let begun = recordings.and_then(|r| r.begin(&self.handle.inbound().call_sid, format));
                self.tape = begun.map(|tape| Arc::new(Mutex::new(tape)));
            }
        }
    }

    fn command(&mut self, command: Command) {
        if let Some(control) = &mut self.control
            && control.send(command).is_err()
        {
            metrics::counter!("aria_audio_commands_dropped_total").increment(1);
        }
    }

    fn refresh_transcript(&self) {
        let mut snapshot = self.handle.0.snapshot.lock().unwrap_or_else(|e| e.into_inner());
        snapshot.transcript = self.session.transcript().spoken();
        snapshot.interruptions = self.session.interruptions();
        snapshot.usage = self.session.usage();
        snapshot.total_tokens = snapshot.usage.total_tokens;
        snapshot.sessions = self.session.sessions();
    }

    fn refresh_snapshot(&self) {
        self.refresh_transcript();
        let mut snapshot = self.handle.0.snapshot.lock().unwrap_or_else(|e| e.into_inner());
        snapshot.uplink = Some(Delays::of(&self.sent));
        snapshot.downlink = Some(Delays::of(&self.written));
        snapshot.sound = self.control.as_ref().map(|control| Sound::of(&control.stats()));
        snapshot.far_end = Some(Delays::of(&self.ahead));
    }
}

/// The next event of a channel that may not be there yet.
async fn next<T>(events: &mut Option<mpsc::Receiver<T>>) -> Option<T> {
    match events {
        Some(events) => events.recv().await,
        None => std::future::pending().await,
    }
}
