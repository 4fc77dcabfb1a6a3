//! Sessions that are up before anybody calls: a call that takes one has a model at once, without the round trips of HTTP, ICE, DTLS and SCTP,
//! and also while OpenAI gives out no new ones.
//!
//! A session is kept for one agent. It gets the settings of the call that takes it with `session.update`, which can change everything but the
//! model and, once it has spoken, the voice; transport and codecs are settled as well. No sound goes either way before it is taken.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use pipeline::ModelCodec;
use tokio::sync::Notify;
use tokio::task::{Id, JoinSet};

use super::connect::{Client, backoff};
use super::leg::{self, LegCommand, Transport};
use super::link::Link;
use super::session;
use crate::config::Agent;
use crate::network::{Network, Seat};

/// From this age on a session is replaced.
const RENEW_AFTER: Duration = Duration::from_secs(210);
/// Nobody is given an older one: with the time after which a call replaces its session it must stay below OpenAI's 60 minutes.
const MAX_AGE: Duration = Duration::from_secs(240);
/// How often sessions are looked after, if nothing else happens.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Sessions of one agent asked for at once, so that a start does not ask for all of them in one moment.
const DIALS: usize = 4;
/// From the answer to the server's first event.
const FIRST_EVENT: Duration = Duration::from_secs(3);
/// Longest pause after failures; the first is that between a call's attempts.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// What is kept ready for an agent.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// How many.
    pub count: u8,
    /// What they are for.
    pub kind: Kind,
    /// The whole session as JSON.
    pub session: serde_json::Value,
}

/// What cannot be changed later.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Kind {
    /// The agent.
    pub agent: String,
    /// The model.
    pub model: String,
    /// How it is reached.
    pub transport: Transport,
    /// What is offered over WebRTC, in order.
    pub codecs: &'static [ModelCodec],
}

impl Kind {
    /// For calls of this agent.
    pub fn of(agent: &Agent) -> Self {
        let (name, model) = (agent.name.clone(), agent.model.clone());
        Self { agent: name, model, transport: agent.transport, codecs: session::codecs(agent.codec) }
    }
}

struct Kept {
    kind: Kind,
    link: Link,
    since: Instant,
    seat: Seat,
}

/// Failures in a row, and when to try again.
#[derive(Default)]
struct Trouble(HashMap<Kind, (u32, Instant)>);

/// The sessions that wait for calls.
pub struct Standby {
    client: Client,
    network: Arc<Network>,
    kept: Mutex<Vec<Kept>>,
    changed: Notify,
}

impl Standby {
    /// None yet.
    pub fn new(client: Client, network: Arc<Network>) -> Self {
        Self { client, network, kept: Mutex::default(), changed: Notify::new() }
    }

    /// A session of this kind, told to be `session` from now on, if one is there; one on the core `here`, if there is a choice. With the
    /// seat that it had.
    pub fn take(
        &self,
        kind: &Kind,
        session: &serde_json::Value,
        here: Option<usize>,
    ) -> Option<(Link, Seat)> {
        let now = Instant::now();
        let mut kept = self.kept();
        let fit = |k: &Kept| k.kind == *kind && !k.link.is_over() && now.duration_since(k.since) < MAX_AGE;
        // The oldest first: the younger ones have time.
        let near = |k: &Kept| here.is_none_or(|core| k.seat.core() == core);
        let at = kept.iter().position(|k| fit(k) && near(k)).or_else(|| kept.iter().position(fit))?;
        let Kept { link, seat, .. } = kept.remove(at);
        drop(kept);
        self.changed.notify_one();
        link.try_send(LegCommand::Text(session::update(session))).then_some((link, seat))
    }

