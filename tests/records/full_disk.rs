//! The disk of the journal is full: a real one, of 8 MiB, in a mount namespace of the program's own.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sim::model::ModelServer;
use sim::phone::Moment;

use super::talk::{assert_heard, figure, get, model, phone, ready, recorded, script};
use crate::support::lines::caller;
use crate::support::program::{Program, folder};

/// From a disk that is full to a bridge that says so: until the call that goes on has something to record.
const NOTICED: Duration = Duration::from_secs(15);
/// From a disk with room to a bridge that takes calls.
const RECOVERED: Duration = Duration::from_secs(10);

/// Mounts `$0` and becomes the rest.
const MOUNTED: [&str; 6] = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"];
const SCRIPT: &str = r#"mount -t tmpfs -o size=8m none "$0" && exec "$@""#;

/// Whether this machine lets us.
fn mountable(folder: &Path) -> bool {
    let [unshare, arguments @ ..] = MOUNTED;
    let tried = Command::new(unshare).args(arguments).arg(SCRIPT).arg(folder).arg("true").output();
    tried.is_ok_and(|tried| tried.status.success())
}

/// Writes until there is no room for one more byte.
fn fill(path: &Path) {
    let mut file = File::create(path).expect("the disk takes a file");
    for size in [64 * 1024, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_45_a_full_disk_admits_nobody_and_costs_no_call_its_record() {
    let disk = folder();
    if !mountable(&disk) {
        eprintln!("skipped: this machine lets nobody mount a tmpfs in a namespace of his own");
        return;
    }
    let model = ModelServer::start(model()).expect("a simulated model");
    let path = disk.to_str().expect("plain names");
    let journal = format!("{path}/journal");
    let environment = [
        ("OPENAI_BASE_URL", model.base_url()),
        ("OPENAI_API_KEY", "sk-simulated".into()),
        ("ARIA_RECORDS_JOURNAL", journal),
        ("DATABASE_URL", format!("sqlite:{}", folder().join("aria.db").display())),
    ];
    let environment: Vec<(&str, &str)> = environment.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let wrapper = [&MOUNTED[..], &[SCRIPT, path]].concat();
    let program = Program::within(&wrapper, &environment).await;
    let phone = phone(&program).await;
    ready(&program, 200, RECOVERED).await;

    let living = {
        let phone = phone.clone();
        tokio::spawn(async move { phone.call(caller(&script(2))).await })
    };
    while program.live().await == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let filling = program.root().join(path.trim_start_matches('/')).join("filling");
    fill(&filling);
    let why = ready(&program, 503, NOTICED).await;
    let (_, metrics) = get(&program, "/metrics").await;
    assert_eq!(figure(&metrics, "aria_journal_healthy "), Some(0.0), "{why}");
    assert!(figure(&metrics, "aria_journal_errors_total ").is_some_and(|errors| errors > 0.0));
    let refused = phone.call(caller("")).await;
    assert!(refused.when(|m| matches!(m, Moment::Spoken(_))).is_some(), "never dead air: {refused:?}");
    // Who talks already hears nothing of it.
    let living = living.await.expect("the call does not panic");
    assert_heard(&living);
    assert_eq!(get(&program, "/readyz").await.0, 503, "nothing has made room");

    std::fs::remove_file(&filling).expect("it is there");
    ready(&program, 200, RECOVERED).await;
    let next = phone.call(caller(&script(0))).await;
    assert_heard(&next);
    for report in [&living, &next] {
        let call = recorded(&program, &report.call_sid, RECOVERED).await;
        assert_eq!(call["ended"], "caller_hung_up", "{call}");
        assert!(call["transcript"].as_array().is_some_and(|turns| !turns.is_empty()), "{call}");
    }
    let call = recorded(&program, &living.call_sid, RECOVERED).await;
    let said = call["transcript"].as_array().expect("turns").len();
    assert!(said >= 5, "a greeting, and two turns of each: {call}");
    let (_, metrics) = get(&program, "/metrics").await;
    assert_eq!(figure(&metrics, "aria_journal_healthy "), Some(1.0));
    assert_eq!(figure(&metrics, "aria_records_lost_total ").unwrap_or(0.0), 0.0);
    program.terminate().await;
    assert!(program.ended().await.success());
}
