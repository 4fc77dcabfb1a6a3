//! The body of a webhook: `application/x-www-form-urlencoded`, parsed once and decoded once.

/// Largest body taken, bytes. Twilio's are below 4 KiB, add-ons included below 16.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// A form as it was sent: unknown and empty parameters are part of the signature and stay. `CallToken` is itself escaped text:
/// decoding twice would break both it and the signature.
#[derive(Clone, Default)]
pub struct Form(Vec<(String, String)>);

impl std::fmt::Debug for Form {
    // Values are phone numbers and tokens.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

impl Form {
    /// Parses a body. There is no malformed form: whatever is odd becomes an odd parameter, which no signature covers.
    pub fn parse(body: &[u8]) -> Self {
        Self(form_urlencoded::parse(body).into_owned().collect())
    }

    /// The first value of `name` that is not empty: Twilio sends what it does not know as empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.as_str())
    }

    /// The names, for a log of what a badly signed request contained.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Names and values as they are signed: sorted bytewise by name, then by value, the same pair once.
    pub fn signed_text(&self) -> String {
        let mut pairs: Vec<(&str, &str)> = self.0.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        pairs.sort_unstable();
        pairs.dedup();
        pairs.into_iter().flat_map(|(name, value)| [name, value]).collect()
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Form {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(n, v)| (n.into(), v.into())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoded_once_with_empty_and_unknown_kept() {
        let form = Form::parse(b"From=%2B1&CallerZip=&CallToken=%257B%2522a%2522%257D&New=a+b%20c&From=x");
        assert_eq!(form.get("From"), Some("+1"));
        assert_eq!(form.get("CallerZip"), None);
        assert_eq!(form.get("CallToken"), Some("%7B%22a%22%7D"));
        assert_eq!(form.signed_text(), "CallToken%7B%22a%22%7DCallerZipFrom+1FromxNewa b c");
    }

    #[test]
    fn debug_shows_names_alone() {
        let shown = format!("{:?}", Form::parse(b"From=%2B15551230000"));
        assert!(shown.contains("From") && !shown.contains("1555"), "{shown}");
    }
}
