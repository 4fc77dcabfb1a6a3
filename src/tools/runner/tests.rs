use super::*;
use crate::config::{Sources, load};

pub(in crate::tools) const CALLER: &str = "+15551000000";
pub(in crate::tools) const OWN: &str = "+15550000000";

const TABLES: &str = r#"
    [agents.default]
    [[agents.default.tools]]
    type = "builtin"
    name = "end_call"
    [[agents.default.tools]]
    type = "builtin"
    name = "transfer_call"
    targets = { sales = "+15551230001", support = "+15551230002" }
    confirm = true
    filler = "One moment, please."
    [[agents.default.tools]]
    type = "builtin"
    name = "send_message"
    allow = { office = "+15551230003" }
    [[agents.default.tools]]
    type = "builtin"
    name = "press_keys"
    max_per_call = 3
    [[agents.default.tools]]
    type = "builtin"
    name = "take_note"
    [[agents.default.tools]]
    type = "http"
    name = "lookup"
    url = "http://127.0.0.1:9/{city}"
    method = "GET"
    parameters = { type = "object", additionalProperties = false, required = ["city"], properties = { city = { type = "string" } } }
"#;

fn runner(text: &str) -> (Runner, Desk) {
    let settings = load(&Sources { text: Some(text.into()), ..Sources::default() }).unwrap();
    let runner = Runner::new(&settings).unwrap();
    let desk = runner.desk(settings.agent_for("+1"), CALLER, OWN);
    (runner, desk)
}

#[tokio::test]
async fn the_model_sees_each_tool_once() {
    let (runner, desk) = runner(TABLES);
    let definitions = runner.definitions(&desk.agent);
    let names: Vec<_> = definitions.iter().map(|d| d["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["end_call", "transfer_call", "send_message", "press_keys", "take_note", "lookup"]);
    assert!(definitions[1]["parameters"]["properties"]["confirmed"].is_object());
    // The model learns names, never numbers.
    assert!(!Value::from(definitions).to_string().contains("+1555"));
    assert_eq!(desk.filler("transfer_call"), Some("One moment, please."));
    assert_eq!((desk.filler("lookup"), desk.filler("nobody")), (None, None));
}

#[tokio::test]
async fn arguments_are_judged_before_anything_runs() {
    let (runner, desk) = runner(TABLES);
    for (name, arguments, told) in [
        ("nobody", "{}", "no such tool"),
        ("lookup", "[1]", "not a JSON object"),
        ("lookup", "{\"city\":", "not a JSON object"),
        ("lookup", "{\"city\":7}", "do not fit"),
        ("lookup", "{\"city\":\"Lima\",\"x\":1}", "do not fit"),
        ("lookup", "{\"city\":\"..\"}", "do not fit"),
        ("lookup", "{\"city\":\"Lima\"}", "may not be reached"),
        ("press_keys", "{\"digits\":\"1,2\"}", "do not fit"),
        ("take_note", "", "do not fit"),
    ] {
        let outcome = runner.run(&desk, name, arguments.into()).await;
        assert!(!outcome.ok && outcome.output_for_model.contains(told), "{name} {arguments}: {outcome:?}");
    }
    let large = format!("{{\"text\":\"{}\"}}", "x".repeat(MAX_ARGUMENTS_BYTES));
    assert!(runner.run(&desk, "take_note", large).await.output_for_model.contains("JSON object"));
}

#[tokio::test]
async fn a_transfer_needs_the_callers_word_and_happens_once() {
    let (runner, desk) = runner(TABLES);
    let ask = |arguments: &str| runner.run(&desk, "transfer_call", arguments.into());
    let eager = ask(r#"{"target":"sales","confirmed":true}"#).await;
    assert!(eager.ok && eager.effect.is_none(), "{eager:?}");
    desk.caller_spoke();
    let other = ask(r#"{"target":"support","confirmed":true}"#).await;
    assert!(other.effect.is_none(), "agreed to somebody else: {other:?}");
    desk.caller_spoke();
    let agreed = ask(r#"{"target":"support","confirmed":true}"#).await;
    assert!(matches!(&agreed.effect, Some(Effect::Transfer { name, .. }) if name == "support"), "{agreed:?}");
    assert!(!agreed.output_for_model.contains("+1555"), "{agreed:?}");
    desk.caller_spoke();
    for _ in 0..100 {
        let again = ask(r#"{"target":"support","confirmed":true}"#).await;
        assert!(!again.ok && again.effect.is_none(), "{again:?}");
    }
}

#[tokio::test]
async fn budgets_are_of_a_call() {
    let (runner, desk) = runner(TABLES);
    let press = |desk: &Desk| runner.run(desk, "press_keys", r#"{"digits":"1"}"#.into());
    for _ in 0..3 {
        assert!(press(&desk).await.effect.is_some());
    }
    assert!(press(&desk).await.output_for_model.contains("not be used again"));
    let next = runner.desk(Arc::clone(&desk.agent), CALLER, OWN);
    assert!(press(&next).await.effect.is_some());
    for _ in 0..=super::super::MAX_ATTEMPTS_PER_CALL {
        runner.run(&next, "nobody", String::new()).await;
    }
    let spent = runner.run(&next, "take_note", r#"{"text":"x"}"#.into()).await;
    assert!(spent.effect.is_none(), "a model in a loop is stopped: {spent:?}");
}

#[tokio::test]
async fn an_mcp_server_that_is_away_delays_nobody() {
    let (runner, desk) = runner(
        r#"
        [[agents.default.tools]]
        type = "mcp"
        name = "away"
        url = "http://127.0.0.1:9/mcp"
        allow = ["find"]
        [[agents.default.tools]]
        type = "mcp"
        name = "theirs"
        url = "https://mcp.example.com/"
        allow = ["search"]
        hosted = true
        [tools]
        private_hosts = ["127.0.0.1"]
        "#,
    );
    let begun = Instant::now();
    let definitions = runner.definitions(&desk.agent);
    assert_eq!(definitions.len(), 1);
    assert_eq!(definitions[0]["server_label"], "theirs");
    let outcome = runner.run(&desk, "find", "{}".into()).await;
    assert!(outcome.output_for_model.contains("no such tool"), "{outcome:?}");
    // What the model's server calls is not called from here.
    assert!(runner.run(&desk, "search", "{}".into()).await.output_for_model.contains("no such tool"));
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
}
