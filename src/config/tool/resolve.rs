//! From a table as it is typed to a tool that is ready to run.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use url::Url;

use super::super::{E164, e164};
use super::typed::{self, BuiltinName};
use super::{
    Builtin, DEFAULT_MESSAGE_CHARS, DEFAULT_MESSAGES_PER_CALL, DEFAULT_RETRIES, DEFAULT_RUNS_PER_CALL,
    DEFAULT_TOOL_TIMEOUT_MS, Endpoint, HttpMethod, HttpTool, KEYS_AT_ONCE, MAX_ANSWER_BYTES,
    MAX_FILLER_BYTES, MAX_MESSAGE_CHARS, MAX_NOTE_CHARS, MAX_RETRIES, MAX_RUNS_PER_CALL, MAX_TOOL_TIMEOUT_MS,
    MAX_TOOLS, McpLink, McpServer, Schema, TRANSFERS_PER_CALL, Tool, ToolAction, reference,
};

/// A value that is not allowed.
#[derive(Debug)]
pub struct Refused {
    /// The field, as typed in the file.
    pub field: String,
    /// What was given. Never a secret.
    pub value: String,
    /// What is allowed.
    pub allowed: String,
}

type Result<T> = std::result::Result<T, Refused>;

/// Where a table stands and what it may refer to.
struct Place<'a> {
    agent: &'a str,
    tool: String,
    environment: &'a BTreeMap<String, String>,
    denied: &'a [String],
}

impl Place<'_> {
    fn refused(&self, part: &str, value: impl Into<String>, allowed: impl Into<String>) -> Refused {
        let field = format!("agents.{}.tools.{}.{part}", self.agent, self.tool);
        Refused { field, value: value.into(), allowed: allowed.into() }
    }
}

/// `[tools] deny_prefixes`.
pub fn deny_prefixes(typed: Vec<String>) -> Result<Vec<String>> {
    match typed.iter().find(|p| !e164::is_prefix(p)) {
        None => Ok(typed),
        Some(bad) => Err(Refused {
            field: "tools.deny_prefixes".into(),
            value: bad.clone(),
            allowed: "prefixes such as +1900: + and digits".into(),
        }),
    }
}

/// The tools of an agent. `environment` is what secrets are named in, `denied` what no target may begin with.
pub fn resolve(
    agent: &str,
    typed: Vec<typed::Tool>,
    environment: &BTreeMap<String, String>,
    denied: &[String],
) -> Result<Vec<Tool>> {
    let mut tools = Vec::with_capacity(typed.len());
    let mut shown: Vec<String> = Vec::new();
    for tool in typed {
        let name = match &tool {
            typed::Tool::Http(t) => t.name.clone(),
            typed::Tool::Mcp(t) => t.name.clone(),
            typed::Tool::Builtin(t) => name_of(t.name).into(),
        };
        let place = Place { agent, tool: name, environment, denied };
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if place.tool.is_empty() || place.tool.len() > 64 || !place.tool.chars().all(plain) {
            return Err(place.refused("name", place.tool.as_str(), "1 to 64 letters, digits, _ or -"));
        }
        let tool = match tool {
            typed::Tool::Http(typed) => http(&place, typed)?,
            typed::Tool::Mcp(typed) => mcp(&place, typed)?,
            typed::Tool::Builtin(typed) => builtin(&place, typed)?,
        };
        let names = match &tool.action {
            ToolAction::Mcp(server) => server.allow.iter().map(|t| McpServer::shown(t)).collect(),
            _ => vec![tool.name.clone()],
        };
        for name in names {
            if shown.contains(&name) {
                return Err(place.refused("name", name, "a name used once per agent"));
            }
            shown.push(name);
        }
        tools.push(tool);
    }
    if shown.len() > MAX_TOOLS {
        return Err(Refused {
            field: format!("agents.{agent}.tools"),
            value: shown.len().to_string(),
            allowed: format!("at most {MAX_TOOLS} tools"),
        });
    }
    Ok(tools)
}

fn name_of(name: BuiltinName) -> &'static str {
    match name {
        BuiltinName::EndCall => "end_call",
        BuiltinName::TransferCall => "transfer_call",
        BuiltinName::SendMessage => "send_message",
        BuiltinName::PressKeys => "press_keys",
        BuiltinName::TakeNote => "take_note",
    }
}

