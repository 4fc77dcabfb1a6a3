//! The real server on a port of its own, with calls that only lend their ends to the test.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use aria_bridge::bell::TaskBell;
use aria_bridge::call::{
    AttachError, Attached, CallEnd, CallEvent, Dialed, Inbound, Listening, MediaCommand, MediaEvent, Onward,
    Snapshot,
};
use aria_bridge::config::{Sources, load};
use aria_bridge::hosting::{Line, Switchboard};
use aria_bridge::http::{App, bind, serve};
use aria_bridge::twilio::wire::Start;
use futures_util::future::{BoxFuture, FutureExt};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use pipeline::{CallConfig, ModelCodec, ModelPort, Silent, Workers, WorkersConfig};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

pub const TOKEN: &str = "f00dfacef00dfacef00dfacef00dface";
pub const ACCOUNT: &str = "AC00000000000000000000000000000001";

/// Streams that attach before a test asks for them.
const ATTACHED: usize = 1000;

/// What a call holds while a stream is attached.
pub struct Far {
    pub start: Start,
    pub model: ModelPort,
    pub control: pipeline::Control,
    pub commands: mpsc::Sender<MediaCommand>,
    pub events: mpsc::Receiver<MediaEvent>,
}

impl Far {
    /// The next event that is not a measurement.
    pub async fn event(&mut self) -> Option<MediaEvent> {
        let next = async {
            loop {
                match self.events.recv().await {
                    Some(MediaEvent::Rtt(_)) => {}
                    event => return event,
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(25), next).await.expect("an event in time")
    }

    /// All packets that reach the model until none came for a while: RTP timestamp and length.
    pub async fn packets(&mut self) -> Vec<(u32, usize)> {
        let (mut all, mut quiet) = (Vec::new(), 0);
        while quiet < 10 {
            match self.model.pop() {
                Some(packet) => {
                    quiet = 0;
                    all.push((packet.timestamp, packet.payload().len()));
                }
                None => {
                    quiet += 1;
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        }
        all
    }
}

/// A call that does nothing by itself.
pub struct Call {
    pub inbound: Inbound,
    ended: watch::Sender<Option<CallEnd>>,
    observers: broadcast::Sender<CallEvent>,
    attached: mpsc::Sender<Far>,
}

fn workers() -> &'static Workers {
    static WORKERS: OnceLock<Workers> = OnceLock::new();
    WORKERS.get_or_init(|| {
        Workers::start(WorkersConfig { count: Some(1), ..WorkersConfig::default() }).expect("threads")
    })
}

impl Line for Call {
    fn attach(&self, start: Start) -> BoxFuture<'_, Result<Attached, AttachError>> {
        async move {
            let bell = Arc::new(TaskBell::default());
            let config = CallConfig { codec: ModelCodec::Pcmu, ..CallConfig::default() };
            let (ports, slot) = pipeline::call(config, bell.clone(), Arc::new(Silent));
            workers().add(slot).map_err(|_| AttachError::Full)?;
            let (commands, commands_out) = mpsc::channel(32);
            let (events_in, events) = mpsc::channel(256);
            let stats = ports.control.stats();
            let listening = Arc::new(Listening::default());
            listening.set(true);
            let far = Far { start, model: ports.model, control: ports.control, commands, events };
            self.attached.try_send(far).map_err(|_| AttachError::Ended)?;
            Ok(Attached {
                port: ports.media,
                bell,
                commands: commands_out,
                events: events_in,
                stats,
                written: Arc::default(),
                ahead: Arc::default(),
                tape: None,
                runtime: tokio::runtime::Handle::current(),
                listening,
            })
        }
        .boxed()
    }

    fn end(&self, reason: CallEnd) {
        self.ended.send_if_modified(|ended| ended.replace(ended.unwrap_or(reason)).is_none());
    }

    fn is_ended(&self) -> Option<CallEnd> {
        *self.ended.borrow()
    }

    fn ended(&self) -> BoxFuture<'_, CallEnd> {
        let mut ended = self.ended.subscribe();
        async move { ended.wait_for(Option::is_some).await.unwrap().unwrap() }.boxed()
    }

    fn say(&self, _text: String) {}

    fn transfer(&self, _onward: Onward) {}

    fn onward(&self) -> Option<Onward> {
        None
    }

    fn returned(&self, _dialed: Dialed) {}

    fn reopening(&self) {}
    fn machine_detected(&self, _beep: bool) {}

    fn snapshot(&self) -> Snapshot {
        Snapshot {
            call_sid: self.inbound.call_sid.clone(),
            agent: "default".into(),
            from: aria_bridge::call::mask(&self.inbound.from),
            to: aria_bridge::call::mask(&self.inbound.to),
            progress: Vec::new(),
            transcript: Vec::new(),
            uplink: None,
            downlink: None,
            sound: None,
            far_end: None,
            interruptions: 0,
            total_tokens: 0,
            usage: Default::default(),
            sessions: 0,
            ended: self.is_ended(),
        }
    }

    fn subscribe(&self) -> broadcast::Receiver<CallEvent> {
        self.observers.subscribe()
    }
}

impl Call {
    pub fn tell(&self, event: CallEvent) {
        self.observers.send(event).expect("somebody watches");
    }
}

/// Counts the calls it begins and keeps them.
pub struct Desk {
    pub begun: AtomicUsize,
    pub calls: Mutex<BTreeMap<String, Arc<Call>>>,
    attached: mpsc::Sender<Far>,
}

impl Switchboard for Desk {
    fn answer(&self, inbound: Inbound) -> Arc<dyn Line> {
        self.begun.fetch_add(1, SeqCst);
        let sid = inbound.call_sid.clone();
        let call = Arc::new(Call {
            inbound,
            ended: watch::Sender::new(None),
            observers: broadcast::channel(16).0,
            attached: self.attached.clone(),
        });
        self.calls.lock().unwrap().insert(sid, call.clone());
        call
    }
}

pub struct Host {
    pub address: SocketAddr,
    pub app: Arc<App>,
    pub desk: Arc<Desk>,
    pub public: String,
    attached: tokio::sync::Mutex<mpsc::Receiver<Far>>,
    _stop: oneshot::Sender<()>,
}

/// One recorder for the process: tests look for what they added, never for totals.
pub fn prometheus() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| PrometheusBuilder::new().install_recorder().expect("the first recorder")).clone()
}

