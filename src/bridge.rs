//! The whole bridge in one piece: audio threads, the two peers' clients, the web server.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use pipeline::{Memory, Priority, WorkerLoad, Workers, WorkersConfig};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use url::Url;

use crate::awake::Awake;
use crate::call::{Inbound, task};
use crate::config::{LOOK_EVERY, Live, Secret, Settings, Sources, Watch, is_loopback};
use crate::hosting::{Line, Registry, Switchboard, drain};
use crate::network::Network;
use crate::openai::connect::Client;
use crate::openai::session;
use crate::openai::standby::{Kind, Standby, Wanted};
use crate::recording::Recordings;
use crate::store::{self, OpenError, Record, Store};
use crate::{http, tools, twilio};

/// The key that the simulated model is given. It opens nothing.
pub const SIMULATED_KEY: &str = "sk-simulated";

/// How long the database has at the end to take what is still in the journal. What it does not take waits for the next start.
const LAST_RECORDS: Duration = Duration::from_secs(3);

/// How long recordings of the last calls have to be put away. What is not done waits for the next start.
const LAST_RECORDINGS: Duration = Duration::from_secs(5);

/// Why the bridge does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The audio threads.
    #[error("audio threads: {0}")]
    Audio(String),
    /// The network threads.
    #[error("network threads: {0}")]
    Network(std::io::Error),
    /// The listener's certificate.
    #[error("tls: {0}")]
    Tls(#[from] http::TlsError),
    /// A client of one of the peers.
    #[error("{0}")]
    Client(String),
    /// The journal or the database's URL.
    #[error("records cannot be kept: {0}")]
    Records(#[from] OpenError),
    /// The folder where sound waits, or the place for recordings.
    #[error("calls cannot be recorded ([recording]): {0}")]
    Recording(std::io::Error),
    /// The listening socket.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
}

/// Binds the listening socket. Must be called within a tokio runtime.
pub fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    http::bind(address).map_err(|source| StartError::Listen { address, source })
}

/// Whether these settings may serve: on a public address neither forged webhooks nor a simulated model are acceptable.
pub fn admissible(settings: &Settings) -> Result<(), String> {
    if settings.public_url_is_loopback() {
        return Ok(());
    }
    let mut faults = Vec::new();
    if settings.twilio.auth_token.is_none() {
        faults.push(format!(
            "TWILIO_AUTH_TOKEN is not set and the public URL {} is not on this machine: anyone could forge calls. Set it",
            settings.public_url
        ));
    }
    if settings.openai.api_key.is_none() && !is_loopback(&settings.openai.base_url) {
        faults.push(format!(
            "OPENAI_API_KEY is not set and the public URL {} is not on this machine: callers would talk to the simulated model. Set it",
            settings.public_url
        ));
    }
    if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
}

impl task::Deps {
    /// The sessions that are to wait for calls, by the settings now in force.
    fn wanted(&self) -> Vec<Wanted> {
        let settings = self.settings.now();
        let ready = settings.agents.values().filter(|agent| agent.standby > 0);
        let wanted = ready.map(|agent| Wanted {
            count: agent.standby,
            kind: Kind::of(agent),
            session: session::settings(agent, self.tools.definitions(agent)),
        });
        wanted.collect()
    }
}

struct Calls(Arc<task::Deps>);

impl Switchboard for Calls {
    fn answer(&self, inbound: Inbound) -> Arc<dyn Line> {
        Arc::new(task::spawn(inbound, &self.0))
    }

    fn settings(&self) -> Option<Arc<Settings>> {
        Some(self.0.settings.now())
    }

    fn ready(&self) -> bool {
        self.0.store.as_ref().is_none_or(|store| store.ready())
    }

    fn recording(&self) -> bool {
        self.0.store.as_ref().is_none_or(|store| store.healthy())
    }

    fn audio(&self) -> Vec<WorkerLoad> {
        self.0.workers.load()
    }
}

/// A bridge that listens but does not serve yet.
pub struct Bridge {
    listener: TcpListener,
    app: Arc<http::App>,
    deps: Arc<task::Deps>,
    store: Arc<Store>,
}

