//! Twilio is answered at once, whatever the database does.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::database::Base;

/// Calls a second, and for how long.
const CALLS_PER_SECOND: u32 = 30;
const SECONDS: u32 = 8;
/// How soon Twilio must have its answer, 99 of 100 times.
const P99: Duration = Duration::from_millis(20);

struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_44_webhooks_are_answered_in_20_ms_while_the_database_is_down() {
    let base = Base::sqlite("answers");
    // A port where nobody listens: every connection is refused.
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port");
    let child = Command::new(env!("CARGO_BIN_EXE_aria"))
        .arg("serve")
        .env_clear()
        .env("ARIA_LISTEN", "127.0.0.1:0")
        .env("ARIA_PUBLIC_URL", "http://localhost:8080")
        .env("DATABASE_URL", format!("postgres://aria@{closed}/aria"))
        .env("OPENAI_BASE_URL", format!("http://{closed}/v1"))
        .env("OPENAI_API_KEY", "sk-simulated")
        .env("RUST_LOG", "off")
        .current_dir(&base.folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("cargo has built the program");
    let mut program = Program(child);
    let lines = BufReader::new(program.0.stdout.take().expect("it is piped")).lines();
    let url = lines.map_while(Result::ok).find_map(|l| l.strip_prefix("listening on ").map(str::to_owned));
    let url = url.expect("it listens");
    let client = reqwest::Client::new();
    let ready = async {
        while client
            .get(format!("{url}/readyz"))
            .send()
            .await
            .is_ok_and(|answer| !answer.status().is_success())
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(3), ready).await.expect("it is ready without a database");

    let mut beat = tokio::time::interval(Duration::from_secs(1) / CALLS_PER_SECOND);
    let (mut waits, mut idle) = (Vec::new(), Vec::new());
    for call in 0..CALLS_PER_SECOND * SECONDS {
        beat.tick().await;
        let form = [
            ("CallSid", format!("CA{call:032}")),
            ("AccountSid", "AC1".into()),
            ("From", "+15551000042".into()),
        ];
        // What this machine needs for an answer that costs nothing, just now.
        let asked = Instant::now();
        client.get(format!("{url}/healthz")).send().await.expect("it answers").text().await.expect("text");
        idle.push(asked.elapsed());
        let asked = Instant::now();
        let answer = client.post(format!("{url}/api/twilio/voice/inbound")).form(&form).send().await;
        let text = answer.expect("it answers").text().await.expect("text");
        waits.push(asked.elapsed());
        assert!(text.contains("<Connect"), "a call that is not taken: {text}");
    }
    let ninety_ninth = |waits: &mut Vec<Duration>| {
        waits.sort_unstable();
        waits[waits.len() * 99 / 100]
    };
    let (p99, idle) = (ninety_ninth(&mut waits), ninety_ninth(&mut idle));
    println!(
        "p50 {:?}, p99 {p99:?}, longest {:?}; /healthz p99 {idle:?}",
        waits[waits.len() / 2],
        waits.last().expect("some")
    );
    assert!(p99 <= P99 + idle, "{p99:?}, and {idle:?} for nothing");

    // The operator is told in time, too.
    let asked = Instant::now();
    let list: serde_json::Value =
        client.get(format!("{url}/api/calls")).send().await.expect("it answers").json().await.expect("JSON");
    assert!(list["error"].as_str().is_some_and(|e| e.contains("database")), "{list}");
    assert!(!list["calls"].as_array().expect("calls").is_empty(), "what is known without it is there");
    assert!(asked.elapsed() < Duration::from_millis(2_500), "{:?}", asked.elapsed());
}
