//! A small HTTP service with data for tool calls: the customer system of the simulated company.
//!
//! `POST /lookup` with `{"city": "Lima"}` or `{"phone": "+51…"}` answers with JSON; anything else is 400 or 404. Faults let a test see
//! what a bridge does about a service that hangs, fails, drips or lies.

mod answer;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use tokio::sync::oneshot;

/// What is wrong with the desk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum DeskFault {
    /// Nothing.
    #[default]
    None,
    /// Answers, but only after this long.
    Slow(Duration),
    /// Never answers.
    Hang,
    /// An error status with a short text.
    Status(u16),
    /// A good answer, one byte every interval.
    Drip(Duration),
    /// A body of this many bytes.
    Huge(usize),
    /// `200` with a body that is not JSON.
    NotJson,
    /// `200` with JSON of another shape.
    OtherJson,
    /// `307` to this address.
    Redirect(String),
    /// The connection is cut in the middle of the body.
    Cut,
}

/// How a desk is set up.
#[derive(Debug, Clone)]
pub struct DeskConfig {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What the first requests meet, one each.
    pub first: Vec<DeskFault>,
    /// What all others meet.
    pub then: DeskFault,
}

impl Default for DeskConfig {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 0)), first: Vec::new(), then: DeskFault::None }
    }
}

struct Shared {
    config: DeskConfig,
    requests: AtomicUsize,
}

/// A desk in service. Dropping it closes it. Runs on a thread of its own.
pub struct Desk {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Desk {
    /// Opens a desk.
    ///
    /// # Errors
    ///
    /// Whatever keeps the address from being bound or the thread from being started.
    pub fn start(config: DeskConfig) -> io::Result<Self> {
        let listener = TcpListener::bind(config.listen)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { config, requests: AtomicUsize::new(0) });
        let router = Router::new().route("/lookup", post(lookup)).with_state(Arc::clone(&shared));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("sim-desk".to_owned()).spawn(move || {
            runtime.block_on(async move {
                let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
                let serve = async { axum::serve(listener, router).await };
                // Either end will do: hanging requests must not hold up the stop.
                tokio::select! { _ = stopped => {}, _ = serve => {} }
            });
            runtime.shutdown_background();
        })?;
        Ok(Self { address, shared, stop: Some(stop), thread: Some(thread) })
    }

    /// `http://127.0.0.1:PORT/lookup`.
    pub fn url(&self) -> String {
        format!("http://{}/lookup", self.address)
    }

    /// Requests taken so far.
    pub fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::Relaxed)
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // The thread may have ended already.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn lookup(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let index = shared.requests.fetch_add(1, Ordering::Relaxed);
    let fault = shared.config.first.get(index).unwrap_or(&shared.config.then);
    answer::of(fault, &body).await
}
