use super::*;

#[test]
fn the_greeting_waits_for_both_sides() {
    let greeting = [create("Greet.")];
    let mut play = Play::new();
    assert_eq!(play.at(5, Input::MediaStarted), []);
    assert_eq!(play.model(9, session_created()), greeting);
    let mut play = Play::new();
    assert_eq!(play.model(5, session_created()), []);
    assert_eq!(play.at(9, Input::MediaStarted), greeting);
}

#[test]
fn a_recorded_greeting_plays_at_once_and_the_model_knows_of_it() {
    let recorded_greeting = Some("Hello, this is ARIA.".to_owned());
    let mut play = Play::with(Manner { recorded_greeting, ..Manner::default() });
    assert_eq!(play.at(5, Input::MediaStarted), [Action::Play(Clip::Greeting)]);
    assert_eq!(play.model(900, session_created()), [], "she does not greet again");
    let told = |text: &str| [Action::Send(ClientEvent::Opening { text: text.into() })];
    let ended = |heard| {
        let (heard, whole) = (Duration::from_millis(heard), Duration::from_millis(2_000));
        Input::Media(MediaEvent::ClipEnded { clip: Some(Clip::Greeting), heard, whole })
    };
    assert_eq!(play.at(2_000, ended(2_000)), told("Hello, this is ARIA."));
    assert_eq!(play.session.transcript().spoken().len(), 1, "another session will know of it");

    let recorded_greeting = Some("Hello, this is ARIA.".to_owned());
    let mut play = Play::with(Manner { recorded_greeting, ..Manner::default() }).ready();
    assert!(matches!(play.model(1_000, speech())[..], [Action::Interrupt { .. }]), "it can be interrupted");
    assert_eq!(play.at(1_001, ended(900)), told("Hello, [interrupted by the caller]"));
    assert_eq!(play.until(1_500), []);

    // Before the session is there nobody can be told.
    let recorded_greeting = Some("Hello, this is ARIA.".to_owned());
    let mut play = Play::with(Manner { recorded_greeting, ..Manner::default() });
    play.at(5, Input::MediaStarted);
    assert_eq!(play.at(2_005, ended(2_000)), []);
    assert_eq!(play.model(3_000, session_created()), told("Hello, this is ARIA."));
}

#[test]
fn a_tool_output_goes_out_at_once_and_the_response_after_response_done() {
    let mut play = Play::new().speaking();
    assert!(matches!(&play.model(30, tool("c1"))[..], [Action::RunTool { .. }]));
    assert_eq!(play.at(40, tool_done("c1", None)), [output("c1")]);
    assert_eq!(play.model(50, done("r1", ResponseStatus::Completed)), [CREATE]);
    assert_eq!(play.model(51, created("r2")), []);
    assert_eq!(play.model(60, done("r2", ResponseStatus::Completed)), [], "asked for once");
}

#[test]
fn several_tools_answer_in_one_go() {
    let mut play = Play::new().speaking();
    play.model(30, tool("c1"));
    play.model(31, tool("c2"));
    play.model(32, done("r1", ResponseStatus::Completed));
    assert_eq!(play.at(40, tool_done("c2", None)), [output("c2")]);
    assert_eq!(play.at(50, tool_done("c1", None)), [output("c1"), CREATE]);
}

#[test]
fn a_call_that_comes_twice_runs_once_and_a_flood_is_told_off() {
    let mut play = Play::new().speaking();
    play.model(30, tool("c0"));
    assert_eq!(play.model(31, tool("c0")), []);
    for n in 1..16 {
        assert_eq!(play.model(32, tool(&format!("c{n}"))).len(), 1);
    }
    let refused = play.model(33, tool("c16"));
    assert!(
        matches!(&refused[..], [Action::Send(ClientEvent::FunctionOutput { output, .. })] if output.contains("too many"))
    );
}

