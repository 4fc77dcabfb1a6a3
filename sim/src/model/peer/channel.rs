//! The data channel of a peer.

use std::time::Instant;

use serde_json::Value;

use super::{LAST_WORDS, Peer};
use crate::model::record::End;
use crate::model::session::Output;

/// Messages that wait for room in the data channel; later ones are dropped and remarked.
const MAX_UNSENT: usize = 4096;

impl Peer {
    /// Moves what the session has to say into the data channel and the record.
    pub(super) fn flush(&mut self, now: Instant) {
        let age = self.age(now);
        while let Some(output) = self.parts.session.poll() {
            match output {
                Output::Note(note) => self.parts.log.note(age, note),
                Output::Expired => self.leaving = Some((End::Expired, now + LAST_WORDS)),
                Output::Event(event) => {
                    let text = event.to_string();
                    self.parts.log.server_event(age, event);
                    self.queue(text);
                }
                // Sound is RTP here.
                Output::Sound(..) => {}
                Output::Raw(text) => {
                    self.parts.log.server_event(age, Value::String(text.clone()));
                    self.queue(text);
                }
            }
        }
        let Some(id) = self.channel else { return self.unsent.clear() };
        while let Some(text) = self.unsent.pop_front() {
            let Some(mut channel) = self.parts.rtc.channel(id) else { return };
            match channel.write(false, text.as_bytes()) {
                Ok(true) => {}
                Ok(false) => return self.unsent.push_front(text),
                Err(error) => self.remark(format!("a message of {} bytes was not sent: {error}", text.len())),
            }
        }
        self.parts.session.written();
    }

    fn queue(&mut self, text: String) {
        if self.unsent.len() < MAX_UNSENT {
            self.unsent.push_back(text);
        } else {
            self.remark("the data channel is stuck: a message was dropped".to_owned());
        }
    }
}
