use super::*;
use crate::call::manner::Key;
use crate::call::{Dialed, Onward};

fn key(digit: char) -> Input {
    Input::Media(MediaEvent::Dtmf { digit })
}

fn played(name: &str) -> Input {
    Input::Media(MediaEvent::Mark { name: name.into() })
}

fn onward() -> Onward {
    Onward { name: "reception".into(), to: "+15550009999".into(), summary: None }
}

#[test]
fn deadlines_end_the_call_with_their_own_reason() {
    let mut play = Play::new();
    assert_eq!(play.until(59_999), []);
    assert_eq!(play.until(60_000), hung_up(CallEnd::StreamNeverStarted));
    let mut play = Play::new();
    play.at(100, Input::ModelAnswered);
    assert_eq!(play.until(4_599), []);
    assert_eq!(play.until(4_600), hung_up(CallEnd::ModelUnreachable));
    assert_eq!(play.session.poll_timeout(), None);
}

#[test]
fn the_first_end_wins_and_nothing_follows_it() {
    let mut play = Play::new().speaking();
    assert_eq!(play.at(100, Input::Media(MediaEvent::Stop)), hung_up(CallEnd::CallerHungUp));
    assert_eq!(play.at(101, Input::ModelLost), []);
    assert_eq!(play.model(102, speech()), []);
}

#[test]
fn the_longest_call_ends_with_a_goodbye() {
    let max_call = Duration::from_secs(60);
    let mut play = Play::with(Manner { max_call, idle: None, ..Manner::default() }).greeted();
    let said = play.until(60_000);
    assert!(
        matches!(&said[..], [Action::Send(ClientEvent::ResponseCreate { instructions: Some(text) })] if text.contains("time is up")),
        "{said:?}"
    );
    play.model(60_100, created("r2"));
    play.model(60_200, started("r2"));
    play.model(60_300, done("r2", ResponseStatus::Completed));
    play.model(62_000, stopped("r2"));
    assert_eq!(play.until(62_500), [Action::Mark("farewell0".into())]);
    assert_eq!(play.at(62_700, played("farewell0")), hung_up(CallEnd::TooLong));
    // Whatever happens, it ends.
    let mut play = Play::with(Manner { max_call, idle: None, ..Manner::default() }).greeted();
    play.until(60_000);
    play.model(60_100, created("r2"));
    play.model(60_200, started("r2"));
    assert_eq!(play.until(80_000), hung_up(CallEnd::TooLong));
}

#[test]
fn a_caller_who_says_nothing_is_asked_and_then_let_go() {
    let mut play = Play::new().greeted();
    // Silence since 1 500 ms, when the last of the greeting had sounded.
    let asked = play.until(16_500);
    assert!(matches!(&asked[..], [Action::Send(ClientEvent::ResponseCreate { .. })]), "{asked:?}");
    play.model(16_600, created("r2"));
    play.model(16_700, started("r2"));
    play.model(16_800, done("r2", ResponseStatus::Completed));
    play.model(18_000, stopped("r2"));
    let goodbye = play.until(33_500);
    assert!(
        matches!(&goodbye[..], [Action::Send(ClientEvent::ResponseCreate { instructions: Some(text) })] if text.contains("goodbye")),
        "{goodbye:?}"
    );
    play.model(33_600, created("r3"));
    play.model(33_700, started("r3"));
    play.model(33_800, done("r3", ResponseStatus::Completed));
    play.model(35_000, stopped("r3"));
    assert_eq!(play.until(35_500), [Action::Mark("farewell0".into())]);
    assert_eq!(play.at(35_600, played("farewell0")), hung_up(CallEnd::CallerSilent));
}

#[test]
fn a_sign_of_life_begins_the_wait_anew() {
    let mut play = Play::new().greeted();
    play.until(10_000);
    play.at(10_000, key('5'));
    let heard = play.until(11_500);
    assert_eq!(heard.len(), 2, "the key goes to the model: {heard:?}");
    play.model(11_600, created("r2"));
    play.model(11_700, done("r2", ResponseStatus::Completed));
    assert_eq!(play.until(26_699), []);
    assert_eq!(play.until(26_700).len(), 1);
}

#[test]
fn keys_are_gathered_and_reach_the_model_as_text() {
    let mut play = Play::new().greeted();
    for (n, digit) in "1234".chars().enumerate() {
        assert_eq!(play.at(3_000 + 400 * n as u64, key(digit)), []);
    }
    let text = "[The caller pressed on the telephone's keypad: 1 2 3 4]".to_owned();
    assert_eq!(play.until(5_700), [Action::Send(ClientEvent::UserText { text }), CREATE]);
    play.model(5_800, created("r2"));
    let text = "[The caller pressed on the telephone's keypad: 9 #]".to_owned();
    play.at(6_000, key('9'));
    assert_eq!(
        play.at(6_010, key('#')),
        [Action::Send(ClientEvent::UserText { text })],
        "a reply is being made"
    );
}

