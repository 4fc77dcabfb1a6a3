use super::*;
use crate::call::{MediaClosed, Onward};

fn lost() -> Input {
    Input::Media(MediaEvent::Closed { why: MediaClosed::Lost, played: None })
}

const GRACE: u64 = STREAM_GRACE.as_millis() as u64;

#[test]
fn a_stream_that_breaks_in_a_reply_is_followed_by_one_on_which_she_goes_on() {
    let mut play = Play::new().speaking();
    let since = play.time(1_000);
    let cut = [
        Action::Interrupt { generation: 1, since },
        Action::Send(ClientEvent::ResponseCancel),
        Action::Send(ClientEvent::OutputAudioClear),
    ];
    assert_eq!(play.at(1_000, lost()), cut);
    // What was not heard is not taken for heard.
    let unheard =
        Some(Unheard { unheard: Duration::from_millis(90), heard: Some(Duration::from_millis(890)) });
    assert_eq!(play.at(1_000, Input::Cleared { after: Duration::ZERO, unheard }), []);
    let truncated = ServerEvent::ItemTruncated { item_id: "i1".into(), audio_end_ms: 980 };
    let truth = ClientEvent::Truncate { item_id: "i1".into(), audio_end_ms: 890 };
    assert_eq!(play.model(1_040, truncated), [Action::Send(truth)]);
    play.model(1_041, done("r1", ResponseStatus::Cancelled));
    assert_eq!(play.until(1_400), []);
    let on = play.at(1_400, Input::MediaStarted);
    let [
        Action::Mute { generation: 1 },
        Action::Send(ClientEvent::ResponseCreate { instructions: Some(text) }),
    ] = &on[..]
    else {
        panic!("{on:?}")
    };
    assert!(text.contains("interrupted"), "{text}");
    assert_eq!(play.model(1_500, created("r2")), [Action::OpenDownlink]);
    assert_eq!(play.session.interruptions(), 0, "the caller has interrupted nobody");
}

#[test]
fn nobody_who_comes_back_ends_the_call_and_who_is_told_to_gets_longer() {
    let mut play = Play::new().greeted();
    assert_eq!(play.at(3_000, lost()), [], "nothing was being said");
    assert_eq!(play.until(3_000 + GRACE - 1), []);
    assert_eq!(play.until(3_000 + GRACE), hung_up(CallEnd::StreamLost));

    let longer = REOPEN_GRACE.as_millis() as u64;
    let mut play = Play::new().greeted();
    play.at(3_000, lost());
    assert_eq!(play.at(4_000, Input::Reopening), []);
    // The old socket may be noticed last of all.
    assert_eq!(play.at(4_100, lost()), []);
    assert_eq!(play.until(4_000 + longer - 1), []);
    assert_eq!(play.until(4_000 + longer), hung_up(CallEnd::StreamLost));
}

#[test]
fn what_is_made_while_nobody_listens_is_stopped_and_made_again() {
    let mut play = Play::new().greeted();
    play.model(2_900, speech());
    play.at(3_000, lost());
    play.model(3_100, speech_ends());
    let stopped = [Action::Send(ClientEvent::ResponseCancel), Action::Send(ClientEvent::OutputAudioClear)];
    assert_eq!(play.model(3_200, created("r2")), stopped);
    assert_eq!(play.model(3_210, done("r2", ResponseStatus::Cancelled)), []);
    let on = play.at(3_500, Input::MediaStarted);
    assert!(
        matches!(&on[..], [Action::Send(ClientEvent::ResponseCreate { instructions: Some(_) })]),
        "{on:?}"
    );
}

#[test]
fn a_recorded_greeting_begins_anew() {
    let recorded_greeting = Some("Hello, this is ARIA.".to_owned());
    let mut play = Play::with(Manner { recorded_greeting, ..Manner::default() }).ready();
    assert_eq!(play.at(500, lost()), []);
    assert_eq!(play.at(900, Input::MediaStarted), [Action::Play(Clip::Greeting)]);
}

#[test]
fn a_stream_that_we_let_go_is_not_lost_and_one_that_comes_back_may_be() {
    let mut play = Play::new().greeted();
    let onward = Onward { name: "x".into(), to: "+15550009999".into(), summary: None };
    play.at(3_000, Input::Transfer(onward.clone()));
    assert_eq!(
        play.at(3_100, Input::Media(MediaEvent::Mark { name: "farewell0".into() })),
        [Action::Onward(onward)]
    );
    assert_eq!(play.at(3_200, lost()), []);
    assert_eq!(play.until(3_200 + GRACE), []);
    play.at(9_000, Input::MediaStarted);
    play.at(9_500, lost());
    assert_eq!(play.until(9_500 + GRACE).last(), Some(&Action::End(CallEnd::StreamLost)));
}
