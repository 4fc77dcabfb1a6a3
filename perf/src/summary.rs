//! Many calls in a few lines.

use std::fmt;

use sim::phone::{CallReport, Moment};

use crate::Spread;

/// What a number of calls were like for their callers.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    calls: usize,
    violations: usize,
    webhook: Spread,
    stream: Spread,
    first_audio: Spread,
}

impl Summary {
    /// Adds a call.
    pub fn add(&mut self, report: &CallReport) {
        self.calls += 1;
        self.violations += report.violations.len();
        if let Some(first) = report.webhooks.first() {
            self.webhook.record(first.answered.saturating_sub(first.sent));
        }
        let at = |pick: fn(&Moment) -> bool| report.when(pick);
        if let (Some(asked), Some(open)) =
            (at(|m| *m == Moment::StreamConnecting), at(|m| *m == Moment::StreamUpgraded))
        {
            self.stream.record(open.saturating_sub(asked));
        }
        if let (Some(start), Some(audio)) =
            (at(|m| *m == Moment::StartSent), at(|m| *m == Moment::FirstAudio))
        {
            self.first_audio.record(audio.saturating_sub(start));
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} calls, {} violations of Twilio's protocol", self.calls, self.violations)?;
        writeln!(f, "  {:<36}{:>9} {:>9} {:>9} {:>7}", "ms", "p50", "p95", "max", "calls")?;
        writeln!(f, "  {:<36}{}", "webhook → TwiML", self.webhook)?;
        writeln!(f, "  {:<36}{}", "upgrade asked → open", self.stream)?;
        write!(f, "  {:<36}{}", "start → first sound of ARIA", self.first_audio)
    }
}