#[test]
fn keys_of_a_menu_do_what_the_menu_says() {
    let keys = vec![
        ('0', Key::Transfer("reception".into())),
        ('1', Key::Say("I want to book.".into())),
        ('9', Key::HangUp),
    ];
    let mut play = Play::with(Manner { keys, ..Manner::default() }).greeted();
    assert_eq!(play.at(3_000, key('0')), [Action::TransferTo("reception".into())]);
    let text = "I want to book.".to_owned();
    assert_eq!(play.at(3_100, key('1')), [Action::Send(ClientEvent::UserText { text }), CREATE]);
    play.model(3_200, created("r2"));
    play.model(3_300, done("r2", ResponseStatus::Completed));
    assert_eq!(play.at(3_400, key('9')), [Action::Mark("farewell0".into())]);
}

#[test]
fn the_call_ends_when_the_goodbye_has_been_heard() {
    let mut play = Play::new().greeted();
    play.model(3_000, created("r2"));
    play.model(3_010, tool("c1"));
    assert_eq!(play.at(3_020, tool_done("c1", Some(Effect::EndCall { farewell: None }))), [output("c1")]);
    let goodbye = play.model(3_030, done("r2", ResponseStatus::Completed));
    assert!(matches!(&goodbye[..], [Action::Send(ClientEvent::ResponseCreate { instructions: Some(_) })]));
    play.model(3_100, created("r3"));
    play.model(3_200, started("r3"));
    play.model(3_300, done("r3", ResponseStatus::Completed));
    assert_eq!(play.model(5_000, stopped("r3")), []);
    assert_eq!(play.until(5_500), [Action::Mark("farewell0".into())]);
    assert_eq!(play.at(5_501, played("g0:8")), []);
    assert_eq!(play.at(5_560, played("farewell0")), hung_up(CallEnd::AgentHungUp));
}

#[test]
fn a_goodbye_already_said_is_not_said_twice_and_one_that_is_cut_off_is_waited_for_again() {
    let mut play = Play::new().greeted();
    play.model(3_000, created("r2"));
    play.model(3_005, ServerEvent::ReplyTranscriptDelta { item_id: "i2".into(), delta: "Goodbye!".into() });
    play.model(3_006, started("r2"));
    play.model(3_010, tool("c1"));
    play.at(3_020, tool_done("c1", Some(Effect::EndCall { farewell: None })));
    assert_eq!(play.model(3_030, done("r2", ResponseStatus::Completed)), []);
    play.model(4_000, stopped("r2"));
    assert_eq!(play.until(4_500), [Action::Mark("farewell0".into())]);
    // The caller says one more thing: the mark comes back for nothing.
    play.model(4_510, speech());
    play.model(5_000, speech_ends());
    play.model(5_100, created("r3"));
    play.model(5_200, started("r3"));
    play.model(5_300, done("r3", ResponseStatus::Completed));
    play.model(6_000, stopped("r3"));
    let _ = play.until(7_000);
    assert_eq!(play.at(7_100, played("farewell0")), hung_up(CallEnd::AgentHungUp));
}

#[test]
fn a_transfer_waits_to_be_announced_and_a_failed_one_comes_back() {
    let mut play = Play::new().greeted();
    play.model(3_000, created("r2"));
    play.model(3_010, tool("c1"));
    play.at(3_020, tool_done("c1", Some(Effect::Transfer(onward()))));
    play.model(3_030, done("r2", ResponseStatus::Completed));
    play.model(3_100, created("r3"));
    play.model(3_200, started("r3"));
    play.model(3_300, done("r3", ResponseStatus::Completed));
    play.model(4_000, stopped("r3"));
    play.until(4_500);
    assert_eq!(play.at(4_600, played("farewell0")), [Action::Onward(onward())]);
    let closed = MediaEvent::Closed { why: crate::call::MediaClosed::Orderly, played: None };
    assert_eq!(play.at(4_700, Input::Media(closed)), [], "we let the stream go ourselves");
    assert_eq!(play.until(30_000), [], "nobody talks to a caller who is not there");
    play.at(30_000, Input::Returned(Dialed::Busy));
    let back = play.at(30_100, Input::MediaStarted);
    assert!(
        matches!(&back[..], [Action::Send(ClientEvent::SystemText { text }), create] if text.contains("busy") && *create == CREATE),
        "{back:?}"
    );
    assert_eq!(play.at(31_000, Input::Media(MediaEvent::Stop)), hung_up(CallEnd::CallerHungUp));
}

#[test]
fn a_machine_is_left_a_message_after_its_tone() {
    let voicemail = Some("Please call us back.".to_owned());
    let mut play = Play::with(Manner { voicemail, ..Manner::default() }).speaking();
    let muted = play.at(1_000, Input::Machine { beep: false });
    assert!(
        matches!(&muted[..], [Action::Send(ClientEvent::StopListening), Action::Interrupt { .. }]),
        "{muted:?}"
    );
    assert_eq!(play.model(1_100, done("r1", ResponseStatus::Cancelled)), []);
    assert_eq!(play.model(2_000, speech()), []);
    let message = play.at(9_000, Input::Machine { beep: true });
    assert!(
        matches!(&message[..], [Action::Send(ClientEvent::Aside { instructions, .. })] if instructions.contains("call us back")),
        "{message:?}"
    );
    assert_eq!(
        Play::new().speaking().at(50, Input::Machine { beep: false }).last(),
        Some(&Action::End(CallEnd::Voicemail))
    );
}
