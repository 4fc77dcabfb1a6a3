//! The REST client against a server that answers as Twilio does, good and bad.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aria_bridge::config::{Secret, TwilioSettings};
use aria_bridge::twilio::rest::{Client, RestError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Answers one request after the other with these, the last one again and again; keeps what was asked.
struct Api {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Api {
    async fn new(answers: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answers, log) = (answers.iter().map(|a| a.to_string()).collect::<Vec<_>>(), asked.clone());
        tokio::spawn(async move {
            for i in 0.. {
                let (mut tcp, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 8192];
                let mut length = 0;
                while !String::from_utf8_lossy(&request[..length]).contains("Status=") {
                    length += tcp.read(&mut request[length..]).await.unwrap();
                }
                log.lock().unwrap().push(String::from_utf8_lossy(&request[..length]).into_owned());
                let answer = &answers[i.min(answers.len() - 1)];
                if answer == "hang" {
                    // Held open without a word.
                    tokio::spawn(async move {
                        tokio::time::sleep(Duration::from_secs(60)).await;
                        drop(tcp);
                    });
                    continue;
                }
                let (head, body) = answer.split_once('|').unwrap_or((answer, ""));
                let text = format!(
                    "HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                tcp.write_all(text.as_bytes()).await.unwrap();
            }
        });
        Self { url, asked }
    }

    fn client(&self) -> Client {
        Client::new(&TwilioSettings {
            account_sid: Some("AC1".into()),
            auth_token: Some(Secret::new("canary")),
            auth_token_secondary: None,
            api_url: self.url.parse().unwrap(),
        })
        .unwrap()
    }

    async fn hang_up(&self) -> Result<(), RestError> {
        self.client().hang_up("AC2", "CA1").await
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

const ENDED: &str =
    r#"400 Bad Request|{"code":21220,"message":"Call is not in-progress. Cannot redirect.","status":400}"#;
const NOT_FOUND: &str =
    r#"404 Not Found|{"code":20404,"message":"The requested resource was not found","status":404}"#;
const BUSY: &str = r#"429 Too Many Requests|{"code":20429,"message":"Too Many Requests","status":429}"#;
const WRONG_KEY: &str = r#"401 Unauthorized|{"code":20003,"message":"Authenticate","status":401}"#;

#[tokio::test]
async fn a_call_is_ended_by_one_form_with_basic_credentials() {
    let api = Api::new(&["200 OK\r\nTwilio-Request-Id: RQ1|{}"]).await;
    assert_eq!(api.hang_up().await, Ok(()));
    let asked = api.asked();
    assert_eq!(asked.len(), 1);
    assert!(
        asked[0].starts_with("POST /2010-04-01/Accounts/AC2/Calls/CA1.json HTTP/1.1\r\n"),
        "{}",
        asked[0]
    );
    // AC1:canary
    assert!(
        asked[0].to_ascii_lowercase().contains(&"authorization: Basic QUMxOmNhbmFyeQ==".to_ascii_lowercase())
    );
    assert!(asked[0].ends_with("\r\n\r\nStatus=completed"));
}

#[tokio::test]
async fn a_call_that_is_over_counts_as_ended() {
    for answer in [ENDED, NOT_FOUND, "404 Not Found"] {
        let api = Api::new(&[answer]).await;
        assert_eq!(api.hang_up().await, Ok(()), "{answer}");
        assert_eq!(api.asked().len(), 1);
    }
}

#[tokio::test]
async fn a_busy_or_failing_api_is_asked_again_and_then_given_up() {
    let api = Api::new(&[BUSY, "503 Service Unavailable", "200 OK|{}"]).await;
    let begun = Instant::now();
    assert_eq!(api.hang_up().await, Ok(()));
    assert_eq!(api.asked().len(), 3);
    // 100 and 200 ms, a tenth less at most.
    assert!(begun.elapsed() >= Duration::from_millis(270), "{:?}", begun.elapsed());

    let api = Api::new(&["500 Internal Server Error"]).await;
    assert_eq!(api.hang_up().await, Err(RestError::Failing { status: 500 }));
    assert_eq!(api.asked().len(), 4);
}

#[tokio::test]
async fn retry_after_is_honoured_within_reason() {
    let api = Api::new(&["429 Too Many Requests\r\nRetry-After: 1|{}", "200 OK|{}"]).await;
    let begun = Instant::now();
    assert_eq!(api.hang_up().await, Ok(()));
    assert!((800..1500).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    let api = Api::new(&["429 Too Many Requests\r\nRetry-After: 3600|{}", "200 OK|{}"]).await;
    let begun = Instant::now();
    assert_eq!(api.hang_up().await, Ok(()));
    assert!(begun.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn a_refusal_is_final_and_redirects_are_not_followed() {
    for (answer, status, code) in [
        (WRONG_KEY, 401, Some(20003)),
        ("403 Forbidden|not json", 403, None),
        ("307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/steal|", 307, None),
    ] {
        let api = Api::new(&[answer]).await;
        assert_eq!(api.hang_up().await, Err(RestError::Refused { status, code }), "{answer}");
        assert_eq!(api.asked().len(), 1);
    }
}

#[tokio::test]
async fn a_silent_api_is_left_after_its_timeout() {
    let api = Api::new(&["hang", "200 OK|{}"]).await;
    let begun = Instant::now();
    assert_eq!(api.hang_up().await, Ok(()));
    assert!((3..7).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn an_api_that_is_not_there_is_unreachable() {
    let settings = TwilioSettings {
        account_sid: Some("AC1".into()),
        auth_token: Some(Secret::new("canary")),
        auth_token_secondary: None,
        api_url: "http://127.0.0.1:1".parse().unwrap(),
    };
    let client = Client::new(&settings).unwrap();
    let error = client.hang_up("AC1", "CA1").await.unwrap_err();
    assert_eq!(error, RestError::Unreachable);
    assert!(!format!("{client:?}{error}").contains("canary"));
    assert!(Client::new(&TwilioSettings { auth_token: None, ..settings }).is_none());
}
