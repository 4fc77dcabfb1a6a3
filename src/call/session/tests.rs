use super::*;

struct Play {
    session: Session,
    began: Instant,
}

impl Play {
    fn new() -> Self {
        let began = Instant::now();
        Self { session: Session::new(began, Some("Greet.".into()), Duration::from_secs(3600)), began }
    }

    /// Gives one event at `ms` and returns what is to be done, without what is only told.
    fn at(&mut self, ms: u64, input: Input) -> Vec<Action> {
        self.session.handle(self.began + Duration::from_millis(ms), input);
        self.actions()
    }

    fn model(&mut self, ms: u64, event: ServerEvent) -> Vec<Action> {
        self.at(ms, Input::Model(event))
    }

    fn actions(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.session.poll_action()).filter(|a| !matches!(a, Action::Tell(_))).collect()
    }

    fn ready(mut self) -> Self {
        self.at(1, Input::ModelAnswered);
        self.model(2, ServerEvent::SessionCreated { session_id: "s".into(), expires_at: 0 });
        self.at(3, Input::MediaStarted);
        self
    }

    fn speaking(mut self) -> Self {
        self = self.ready();
        self.model(10, created("r1"));
        self.model(20, ServerEvent::PlayoutStarted { response_id: "r1".into() });
        self
    }
}

fn created(id: &str) -> ServerEvent {
    ServerEvent::ResponseCreated { response_id: id.into(), aside: None }
}

fn done(id: &str, status: ResponseStatus) -> ServerEvent {
    ServerEvent::ResponseDone {
        response_id: id.into(),
        aside: None,
        status,
        text: String::new(),
        usage: Usage { total_tokens: 10, ..Usage::default() },
    }
}

fn speech() -> ServerEvent {
    ServerEvent::SpeechStarted { item_id: "u".into(), audio_start_ms: 0 }
}

fn call(id: &str) -> ServerEvent {
    ServerEvent::FunctionCall { call_id: id.into(), name: "lookup".into(), arguments: "{}".into() }
}

fn tool_done(id: &str) -> Input {
    Input::ToolDone {
        call_id: id.into(),
        name: "lookup".into(),
        output: "{}".into(),
        ok: true,
        took: Duration::from_millis(5),
    }
}

const CREATE: Action = Action::Send(ClientEvent::ResponseCreate { instructions: None });

#[test]
fn the_greeting_waits_for_both_sides() {
    let greeting = [Action::Send(ClientEvent::ResponseCreate { instructions: Some("Greet.".into()) })];
    let mut play = Play::new();
    assert_eq!(play.at(5, Input::MediaStarted), []);
    assert_eq!(
        play.model(9, ServerEvent::SessionCreated { session_id: "s".into(), expires_at: 0 }),
        greeting
    );
    let mut play = Play::new();
    assert_eq!(play.model(5, ServerEvent::SessionCreated { session_id: "s".into(), expires_at: 0 }), []);
    assert_eq!(play.at(9, Input::MediaStarted), greeting);
    assert_eq!(play.at(10, Input::MediaStarted), [], "a second stream is not greeted again");
}

#[test]
fn speech_during_a_reply_interrupts_once_and_the_next_reply_opens_the_downlink() {
    let mut play = Play::new().speaking();
    let since = play.began + Duration::from_millis(100);
    assert_eq!(play.model(100, speech()), [Action::Interrupt { generation: 1, since }]);
    assert_eq!(play.model(101, done("r1", ResponseStatus::Cancelled)), []);
    assert_eq!(play.model(102, ServerEvent::PlayoutCleared { response_id: "r1".into() }), []);
    assert_eq!(play.model(300, created("r2")), [Action::OpenDownlink]);
    assert_eq!(play.model(310, ServerEvent::PlayoutStarted { response_id: "r2".into() }), []);
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
    let stopped = ServerEvent::PlayoutStopped { response_id: "r1".into() };
    let mut play = Play::new().speaking();
    play.model(1_000, stopped.clone());
    assert_eq!(play.model(1_499, speech()).len(), 1, "the last of it may still sound");
    let mut play = Play::new().speaking();
    play.model(1_000, stopped);
    assert_eq!(play.model(1_500, speech()), []);
    assert_eq!(play.session.interruptions(), 0);
}

#[test]
fn what_may_still_sound_of_a_finished_reply_is_cleared_but_it_was_not_interrupted() {
    let mut play = Play::new().speaking();
    play.model(30, done("r1", ResponseStatus::Completed));
    play.model(100, ServerEvent::PlayoutStopped { response_id: "r1".into() });
    assert!(matches!(play.model(200, speech())[..], [Action::Interrupt { generation: 1, .. }]));
    play.at(201, Input::Media(MediaEvent::Cleared { generation: 1, after: Duration::from_millis(1) }));
    assert_eq!(play.session.interruptions(), 0);
    assert!(play.session.transcript().turns().iter().all(|t| !t.interrupted));
}

#[test]
fn speech_before_any_reply_interrupts_nothing() {
    let mut play = Play::new().ready();
    assert_eq!(play.model(50, speech()), []);
}

