//! Who takes a call that the bridge places, and what Twilio tells about it until then.

use std::time::Duration;

use super::call::{Call, Command};
use super::form::Params;
use super::report::{Ended, EndedBy};
use super::twiml::Target;

/// From the order to the ringing: Twilio answers first and dials then.
const QUEUED: Duration = Duration::from_millis(50);
/// How long Twilio listens before it is sure of a person or a machine. In reality some seconds; tests do not wait for those.
const LISTENING: Duration = Duration::from_millis(500);

/// Who takes a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Taker {
    /// A person.
    #[default]
    Person,
    /// An answering machine: it records after its greeting of this length.
    Machine {
        /// From the answer to the beep.
        greeting: Duration,
    },
    /// Nobody.
    Nobody,
    /// The line is busy.
    Busy,
    /// There is no such line.
    Unreachable,
}

/// Who takes calls that the bridge places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answering {
    /// Who.
    pub taker: Taker,
    /// How long it rings.
    pub ringing: Duration,
}

impl Default for Answering {
    fn default() -> Self {
        Self { taker: Taker::default(), ringing: Duration::from_millis(100) }
    }
}

/// What the order said about the time until the answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Order {
    pub(crate) answering: Answering,
    /// `StatusCallbackEvent`; without any `completed` alone.
    pub(crate) events: Vec<String>,
    /// `MachineDetection` and whom to tell, if it is not to hold the call up.
    pub(crate) detection: Option<(String, Target)>,
}

impl Order {
    fn wants(&self, event: &str) -> bool {
        if self.events.is_empty() { event == "completed" } else { self.events.iter().any(|e| e == event) }
    }

    /// What `AnsweredBy` says, and when.
    fn verdict(&self, mode: &str) -> Option<(&'static str, Duration)> {
        match (self.answering.taker, mode) {
            (Taker::Person, _) => Some(("human", LISTENING)),
            (Taker::Machine { greeting }, "DetectMessageEnd") => Some(("machine_end_beep", greeting)),
            (Taker::Machine { .. }, _) => Some(("machine_start", LISTENING)),
            _ => None,
        }
    }
}

impl Call {
    /// Rings. Whether somebody answers, or why nobody does.
    pub(crate) async fn ring(
        &mut self,
        order: &Order,
        callback: Option<&Target>,
    ) -> Result<(), (&'static str, Ended)> {
        if let Some(ended) = self.unless_taken_back(QUEUED).await {
            return Err(("canceled", ended));
        }
        self.report_progress(order, callback, "initiated", "initiated");
        if order.answering.taker != Taker::Unreachable {
            self.report_progress(order, callback, "ringing", "ringing");
        }
        if let Some(ended) = self.unless_taken_back(order.answering.ringing).await {
            return Err(("canceled", ended));
        }
        let status = match order.answering.taker {
            Taker::Person | Taker::Machine { .. } => {
                self.report_progress(order, callback, "answered", "in-progress");
                self.detect(order);
                return Ok(());
            }
            Taker::Nobody => "no-answer",
            Taker::Busy => "busy",
            Taker::Unreachable => "failed",
        };
        Err((status, Ended::new(EndedBy::Failure, status)))
    }

    /// Lets time pass; the end if the bridge hangs up meanwhile.
    async fn unless_taken_back(&mut self, time: Duration) -> Option<Ended> {
        let wait = tokio::time::sleep(time);
        tokio::pin!(wait);
        loop {
            tokio::select! {
                () = &mut wait => return None,
                Some(command) = self.set.commands.recv() => {
                    // Before the answer there is nothing that could be redirected.
                    if matches!(command, Command::Complete) {
                        return Some(Ended::new(EndedBy::Rest, "Status=completed while it rang"));
                    }
                }
            }
        }
    }

    fn report_progress(
        &mut self,
        order: &Order,
        callback: Option<&Target>,
        event: &str,
        status: &'static str,
    ) {
        if status != "initiated" {
            self.set.status.send_replace(status);
        }
        let Some(target) = callback.filter(|_| order.wants(event)) else { return };
        let params = self.numbered(status);
        let question = self.question(target, params);
        self.callbacks.send(event, question);
    }

    fn numbered(&mut self, status: &str) -> Params {
        let params = self.set.identity.progress(status, self.sequence);
        self.sequence += 1;
        params
    }

    fn detect(&mut self, order: &Order) {
        let Some((mode, target)) = &order.detection else { return };
        let Some((answered_by, after)) = order.verdict(mode) else { return };
        let params = self.set.identity.verdict(answered_by, after);
        let question = self.question(target, params);
        self.callbacks.send_later(after, answered_by, question);
    }
}
