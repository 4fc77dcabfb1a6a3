//! The commands as a shell runs them: `aria number`, `aria dial`, `aria doctor`, `aria check`, `aria openapi`.

mod support;

use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use sim::phone::{Answering, Taker};
use tokio::process::Command;

use support::house::{ACCOUNT, Blueprint, House, TOKEN};
use support::lines;

/// The number that the simulated account has.
const NUMBER: &str = "+15551230000";

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Runs `aria` with the house's peers and nothing else of ours.
async fn aria(house: &House, arguments: &[&str], more: &[(&str, &str)]) -> Output {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("commands");
    std::fs::create_dir_all(&folder).expect("cargo's directory for tests is writable");
    let bridge = format!("http://{}", house.address);
    let (api, model) = (house.phone.api_url().to_string(), house.models[0].base_url());
    let run = Command::new(env!("CARGO_BIN_EXE_aria"))
        .args(arguments)
        .env_clear()
        .envs([
            ("ARIA_PUBLIC_URL", bridge.as_str()),
            ("ARIA_LISTEN", bridge.trim_start_matches("http://")),
            ("TWILIO_API_URL", &api),
            ("TWILIO_ACCOUNT_SID", ACCOUNT),
            ("TWILIO_AUTH_TOKEN", TOKEN),
            ("OPENAI_BASE_URL", &model),
            ("ARIA_LIMITS_MAX_CALLS", "10"),
        ])
        .envs(more.iter().copied())
        .current_dir(folder)
        .stdin(Stdio::null())
        .output();
    tokio::time::timeout(Duration::from_secs(60), run).await.expect("it ends").expect("cargo has built it")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_is_shown_set_and_then_leads_here() {
    let house = House::of(lines::model()).await;
    let list = aria(&house, &["number", "list"], &[]).await;
    assert_eq!(code(&list), Some(0), "{}", text(&list));
    assert!(text(&list).contains(NUMBER) && text(&list).contains("(none)"), "{}", text(&list));

    let unasked = aria(&house, &["number", "set", NUMBER], &[]).await;
    assert_eq!(code(&unasked), Some(1), "{}", text(&unasked));
    assert!(text(&unasked).contains("--yes") && text(&unasked).contains("-> http://"), "{}", text(&unasked));
    assert!(!house.phone.requests().iter().any(|r| r.method == "POST"), "nothing was changed");

    let fallback = "https://example.com/fallback.xml";
    let set = aria(&house, &["number", "set", NUMBER, "--yes", "--fallback", fallback], &[]).await;
    assert_eq!(code(&set), Some(0), "{}", text(&set));
    let listed = text(&aria(&house, &["number", "list"], &[]).await);
    for part in ["(this bridge)", "/api/twilio/voice/inbound", "/api/twilio/voice/status", fallback] {
        assert!(listed.contains(part), "{part}: {listed}");
    }
    let again = text(&aria(&house, &["number", "set", NUMBER], &[]).await);
    assert!(again.contains("nothing to change"), "{again}");
    let other = aria(&house, &["number", "set", "+15559990000", "--yes"], &[]).await;
    assert!(code(&other) == Some(1) && text(&other).contains("has no number"), "{}", text(&other));
    assert_eq!(code(&aria(&house, &["number", "set", "555", "--yes"], &[]).await), Some(2));
    let nobody = aria(&house, &["number", "list"], &[("TWILIO_AUTH_TOKEN", "")]).await;
    assert!(code(&nobody) == Some(2) && text(&nobody).contains("TWILIO_AUTH_TOKEN"), "{}", text(&nobody));
    let wrong = aria(&house, &["number", "list"], &[("TWILIO_AUTH_TOKEN", "canary")]).await;
    assert!(code(&wrong) == Some(1) && text(&wrong).contains("20003"), "{}", text(&wrong));
    assert!(!text(&wrong).contains("canary"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_dialed_by_the_bridge() {
    let answering = Answering { taker: Taker::Nobody, ringing: Duration::from_millis(200) };
    let file = "[outbound]\nallow = [\"+1555777*\"]\nfrom = \"+15550000000\"\n".to_owned();
    let house = House::build(Blueprint { file, answering, ..Blueprint::default() }).await;
    let dialed =
        aria(&house, &["dial", "+15557770001", "--agent", "a0", "--variable", "name=Ada"], &[]).await;
    assert_eq!(code(&dialed), Some(0), "{}", text(&dialed));
    assert!(text(&dialed).contains("as a0: CA"), "{}", text(&dialed));
    let refused = aria(&house, &["dial", "+4930123456"], &[]).await;
    assert!(
        code(&refused) == Some(1) && text(&refused).contains("not in outbound.allow"),
        "{}",
        text(&refused)
    );
    let key = ["dial", "+15557770002", "--idempotency-key", "k"];
    let (first, second) = (aria(&house, &key, &[]).await, aria(&house, &key, &[]).await);
    assert_eq!(text(&first), text(&second));
    let created = house.phone.requests().into_iter().filter(|r| r.path.ends_with("/Calls.json")).count();
    assert_eq!(created, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_says_what_to_fix() {
    let house = House::of(lines::model()).await;
    let numbers = format!("[numbers]\n\"{NUMBER}\" = \"default\"\n");
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("commands");
    std::fs::create_dir_all(&folder).expect("cargo's directory for tests is writable");
    let config = folder.join("doctor.toml");
    std::fs::write(&config, numbers).expect("it can be written");
    let config = config.display().to_string();
    let ill = aria(&house, &["doctor", "--config", &config], &[]).await;
    assert_eq!(code(&ill), Some(1), "{}", text(&ill));
    let line = |output: &Output, what: &str| {
        let text = text(output);
        let found = text.lines().find(|line| line.contains(what)).map(str::to_owned);
        found.unwrap_or_else(|| panic!("{what}: {text}"))
    };
    assert!(line(&ill, &format!("number {NUMBER}")).starts_with("PROBLEM"), "{}", text(&ill));
    assert!(text(&ill).contains(&format!("aria number set {NUMBER}")), "{}", text(&ill));
    for what in
        ["configuration", "file descriptors", "database", "journal", "public URL", "Twilio account", "clock"]
    {
        assert!(line(&ill, &format!(" {what}:")).starts_with("ok"), "{what}: {}", text(&ill));
    }

    let set = aria(&house, &["number", "set", NUMBER, "--yes"], &[]).await;
    assert_eq!(code(&set), Some(0), "{}", text(&set));
    let cured = aria(&house, &["doctor", "--config", &config], &[]).await;
    assert!(line(&cured, &format!("number {NUMBER}")).starts_with("ok"), "{}", text(&cured));
    // A machine without a network has no way out for UDP; nothing else may be wrong.
    let problems: Vec<String> = text(&cured)
        .lines()
        .filter(|l| l.starts_with("PROBLEM") && !l.contains("UDP"))
        .map(str::to_owned)
        .collect();
    assert!(problems.is_empty(), "{problems:?}");

    let away = aria(&house, &["doctor"], &[("ARIA_PUBLIC_URL", "http://127.0.0.1:1")]).await;
    assert!(line(&away, " public URL:").starts_with("PROBLEM"), "{}", text(&away));
    let offline =
        aria(&house, &["doctor", "--offline"], &[("DATABASE_URL", "sqlite:/nowhere/at/all.db")]).await;
    assert!(
        line(&offline, " database:").starts_with("PROBLEM") && code(&offline) == Some(1),
        "{}",
        text(&offline)
    );
    assert!(!text(&offline).contains("public URL"), "{}", text(&offline));
    let bad = aria(&house, &["doctor", "--offline"], &[("ARIA_LISTEN", "nonsense")]).await;
    assert_eq!(code(&bad), Some(2), "{}", text(&bad));
    assert!(!text(&ill).contains(TOKEN));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_told_everything_that_is_wrong_with_it() {
    let house = House::of(lines::model()).await;
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("commands");
    std::fs::create_dir_all(&folder).expect("cargo's directory for tests is writable");
    let path = folder.join("wrong.toml");
    let wrong = "[limits]\nmax_cals = 5\ncalls_per_second = 0\n[twilio]\nauth_token = \"canary\"\n[agents.default]\n\
                codec = \"mp3\"\n[numbers]\n\"+1555\" = \"sales\"\n";
    std::fs::write(&path, wrong).expect("it can be written");
    let config = path.display().to_string();
    for command in ["check", "serve"] {
        let output =
            aria(&house, &[command, "--config", &config], &[("ARIA_AUDIO_OPUS_BITRATE", "high")]).await;
        assert_eq!(code(&output), Some(2), "{command}: {}", text(&output));
        for (line, part) in [
            ("2: limits.max_cals: there is no such field", "did you mean `max_calls`?"),
            ("3: limits.calls_per_second: \"0\" is not allowed", "at least 1"),
            ("5: twilio.auth_token: there is no such field", "`account_sid`"),
            ("7: agents.default.codec: \"mp3\" is not allowed", "`opus`"),
            ("9: numbers.\"+1555\": \"sales\" is not allowed", "one of the agents: default"),
        ] {
            let begin = format!("{config}:{line}");
            let told = text(&output);
            assert!(told.lines().any(|l| l.contains(&begin) && l.contains(part)), "{command} {line}: {told}");
        }
        assert!(text(&output).contains("ARIA_AUDIO_OPUS_BITRATE: \"high\" is not allowed"), "{output:?}");
        assert!(!text(&output).contains("canary"), "{output:?}");
    }
    std::fs::write(&path, "[limits]\nmax_calls = = 5\n").expect("it can be written");
    let output = aria(&house, &["check", "--config", &config], &[("ARIA_LIMIT_MAX_CALLS", "5")]).await;
    assert_eq!(code(&output), Some(2), "{output:?}");
    assert!(text(&output).contains(&format!("{config}:2:13: ")), "{output:?}");
    std::fs::write(&path, "[limits]\nmax_calls = 5\n").expect("it can be written");
    let output = aria(&house, &["check", "--config", &config], &[("ARIA_LIMIT_MAX_CALLS", "5")]).await;
    assert_eq!(code(&output), Some(0), "{output:?}");
    assert!(text(&output).contains("ARIA_LIMIT_MAX_CALLS is set and names no field"), "{output:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_document_of_the_api_is_printed_as_it_is_served() {
    let house = House::of(lines::model()).await;
    let url = format!("http://{}/api/openapi.json", house.address);
    let served = reqwest::get(url).await.expect("it answers").text().await.expect("text");
    let printed = aria(&house, &["openapi"], &[]).await;
    assert_eq!(code(&printed), Some(0), "{printed:?}");
    assert_eq!(String::from_utf8_lossy(&printed.stdout).trim_end(), served);
}