fn http(place: &Place<'_>, typed: typed::Http) -> Result<Tool> {
    // The address may hold a key in its query: what is shown of it is its host.
    let host = Url::parse(&typed.url).ok().and_then(|u| u.host_str().map(str::to_owned)).unwrap_or_default();
    let endpoint = Endpoint::parse(&typed.url).map_err(|allowed| place.refused("url", host, allowed))?;
    let parameters = match typed.parameters {
        None => Schema::any(),
        Some(table) => {
            let value =
                serde_json::to_value(table).map_err(|e| place.refused("parameters", "", e.to_string()))?;
            Schema::new(value.clone())
                .map_err(|allowed| place.refused("parameters", value.to_string(), allowed))?
        }
    };
    if let Some(missing) = endpoint.places().find(|p| !parameters.requires(p) || !parameters.describes(p)) {
        return Err(place.refused(
            "url",
            format!("{{{missing}}}"),
            "places that parameters describes and requires",
        ));
    }
    let safe = typed.method == HttpMethod::Get;
    let retries = typed.retries.unwrap_or(if safe { DEFAULT_RETRIES } else { 0 });
    if retries > MAX_RETRIES || (retries > 0 && !safe) {
        let allowed = format!("at most {MAX_RETRIES} with GET, 0 with other methods: they may have acted");
        return Err(place.refused("retries", retries.to_string(), allowed));
    }
    let max_answer_bytes = typed.max_answer_bytes.unwrap_or(MAX_ANSWER_BYTES);
    if !(1..=MAX_ANSWER_BYTES).contains(&max_answer_bytes) {
        let allowed = format!("1 to {MAX_ANSWER_BYTES}");
        return Err(place.refused("max_answer_bytes", max_answer_bytes.to_string(), allowed));
    }
    let headers = headers(place, typed.headers)?;
    let action =
        ToolAction::Http(HttpTool { method: typed.method, endpoint, headers, retries, max_answer_bytes });
    let rules = Rules {
        timeout_ms: typed.timeout_ms,
        max_per_call: typed.max_per_call.unwrap_or(DEFAULT_RUNS_PER_CALL),
        confirm: typed.confirm,
        filler: typed.filler,
    };
    tool(place, typed.description, parameters, rules, action)
}

fn headers(
    place: &Place<'_>,
    typed: BTreeMap<String, String>,
) -> Result<BTreeMap<String, super::super::Secret>> {
    reference::headers(typed, place.environment).map_err(|(name, why)| place.refused("headers", name, why))
}

fn mcp(place: &Place<'_>, typed: typed::Mcp) -> Result<Tool> {
    if typed.allow.is_empty() || typed.allow.iter().any(|t| t.is_empty() || t.len() > 64) {
        let allowed = "the names of the tools that the model may call, of 1 to 64 characters: no server's tools are given unasked";
        return Err(place.refused("allow", typed.allow.join(", "), allowed));
    }
    let link = match (typed.command, typed.url) {
        (Some(command), None) => {
            if typed.hosted || !typed.headers.is_empty() {
                return Err(place.refused("command", "", "neither hosted nor headers: those belong to url"));
            }
            let mut words = command.into_iter();
            let Some(program) = words.next().filter(|p| !p.is_empty()) else {
                return Err(place.refused("command", "[]", "a program and its arguments"));
            };
            let mut environment = BTreeMap::new();
            for (name, text) in typed.env {
                let value = reference::fill(&text, place.environment)
                    .map_err(|why| place.refused("env", name.as_str(), why))?;
                environment.insert(name, value);
            }
            McpLink::Command { program, arguments: words.collect(), environment }
        }
        (None, Some(text)) => {
            if !typed.env.is_empty() {
                return Err(place.refused("env", "", "no env: it belongs to command"));
            }
            let host =
                Url::parse(&text).ok().and_then(|u| u.host_str().map(str::to_owned)).unwrap_or_default();
            let endpoint =
                Endpoint::parse(&text).map_err(|allowed| place.refused("url", host.as_str(), allowed))?;
            if endpoint.places().next().is_some() {
                return Err(place.refused("url", host, "an address without places"));
            }
            McpLink::Url { url: endpoint.url().clone(), headers: headers(place, typed.headers)? }
        }
        _ => return Err(place.refused("command / url", "", "one of the two")),
    };
    if typed.hosted && typed.confirm {
        return Err(place.refused(
            "confirm",
            "true",
            "no confirm with hosted: the model's server calls the tools itself",
        ));
    }
    let rules = Rules {
        timeout_ms: typed.timeout_ms,
        max_per_call: typed.max_per_call.unwrap_or(DEFAULT_RUNS_PER_CALL),
        confirm: typed.confirm,
        filler: typed.filler,
    };
    let action = ToolAction::Mcp(McpServer { link, allow: typed.allow, hosted: typed.hosted });
    tool(place, String::new(), Schema::any(), rules, action)
}

