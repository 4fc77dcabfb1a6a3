//! Events that are wrong, strange or bad news (row 37): harmless, or mended.

use std::time::Duration;

use aria_bridge::call::CallEnd;
use futures_util::future::join_all;
use sim::model::{EventFaults, Faults, Huge, ModelConfig};
use sim::phone::Moment;

use super::verdict::{ended, ordinary};
use crate::support::house::{House, greeting};
use crate::support::lines::{self, INTERRUPTING, LISTENING, ONE_TURN};

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn model(events: EventFaults) -> ModelConfig {
    ModelConfig { faults: Faults { events, ..Faults::default() }, ..lines::model() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_37_strange_events_disturb_nothing() {
    let none = EventFaults::default;
    let error = |code: &str| EventFaults { error: Some((ms(1_500), code.to_owned())), ..none() };
    let huge = |bytes| EventFaults { huge: Some(Huge { at: ms(1_500), bytes }), ..none() };
    let cases = [
        ("no JSON", EventFaults { invalid_json_at: Some(ms(1_500)), ..none() }),
        ("unknown events and fields", EventFaults { unknown: true, ..none() }),
        ("an event of 64 kB", huge(65_000)),
        ("an event of 96 kB", huge(98_000)),
        ("server_error", error("server_error")),
        ("rate_limit_exceeded", error("rate_limit_exceeded")),
        ("conversation_already_has_active_response", error("conversation_already_has_active_response")),
        ("no transcription", EventFaults { transcription_fails: true, ..none() }),
        // A response that fails once is asked for again. The simulated model takes a failed line as said and goes on with its aside.
        ("the greeting fails", EventFaults { fail_response: Some((0, "server_error".into())), ..none() }),
        ("the reply fails", EventFaults { fail_response: Some((1, "rate_limit_exceeded".into())), ..none() }),
    ];
    let calls = cases.map(|(what, events)| async move {
        let house = House::of(model(events)).await;
        (what, house.call(0, ONE_TURN).await)
    });
    for (what, held) in join_all(calls).await {
        let (heard, creates) = match what {
            "the greeting fails" => (["not-understood", "all-busy"], vec![greeting(0), greeting(0)]),
            "the reply fails" => (["one-moment", "not-understood"], vec![greeting(0), "null".into()]),
            _ => (["one-moment", "all-busy"], vec![greeting(0)]),
        };
        let like = ordinary(&held, &heard, what);
        println!("{what}: likeness {like:.3}");
        let events = held.session().client_events.iter().filter(|e| e.kind() == "response.create");
        let asked: Vec<String> = events
            .map(|e| &e.event["response"]["instructions"])
            .map(|i| i.as_str().map_or_else(|| i.to_string(), str::to_owned))
            .collect();
        assert_eq!(asked, creates, "{what}");
    }
}

/// Beyond what our offer says we take: the call goes on whole or ends with a name and a word to the caller. It may not go on deaf.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_37_an_event_beyond_the_limit_does_not_leave_a_deaf_call() {
    let calls = [250_000, 4 << 20].map(|bytes| async move {
        let events = EventFaults { huge: Some(Huge { at: ms(1_500), bytes }), ..EventFaults::default() };
        let house = House::of(model(events)).await;
        (bytes, house.call(0, INTERRUPTING).await)
    });
    for (bytes, held) in join_all(calls).await {
        let what = format!("{bytes} bytes");
        println!("{what}: ended by {:?}, remarks {:?}", held.end(), held.session().remarks);
        if held.end() == Some(CallEnd::CallerHungUp) {
            ordinary(&held, &["one-moment", "sorry-problems"], &what);
            assert!(held.report.when(|m| matches!(m, Moment::Clear { .. })).is_some(), "{what}: deaf");
        } else {
            ended(&held, CallEnd::ModelLost, &what);
            assert!(held.apology().is_some(), "{what}: {:?}", held.report);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_38_bad_news_ends_the_call_with_its_name() {
    let error =
        |code: &str| EventFaults { error: Some((ms(1_500), code.to_owned())), ..EventFaults::default() };
    let cases = [
        ("session_expired", error("session_expired"), CallEnd::ModelLost),
        ("insufficient_quota", error("insufficient_quota"), CallEnd::ModelRefused),
        (
            "no quota for a response",
            EventFaults { fail_response: Some((0, "insufficient_quota".into())), ..EventFaults::default() },
            CallEnd::ModelRefused,
        ),
    ];
    let calls = cases.map(|(what, events, end)| async move {
        let house = House::of(model(events)).await;
        (what, end, house.call(0, LISTENING).await)
    });
    for (what, end, held) in join_all(calls).await {
        ended(&held, end, what);
        assert!(held.apology().is_some(), "{what}: {:?}", held.report);
    }
}