impl Bridge {
    /// Starts the audio threads and opens the records. Must be called within a tokio runtime. `listener` is the bound socket ([`listen`]): who wants a free port knows it before the rest starts.
    pub fn start(
        settings: Settings,
        listener: TcpListener,
        prometheus: Option<PrometheusHandle>,
    ) -> Result<Self, StartError> {
        let workers =
            Workers::start(WorkersConfig { cores: settings.audio.cores.clone(), ..WorkersConfig::default() })
                .map_err(|e| StartError::Audio(e.to_string()))?;
        let awake = Awake::new(settings.audio.awake_from_calls.saturating_mul(workers.load().len()));
        let network = Network::start(workers.load().into_iter().map(|load| load.core));
        let network = Arc::new(network.map_err(StartError::Network)?);
        let key = settings.openai.api_key.clone().unwrap_or_else(|| Secret::new(SIMULATED_KEY));
        let store = Store::open(&settings.records, Arc::new(store::System))?;
        let recordings = match &settings.recording {
            Some(recording) => {
                let told = Arc::clone(&store);
                let told = move |sid: &str, url: &Url| {
                    told.record_durably(Record::Recorded { sid: sid.into(), url: url.to_string() })
                };
                Some(Recordings::open(recording, Box::new(told)).map_err(StartError::Recording)?)
            }
            None => None,
        };
        let model = Client::new(&settings.openai, key).map_err(|e| StartError::Client(e.to_string()))?;
        let deps = Arc::new(task::Deps {
            recordings,
            standby: Standby::new(model.clone(), Arc::clone(&network)),
            model,
            network,
            awake,
            workers: Arc::new(workers),
            twilio: twilio::rest::Client::new(&settings.twilio),
            tools: tools::Runner::new(&settings).map_err(StartError::Client)?,
            store: Some(Arc::clone(&store)),
            settings: Live::new(settings),
        });
        let app = http::App::new(&deps.settings.now(), Arc::new(Calls(Arc::clone(&deps))), prometheus);
        let mut app = app.with_store(Arc::clone(&store));
        if let Some(files) = deps.settings.now().tls.clone() {
            app = app.with_tls(http::Tls::new(files)?);
        }
        let app = Arc::new(app);
        Ok(Self { listener, app, deps, store })
    }

    /// Where it listens.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The calls.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.app.registry
    }

    /// How the audio threads are placed, in words.
    pub fn audio_threads(&self) -> String {
        let place = |load: WorkerLoad| {
            let core = load.core.map_or("not pinned".to_owned(), |core| format!("core {core}"));
            let priority = match load.priority {
                Priority::Normal => "normal priority".to_owned(),
                Priority::RealTime => "real-time priority".to_owned(),
                Priority::Nice(nice) => format!("nice {nice} (real time not allowed: raise RLIMIT_RTPRIO)"),
                Priority::Denied(_) => {
                    "normal priority (no other allowed: raise RLIMIT_RTPRIO or RLIMIT_NICE)".to_owned()
                }
                Priority::Unsupported => "normal priority (no other known on this system)".to_owned(),
            };
            let memory = match load.memory {
                Memory::Pageable => "memory not locked",
                Memory::Locked => "memory locked",
                Memory::Limited => "memory not locked (not allowed: raise RLIMIT_MEMLOCK to unlimited)",
                Memory::Denied(_) => "memory not locked (refused by the system)",
                Memory::Unsupported => "memory not locked (no way known on this system)",
            };
            format!("{core}, {priority}, {memory}, up to {} calls", load.capacity)
        };
        let places = self.deps.workers.load().into_iter().map(place).collect::<Vec<_>>().join("; ");
        format!("{places}; {}", self.deps.awake.idle())
    }

    /// Puts the configuration in force for new calls whenever it is `asked` for or the file has changed. A wrong one is told and changes
    /// nothing. To be spawned beside [`serve`](Self::serve).
    pub fn reload(
        &self,
        sources: Sources,
        mut asked: mpsc::Receiver<()>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let deps = Arc::clone(&self.deps);
        let mut watch = Watch::new(&sources);
        async move {
            loop {
                tokio::select! {
                    Some(()) = asked.recv() => {}
                    () = tokio::time::sleep(LOOK_EVERY) => if !watch.changed() { continue },
                }
                let outcome = match deps.settings.reload(&sources) {
                    Ok(fixed) => {
                        deps.tools.prepare(&deps.settings.now());
                        if !fixed.is_empty() {
                            tracing::warn!(fields = ?fixed, "these settings have changed and wait for a restart");
                        }
                        tracing::info!("the configuration was read anew; new calls go by it");
                        "done"
                    }
                    Err(error) => {
                        tracing::error!(%error, "the configuration is wrong; the old one stays in force");
                        "refused"
                    }
                };
                metrics::counter!("aria_reloads_total", "outcome" => outcome).increment(1);
            }
        }
    }

    /// Serves until `stop` resolves; then no call is admitted any more and living ones have their time to end. When `hurry` resolves
    /// they are ended at once.
    pub async fn serve(self, stop: impl Future, hurry: impl Future) -> std::io::Result<()> {
        // Who calls meanwhile waits in the listener's queue.
        self.deps.tools.settled().await;
        let limit: Duration = self.deps.settings.now().limits.drain;
        let registry = Arc::clone(&self.app.registry);
        let (deps, stopped) = (Arc::clone(&self.deps), Arc::new(Notify::new()));
        let told = Arc::clone(&stopped);
        let standby = tokio::spawn(async move {
            tokio::select! {
                () = deps.standby.keep(|| deps.wanted()) => {}
                () = told.notified() => {}
            }
            deps.standby.close().await;
        });
        let told = Arc::clone(&stopped);
        // No call is admitted any more, so none needs a session that waits.
        let stop = async move {
            stop.await;
            told.notify_one();
        };
        let served =
            http::serve(
                self.listener,
                self.app,
                async move { drain::drain(&registry, limit, stop, hurry).await },
            );
        let served = served.await;
        stopped.notify_one();
        // It only hangs up, within that request's own limit.
        let _ = standby.await;
        if let Some(recordings) = &self.deps.recordings {
            recordings.close(LAST_RECORDINGS).await;
        }
        self.store.close(LAST_RECORDS).await;
        served
    }
}
