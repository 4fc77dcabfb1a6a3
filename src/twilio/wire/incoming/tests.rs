use super::*;

const START: &str = r#"{"event":"start","sequenceNumber":"1","start":{"accountSid":"AC1","streamSid":"MZ1","callSid":"CA1","tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},"customParameters":{"token":"t0"}},"streamSid":"MZ1"}"#;

fn event(text: &str) -> Event<'_> {
    parse(text).unwrap().event
}

/// The six messages in the key order of a capture.
#[test]
fn golden_messages_of_twilio() {
    assert_eq!(event(r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#), Event::Connected);

    let message = parse(START).unwrap();
    assert_eq!((message.sequence, message.stream_sid.as_deref()), (Some(1), Some("MZ1")));
    let Event::Start(start) = message.event else { panic!() };
    assert_eq!((&*start.stream_sid, &*start.call_sid, &*start.account_sid), ("MZ1", "CA1", "AC1"));
    let format = &start.media_format;
    assert_eq!((&*format.encoding, format.sample_rate, format.channels), ("audio/x-mulaw", 8000, 1));
    assert_eq!(start.tracks, ["inbound"]);
    assert_eq!(start.parameters["token"], "t0");

    let message = parse(
        r#"{"event":"media","sequenceNumber":"2","media":{"track":"inbound","chunk":"1","timestamp":"155","payload":"f39/"},"streamSid":"MZ1"}"#,
    )
    .unwrap();
    assert_eq!(message.sequence, Some(2));
    let Event::Media(media) = message.event else { panic!() };
    assert!(media.inbound && matches!(media.payload, Cow::Borrowed("f39/")));
    assert_eq!((media.chunk, media.timestamp_ms), (Some(1), Some(155)));

    assert_eq!(
        event(
            r#"{"event":"dtmf","streamSid":"MZ1","sequenceNumber":"5","dtmf":{"track":"inbound_track","digit":"1"}}"#
        ),
        Event::Dtmf(Some('1'))
    );
    assert_eq!(
        event(r#"{"event":"mark","sequenceNumber":"4","streamSid":"MZ1","mark":{"name":"g3:150"}}"#),
        Event::Mark("g3:150".into())
    );
    assert_eq!(
        event(
            r#"{"event":"stop","sequenceNumber":"378","streamSid":"MZ1","stop":{"accountSid":"AC1","callSid":"CA1"}}"#
        ),
        Event::Stop
    );
}

#[test]
fn numbers_may_be_numbers() {
    let text = r#"{"event":"media","sequenceNumber":7,"media":{"chunk":6,"timestamp":120,"payload":"AA=="}}"#;
    let message = parse(text).unwrap();
    assert_eq!(message.sequence, Some(7));
    let Event::Media(media) = message.event else { panic!() };
    assert_eq!((media.chunk, media.timestamp_ms), (Some(6), Some(120)));
}

#[test]
fn what_twilio_may_add_is_ignored() {
    assert_eq!(event(r#"{"event":"spotlight","spotlight":{"x":[1,2]}}"#), Event::Unknown);
    assert_eq!(event(r#"{"event":"future","start":[1],"media":"x"}"#), Event::Unknown);
    assert_eq!(event(r#"{"event":"stop","more":{"a":1e5},"stop":{"reason":"x"}}"#), Event::Stop);
    assert_eq!(event(r#"{"\u0065vent":"\u0073top"}"#), Event::Stop);
    assert_eq!(event(r#"{"event":"stop","x":1,"x":2}"#), Event::Stop);
}

#[test]
fn other_tracks_and_other_keys_are_told_apart() {
    let Event::Media(media) = event(r#"{"event":"media","media":{"track":"outbound","payload":"AA=="}}"#)
    else {
        panic!()
    };
    assert!(!media.inbound);
    for odd in ["", "12", "E", "a", "é", " "] {
        assert_eq!(
            event(&format!(r#"{{"event":"dtmf","dtmf":{{"digit":"{odd}"}}}}"#)),
            Event::Dtmf(None),
            "{odd:?}"
        );
    }
}

#[test]
fn damaged_messages_are_refused() {
    for text in [
        "",
        "[]",
        "null",
        "{\"event\":\"media\"",
        "\u{feff}{\"event\":\"stop\"}",
        "{\"event\":\"st\u{0}op\"}",
        r#"{"event":"media","media":{"payload":5}}"#,
        r#"{"event":"media","event":"media","media":{"payload":""}}"#,
        r#"{"event":"media","media":{"payload":"AA==","payload":"AA=="}}"#,
        r#"{"event":5}"#,
        r#"{"event":"stop"} x"#,
        r#"{"event":"start","sequenceNumber":1e999,"start":{}}"#,
    ] {
        assert_eq!(parse(text).unwrap_err(), Malformed::Json, "{text:?}");
    }
    for text in ["{}", r#"{"event":"media"}"#, r#"{"event":"start"}"#, r#"{"event":"mark","mark":null}"#] {
        assert!(matches!(parse(text), Err(Malformed::Field(_))), "{text}");
    }
}

#[test]
fn ids_of_a_start_must_agree_and_be_plain() {
    for (from, to) in [
        (r#""streamSid":"MZ1"}"#, r#""streamSid":"MZ2"}"#),
        (r#""callSid":"CA1""#, r#""callSid":"""#),
        (r#""callSid":"CA1""#, r#""callSid":"CA1\"}""#),
        (r#""accountSid":"AC1""#, r#""accountSid":"A C""#),
        (r#""mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},"#, ""),
    ] {
        let text = START.replace(from, to);
        assert_ne!(text, START);
        assert!(matches!(parse(&text), Err(Malformed::Field(_))), "{text}");
    }
}

#[test]
fn depth_is_bounded_even_in_what_is_skipped() {
    let nested = |n: usize| format!(r#"{{"event":"x","y":{}{}}}"#, "[".repeat(n), "]".repeat(n));
    assert_eq!(event(&nested(MAX_DEPTH - 1)), Event::Unknown);
    assert_eq!(parse(&nested(MAX_DEPTH)).unwrap_err(), Malformed::TooDeep);
    assert_eq!(parse(&nested(30_000)).unwrap_err(), Malformed::TooDeep);
    // Brackets in text, and many of them side by side, are no depth.
    assert_eq!(event(r#"{"event":"x","y":"[[[[[[[[[[[[\"[[["}"#), Event::Unknown);
    assert_eq!(event(&format!(r#"{{"event":"x","y":[{}{{}}]}}"#, "[],".repeat(50))), Event::Unknown);
    assert_eq!(parse(&" ".repeat(MAX_MESSAGE_BYTES + 1)).unwrap_err(), Malformed::TooLarge);
}
