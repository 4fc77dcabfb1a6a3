//! How the internet sees the bridge, and what time it is there.

use std::time::{Duration, SystemTime};

use aria_bridge::config::{Settings, is_loopback};
use reqwest::tls::TlsInfo;
use url::Url;

use super::certificate;
use super::finding::Findings;

/// One look outside.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Clocks further apart make timestamps in records and in signatures of webhooks wrong.
const MAX_SKEW: Duration = Duration::from_secs(30);
/// How long the way of an answer may be for its clock to be of use.
const MAX_WAY: Duration = Duration::from_secs(5);

/// A client for `url`.
pub fn client(url: &Url) -> reqwest::Client {
    let mut http = reqwest::Client::builder().timeout(TIMEOUT).tls_info(true);
    http = http.redirect(reqwest::redirect::Policy::none());
    if is_loopback(url) {
        http = http.no_proxy();
    }
    http.build().expect("these options are valid, and rustls is compiled in")
}

/// Asks the public URL for `/healthz`, as Twilio would come.
pub async fn public_url(settings: &Settings, findings: &mut Findings) {
    let url = &settings.public_url;
    let what = "public URL";
    let target = format!("{}/healthz", url.as_str().trim_end_matches('/'));
    let answer = match client(url).get(target).send().await {
        Ok(answer) => answer,
        Err(error) => {
            let fix = "start the bridge (`aria serve`), point DNS and the proxy or tunnel at it, open the port; docs/go-live.md";
            findings.problem(what, format!("{url} does not answer: {}", cause(&error)), fix);
            return;
        }
    };
    if let Some(der) = answer.extensions().get::<TlsInfo>().and_then(TlsInfo::peer_certificate) {
        certificate::tell("public certificate", certificate::judge(der, url.host_str()), findings);
    }
    let status = answer.status();
    let text = answer.text().await.unwrap_or_default();
    if status.is_success() && text.trim() == "ok" {
        findings.good(what, format!("{url} leads to a bridge"));
    } else {
        let fix = "somebody else answers there: look at the proxy's or tunnel's target, and at the path in ARIA_PUBLIC_URL";
        findings.problem(what, format!("{url}/healthz answers HTTP {} and no bridge", status.as_u16()), fix);
    }
    if url.scheme() == "http" && !settings.public_url_is_loopback() {
        let fix = "use https: Twilio opens media streams by wss alone";
        findings.problem("public URL's scheme", "http", fix);
    }
}

/// Compares this machine's clock with the `Date` of an answer (RFC 9110, 6.6.1; whole seconds).
pub fn clock(from: &str, answer: &reqwest::Response, asked: SystemTime, findings: &mut Findings) {
    let date = answer.headers().get("date").and_then(|date| date.to_str().ok());
    let Some(theirs) = date.and_then(|date| httpdate::parse_http_date(date).ok()) else { return };
    let now = SystemTime::now();
    if now.duration_since(asked).is_ok_and(|way| way > MAX_WAY) {
        return;
    }
    let apart = now.duration_since(theirs).unwrap_or_else(|early| early.duration());
    if apart > MAX_SKEW {
        let fix = "have it set by NTP: timedatectl set-ntp true";
        findings.problem("clock", format!("{} s away from {from}'s", apart.as_secs()), fix);
    } else {
        findings.good("clock", format!("as {from}'s"));
    }
}

/// The innermost reason: the outer ones only repeat the URL.
pub fn cause(error: &reqwest::Error) -> String {
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}
