//! A bridge, models, a desk and a phone in one process, on loopback.
//!
//! The bridge has a runtime of its own, so that its tasks can be counted and nobody shares its threads.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use aria_bridge::bridge::{Bridge, SIMULATED_KEY, listen};
use aria_bridge::call::{CallEnd, Snapshot};
use aria_bridge::config::{Secret, Settings, Sources, load};
use aria_bridge::hosting::Registry;
use aria_bridge::openai::connect::Client;
use sim::desk::{Desk, DeskConfig};
use sim::model::{ModelConfig, ModelServer, SessionRecord};
use sim::phone::{Answering, CallPlan, CallReport, Moment, Phone, PhoneConfig};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use super::front::{self, Front};
use super::lines;
use super::watch::Watch;

/// What the simulated Twilio signs with.
pub const TOKEN: &str = "f00dfacef00dfacef00dfacef00dface";
/// The account.
pub const ACCOUNT: &str = "AC00000000000000000000000000000001";
/// How long a model may take to notice that its peer has gone: the last datagrams travel beside the release.
const NOTICE: Duration = Duration::from_secs(2);

/// How a house is built.
pub struct Blueprint {
    /// An agent for each, on [`number`] 0, 1, 2 …
    pub models: Vec<ModelConfig>,
    /// `codec` of the agents.
    pub codec: &'static str,
    /// Where the tool `lookup` is; the desk if nothing is said.
    pub tool_url: Option<String>,
    /// What the tool is given, ms.
    pub tool_timeout_ms: u64,
    /// Further tables of each agent; `{desk}` stands for the desk's address.
    pub tables: &'static str,
    /// `tools.private_hosts`.
    pub private_hosts: &'static [&'static str],
    /// The desk's faults.
    pub desk: DeskConfig,
    /// More lines for every agent's table.
    pub agent: String,
    /// More tables for the file.
    pub file: String,
    /// What is said and done in calls that the bridge places.
    pub outbound: CallPlan,
    /// Who takes them.
    pub answering: Answering,
    /// How far the models are over HTTP, there and back. Their own networks say how far they are over UDP.
    pub round_trip: Duration,
}

impl Default for Blueprint {
    fn default() -> Self {
        Self {
            models: vec![lines::model()],
            codec: "opus",
            tool_url: None,
            tool_timeout_ms: 2_000,
            tables: "",
            private_hosts: &["127.0.0.1"],
            desk: DeskConfig::default(),
            agent: String::new(),
            file: String::new(),
            outbound: CallPlan::default(),
            answering: Answering::default(),
            round_trip: Duration::ZERO,
        }
    }
}

/// The number of an agent.
pub fn number(agent: usize) -> String {
    format!("+1555000{agent:04}")
}

/// What the agent is told to greet with.
pub fn greeting(agent: usize) -> String {
    format!("Greet the caller as agent {agent}.")
}

/// Everything, running.
pub struct House {
    /// The models, one for each agent.
    pub models: Vec<ModelServer>,
    /// The tool service.
    pub desk: Desk,
    /// Twilio.
    pub phone: Phone,
    /// The bridge's calls.
    pub registry: Arc<Registry>,
    /// Where the bridge listens.
    pub address: SocketAddr,
    client: Client,
    watch: Watch,
    callers: AtomicU32,
    stop: Option<oneshot::Sender<()>>,
    runtime: Option<Runtime>,
    _front: Option<Front>,
}

impl Drop for House {
    fn drop(&mut self) {
        self.stop();
        if let Some(runtime) = self.runtime.take() {
            // A runtime may not be waited for inside another.
            runtime.shutdown_background();
        }
    }
}

impl House {
    /// A house with one model.
    pub async fn of(model: ModelConfig) -> Self {
        Self::build(Blueprint { models: vec![model], ..Blueprint::default() }).await
    }

    /// A house as drawn.
    pub async fn build(plan: Blueprint) -> Self {
        Self::behind(plan, |address| address).await
    }

