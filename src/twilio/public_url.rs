//! How the internet reaches us, and which URLs a signature may have been made over.
//!
//! Twilio signs the URL it was configured with. It is rebuilt from the configured public URL and the request's raw target, never
//! from `Host` or `X-Forwarded-*`, which anyone may write.

use url::Url;

/// Where Twilio asks what to do with a call.
pub const INBOUND_PATH: &str = "/api/twilio/voice/inbound";
/// Where Twilio asks what to do when the stream has ended.
pub const AFTER_PATH: &str = "/api/twilio/voice/after";
/// Where Twilio reports how a call stands.
pub const STATUS_PATH: &str = "/api/twilio/voice/status";
/// Where Twilio tells whether a person or a machine has answered our call.
pub const AMD_PATH: &str = "/api/twilio/voice/amd";
/// What the person hears to whom a caller is put through, before the two are connected.
pub const SUMMARY_PATH: &str = "/api/twilio/voice/summary";
/// Where Twilio reports how a stream stands.
pub const STREAM_STATUS_PATH: &str = "/api/twilio/stream/status";
/// Where Twilio opens the media stream.
pub const MEDIA_PATH: &str = "/api/twilio/media";

/// The configured public URL in the pieces that URLs are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    secure: bool,
    /// Host without port, in brackets if it is IPv6.
    host: String,
    port: Option<u16>,
    /// What a proxy in front of us strips, without a slash at its end.
    path: String,
}

impl PublicUrl {
    /// From `ARIA_PUBLIC_URL`, `http` or `https`. Fragment, user and password take no part in a signature.
    pub fn new(url: &Url) -> Self {
        Self {
            secure: url.scheme() == "https",
            host: url.host_str().unwrap_or_default().to_owned(),
            port: url.port(),
            path: url.path().trim_end_matches('/').to_owned(),
        }
    }

    /// The full URL of one of our paths, for TwiML.
    pub fn http(&self, path: &str) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        self.build(scheme, self.port, path)
    }

    /// The URL of the media stream, for TwiML: `wss`, or `ws` where the public URL is plain `http`.
    pub fn stream(&self) -> String {
        self.build(self.ws_scheme(), self.port, MEDIA_PATH)
    }

    /// What a webhook to `target` (raw path and query) may have signed: with its port and, as both official validators also
    /// try, without it and with the default one.
    pub fn signed_by_webhook(&self, target: &str) -> Vec<String> {
        let (scheme, default) = if self.secure { ("https", 443) } else { ("http", 80) };
        self.variants(scheme, default, target)
    }

    /// What the upgrade of a media stream may have signed: the same under `wss`, and with a slash added or taken off at the end,
    /// as Twilio's documentation advises to try.
    pub fn signed_by_upgrade(&self, target: &str) -> Vec<String> {
        let slashed = match target.strip_suffix('/') {
            Some(without) => without.to_owned(),
            None => format!("{target}/"),
        };
        let default = if self.secure { 443 } else { 80 };
        let mut urls = self.variants(self.ws_scheme(), default, target);
        urls.extend(self.variants(self.ws_scheme(), default, &slashed));
        urls
    }

    fn ws_scheme(&self) -> &'static str {
        if self.secure { "wss" } else { "ws" }
    }

    fn variants(&self, scheme: &str, default_port: u16, target: &str) -> Vec<String> {
        let other = if self.port.is_some() { None } else { Some(default_port) };
        vec![self.build(scheme, self.port, target), self.build(scheme, other, target)]
    }

    fn build(&self, scheme: &str, port: Option<u16>, target: &str) -> String {
        let Self { host, path, .. } = self;
        match port {
            Some(port) => format!("{scheme}://{host}:{port}{path}{target}"),
            None => format!("{scheme}://{host}{path}{target}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public(url: &str) -> PublicUrl {
        PublicUrl::new(&Url::parse(url).unwrap())
    }

    #[test]
    fn urls_for_twiml() {
        let url = public("https://voice.example.com");
        assert_eq!(url.http(AFTER_PATH), "https://voice.example.com/api/twilio/voice/after");
        assert_eq!(url.stream(), "wss://voice.example.com/api/twilio/media");
        let local = public("http://127.0.0.1:8080/");
        assert_eq!(local.http(AFTER_PATH), "http://127.0.0.1:8080/api/twilio/voice/after");
        assert_eq!(local.stream(), "ws://127.0.0.1:8080/api/twilio/media");
        assert_eq!(public("https://h.example/voice/").stream(), "wss://h.example/voice/api/twilio/media");
    }

    #[test]
    fn what_may_be_signed() {
        assert_eq!(
            public("https://h").signed_by_webhook("/p?a=%20"),
            ["https://h/p?a=%20", "https://h:443/p?a=%20"]
        );
        assert_eq!(public("https://h:8443").signed_by_webhook("/p"), ["https://h:8443/p", "https://h/p"]);
        assert_eq!(public("http://h:8080").signed_by_webhook("/p"), ["http://h:8080/p", "http://h/p"]);
        assert_eq!(
            public("https://h").signed_by_upgrade("/m"),
            ["wss://h/m", "wss://h:443/m", "wss://h/m/", "wss://h:443/m/"]
        );
        assert_eq!(public("https://h").signed_by_upgrade("/m/")[2], "wss://h/m");
    }
}
