//! `X-Twilio-Signature`, from Twilio's side: what it signs and how.
//!
//! Source: <https://www.twilio.com/docs/usage/webhooks/webhooks-security>, with the corner cases of Twilio's own validators (`tests/data`).

use std::collections::{BTreeMap, BTreeSet};

use hmac::{Hmac, KeyInit, Mac};

/// The string that is signed: the URL, then every distinct name and value in byte order, nothing between them. Values are decoded; an empty one leaves its bare name.
pub fn signed_string(url: &str, params: &[(String, String)]) -> String {
    let mut sorted: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, value) in params {
        sorted.entry(name).or_default().insert(value);
    }
    let mut text = url.to_owned();
    for (name, values) in sorted {
        for value in values {
            text.push_str(name);
            text.push_str(value);
        }
    }
    text
}

/// The signature with the account's auth token: HMAC-SHA1, base64.
pub fn sign(auth_token: &str, url: &str, params: &[(String, String)]) -> String {
    let mut mac =
        Hmac::<sha1::Sha1>::new_from_slice(auth_token.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(signed_string(url, params).as_bytes());
    base64_simd::STANDARD.encode_to_string(mac.finalize().into_bytes())
}

/// The signature with a shared key (public beta of 2026): HMAC-SHA256, base64.
pub fn sign_sha256(secret: &str, url: &str, params: &[(String, String)]) -> String {
    let mut mac =
        Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(signed_string(url, params).as_bytes());
    base64_simd::STANDARD.encode_to_string(mac.finalize().into_bytes())
}

/// The form of a configured webhook URL that Twilio signs: without user and password, without fragment, and for `https` voice callbacks without the port. Everything
/// else stays as it was typed.
pub fn signed_url(configured: &str) -> String {
    let url = configured.split('#').next().unwrap_or_default();
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host.rsplit_once(':') {
        // The last colon of an IPv6 literal is inside its brackets.
        Some((name, port)) if scheme == "https" && !port.ends_with(']') => name,
        _ => host,
    };
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_twilio_leaves_out_of_the_url() {
        assert_eq!(signed_url("https://u:p@h.example:8443/v?x=%20#rc=2"), "https://h.example/v?x=%20");
        assert_eq!(signed_url("http://h.example:8080/v"), "http://h.example:8080/v");
        assert_eq!(signed_url("https://h.example?x=1"), "https://h.example?x=1");
        assert_eq!(signed_url("https://[::1]/v"), "https://[::1]/v");
        assert_eq!(signed_url("wss://h.example:443/m"), "wss://h.example:443/m");
    }
}