    /// A house whose phone reaches the bridge through whatever `through` puts before it: it gets the bridge's address and gives its
    /// own.
    pub async fn behind(plan: Blueprint, through: impl FnOnce(SocketAddr) -> SocketAddr) -> Self {
        let seeded = plan.models.iter().zip(1u64..);
        // Call ids come from the seed, and the front tells calls by them.
        let models: Vec<ModelServer> = seeded
            .map(|(model, seed)| ModelConfig { seed: model.seed.wrapping_mul(1_000) + seed, ..model.clone() })
            .map(|model| ModelServer::start(model).expect("a simulated model"))
            .collect();
        let front = if models.len() == 1 && plan.round_trip.is_zero() {
            None
        } else {
            let urls: Vec<_> = models.iter().map(ModelServer::base_url).collect();
            Some(Front::start(&urls, plan.round_trip).await)
        };
        let base_url = front.as_ref().map_or_else(|| models[0].base_url(), Front::base_url);
        let desk = Desk::start(plan.desk.clone()).expect("a simulated desk");

        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let entered = runtime.enter();
        let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        drop(entered);
        let address = listener.local_addr().expect("it is bound");
        let public = format!("http://{address}");
        let phone = Phone::start(PhoneConfig {
            public_url: public.parse().expect("an address makes a URL"),
            auth_token: Some(TOKEN.into()),
            account_sid: ACCOUNT.into(),
            outbound: plan.outbound.clone(),
            answering: plan.answering.clone(),
            ..PhoneConfig::new(format!("http://{}", through(address)).parse().expect("the same"))
        })
        .await
        .expect("a simulated phone");

        let settings = settings(&plan, &public, &base_url, phone.api_url().as_str(), &desk.base_url());
        let key = Secret::new(SIMULATED_KEY);
        let client = Client::new(&settings.openai, key).expect("a client");
        let (stop, stopped) = oneshot::channel::<()>();
        let (built, registry) = oneshot::channel();
        runtime.spawn(async move {
            let bridge = Bridge::start(settings, listener, None).expect("a bridge");
            // The house waits for it.
            let _ = built.send(Arc::clone(bridge.registry()));
            bridge.serve(stopped, std::future::ready(())).await.expect("it serves");
        });
        let registry = registry.await.expect("the bridge starts");
        Self {
            watch: Watch::start(&phone, Arc::clone(&registry)),
            models,
            desk,
            phone,
            registry,
            address,
            client,
            callers: AtomicU32::new(0),
            stop: Some(stop),
            runtime: Some(runtime),
            _front: front,
        }
    }

    /// Somebody calls agent `agent` and does what the script says.
    pub async fn call(&self, agent: usize, script: &str) -> Held {
        self.place(agent, lines::caller(script)).await
    }

    /// Somebody calls agent `agent`. Resolves when the call is over everywhere.
    pub async fn place(&self, agent: usize, plan: CallPlan) -> Held {
        let from = format!("+1555100{:04}", self.callers.fetch_add(1, Ordering::Relaxed));
        let caller = self.client.safety_identifier(&from);
        let report = self.phone.call(CallPlan { from, to: number(agent), ..plan }).await;
        let (zero, released) = self.watch.released(&report.call_sid).await;
        let until = Instant::now() + NOTICE;
        let sessions = loop {
            let mut sessions = self.models[agent].sessions();
            sessions.retain(|s| s.request.safety_identifier.as_ref() == Some(&caller));
            if sessions.iter().all(|s| s.ended.is_some()) || Instant::now() > until {
                break sessions;
            }
            // The model has no event that can be waited for after the fact.
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let heard = sessions.last().and_then(|s| self.models[agent].heard(&s.call_id)).unwrap_or_default();
        let snapshot = self.registry.snapshot(&report.call_sid);
        Held { report, snapshot, sessions, heard, zero, released }
    }

    /// The bridge is told to end, and drains.
    pub fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // It may have ended by itself.
            let _ = stop.send(());
        }
    }

    /// Tasks of the bridge's runtime.
    pub fn tasks(&self) -> usize {
        self.runtime.as_ref().expect("it is taken only by drop").metrics().num_alive_tasks()
    }
}

/// A call that is over.
pub struct Held {
    /// The phone's view.
    pub report: CallReport,
    /// The bridge's.
    pub snapshot: Option<Snapshot>,
    /// The sessions the model granted for it.
    pub sessions: Vec<SessionRecord>,
    /// What the last of them heard.
    pub heard: Vec<i16>,
    /// Zero of the report's times.
    pub zero: Instant,
    /// When the bridge had let go of it.
    pub released: Instant,
}

impl Held {
    /// Why the bridge says it ended.
    pub fn end(&self) -> Option<CallEnd> {
        self.snapshot.as_ref().and_then(|s| s.ended)
    }

    /// The session.
    pub fn session(&self) -> &SessionRecord {
        self.sessions.last().expect("the model granted a session")
    }

    /// When the call was over for the phone.
    pub fn over(&self) -> Duration {
        self.report.when(|m| matches!(m, Moment::Ended(_))).expect("every call ends")
    }

    /// From a moment of the report to the bridge's release.
    pub fn released_after(&self, at: Duration) -> Duration {
        self.released.saturating_duration_since(self.zero + at)
    }

