//! In which order a stream's messages may come. Pure: a phase and an event give the next phase or a refusal.
//!
//! `connected`, `start`, then any number of `media`, `dtmf` and `mark`, then `stop`. Twilio keeps this order on every stream, so
//! whoever does not is not Twilio, and the socket is closed.

/// An event, as far as its place in the order goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `connected`.
    Connected,
    /// `start`.
    Start,
    /// `media`.
    Media,
    /// `dtmf`.
    Dtmf,
    /// `mark`.
    Mark,
    /// `stop`.
    Stop,
}

/// How far a stream has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    /// The socket is open, nothing was said.
    #[default]
    Opened,
    /// `connected` came.
    Connected,
    /// `start` came.
    Started,
    /// `stop` came: nothing may follow.
    Stopped,
}

/// An event out of order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{event:?} in phase {phase:?}")]
pub struct OutOfOrder {
    /// Where the stream stood.
    pub phase: Phase,
    /// What came.
    pub event: Kind,
}

impl Phase {
    /// The phase after `event`, or a refusal; after a refusal the stream is over.
    pub fn after(self, event: Kind) -> Result<Self, OutOfOrder> {
        match (self, event) {
            (Self::Opened, Kind::Connected) => Ok(Self::Connected),
            (Self::Connected, Kind::Start) => Ok(Self::Started),
            (Self::Started, Kind::Media | Kind::Dtmf | Kind::Mark) => Ok(Self::Started),
            (Self::Started, Kind::Stop) => Ok(Self::Stopped),
            (phase, event) => Err(OutOfOrder { phase, event }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Kind; 6] = [Kind::Connected, Kind::Start, Kind::Media, Kind::Dtmf, Kind::Mark, Kind::Stop];

    /// The same rule said another way: the longest prefix of the one legal shape.
    fn accepted(events: &[Kind]) -> usize {
        let legal = |i: usize, event: Kind| match i {
            0 => event == Kind::Connected,
            1 => event == Kind::Start,
            _ => !matches!(event, Kind::Connected | Kind::Start) && !events[..i].contains(&Kind::Stop),
        };
        events.iter().enumerate().take_while(|&(i, &event)| legal(i, event)).count()
    }

    #[test]
    fn all_sequences_up_to_length_five() {
        let mut tried = 0;
        for length in 0..=5u32 {
            for code in 0..6usize.pow(length) {
                let events: Vec<Kind> = (0..length).map(|i| ALL[code / 6usize.pow(i) % 6]).collect();
                let mut phase = Phase::default();
                let taken = events
                    .iter()
                    .take_while(|&&event| match phase.after(event) {
                        Ok(next) => {
                            phase = next;
                            true
                        }
                        Err(refused) => {
                            assert_eq!(refused, OutOfOrder { phase, event });
                            false
                        }
                    })
                    .count();
                assert_eq!(taken, accepted(&events), "{events:?}");
                tried += 1;
            }
        }
        assert_eq!(tried, 1 + 6 + 36 + 216 + 1296 + 7776);
    }
}
