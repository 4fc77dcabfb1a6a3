//! From public URLs to the bridge on this machine.

use url::Url;

/// Knows which origin the bridge is published under and where it really is.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub(crate) public: Url,
    pub(crate) bridge: Url,
}

/// Where to connect for a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// What to connect to.
    pub(crate) url: Url,
    /// The `Host` header: the authority of the URL that was meant.
    pub(crate) host: String,
}

impl Route {
    /// URLs of the published origin lead to the bridge, over plain HTTP or WebSocket as behind a TLS terminator; all others to themselves.
    pub(crate) fn to(&self, url: &Url) -> Place {
        let host = match (url.host_str(), url.port()) {
            (Some(name), Some(port)) => format!("{name}:{port}"),
            (Some(name), None) => name.to_owned(),
            (None, _) => String::new(),
        };
        let mut place = Place { url: url.clone(), host };
        let same = url.host() == self.public.host()
            && url.port_or_known_default() == self.public.port_or_known_default();
        if same {
            let mut target = self.bridge.clone();
            target.set_path(url.path());
            target.set_query(url.query());
            if url.scheme().starts_with("ws") {
                // Both are "special" schemes, so the change is always possible.
                let _ = target.set_scheme("ws");
            }
            place.url = target;
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_origin_leads_here_and_others_to_themselves() {
        let url = |text: &str| Url::parse(text).unwrap();
        let route = Route { public: url("https://voice.example.com"), bridge: url("http://127.0.0.1:8080") };
        let place = route.to(&url("wss://voice.example.com/media?x=1"));
        assert_eq!(
            (place.url.as_str(), place.host.as_str()),
            ("ws://127.0.0.1:8080/media?x=1", "voice.example.com")
        );
        let place = route.to(&url("https://voice.example.com/after"));
        assert_eq!(place.url.as_str(), "http://127.0.0.1:8080/after");
        let place = route.to(&url("http://127.0.0.1:9/x"));
        assert_eq!((place.url.as_str(), place.host.as_str()), ("http://127.0.0.1:9/x", "127.0.0.1:9"));
        assert_eq!(route.to(&url("https://voice.example.com:8443/x")).url.port(), Some(8443));
    }
}
