//! No recording is lost, and none is left behind: the real program, killed, without its store, and asked to forget.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sim::model::ModelServer;
use sim::phone::{CallPlan, Phone, PhoneConfig};

use super::bucket::{Bucket, KEY, REGION, SECRET};
use super::heard::wait_for;
use super::played;
use crate::support::house::{ACCOUNT, TOKEN};
use crate::support::lines;
use crate::support::program::{PUBLIC_URL, Program, folder};
use crate::support::sound::audible_ms;

const WITHIN: Duration = Duration::from_secs(90);

/// A model and a folder with a configuration: everything but the program.
struct Site {
    model: ModelServer,
    folder: PathBuf,
    more: Vec<(String, String)>,
}

impl Site {
    fn new(to: &str, more: &[(&str, String)]) -> Self {
        let folder = folder();
        let (to, spool) = (to.replace("{folder}", &folder.display().to_string()), folder.join("spool"));
        let text = format!(
            "[recording]\nto = {to:?}\nspool = {spool:?}\n[agents.default]\nrecord = true\ngreeting = \"Greet the caller.\"\n"
        );
        std::fs::write(folder.join("aria.toml"), text).expect("a writable folder");
        let more = more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        Self { model: ModelServer::start(lines::model()).expect("a simulated model"), folder, more }
    }

    async fn serve(&self) -> Program {
        let (base_url, path) =
            (self.model.base_url(), |name: &str| self.folder.join(name).display().to_string());
        let (config, database) = (path("aria.toml"), format!("sqlite:{}", path("aria.db")));
        let mut environment = vec![
            ("OPENAI_BASE_URL", base_url.as_str()),
            ("OPENAI_API_KEY", aria_bridge::bridge::SIMULATED_KEY),
            ("TWILIO_ACCOUNT_SID", ACCOUNT),
            ("TWILIO_AUTH_TOKEN", TOKEN),
            ("ARIA_CONFIG", config.as_str()),
            ("DATABASE_URL", database.as_str()),
        ];
        environment.extend(self.more.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        Program::serve(&environment).await
    }

    fn spool(&self) -> PathBuf {
        self.folder.join("spool")
    }
}

async fn phone(program: &Program) -> Phone {
    Phone::start(PhoneConfig {
        public_url: PUBLIC_URL.parse().expect("a URL"),
        auth_token: Some(TOKEN.into()),
        account_sid: ACCOUNT.into(),
        ..PhoneConfig::new(program.url.clone())
    })
    .await
    .expect("a simulated phone")
}

/// The call as the API shows it, once it links to its recording.
async fn linked(program: &Program, sid: &str) -> serde_json::Value {
    let until = Instant::now() + WITHIN;
    loop {
        let url = program.url.join(&format!("/api/calls/{sid}")).expect("a path");
        let call: serde_json::Value = match reqwest::get(url).await.expect("it answers").json().await {
            Ok(call) => call,
            Err(_) => serde_json::Value::Null,
        };
        if call["recording"].is_string() {
            return call;
        }
        assert!(Instant::now() < until, "no link: {call}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn files(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_bridge_has_recorded_is_finished_by_the_next() {
    let site = Site::new("{folder}/put", &[]);
    let program = site.serve().await;
    let phone = phone(&program).await;
    let events = phone.events();
    let plan = CallPlan { limit: Duration::from_secs(20), ..lines::caller("pause 30s\nhangup\n") };
    let call = tokio::spawn(async move { phone.call(plan).await });
    // Greeting and some silence.
    tokio::time::sleep(Duration::from_secs(6)).await;
    drop(events);
    drop(program);
    let report = call.await.expect("the call ends");
    assert_eq!(files(&site.spool()), 1, "it waits");
    let again = site.serve().await;
    let recording = site.folder.join("put").join(format!("{}.ogg", report.call_sid));
    let played = played::ogg(&wait_for(&recording, &site.spool()).await);
    println!(
        "{:.1} s, of which ARIA speaks {} ms",
        played.aria.len() as f64 / 8_000.0,
        audible_ms(&played.aria)
    );
    assert!(audible_ms(&played.aria) > 500, "the greeting is in it");
    let call = linked(&again, &report.call_sid).await;
    assert_eq!(call["ended"], "aborted", "{call}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_is_away_gets_its_recordings_later_and_gives_them_back() {
    let bucket = Bucket::start(3).await;
    let environment = [
        ("AWS_ACCESS_KEY_ID", KEY.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
        ("AWS_REGION", REGION.to_owned()),
        ("AWS_ENDPOINT_URL", format!("http://{}", bucket.address)),
        ("AWS_ALLOW_HTTP", "true".to_owned()),
    ];
    let site = Site::new("s3://recordings/2026", &environment);
    let program = site.serve().await;
    let phone = phone(&program).await;
    let report = phone.call(lines::caller(lines::ONE_TURN)).await;
    let call = linked(&program, &report.call_sid).await;
    assert_eq!(call["recording"], format!("s3://recordings/2026/{}.ogg", report.call_sid));
    assert_eq!((bucket.forged(), files(&site.spool())), (0, 0));
    let objects = bucket.objects();
    let (path, stored) = objects.first_key_value().expect("it is in the bucket");
    assert_eq!((objects.len(), path), (1, &format!("/recordings/2026/{}.ogg", report.call_sid)));
    let played = program.url.join(&format!("/api/calls/{}/recording", report.call_sid)).expect("a path");
    let answer = reqwest::get(played).await.expect("it answers");
    assert_eq!(answer.headers()["content-type"], "audio/ogg");
    assert_eq!(&answer.bytes().await.expect("a body"), stored);
    // Whoever asks to be forgotten is forgotten there too.
    let number = program.url.join("/api/calls?before=99999999999999").expect("a path");
    let removed = reqwest::Client::new().delete(number).send().await.expect("it answers");
    assert_eq!(removed.json::<serde_json::Value>().await.expect("JSON")["calls"], 1);
    assert_eq!(bucket.objects().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removed_records_take_their_recordings_along() {
    let site = Site::new("{folder}/put", &[]);
    let program = site.serve().await;
    let phone = phone(&program).await;
    let plan = CallPlan { from: "+15557770000".into(), ..lines::caller(lines::ONE_TURN) };
    let report = phone.call(plan).await;
    linked(&program, &report.call_sid).await;
    assert_eq!(files(&site.folder.join("put")), 1);
    let url = program.url.join("/api/calls?number=%2B15557770000").expect("a path");
    let removed = reqwest::Client::new().delete(url).send().await.expect("it answers");
    assert_eq!(removed.json::<serde_json::Value>().await.expect("JSON")["calls"], 1);
    assert_eq!((files(&site.folder.join("put")), files(&site.spool())), (0, 0));
}