fn builtin(place: &Place<'_>, typed: typed::Builtin) -> Result<Tool> {
    let name = typed.name;
    let belongs = |part: &str, given: bool, owners: &[BuiltinName]| {
        if given && !owners.contains(&name) {
            let owners = owners.iter().map(|o| name_of(*o)).collect::<Vec<_>>().join(" and ");
            return Err(place.refused(part, "", format!("nothing: it belongs to {owners}")));
        }
        Ok(())
    };
    belongs("targets", !typed.targets.is_empty(), &[BuiltinName::TransferCall])?;
    belongs("warm", typed.warm.is_some(), &[BuiltinName::TransferCall])?;
    belongs("allow", !typed.allow.is_empty(), &[BuiltinName::SendMessage])?;
    belongs("max_chars", typed.max_chars.is_some(), &[BuiltinName::SendMessage, BuiltinName::TakeNote])?;
    let max_chars = |default: usize, most: usize| {
        let given = typed.max_chars.unwrap_or(default);
        let good = (1..=most).contains(&given);
        good.then_some(given)
            .ok_or_else(|| place.refused("max_chars", given.to_string(), format!("1 to {most}")))
    };
    let mut most = typed.max_per_call.unwrap_or(DEFAULT_RUNS_PER_CALL);
    let (action, description, parameters) = match name {
        BuiltinName::EndCall => (
            Builtin::EndCall,
            "Ends the call. Call it once the caller has nothing more to ask and goodbye has been said, or give the goodbye as farewell.",
            object(&[], json!({ "farewell": text(300, "What is said before the line is closed.") })),
        ),
        BuiltinName::TransferCall => {
            most = TRANSFERS_PER_CALL;
            if typed.targets.is_empty() {
                return Err(place.refused("targets", "", "at least one name with its number"));
            }
            let targets = numbers(place, "targets", typed.targets)?;
            let names: Vec<&String> = targets.keys().collect();
            let warm = typed.warm.unwrap_or(false);
            let mut properties = json!({ "target": { "type": "string", "enum": names, "description": "Who to connect the caller with." } });
            if warm {
                properties["summary"] =
                    text(600, "What the call is about, told to them before they are connected.");
            }
            let required: &[&str] = if warm { &["target", "summary"] } else { &["target"] };
            let parameters = object(required, properties);
            (
                Builtin::TransferCall { targets, warm },
                "Connects the caller with somebody else. Say so first.",
                parameters,
            )
        }
        BuiltinName::SendMessage => {
            let chars = max_chars(DEFAULT_MESSAGE_CHARS, MAX_MESSAGE_CHARS)?;
            most = typed.max_per_call.unwrap_or(DEFAULT_MESSAGES_PER_CALL);
            let allow = numbers(place, "allow", typed.allow)?;
            if allow.contains_key("caller") {
                return Err(place.refused("allow", "caller", "another name: caller is who calls"));
            }
            let mut names: Vec<&str> = vec!["caller"];
            names.extend(allow.keys().map(String::as_str));
            let properties = json!({
                "to": { "type": "string", "enum": names, "description": "Who gets it." },
                "body": text(chars, "The message."),
            });
            let parameters = object(&["to", "body"], properties);
            (
                Builtin::SendMessage { allow, max_chars: chars },
                "Sends a text message to a telephone.",
                parameters,
            )
        }
        BuiltinName::PressKeys => {
            let digits = json!({
                "type": "string",
                "pattern": format!("^[0-9*#wW]{{{},{}}}$", KEYS_AT_ONCE.start(), KEYS_AT_ONCE.end()),
                "description": "Keys; w waits for half a second, W for a second.",
            });
            let parameters = object(&["digits"], json!({ "digits": digits }));
            (Builtin::PressKeys, "Presses keys of the telephone.", parameters)
        }
        BuiltinName::TakeNote => {
            let chars = max_chars(MAX_NOTE_CHARS, MAX_NOTE_CHARS)?;
            let parameters = object(&["text"], json!({ "text": text(chars, "The note.") }));
            (
                Builtin::TakeNote { max_chars: chars },
                "Writes something down for the record of this call.",
                parameters,
            )
        }
    };
    if name == BuiltinName::TransferCall && typed.max_per_call.is_some_and(|n| n != TRANSFERS_PER_CALL) {
        return Err(place.refused("max_per_call", "", "nothing: a call is transferred once"));
    }
    let parameters = Schema::new(parameters).expect("the parameters of built-in tools are schemas");
    let description = typed.description.unwrap_or_else(|| description.into());
    let rules = Rules { timeout_ms: None, max_per_call: most, confirm: typed.confirm, filler: typed.filler };
    tool(place, description, parameters, rules, ToolAction::Builtin(action))
}

