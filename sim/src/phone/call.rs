//! One call from the first webhook to the last callback: fetches documents and runs their verbs.

use std::future::Future;
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use url::Url;

use super::answering::Order;
use super::callback::Callbacks;
use super::config::{Begin, CallPlan, PhoneConfig};
use super::faults::SignatureFault;
use super::form::{Identity, Params};
use super::line::{Line, Turn};
use super::pacer::{Beat, Pacer};
use super::playback::FRAME;
use super::report::{Arrival, CallReport, Ended, EndedBy, Exchange, Framing, Lateness, Mark, Violation};
use super::script::{Caller, Script};
use super::sid::Dice;
use super::timeline::{Diary, Moment};
use super::twiml::{self, Document, Target, Verb};
use super::validator::ViolationKind;
use super::webhook::{Asker, Question};

/// Documents one call may run. A bridge that redirects for ever would otherwise hold the call for ever.
const MAX_DOCUMENTS: usize = 100;
/// Violations kept in the report.
const MAX_VIOLATIONS: usize = 1_000;

/// What the REST API asks of a running call.
#[derive(Debug)]
pub(crate) enum Command {
    Complete,
    Run(String),
    Fetch(Target),
}

/// What follows a verb.
#[derive(Debug)]
pub(crate) enum Next {
    /// The next verb.
    On,
    /// Another document.
    Run(String),
    /// Another document, to be fetched.
    Fetch(Target, Params),
    /// Nothing.
    End(Ended),
}

/// What a call needs from its phone.
pub(crate) struct Setting {
    pub(crate) config: Arc<PhoneConfig>,
    pub(crate) pacer: Pacer,
    pub(crate) plan: CallPlan,
    pub(crate) identity: Identity,
    pub(crate) asker: Asker,
    pub(crate) diary: Arc<Diary>,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) status: watch::Sender<&'static str>,
    pub(crate) dice: Dice,
    pub(crate) parked: Arc<Mutex<Vec<TcpStream>>>,
}

/// What is gathered for the report.
#[derive(Default)]
pub(crate) struct Notes {
    pub(crate) stream_sids: Vec<String>,
    pub(crate) arrivals: Vec<Arrival>,
    pub(crate) marks: Vec<Mark>,
    pub(crate) violations: Vec<Violation>,
    pub(crate) warnings: Vec<twiml::Warning>,
    pub(crate) late: Vec<u32>,
    pub(crate) dropped: usize,
    pub(crate) framing: Framing,
    twiml: Vec<String>,
    pub(crate) webhooks: Vec<Exchange>,
}

/// A call that is going on.
pub(crate) struct Call {
    pub(crate) set: Setting,
    pub(crate) notes: Notes,
    pub(crate) callbacks: Callbacks,
    pub(crate) tails: JoinSet<()>,
    pub(super) line: Option<Line>,
    /// Ready from the beginning; goes to the line with the answer.
    caller: Option<Caller>,
    /// The URL of the document that runs: relative URLs in it start there.
    base: String,
    /// `SequenceNumber` of the next status callback.
    pub(super) sequence: u32,
}

/// How a call begins.
pub(crate) enum Opening {
    /// The document at this URL, after it was asked for.
    Fetch(Target),
    /// A document that came with the order.
    Run(String),
}

impl Call {
    pub(crate) fn new(set: Setting) -> Self {
        Self {
            callbacks: Callbacks::new(set.asker.clone(), &set.plan.faults),
            caller: Some(Caller::new(&set.plan.script)),
            set,
            notes: Notes::default(),
            tails: JoinSet::new(),
            line: None,
            base: String::new(),
            sequence: 0,
        }
    }

    /// Runs the whole call.
    pub(crate) async fn run(
        mut self,
        opening: Opening,
        status_callback: Option<Target>,
        order: Option<Order>,
    ) -> CallReport {
        let rung = match &order {
            Some(order) => self.ring(order, status_callback.as_ref()).await,
            None => Ok(()),
        };
        let unanswered = rung.as_ref().err().map(|(status, _)| *status);
        let first = match (rung, opening) {
            (Err((_, ended)), _) => Err(ended),
            (Ok(()), Opening::Run(text)) => Ok(text),
            (Ok(()), Opening::Fetch(target)) => self.first_document(target).await,
        };
        let ended = match first {
            Ok(text) => self.documents(text).await,
            Err(ended) => ended,
        };
        self.set.diary.now(Moment::Ended(ended.clone()));
        let status = match (unanswered, &ended.by, &self.line) {
            (Some(status), ..) => status,
            (None, EndedBy::Document, None) => "busy",
            (None, _, None) => "failed",
            _ => "completed",
        };
        self.set.status.send_replace(status);
        let answered = self.line.as_ref().map(|l| l.answered);
        if let Some(target) = status_callback {
            let seconds = self.line.as_ref().map_or(0, |l| l.length().as_secs());
            let params = self.set.identity.ended(status, seconds, self.sequence);
            let question = self.question(&target, params);
            self.callbacks.send(status, question);
        }
        while self.tails.join_next().await.is_some() {}
        let callbacks = self.callbacks.finish().await;
        let (mut line, notes) = (self.line, self.notes);
        let lateness = Lateness::of(notes.late, notes.dropped, line.as_ref().map_or(0, |l| l.missed));
        CallReport {
            call_sid: self.set.identity.call,
            stream_sids: notes.stream_sids,
            timeline: self.set.diary.entries(),
            answered,
            steps: line
                .as_ref()
                .map_or((0, self.set.plan.script.steps.len()), |l| (l.caller.done(), l.caller.total())),
            said: line.as_mut().map(|l| std::mem::take(&mut l.said)).unwrap_or_default(),
            heard: line.as_mut().map(|l| std::mem::take(&mut l.heard)).unwrap_or_default(),
            arrivals: notes.arrivals,
            marks: notes.marks,
            violations: notes.violations,
            warnings: notes.warnings,
            twiml: notes.twiml,
            webhooks: notes.webhooks,
            callbacks,
            framing: notes.framing,
            lateness,
            ended,
        }
    }

