//! TwiML as strictly as Twilio reads it: names are case-sensitive, 64 kB at most, an unknown verb or attribute is a warning and the rest still runs.
//!
//! Source: <https://www.twilio.com/docs/voice/twiml>.

mod element;
mod verb;

pub use element::Element;
pub use verb::{Dial, Stream, Target, Verb};

/// The largest document Twilio reads (error 11750).
pub const MAX_BYTES: usize = 64 * 1024;

/// The largest name and value of one `<Parameter>` together, exclusive, in characters.
pub const MAX_PARAMETER_CHARS: usize = 500;

/// A document that can be run.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// What to do, in order.
    pub verbs: Vec<Verb>,
    /// What was skipped, each with Twilio's number.
    pub warnings: Vec<Warning>,
}

/// Something Twilio would note in its debugger and go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Twilio's number, e.g. 12200.
    pub code: u32,
    /// What it is about.
    pub text: String,
}

impl Warning {
    pub(crate) fn new(code: u32, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }
}

/// A document that ends the call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TwimlError {
    /// Error 11750.
    #[error("11750: {0} bytes are more than Twilio reads")]
    TooLarge(usize),
    /// Error 12100.
    #[error("12100: not well-formed: {0}")]
    NotXml(String),
    /// Error 12102.
    #[error("12102: the root is <{0}>, not <Response>")]
    BadRoot(String),
}

impl TwimlError {
    /// Twilio's number.
    pub fn code(&self) -> u32 {
        match self {
            Self::TooLarge(_) => 11_750,
            Self::NotXml(_) => 12_100,
            Self::BadRoot(_) => 12_102,
        }
    }
}

