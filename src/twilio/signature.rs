//! `X-Twilio-Signature`: proof that a request is Twilio's.
//!
//! <https://www.twilio.com/docs/usage/webhooks/webhooks-security>: the URL as configured, then every form parameter's name and
//! value sorted by name, through HMAC-SHA1 under the account's auth token, in base64. A customer's own key (SharedKey, beta
//! since September 2026) may use HMAC-SHA256 and names itself in a second header.

use base64_simd::{AsOut, STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::Sha256;

use super::form::Form;
use crate::config::Secret;

/// The header that carries the signature.
pub const SIGNATURE_HEADER: &str = "x-twilio-signature";
/// The header that names a customer's own key: `key=ID,algorithm=HMAC_SHA256`.
pub const SETTINGS_HEADER: &str = "x-twilio-webhooks-signature-settings";
/// Longest digest, that of SHA-256.
const MAX_DIGEST_BYTES: usize = 32;

/// A customer's own signing key.
#[derive(Debug, Clone)]
pub struct SharedKey {
    /// As the settings header names it.
    pub id: String,
    /// The key.
    pub secret: Secret,
}

/// The keys a request may be signed with.
#[derive(Debug, Clone, Default)]
pub struct Verifier {
    /// The account's auth tokens: the primary one and, while a rotation lasts, the secondary one.
    tokens: Vec<Secret>,
    shared_key: Option<SharedKey>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Sha1,
    Sha256,
}

impl Verifier {
    /// Accepts signatures under any of `tokens`.
    pub fn new(tokens: impl IntoIterator<Item = Secret>) -> Self {
        Self { tokens: tokens.into_iter().collect(), shared_key: None }
    }

    /// Accepts signatures under `key` too, where the request names it.
    pub fn with_shared_key(mut self, key: SharedKey) -> Self {
        self.shared_key = Some(key);
        self
    }

    /// Whether there is any key. Without one nothing can be verified.
    pub fn has_keys(&self) -> bool {
        !self.tokens.is_empty() || self.shared_key.is_some()
    }

    /// Whether `signature` is that of any of `urls` with the parameters of `form`. `settings` is the value of
    /// [`SETTINGS_HEADER`]. Takes the same time whatever part of a signature is wrong.
    pub fn verify(&self, urls: &[String], form: &Form, signature: &str, settings: Option<&str>) -> bool {
        let mut room = [0; MAX_DIGEST_BYTES + 4];
        if signature.len() > STANDARD.encoded_length(MAX_DIGEST_BYTES) {
            return false;
        }
        let Ok(digest) = STANDARD.decode(signature.as_bytes(), room.as_mut_slice().as_out()) else {
            return false;
        };
        let parameters = form.signed_text();
        let named = settings.and_then(read_settings);
        let own: Vec<(&str, Algorithm)> = match (&self.shared_key, named) {
            (Some(key), Some((id, algorithm))) if key.id == id => vec![(key.secret.expose(), algorithm)],
            _ => self.tokens.iter().map(|token| (token.expose(), Algorithm::Sha1)).collect(),
        };
        own.iter().any(|(key, algorithm)| {
            urls.iter().any(|url| match algorithm {
                Algorithm::Sha1 => matches::<Hmac<Sha1>>(key, url, &parameters, digest),
                Algorithm::Sha256 => matches::<Hmac<Sha256>>(key, url, &parameters, digest),
            })
        })
    }
}

fn matches<M: Mac + KeyInit>(key: &str, url: &str, parameters: &str, digest: &[u8]) -> bool {
    let mut mac = <M as KeyInit>::new_from_slice(key.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(url.as_bytes());
    mac.update(parameters.as_bytes());
    // Constant time.
    mac.verify_slice(digest).is_ok()
}

fn read_settings(header: &str) -> Option<(&str, Algorithm)> {
    let (mut id, mut algorithm) = (None, None);
    for part in header.split(',') {
        match part.trim().split_once('=')? {
            ("key", value) => id = Some(value),
            ("algorithm", "HMAC_SHA1") => algorithm = Some(Algorithm::Sha1),
            ("algorithm", "HMAC_SHA256") => algorithm = Some(Algorithm::Sha256),
            ("algorithm", _) => return None,
            _ => {}
        }
    }
    Some((id?, algorithm?))
}

#[cfg(test)]
mod tests;
