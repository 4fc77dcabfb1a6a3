//! MCP servers: over HTTP and as a program, through a whole call, and while they come and go.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use sim::desk::{Desk, DeskConfig};
use sim::model::{ModelConfig, Unverified};

use super::failing::{CALLER, assert_whole, call, model, outputs};
use super::runner;
use crate::support::house::{Blueprint, House};

const CALENDAR: &str = r#"
    [[tools]]
    type = "mcp"
    name = "calendar"
    url = "{desk}/mcp"
    allow = ["calendar.free", "calendar.book"]
"#;
const PRIVATE: &str = "[tools]\nprivate_hosts = [\"127.0.0.1\"]";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_appointment_is_booked_within_a_call() {
    let booking =
        json!({ "phone": "+15551239999", "day": "2026-12-01", "time": "10:00", "what": "a repair" });
    let calls = vec![
        call("calendar_free", json!({ "day": "2026-12-01" })),
        call("calendar_book", booking),
        call("lookup", json!({ "city": "Lima" })),
    ];
    let house =
        House::build(Blueprint { models: vec![model(calls)], tables: CALENDAR, ..Blueprint::default() })
            .await;
    let held = house.call(0, CALLER).await;
    let outputs = outputs(&held);
    assert_eq!(outputs.len(), 4, "three outputs and one response: {outputs:?}");
    assert!(outputs.iter().flatten().any(|o| o.contains("16:00")), "the free hours: {outputs:?}");
    let booked = house.desk.appointments().await.expect("the desk's database");
    assert_eq!(booked.len(), 1, "{booked:?}");
    assert_eq!((booked[0].time.as_str(), booked[0].what.as_str()), ("10:00", "a repair"));
    assert_whole(&held, "a call with MCP");
}

