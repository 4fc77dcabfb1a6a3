use super::*;

fn error(code: &str, event_id: &str) -> ServerEvent {
    ServerEvent::Error(ApiError {
        kind: "invalid_request_error".into(),
        code: code.into(),
        event_id: event_id.into(),
        ..ApiError::default()
    })
}

#[test]
fn a_failed_response_is_asked_for_again_and_then_of_another_session() {
    let mut play = Play::new().greeted();
    play.model(3_000, created("r2"));
    assert_eq!(play.model(3_100, failed("r2", "server_error")), []);
    assert_eq!(play.until(3_400), [CREATE]);
    play.model(3_410, created("r3"));
    let next = play.model(3_500, failed("r3", "server_error"));
    assert_eq!(next, [Action::Dial, Action::Play(Clip::Wait)]);
}

#[test]
fn a_greeting_that_failed_is_asked_for_again_as_a_greeting() {
    let mut play = Play::new().ready();
    play.model(10, created("r1"));
    play.model(11, failed("r1", "server_error"));
    assert_eq!(play.until(400), [create("Greet.")]);
}

#[test]
fn too_much_asked_of_the_model_is_waited_out_and_the_caller_hears_of_it() {
    let mut play = Play::new().greeted();
    let (mut now, mut played) = (3_000, 0);
    for n in 0..4 {
        play.model(now, created(&format!("r{n}")));
        let what = play.model(now + 10, failed(&format!("r{n}"), "rate_limit_exceeded"));
        if what.contains(&Action::Play(Clip::Wait)) {
            played += 1;
            play.at(now + 20, clip_ended());
        }
        assert!(!what.iter().any(|a| matches!(a, Action::End(_))), "{n}: {what:?}");
        now += 4_900;
        assert_eq!(play.until(now).iter().filter(|a| **a == CREATE).count(), 1, "{n}");
    }
    assert!(played > 0);
    play.model(now, created("r9"));
    assert!(
        play.model(now + 10, failed("r9", "rate_limit_exceeded")).contains(&Action::End(CallEnd::ModelLost))
    );
}

#[test]
fn every_code_has_its_own_consequence() {
    let harmless = [
        "response_cancel_not_active",
        "input_audio_buffer_commit_empty",
        "cannot_update_voice",
        "unsupported_content_type",
        "item_not_found",
        "item_retrieve_invalid_item_id",
        "invalid_value",
        "unknown_parameter",
        "missing_required_parameter",
        "invalid_event",
        "invalid_type",
        "",
        "new_code",
    ];
    for code in harmless {
        assert_eq!(Play::new().speaking().model(50, error(code, "")), [], "{code}");
        assert_eq!(Play::new().speaking().model(50, error(code, "aria_77")), [], "{code}");
    }
    for code in ["insufficient_quota", "invalid_api_key", "account_deactivated", "billing_hard_limit_reached"]
    {
        assert_eq!(
            Play::new().speaking().model(50, error(code, "")),
            hung_up(CallEnd::ModelRefused),
            "{code}"
        );
        let failed = Play::new().speaking().model(50, failed("r1", code));
        assert_eq!(failed, hung_up(CallEnd::ModelRefused), "{code}");
    }
    let expired = Play::new().speaking().model(50, error("session_expired", ""));
    assert_eq!(expired, [Action::Dial, Action::Play(Clip::Wait)]);
}

#[test]
fn a_response_that_came_too_early_is_asked_for_again_later() {
    let mut play = Play::new().ready();
    // The greeting was event 1; the caller's turn was quicker.
    let busy = error("conversation_already_has_active_response", "aria_1");
    assert_eq!(play.model(10, busy), [create("Greet.")], "nothing is being made that we know of");
    let mut play = Play::new().ready();
    play.model(9, created("r0"));
    play.model(10, error("conversation_already_has_active_response", "aria_1"));
    assert_eq!(play.until(4_000), []);
}

#[test]
fn wording_that_is_refused_is_left_out() {
    let mut play = Play::new().ready();
    assert_eq!(play.model(10, error("invalid_value", "aria_1")), [CREATE]);
    assert_eq!(play.model(20, error("invalid_value", "aria_9")), [], "about something else");
}

#[test]
fn a_request_that_nobody_answers_is_made_again() {
    let mut play = Play::new().ready();
    assert_eq!(play.until(5_002), []);
    assert_eq!(play.until(5_003), [create("Greet.")]);
}

#[test]
fn a_response_without_a_sound_is_no_response() {
    let mut play = Play::new().ready();
    play.model(10, created("r1"));
    assert_eq!(play.until(15_009), []);
    assert_eq!(play.until(15_010), [Action::Dial, Action::Play(Clip::Wait)]);
}
