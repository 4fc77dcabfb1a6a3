//! Twilio's side of a call, as close to the real thing as its documents, captures and field reports tell: the signed webhook, TwiML, the bidirectional media stream,
//! playback with marks, status callbacks and the REST API, with a caller who follows a script.
//!
//! ```text
//!   CallPlan ──► Phone::call ──► webhook ──► TwiML ──► verbs ──► CallReport
//!                                                       │
//!                      pacer thread ── beat, 20 ms ──►  ├─ script: what the caller says   ─► uplink   ─► WebSocket ─► bridge
//!                                                       └─ playback: what the caller hears ◄─ validator ◄─ WebSocket ◄─ bridge
//!                      REST server  ── hang up, redirect ──► the call
//! ```
//!
//! Everything that decides something is pure and takes the time as an argument ([`playback`], [`validator`], [`frames`], [`uplink`], [`script`], [`twiml`], `ear`);
//! sockets are in `webhook`, `socket` and `rest`; `call`, `verbs`, `stream` and `streaming` join the two.
//!
//! What nobody could check against the real Twilio, and what is assumed here: after a failed handshake the call goes on as after an ended stream (`action`, then the next
//! verb); a stream ends with close code 1000 after `stop`; Twilio sends no pings; a last frame shorter than 20 ms is completed with silence. [`Faults`] plays the others
//! where it matters.

mod answering;
mod call;
mod callback;
mod config;
pub mod dial;
mod ear;
pub mod faults;
mod form;
pub mod frames;
pub mod g711;
mod line;
pub mod message;
mod pacer;
pub mod playback;
mod recording;
pub mod report;
pub mod rest;
mod route;
pub mod script;
mod sid;
pub mod signature;
mod socket;
mod stream;
mod streaming;
mod tap;
pub mod timeline;
pub mod twiml;
pub mod uplink;
pub mod validator;
mod verbs;
mod webhook;

use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinHandle;
use url::Url;

pub use answering::{Answering, Taker};
pub use config::{Begin, CallPlan, DialOutcome, PhoneConfig};
pub use faults::Faults;
pub use report::CallReport;
pub use rest::RestRequest;
pub use script::{Script, Step};
pub use tap::Tap;
pub use timeline::{Entry, Moment, PhoneEvent};

use answering::Order;
use call::{Call, Opening, Setting};
use form::Identity;
use pacer::Pacer;
use rest::{Registry, RestFault};
use route::Route;
use sid::Dice;
use twiml::Target;
use webhook::Asker;

/// Moments that a slow listener of [`Phone::events`] may be behind before it misses some.
const LIVE_BACKLOG: usize = 4_096;

/// REST commands waiting for a call.
const COMMANDS: usize = 16;

/// A Twilio account with any number of telephones. Ends with its last clone; calls under way end with it.
#[derive(Clone)]
pub struct Phone {
    inner: Arc<Inner>,
}

struct Inner {
    config: Arc<PhoneConfig>,
    pacer: Pacer,
    client: reqwest::Client,
    live: broadcast::Sender<PhoneEvent>,
    registry: Registry,
    /// Connections that faults left open.
    parked: Arc<Mutex<Vec<TcpStream>>>,
    api_url: Url,
    server: JoinHandle<()>,
    outbound: Arc<Mutex<Vec<CallReport>>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Phone {
    /// Starts the account: its beat and its REST API on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// No thread, socket or HTTP client is to be had.
    pub async fn start(config: PhoneConfig) -> std::io::Result<Self> {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        let api_url =
            Url::parse(&format!("http://{}", listener.local_addr()?)).expect("an address makes a URL");
        let config = Arc::new(config);
        let pacer = Pacer::start()?;
        let client = Asker::client().map_err(std::io::Error::other)?;
        let registry = Registry::default();
        let (live, _) = broadcast::channel(LIVE_BACKLOG);
        let inner = Arc::new_cyclic(|phone| Inner {
            server: tokio::spawn(rest::serve(listener, config.clone(), registry.clone(), phone.clone())),
            config,
            pacer,
            client,
            live,
            registry,
            parked: Arc::default(),
            api_url,
            outbound: Arc::default(),
        });
        Ok(Self { inner })
    }

    /// The base of the REST API, for `TWILIO_API_URL`.
    pub fn api_url(&self) -> Url {
        self.inner.api_url.clone()
    }

    /// Everything that happens in any call from now on, live.
    pub fn events(&self) -> broadcast::Receiver<PhoneEvent> {
        self.inner.live.subscribe()
    }

    /// Requests to the REST API so far.
    pub fn requests(&self) -> Vec<RestRequest> {
        self.inner.registry.requests()
    }

    /// Makes the next requests to the REST API fail or wait, one fault each.
    pub fn fail_rest(&self, faults: impl IntoIterator<Item = RestFault>) {
        self.inner.registry.fail(faults);
    }

    /// Reports of the calls that the bridge placed over the REST API and that are over.
    pub fn outbound(&self) -> Vec<CallReport> {
        self.inner.outbound.lock().expect("nothing panics while it holds the reports").clone()
    }

    /// Somebody calls the number and the call runs to its end, callbacks included. May be called many times at once.
    pub async fn call(&self, plan: CallPlan) -> CallReport {
        let config = &self.inner.config;
        let url = join(&config.public_url, &config.voice_path);
        let status =
            config.status_path.as_ref().map(|p| Target { url: join(&config.public_url, p), post: true });
        self.inner.run(plan, "inbound", Opening::Fetch(Target { url, post: true }), status, None, None).await
    }
}

/// A path behind the public URL as a customer types it into the number's settings.
fn join(public: &Url, path: &str) -> String {
    format!("{}{path}", public.as_str().trim_end_matches('/'))
}

impl Inner {
    async fn run(
        &self,
        plan: CallPlan,
        direction: &'static str,
        opening: Opening,
        status_callback: Option<Target>,
        sid: Option<String>,
        order: Option<Order>,
    ) -> CallReport {
        let mut dice = Dice::new(plan.seed.unwrap_or_else(rand::random));
        let rolled = dice.sid("CA");
        let call_sid = sid.unwrap_or(rolled);
        let diary = Arc::new(timeline::Diary::new(call_sid.clone(), Instant::now(), self.live.clone()));
        let (orders, commands) = mpsc::channel(COMMANDS);
        // A call that was ordered is queued first.
        let (status, watched) = watch::channel(if order.is_some() { "queued" } else { "ringing" });
        self.registry.enter(&call_sid, direction, &plan, orders, watched);
        let identity = Identity {
            account: self.config.account_sid.clone(),
            call: call_sid,
            from: plan.from.clone(),
            to: plan.to.clone(),
            direction,
            extra: plan.extra.clone(),
        };
        let route = Route { public: self.config.public_url.clone(), bridge: self.config.bridge.clone() };
        let asker = Asker {
            client: self.client.clone(),
            route,
            token: self.config.auth_token.clone(),
            diary: diary.clone(),
        };
        let call = Call::new(Setting {
            config: self.config.clone(),
            pacer: self.pacer.clone(),
            plan,
            identity,
            asker,
            diary,
            commands,
            status,
            dice,
            parked: self.parked.clone(),
        });
        call.run(opening, status_callback, order).await
    }
}
