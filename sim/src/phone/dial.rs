//! `<Dial>`: somebody else is rung, told what it is about, and joined with the caller.
//!
//! Source: <https://www.twilio.com/docs/voice/twiml/dial>, <https://www.twilio.com/docs/voice/twiml/number>: the document at `url` runs on
//! the leg of whoever answers, before the two are joined, and the caller hears the ringing meanwhile.

use std::time::Duration;

use super::call::{Call, Next};
use super::form::Params;
use super::timeline::Moment;
use super::twiml::{self, Dial, Target, Verb};
use super::verbs::{silence, spoken_in};

impl Call {
    pub(super) async fn dial(&mut self, dial: Dial) -> Next {
        let outcome = self.set.plan.dial.clone();
        let child = self.set.dice.sid("CA");
        match self.sound(silence(outcome.ringing)).await {
            Next::On => {}
            other => return other,
        }
        let mut talked = Duration::ZERO;
        if outcome.status == "completed" {
            let number = dial.numbers.first().cloned().unwrap_or_default();
            let params = self.child(&child, &number);
            if let Some((target, _)) = dial.status.filter(|(_, events)| events.contains("answered")) {
                let question = self.question(&target, params.clone());
                self.callbacks.send("dialed-answered", question);
            }
            let joined = match dial.first {
                Some(target) => match self.tell(&target, params).await {
                    Ok(joined) => joined,
                    Err(next) => return next,
                },
                None => true,
            };
            if joined && !outcome.declines {
                talked = outcome.talking;
                match self.sound(silence(talked)).await {
                    Next::On => {}
                    other => return other,
                }
            }
        }
        let Some(action) = dial.action else { return Next::On };
        let mut params = self.set.identity.params("in-progress");
        params.push(("DialCallStatus".into(), outcome.status));
        params.push(("DialCallSid".into(), child));
        params.push(("DialCallDuration".into(), talked.as_secs().to_string()));
        params.push(("DialBridged".into(), (!talked.is_zero()).to_string()));
        Next::Fetch(action, params)
    }

    /// Runs the document for whoever has answered. Whether the two are joined then.
    async fn tell(&mut self, target: &Target, params: Params) -> Result<bool, Next> {
        let question = self.question(target, params);
        let asker = self.set.asker.clone();
        let exchange = self.during(async move { asker.ask(question).await }).await?;
        self.notes.webhooks.push(exchange.clone());
        let document = match exchange.code {
            None => twiml::parse(&exchange.body).ok(),
            Some(_) => None,
        };
        let Some(document) = document else {
            self.warn(twiml::Warning::new(exchange.code.unwrap_or(12_100), "the document of <Number>"));
            return Ok(true);
        };
        for verb in document.verbs {
            let time = match verb {
                Verb::Say { text } => {
                    let time = spoken_in(&text);
                    self.set.diary.now(Moment::Told(text));
                    time
                }
                Verb::Pause { seconds } => Duration::from_secs(seconds.into()),
                Verb::Hangup => return Ok(false),
                other => {
                    self.warn(twiml::Warning::new(
                        12_200,
                        format!("<{}> before the two are joined", other.name()),
                    ));
                    continue;
                }
            };
            match self.sound(silence(time)).await {
                Next::On => {}
                other => return Err(other),
            }
        }
        Ok(true)
    }

    /// The parameters of a request about the call that rings somebody else.
    fn child(&self, sid: &str, number: &str) -> Params {
        let identity = &self.set.identity;
        let mut params = identity.params("in-progress");
        let own = ["CallToken", "CallSid", "Direction", "To", "Called", "ParentCallSid", "StirVerstat"];
        params.retain(|(name, _)| !own.contains(&name.as_str()));
        let child = [
            ("CallSid", sid),
            ("ParentCallSid", &identity.call),
            ("Direction", "outbound-dial"),
            ("To", number),
            ("Called", number),
        ];
        params.extend(child.map(|(name, value)| (name.to_owned(), value.to_owned())));
        params.sort();
        params
    }
}
