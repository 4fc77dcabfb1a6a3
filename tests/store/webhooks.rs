//! Webhooks reach a receiver that checks their signature, however often it fails first.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use aria_bridge::store::{Record, Store, System, sign};
use serde_json::Value;
use std::sync::Arc;

use super::database::{Base, begun, ended, turn};

/// From the record to its arrival, a failed try and its wait of a second among it.
const ARRIVES: Duration = Duration::from_secs(20);

/// A receiver whose first answers are these, and 200 from then on. Gives what it got: signature and body.
fn receiver(answers: &'static [u16]) -> (String, Receiver<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/hook", listener.local_addr().expect("it is bound"));
    let (got, all) = sync_channel(64);
    std::thread::spawn(move || {
        let mut answers = answers.iter().copied();
        for stream in listener.incoming().flatten() {
            let Some(request) = read(&stream) else { continue };
            let status = answers.next().unwrap_or(200);
            let _ = write!(&stream, "HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            if got.send(request).is_err() {
                return;
            }
        }
    });
    (url, all)
}

fn read(stream: &TcpStream) -> Option<(String, String)> {
    let mut reader = BufReader::new(stream);
    let (mut signature, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let (name, value) = match line.trim_end() {
            "" => break,
            line => line.split_once(':').unwrap_or((line, "")),
        };
        match name.to_ascii_lowercase().as_str() {
            "aria-signature" => signature = value.trim().into(),
            "content-length" => length = value.trim().parse().ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((signature, String::from_utf8(body).ok()?))
}

fn hold_a_call(store: &Store) {
    store.record(Record::Begun(begun("CA1", 1_000)));
    store.record(turn("CA1", 0, "Hello."));
    let (sid, call_id, name) = ("CA1".into(), "fc1".into(), "lookup".into());
    store.record(Record::ToolEnded { sid, call_id, name, ok: false, output: "{}".into(), took_ms: 9 });
    store.record(ended("CA1", 5_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_webhook_arrives_signed_even_if_the_receiver_fails_first() {
    for base in Base::both("webhooks") {
        let (url, got) = receiver(&[500, 307]);
        let more = format!("[webhooks]\nurl = {url:?}\n");
        let store = Store::open(&base.settings(&more), Arc::new(System)).expect("a store");
        hold_a_call(&store);
        let mut kinds = std::collections::BTreeMap::new();
        // Four, and two of them twice, because their first try failed.
        let got = tokio::task::spawn_blocking(move || {
            (0..6).map(|_| got.recv_timeout(ARRIVES)).collect::<Vec<_>>()
        });
        for request in got.await.expect("it runs") {
            let (signature, body) = request.expect("it arrives");
            let time = signature.strip_prefix("t=").and_then(|s| s.split_once(',')).expect("a time").0;
            assert_eq!(signature, sign("whsec_test", time.parse().expect("a number"), &body));
            let event: Value = serde_json::from_str(&body).expect("JSON");
            kinds.insert(event["type"].as_str().expect("a type").to_owned(), event);
        }
        let names: Vec<&str> = kinds.keys().map(String::as_str).collect();
        assert_eq!(names, ["call.ended", "call.started", "tool.failed", "transcript.ready"]);
        assert_eq!(kinds["call.started"]["data"]["from"], "+15551000042");
        assert_eq!(kinds["call.ended"]["data"]["ended"], "caller_hung_up");
        assert_eq!(kinds["transcript.ready"]["data"]["transcript"][0]["text"], "Hello.");
        // What was delivered is gone.
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(base.count("SELECT COUNT(*) FROM outbox").await, 0);
        store.close(Duration::from_secs(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_was_given_up_is_shown_and_sent_again_on_request() {
    let base = Base::sqlite("dead");
    let (url, got) = receiver(&[500]);
    let more = format!("[webhooks]\nurl = {url:?}\nevents = [\"call.started\"]\n");
    let store = Store::open(&base.settings(&more), Arc::new(System)).expect("a store");
    hold_a_call(&store);
    let got = tokio::task::spawn_blocking(move || {
        got.recv_timeout(ARRIVES).expect("it is tried");
        got
    });
    let got = got.await.expect("it runs");
    // As if it had been tried for hours.
    let mut dead = Vec::new();
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        use sqlx::Connection;
        let mut connection = sqlx::AnyConnection::connect(&base.url).await.expect("it is there");
        let sql = "UPDATE outbox SET next_ms = NULL WHERE last_error IS NOT NULL";
        sqlx::query(sql).execute(&mut connection).await.expect("it is done");
        dead = store.dead_letters().await.expect("it answers");
        if !dead.is_empty() {
            break;
        }
    }
    assert_eq!((dead.len(), dead[0]["last_error"].as_str()), (1, Some("HTTP 500")));
    let id = dead[0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(store.revive(&id).await, Ok(true));
    assert_eq!(store.revive("evt_unknown").await, Ok(false));
    let again = tokio::task::spawn_blocking(move || got.recv_timeout(ARRIVES)).await.expect("it runs");
    assert!(again.expect("it is sent again").1.contains(&id));
    store.close(Duration::from_secs(5)).await;
}

struct Example(Child);

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_receiver_takes_ours_and_refuses_forged_and_old_ones() {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/webhook_receiver.py");
    let child = Command::new("python3")
        .args([program, "0"])
        .env("ARIA_WEBHOOKS_SECRET", "whsec_test")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("python3 runs");
    let mut example = Example(child);
    let mut line = String::new();
    // Kept to the end: it prints what it takes.
    let mut output = BufReader::new(example.0.stdout.take().expect("it is piped"));
    output.read_line(&mut line).expect("it tells its port");
    let url = line.trim().rsplit(' ').next().expect("a URL").to_owned();
    let client = reqwest::Client::new();
    let body = r#"{"id":"evt_1","type":"call.started","data":{"call_sid":"CA1"}}"#;
    let now = aria_bridge::store::unix_ms() / 1000;
    let send = async |signature: String| {
        let request = client.post(&url).header("aria-signature", signature).body(body);
        request.send().await.expect("it answers").status().as_u16()
    };
    assert_eq!(send(sign("whsec_test", now, body)).await, 204);
    assert_eq!(send(sign("whsec_other", now, body)).await, 403);
    assert_eq!(send(sign("whsec_test", now - 3_600, body)).await, 403);
    assert_eq!(send("t=1,v1=zz".into()).await, 403);
    assert_eq!(send(String::new()).await, 403);
}
