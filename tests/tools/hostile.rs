//! Function calls of a model that a caller or a tool's answer has talked into something (rows 42 and 43).

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use aria_bridge::tools::Effect;
use serde::Deserialize;

use super::runner;

const SALES: &str = "+15551230001";

/// A function call, as the model writes it.
#[derive(Deserialize)]
struct Call {
    name: String,
    arguments: String,
}

/// At least as many as the red-team corpus should have.
const AT_LEAST: usize = 200;

fn corpus() -> Vec<Call> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/hostile-calls.jsonl");
    let text = std::fs::read_to_string(path).expect("the corpus can be read");
    let calls: Vec<Call> =
        text.lines().map(|line| serde_json::from_str(line).expect("a line of the corpus")).collect();
    assert!(calls.len() >= AT_LEAST, "{} calls", calls.len());
    calls
}

/// A shop's agent: everything that costs something, as an operator would set it up.
fn shop(port: u16) -> String {
    format!(
        r#"
        [[tools]]
        type = "builtin"
        name = "transfer_call"
        targets = {{ sales = "{SALES}" }}
        confirm = true
        [[tools]]
        type = "builtin"
        name = "send_message"
        max_chars = 320
        [[tools]]
        type = "builtin"
        name = "press_keys"
        [[tools]]
        type = "builtin"
        name = "take_note"
        [[tools]]
        type = "builtin"
        name = "end_call"
        [[tools]]
        type = "http"
        name = "pay"
        url = "http://127.0.0.1:{port}/pay/{{city}}"
        confirm = true
        timeout_ms = 2000
        parameters = {{ type = "object", additionalProperties = false, required = ["city"], properties = {{ city = {{ type = "string" }} }} }}
        [tools]
        private_hosts = ["127.0.0.1"]
        "#
    )
}

/// The first lines of what a service was asked.
fn service() -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = [0; 8192];
            let read = stream.read(&mut head).unwrap_or(0);
            let text = String::from_utf8_lossy(&head[..read]).into_owned();
            seen.lock()
                .expect("nobody panics with it")
                .push(text.lines().next().unwrap_or_default().to_owned());
            // The client may have left.
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}");
        }
    });
    (port, asked)
}

#[tokio::test]
async fn fault_42_nothing_comes_of_hostile_calls() {
    let (port, asked) = service();
    for Call { name, arguments } in corpus() {
        let (runner, desk) = runner(&shop(port)).expect("the shop's tables are valid");
        // Once is what it was talked into, twice is how models insist.
        for _ in 0..2 {
            let outcome = runner.run(&desk, &name, arguments.clone()).await;
            assert_eq!(outcome.effect, None, "{name} {arguments}");
            // The model learns no number: what it wrote itself may be repeated to it.
            let told = outcome.output_for_model.contains(SALES) && !arguments.contains(SALES);
            assert!(!told, "{name} {arguments}: {outcome:?}");
        }
    }
    let asked = asked.lock().expect("nobody panics with it");
    assert!(asked.is_empty(), "nothing was paid: {asked:?}");
}

#[tokio::test]
async fn fault_42_43_a_caller_who_talks_all_the_time_gets_no_more_than_what_is_allowed() {
    let (port, asked) = service();
    let (runner, desk) = runner(&shop(port)).expect("the shop's tables are valid");
    let mut transfers = 0;
    // The most a call may try is less than all of them twice.
    let mut calls = corpus();
    calls.retain(|c| c.name == "transfer_call" || c.name == "pay" || c.name == "send_message");
    for Call { name, arguments } in calls {
        for _ in 0..2 {
            desk.caller_spoke();
            match runner.run(&desk, &name, arguments.clone()).await.effect {
                None => {}
                Some(Effect::Transfer { target, name, .. }) => {
                    assert_eq!((target.expose(), name.as_str()), (SALES, "sales"), "{arguments}");
                    transfers += 1;
                }
                other => panic!("{name} {arguments}: {other:?}"),
            }
        }
    }
    assert_eq!(transfers, 1, "somebody who agrees is connected, once");
    let asked = asked.lock().expect("nobody panics with it");
    assert!(!asked.is_empty(), "what the caller agreed to was done");
    for line in asked.iter() {
        let path = line.split(' ').nth(1).unwrap_or_default();
        let inner = path.strip_prefix("/pay/").unwrap_or_else(|| panic!("{line}"));
        assert!(!inner.is_empty() && !inner.contains(['/', '?', '#', '\\']) && inner != "..", "{line}");
    }
}
