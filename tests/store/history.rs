//! What is written is read again, page by page, and goes when it must.

use aria_bridge::store::{Filter, Record, Which};
use serde_json::json;

use super::database::{Base, begun, ended, event, turn};

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_read_as_it_was_recorded() {
    for base in Base::both("history") {
        let store = base.open();
        store.record(Record::Begun(begun("CA1", 1_000)));
        store.record(turn("CA1", 1, "Hello\0there"));
        store.record(turn("CA1", 0, "ARIA speaking."));
        let (sid, call_id, name) = ("CA1".to_owned(), "fc1".to_owned(), "lookup".to_owned());
        let arguments = r#"{"city":"Lima"}"#.into();
        store.record(Record::ToolStarted { sid, call_id, name, arguments, at_ms: 40 });
        let (sid, call_id, name) = ("CA1".to_owned(), "fc1".to_owned(), "lookup".to_owned());
        store.record(Record::ToolEnded { sid, call_id, name, ok: true, output: "Lima".into(), took_ms: 9 });
        store.record(event("CA1", 70));
        assert_eq!(store.unsettled().len(), 1);
        store.record_durably(ended("CA1", 5_000)).await.expect("acknowledged");
        store.settled().await;
        assert_eq!(store.unsettled(), []);

        let call = store.call("CA1").await.expect("it answers").expect("it is there");
        assert_eq!(call["ended"], "caller_hung_up", "{call}");
        assert_eq!((&call["started_ms"], &call["ended_ms"]), (&json!(1_000), &json!(5_000)));
        assert_eq!((&call["cost_micros"], &call["usage"]["text_in"]), (&json!(12), &json!(3)));
        assert_eq!((&call["from"], &call["from_number"]), (&json!("…42"), &json!("+15551000042")));
        assert_eq!(call["uplink_p99_us"], 900);
        let said: Vec<_> =
            call["transcript"].as_array().unwrap().iter().map(|t| t["text"].as_str().unwrap()).collect();
        assert_eq!(said, ["ARIA speaking.", "Hello\u{FFFD}there"]);
        let tool = &call["tool_calls"][0];
        assert_eq!(
            (&tool["ok"], &tool["output"], &tool["took_ms"]),
            (&json!(true), &json!("Lima"), &json!(9))
        );
        assert_eq!(call["events"][0], json!({ "type": "note", "at_ms": 70, "detail": { "text": "x" } }));
        assert_eq!(store.call("CA2").await, Ok(None));
        store.close(std::time::Duration::from_secs(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_pages_and_filters_and_loses_no_call_on_the_way() {
    for base in Base::both("pages") {
        let store = base.open();
        for i in 0..25u64 {
            let sid = format!("CA{i:02}");
            // Several begin in one millisecond.
            let mut begun = begun(&sid, 1_000 + i / 4);
            begun.agent = if i % 5 == 0 { "sales" } else { "default" }.into();
            begun.from = format!("+1555{i:04}");
            begun.direction = if i % 3 == 0 { "outbound" } else { "inbound" }.into();
            store.record(Record::Begun(begun));
            store.record(ended(&sid, 9_000));
        }
        store.record_durably(Record::Begun(begun("CAlive", 2_000))).await.expect("acknowledged");
        store.settled().await;
        let (mut filter, mut all) = (Filter::default(), Vec::new());
        loop {
            let page = store.calls(&filter, 7).await.expect("it answers");
            all.extend(page.calls.iter().map(|c| c["call_sid"].as_str().unwrap().to_owned()));
            match page.next {
                Some(next) => filter.before = Some(next),
                None => break,
            }
        }
        let expected: Vec<String> = (0..25).rev().map(|i| format!("CA{i:02}")).collect();
        assert_eq!(all, expected);

        let count = async |filter: Filter| store.calls(&filter, 200).await.expect("it answers").calls.len();
        assert_eq!(count(Filter { agent: Some("sales".into()), ..Filter::default() }).await, 5);
        assert_eq!(count(Filter { direction: Some("outbound".into()), ..Filter::default() }).await, 9);
        assert_eq!(count(Filter { direction: Some("inbound".into()), ..Filter::default() }).await, 16);
        assert_eq!(count(Filter { number: Some("+15550003".into()), ..Filter::default() }).await, 1);
        assert_eq!(count(Filter { number: Some("+15550000000".into()), ..Filter::default() }).await, 25);
        assert_eq!(count(Filter { outcome: Some("aborted".into()), ..Filter::default() }).await, 0);
        let some = Filter {
            since_ms: Some(1_002),
            until_ms: Some(1_004),
            agent: Some("default".into()),
            ..Filter::default()
        };
        assert_eq!(count(some).await, 6);

        // Records go by number and by age; calls that go on stay.
        assert_eq!(store.prune(&Which::Number("+15550003".into())).await, Ok(1));
        assert_eq!(store.call("CA03").await, Ok(None));
        assert_eq!(store.prune(&Which::Before(1_003)).await, Ok(11));
        assert_eq!(store.prune(&Which::Before(u64::MAX)).await, Ok(13));
        assert_eq!(store.unsettled().len(), 1);
        assert_eq!(base.count("SELECT COUNT(*) FROM calls").await, 1);
        store.close(std::time::Duration::from_secs(5)).await;
    }
}
