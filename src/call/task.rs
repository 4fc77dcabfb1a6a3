//! A call at work: joins the state machine with the sockets, the rings and the tools.
//!
//! One task a call. It waits for events only; sound passes it by on the rings.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use pipeline::{AgeHistogram, CallConfig, Command, Control, ModelCodec, ModelPort, OpusConfig, Workers};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::handle::{REQUEST_QUEUE, Request, Shared, mask};
use super::session::{Action, Input, Session};
use super::{
    AttachError, Attached, CallEnd, CallEvent, CallHandle, Delays, Inbound, MediaBell, MediaCommand,
    MediaEvent, Snapshot, Sound,
};
use crate::config::{Agent, CodecChoice, Settings};
use crate::openai::connect::{Client, ConnectError};
use crate::openai::leg::{self, LegCommand, LegEvent, ModelBell, Opened, Transport};
use crate::openai::{session, wire};
use crate::telemetry::audio;
use crate::tools;
use crate::twilio::rest;
use crate::twilio::wire::Start;

/// Commands waiting at the media socket: a `clear` per interruption.
const MEDIA_COMMANDS: usize = 32;
/// Events waiting from the media socket: marks come ten a second.
const MEDIA_EVENTS: usize = 256;
/// How long goodbyes over HTTP may take once the call is over.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);
/// How often an observer's snapshot is renewed while frames flow.
const SNAPSHOT_EVERY: Duration = Duration::from_secs(1);

/// What every call needs.
pub struct Deps {
    /// What the bridge was told.
    pub settings: Arc<Settings>,
    /// OpenAI over HTTP.
    pub model: Client,
    /// The audio threads.
    pub workers: Arc<Workers>,
    /// Twilio over HTTP; `None` without an account.
    pub twilio: Option<rest::Client>,
    /// Runs the model's tools.
    pub tools: tools::Runner,
}

