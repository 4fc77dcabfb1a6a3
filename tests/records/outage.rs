//! The database is away under load: what the callers hear of it, and how soon it has everything.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sim::model::ModelServer;
use sim::phone::Phone;
use sqlx::{AnyConnection, Connection, Executor};

use super::database::Base;
use super::talk::{assert_heard, figure, get, model, phone, recorded, script};
use crate::support::lines::caller;
use crate::support::program::Program;

/// From the database's return until it has every record.
const CAUGHT_UP: Duration = Duration::from_secs(10);
/// Calls that begin a second: below what the bridge admits.
const CALLS_PER_SECOND: u32 = 20;
/// From the first call to the outage.
const LEAD: Duration = Duration::from_secs(1);

/// What the bridge counted of its sound, both ways.
#[derive(Debug, Clone, Copy, Default)]
struct Sound {
    /// Frames handed to Twilio, and packets sent to the model.
    frames: f64,
    /// Of those, what left more than 20 ms after it was due or had come: a frame's length.
    late: f64,
    /// What was given up because a queue was full.
    dropped: f64,
    /// Packets of the model that came after their place had been played.
    missed: f64,
}

impl Sound {
    async fn now(program: &Program) -> Self {
        let (_, metrics) = get(program, "/metrics").await;
        let counted = |line: &str| figure(&metrics, line).unwrap_or_else(|| panic!("{line}: {metrics}"));
        let of = |road: &str| {
            let all = counted(&format!("aria_{road}_delay_seconds_count "));
            (all, all - counted(&format!("aria_{road}_delay_seconds_bucket{{le=\"0.02\"}} ")))
        };
        let ((up, up_late), (down, down_late)) = (of("uplink"), of("downlink"));
        Self {
            frames: up + down,
            late: up_late + down_late,
            dropped: counted("aria_audio_dropped_full_total "),
            missed: counted("aria_audio_late_total "),
        }
    }

    fn since(self, before: Self) -> Self {
        Self {
            frames: self.frames - before.frames,
            late: self.late - before.late,
            dropped: self.dropped - before.dropped,
            missed: self.missed - before.missed,
        }
    }

    fn late_share(self) -> f64 {
        self.late / self.frames
    }
}

/// So many calls of so many turns, and what the bridge counted of them. Gives their ids.
async fn crowd(program: &Program, phone: &Phone, calls: u32, turns: usize) -> (Vec<String>, Sound) {
    let before = Sound::now(program).await;
    let script = script(turns);
    let call = |number: u32| {
        let (phone, plan) = (phone.clone(), caller(&script));
        async move {
            tokio::time::sleep(Duration::from_secs(1) * number / CALLS_PER_SECOND).await;
            let limit = Duration::from_secs(20 * (turns as u64 + 1));
            phone.call(sim::phone::CallPlan { limit, ..plan }).await
        }
    };
    let reports = join_all((0..calls).map(call)).await;
    reports.iter().for_each(assert_heard);
    program.empty(Duration::from_secs(10)).await;
    let sound = Sound::now(program).await.since(before);
    (reports.into_iter().map(|report| report.call_sid).collect(), sound)
}

/// Takes the database away; the lock that does so, if it is one.
async fn take_away(base: &mut Base) -> Option<AnyConnection> {
    match &mut base.server {
        Some(server) => {
            server.stop();
            None
        }
        None => {
            sqlx::any::install_default_drivers();
            let mut other = AnyConnection::connect(&base.url).await.expect("it is there");
            other.execute("PRAGMA busy_timeout = 5000; BEGIN EXCLUSIVE").await.expect("the lock");
            Some(other)
        }
    }
}

async fn bring_back(base: &mut Base, lock: Option<AnyConnection>) {
    if let Some(mut lock) = lock {
        lock.execute("ROLLBACK").await.expect("the lock is given back");
    }
    if let Some(server) = &mut base.server {
        server.run();
    }
}

/// Three crowds one after the other; the database is away from the beginning of the second until all of it is over, `away` at least.
async fn survive(mut base: Base, calls: u32, turns: usize, away: Duration) {
    let model = ModelServer::start(model()).expect("a simulated model");
    let journal = base.folder.join("journal");
    let environment = [
        ("OPENAI_BASE_URL", model.base_url()),
        ("OPENAI_API_KEY", "sk-simulated".into()),
        ("DATABASE_URL", base.url.clone()),
        ("ARIA_RECORDS_JOURNAL", journal.display().to_string()),
    ];
    let environment: Vec<(&str, &str)> = environment.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let program = Program::serve(&environment).await;
    let phone = phone(&program).await;
    let (_, before) = crowd(&program, &phone, calls, turns).await;

    let outage = async {
        tokio::time::sleep(LEAD).await;
        let lock = take_away(&mut base).await;
        (lock, Instant::now())
    };
    let ((sids, during), (lock, gone)) = tokio::join!(crowd(&program, &phone, calls, turns), outage);
    tokio::time::sleep(away.saturating_sub(gone.elapsed())).await;
    assert_eq!(get(&program, "/readyz").await.0, 200, "calls are taken without a database");
    let gone = gone.elapsed();
    bring_back(&mut base, lock).await;
    let back = Instant::now();
    for sid in &sids {
        let call = recorded(&program, sid, CAUGHT_UP.saturating_sub(back.elapsed())).await;
        assert_eq!(call["ended"], "caller_hung_up", "{call}");
        let said = call["transcript"].as_array().map_or(0, Vec::len);
        assert!(said > 2 * turns, "a greeting, and of each turn the words of both: {call}");
    }
    let caught_up = back.elapsed();
    let (_, after) = crowd(&program, &phone, calls, turns).await;
    println!(
        "{calls} calls; away for {gone:.1?}; every record is there {caught_up:.1?} after its return\n\
         before {before:?}\nduring {during:?}\nafter  {after:?}\n\
         late of a thousand: {:.2} before, {:.2} during, {:.2} after",
        before.late_share() * 1e3,
        during.late_share() * 1e3,
        after.late_share() * 1e3
    );
    let (_, metrics) = get(&program, "/metrics").await;
    assert_eq!(figure(&metrics, "aria_records_lost_total ").unwrap_or(0.0), 0.0);
    // Others use this machine, too: what is late in all three crowds is theirs. An outage that held calls up would make whole seconds late.
    let usual = before.late_share().max(after.late_share());
    assert!(during.late_share() <= 2.0 * usual + 0.02, "{during:?}");
    assert!(during.dropped <= 2.0 * before.dropped.max(after.dropped) + 0.005 * during.frames, "{during:?}");
    program.terminate().await;
    assert!(program.ended().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_callers_hear_nothing_of_a_database_that_is_locked_for_five_seconds() {
    survive(Base::sqlite("outage"), 10, 1, Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_callers_hear_nothing_of_a_postgres_that_is_down_for_five_seconds() {
    if let Some(base) = Base::postgres("outage") {
        survive(base, 10, 1, Duration::from_secs(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement of five minutes"]
async fn fifty_calls_and_a_minute_without_sqlite() {
    survive(Base::sqlite("minute"), 50, 6, Duration::from_secs(60)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement of five minutes"]
async fn fifty_calls_and_a_minute_without_postgres() {
    if let Some(base) = Base::postgres("minute") {
        survive(base, 50, 6, Duration::from_secs(60)).await;
    }
}
