//! Row 27: every way in which asking for a session fails. The caller hears an apology within four seconds of the answer.

use std::time::{Duration, Instant};

use aria_bridge::call::CallEnd;
use futures_util::future::join_all;
use sim::model::{Faults, HttpFault, HttpFaults, ModelConfig};
use tokio::net::TcpListener;

use super::verdict::{apologised, ordinary};
use crate::support::house::{Held, House};
use crate::support::lines::{self, LISTENING, ONE_TURN};

/// From the answer to our apology.
const LIMIT: Duration = Duration::from_secs(4);

fn model(first: Vec<HttpFault>, then: Option<HttpFault>) -> ModelConfig {
    ModelConfig { faults: Faults { http: HttpFaults { first, then }, ..Faults::default() }, ..lines::model() }
}

/// When sessions were asked for.
fn asked(house: &House) -> Vec<Instant> {
    house.models[0].requests().iter().filter(|r| r.path.ends_with("/realtime/calls")).map(|r| r.at).collect()
}

struct Case {
    what: &'static str,
    fault: HttpFault,
    end: CallEnd,
    attempts: std::ops::RangeInclusive<usize>,
}

fn refusal(status: u16, code: Option<&str>, retry_after: Option<u32>) -> HttpFault {
    HttpFault::Status { status, code: code.map(str::to_owned), retry_after }
}

async fn fail(case: Case) -> (Case, House, Held) {
    let mut model = model(vec![], Some(case.fault.clone()));
    if !matches!(case.fault, HttpFault::Status { .. }) {
        // What is wrong with an answer in SDP is not wrong with a WebSocket, which would save the call.
        model.faults.websocket_refused = Some(503);
    }
    let house = House::of(model).await;
    let held = house.call(0, LISTENING).await;
    (case, house, held)
}

async fn judge(cases: Vec<Case>) {
    for (case, house, held) in join_all(cases.into_iter().map(fail)).await {
        let what = case.what;
        let after = apologised(&held, case.end, LIMIT, what);
        let attempts = asked(&house).len();
        println!("{what}: apology {after:?} after the answer, {attempts} attempts");
        assert!(case.attempts.contains(&attempts), "{what}: {attempts} attempts");
        assert_eq!(house.registry.live(), 0, "{what}");
        // A session that was granted and could not be used is given back.
        assert_eq!(house.models[0].active(), 0, "{what}: a session is left over");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_27_what_no_retry_can_change_is_tried_once() {
    let refused = |what, status, code| Case {
        what,
        fault: refusal(status, code, None),
        end: CallEnd::ModelRefused,
        attempts: 1..=1,
    };
    judge(vec![
        refused("400", 400, None),
        refused("401", 401, None),
        refused("403", 403, None),
        refused("404", 404, None),
        refused("429, out of quota", 429, None),
        refused("429, billing", 429, Some("billing_hard_limit_reached")),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_27_what_may_pass_is_tried_again_within_the_budget() {
    let transient = |what, fault, attempts| Case { what, fault, end: CallEnd::ModelUnreachable, attempts };
    let busy = Some("rate_limit_exceeded");
    judge(vec![
        transient("500", HttpFault::status(500), 2..=3),
        transient("503", HttpFault::status(503), 2..=3),
        transient("429", refusal(429, busy, None), 2..=3),
        transient("429, again in a second", refusal(429, busy, Some(1)), 2..=3),
        transient("429, again in a minute", refusal(429, busy, Some(60)), 1..=1),
        transient("hangs", HttpFault::Hang, 1..=3),
        transient("drips", HttpFault::SlowBody { bytes: 1, every: Duration::from_millis(100) }, 1..=3),
        transient("cut off", HttpFault::TruncatedBody, 2..=3),
        transient("100 MB", HttpFault::HugeBody { bytes: 100 << 20 }, 1..=3),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_27_a_redirect_is_not_followed() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let to = format!("http://{}/v1/realtime/calls", elsewhere.local_addr().expect("it is bound"));
    let house = House::of(model(vec![], Some(HttpFault::Redirect { to }))).await;
    let held = house.call(0, LISTENING).await;
    apologised(&held, CallEnd::ModelRefused, LIMIT, "redirect");
    assert_eq!(asked(&house).len(), 1);
    let came = tokio::time::timeout(Duration::from_millis(100), elsewhere.accept()).await;
    assert!(came.is_err(), "the key was carried elsewhere");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_27_a_second_attempt_makes_an_ordinary_call() {
    let twice = |fault: HttpFault| model(vec![fault.clone(), fault], None);
    let cases = [
        ("one 503", model(vec![HttpFault::status(503)], None), 2),
        ("two 500", twice(HttpFault::status(500)), 3),
        ("one cut off", model(vec![HttpFault::TruncatedBody], None), 2),
        // A good answer under a wrong name is still a good answer, and one without a name can be used.
        ("text/html", model(vec![], Some(HttpFault::WrongContentType)), 1),
        ("no Location", model(vec![], Some(HttpFault::NoLocation)), 1),
        (
            "a slow answer",
            model(vec![], Some(HttpFault::SlowBody { bytes: 200, every: Duration::from_millis(50) })),
            1,
        ),
    ];
    let calls = cases.map(|(what, model, attempts)| async move {
        let house = House::of(model).await;
        let held = house.call(0, ONE_TURN).await;
        (what, attempts, house, held)
    });
    for (what, attempts, house, held) in join_all(calls).await {
        ordinary(&held, &["one-moment", "all-busy"], what);
        assert_eq!(asked(&house).len(), attempts, "{what}");
        assert_eq!(house.models[0].active(), 0, "{what}: a session is left over");
    }
}
