use super::*;
use rmcp::model::ContentBlock;

fn result(texts: &[&str], failed: bool) -> CallToolResult {
    let content = texts.iter().map(|t| ContentBlock::text(*t)).collect();
    if failed { CallToolResult::error(content) } else { CallToolResult::success(content) }
}

#[test]
fn what_a_server_says_is_text() {
    assert_eq!(spoken(result(&["a", "b"], false)), Ok(("a\nb".into(), true)));
    assert_eq!(spoken(result(&["taken"], true)), Ok((r#"{"error":"taken"}"#.into(), false)));
    let long = "x".repeat(MAX_TEXT_BYTES + 1);
    assert_eq!(spoken(result(&[&long], false)), Err(ToolError::TooLarge));
    let structured = CallToolResult::structured(json!({ "free": ["09:00"] }));
    assert!(spoken(structured).unwrap().0.contains("09:00"));
}

#[test]
fn tools_that_the_model_could_not_use_are_left_out() {
    let tool = |schema: Value| {
        let schema = schema.as_object().unwrap().clone();
        readable("desk", rmcp::model::Tool::new("t", "é".repeat(2_000), schema))
    };
    let good = tool(json!({ "type": "object", "properties": {} })).unwrap();
    assert!(good.description.len() <= MAX_DESCRIPTION_BYTES && good.description.starts_with('é'));
    assert!(tool(json!({ "type": "object", "properties": { "a": { "type": "strnig" } } })).is_none());
    assert!(tool(json!({ "type": "object", "description": "x".repeat(MAX_SCHEMA_BYTES) })).is_none());
}

#[tokio::test]
async fn a_program_that_speaks_no_mcp_is_away_and_goes_with_its_server() {
    for program in ["true", "/nonexistent/aria-mcp"] {
        let servers = Servers::new(Guard::new(&[])).unwrap();
        let link = McpLink::Command {
            program: program.into(),
            arguments: Vec::new(),
            environment: Default::default(),
        };
        servers.prepare(vec![("desk".into(), link.clone())]);
        let begun = std::time::Instant::now();
        servers.settled(Duration::from_secs(5)).await;
        assert!(begun.elapsed() < Duration::from_secs(5), "{program}: it was tried and has failed");
        let server = servers.get(&link).unwrap();
        assert!(server.tool("find").is_none());
        assert_eq!(server.call("find".into(), Map::new()).await, Err(ToolError::Unreachable));
        servers.prepare(Vec::new());
        assert!(servers.get(&link).is_none());
    }
}