    /// The first webhook, its repeats and its fallback.
    async fn first_document(&mut self, target: Target) -> Result<String, Ended> {
        let status = if self.set.identity.direction == "inbound" { "ringing" } else { "in-progress" };
        let params = self.set.identity.params(status);
        let mut question = self.question(&target, params.clone());
        question.fault = self.set.plan.faults.webhook_signature;
        let mut repeats = JoinSet::new();
        for _ in 0..self.set.plan.faults.webhook_repeats {
            let (asker, question) = (self.set.asker.clone(), question.clone());
            repeats.spawn(async move { asker.ask(question).await });
        }
        self.base = question.url.clone();
        let mut exchange = self.ask(question).await;
        self.notes.webhooks.extend(repeats.join_all().await);
        if let (Some(code), Some(url)) = (exchange.code, self.set.config.fallback_url.clone()) {
            let mut params = params;
            params.push(("ErrorCode".into(), code.to_string()));
            params.push(("ErrorUrl".into(), self.base.clone()));
            let question = self.question(&Target { url, post: true }, params);
            self.base = question.url.clone();
            exchange = self.ask(question).await;
        }
        match exchange.code {
            None => Ok(exchange.body),
            Some(code) => Err(Ended::new(EndedBy::Failure, format!("the webhook failed: {code}"))),
        }
    }

    /// Asks and notes it; the line, if there is one, must be kept going by the caller.
    async fn ask(&mut self, question: Question) -> Exchange {
        let exchange = ask(self.set.asker.clone(), question).await;
        self.note_exchange(&exchange);
        exchange
    }

    fn note_exchange(&mut self, exchange: &Exchange) {
        match exchange.code {
            Some(code) => {
                self.set.diary.at(exchange.answered, Moment::WebhookFailed { code });
                self.warn(twiml::Warning::new(code, format!("webhook {}", exchange.path)));
            }
            None => {
                let (status, bytes) = (exchange.status.unwrap_or_default(), exchange.body.len());
                self.set.diary.at(exchange.answered, Moment::WebhookAnswered { status, bytes });
            }
        }
        self.notes.webhooks.push(exchange.clone());
    }

    pub(crate) fn question(&mut self, target: &Target, params: Params) -> Question {
        let url = match Url::parse(&self.base).and_then(|base| base.join(&target.url)) {
            // An absolute URL is signed as it was written.
            Ok(joined) if !target.url.contains("://") => joined.into(),
            _ => target.url.clone(),
        };
        let idempotency = format!("{:016x}{:016x}", self.set.dice.roll(), self.set.dice.roll());
        Question { url, post: target.post, params, idempotency, fault: SignatureFault::None }
    }

    /// Runs a document and all that follow from it.
    async fn documents(&mut self, mut text: String) -> Ended {
        for _ in 0..MAX_DOCUMENTS {
            let next = match self.document(std::mem::take(&mut text)).await {
                Next::On => return Ended::new(EndedBy::Document, "the document was over"),
                Next::Fetch(target, params) => self.fetch(&target, params).await,
                other => other,
            };
            match next {
                Next::Run(document) => text = document,
                Next::End(ended) => return ended,
                Next::On | Next::Fetch(..) => return Ended::new(EndedBy::Document, "nothing followed"),
            }
        }
        Ended::new(EndedBy::Failure, "too many documents")
    }

    async fn fetch(&mut self, target: &Target, params: Params) -> Next {
        let question = self.question(target, params);
        let base = question.url.clone();
        let asker = self.set.asker.clone();
        let exchange = match self.during(ask(asker, question)).await {
            Ok(exchange) => exchange,
            Err(next) => return next,
        };
        self.note_exchange(&exchange);
        self.base = base;
        match exchange.code {
            None => Next::Run(exchange.body),
            Some(code) => self.apologise(code).await,
        }
    }

