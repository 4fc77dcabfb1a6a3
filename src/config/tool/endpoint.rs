//! An address with places for arguments: `https://crm.example.com/contacts/{phone}`.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};
use url::Url;

/// Longest argument in a path, bytes: servers refuse request lines of a few thousand.
const MAX_PLACE_BYTES: usize = 512;
/// RFC 3986, 2.3: what needs no encoding anywhere.
const ENCODED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// An http or https address whose path may have places for arguments. Host and query are fixed: no argument leads elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    url: Url,
    parts: Vec<Part>,
    /// Segments of the path, whatever stands in the places.
    segments: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Place(String),
}

/// An argument that cannot stand in a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unfilled;

impl Endpoint {
    /// Reads an address. The error says what is allowed.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|e| format!("an http or https URL ({e})"))?;
        let plain =
            matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none();
        if !plain || url.host().is_none() {
            return Err("an http or https URL without user and password".into());
        }
        if url.fragment().is_some() {
            return Err("an address without a fragment: it is never sent".into());
        }
        let braces = |text: Option<&str>| text.is_some_and(|text| text.contains(['{', '}']));
        if braces(url.query()) || braces(url.host_str()) {
            return Err(
                "places such as {name} in the path alone: with GET, arguments go into the query anyway"
                    .into(),
            );
        }
        let parts = parts(url.path())?;
        let segments = url.path_segments().map_or(0, Iterator::count);
        Ok(Self { url, parts, segments })
    }

    /// The address with its places as they are written.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The names of the places.
    pub fn places(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|p| match p {
            Part::Place(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// Puts arguments into their places and takes them out of `arguments`.
    pub fn fill(&self, arguments: &mut Map<String, Value>) -> Result<Url, Unfilled> {
        let mut path = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => path.push_str(text),
                Part::Place(name) => {
                    let text = match arguments.get(name) {
                        Some(Value::String(text)) => text.clone(),
                        Some(value @ (Value::Number(_) | Value::Bool(_))) => value.to_string(),
                        _ => return Err(Unfilled),
                    };
                    if !fits(&text) {
                        return Err(Unfilled);
                    }
                    path.extend(utf8_percent_encode(&text, &ENCODED));
                }
            }
        }
        let mut url = self.url.clone();
        url.set_path(&path);
        // Whatever a URL parser makes of it: the path is what was written, and as long.
        if url.path() != path || url.path_segments().map_or(0, Iterator::count) != self.segments {
            return Err(Unfilled);
        }
        for name in self.places() {
            arguments.remove(name);
        }
        Ok(url)
    }
}

/// Whether a text may stand in a path. Encoded it is one segment, but servers and proxies decode before they route: then `..` would climb.
fn fits(text: &str) -> bool {
    let climbs = |part: &str| part == "." || part == "..";
    !text.is_empty()
        && text.len() <= MAX_PLACE_BYTES
        && !text.chars().any(char::is_control)
        && !text.split(['/', '\\']).any(climbs)
}

/// Cuts a path, in which a parsed URL has `%7B` for `{`, into text and places.
fn parts(path: &str) -> Result<Vec<Part>, String> {
    let allowed = || "places written as {name}, of letters, digits and _".to_owned();
    let mut parts = Vec::new();
    let mut rest = path;
    while let Some((text, from)) = rest.split_once("%7B") {
        let (name, after) = from.split_once("%7D").ok_or_else(allowed)?;
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(allowed());
        }
        parts.extend([Part::Text(text.to_owned()), Part::Place(name.to_owned())]);
        rest = after;
    }
    parts.push(Part::Text(rest.to_owned()));
    let stray = |p: &Part| matches!(p, Part::Text(text) if text.contains("%7D"));
    if parts.iter().any(stray) { Err(allowed()) } else { Ok(parts) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fill(template: &str, arguments: Value) -> Result<String, Unfilled> {
        let Value::Object(mut arguments) = arguments else { unreachable!() };
        Endpoint::parse(template).unwrap().fill(&mut arguments).map(String::from)
    }

    #[test]
    fn arguments_stand_in_their_places_encoded() {
        let filled =
            fill("https://a.example/c/{phone}/notes/n-{n}?v=1", json!({ "phone": "+1 5/5?#%é", "n": 7 }));
        assert_eq!(filled.unwrap(), "https://a.example/c/%2B1%205%2F5%3F%23%25%C3%A9/notes/n-7?v=1");
        // What one argument holds is no place for another.
        let nested = fill("https://a.example/{a}/{b}", json!({ "a": "{b}", "b": "x" }));
        assert_eq!(nested.unwrap(), "https://a.example/%7Bb%7D/x");
    }

    #[test]
    fn no_argument_climbs_out_of_its_place() {
        let long = "x".repeat(MAX_PLACE_BYTES + 1);
        for bad in ["", ".", "..", "../admin", "..\\admin", "a/../../b", "a/.", "\n", "a\tb", "a\0", &long] {
            let filled = fill("https://a.example/c/{id}/x", json!({ "id": bad }));
            assert_eq!(filled, Err(Unfilled), "{bad:?}");
        }
        // A name like any other.
        for (odd, encoded) in
            [("%2e%2e", "%252e%252e"), ("..a", "..a"), ("@b.example", "%40b.example"), ("?x#y", "%3Fx%23y")]
        {
            let filled = fill("https://a.example/c/{id}/x", json!({ "id": odd }));
            assert_eq!(filled, Ok(format!("https://a.example/c/{encoded}/x")), "{odd:?}");
        }
        assert_eq!(fill("https://a.example/c/{id}", json!({ "id": ["x"] })), Err(Unfilled));
        assert_eq!(fill("https://a.example/c/{id}", json!({})), Err(Unfilled));
    }

    #[test]
    fn an_address_is_fixed_but_for_its_path() {
        for bad in [
            "https://{host}.example/",
            "https://a.example/?q={q}",
            "https://a.example/{",
            "https://a.example/}",
            "https://a.example/{a b}",
            "https://a.example/{}",
            "file:///etc/passwd",
            "https://u@a.example/",
            "https://u:p@a.example/",
            "ftp://a.example/",
            "//a.example",
            "https://a.example/#x",
            "data:text/plain,x",
            "http://",
        ] {
            assert!(Endpoint::parse(bad).is_err(), "{bad}");
        }
    }
}
