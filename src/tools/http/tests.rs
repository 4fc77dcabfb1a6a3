use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::*;
use crate::config::{Agent, Sources, ToolAction, load};

/// A server that answers each connection with the next of `answers`, then with the last. What it was asked, and how often.
fn server(answers: &[&str]) -> (u16, Arc<std::sync::Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (seen, answers): (_, Vec<String>) =
        (Arc::clone(&asked), answers.iter().map(|a| a.to_string()).collect());
    std::thread::spawn(move || {
        let served = AtomicUsize::new(0);
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut head = [0; 4096];
            let read = stream.read(&mut head).unwrap_or(0);
            seen.lock().unwrap().push(String::from_utf8_lossy(&head[..read]).into_owned());
            let index = served.fetch_add(1, Ordering::Relaxed).min(answers.len() - 1);
            // The client may have left.
            let _ = stream.write_all(answers[index].as_bytes());
        }
    });
    (port, asked)
}

fn answer(status: &str, more: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{more}\r\n{body}", body.len())
}

async fn run(table: &str, arguments: Value) -> Result<String, ToolError> {
    let environment = [("TOKEN".to_owned(), "canary".to_owned())].into();
    let text = format!("[[agents.default.tools]]\ntype = \"http\"\nname = \"t\"\n{table}");
    let settings = load(&Sources { text: Some(text), environment, ..Sources::default() }).unwrap();
    let agent: Arc<Agent> = settings.agent_for("");
    let ToolAction::Http(tool) = &agent.tools[0].action else { panic!() };
    let client = Client::new(Guard::new(&["127.0.0.1".into()])).unwrap();
    client.run(tool, arguments.as_object().unwrap().clone()).await
}

#[tokio::test]
async fn a_get_has_its_arguments_in_path_and_query_and_its_secret_in_a_header() {
    let (port, asked) = server(&[&answer("200 OK", "", "{\"a\":1}")]);
    let table = format!(
        "method = \"GET\"\nurl = \"http://127.0.0.1:{port}/c/{{phone}}?v=1\"\nheaders = {{ Authorization = \"Bearer ${{TOKEN}}\" }}\n\
         parameters = {{ type = \"object\", required = [\"phone\"], properties = {{ phone = {{ type = \"string\" }} }} }}"
    );
    assert_eq!(run(&table, json!({ "phone": "+1/5", "n": 2 })).await.unwrap(), "{\"a\":1}");
    let asked = asked.lock().unwrap()[0].to_ascii_lowercase();
    assert!(asked.starts_with("get /c/%2b1%2f5?v=1&n=2 http/1.1"), "{asked}");
    assert!(
        asked.contains("authorization: bearer canary") && asked.contains("accept-encoding: identity"),
        "{asked}"
    );
}

#[tokio::test]
async fn only_a_get_is_repeated_and_only_while_it_helps() {
    let (down, good) = (answer("503 Service Unavailable", "", ""), answer("200 OK", "", "ok"));
    for (method, answers, retries, times, ended) in [
        ("GET", vec![down.as_str(), &good], "retries = 2", 2, Ok("ok".to_owned())),
        ("GET", vec!["", "", &good], "retries = 2", 3, Ok("ok".to_owned())),
        ("GET", vec![&down, &good], "retries = 0", 1, Err(ToolError::Status(503))),
        ("GET", vec![&down], "retries = 2", 3, Err(ToolError::Status(503))),
        ("POST", vec![&down, &good], "", 1, Err(ToolError::Status(503))),
        ("POST", vec!["", &good], "", 1, Err(ToolError::Unreachable)),
    ] {
        let (port, asked) = server(&answers);
        let table = format!("method = \"{method}\"\nurl = \"http://127.0.0.1:{port}/\"\n{retries}");
        assert_eq!(run(&table, json!({})).await, ended, "{method} {answers:?}");
        assert_eq!(asked.lock().unwrap().len(), times, "{method} {answers:?}");
    }
    let refused = answer("404 Not Found", "", "");
    let (port, asked) = server(&[&refused]);
    let table = format!("method = \"GET\"\nurl = \"http://127.0.0.1:{port}/\"\nretries = 3");
    assert_eq!(run(&table, json!({})).await, Err(ToolError::Status(404)));
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn answers_are_capped_and_never_unpacked() {
    let long = answer("200 OK", "", &"x".repeat(101));
    let lying = "HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\nx".to_owned();
    let unending = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(200));
    let packed = answer("200 OK", "Content-Encoding: gzip\r\n", "\u{1f}\u{8b}");
    let fits = answer("200 OK", "Content-Encoding: identity\r\n", &"x".repeat(100));
    for (text, ended) in [
        (long, Err(ToolError::TooLarge)),
        (lying, Err(ToolError::TooLarge)),
        (unending, Err(ToolError::TooLarge)),
        (packed, Err(ToolError::Unreadable)),
        (fits, Ok("x".repeat(100))),
    ] {
        let (port, _) = server(&[&text]);
        let table = format!("url = \"http://127.0.0.1:{port}/\"\nmax_answer_bytes = 100");
        assert_eq!(run(&table, json!({})).await, ended, "{text}");
    }
}
