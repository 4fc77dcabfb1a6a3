//! Twilio's REST API, as far as the bridge and its commands need it: calls, messages, numbers, the account.
//!
//! <https://www.twilio.com/docs/usage/api>. One file knows how to ask (`ask`), the others what.

mod account;
mod ask;
mod calls;
mod error;
mod messages;
mod numbers;

use std::fmt;
use std::time::Duration;

use reqwest::redirect;
use url::Url;

use crate::config::{Secret, TwilioSettings, is_loopback};

pub use account::Account;
pub use calls::{Document, MachineDetection, NewCall, Placed};
pub use error::RestError;
pub use messages::MAX_MESSAGE_CHARS;
pub use numbers::{Number, Webhooks};

/// To connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The version of the API that all of these resources have.
const VERSION: &str = "2010-04-01";

/// A client for one account. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    api_url: Url,
    account_sid: String,
    auth_token: Secret,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("api_url", &self.api_url.as_str()).finish_non_exhaustive()
    }
}

impl Client {
    /// `None` without an account and its token: then nothing can be asked of Twilio.
    pub fn new(settings: &TwilioSettings) -> Option<Self> {
        let (account_sid, auth_token) = (settings.account_sid.clone()?, settings.auth_token.clone()?);
        let mut http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            // Credentials go where they were meant to go.
            .redirect(redirect::Policy::none());
        if is_loopback(&settings.api_url) {
            http = http.no_proxy();
        }
        let http = http.build().expect("these options are valid, and rustls is compiled in");
        Some(Self { http, api_url: settings.api_url.clone(), account_sid, auth_token })
    }

    /// The account that asks, `AC…`.
    pub fn account_sid(&self) -> &str {
        &self.account_sid
    }

    /// The URL of a resource: `path` behind the API's version.
    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.api_url.clone();
        // An HTTP URL can always hold a path.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push(VERSION).extend(path);
        }
        url
    }
}
