//! The account's numbers and their webhooks. <https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource>

use std::fmt;

use reqwest::Method;
use serde::{Deserialize, Deserializer};
use url::Url;

use super::ask::{Question, Twice};
use super::{Client, RestError};

/// Numbers a page.
const PAGE_SIZE: &str = "50";
/// Pages read: 1000 numbers. An account with more looks for one by its number.
const MAX_PAGES: usize = 20;

/// What Twilio does about calls of a number. Empty: nothing is set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Webhooks {
    /// Whom it asks when a call comes.
    #[serde(default, deserialize_with = "or_empty")]
    pub voice_url: String,
    /// How it asks.
    #[serde(default, deserialize_with = "or_empty")]
    pub voice_method: String,
    /// Whom it asks when that one does not answer.
    #[serde(default, deserialize_with = "or_empty")]
    pub voice_fallback_url: String,
    /// Whom it tells that a call is over.
    #[serde(default, deserialize_with = "or_empty")]
    pub status_callback: String,
}

/// A number of the account.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct Number {
    /// `PN…`.
    pub sid: String,
    /// E.164.
    pub phone_number: String,
    /// Its webhooks.
    #[serde(flatten)]
    pub webhooks: Webhooks,
    /// An application or a trunk answers its calls: its own webhooks are not asked then.
    #[serde(default, deserialize_with = "or_empty")]
    pub voice_application_sid: String,
    /// See above.
    #[serde(default, deserialize_with = "or_empty")]
    pub trunk_sid: String,
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Number").field("sid", &self.sid).finish_non_exhaustive()
    }
}

/// Twilio writes what is not set as `null` or as an empty text.
fn or_empty<'de, D: Deserializer<'de>>(value: D) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(value)?.unwrap_or_default())
}

#[derive(Deserialize)]
struct Page {
    incoming_phone_numbers: Vec<Number>,
    next_page_uri: Option<String>,
}

impl Client {
    /// The account's numbers, at most 1000, or the one that is asked for.
    pub async fn numbers(&self, only: Option<&str>) -> Result<Vec<Number>, RestError> {
        let mut url = self.url(&["Accounts", &self.account_sid, "IncomingPhoneNumbers.json"]);
        url.query_pairs_mut().append_pair("PageSize", PAGE_SIZE);
        if let Some(number) = only {
            url.query_pairs_mut().append_pair("PhoneNumber", number);
        }
        let mut numbers = Vec::new();
        for _ in 0..MAX_PAGES {
            let question =
                Question { method: Method::GET, url: url.clone(), form: &[], twice: Twice::Harmless };
            let page: Page = self.ask(question).await?;
            numbers.extend(page.incoming_phone_numbers);
            let Some(next) = page.next_page_uri.filter(|next| !next.is_empty()) else { break };
            url = self.next_page(&next)?;
        }
        Ok(numbers)
    }

    /// The page goes to the same place as the first one, whatever the answer says: credentials go along.
    fn next_page(&self, uri: &str) -> Result<Url, RestError> {
        let next = self.api_url.join(uri).map_err(|_| RestError::Unreadable)?;
        if next.origin() == self.api_url.origin() { Ok(next) } else { Err(RestError::Unreadable) }
    }

    /// Sets a number's webhooks; all are asked by POST.
    pub async fn set_webhooks(&self, number_sid: &str, webhooks: &Webhooks) -> Result<Number, RestError> {
        let form = [
            ("VoiceUrl", webhooks.voice_url.as_str()),
            ("VoiceMethod", "POST"),
            ("VoiceFallbackUrl", &webhooks.voice_fallback_url),
            ("VoiceFallbackMethod", "POST"),
            ("StatusCallback", &webhooks.status_callback),
            ("StatusCallbackMethod", "POST"),
        ];
        let sid = format!("{number_sid}.json");
        let url = self.url(&["Accounts", &self.account_sid, "IncomingPhoneNumbers", &sid]);
        self.ask(Question { method: Method::POST, url, form: &form, twice: Twice::Harmless }).await
    }
}
