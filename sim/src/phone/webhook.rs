//! Twilio asking the bridge over HTTP: form, signature, time limits, redirects.
//!
//! Source: <https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides>: 5 s to connect, tried twice, 15 s in all; a failure after the connection is not
//! tried again.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HOST, LOCATION, USER_AGENT};
use url::Url;

use super::faults::SignatureFault;
use super::form::{self, Params};
use super::report::Exchange;
use super::route::Route;
use super::signature;
use super::timeline::Diary;
use super::twiml;

/// For one attempt to connect; there are two.
const CONNECT: Duration = Duration::from_secs(5);
/// For a whole exchange, redirects included.
const TOTAL: Duration = Duration::from_secs(15);
/// Redirects that are followed (error 11215 beyond).
const REDIRECTS: usize = 10;

/// Whom to ask and how.
#[derive(Clone)]
pub(crate) struct Asker {
    pub(crate) client: reqwest::Client,
    pub(crate) route: Route,
    pub(crate) token: Option<String>,
    pub(crate) diary: Arc<Diary>,
}

/// One request, before it is sent.
#[derive(Clone)]
pub(crate) struct Question {
    /// Absolute, as configured.
    pub(crate) url: String,
    pub(crate) post: bool,
    pub(crate) params: Params,
    /// The same for every attempt at the same event.
    pub(crate) idempotency: String,
    pub(crate) fault: SignatureFault,
}

struct Reply {
    status: u16,
    location: Option<String>,
    content_type: String,
    body: String,
}

impl Asker {
    pub(crate) fn client() -> reqwest::Result<reqwest::Client> {
        reqwest::Client::builder()
            // The simulated internet is this machine; a proxy of the environment must not see it.
            .no_proxy()
            .connect_timeout(CONNECT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
    }

    /// Asks, and returns what came of it; the failure's number is `code`.
    pub(crate) async fn ask(&self, question: Question) -> Exchange {
        let sent = self.diary.since(std::time::Instant::now());
        let path = Url::parse(&question.url)
            .map_or_else(|_| question.url.clone(), |u| u[url::Position::BeforePath..].to_owned());
        let outcome = tokio::time::timeout(TOTAL, self.follow(question)).await.unwrap_or(Err(11_203));
        let answered = self.diary.since(std::time::Instant::now());
        let (status, body, code) = match outcome {
            Ok(reply) => {
                let code = judge(&reply);
                (Some(reply.status), reply.body, code)
            }
            Err(code) => (None, String::new(), Some(code)),
        };
        Exchange { path, sent, answered, status, body, code }
    }

    async fn follow(&self, mut question: Question) -> Result<Reply, u32> {
        for _ in 0..=REDIRECTS {
            let url = Url::parse(&question.url).map_err(|_| 11_210u32)?;
            let reply = match self.once(&question, &url).await {
                Err(error) if error.is_connect() => self.once(&question, &url).await,
                other => other,
            };
            let reply = reply.map_err(|e| number(&e))?;
            let Some(location) = reply.location.as_deref().filter(|_| (301..=308).contains(&reply.status))
            else {
                return Ok(reply);
            };
            question.url = url.join(location).map_err(|_| 11_216u32)?.into();
            question.post &= reply.status == 307 || reply.status == 308;
        }
        Err(11_215)
    }

    async fn once(&self, question: &Question, url: &Url) -> reqwest::Result<Reply> {
        let mut text = question.url.clone();
        if !question.post && !question.params.is_empty() {
            let joint = if url.query().is_some() { '&' } else { '?' };
            text = format!(
                "{}{joint}{}",
                text.split('#').next().unwrap_or_default(),
                form::encode(&question.params)
            );
        }
        let params: &[(String, String)] = if question.post { &question.params } else { &[] };
        let place = self.route.to(&Url::parse(&text).unwrap_or_else(|_| url.clone()));
        let method = if question.post { reqwest::Method::POST } else { reqwest::Method::GET };
        let mut request = self
            .client
            .request(method, place.url)
            .header(HOST, place.host)
            .header(USER_AGENT, "TwilioProxy/1.1")
            .header("I-Twilio-Idempotency-Token", &question.idempotency);
        if let Some(value) = self.signature(&signature::signed_url(&text), params, question.fault) {
            request = request.header("X-Twilio-Signature", value);
        }
        if question.post {
            request = request
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded; charset=UTF-8")
                .body(form::encode(params));
        }
        let mut response = request.send().await?;
        let header = |name| response.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let (location, content_type) = (header(LOCATION), header(CONTENT_TYPE).unwrap_or_default());
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            body.extend_from_slice(&chunk);
            // One byte above the limit is enough to know that it is too large.
            if body.len() > twiml::MAX_BYTES {
                break;
            }
        }
        Ok(Reply { status, location, content_type, body: String::from_utf8_lossy(&body).into_owned() })
    }

    /// The header for a URL, disturbed as asked; none without a token.
    pub(crate) fn signature(
        &self,
        url: &str,
        params: &[(String, String)],
        fault: SignatureFault,
    ) -> Option<String> {
        let token = self.token.as_deref();
        match fault {
            SignatureFault::None => Some(signature::sign(token?, url, params)),
            SignatureFault::WrongToken => {
                Some(signature::sign(&format!("{}x", token.unwrap_or("-")), url, params))
            }
            SignatureFault::WrongUrl => {
                Some(signature::sign(token.unwrap_or("-"), &format!("{url}x"), params))
            }
            SignatureFault::Garbage => Some("not a signature".into()),
            SignatureFault::Missing => None,
        }
    }
}

/// Twilio's number for an answer that is no document.
fn judge(reply: &Reply) -> Option<u32> {
    let mime = reply.content_type.split(';').next().unwrap_or_default().trim();
    match reply.status {
        204 => None,
        200..=299 if reply.body.len() > twiml::MAX_BYTES => Some(11_750),
        200..=299 if reply.body.is_empty() => Some(12_100),
        200..=299 if !["text/xml", "application/xml", "text/html", "text/plain"].contains(&mime) => {
            Some(12_300)
        }
        200..=299 => None,
        _ => Some(11_200),
    }
}

fn number(error: &reqwest::Error) -> u32 {
    match (error.is_connect(), error.is_timeout()) {
        (true, true) => 11_201,
        (true, false) => 11_202,
        _ => 11_205,
    }
}
