//! Letting go of everything once a call is over.

use std::time::Duration;

use pipeline::Command;

use super::Call;
use crate::call::{CallEnd, MediaCommand};
use crate::openai::link::Link;

/// How long goodbyes over HTTP may take once the call is over.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);

impl Call {
    /// The peers are told first, then the HTTP goodbyes go out side by side.
    pub(super) async fn release(mut self: Box<Self>, reason: CallEnd) {
        self.command(Command::Stop);
        if let Some(media) = self.media.take() {
            let _ = media.try_send(MediaCommand::Close { code: 1000, reason: reason.as_str() });
        }
        self.tools.abort_all();
        if let Some(dial) = self.dial.take() {
            dial.abandon();
        }
        let links = [self.link.take(), self.next.take()];
        let holds: Vec<_> = links.into_iter().flatten().filter_map(Link::end).collect();
        let hang_up_model = async move {
            for hold in holds {
                hold.hang_up().await;
            }
        };
        let (twilio, handle) = (self.deps.twilio.clone(), self.handle.clone());
        let hang_up_phone = async move {
            if let (true, Some(twilio)) = (reason.hang_up_over_rest(), twilio) {
                let inbound = handle.inbound();
                if let Err(error) = twilio.hang_up(&inbound.account_sid, &inbound.call_sid).await {
                    tracing::warn!(call = %inbound.call_sid, %error, "could not hang up");
                }
            }
        };
        let both = async { tokio::join!(hang_up_model, hang_up_phone) };
        let both = tokio::time::timeout(RELEASE_TIMEOUT, both);
        if !matches!(self.deps.network.control().spawn(both).await, Ok(Ok(_))) {
            tracing::warn!(call = %self.handle.inbound().call_sid, "hanging up timed out");
        }
        self.deps.workers.reap();
    }
}
