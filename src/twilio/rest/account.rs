//! The account. <https://www.twilio.com/docs/iam/api/account>

use reqwest::Method;
use serde::Deserialize;

use super::ask::{Question, Twice};
use super::{Client, RestError};

/// The account, as far as it matters for calls.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Account {
    /// `active`, `suspended` or `closed`: only an active one has calls.
    pub status: String,
    /// `Trial` or `Full`. A trial calls verified numbers alone, and for ten minutes at most.
    #[serde(rename = "type", default)]
    pub kind: String,
}

impl Client {
    /// The account. Fails with 401 if the token is wrong.
    pub async fn account(&self) -> Result<Account, RestError> {
        let url = self.url(&["Accounts", &format!("{}.json", self.account_sid)]);
        self.ask(Question { method: Method::GET, url, form: &[], twice: Twice::Harmless }).await
    }
}
