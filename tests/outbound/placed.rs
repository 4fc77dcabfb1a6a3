//! Calls that somebody or something answers.

use std::time::Duration;

use sim::phone::report::EndedBy;
use sim::phone::{Answering, Moment, Taker};

use super::admin::{ALLOWED, asked, ended, get, place, post, values};
use crate::support::house::{Blueprint, House, number};
use crate::support::lines;
use crate::support::sound::{LOUD, clip, exact_place, likeness, rms};

fn blueprint(script: &str, taker: Taker, agent: &str) -> Blueprint {
    Blueprint {
        file: ALLOWED.into(),
        agent: agent.into(),
        outbound: lines::caller(script),
        answering: Answering { taker, ringing: Duration::from_millis(300) },
        ..Blueprint::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_is_called_and_talks_to_the_agent_asked_for() {
    let agent = "variables = [\"name\"]\nvoicemail = \"Call {{name}} back.\"";
    let house = House::build(blueprint(lines::ONE_TURN, Taker::Person, agent)).await;
    let body = r#"{"to":"+15557770001","agent":"a0","variables":{"name":"Ada"}}"#;
    let (status, answer) = post(&house, "/api/calls", Some("key-1"), body).await;
    assert_eq!(status, 201, "{answer}");
    assert!(!answer.to_string().contains("5557770001"), "{answer}");
    let sid = answer["call_sid"].as_str().unwrap().to_owned();
    // While it rings it can be seen, and holds a room.
    let (_, ringing) = get(&house, &format!("/api/calls/{sid}")).await;
    assert_eq!((ringing["agent"].as_str(), ringing["ended"].is_null()), (Some("a0"), true), "{ringing}");
    assert_eq!(house.registry.live(), 1);
    assert!(house.models[0].sessions().is_empty(), "no session before the answer");
    // The same key is the same call.
    let again = post(&house, "/api/calls", Some("key-1"), body).await;
    assert_eq!(again, (201, answer));

    let (report, end) = ended(&house, &sid).await;
    assert_eq!(end, "caller_hung_up", "{report:?}");
    assert!(report.violations.is_empty() && report.warnings.is_empty(), "{report:?}");
    assert_eq!(report.steps.0, report.steps.1, "{report:?}");
    assert!(likeness(&report.heard, &clip("one-moment")) >= 0.8, "the greeting");
    assert!(likeness(&report.heard, &clip("all-busy")) >= 0.8, "the reply");
    let create = asked(&house, "/Calls.json");
    assert_eq!(create.len(), 1, "{create:?}");
    assert_eq!(
        (values(&create[0], "To"), values(&create[0], "From")),
        (vec!["+15557770001"], vec!["+15550000000"])
    );
    assert_eq!(values(&create[0], "MachineDetection"), ["DetectMessageEnd"]);
    assert!(values(&create[0], "Url")[0].contains("/api/twilio/voice/inbound?out="));
    assert_eq!(house.registry.live(), 0);
    // A token is one call's, and a webhook with one that is not known begins nothing.
    let sessions = house.models[0].sessions();
    assert_eq!(sessions.len(), 1, "{sessions:?}");
    let theirs = sessions[0].request.safety_identifier.clone();
    let client = aria_bridge::openai::connect::Client::new(
        &aria_bridge::config::OpenAiSettings {
            api_key: None,
            base_url: house.models[0].base_url().parse().unwrap(),
        },
        aria_bridge::config::Secret::new(aria_bridge::bridge::SIMULATED_KEY),
    );
    assert_eq!(
        theirs,
        Some(client.unwrap().safety_identifier("+15557770001")),
        "the person called is the one who talks"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_is_left_a_message_after_its_beep() {
    let taker = Taker::Machine { greeting: Duration::from_secs(3) };
    let agent = "voicemail = \"This is ARIA. Please call us back.\"";
    let house = House::build(blueprint("say nobody-available\n", taker, agent)).await;
    let sid = place(&house, r#"{"to":"+15557770002"}"#).await;
    let (report, end) = ended(&house, &sid).await;
    assert_eq!(end, "voicemail", "{report:?}");
    assert!(report.violations.is_empty(), "{report:?}");
    let session = &house.models[0].sessions()[0];
    let said = session.client_events.iter().any(|logged| {
        logged.event["type"] == "response.create" && logged.event.to_string().contains("Please call us back")
    });
    assert!(said, "the model is told to say it");
    // The machine records the whole message, and the call ends when it has.
    let beep = report.when(|m| matches!(m, Moment::Callback { event, .. } if event == "machine_end_beep"));
    let beep = beep.expect("the bridge is told of the beep");
    let recorded = &report.heard[report.sample_at(beep)..];
    let message = clip("not-understood");
    let begun = exact_place(recorded, &message).expect("it is recorded");
    let like = likeness(recorded, &message);
    let left = Duration::from_millis(
        (recorded.len() as i64 - begun as i64 - message.len() as i64).max(0) as u64 / 8,
    );
    println!(
        "the message {:?} behind the beep, {like:.3} alike; the call ends {left:?} behind it",
        Duration::from_millis(begun as u64 / 8)
    );
    assert!(like >= 0.8, "{like:.3}");
    assert!(left <= Duration::from_secs(4), "{left:?}");
    // Over REST, or by the document that follows the stream, whichever is sooner.
    assert!(matches!(report.ended.by, EndedBy::Rest | EndedBy::Document), "{report:?}");
    assert!(
        rms(&recorded[..begun.max(0) as usize]) < LOUD,
        "nothing of the conversation is recorded before it"
    );
    let replies = session.replies.iter().filter(|r| r.played_ms > 0 && !r.truncated).count();
    assert!(replies <= 2, "a machine is not conversed with: {:?}", session.replies);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_without_a_message_is_left_at_once() {
    let taker = Taker::Machine { greeting: Duration::from_secs(30) };
    let house = House::build(blueprint("", taker, "")).await;
    let sid = place(&house, r#"{"to":"+15557770003"}"#).await;
    let (report, end) = ended(&house, &sid).await;
    assert_eq!(end, "voicemail", "{report:?}");
    assert_eq!(values(&asked(&house, "/Calls.json")[0], "MachineDetection"), ["Enable"]);
    assert!(report.heard.len() < 8_000 * 5, "{} samples", report.heard.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_number_that_calls_decides_who_talks_if_nobody_else_does() {
    let models = vec![lines::model(), lines::model()];
    let plan = blueprint("wait-speech\nhangup\n", Taker::Person, "");
    let house = House::build(Blueprint { models, ..plan }).await;
    let sid = place(&house, &format!(r#"{{"to":"+15557770004","from":"{}"}}"#, number(1))).await;
    ended(&house, &sid).await;
    assert_eq!(house.registry.snapshot(&sid).map(|s| s.agent).as_deref(), Some("a1"));
    assert_eq!((house.models[0].sessions().len(), house.models[1].sessions().len()), (0, 1));
}