#[test]
fn a_tool_output_goes_out_at_once_and_the_response_after_response_done() {
    let mut play = Play::new().speaking();
    let run = play.model(30, call("c1"));
    assert!(matches!(&run[..], [Action::RunTool { .. }]));
    let output = play.at(40, tool_done("c1"));
    assert!(matches!(&output[..], [Action::Send(ClientEvent::FunctionOutput { .. })]));
    assert_eq!(play.model(50, done("r1", ResponseStatus::Completed)), [CREATE]);
    assert_eq!(play.model(51, created("r2")), []);
    assert_eq!(play.model(60, done("r2", ResponseStatus::Completed)), [], "asked for once");
}

#[test]
fn several_tools_answer_in_one_go() {
    let mut play = Play::new().speaking();
    play.model(30, call("c1"));
    play.model(31, call("c2"));
    play.model(32, done("r1", ResponseStatus::Completed));
    assert_eq!(play.at(40, tool_done("c2")).len(), 1);
    let last = play.at(50, tool_done("c1"));
    assert_eq!(last.len(), 2);
    assert_eq!(last[1], CREATE);
}

#[test]
fn a_callers_turn_makes_the_response_itself() {
    let mut play = Play::new().speaking();
    play.model(30, call("c1"));
    play.model(31, done("r1", ResponseStatus::Completed));
    play.model(35, speech());
    assert_eq!(play.at(40, tool_done("c1")).len(), 1, "no response.create while the caller speaks");
    play.model(60, ServerEvent::SpeechStopped { item_id: "u".into() });
    play.model(61, created("r2"));
    assert_eq!(play.model(70, done("r2", ResponseStatus::Completed)), []);
}

#[test]
fn a_failed_response_is_retried_once_and_then_the_caller_is_told() {
    let mut play = Play::new().ready();
    play.model(10, created("r1"));
    play.model(11, done("r1", ResponseStatus::Completed));
    play.model(20, created("r2"));
    assert_eq!(play.model(21, done("r2", ResponseStatus::Failed("server_error".into()))), [CREATE]);
    play.model(22, created("r3"));
    assert_eq!(
        play.model(23, done("r3", ResponseStatus::Failed("server_error".into()))),
        [Action::End(CallEnd::ModelLost)]
    );
}

#[test]
fn a_greeting_that_failed_is_asked_for_again_as_a_greeting() {
    let mut play = Play::new().ready();
    play.model(10, created("r1"));
    let again = ClientEvent::ResponseCreate { instructions: Some("Greet.".into()) };
    assert_eq!(
        play.model(11, done("r1", ResponseStatus::Failed("server_error".into()))),
        [Action::Send(again)]
    );
}

#[test]
fn fatal_codes_end_the_call_and_others_do_not() {
    let error = |code: &str| ServerEvent::Error(ApiError { code: code.into(), ..ApiError::default() });
    for code in
        ["response_cancel_not_active", "input_audio_buffer_commit_empty", "invalid_value", "", "new_code"]
    {
        assert_eq!(Play::new().speaking().model(50, error(code)), [], "{code}");
    }
    assert_eq!(Play::new().speaking().model(50, error("session_expired")), [Action::End(CallEnd::ModelLost)]);
    assert_eq!(
        Play::new().speaking().model(50, error("insufficient_quota")),
        [Action::End(CallEnd::ModelRefused)]
    );
}

#[test]
fn every_deadline_ends_the_call_with_its_own_reason() {
    let cases: [(Play, u64, CallEnd); 3] = [
        (Play::new(), 60_000, CallEnd::StreamNeverStarted),
        (
            {
                let mut p = Play::new();
                p.at(100, Input::ModelAnswered);
                p
            },
            4_600,
            CallEnd::ModelUnreachable,
        ),
        (Play::new().ready(), 3_600_000, CallEnd::TooLong),
    ];
    for (mut play, ms, reason) in cases {
        let due = play.began + Duration::from_millis(ms);
        assert_eq!(play.session.poll_timeout(), Some(due));
        play.session.handle_timeout(due - Duration::from_millis(1));
        assert_eq!(play.actions(), []);
        play.session.handle_timeout(due);
        assert_eq!(play.actions(), [Action::End(reason)]);
        assert_eq!(play.session.poll_timeout(), None);
    }
}

#[test]
fn the_first_end_wins_and_nothing_follows_it() {
    let mut play = Play::new().speaking();
    assert_eq!(play.at(100, Input::Media(MediaEvent::Stop)), [Action::End(CallEnd::CallerHungUp)]);
    assert_eq!(play.at(101, Input::ModelLost), []);
    assert_eq!(play.model(102, speech()), []);
}

#[test]
fn a_loss_before_the_session_is_unreachable_and_after_it_lost() {
    let mut play = Play::new();
    play.at(1, Input::ModelAnswered);
    assert_eq!(play.at(2, Input::ModelLost), [Action::End(CallEnd::ModelUnreachable)]);
    assert_eq!(Play::new().ready().at(9, Input::ModelLost), [Action::End(CallEnd::ModelLost)]);
}