    async fn document(&mut self, text: String) -> Next {
        self.notes.twiml.push(text.clone());
        let parsed = twiml::parse(&text);
        let rejected = matches!(&parsed, Ok(Document { verbs, .. }) if matches!(verbs.first(), Some(Verb::Reject { .. })));
        if self.line.is_none() && !rejected {
            self.answer();
        }
        match parsed {
            Err(error) => {
                self.warn(twiml::Warning::new(error.code(), error.to_string()));
                self.apologise(error.code()).await
            }
            Ok(document) => {
                for warning in document.warnings {
                    self.warn(warning);
                }
                for verb in document.verbs {
                    match self.verb(verb).await {
                        Next::On => {}
                        other => return other,
                    }
                }
                Next::On
            }
        }
    }

    fn answer(&mut self) {
        let now = Instant::now();
        let answered = self.set.diary.since(now);
        self.set.diary.at(answered, Moment::Answered);
        self.set.status.send_replace("in-progress");
        let beats = self.set.pacer.join(now);
        let caller = self.caller.take().unwrap_or_else(|| Caller::new(&Script::default()));
        let tap = self.set.plan.tap.clone();
        if let Some(tap) = &tap {
            tap.answered(&self.set.identity.call);
        }
        let mut line = Line::new(beats, self.set.diary.clone(), answered, caller, tap);
        if self.set.plan.begin == Begin::AtAnswer {
            line.begin();
        }
        self.line = Some(line);
    }

    /// Waits for something while the line goes on in silence.
    pub(crate) async fn during<F: Future>(&mut self, future: F) -> Result<F::Output, Next> {
        let mut future = Box::pin(future);
        loop {
            match self.wake(&mut future).await {
                Wake::Done(output) => return Ok(output),
                Wake::Beat(beat) => {
                    if let (_, Some(next)) = self.turn(beat, &[0; FRAME]) {
                        return Err(next);
                    }
                }
                Wake::Command(command) => return Err(self.command(command)),
            }
        }
    }

    /// The next thing to do. Every part of it may be dropped and asked for again.
    pub(crate) async fn wake<F: Future>(&mut self, future: F) -> Wake<F::Output> {
        let line = self.line.as_mut().expect("verbs run only after the answer");
        tokio::select! {
            biased;
            Some(command) = self.set.commands.recv() => Wake::Command(command),
            // Before the beat: if this machine was late, what came in the meantime came in time.
            output = future => Wake::Done(output),
            Some(beat) = line.beats.recv() => Wake::Beat(beat),
        }
    }

    /// One beat; what follows if the caller hangs up or the plan is at its limit.
    pub(crate) fn turn(&mut self, beat: Beat, hear: &[i16; FRAME]) -> (Turn, Option<Next>) {
        let line = self.line.as_mut().expect("verbs run only after the answer");
        let turn = line.turn(beat, hear);
        let next = if turn.hang_up {
            Some(Next::End(Ended::new(EndedBy::Caller, "the caller hung up")))
        } else if line.length() >= self.set.plan.limit {
            Some(Next::End(Ended::new(EndedBy::Limit, "the longest duration of the plan")))
        } else {
            None
        };
        (turn, next)
    }

    /// Lets the script begin with the first frame that reaches the bridge.
    pub(crate) fn begin(&mut self) {
        self.line.as_mut().expect("streams run only after the answer").begin();
    }

    pub(crate) fn command(&mut self, command: Command) -> Next {
        match command {
            Command::Complete => Next::End(Ended::new(EndedBy::Rest, "Status=completed")),
            Command::Run(text) => Next::Run(text),
            Command::Fetch(target) => Next::Fetch(target, self.set.identity.params("in-progress")),
        }
    }

    pub(crate) fn violate(&mut self, kind: ViolationKind, detail: String) {
        // Twilio itself warns once a stream; the two numbers that it documents so.
        if let Some(code @ (31_950 | 31_951)) = kind.twilio_code()
            && !self.notes.warnings.iter().any(|w| w.code == code)
        {
            self.warn(twiml::Warning::new(code, detail.clone()));
        }
        let violation = Violation { kind, detail };
        self.set.diary.now(Moment::Violation(violation.clone()));
        if self.notes.violations.len() < MAX_VIOLATIONS {
            self.notes.violations.push(violation);
        }
    }

    pub(crate) fn warn(&mut self, warning: twiml::Warning) {
        self.set.diary.now(Moment::Warning(warning.clone()));
        if self.notes.warnings.len() < MAX_VIOLATIONS {
            self.notes.warnings.push(warning);
        }
    }
}

/// Why a call woke up.
pub(crate) enum Wake<T> {
    Beat(Beat),
    Command(Command),
    Done(T),
}

async fn ask(asker: Asker, question: Question) -> Exchange {
    let path = Url::parse(&question.url).map_or_else(|_| question.url.clone(), |u| u.path().to_owned());
    asker.diary.now(Moment::WebhookSent { path });
    asker.ask(question).await
}
