//! The server: an HTTP thread, media threads, and the records of what happened.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use tokio::sync::{broadcast, oneshot};

use super::config::ModelConfig;
use super::engine::Engine;
use super::http::{self, HttpRequest, Shared};
use super::record::{BROADCAST_EVENTS, End, SessionRecord, SimEvent};
use super::setup::Plans;

/// A simulated OpenAI Realtime service. Dropping it ends every session and every thread.
///
/// It runs on threads of its own, whatever runtime the caller has or has not: its pace must not depend on what it tests.
pub struct ModelServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for ModelServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ModelServer").field("address", &self.address).finish_non_exhaustive()
    }
}

impl ModelServer {
    /// Starts the server and encodes the script, once per process (some 10 ms per second of speech).
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a script that cannot be played or a frame length other than 10, 20, 40 and 60 ms; otherwise whatever keeps the
    /// address from being bound or a thread from being started.
    pub fn start(config: ModelConfig) -> io::Result<Self> {
        let invalid = |text: String| io::Error::new(io::ErrorKind::InvalidInput, text);
        config.script.check().map_err(|error| invalid(error.to_string()))?;
        if ![10, 20, 40, 60].contains(&config.unverified.frame_ms) {
            return Err(invalid(format!(
                "frame_ms is {}; Opus packets here have 10, 20, 40 or 60 ms",
                config.unverified.frame_ms
            )));
        }
        str0m::crypto::from_feature_flags().install_process_default();
        let listener = TcpListener::bind(config.listen)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let engines = (0..config.media_threads.max(1)).map(Engine::start).collect::<io::Result<_>>()?;
        let shared = Arc::new(Shared {
            plans: Plans::new(&config),
            engines,
            watchers: broadcast::Sender::new(BROADCAST_EVENTS),
            sessions: Mutex::default(),
            requests: Mutex::default(),
            keys: Mutex::default(),
            calls: AtomicUsize::new(0),
            numbers: AtomicU64::new(0),
            config,
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let router = http::router(Arc::clone(&shared));
        let thread = std::thread::Builder::new().name("sim-model-http".to_owned()).spawn(move || {
            runtime.block_on(async move {
                let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
                let serve = async { axum::serve(listener, router).await };
                // Either end will do: requests left hanging on purpose must not hold up the stop.
                tokio::select! {
                    _ = stopped => {}
                    result = serve => {
                        if let Err(error) = result {
                            tracing::error!(%error, "the simulated model's HTTP side ended");
                        }
                    }
                }
            });
            runtime.shutdown_background();
        })?;
        Ok(Self { address, shared, stop: Some(stop), thread: Some(thread) })
    }

    /// `http://127.0.0.1:PORT/v1`, as `OPENAI_BASE_URL` wants it.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Where the HTTP side listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What every session saw so far, oldest first. A copy: cheap enough for tests, not for a hot loop.
    pub fn sessions(&self) -> Vec<SessionRecord> {
        let logs = self.shared.sessions().clone();
        logs.iter().map(|log| log.record().clone()).collect()
    }

    /// One session by its call id.
    pub fn session(&self, call_id: &str) -> Option<SessionRecord> {
        let log = self.shared.sessions().iter().find(|log| log.call_id == call_id).cloned();
        log.map(|log| log.record().clone())
    }

    /// What a session heard: 8 kHz samples in media time, gaps filled with silence, up to the configured length.
    pub fn heard(&self, call_id: &str) -> Option<Vec<i16>> {
        let log = self.shared.sessions().iter().find(|log| log.call_id == call_id).cloned();
        log.map(|log| log.heard())
    }

    /// Every HTTP request so far, refused ones included.
    pub fn requests(&self) -> Vec<HttpRequest> {
        self.shared.requests().clone()
    }

    /// Sessions that have not ended.
    pub fn active(&self) -> usize {
        let logs = self.shared.sessions().clone();
        logs.iter().filter(|log| log.record().ended.is_none()).count()
    }

    /// What happens from now on. A listener that falls behind loses the oldest.
    pub fn watch(&self) -> broadcast::Receiver<SimEvent> {
        self.shared.watchers.subscribe()
    }

    /// Ends a session as `POST /hangup` would, without HTTP. `false` if there is no such session under way.
    pub fn end(&self, call_id: &str) -> bool {
        let log = self.shared.sessions().iter().find(|log| log.call_id == call_id).cloned();
        let known = log.as_ref().is_some_and(|log| log.record().ended.is_none());
        if let Some(log) = log {
            log.hangup.notify_one();
        }
        known && self.shared.engines.iter().all(|engine| engine.hangup(call_id))
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // The thread may have ended already.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        for log in self.shared.sessions().iter() {
            log.end(End::Shutdown);
        }
    }
}
