use super::*;

/// Every name of OpenAI's list, server and client.
const NAMES: &str = include_str!("../../../tests/data/openai-events.txt");

#[test]
fn every_server_event_of_the_list_is_known() {
    let mut seen = 0;
    for line in NAMES.lines().filter(|l| l.starts_with("server\t")) {
        let kind = line.split('\t').nth(1).unwrap();
        assert!(USED.contains(&kind) || IGNORED.contains(&kind), "{kind} is not handled");
        assert!(!(USED.contains(&kind) && IGNORED.contains(&kind)), "{kind} is listed twice");
        seen += 1;
    }
    assert_eq!(seen, 46);
    assert_eq!(USED.len() + IGNORED.len(), 46);
}

#[test]
fn golden_server_events() {
    let golden = include_str!("../../../tests/data/openai-server-events.jsonl");
    let mut seen = 0;
    for line in golden.lines().filter(|l| !l.trim().is_empty()) {
        let event = parse(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(!matches!(event, ServerEvent::Unknown { .. }), "{line}");
        seen += 1;
    }
    assert!(seen >= 40, "only {seen} examples");
}

#[test]
fn fields_are_read() {
    assert_eq!(
        parse(
            r#"{"type":"input_audio_buffer.speech_started","event_id":"e","audio_start_ms":1000,"item_id":"msg_003"}"#
        ),
        Ok(ServerEvent::SpeechStarted { item_id: "msg_003".into(), audio_start_ms: 1000 })
    );
    assert_eq!(
        parse(
            r#"{"type":"response.done","response":{"id":"r","status":"failed",
               "status_details":{"type":"failed","error":{"type":"server_error","code":null}},"usage":null}}"#
        ),
        Ok(ServerEvent::ResponseDone {
            response_id: "r".into(),
            aside: None,
            status: ResponseStatus::Failed("server_error".into()),
            text: String::new(),
            usage: Usage::default()
        })
    );
    assert_eq!(
        parse(
            r#"{"type":"error","error":{"type":"invalid_request_error","code":null,"message":"m","param":null}}"#
        ),
        Ok(ServerEvent::Error(ApiError {
            kind: "invalid_request_error".into(),
            message: "m".into(),
            ..ApiError::default()
        }))
    );
}

#[test]
fn unknown_events_and_fields_are_harmless() {
    assert_eq!(
        parse(r#"{"type":"response.sparkled","item":"not an object","glitter":[1,2]}"#),
        Ok(ServerEvent::Unknown { kind: "response.sparkled".into() })
    );
    assert_eq!(
        parse(r#"{"type":"rate_limits.updated","rate_limits":[{"name":"x"}],"new":{}}"#),
        Ok(ServerEvent::Ignored)
    );
}

#[test]
fn what_is_not_an_event_is_refused() {
    for text in
        ["", "[]", "{}", "{\"type\":7}", "{\"type\":\"\"}", "nonsense", "{\"type\":\"response.created\"}"]
    {
        assert_eq!(parse(text), Err(WireError::Malformed), "{text}");
    }
    assert_eq!(parse(&" ".repeat(MAX_EVENT_BYTES + 1)), Err(WireError::TooLarge));
}

#[test]
fn deep_nesting_does_not_overflow_the_stack() {
    let text = format!("{{\"type\":\"x\",\"a\":{}{}}}", "[".repeat(40_000), "]".repeat(40_000));
    assert_eq!(parse(&text), Ok(ServerEvent::Unknown { kind: "x".into() }));
}

#[test]
fn golden_client_events() {
    let create = ClientEvent::ResponseCreate { instructions: Some("Greet.".into()) };
    assert_eq!(
        create.to_json("e1"),
        r#"{"event_id":"e1","response":{"instructions":"Greet."},"type":"response.create"}"#
    );
    let output = ClientEvent::FunctionOutput { call_id: "call_1".into(), output: "{\"t\":21}".into() };
    assert_eq!(
        output.to_json("e2"),
        r#"{"event_id":"e2","item":{"call_id":"call_1","output":"{\"t\":21}","type":"function_call_output"},"type":"conversation.item.create"}"#
    );
}
