//! A call that we have placed and nobody has answered yet: it has a room, can be seen and can be taken back.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::{broadcast, watch};

use super::line::Line;
use crate::call::{AttachError, Attached, CallEnd, CallEvent, Dialed, Onward, Snapshot, Usage, mask};
use crate::twilio::rest::Client;
use crate::twilio::wire::Start;

/// How the ringing ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Answered,
    Over(CallEnd),
}

/// A call that rings.
pub struct Ringing {
    call_sid: String,
    account_sid: String,
    snapshot: Snapshot,
    twilio: Client,
    outcome: watch::Sender<Option<Outcome>>,
}

impl Ringing {
    /// `agent` will talk to `to`, whom `from` calls. `twilio` is asked to hang up.
    pub fn new(call_sid: &str, agent: &str, from: &str, to: &str, twilio: Client) -> Arc<Self> {
        let snapshot = Snapshot {
            call_sid: call_sid.to_owned(),
            agent: agent.to_owned(),
            from: mask(from),
            to: mask(to),
            progress: Vec::new(),
            transcript: Vec::new(),
            uplink: None,
            downlink: None,
            sound: None,
            far_end: None,
            interruptions: 0,
            total_tokens: 0,
            usage: Usage::default(),
            sessions: 0,
            ended: None,
        };
        Arc::new(Self {
            call_sid: call_sid.to_owned(),
            account_sid: twilio.account_sid().to_owned(),
            snapshot,
            twilio,
            outcome: watch::Sender::new(None),
        })
    }

    /// Twilio's id of the call.
    pub fn call_sid(&self) -> &str {
        &self.call_sid
    }

    /// The account that owns it.
    pub fn account_sid(&self) -> &str {
        &self.account_sid
    }

    /// Somebody has answered; another line takes over. `false`: it is over, and nobody is to be talked to.
    pub(super) fn answer(&self) -> bool {
        self.settle(Outcome::Answered)
    }

    /// Why it ended; `None` if it was answered. Resolves once one of the two is so.
    pub async fn over(&self) -> Option<CallEnd> {
        let mut outcome = self.outcome.subscribe();
        // The sender lives in `self`: waiting cannot fail.
        let outcome = outcome.wait_for(Option::is_some).await.ok().and_then(|outcome| *outcome);
        match outcome {
            Some(Outcome::Over(end)) => Some(end),
            Some(Outcome::Answered) | None => None,
        }
    }

    /// Has Twilio end it, beside what goes on here.
    pub fn hang_up(&self) {
        let (twilio, account_sid, call_sid) =
            (self.twilio.clone(), self.account_sid.clone(), self.call_sid.clone());
        tokio::spawn(async move {
            if let Err(error) = twilio.hang_up(&account_sid, &call_sid).await {
                tracing::warn!(call = %call_sid, %error, "could not take a ringing call back");
            }
        });
    }

    fn settle(&self, outcome: Outcome) -> bool {
        self.outcome.send_if_modified(|now| now.is_none() && now.replace(outcome).is_none())
    }
}

impl Line for Ringing {
    fn attach(&self, _start: Start) -> BoxFuture<'_, Result<Attached, AttachError>> {
        // Nobody has a token for it.
        Box::pin(async { Err(AttachError::Ended) })
    }

    fn end(&self, reason: CallEnd) {
        // The others come from Twilio, where it is over.
        let ours = matches!(reason, CallEnd::OperatorHungUp | CallEnd::Shutdown);
        if self.settle(Outcome::Over(reason)) && ours {
            self.hang_up();
        }
    }

    fn is_ended(&self) -> Option<CallEnd> {
        match *self.outcome.borrow() {
            Some(Outcome::Over(end)) => Some(end),
            Some(Outcome::Answered) | None => None,
        }
    }

    fn ended(&self) -> BoxFuture<'_, CallEnd> {
        Box::pin(async {
            match self.over().await {
                Some(end) => end,
                None => std::future::pending().await,
            }
        })
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
        Snapshot { ended: self.is_ended(), ..self.snapshot.clone() }
    }

    fn subscribe(&self) -> broadcast::Receiver<CallEvent> {
        // Nothing happens until it is answered, and then another line tells.
        broadcast::channel(1).1
    }
}