    /// From a moment of the report to the end of the last session; `None` if it has not ended.
    pub fn closed_after(&self, at: Duration) -> Option<Duration> {
        let session = self.session();
        let ended = session.ended.as_ref()?;
        Some((session.requested + ended.after).saturating_duration_since(self.zero + at))
    }

    /// When Twilio spoke a sentence of ours, since the answer.
    pub fn apology(&self) -> Option<Duration> {
        let answered = self.report.answered?;
        let spoken = |m: &Moment| matches!(m, Moment::Spoken(text) if text.contains("sorry"));
        Some(self.report.when(spoken)?.saturating_sub(answered))
    }

    /// Waits of the caller that ran out.
    pub fn waited_in_vain(&self) -> usize {
        let failed = |m: &Moment| matches!(m, Moment::StepTimedOut { .. } | Moment::StepFailed { .. });
        self.report.times(failed).len()
    }

    /// What was heard between two moments of the report.
    pub fn between(&self, from: Duration, to: Duration) -> &[i16] {
        let end = self.report.heard.len();
        let (from, to) = (self.report.sample_at(from).min(end), self.report.sample_at(to).min(end));
        &self.report.heard[from..to.max(from)]
    }

    /// What a failure is traced by: the recording, and how punctual everybody was.
    pub fn evidence(&self, what: &str) -> String {
        let name: String = what.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.wav"));
        let written = self.report.write_wav(&path).is_ok();
        let gaps: Vec<_> = self
            .report
            .arrivals
            .windows(2)
            .filter(|w| w[1].at - w[0].at > Duration::from_millis(60))
            .map(|w| (w[0].at, w[1].at - w[0].at))
            .collect();
        let out = self.sessions.last().map(|s| (&s.rtp_out, s.rtp_out.lateness.max(), &s.replies));
        format!(
            "recording {} ({written}), model {:?}, bridge {:?}, phone {:?}, gaps {gaps:?}, timeline {:?}",
            path.display(),
            out.map(|(rtp, late, replies)| (rtp.packets, rtp.lost, late, replies)),
            self.snapshot.as_ref().map(|s| (s.uplink, s.downlink)),
            self.report.lateness,
            self.report.timeline
        )
    }

    /// Fails unless Twilio's protocol was kept and the caller could do all that he wanted.
    pub fn assert_orderly(&self) {
        let report = &self.report;
        assert!(report.violations.is_empty() && report.warnings.is_empty(), "{report:?}");
        assert_eq!((self.waited_in_vain(), report.steps.0), (0, report.steps.1), "{report:?}");
        assert_eq!(self.end(), Some(CallEnd::CallerHungUp), "{report:?}");
    }
}

fn settings(plan: &Blueprint, bridge: &str, model: &str, twilio: &str, desk: &str) -> Settings {
    let lookup = format!("{desk}/lookup");
    let tool_url = plan.tool_url.as_deref().unwrap_or(&lookup);
    let (codec, timeout_ms, more) = (plan.codec, plan.tool_timeout_ms, &plan.agent);
    let mut file = plan.file.clone();
    for agent in 0..plan.models.len() {
        let (instructions, greeting) = (front::name(agent), greeting(agent));
        file += &format!(
            r#"
            [agents.a{agent}]
            instructions = "{instructions} You talk to {{{{caller}}}}."
            greeting = "{greeting}"
            codec = "{codec}"
            {more}
            [[agents.a{agent}.tools]]
            type = "http"
            name = "lookup"
            description = "Looks up the branch office of a city."
            url = "{tool_url}"
            timeout_ms = {timeout_ms}
            parameters = {{ type = "object", properties = {{ city = {{ type = "string" }} }}, required = ["city"] }}
            "#
        );
        let tables = plan.tables.replace("[[tools]]", &format!("[[agents.a{agent}.tools]]"));
        file += &tables.replace("{desk}", desk);
    }
    file += &format!("[tools]\nprivate_hosts = {:?}\n[numbers]\n", plan.private_hosts);
    for agent in 0..plan.models.len() {
        file += &format!("{:?} = \"a{agent}\"\n", number(agent));
    }
    let database = format!("sqlite:{}", super::program::folder().join("aria.db").display());
    let environment = [
        ("ARIA_PUBLIC_URL", bridge),
        ("OPENAI_BASE_URL", model),
        ("OPENAI_API_KEY", SIMULATED_KEY),
        ("TWILIO_API_URL", twilio),
        ("TWILIO_ACCOUNT_SID", ACCOUNT),
        ("TWILIO_AUTH_TOKEN", TOKEN),
        ("DATABASE_URL", &database),
    ];
    let environment = environment.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    load(&Sources { text: Some(file), environment, ..Sources::default() }).expect("these settings are valid")
}
