use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::broadcast;

use super::*;
use crate::call::{AttachError, Attached, CallEvent, Dialed, Onward};
use crate::hosting::token::TTL;
use crate::twilio::wire::MediaFormat;

/// A call that only notes how it was ended.
#[derive(Default)]
struct Fake {
    end: Mutex<Option<CallEnd>>,
}

impl Line for Fake {
    fn attach(&self, _: Start) -> BoxFuture<'_, Result<Attached, AttachError>> {
        async { Err(AttachError::Full) }.boxed()
    }

    fn end(&self, reason: CallEnd) {
        self.end.lock().unwrap().get_or_insert(reason);
    }

    fn is_ended(&self) -> Option<CallEnd> {
        *self.end.lock().unwrap()
    }

    fn ended(&self) -> BoxFuture<'_, CallEnd> {
        std::future::pending().boxed()
    }

    fn say(&self, _text: String) {}

    fn transfer(&self, _onward: Onward) {}

    fn onward(&self) -> Option<Onward> {
        None
    }

    fn returned(&self, _dialed: Dialed) {}

    fn reopening(&self) {}
    fn machine_detected(&self, _beep: bool) {}

    fn snapshot(&self) -> Snapshot {
        snapshot("CA")
    }

    fn subscribe(&self) -> broadcast::Receiver<CallEvent> {
        broadcast::channel(1).1
    }
}

fn snapshot(call_sid: &str) -> Snapshot {
    Snapshot {
        call_sid: call_sid.into(),
        agent: String::new(),
        from: String::new(),
        to: String::new(),
        progress: Vec::new(),
        transcript: Vec::new(),
        uplink: None,
        downlink: None,
        sound: None,
        far_end: None,
        interruptions: 0,
        total_tokens: 0,
        usage: Default::default(),
        sessions: 0,
        ended: None,
    }
}

fn start(call_sid: &str, stream_sid: &str) -> Start {
    Start {
        stream_sid: stream_sid.into(),
        call_sid: call_sid.into(),
        account_sid: "AC1".into(),
        tracks: vec!["inbound".into()],
        media_format: MediaFormat { encoding: "audio/x-mulaw".into(), sample_rate: 8000, channels: 1 },
        parameters: BTreeMap::new(),
    }
}

struct House {
    registry: Registry,
    begun: AtomicUsize,
}

impl House {
    fn new(max_calls: usize) -> Self {
        Self { registry: Registry::new(max_calls, 100_000), begun: AtomicUsize::new(0) }
    }

    /// The answer is the token itself, or the reason.
    fn admit(
        &self,
        call_sid: &str,
        account_sid: &str,
        idempotency: Option<&str>,
        now: Instant,
    ) -> (String, Admitted) {
        let (answer, admitted) = self.registry.admit(
            Arrival { call_sid, account_sid, idempotency },
            now,
            || {
                self.begun.fetch_add(1, SeqCst);
                Arc::new(Fake::default())
            },
            str::to_owned,
            |refusal| refusal.as_str().to_owned(),
        );
        (String::from_utf8(answer.to_vec()).unwrap(), admitted)
    }

    fn token(&self, call_sid: &str, now: Instant) -> String {
        self.admit(call_sid, "AC1", None, now).0
    }
}

#[test]
fn a_repeated_webhook_gets_the_same_answer_and_begins_nothing() {
    let (house, now) = (House::new(10), Instant::now());
    let (first, admitted) = house.admit("CA1", "AC1", Some("retry-1"), now);
    assert!(matches!(admitted, Admitted::Begun(_)));
    for (sid, token) in
        [("CA1", Some("retry-1")), ("CA1", None), ("CA1", Some("other")), ("CA9", Some("retry-1"))]
    {
        let (answer, admitted) = house.admit(sid, "AC1", token, now);
        assert!(matches!(admitted, Admitted::Repeated));
        assert_eq!(answer, first);
    }
    assert_eq!((house.begun.load(SeqCst), house.registry.live()), (1, 1));
    // Another account with the same idempotency token is another call.
    assert_ne!(house.admit("CA2", "AC2", Some("retry-1"), now).0, first);
}