    /// Keeps as many ready as `wanted` says, until it is dropped.
    pub async fn keep(&self, wanted: impl Fn() -> Vec<Wanted>) {
        let mut dials: JoinSet<Option<(Link, Seat)>> = JoinSet::new();
        let mut dialing: HashMap<Id, Kind> = HashMap::new();
        let mut trouble = Trouble::default();
        let mut told: HashSet<String> = HashSet::new();
        loop {
            let wanted = wanted();
            self.weed(&wanted);
            for one in &wanted {
                let under_way = dialing.values().filter(|kind| **kind == one.kind).count();
                let missing = usize::from(one.count).saturating_sub(self.young(&one.kind) + under_way);
                for _ in 0..missing.min(DIALS.saturating_sub(under_way)) {
                    if trouble.waits(&one.kind) {
                        break;
                    }
                    let dial = dials.spawn(dial(self.client.clone(), one.clone(), self.network.seat()));
                    dialing.insert(dial.id(), one.kind.clone());
                }
            }
            // Also of those that a reload has taken away, once more.
            told.extend(wanted.iter().map(|one| one.kind.agent.clone()));
            for agent in &told {
                metrics::gauge!("aria_standby_sessions", "agent" => agent.clone()).set(self.of(agent) as f64);
            }
            told.retain(|agent| wanted.iter().any(|one| one.kind.agent == *agent));
            tokio::select! {
                Some(done) = dials.join_next_with_id() => {
                    // One that panicked has failed like others.
                    let (id, link) = done.unwrap_or_else(|panicked| (panicked.id(), None));
                    let Some(kind) = dialing.remove(&id) else { continue };
                    trouble.note(&kind, link.is_some());
                    let since = Instant::now();
                    self.kept().extend(link.map(|(link, seat)| Kept { kind, link, since, seat }));
                }
                () = self.changed.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Ends them all.
    pub async fn close(&self) {
        let kept = std::mem::take(&mut *self.kept());
        futures_util::future::join_all(
            kept.into_iter().filter_map(|k| k.link.end()).map(|hold| hold.hang_up()),
        )
        .await;
    }

    /// How many of this agent's there are.
    fn of(&self, agent: &str) -> usize {
        self.kept().iter().filter(|k| k.kind.agent == *agent && !k.link.is_over()).count()
    }

    /// Those that need no successor yet.
    fn young(&self, kind: &Kind) -> usize {
        let young = |k: &&Kept| k.kind == *kind && !k.link.is_over() && k.since.elapsed() < RENEW_AFTER;
        self.kept().iter().filter(young).count()
    }

    /// Lets go of what is over, too old, too many or not wanted any more.
    fn weed(&self, wanted: &[Wanted]) {
        let mut left: HashMap<&Kind, u8> = wanted.iter().map(|one| (&one.kind, one.count)).collect();
        let mut kept = self.kept();
        // From the youngest on, so that an old one goes once its successor is there.
        for at in (0..kept.len()).rev() {
            let good = !kept[at].link.is_over() && kept[at].since.elapsed() < MAX_AGE;
            match left.get_mut(&kept[at].kind).filter(|left| good && **left > 0) {
                Some(left) => *left -= 1,
                None => drop(kept.remove(at)),
            }
        }
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.kept.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Trouble {
    fn waits(&self, kind: &Kind) -> bool {
        self.0.get(kind).is_some_and(|(_, until)| Instant::now() < *until)
    }

    fn note(&mut self, kind: &Kind, ok: bool) {
        if ok {
            self.0.remove(kind);
            return;
        }
        let (failures, until) = self.0.entry(kind.clone()).or_insert((0, Instant::now()));
        *failures += 1;
        *until = Instant::now() + backoff(*failures, None).min(MAX_PAUSE);
    }
}

/// A session that works, or a failure that the way to it has told of.
async fn dial(client: Client, wanted: Wanted, seat: Seat) -> Option<(Link, Seat)> {
    let Wanted { kind, session, .. } = wanted;
    // Who will call is not known: the sessions of an agent go by its name.
    let caller = client.safety_identifier(&kind.agent);
    let still = AtomicBool::new(true);
    let opened = leg::open(&client, &session.to_string(), &caller, kind.codecs, kind.transport, &still).await;
    let mut link = opened.map(|opened| opened.start(seat.runtime())).ok()?;
    link.speaks(Instant::now() + FIRST_EVENT).await.then_some((link, seat))
}
