//! The verbs the phone can run, read from elements.

use super::{Element, MAX_PARAMETER_CHARS, Warning};

/// One step of a document.
#[derive(Debug, Clone, PartialEq)]
pub enum Verb {
    /// Speak a text.
    Say {
        /// What is spoken, without markup.
        text: String,
    },
    /// Play a recording.
    Play {
        /// Where it is.
        url: String,
    },
    /// Wait in silence.
    Pause {
        /// For how long.
        seconds: u32,
    },
    /// End the call.
    Hangup,
    /// Refuse the call. Only as the first verb; later it is skipped.
    Reject {
        /// Whether the caller hears a busy tone.
        busy: bool,
    },
    /// Go on with another document.
    Redirect(Target),
    /// Call somebody and join the two.
    Dial(Dial),
    /// A bidirectional media stream; goes on when it has ended.
    Connect {
        /// Asked for the next document when the stream has ended.
        action: Option<Target>,
        /// The stream.
        stream: Stream,
    },
}

/// A URL that Twilio asks, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// As written, perhaps relative.
    pub url: String,
    /// POST, or else GET.
    pub post: bool,
}

/// `<Dial>` with its nouns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dial {
    /// Asked for the next document when the dialled call has ended.
    pub action: Option<Target>,
    /// Numbers, SIP URIs or client names, as written.
    pub numbers: Vec<String>,
    /// How long to let it ring, seconds.
    pub timeout_s: u32,
    /// `url` of `<Number>`: the document that whoever answers hears before the two are joined.
    pub first: Option<Target>,
    /// `statusCallback` of `<Number>`, and the events that it wants to be told of.
    pub status: Option<(Target, String)>,
}

/// `<Stream>` inside `<Connect>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// As written: what is signed.
    pub url: String,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Told of start, stop and failure.
    pub status_callback: Option<Target>,
    /// `start.customParameters`.
    pub parameters: Vec<(String, String)>,
}

impl Verb {
    /// Its name in TwiML.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Say { .. } => "Say",
            Self::Play { .. } => "Play",
            Self::Pause { .. } => "Pause",
            Self::Hangup => "Hangup",
            Self::Reject { .. } => "Reject",
            Self::Redirect(_) => "Redirect",
            Self::Dial(_) => "Dial",
            Self::Connect { .. } => "Connect",
        }
    }
}

/// Reads one child of `<Response>`; nothing if Twilio would skip it.
pub(super) fn read(element: &Element, first: bool, warnings: &mut Vec<Warning>) -> Option<Verb> {
    let known: &[&str] = match element.name.as_str() {
        "Say" => &["voice", "language", "loop"],
        "Play" => &["loop", "digits"],
        "Pause" => &["length"],
        "Hangup" => &[],
        "Reject" => &["reason"],
        "Redirect" => &["method"],
        "Connect" => &["action", "method"],
        "Dial" => &[
            "action",
            "method",
            "timeout",
            "callerId",
            "timeLimit",
            "record",
            "answerOnBridge",
            "hangupOnStar",
            "ringTone",
            "recordingStatusCallback",
            "sequential",
            "referUrl",
        ],
        name => {
            // Verbs that exist and are not simulated are told the same way: a bridge must not come to rely on them here.
            warnings.push(Warning::new(12_200, format!("verb <{name}>")));
            return None;
        }
    };
    element.only_attributes(known, warnings);
    let text = element.text.trim().to_owned();
    Some(match element.name.as_str() {
        "Say" => Verb::Say { text },
        "Play" => Verb::Play { url: text },
        "Pause" => {
            Verb::Pause { seconds: element.attribute("length").and_then(|l| l.parse().ok()).unwrap_or(1) }
        }
        "Hangup" => Verb::Hangup,
        "Reject" if !first => {
            warnings.push(Warning::new(12_200, "<Reject> after another verb"));
            return None;
        }
        "Reject" => Verb::Reject { busy: element.attribute("reason") == Some("busy") },
        "Redirect" => Verb::Redirect(Target { url: text, post: posts(element, "method") }),
        "Dial" => Verb::Dial(dial(element, text, warnings)),
        _ => return connect(element, warnings),
    })
}

fn dial(element: &Element, text: String, warnings: &mut Vec<Warning>) -> Dial {
    let number = element.children.iter().find(|child| child.name == "Number");
    if let Some(number) = number {
        let known =
            ["url", "method", "statusCallback", "statusCallbackEvent", "statusCallbackMethod", "sendDigits"];
        number.only_attributes(&known, warnings);
    }
    let first = number.and_then(|number| target(number, "url", "method"));
    let status = number.and_then(|number| {
        let events = number.attribute("statusCallbackEvent").unwrap_or("completed").to_owned();
        Some((target(number, "statusCallback", "statusCallbackMethod")?, events))
    });
    let nouns = element.children.iter().map(|c| c.text.trim().to_owned());
    let numbers = if element.children.is_empty() { vec![text] } else { nouns.collect() };
    let timeout_s = element.attribute("timeout").and_then(|t| t.parse().ok()).unwrap_or(30);
    Dial { action: target(element, "action", "method"), numbers, timeout_s, first, status }
}

fn connect(element: &Element, warnings: &mut Vec<Warning>) -> Option<Verb> {
    let Some(noun) = element.children.iter().find(|c| c.name == "Stream") else {
        warnings.push(Warning::new(12_200, "<Connect> without <Stream>"));
        return None;
    };
    noun.only_attributes(
        &[
            "url",
            "name",
            "track",
            "statusCallback",
            "statusCallbackMethod",
            "connectorName",
            "audioFormat",
            "sampleRate",
        ],
        warnings,
    );
    if noun.attribute("track").is_some_and(|track| track != "inbound_track") {
        warnings.push(Warning::new(31_941, "a track that <Connect> cannot stream"));
    }
    let url = noun.attribute("url").unwrap_or_default().to_owned();
    if url.contains('?') {
        warnings.push(Warning::new(31_920, "Twilio drops the query of a stream's URL"));
    }
    let mut parameters = Vec::new();
    for child in &noun.children {
        let (name, value) =
            (child.attribute("name").unwrap_or_default(), child.attribute("value").unwrap_or_default());
        child.only_attributes(&["name", "value"], warnings);
        if child.name != "Parameter" {
            warnings.push(Warning::new(12_200, format!("<{}> in <Stream>", child.name)));
        } else if name.chars().count() + value.chars().count() >= MAX_PARAMETER_CHARS {
            warnings.push(Warning::new(12_200, "a <Parameter> of 500 characters or more"));
        } else {
            parameters.push((name.to_owned(), value.to_owned()));
        }
    }
    let status_callback = target(noun, "statusCallback", "statusCallbackMethod");
    let stream = Stream { url, name: noun.attribute("name").map(str::to_owned), status_callback, parameters };
    Some(Verb::Connect { action: target(element, "action", "method"), stream })
}

fn target(element: &Element, url: &str, method: &str) -> Option<Target> {
    Some(Target { url: element.attribute(url)?.to_owned(), post: posts(element, method) })
}

fn posts(element: &Element, method: &str) -> bool {
    !element.attribute(method).is_some_and(|m| m.eq_ignore_ascii_case("GET"))
}
