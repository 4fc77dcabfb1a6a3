//! What we tell Twilio to do with a call. <https://www.twilio.com/docs/voice/twiml>
//!
//! Documents stay far below the 4000 characters that the REST API takes inline (64 KiB for a webhook's answer). Every document
//! that opens a stream has a verb behind it: a stream that fails or breaks must not mean a dead line.

use std::borrow::Cow;
use std::fmt::Write;

use quick_xml::escape::escape;

use super::public_url::{AFTER_PATH, PublicUrl, STATUS_PATH, STREAM_STATUS_PATH, SUMMARY_PATH};

/// The MIME type of a document.
pub const CONTENT_TYPE: &str = "application/xml";
/// The `<Parameter>` that carries the one-time token.
pub const TOKEN_PARAMETER: &str = "token";
/// What a caller hears when there is no room.
pub const BUSY_SENTENCE: &str =
    "All our lines are busy right now. Please call again in a few minutes. Goodbye.";
/// What a caller hears when a call cannot go on.
pub const APOLOGY_SENTENCE: &str =
    "I am sorry, something went wrong on our side. Please call again in a moment. Goodbye.";

const OPEN: &str = r#"<?xml version="1.0" encoding="UTF-8"?><Response>"#;
const CLOSE: &str = "</Response>";

/// Connects the call to our media stream. When the stream ends, however it ends, Twilio asks [`AFTER_PATH`] what to do: through
/// `action`, or through the `<Redirect>` where the stream could not be opened at all. `first` is said before.
pub fn connect(public: &PublicUrl, token: &str, first: Option<&str>) -> String {
    let stream = public.stream();
    let (after, status) = (public.http(AFTER_PATH), public.http(STREAM_STATUS_PATH));
    let (stream, after, status, token) = (xml(&stream), xml(&after), xml(&status), xml(token));
    let mut document = String::with_capacity(800);
    document.push_str(OPEN);
    if let Some(first) = first {
        write!(document, "<Say>{}</Say>", xml(first)).expect("a String takes all");
    }
    write!(document, r#"<Connect action="{after}" method="POST">"#).expect("a String takes all");
    write!(document, r#"<Stream url="{stream}" statusCallback="{status}" statusCallbackMethod="POST">"#)
        .expect("a String takes all");
    write!(document, r#"<Parameter name="{TOKEN_PARAMETER}" value="{token}"/></Stream></Connect>"#)
        .expect("a String takes all");
    write!(document, r#"<Redirect method="POST">{after}</Redirect>"#).expect("a String takes all");
    document.push_str(CLOSE);
    document
}

/// How long a person to whom a caller is put through is rung, seconds.
pub const RING_SECONDS: u32 = 25;

/// Puts the call through to `number` (E.164). When that is over, or came to nothing, Twilio asks [`AFTER_PATH`] again. With `summary` the
/// person hears what [`SUMMARY_PATH`] says before the two are connected. That the person has answered is told to [`STATUS_PATH`].
///
/// <https://www.twilio.com/docs/voice/twiml/dial>, <https://www.twilio.com/docs/voice/twiml/number>
pub fn dial(public: &PublicUrl, number: &str, summary: bool) -> String {
    let (after, status, told) =
        (public.http(AFTER_PATH), public.http(STATUS_PATH), public.http(SUMMARY_PATH));
    let told = if summary { format!(r#" url="{}" method="POST""#, xml(&told)) } else { String::new() };
    format!(
        r#"{OPEN}<Dial action="{}" method="POST" timeout="{RING_SECONDS}" answerOnBridge="true"><Number{told} statusCallback="{}" statusCallbackEvent="answered" statusCallbackMethod="POST">{}</Number></Dial>{CLOSE}"#,
        xml(&after),
        xml(&status),
        xml(number)
    )
}

/// Says `sentence` and goes on: to a person before a caller is put through.
pub fn say(sentence: &str) -> String {
    format!("{OPEN}<Say>{}</Say>{CLOSE}", xml(sentence))
}

/// Says `sentence` and hangs up.
pub fn say_and_hang_up(sentence: &str) -> String {
    format!("{OPEN}<Say>{}</Say><Hangup/>{CLOSE}", xml(sentence))
}

/// Hangs up.
pub fn hang_up() -> String {
    format!("{OPEN}<Hangup/>{CLOSE}")
}

/// Escapes text for an attribute or an element. Characters that XML 1.0 has no way to write are left out.
fn xml(text: &str) -> Cow<'_, str> {
    let allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    if text.chars().all(allowed) {
        escape(text)
    } else {
        Cow::Owned(escape(text.chars().filter(|&c| allowed(c)).collect::<String>()).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    #[test]
    fn golden_connect() {
        let public = PublicUrl::new(&Url::parse("https://voice.example.com").unwrap());
        assert_eq!(
            connect(&public, "tok-1_A", None),
            concat!(
                r#"<?xml version="1.0" encoding="UTF-8"?><Response>"#,
                r#"<Connect action="https://voice.example.com/api/twilio/voice/after" method="POST">"#,
                r#"<Stream url="wss://voice.example.com/api/twilio/media" "#,
                r#"statusCallback="https://voice.example.com/api/twilio/stream/status" statusCallbackMethod="POST">"#,
                r#"<Parameter name="token" value="tok-1_A"/></Stream></Connect>"#,
                r#"<Redirect method="POST">https://voice.example.com/api/twilio/voice/after</Redirect></Response>"#,
            )
        );
        assert!(connect(&public, &"t".repeat(43), None).len() < 4000);
        let announced = connect(&public, "t", Some("Recorded & kept."));
        assert!(announced.contains("<Response><Say>Recorded &amp; kept.</Say><Connect "), "{announced}");
    }

    #[test]
    fn golden_dial() {
        let public = PublicUrl::new(&Url::parse("https://voice.example.com").unwrap());
        assert_eq!(
            dial(&public, "+15550001111", true),
            concat!(
                r#"<?xml version="1.0" encoding="UTF-8"?><Response>"#,
                r#"<Dial action="https://voice.example.com/api/twilio/voice/after" method="POST" timeout="25" answerOnBridge="true">"#,
                r#"<Number url="https://voice.example.com/api/twilio/voice/summary" method="POST" "#,
                r#"statusCallback="https://voice.example.com/api/twilio/voice/status" statusCallbackEvent="answered" "#,
                r#"statusCallbackMethod="POST">+15550001111</Number></Dial></Response>"#,
            )
        );
        assert!(!dial(&public, "+1", false).contains("summary"));
    }

    #[test]
    fn nothing_breaks_out_of_the_document() {
        let document = say_and_hang_up("</Say><Dial>+1</Dial> & \" ' \u{0} \u{b} \u{ffff} ok");
        assert!(!document.contains("<Dial>"), "{document}");
        let mut reader = quick_xml::Reader::from_str(&document);
        let mut said = 0;
        loop {
            match reader.read_event().unwrap() {
                quick_xml::events::Event::Eof => break,
                quick_xml::events::Event::Start(tag) if AsRef::<str>::as_ref(&tag.name()) == "Say" => {
                    said += 1
                }
                _ => {}
            }
        }
        assert_eq!(said, 1);
        assert_eq!(hang_up(), r#"<?xml version="1.0" encoding="UTF-8"?><Response><Hangup/></Response>"#);
    }
}