/// Starts a call: the session is asked for at once, so that it is up before the stream's `start`.
pub fn spawn(inbound: Inbound, deps: &Arc<Deps>) -> CallHandle {
    let agent = deps.settings.agent_for(&inbound.to);
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
        events: OnceLock::new(),
        ended: watch::Sender::new(None),
        released: watch::Sender::new(false),
    }));
    let call = Call::new(handle.clone(), agent, Arc::clone(deps));
    let running = tokio::spawn(call.run(requests));
    // A defect in one call must leave a reason behind and no other call may notice.
    let guarded = handle.clone();
    tokio::spawn(async move {
        if running.await.is_err() {
            guarded.finish(CallEnd::Internal);
        }
        guarded.0.released.send_replace(true);
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

/// Asking for a session, and whether it is still wanted.
struct Dial {
    task: JoinHandle<Result<Opened, ConnectError>>,
    wanted: Arc<AtomicBool>,
}

struct Call {
    handle: CallHandle,
    deps: Arc<Deps>,
    agent: Arc<Agent>,
    session: Session,
    dial: Option<Dial>,
    leg: Option<mpsc::Sender<LegCommand>>,
    leg_events: Option<mpsc::Receiver<LegEvent>>,
    model_call_id: Option<String>,
    codec: Option<ModelCodec>,
    model_bell: Arc<ModelBell>,
    /// The model's end of the rings, until the leg is there.
    model_port: Option<ModelPort>,
    control: Option<Control>,
    media: Option<mpsc::Sender<MediaCommand>>,
    media_events: Option<mpsc::Receiver<MediaEvent>>,
    sent: Arc<AgeHistogram>,
    written: Arc<AgeHistogram>,
    ahead: Arc<AgeHistogram>,
    tools: JoinSet<Input>,
    events_sent: u64,
}

impl Call {
    fn new(handle: CallHandle, agent: Arc<Agent>, deps: Arc<Deps>) -> Self {
        metrics::gauge!("aria_calls").increment(1.0);
        let began = handle.inbound().at;
        Self {
            session: Session::new(began, agent.greeting.clone(), deps.settings.limits.max_call),
            handle,
            deps,
            agent,
            dial: None,
            leg: None,
            leg_events: None,
            model_call_id: None,
            codec: None,
            model_bell: Arc::default(),
            model_port: None,
            control: None,
            media: None,
            media_events: None,
            sent: Arc::default(),
            written: Arc::default(),
            ahead: Arc::default(),
            tools: JoinSet::new(),
            events_sent: 0,
        }
    }

    async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        self.dial = Some(self.start_dialing());
        let mut refresh = tokio::time::interval(SNAPSHOT_EVERY);
        refresh.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let reason = loop {
            if let Some(reason) = self.act() {
                break reason;
            }
            let deadline = self.session.poll_timeout().unwrap_or_else(Instant::now);
            // Whatever is ready is taken in this order: an interruption before anything that can wait.
            tokio::select! {
                biased;
                event = next(&mut self.leg_events) => self.handle_leg(event),
                event = next(&mut self.media_events) => self.handle_media(event),
                request = requests.recv() => self.handle_request(request),
                dialed = finished(&mut self.dial) => self.handle_dialed(dialed),
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
        self.handle.finish(reason);
        self.release(reason).await;
    }

    fn start_dialing(&self) -> Dial {
        let client = self.deps.model.clone();
        let settings = session::settings(&self.agent).to_string();
        let caller = client.safety_identifier(&self.handle.inbound().from);
        let codecs = offered(self.agent.codec);
        let wanted = Arc::new(AtomicBool::new(true));
        let asked = Arc::clone(&wanted);
        let task = tokio::spawn(async move {
            leg::open(&client, &settings, &caller, codecs, Transport::default(), &asked).await
        });
        Dial { task, wanted }
    }

    fn handle_dialed(&mut self, dialed: Option<Result<Opened, ConnectError>>) {
        self.dial = None;
        let now = Instant::now();
        match dialed {
            Some(Ok(leg)) => {
                self.model_call_id = leg.call_id.clone();
                self.codec = Some(leg.codec);
                let (commands, commands_out) = mpsc::channel(leg::COMMAND_QUEUE);
                let (events_in, events) = mpsc::channel(leg::EVENT_QUEUE);
                tokio::spawn(leg.run(
                    Arc::clone(&self.model_bell),
                    Arc::clone(&self.sent),
                    commands_out,
                    events_in,
                ));
                if let Some(port) = self.model_port.take() {
                    let _ = commands.try_send(LegCommand::Audio(port));
                }
                if let (Some(control), Some(codec)) = (&mut self.control, self.codec) {
                    let _ = control.send(Command::SetCodec(codec));
                }
                self.leg = Some(commands);
                self.leg_events = Some(events);
                self.session.handle(now, Input::ModelAnswered);
            }
            Some(Err(error)) => {
                tracing::error!(call = %self.handle.inbound().call_sid, %error, "no model for this call");
                let refused = matches!(error, ConnectError::Refused { .. }) && !error.is_transient();
                let reason = if refused { CallEnd::ModelRefused } else { CallEnd::ModelUnreachable };
                self.session.handle(now, Input::ModelFailed(reason));
            }
            None => self.session.handle(now, Input::ModelFailed(CallEnd::Internal)),
        }
    }

    fn handle_leg(&mut self, event: Option<LegEvent>) {
        let now = Instant::now();
        match event {
            Some(LegEvent::Text(text)) => match wire::parse(&text) {
                Ok(event) => {
                    if let wire::ServerEvent::Unknown { .. } = &event {
                        metrics::counter!("aria_model_events_unknown_total").increment(1);
                    }
                    if let wire::ServerEvent::Error(error) = &event {
                        metrics::counter!("aria_model_errors_total").increment(1);
                        tracing::warn!(call = %self.handle.inbound().call_sid, kind = %error.kind, code = %error.code, "the model reports an error");
                    }
                    self.session.handle(now, Input::Model(event));
                }
                Err(_) => metrics::counter!("aria_model_events_malformed_total").increment(1),
            },
            Some(LegEvent::FirstFrameOut) => self.session.handle(now, Input::FirstFrameOut),
            Some(LegEvent::Connected | LegEvent::ChannelOpen) => {}
            Some(LegEvent::Lost) | None => {
                self.leg_events = None;
                self.leg = None;
                self.session.handle(now, Input::ModelLost);
            }
        }
    }

    fn handle_media(&mut self, event: Option<MediaEvent>) {
        let event = event.unwrap_or(MediaEvent::Closed { why: super::MediaClosed::Lost });
        if matches!(event, MediaEvent::Closed { .. }) {
            self.media_events = None;
            self.media = None;
        }
        self.session.handle(Instant::now(), Input::Media(event));
    }

    fn handle_request(&mut self, request: Option<Request>) {
        match request {
            Some(Request::Attach { start, reply }) => {
                let attached = self.attach(&start);
                let ok = attached.is_ok();
                // The socket may have gone while we answered; then its events end at once.
                if reply.send(attached).is_ok() && ok {
                    self.session.handle(Instant::now(), Input::MediaStarted);
                }
            }
            Some(Request::End(reason)) => self.session.handle(Instant::now(), Input::End(reason)),
            // The handle holds a sender, and this call holds the handle.
            None => self.session.handle(Instant::now(), Input::End(CallEnd::Internal)),
        }
    }

    fn attach(&mut self, start: &Start) -> Result<Attached, AttachError> {
        if self.media_events.is_some() || self.control.is_some() {
            return Err(AttachError::Busy);
        }
        let audio = &self.deps.settings.audio;
        let config = CallConfig {
            media: start.media_format.audio().ok_or(AttachError::Format)?,
            codec: self.codec.unwrap_or(offered(self.agent.codec)[0]),
            opus: OpusConfig {
                complexity: audio.opus_complexity,
                bitrate: audio.opus_bitrate,
                ..OpusConfig::default()
            },
            ..CallConfig::default()
        };
        let bell = Arc::new(MediaBell::default());
        let (ports, slot) = pipeline::call(config, bell.clone(), self.model_bell.clone());
        self.deps.workers.add(slot).map_err(|_| AttachError::Full)?;
        match &self.leg {
            Some(leg) => drop(leg.try_send(LegCommand::Audio(ports.model))),
            None => self.model_port = Some(ports.model),
        }
        let (commands, commands_out) = mpsc::channel(MEDIA_COMMANDS);
        let (events, events_out) = mpsc::channel(MEDIA_EVENTS);
        self.media = Some(commands);
        self.media_events = Some(events_out);
        let stats = ports.control.stats();
        self.control = Some(ports.control);
        Ok(Attached {
            port: ports.media,
            bell,
            commands: commands_out,
            events,
            stats,
            written: Arc::clone(&self.written),
            ahead: Arc::clone(&self.ahead),
        })
    }

    /// Does what the state machine asks for. Returns the reason once the call is over.
    fn act(&mut self) -> Option<CallEnd> {
        let mut changed = false;
        while let Some(action) = self.session.poll_action() {
            match action {
                Action::Send(event) => {
                    self.events_sent += 1;
                    let text = event.to_json(&format!("aria_{}", self.events_sent));
                    if self.leg.as_ref().is_none_or(|leg| leg.try_send(LegCommand::Text(text)).is_err()) {
                        metrics::counter!("aria_model_events_unsent_total").increment(1);
                    }
                }
                Action::Interrupt { generation, since } => {
                    // `clear` first: it is what the caller hears.
                    if let Some(media) = &self.media {
                        let _ = media.try_send(MediaCommand::Clear { generation, since });
                    }
                    self.command(Command::Flush { generation });
                    if let Some(leg) = &self.leg {
                        let _ = leg.try_send(LegCommand::Interrupt { heard_ms: None });
                    }
                }
                Action::OpenDownlink => self.command(Command::OpenDownlink),
                Action::RunTool { call_id, name, arguments } => {
                    let run = self.deps.tools.run(&self.agent, &name, arguments);
                    self.tools.spawn(async move {
                        let begun = Instant::now();
                        let result = run.await;
                        let ok = result.is_ok();
                        let output = result.unwrap_or_else(|error| error.for_the_model());
                        Input::ToolDone { call_id, name, output, ok, took: begun.elapsed() }
                    });
                }
                Action::Tell(event) => {
                    changed = true;
                    if let CallEvent::Progress { step, at_ms } = &event {
                        let mut snapshot = self.handle.0.snapshot.lock().unwrap_or_else(|e| e.into_inner());
                        snapshot.progress.push((*step, *at_ms));
                    }
                    if let Some(observers) = self.handle.0.events.get() {
                        // The last of them may have left.
                        let _ = observers.send(event);
                    }
                }
                Action::End(reason) => return Some(reason),
            }
        }
        if changed {
            self.refresh_transcript();
        }
        None
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
    }

    fn refresh_snapshot(&self) {
        self.refresh_transcript();
        let mut snapshot = self.handle.0.snapshot.lock().unwrap_or_else(|e| e.into_inner());
        snapshot.uplink = Some(Delays::of(&self.sent));
        snapshot.downlink = Some(Delays::of(&self.written));
        snapshot.sound = self.control.as_ref().map(|control| Sound::of(&control.stats()));
        snapshot.far_end = Some(Delays::of(&self.ahead));
    }

    /// Lets go of everything. The peers are told first, then the HTTP goodbyes go out side by side.
    async fn release(mut self, reason: CallEnd) {
        self.command(Command::Stop);
        if let Some(media) = self.media.take() {
            let _ = media.try_send(MediaCommand::Close { code: 1000, reason: reason.as_str() });
        }
        if let Some(leg) = self.leg.take() {
            let _ = leg.try_send(LegCommand::Close);
        }
        self.tools.abort_all();
        if let Some(dial) = self.dial.take() {
            // The session may still be granted. Nobody waits for it: the leg is dropped with the task's outcome and gives it back.
            dial.wanted.store(false, Ordering::Relaxed);
        }
        let hang_up_model = async {
            if let Some(id) = self.model_call_id.take() {
                self.deps.model.hang_up(&id).await;
            }
        };
        let hang_up_phone = async {
            if let (true, Some(twilio)) = (reason.hang_up_over_rest(), &self.deps.twilio) {
                let inbound = self.handle.inbound();
                if let Err(error) = twilio.hang_up(&inbound.account_sid, &inbound.call_sid).await {
                    tracing::warn!(call = %inbound.call_sid, %error, "could not hang up");
                }
            }
        };
        let both = async { tokio::join!(hang_up_model, hang_up_phone) };
        if tokio::time::timeout(RELEASE_TIMEOUT, both).await.is_err() {
            tracing::warn!(call = %self.handle.inbound().call_sid, "hanging up timed out");
        }
        self.deps.workers.reap();
    }
}

/// What is offered, in order. G.711 is taken only if the answer lists it, so Opus is always behind it.
fn offered(choice: CodecChoice) -> &'static [ModelCodec] {
    match choice {
        CodecChoice::Opus => &[ModelCodec::Opus],
        CodecChoice::Pcmu | CodecChoice::Auto => &[ModelCodec::Pcmu, ModelCodec::Opus],
    }
}

/// The next event of a channel that may not be there yet.
async fn next<T>(events: &mut Option<mpsc::Receiver<T>>) -> Option<T> {
    match events {
        Some(events) => events.recv().await,
        None => std::future::pending().await,
    }
}

/// The end of dialling; `None` if its task failed.
async fn finished(dial: &mut Option<Dial>) -> Option<Result<Opened, ConnectError>> {
    match dial {
        Some(dial) => (&mut dial.task).await.ok(),
        None => std::future::pending().await,
    }
}
