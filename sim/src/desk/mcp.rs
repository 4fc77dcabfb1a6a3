//! The desk as a server of the Model Context Protocol: JSON-RPC by hand, so that the bridge's SDK meets somebody else's reading.
//!
//! Revision 2025-06-18: lifecycle, tools, ping. Streamable HTTP without a stream of its own: every request is answered with one JSON
//! body, GET is 405 (Transports, 2.1.1 and 2.2). Over standard input and output: one message a line.

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};

use super::store::{DeskError, Store};

/// The newest revision that is spoken; any older one that a client asks for is as good.
const REVISION: &str = "2025-06-18";
/// JSON-RPC 2.0, 5.1.
const METHOD_NOT_FOUND: i64 = -32601;
const INVALID_PARAMS: i64 = -32602;
const PARSE_ERROR: i64 = -32700;

/// Answers a message. Notifications and answers get none.
pub(super) async fn answer(store: &Store, text: &str) -> Option<Value> {
    let Ok(message) = serde_json::from_str::<Value>(text) else {
        return Some(failure(&Value::Null, PARSE_ERROR, "not JSON"));
    };
    let id = message.get("id").filter(|id| !id.is_null())?;
    let method = message["method"].as_str()?;
    let params = &message["params"];
    let result = match method {
        "initialize" => json!({
            "protocolVersion": params["protocolVersion"].as_str().filter(|r| *r <= REVISION).unwrap_or(REVISION),
            "capabilities": { "tools": {} },
            "serverInfo": { "name": "desk", "version": env!("CARGO_PKG_VERSION") },
        }),
        "ping" => json!({}),
        "tools/list" => json!({ "tools": tools() }),
        "tools/call" => {
            let name = params["name"].as_str().unwrap_or_default();
            let Some(done) = call(store, name, &params["arguments"]).await else {
                return Some(failure(id, INVALID_PARAMS, "there is no such tool"));
            };
            match done {
                Ok(value) => json!({ "content": [{ "type": "text", "text": value.to_string() }] }),
                Err(error) => {
                    json!({ "content": [{ "type": "text", "text": error.to_string() }], "isError": true })
                }
            }
        }
        _ => return Some(failure(id, METHOD_NOT_FOUND, "there is no such method")),
    };
    Some(json!({ "jsonrpc": "2.0", "id": id, "result": result }))
}

fn failure(id: &Value, code: i64, message: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } })
}

async fn call(store: &Store, name: &str, arguments: &Value) -> Option<Result<Value, DeskError>> {
    let text = |field: &str| arguments[field].as_str().unwrap_or_default();
    Some(match name {
        "contacts.find" => store.find_contact(text("phone")).await,
        "contacts.update" => store.update_contact(text("phone"), arguments).await,
        "calendar.free" => store.free_slots(text("day")).await,
        "calendar.book" => store.book(text("phone"), text("day"), text("time"), text("what")).await,
        "calendar.cancel" => store.cancel(arguments["id"].as_i64().unwrap_or(0)).await,
        _ => return None,
    })
}

fn tools() -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    let (phone, day) = (text("Telephone number, as +15551230000."), text("Day, as 2026-12-01."));
    let tool = |name: &str, description: &str, required: &[&str], properties: Value| {
        let schema = json!({ "type": "object", "properties": properties, "required": required });
        json!({ "name": name, "description": description, "inputSchema": schema })
    };
    json!([
        tool("contacts.find", "Finds who has a telephone number.", &["phone"], json!({ "phone": phone })),
        tool(
            "contacts.update",
            "Changes a contact.",
            &["phone"],
            json!({ "phone": phone, "name": text("Name."), "email": text("Address."), "note": text("A note.") })
        ),
        tool("calendar.free", "Lists free times of a day.", &["day"], json!({ "day": day })),
        tool(
            "calendar.book",
            "Books an appointment.",
            &["phone", "day", "time", "what"],
            json!({ "phone": phone, "day": day, "time": text("Full hour, as 09:00."), "what": text("What for.") })
        ),
        tool("calendar.cancel", "Cancels an appointment.", &["id"], json!({ "id": { "type": "integer" } })),
    ])
}

/// Serves one client, a message a line, until its end.
pub(super) async fn serve_lines(
    store: &Store,
    input: impl AsyncRead + Unpin,
    mut output: impl AsyncWrite + Unpin,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(input).lines();
    while let Some(line) = lines.next_line().await? {
        if let Some(answer) = answer(store, &line).await {
            output.write_all(format!("{answer}\n").as_bytes()).await?;
            output.flush().await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_client_greets_lists_and_books() {
        let store = Store::open(None).await.expect("a database in memory");
        let input = [
            json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": { "protocolVersion": "2025-03-26" } }),
            json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }),
            json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }),
            json!({ "jsonrpc": "2.0", "id": "b", "method": "tools/call", "params": { "name": "calendar.book",
                "arguments": { "phone": "+15551239999", "day": "2026-12-01", "time": "10:00", "what": "a repair" } } }),
            json!({ "jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": { "name": "calendar.cancel", "arguments": {} } }),
            json!({ "jsonrpc": "2.0", "id": 4, "method": "tools/call", "params": { "name": "format_disk" } }),
            json!({ "jsonrpc": "2.0", "id": 5, "method": "resources/list" }),
        ];
        let text: String = input.iter().map(|m| format!("{m}\n")).collect();
        let mut output = Vec::new();
        serve_lines(&store, text.as_bytes(), &mut output).await.expect("it lasts");
        let answers: Vec<Value> = String::from_utf8(output)
            .expect("text")
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        assert_eq!(answers.len(), 6, "the notification has none: {answers:?}");
        assert_eq!(answers[0]["result"]["protocolVersion"], "2025-03-26");
        assert_eq!(answers[1]["result"]["tools"].as_array().map(Vec::len), Some(5));
        assert_eq!(answers[2]["id"], "b");
        assert_eq!(answers[3]["result"]["isError"], true);
        assert_eq!(answers[4]["error"]["code"], INVALID_PARAMS);
        assert_eq!(answers[5]["error"]["code"], METHOD_NOT_FOUND);
        assert_eq!(store.appointments().await.expect("a table").len(), 1);
    }
}