#[test]
fn a_callers_turn_makes_the_response_itself() {
    let mut play = Play::new().speaking();
    play.model(30, tool("c1"));
    play.model(31, done("r1", ResponseStatus::Completed));
    play.model(35, speech());
    assert_eq!(
        play.at(40, tool_done("c1", None)),
        [output("c1")],
        "no response.create while the caller speaks"
    );
    assert_eq!(play.model(60, speech_ends()), []);
    play.model(61, created("r2"));
    assert_eq!(play.model(70, done("r2", ResponseStatus::Completed)), []);
}

#[test]
fn a_turn_that_the_server_leaves_unanswered_is_asked_about() {
    let mut play = Play::new().greeted();
    play.model(3_000, speech());
    play.model(3_400, speech_ends());
    assert_eq!(play.until(7_399), []);
    assert_eq!(play.until(7_400), [CREATE]);
}

#[test]
fn while_a_slow_tool_works_the_caller_hears_of_it_once() {
    let fillers = vec![("lookup".to_owned(), "One moment, please.".to_owned())];
    let mut play = Play::with(Manner { fillers, ..Manner::default() }).greeted();
    play.model(3_000, created("r2"));
    play.model(3_010, tool("c1"));
    play.model(3_020, done("r2", ResponseStatus::Completed));
    let said = play.until(4_510);
    assert!(
        matches!(&said[..], [Action::Send(ClientEvent::Aside { aside: Aside::Filler, instructions })] if instructions.contains("One moment")),
        "{said:?}"
    );
    play.model(4_520, ServerEvent::ResponseCreated { response_id: "f".into(), aside: Some(Aside::Filler) });
    assert_eq!(play.at(4_600, tool_done("c1", None)), [output("c1")], "the phrase is being made");
    let made = ServerEvent::ResponseDone {
        response_id: "f".into(),
        aside: Some(Aside::Filler),
        status: ResponseStatus::Completed,
        text: String::new(),
        usage: Usage::default(),
    };
    assert_eq!(play.model(4_700, made), [CREATE]);
}

#[test]
fn an_operators_words_wait_until_nothing_is_being_made() {
    let mut play = Play::new().speaking();
    assert_eq!(play.at(25, Input::Say("Please hold.".into())), []);
    let said = play.model(30, done("r1", ResponseStatus::Completed));
    assert!(matches!(&said[..], [Action::Send(ClientEvent::Aside { aside: Aside::Say, .. })]), "{said:?}");
}

#[test]
fn the_parts_of_a_wait_are_told() {
    let mut play = Play::new().greeted();
    play.model(3_000, speech());
    play.model(4_000, speech_ends());
    play.model(4_100, created("r2"));
    play.model(4_600, started("r2"));
    let told = play.told(4_625, Input::Media(MediaEvent::VoiceOut));
    let latency = Latency { created_ms: 100, sounding_ms: 600, sent_ms: 625 };
    assert_eq!(told.last(), Some(&CallEvent::Replied { at_ms: 4_600, latency }));
}

#[test]
fn what_a_hosted_tool_answers_is_told_whether_the_server_goes_on_or_not() {
    let mut play = Play::new().greeted();
    play.model(3_000, created("r2"));
    play.model(3_010, ServerEvent::HostedStarted);
    assert_eq!(play.until(25_000), [], "it may take its time");
    play.model(25_000, ServerEvent::HostedEnded);
    assert_eq!(play.model(25_010, done("r2", ResponseStatus::Completed)), [CREATE]);
    // The server was faster.
    play.model(25_020, created("r3"));
    let code = "conversation_already_has_active_response".to_owned();
    play.model(25_030, ServerEvent::Error(ApiError { code, ..ApiError::default() }));
    assert_eq!(play.model(25_100, done("r3", ResponseStatus::Completed)), [], "nothing is said twice");
    // What is said in the same response needs no other.
    play.model(26_000, created("r4"));
    play.model(26_010, ServerEvent::HostedStarted);
    play.model(26_020, ServerEvent::HostedEnded);
    play.model(26_030, ServerEvent::ReplyTranscriptDelta { item_id: "i4".into(), delta: "At ten.".into() });
    assert_eq!(play.model(26_040, done("r4", ResponseStatus::Completed)), []);
}