/// The same server as a program of its own, shared by all calls.
const PROGRAM: &str = concat!(
    "\n[[tools]]\ntype = \"mcp\"\nname = \"calendar\"\ncommand = [\"",
    env!("CARGO_BIN_EXE_aria"),
    "\", \"desk\", \"--stdio\"]\nallow = [\"calendar.free\", \"calendar.book\"]\n"
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_serves_whole_calls_and_all_of_them() {
    let calls = |hour: &str| {
        let booking =
            json!({ "phone": "+15551239999", "day": "2026-12-01", "time": hour, "what": "a repair" });
        vec![call("calendar_book", booking), call("calendar_free", json!({ "day": "2026-12-01" }))]
    };
    let models = vec![model(calls("10:00")), model(calls("11:00"))];
    let house = House::build(Blueprint { models, tables: PROGRAM, ..Blueprint::default() }).await;
    let (first, second) = tokio::join!(house.call(0, CALLER), house.call(1, CALLER));
    for held in [&first, &second] {
        assert_whole(held, "a call with a program");
        let outputs = outputs(held);
        assert_eq!(outputs.len(), 3, "two outputs and one response: {outputs:?}");
        assert!(outputs.iter().flatten().any(|o| o.contains("16:00")), "the free hours: {outputs:?}");
    }
    // One program for all calls: what one has booked the next one sees.
    let third = house.call(0, CALLER).await;
    let given = outputs(&third);
    let free = given.iter().flatten().find(|o| o.contains("16:00")).unwrap_or_else(|| panic!("{given:?}"));
    assert!(!free.contains("10:00") && !free.contains("11:00"), "{free}");
}

/// A server that is passed to the model: the bridge is not asked, and sees to it that the answer is told.
const HOSTED: &str = r#"
    [[tools]]
    type = "mcp"
    name = "calendar"
    url = "https://calendar.example.com/mcp"
    headers = { X-Team = "blue" }
    allow = ["calendar.free"]
    hosted = true
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hosted_servers_answer_is_told_whether_the_model_goes_on_by_itself_or_not() {
    let calls = [false, true].map(|hosted_continues| async move {
        let script = model(vec![call("calendar.free", json!({ "day": "2026-12-01" }))]);
        let unverified = Unverified { hosted_continues, ..Unverified::default() };
        let models = vec![ModelConfig { unverified, ..script }];
        let house = House::build(Blueprint { models, tables: HOSTED, ..Blueprint::default() }).await;
        (hosted_continues, house.call(0, CALLER).await)
    });
    for (continues, held) in join_all(calls).await {
        let what = format!("a hosted server; the model goes on by itself: {continues}");
        assert_whole(&held, &what);
        let session = held.session();
        let asked = session.request.session.as_ref().expect("the request was read");
        let tools = asked["tools"].as_array().expect("a list");
        let hosted = tools.iter().find(|t| t["type"] == "mcp").expect("the server is passed on");
        assert_eq!(
            *hosted,
            json!({ "type": "mcp", "server_label": "calendar", "server_url": "https://calendar.example.com/mcp",
                    "allowed_tools": ["calendar.free"], "require_approval": "never", "headers": { "x-team": "blue" } }),
            "{what}"
        );
        let ended =
            session.server_events.iter().filter(|e| e.kind() == "response.mcp_call.completed").count();
        assert_eq!(ended, 1, "{what}");
        // The greeting, the answer of the server, the goodbye: nothing is said twice.
        assert_eq!(session.replies.len(), 3, "{what}: {:?}", session.replies);
        let snapshot = held.snapshot.as_ref().expect("the bridge remembers it");
        assert_eq!(snapshot.ended.map(|end| end.as_str()), Some("caller_hung_up"), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_is_a_server_too() {
    let table = format!(
        "[[tools]]\ntype = \"mcp\"\nname = \"calendar\"\ncommand = [{:?}, \"desk\", \"--stdio\"]\n\
         allow = [\"calendar.free\", \"calendar.book\"]\nconfirm = true\ntimeout_ms = 5000",
        env!("CARGO_BIN_EXE_aria")
    );
    let (runner, desk) = runner(&table).expect("this is a table");
    runner.settled().await;
    let outcome = runner.run(&desk, "calendar_free", r#"{"day":"2026-12-01"}"#.into()).await;
    assert!(outcome.ok && outcome.output_for_model.contains("confirmed"), "it asks first: {outcome:?}");
    desk.caller_spoke();
    let agreed = r#"{"day":"2026-12-01","confirmed":true}"#;
    let outcome = runner.run(&desk, "calendar_free", agreed.into()).await;
    assert!(outcome.ok && outcome.output_for_model.contains("09:00"), "{outcome:?}");
    // The schema is the server's, the judgement is ours.
    let outcome = runner.run(&desk, "calendar_book", r#"{"day":7}"#.into()).await;
    assert!(!outcome.ok && outcome.output_for_model.contains("do not fit"), "{outcome:?}");
    // What the server has and the table does not allow.
    let outcome = runner.run(&desk, "calendar_cancel", r#"{"id":1}"#.into()).await;
    assert!(outcome.output_for_model.contains("no such tool"), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tools_own_error_is_for_the_model() {
    let service = Desk::start(DeskConfig::default()).expect("a simulated desk");
    let table = CALENDAR.replace("{desk}", &service.base_url()) + PRIVATE;
    let (runner, desk) = runner(&table).expect("this is a table");
    runner.settled().await;
    let outcome = runner.run(&desk, "calendar_free", r#"{"day":"tomorrow"}"#.into()).await;
    assert!(!outcome.ok && outcome.output_for_model.contains("2026-12-01"), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_wants_a_token_gets_it_from_the_environment() {
    let config = DeskConfig { token: Some("canary".into()), ..DeskConfig::default() };
    let service = Desk::start(config).expect("a simulated desk");
    let table = CALENDAR.replace("{desk}", &service.base_url()) + PRIVATE;
    let (stranger, desk) = runner(&table).expect("this is a table");
    stranger.settled().await;
    assert!(!stranger.run(&desk, "calendar_free", r#"{"day":"2026-12-01"}"#.into()).await.ok);
    assert_eq!(service.requests(), 0, "nobody without the token gets in");
    let environment = [("TOKEN".to_owned(), "canary".to_owned())].into();
    let tables =
        CALENDAR.replace("{desk}", &service.base_url()).replace("[[tools]]", "[[agents.default.tools]]");
    let text = Some(tables + "headers = { Authorization = \"Bearer ${TOKEN}\" }\n" + PRIVATE);
    let sources = aria_bridge::config::Sources { text, environment, ..Default::default() };
    let settings = aria_bridge::config::load(&sources).expect("this is a table");
    let runner = aria_bridge::tools::Runner::new(&settings).expect("a runner");
    runner.settled().await;
    assert_eq!(runner.definitions(&settings.agent_for("")).len(), 2);
}

/// Waits until the tools of the calendar are there, or away.
async fn until(
    runner: &aria_bridge::tools::Runner,
    agent: &aria_bridge::config::Agent,
    there: usize,
) -> Duration {
    let begun = Instant::now();
    while runner.definitions(agent).len() != there {
        assert!(begun.elapsed() < Duration::from_secs(20), "{there} tools never came");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_goes_takes_its_tools_along_and_brings_them_back() {
    let service = Desk::start(DeskConfig::default()).expect("a simulated desk");
    let base = service.base_url();
    let listen: SocketAddr = base.trim_start_matches("http://").parse().expect("an address");
    let table = CALENDAR.replace("{desk}", &base) + PRIVATE;
    let settings = super::settings(&table).expect("this is a table");
    let agent = settings.agent_for("");
    let (runner, desk) = runner(&table).expect("this is a table");
    runner.settled().await;
    assert_eq!(runner.definitions(&agent).len(), 2);

    drop(service);
    let begun = Instant::now();
    let free = || runner.run(&desk, "calendar_free", r#"{"day":"2026-12-01"}"#.into());
    let outcome = free().await;
    assert!(outcome.output_for_model.contains("cannot be reached"), "{outcome:?}");
    assert!(begun.elapsed() < Duration::from_secs(2), "a dead server delays nobody: {:?}", begun.elapsed());
    until(&runner, &agent, 0).await;

    let _again = Desk::start(DeskConfig { listen, ..DeskConfig::default() }).expect("the port is free again");
    let back = until(&runner, &agent, 2).await;
    println!("back after {back:?}");
    assert!(free().await.ok);
}