/// Reads a document.
///
/// # Errors
/// The document is one that Twilio refuses as a whole; see [`TwimlError`].
pub fn parse(text: &str) -> Result<Document, TwimlError> {
    if text.len() > MAX_BYTES {
        return Err(TwimlError::TooLarge(text.len()));
    }
    let root = element::parse(text).map_err(TwimlError::NotXml)?;
    if root.name != "Response" {
        return Err(TwimlError::BadRoot(root.name));
    }
    let mut warnings = Vec::new();
    root.only_attributes(&[], &mut warnings);
    if root.has_text {
        warnings.push(Warning::new(12_200, "text in <Response>"));
    }
    let verbs =
        root.children.iter().enumerate().filter_map(|(n, e)| verb::read(e, n == 0, &mut warnings)).collect();
    Ok(Document { verbs, warnings })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(text: &str) -> Vec<u32> {
        parse(text).unwrap().warnings.iter().map(|w| w.code).collect()
    }

    #[test]
    fn a_bridge_s_answer() {
        let document = parse(
            r#"<?xml version="1.0" encoding="UTF-8"?>
            <!-- a stream, and what follows it -->
            <Response>
              <Connect action="https://h.example/after?a=1&amp;b=2" method="POST">
                <Stream url="wss://h.example/media" name="main" statusCallback="https://h.example/s">
                  <Parameter name="token" value="t&lt;1&gt;"/>
                  <Parameter name="agent" value="default"/>
                </Stream>
              </Connect>
              <Say voice="alice">We &amp; you, <break/>sorry</Say>
              <Hangup/>
            </Response>"#,
        )
        .unwrap();
        assert!(document.warnings.is_empty(), "{:?}", document.warnings);
        let [Verb::Connect { action: Some(action), stream }, Verb::Say { text }, Verb::Hangup] =
            &document.verbs[..]
        else {
            panic!("{:?}", document.verbs)
        };
        assert_eq!((action.url.as_str(), action.post), ("https://h.example/after?a=1&b=2", true));
        assert_eq!(stream.url, "wss://h.example/media");
        assert_eq!(stream.parameters, [("token".into(), "t<1>".into()), ("agent".into(), "default".into())]);
        assert_eq!(stream.status_callback.as_ref().map(|t| t.url.as_str()), Some("https://h.example/s"));
        assert_eq!(text, "We & you, sorry");
    }

    #[test]
    fn the_other_verbs() {
        let document = parse(
            "<Response><Play>https://h/x.wav</Play><Pause/><Pause length='3'/><Redirect method='GET'>/next</Redirect>
             <Dial action='/done' timeout='10'><Number>+15550001111</Number></Dial><Dial>+15550002222</Dial></Response>",
        )
        .unwrap();
        assert!(document.warnings.is_empty(), "{:?}", document.warnings);
        assert_eq!(document.verbs[1], Verb::Pause { seconds: 1 });
        assert_eq!(document.verbs[2], Verb::Pause { seconds: 3 });
        assert_eq!(document.verbs[3], Verb::Redirect(Target { url: "/next".into(), post: false }));
        let Verb::Dial(dial) = &document.verbs[4] else { panic!() };
        assert_eq!((dial.numbers.as_slice(), dial.timeout_s), (&["+15550001111".to_owned()][..], 10));
        let Verb::Dial(dial) = &document.verbs[5] else { panic!() };
        assert_eq!((dial.numbers.as_slice(), dial.timeout_s), (&["+15550002222".to_owned()][..], 30));
    }

    #[test]
    fn what_twilio_skips_is_told() {
        assert_eq!(codes("<Response><say>x</say><Hangup/></Response>"), [12_200], "names are case-sensitive");
        assert_eq!(codes("<Response><Say colour='red'>x</Say></Response>"), [12_200]);
        assert_eq!(codes("<Response>hello<Hangup/></Response>"), [12_200]);
        assert_eq!(codes("<Response><Hangup/><Reject/></Response>"), [12_200], "too late to reject");
        assert_eq!(
            codes("<Response><Connect><Stream url='wss://h/m?token=1'/></Connect></Response>"),
            [31_920]
        );
        assert_eq!(
            codes("<Response><Connect><Stream url='wss://h/m' track='both_tracks'/></Connect></Response>"),
            [31_941]
        );
        assert_eq!(codes("<Response><Connect/></Response>"), [12_200]);
        let long = "x".repeat(MAX_PARAMETER_CHARS - 1);
        let parameter = |name: &str| {
            format!(
                "<Response><Connect><Stream url='wss://h/m'><Parameter name='{name}' value='{long}'/></Stream></Connect></Response>"
            )
        };
        assert_eq!(codes(&parameter("t")), [12_200]);
        assert!(codes(&parameter("")).is_empty());
        let document = parse("<Response><Enqueue>support</Enqueue><Hangup/></Response>").unwrap();
        assert_eq!(document.verbs, [Verb::Hangup]);
    }

    #[test]
    fn what_twilio_refuses() {
        assert!(matches!(parse("<Response><Say>x</Response>"), Err(TwimlError::NotXml(_))));
        assert!(matches!(parse("<Response>"), Err(TwimlError::NotXml(_))));
        assert!(matches!(parse("<Response/><Response/>"), Err(TwimlError::NotXml(_))));
        assert!(matches!(parse("<Response a='1' a='2'/>"), Err(TwimlError::NotXml(_))));
        assert!(matches!(parse("<Response>&nbsp;</Response>"), Err(TwimlError::NotXml(_))));
        assert!(matches!(parse("<Response>AT&T</Response>"), Err(TwimlError::NotXml(_))));
        assert!(matches!(parse("upstream error"), Err(TwimlError::NotXml(_))));
        assert!(matches!(parse(""), Err(TwimlError::NotXml(_))));
        assert_eq!(parse("<response/>"), Err(TwimlError::BadRoot("response".into())));
        assert_eq!(parse(&" ".repeat(MAX_BYTES + 1)), Err(TwimlError::TooLarge(MAX_BYTES + 1)));
        assert!(matches!(parse(&"<a>".repeat(1_000)), Err(TwimlError::NotXml(_))));
        assert_eq!(parse("<Response/>").unwrap().verbs, []);
    }
}