fn object(required: &[&str], properties: Value) -> Value {
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn text(max_chars: usize, description: &str) -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": max_chars, "description": description })
}

/// Names and their numbers, none of them where a call costs what the called one likes.
fn numbers(place: &Place<'_>, part: &str, typed: BTreeMap<String, String>) -> Result<BTreeMap<String, E164>> {
    let mut numbers = BTreeMap::new();
    for (name, text) in typed {
        if name.trim().is_empty() || name.len() > 64 {
            return Err(place.refused(part, name, "names of 1 to 64 bytes"));
        }
        let number: E164 =
            text.parse().map_err(|e: e164::NotE164| place.refused(part, name.as_str(), e.to_string()))?;
        if number.is_denied(place.denied) {
            let allowed = "a number outside premium, satellite and denied ranges";
            return Err(place.refused(part, name, allowed));
        }
        numbers.insert(name, number);
    }
    Ok(numbers)
}

/// What all tools have.
struct Rules {
    timeout_ms: Option<u64>,
    max_per_call: u32,
    confirm: bool,
    filler: Option<String>,
}

fn tool(
    place: &Place<'_>,
    description: String,
    parameters: Schema,
    rules: Rules,
    action: ToolAction,
) -> Result<Tool> {
    let timeout_ms = rules.timeout_ms.unwrap_or(DEFAULT_TOOL_TIMEOUT_MS);
    if !(1..=MAX_TOOL_TIMEOUT_MS).contains(&timeout_ms) {
        let allowed = format!("1 to {MAX_TOOL_TIMEOUT_MS}");
        return Err(place.refused("timeout_ms", timeout_ms.to_string(), allowed));
    }
    if !(1..=MAX_RUNS_PER_CALL).contains(&rules.max_per_call) {
        let allowed = format!("1 to {MAX_RUNS_PER_CALL}");
        return Err(place.refused("max_per_call", rules.max_per_call.to_string(), allowed));
    }
    if rules.filler.as_ref().is_some_and(|f| f.trim().is_empty() || f.len() > MAX_FILLER_BYTES) {
        let allowed = format!("a sentence of at most {MAX_FILLER_BYTES} bytes");
        return Err(place.refused("filler", rules.filler.unwrap_or_default(), allowed));
    }
    if rules.confirm && parameters.describes("confirmed") {
        return Err(place.refused(
            "parameters",
            "confirmed",
            "another name with confirm = true: that is the caller's word",
        ));
    }
    Ok(Tool {
        name: place.tool.clone(),
        description,
        parameters,
        timeout: Duration::from_millis(timeout_ms),
        max_per_call: rules.max_per_call,
        confirm: rules.confirm,
        filler: rules.filler,
        action,
    })
}

#[cfg(test)]
mod tests;