/// Row 3 of the fault list.
#[test]
fn a_hundred_replays_at_once_are_one_call() {
    let house = House::new(10);
    let answers: Vec<String> = std::thread::scope(|scope| {
        let replays: Vec<_> = (0..100)
            .map(|_| scope.spawn(|| house.admit("CA1", "AC1", Some("r"), Instant::now()).0))
            .collect();
        replays.into_iter().map(|r| r.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(house.begun.load(SeqCst), 1);
}

#[test]
fn an_ended_call_is_remembered_for_a_while_and_frees_its_room() {
    let (house, now) = (House::new(1), Instant::now());
    let answer = house.token("CA1", now);
    assert_eq!(house.token("CA2", now), "full");
    assert_eq!(house.registry.open(), Err(Refusal::Full));
    house.registry.finish("CA1", CallEnd::CallerHungUp, snapshot("CA1"), now);
    house.registry.finish("CA1", CallEnd::Internal, snapshot("CA1"), now);
    assert_eq!(house.registry.live(), 0);
    assert!(matches!(house.registry.standing("CA1"), Standing::Ended(CallEnd::CallerHungUp)));
    assert_eq!(house.token("CA1", now + REMEMBER_FOR), answer);
    assert_eq!(house.token("CA2", now + REMEMBER_FOR), "full", "a refusal is repeated too");
    assert_eq!(house.registry.snapshots().len(), 1);
    let later = now + REMEMBER_FOR + Duration::from_secs(1);
    assert_ne!(house.token("CA1", later), answer);
    assert_eq!(house.begun.load(SeqCst), 2);
}

#[test]
fn what_is_remembered_is_bounded() {
    let (house, now) = (House::new(usize::MAX), Instant::now());
    for i in 0..3 * MAX_REMEMBERED {
        let sid = format!("CA{i}");
        house.admit(&sid, "AC1", Some(&format!("r{i}")), now);
        house.registry.finish(&sid, CallEnd::CallerHungUp, snapshot(&sid), now);
    }
    let inner = house.registry.lock();
    assert!(inner.entries.len() <= MAX_REMEMBERED + 1, "{}", inner.entries.len());
    assert_eq!(inner.entries.len(), inner.retries.len());
    assert_eq!(inner.entries.len(), inner.over.len());
}

#[test]
fn refusals_in_a_flood_are_bounded_too() {
    let (house, now) = (House::new(0), Instant::now());
    for i in 0..3 * MAX_REMEMBERED {
        assert_eq!(house.token(&format!("CA{i}"), now), "full");
    }
    assert!(house.registry.lock().entries.len() <= MAX_REMEMBERED + 1);
}

/// Rows 5 and 9 of the fault list.
#[test]
fn a_token_opens_one_stream_of_its_own_call() {
    let (house, now) = (House::new(10), Instant::now());
    let (token, _) = (house.token("CA1", now), house.token("CA2", now));
    let claim = |token: &str, sid: &str, at| house.registry.claim(token, &start(sid, "MZ1"), at).map(|_| ());
    assert_eq!(claim("forged", "CA1", now), Err(TokenError::Unknown.into()));
    assert_eq!(claim(&token, "CA2", now), Err(TokenError::OtherCall.into()));
    let mut foreign = start("CA1", "MZ1");
    foreign.account_sid = "AC2".into();
    assert!(house.registry.claim(&token, &foreign, now).is_err());
    assert_eq!(claim(&token, "CA1", now), Ok(()));
    assert_eq!(claim(&token, "CA1", now), Err(TokenError::Unknown.into()));
    let late = house.token("CA3", now);
    assert_eq!(claim(&late, "CA3", now + TTL + Duration::from_secs(1)), Err(TokenError::Expired.into()));
    let ended = house.token("CA4", now);
    house.registry.finish("CA4", CallEnd::CallerHungUp, snapshot("CA4"), now);
    assert_eq!(claim(&ended, "CA4", now), Err(ClaimError::Ended));
}

#[test]
fn broken_streams_are_replaced_some_times() {
    let (house, now) = (House::new(10), Instant::now());
    let token = house.token("CA1", now);
    let first = house.registry.claim(&token, &start("CA1", "MZ1"), now).ok().unwrap();
    let second = house.registry.reconnect("CA1", now).unwrap();
    assert!(first.cancelled.notified().now_or_never().is_some(), "the old socket is told to close");
    let third = house.registry.claim(&second, &start("CA1", "MZ2"), now).ok().unwrap();
    // Twilio's report on the old stream does not touch the new one.
    assert!(!house.registry.stream_failed("CA1", Some("MZ1")));
    assert!(third.cancelled.notified().now_or_never().is_none());
    assert!(house.registry.stream_failed("CA1", Some("MZ2")));
    assert!(third.cancelled.notified().now_or_never().is_some());
    for _ in 1..MAX_RECONNECTS {
        assert!(house.registry.reconnect("CA1", now).is_some());
    }
    assert_eq!(house.registry.reconnect("CA1", now), None);
}

#[test]
fn how_a_stream_closed_decides_what_comes_after() {
    let (house, now) = (House::new(10), Instant::now());
    let token = house.token("CA1", now);
    house.registry.claim(&token, &start("CA1", "MZ1"), now).ok().unwrap();
    let by_us = || match house.registry.standing("CA1") {
        Standing::Live { closed_by_us, .. } => closed_by_us,
        _ => panic!(),
    };
    assert!(!by_us());
    house.registry.stream_closed("CA1", "MZ0", true);
    assert!(!by_us(), "a stream that is not the call's current one");
    house.registry.stream_closed("CA1", "MZ1", true);
    assert!(by_us());
    assert_eq!(house.registry.end_all(CallEnd::Shutdown), 1);
    assert!(matches!(house.registry.standing("CA1"), Standing::Ended(CallEnd::Shutdown)));
    assert!(matches!(house.registry.standing("CA2"), Standing::Unknown));
}

#[test]
fn draining_refuses_new_calls_and_waits_for_old_ones() {
    let (house, now) = (House::new(10), Instant::now());
    house.token("CA1", now);
    house.registry.drain();
    assert_eq!(house.token("CA2", now), "draining");
    assert_eq!(house.registry.open(), Err(Refusal::Draining));
    assert!(house.registry.empty().now_or_never().is_none());
    house.registry.finish("CA1", CallEnd::CallerHungUp, snapshot("CA1"), now);
    assert!(house.registry.empty().now_or_never().is_some());
}
