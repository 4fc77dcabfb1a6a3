use super::*;

fn minute(n: u64) -> u64 {
    n * 60_000
}

fn next(event: ServerEvent) -> Input {
    Input::Next(event)
}

fn patient() -> Manner {
    Manner { idle: None, max_call: Duration::from_secs(4 * 3600), ..Manner::default() }
}

fn said(play: &mut Play, ms: u64, item: &str, text: &str) {
    play.model(ms, ServerEvent::CallerTranscript { item_id: item.into(), transcript: text.into() });
}

#[test]
fn an_old_session_is_replaced_in_a_pause() {
    let mut play = Play::with(patient()).greeted();
    said(&mut play, 2_000, "u1", "Hello?");
    assert_eq!(play.until(minute(55) + 1), []);
    assert_eq!(play.until(minute(55) + 2), [Action::Dial]);
    // Somebody speaks just then.
    play.model(minute(55) + 100, speech());
    assert_eq!(play.at(minute(55) + 200, next(session_created())), []);
    play.model(minute(55) + 300, speech_ends());
    play.model(minute(55) + 400, created("r2"));
    play.model(minute(55) + 500, started("r2"));
    said(&mut play, minute(55) + 510, "u", "Bye.");
    play.model(minute(55) + 600, done("r2", ResponseStatus::Completed));
    assert_eq!(play.model(minute(55) + 900, stopped("r2")), []);
    let switch = play.until(minute(55) + 1_400);
    let [Action::Switch { generation: 1, items }] = &switch[..] else { panic!("{switch:?}") };
    assert_eq!(
        items[..],
        [ClientEvent::UserText { text: "Hello?".into() }, ClientEvent::UserText { text: "Bye.".into() }]
    );
    assert_eq!(play.at(minute(55) + 1_401, Input::Switched), [], "nobody notices");
    assert_eq!(play.session.sessions(), 2);
    assert_eq!(play.until(minute(110) + 1_400), []);
    assert_eq!(play.until(minute(110) + 1_401), [Action::Dial], "and again");
}

#[test]
fn a_long_conversation_is_summarised_by_the_old_session() {
    let mut play = Play::with(patient()).greeted();
    for n in 0..60 {
        said(&mut play, 2_000 + n, &format!("u{n}"), &format!("Turn {n}."));
    }
    play.until(minute(56));
    let asked = play.at(minute(56), next(session_created()));
    assert!(
        matches!(&asked[..], [Action::Send(ClientEvent::Aside { aside: Aside::Summary, .. })]),
        "{asked:?}"
    );
    play.model(
        minute(56) + 10,
        ServerEvent::ResponseCreated { response_id: "s".into(), aside: Some(Aside::Summary) },
    );
    let written = ServerEvent::ResponseDone {
        response_id: "s".into(),
        aside: Some(Aside::Summary),
        status: ResponseStatus::Completed,
        text: "They counted.".into(),
        usage: Usage::default(),
    };
    let switch = play.model(minute(56) + 900, written);
    let [Action::Switch { items, .. }] = &switch[..] else { panic!("{switch:?}") };
    assert!(matches!(&items[0], ClientEvent::SystemText { text } if text.ends_with("They counted.")));
    assert_eq!(items.len(), 41, "a summary and the last forty turns");
    assert_eq!(items[40], ClientEvent::UserText { text: "Turn 59.".into() });
}

#[test]
fn a_session_lost_in_mid_reply_is_replaced_at_once_and_the_reply_goes_on() {
    let mut play = Play::with(patient()).speaking();
    assert_eq!(play.at(5_000, Input::ModelLost), [Action::Dial, Action::Play(Clip::Wait)]);
    let switch = play.at(5_200, next(session_created()));
    assert!(matches!(&switch[..], [Action::Switch { generation: 1, .. }]), "{switch:?}");
    assert_eq!(play.at(5_201, Input::Switched), [], "the recording plays");
    let on = play.at(6_300, clip_ended());
    assert!(
        matches!(&on[..], [Action::Send(ClientEvent::ResponseCreate { instructions: Some(_) })]),
        "{on:?}"
    );
}

#[test]
fn a_session_lost_in_silence_is_replaced_without_a_word() {
    let mut play = Play::with(patient()).greeted();
    assert_eq!(play.at(5_000, Input::ModelLost), [Action::Dial]);
    assert_eq!(play.at(5_200, next(session_created())).len(), 1);
    let told = play.told(5_201, Input::Switched);
    assert_eq!(told, [CallEvent::Renewed { at_ms: 5_201, planned: false, gap_ms: 201 }]);
    assert_eq!(play.until(20_000), []);
}

#[test]
fn a_session_that_cannot_be_replaced_ends_the_call_and_one_that_is_not_due_does_not() {
    let mut play = Play::with(patient()).greeted();
    play.at(5_000, Input::ModelLost);
    assert_eq!(play.at(8_000, Input::NextFailed), [Action::Dial]);
    assert_eq!(play.at(11_000, Input::NextFailed), [Action::Dial]);
    assert_eq!(play.at(17_000, Input::NextFailed), hung_up(CallEnd::ModelLost));
    let mut play = Play::with(patient()).greeted();
    play.until(minute(55) + 2);
    assert_eq!(play.at(minute(55) + 100, Input::NextFailed), [], "the old one still works");
    assert_eq!(play.until(minute(55) + 30_100), [Action::Dial]);
    assert_eq!(play.at(minute(56), Input::ModelLost), [], "the next one is on its way");
    assert_eq!(play.at(minute(56) + 10, next(session_created())).len(), 1);
}

#[test]
fn a_session_that_is_always_lost_is_given_up() {
    let mut play = Play::with(patient()).greeted();
    for n in 0..3 {
        let at = 5_000 + n * 1_000;
        assert!(play.at(at, Input::ModelLost).contains(&Action::Dial), "{n}");
        play.at(at + 100, next(session_created()));
        play.at(at + 101, Input::Switched);
    }
    assert_eq!(play.at(9_000, Input::ModelLost), hung_up(CallEnd::ModelLost));
}

#[test]
fn what_a_tool_answers_after_its_session_is_told_to_the_next() {
    let mut play = Play::with(patient()).greeted();
    play.model(3_000, created("r2"));
    play.model(3_010, tool("c1"));
    play.model(3_020, done("r2", ResponseStatus::Completed));
    play.model(3_030, tool("c2"));
    play.at(3_100, Input::ModelLost);
    assert_eq!(play.at(3_150, tool_done("c1", None)), []);
    let switch = play.at(3_200, next(session_created()));
    let [Action::Switch { items, .. }] = &switch[..] else { panic!("{switch:?}") };
    assert!(items.contains(&ClientEvent::FunctionOutput { call_id: "c1".into(), output: "{}".into() }));
    play.at(3_201, Input::Switched);
    play.at(3_202, clip_ended());
    let late = play.at(3_300, tool_done("c2", None));
    assert!(
        matches!(&late[0], Action::Send(ClientEvent::SystemText { text }) if text.contains("lookup")),
        "{late:?}"
    );
}

#[test]
fn a_loss_before_the_first_session_leaves_nobody_to_talk_to() {
    let mut play = Play::new();
    play.at(1, Input::ModelAnswered);
    assert_eq!(play.at(2, Input::ModelLost), hung_up(CallEnd::ModelUnreachable));
}
