//! The services of the simulated company that tools call: a customer system and a calendar, kept in SQLite.
//!
//! | address | does |
//! |---|---|
//! | `GET /contacts/{phone}` | who has the number `+15551239999`: `phone`, `name`, `email`, `note` |
//! | `PATCH /contacts/{phone}` | changes `name`, `email`, `note`, or makes a contact |
//! | `GET /slots?day=2026-12-01` | the free hours of a day |
//! | `POST /appointments` | books: `phone`, `day`, `time`, `what` |
//! | `DELETE /appointments/{id}` | cancels |
//! | `POST /mcp` | all of it over the Model Context Protocol: `contacts.find`, `contacts.update`, `calendar.free`, `calendar.book`, `calendar.cancel` |
//! | `POST /lookup` | with `{"city": "Lima"}` or `{"phone": "+51…"}` answers with JSON; anything else is 400 or 404 |
//!
//! Faults of `/lookup` let a test see what a bridge does about a service that hangs, fails, drips or lies.

mod answer;
mod bomb;
mod mcp;
mod service;
mod store;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

pub use store::Appointment;
use store::Store;

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
    /// A small body, packed with gzip, that unpacks to this many bytes.
    Bomb(usize),
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
    /// What `Authorization: Bearer` must hold, but for `/lookup`. `None`: everybody is served.
    pub token: Option<String>,
    /// The file of the database. `None`: in memory.
    pub database: Option<PathBuf>,
}

impl Default for DeskConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            first: Vec::new(),
            then: DeskFault::None,
            token: None,
            database: None,
        }
    }
}

struct Shared {
    config: DeskConfig,
    store: Store,
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
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        // The caller may be within a runtime itself and cannot wait for another there.
        let (opened, waiting) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new().name("sim-desk".to_owned()).spawn(move || {
            runtime.block_on(async move {
                let shared = match Store::open(config.database.as_deref()).await {
                    Ok(store) => Arc::new(Shared { config, store, requests: AtomicUsize::new(0) }),
                    Err(error) => return drop(opened.send(Err(io::Error::other(error)))),
                };
                let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
                let _ = opened.send(Ok(Arc::clone(&shared)));
                let serve = async { axum::serve(listener, service::router(shared)).await };
                // Either end will do: hanging requests must not hold up the stop.
                tokio::select! { _ = stopped => {}, _ = serve => {} }
            });
            runtime.shutdown_background();
        })?;
        let shared = waiting.recv().map_err(io::Error::other)??;
        Ok(Self { address, shared, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it is: `http://127.0.0.1:PORT`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The appointments in the database, oldest first.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn appointments(&self) -> io::Result<Vec<Appointment>> {
        self.shared.store.appointments().await.map_err(io::Error::other)
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

/// Serves one MCP client over standard input and output, until its end.
///
/// # Errors
///
/// Whatever keeps the database from being opened or breaks the pipes.
pub async fn stdio(database: Option<&Path>) -> io::Result<()> {
    let store = Store::open(database).await.map_err(io::Error::other)?;
    mcp::serve_lines(&store, tokio::io::stdin(), tokio::io::stdout()).await
}
