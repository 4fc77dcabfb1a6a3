//! Text messages. <https://www.twilio.com/docs/messaging/api/message-resource>

use reqwest::Method;

use super::ask::{Question, Twice};
use super::{Client, RestError};

/// Longest message, characters; Twilio refuses longer ones (error 21617).
pub const MAX_MESSAGE_CHARS: usize = 1600;

impl Client {
    /// Sends a text message from one of the account's numbers. What is longer than [`MAX_MESSAGE_CHARS`] is cut. An error that leaves open
    /// whether it was sent is not tried again.
    pub async fn send_message(&self, from: &str, to: &str, body: &str) -> Result<(), RestError> {
        let end = body.char_indices().nth(MAX_MESSAGE_CHARS).map_or(body.len(), |(at, _)| at);
        let form = [("To", to), ("From", from), ("Body", &body[..end])];
        let url = self.url(&["Accounts", &self.account_sid, "Messages.json"]);
        self.order(Question { method: Method::POST, url, form: &form, twice: Twice::Costly }).await
    }
}
