use super::*;

fn cleared(unheard: u64, heard: Option<u64>) -> Input {
    let heard = heard.map(Duration::from_millis);
    let unheard = Some(Unheard { unheard: Duration::from_millis(unheard), heard });
    Input::Cleared { after: Duration::from_micros(300), unheard }
}

fn truncated(item: &str, audio_end_ms: u64) -> ServerEvent {
    ServerEvent::ItemTruncated { item_id: item.into(), audio_end_ms }
}

fn truncate(item: &str, audio_end_ms: u64) -> Vec<Action> {
    vec![Action::Send(ClientEvent::Truncate { item_id: item.into(), audio_end_ms })]
}

#[test]
fn speech_during_a_reply_interrupts_once_and_the_next_reply_opens_the_downlink() {
    let mut play = Play::new().speaking();
    let since = play.time(100);
    assert_eq!(play.model(100, speech()), [Action::Interrupt { generation: 1, since }]);
    assert_eq!(play.model(101, done("r1", ResponseStatus::Cancelled)), []);
    assert_eq!(play.model(102, ServerEvent::PlayoutCleared { response_id: "r1".into() }), []);
    assert_eq!(play.model(300, created("r2")), [Action::OpenDownlink]);
    assert_eq!(play.model(310, started("r2")), []);
    assert_eq!(play.session.interruptions(), 1);
}

#[test]
fn response_done_is_not_the_end_of_speech() {
    let mut play = Play::new().speaking();
    play.model(50, done("r1", ResponseStatus::Completed));
    assert_eq!(play.model(60, speech()).len(), 1, "the reply still sounds");
}

#[test]
fn a_reply_that_was_played_to_its_end_cannot_be_interrupted() {
    for (at, interrupted) in [(1_499, true), (1_500, false)] {
        let mut play = Play::new().speaking();
        play.model(30, done("r1", ResponseStatus::Completed));
        play.model(1_000, stopped("r1"));
        assert_eq!(!play.model(at, speech()).is_empty(), interrupted, "the last of it may still sound");
        assert_eq!(play.session.interruptions(), 0);
        assert!(play.session.transcript().turns().iter().all(|t| !t.interrupted));
    }
}

#[test]
fn speech_before_the_first_sound_of_a_reply_keeps_it_from_sounding() {
    let mut play = Play::new().ready();
    assert_eq!(play.model(50, speech()), [], "nothing is being made");
    play.model(60, speech_ends());
    play.model(70, created("r1"));
    assert!(matches!(play.model(80, speech())[..], [Action::Interrupt { generation: 1, .. }]));
    assert_eq!(play.session.interruptions(), 0, "nothing was heard of it");
    assert_eq!(play.at(81, cleared(0, None)), []);
}

#[test]
fn twice_in_a_row_is_two_interruptions() {
    let mut play = Play::new().speaking();
    play.model(100, speech());
    play.model(101, done("r1", ResponseStatus::Cancelled));
    play.model(200, speech_ends());
    play.model(210, created("r2"));
    play.model(220, started("r2"));
    assert!(matches!(play.model(300, speech())[..], [Action::Interrupt { generation: 2, .. }]));
    assert_eq!(play.session.interruptions(), 2);
}

#[test]
fn what_the_model_believes_is_corrected_by_more_than_a_frame_only() {
    // Whichever side is known first.
    for server_first in [true, false] {
        for (unheard, corrected) in [(20, false), (21, true), (95, true)] {
            let mut play = Play::new().speaking();
            play.model(1_000, speech());
            let both = [Input::Model(truncated("i1", 940)), cleared(unheard, Some(940 - unheard))];
            let [first, second] = if server_first {
                both
            } else {
                both.into_iter().rev().collect::<Vec<_>>().try_into().unwrap()
            };
            assert_eq!(play.at(1_001, first), []);
            let sent = play.at(1_002, second);
            assert_eq!(sent, if corrected { truncate("i1", 940 - unheard) } else { vec![] });
            assert_eq!(play.until(3_000), [], "once");
        }
    }
}

#[test]
fn a_server_that_does_not_say_what_it_believes_is_told_all_the_same() {
    let mut play = Play::new().speaking();
    play.model(1_000, speech());
    play.at(1_001, cleared(60, Some(880)));
    assert_eq!(play.until(1_249), []);
    assert_eq!(play.until(1_250), truncate("i1", 880));
    // Without knowing where it began there is nothing to say.
    let mut play = Play::new().speaking();
    play.model(1_000, speech());
    play.at(1_001, cleared(60, None));
    assert_eq!(play.until(2_000), []);
}

#[test]
fn an_agent_who_is_never_interrupted_answers_when_she_is_done() {
    let mut play = Play::with(Manner { barge: Barge::Never, ..Manner::default() }).speaking();
    assert_eq!(play.model(100, speech()), []);
    assert_eq!(play.model(400, speech_ends()), []);
    assert_eq!(play.model(500, done("r1", ResponseStatus::Completed)), []);
    assert_eq!(play.model(900, stopped("r1")), []);
    assert_eq!(play.until(1_400), [CREATE], "what she said has sounded");
}

#[test]
fn a_cough_only_makes_her_pause() {
    let barge = Barge::confirm(Duration::from_millis(500));
    let mut play = Play::with(Manner { barge, ..Manner::default() }).speaking();
    assert_eq!(play.model(100, speech()), [Action::Hold]);
    assert_eq!(play.until(949), []);
    assert_eq!(play.model(949, speech_ends()), [Action::Resume]);
    let delete = Action::Send(ClientEvent::Delete { item_id: "u".into() });
    assert_eq!(play.model(950, item("u", "user")), [delete]);
    assert_eq!((play.session.interruptions(), play.until(3_000)), (0, vec![]));
}

#[test]
fn words_make_her_stop_and_the_turn_is_answered() {
    let barge = Barge::confirm(Duration::from_millis(500));
    let mut play = Play::with(Manner { barge, ..Manner::default() }).speaking();
    play.model(100, speech());
    let since = play.time(950);
    let stop = [
        Action::Send(ClientEvent::ResponseCancel),
        Action::Send(ClientEvent::OutputAudioClear),
        Action::Interrupt { generation: 1, since },
    ];
    assert_eq!(play.until(950), stop);
    play.model(960, done("r1", ResponseStatus::Cancelled));
    assert_eq!(play.model(1_500, speech_ends()), [CREATE]);
    assert_eq!(play.session.interruptions(), 1);
    // In silence nothing has to be confirmed.
    let mut play = Play::with(Manner { barge, ..Manner::default() }).greeted();
    assert_eq!(play.model(3_000, speech()), []);
    assert_eq!(play.model(3_400, speech_ends()), [CREATE]);
}