/// Everything this process logs, at the finest level.
pub fn log() -> &'static Mutex<Vec<u8>> {
    struct Sink;
    impl std::io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            LOG.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());
    static STARTED: OnceLock<()> = OnceLock::new();
    STARTED.get_or_init(|| {
        // All that an operator could ask for.
        let lines = tracing_subscriber::fmt::layer().with_writer(|| Sink).with_ansi(false);
        tracing_subscriber::registry()
            .with(lines.with_filter(aria_bridge::telemetry::filter("trace")))
            .init();
    });
    &LOG
}

/// How often `name{…label…}` was counted.
pub fn counted(name: &str, label: &str) -> u64 {
    let text = prometheus().render();
    let line = text.lines().find(|line| line.starts_with(name) && line.contains(label));
    line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

impl Host {
    pub async fn new() -> Self {
        Self::with(&[]).await
    }

    /// With more environment; `ARIA_PUBLIC_URL` is the loopback address unless given.
    pub async fn with(environment: &[(&str, &str)]) -> Self {
        Self::made(environment, 10_000, 100_000).await
    }

    /// With room for so many calls, and so many new ones a second.
    pub async fn limited(max_calls: usize, calls_per_second: u32) -> Self {
        Self::made(&[], max_calls, calls_per_second).await
    }

    async fn made(environment: &[(&str, &str)], max_calls: usize, calls_per_second: u32) -> Self {
        let _ = log();
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let mut all = BTreeMap::from([
            ("ARIA_PUBLIC_URL".to_owned(), format!("http://{address}")),
            ("TWILIO_ACCOUNT_SID".to_owned(), ACCOUNT.to_owned()),
            ("TWILIO_AUTH_TOKEN".to_owned(), TOKEN.to_owned()),
        ]);
        all.extend(environment.iter().map(|(name, value)| (name.to_string(), value.to_string())));
        let public = all["ARIA_PUBLIC_URL"].clone();
        let mut settings = load(&Sources { environment: all, ..Sources::default() }).unwrap();
        settings.limits.calls_per_second = calls_per_second;
        settings.limits.max_calls = max_calls;
        let (attached_in, attached) = mpsc::channel(ATTACHED);
        let desk =
            Arc::new(Desk { begun: AtomicUsize::new(0), calls: Mutex::default(), attached: attached_in });
        let app = Arc::new(App::new(&settings, desk.clone(), Some(prometheus())));
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(serve(listener, app.clone(), async move { drop(stopped.await) }));
        Self { address, app, desk, public, attached: attached.into(), _stop: stop }
    }

    /// The call's end of the stream that attached last.
    pub async fn far(&self) -> Far {
        let mut attached = self.attached.lock().await;
        let far = tokio::time::timeout(Duration::from_secs(5), attached.recv()).await;
        far.expect("a stream attaches in time").expect("the desk lives")
    }

    /// Whether no stream has attached that nobody asked for.
    pub async fn nothing_attached(&self) -> bool {
        self.attached.lock().await.try_recv().is_err()
    }

    pub fn begun(&self) -> usize {
        self.desk.begun.load(SeqCst)
    }

    pub fn call(&self, sid: &str) -> Arc<Call> {
        self.desk.calls.lock().unwrap()[sid].clone()
    }
}
