//! Who may see and steer calls: whoever has the admin token; without one configured, this machine alone.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use url::{Host, Url};

use super::App;
use super::server::Peer;
use crate::config::{Secret, is_loopback};

/// Headers by which a proxy shows itself: the connection comes from this machine, the request does not.
const PROXY_HEADERS: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];

/// Proof that a request is an operator's.
pub(super) struct Operator;

impl FromRequestParts<Arc<App>> for Operator {
    type Rejection = Response;

    async fn from_request_parts(head: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        let peer = head.extensions.get::<Peer>();
        let allowed = match &app.admin_token {
            Some(token) => has_token(&head.headers, token),
            None => {
                peer.is_some_and(|peer| peer.address.ip().to_canonical().is_loopback())
                    && is_local(&head.headers)
            }
        };
        if !allowed {
            app.refused("not_an_operator");
            let status =
                if app.admin_token.is_some() { StatusCode::UNAUTHORIZED } else { StatusCode::FORBIDDEN };
            return Err((status, [(header::WWW_AUTHENTICATE, "Bearer")]).into_response());
        }
        if let Some(peer) = peer {
            peer.slot.prove();
        }
        Ok(Self)
    }
}

fn has_token(headers: &HeaderMap, token: &Secret) -> bool {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some((scheme, given)) = given.and_then(|value| value.split_once(' ')) else { return false };
    // Over hashes, so that the time of the comparison tells nothing.
    scheme.eq_ignore_ascii_case("bearer") && Sha256::digest(given.trim()) == Sha256::digest(token.expose())
}

/// Whether the request was made on this machine for this machine: not passed on by a proxy, not by a page of another site in a
/// browser here (`Origin`), nor by one that had its name point here (`Host`).
fn is_local(headers: &HeaderMap) -> bool {
    let text = |name: header::HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let proxied = PROXY_HEADERS.iter().any(|name| headers.contains_key(*name));
    let host_is_local = text(header::HOST).is_some_and(|host| is_loopback_url(&format!("http://{host}")));
    let origin_is_local = text(header::ORIGIN).is_none_or(is_loopback_url);
    !proxied && host_is_local && origin_is_local
}

fn is_loopback_url(url: &str) -> bool {
    Url::parse(url)
        .is_ok_and(|url| is_loopback(&url) || matches!(url.host(), Some(Host::Domain("localhost."))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_requests_made_here_for_here_are_local() {
        for good in ["127.0.0.1:8080", "localhost:8080", "[::1]:8080"] {
            assert!(is_local(&headers(&[("host", good)])), "{good}");
        }
        assert!(is_local(&headers(&[("host", "localhost"), ("origin", "http://localhost:8080")])));
        for bad in [
            &[("host", "voice.example.com")][..],
            &[("host", "127.0.0.1.example.com")],
            &[("host", "localhost"), ("x-forwarded-for", "1.2.3.4")],
            &[("host", "localhost"), ("origin", "https://evil.example")],
            &[("host", "localhost"), ("origin", "null")],
            &[],
        ] {
            assert!(!is_local(&headers(bad)), "{bad:?}");
        }
    }

    #[test]
    fn a_token_is_compared_whole() {
        let token = Secret::new("s3cret");
        let given = |value: &str| has_token(&headers(&[("authorization", value)]), &token);
        assert!(given("Bearer s3cret") && given("bearer s3cret"));
        assert!(
            !given("Bearer s3cre") && !given("Bearer s3crets") && !given("Basic s3cret") && !given("s3cret")
        );
        assert!(!has_token(&HeaderMap::new(), &token));
    }
}
