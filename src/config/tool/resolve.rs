//! From a table as it is typed to a tool that is ready to run.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use url::Url;

use super::super::faults::{ConfigError, Faults, value_error};
use super::super::{E164, Secret, e164};
use super::typed::{self, BuiltinName};
use super::{
    Builtin, DEFAULT_MESSAGE_CHARS, DEFAULT_MESSAGES_PER_CALL, DEFAULT_RETRIES, DEFAULT_RUNS_PER_CALL,
    DEFAULT_TOOL_TIMEOUT_MS, Endpoint, HttpMethod, HttpTool, KEYS_AT_ONCE, MAX_ANSWER_BYTES,
    MAX_FILLER_BYTES, MAX_MESSAGE_CHARS, MAX_NOTE_CHARS, MAX_RETRIES, MAX_RUNS_PER_CALL, MAX_TOOL_TIMEOUT_MS,
    MAX_TOOLS, McpLink, McpServer, Schema, TRANSFERS_PER_CALL, Tool, ToolAction, reference,
};

type Result<T> = std::result::Result<T, ConfigError>;

/// Where a table stands and what it may refer to.
struct Place<'a> {
    agent: &'a str,
    tool: String,
    environment: &'a BTreeMap<String, String>,
    denied: &'a [String],
}

impl Place<'_> {
    fn refused(&self, part: &str, value: impl Into<String>, allowed: impl Into<String>) -> ConfigError {
        value_error(format!("agents.{}.tools.{}.{part}", self.agent, self.tool), value, allowed)
    }
}

/// `[tools] deny_prefixes`.
pub fn deny_prefixes(typed: Vec<String>) -> Result<Vec<String>> {
    let mut faults = Faults::default();
    for bad in typed.iter().filter(|p| !e164::is_prefix(p)) {
        faults.note(value_error("tools.deny_prefixes", bad, "prefixes such as +1900: + and digits"));
    }
    faults.outcome(Some(typed))
}

/// The tools of an agent. `environment` is what secrets are named in, `denied` what no target may begin with.
pub fn resolve(
    agent: &str,
    typed: Vec<typed::Tool>,
    environment: &BTreeMap<String, String>,
    denied: &[String],
) -> Result<Vec<Tool>> {
    let mut faults = Faults::default();
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
            faults.note(place.refused("name", place.tool.as_str(), "1 to 64 letters, digits, _ or -"));
        }
        let tool = match tool {
            typed::Tool::Http(typed) => http(&place, typed),
            typed::Tool::Mcp(typed) => mcp(&place, typed),
            typed::Tool::Builtin(typed) => builtin(&place, typed),
        };
        let Some(tool) = faults.ok(tool) else { continue };
        let names = match &tool.action {
            ToolAction::Mcp(server) => server.allow.iter().map(|t| McpServer::shown(t)).collect(),
            _ => vec![tool.name.clone()],
        };
        for name in names {
            if shown.contains(&name) {
                faults.note(place.refused("name", name, "a name used once per agent"));
            } else {
                shown.push(name);
            }
        }
        tools.push(tool);
    }
    faults.unless(shown.len() <= MAX_TOOLS, || {
        let allowed = format!("at most {MAX_TOOLS} tools");
        value_error(format!("agents.{agent}.tools"), shown.len().to_string(), allowed)
    });
    faults.outcome(Some(tools))
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
    let mut faults = Faults::default();
    let endpoint = faults.ok(endpoint(place, &typed.url));
    let parameters = match typed.parameters {
        None => Some(Schema::any()),
        Some(table) => faults.ok(schema(place, &table)),
    };
    if let (Some(endpoint), Some(parameters)) = (&endpoint, &parameters) {
        for missing in endpoint.places().filter(|p| !parameters.requires(p) || !parameters.describes(p)) {
            let allowed = "places that parameters describes and requires";
            faults.note(place.refused("url", format!("{{{missing}}}"), allowed));
        }
    }
    let safe = typed.method == HttpMethod::Get;
    let retries = typed.retries.unwrap_or(if safe { DEFAULT_RETRIES } else { 0 });
    faults.unless(retries <= MAX_RETRIES && (retries == 0 || safe), || {
        let allowed = format!("at most {MAX_RETRIES} with GET, 0 with other methods: they may have acted");
        place.refused("retries", retries.to_string(), allowed)
    });
    let max_answer_bytes = typed.max_answer_bytes.unwrap_or(MAX_ANSWER_BYTES);
    faults.unless((1..=MAX_ANSWER_BYTES).contains(&max_answer_bytes), || {
        place.refused("max_answer_bytes", max_answer_bytes.to_string(), format!("1 to {MAX_ANSWER_BYTES}"))
    });
    let headers = faults.ok(headers(place, typed.headers));
    let rules = Rules {
        timeout_ms: typed.timeout_ms,
        max_per_call: typed.max_per_call.unwrap_or(DEFAULT_RUNS_PER_CALL),
        confirm: typed.confirm,
        filler: typed.filler,
    };
    let action = endpoint.zip(headers).map(|(endpoint, headers)| {
        ToolAction::Http(HttpTool { method: typed.method, endpoint, headers, retries, max_answer_bytes })
    });
    tool(place, faults, typed.description, parameters, rules, action)
}

/// The address. It may hold a key in its query: what is shown of it is its host.
fn endpoint(place: &Place<'_>, text: &str) -> Result<Endpoint> {
    let host = Url::parse(text).ok().and_then(|u| u.host_str().map(str::to_owned)).unwrap_or_default();
    Endpoint::parse(text).map_err(|allowed| place.refused("url", host, allowed))
}

fn schema(place: &Place<'_>, table: &toml::Table) -> Result<Schema> {
    let value = serde_json::to_value(table).map_err(|e| place.refused("parameters", "", e.to_string()))?;
    Schema::new(value.clone()).map_err(|allowed| place.refused("parameters", value.to_string(), allowed))
}

fn headers(place: &Place<'_>, typed: BTreeMap<String, String>) -> Result<BTreeMap<String, Secret>> {
    reference::headers(typed, place.environment).map_err(|(name, why)| place.refused("headers", name, why))
}

fn mcp(place: &Place<'_>, typed: typed::Mcp) -> Result<Tool> {
    let mut faults = Faults::default();
    faults.unless(!typed.allow.is_empty() && typed.allow.iter().all(|t| (1..=64).contains(&t.len())), || {
        let allowed = "the names of the tools that the model may call, of 1 to 64 characters: no server's tools are given unasked";
        place.refused("allow", typed.allow.join(", "), allowed)
    });
    let link = match (typed.command, typed.url) {
        (Some(command), None) => {
            faults.unless(!typed.hosted && typed.headers.is_empty(), || {
                place.refused("command", "", "neither hosted nor headers: those belong to url")
            });
            let mut words = command.into_iter();
            let program = words.next().filter(|p| !p.is_empty());
            faults
                .unless(program.is_some(), || place.refused("command", "[]", "a program and its arguments"));
            let mut environment = BTreeMap::new();
            for (name, text) in typed.env {
                let value = reference::fill(&text, place.environment);
                let value = faults.ok(value.map_err(|why| place.refused("env", name.as_str(), why)));
                environment.extend(value.map(|value| (name, value)));
            }
            program.map(|program| McpLink::Command { program, arguments: words.collect(), environment })
        }
        (None, Some(text)) => {
            faults.unless(typed.env.is_empty(), || place.refused("env", "", "no env: it belongs to command"));
            let endpoint = faults.ok(endpoint(place, &text));
            if let Some(endpoint) = endpoint.as_ref().filter(|endpoint| endpoint.places().next().is_some()) {
                let host = endpoint.url().host_str().unwrap_or_default();
                faults.note(place.refused("url", host, "an address without places"));
            }
            let headers = faults.ok(headers(place, typed.headers));
            let link =
                |(endpoint, headers): (Endpoint, _)| McpLink::Url { url: endpoint.url().clone(), headers };
            endpoint.zip(headers).map(link)
        }
        _ => {
            faults.note(place.refused("command / url", "", "one of the two"));
            None
        }
    };
    faults.unless(!(typed.hosted && typed.confirm), || {
        let allowed = "no confirm with hosted: the model's server calls the tools itself";
        place.refused("confirm", "true", allowed)
    });
    let rules = Rules {
        timeout_ms: typed.timeout_ms,
        max_per_call: typed.max_per_call.unwrap_or(DEFAULT_RUNS_PER_CALL),
        confirm: typed.confirm,
        filler: typed.filler,
    };
    let action =
        link.map(|link| ToolAction::Mcp(McpServer { link, allow: typed.allow, hosted: typed.hosted }));
    tool(place, faults, String::new(), Some(Schema::any()), rules, action)
}

fn builtin(place: &Place<'_>, typed: typed::Builtin) -> Result<Tool> {
    let mut faults = Faults::default();
    let name = typed.name;
    for (part, given, owners) in [
        ("targets", !typed.targets.is_empty(), &[BuiltinName::TransferCall][..]),
        ("warm", typed.warm.is_some(), &[BuiltinName::TransferCall]),
        ("allow", !typed.allow.is_empty(), &[BuiltinName::SendMessage]),
        ("max_chars", typed.max_chars.is_some(), &[BuiltinName::SendMessage, BuiltinName::TakeNote]),
    ] {
        faults.unless(!given || owners.contains(&name), || {
            let owners = owners.iter().map(|o| name_of(*o)).collect::<Vec<_>>().join(" and ");
            place.refused(part, "", format!("nothing: it belongs to {owners}"))
        });
    }
    let max_chars = |default: usize, most: usize, faults: &mut Faults| {
        let given = typed.max_chars.unwrap_or(default);
        faults.unless((1..=most).contains(&given), || {
            place.refused("max_chars", given.to_string(), format!("1 to {most}"))
        });
        given
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
            faults.unless(!typed.targets.is_empty(), || {
                place.refused("targets", "", "at least one name with its number")
            });
            faults.unless(typed.max_per_call.is_none_or(|n| n == TRANSFERS_PER_CALL), || {
                place.refused("max_per_call", "", "nothing: a call is transferred once")
            });
            let targets = numbers(place, "targets", typed.targets, &mut faults);
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
            let chars = max_chars(DEFAULT_MESSAGE_CHARS, MAX_MESSAGE_CHARS, &mut faults);
            most = typed.max_per_call.unwrap_or(DEFAULT_MESSAGES_PER_CALL);
            let allow = numbers(place, "allow", typed.allow, &mut faults);
            faults.unless(!allow.contains_key("caller"), || {
                place.refused("allow", "caller", "another name: caller is who calls")
            });
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
            let chars = max_chars(MAX_NOTE_CHARS, MAX_NOTE_CHARS, &mut faults);
            let parameters = object(&["text"], json!({ "text": text(chars, "The note.") }));
            (
                Builtin::TakeNote { max_chars: chars },
                "Writes something down for the record of this call.",
                parameters,
            )
        }
    };
    let parameters = Schema::new(parameters).expect("the parameters of built-in tools are schemas");
    let description = typed.description.unwrap_or_else(|| description.into());
    let rules = Rules { timeout_ms: None, max_per_call: most, confirm: typed.confirm, filler: typed.filler };
    tool(place, faults, description, Some(parameters), rules, Some(ToolAction::Builtin(action)))
}

fn object(required: &[&str], properties: Value) -> Value {
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn text(max_chars: usize, description: &str) -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": max_chars, "description": description })
}

/// Names and their numbers, none of them where a call costs what the called one likes.
fn numbers(
    place: &Place<'_>,
    part: &str,
    typed: BTreeMap<String, String>,
    faults: &mut Faults,
) -> BTreeMap<String, E164> {
    let mut numbers = BTreeMap::new();
    for (name, text) in typed {
        faults.unless(!name.trim().is_empty() && name.len() <= 64, || {
            place.refused(part, name.as_str(), "names of 1 to 64 bytes")
        });
        let number = text.parse::<E164>().map_err(|e| place.refused(part, name.as_str(), e.to_string()));
        let Some(number) = faults.ok(number) else { continue };
        faults.unless(!number.is_denied(place.denied), || {
            let allowed = "a number outside premium, satellite and denied ranges";
            place.refused(part, name.as_str(), allowed)
        });
        numbers.insert(name, number);
    }
    numbers
}

/// What all tools have.
struct Rules {
    timeout_ms: Option<u64>,
    max_per_call: u32,
    confirm: bool,
    filler: Option<String>,
}

/// The tool, if `faults` has none of its own and finds none in what all tools have.
fn tool(
    place: &Place<'_>,
    mut faults: Faults,
    description: String,
    parameters: Option<Schema>,
    rules: Rules,
    action: Option<ToolAction>,
) -> Result<Tool> {
    let timeout_ms = rules.timeout_ms.unwrap_or(DEFAULT_TOOL_TIMEOUT_MS);
    faults.unless((1..=MAX_TOOL_TIMEOUT_MS).contains(&timeout_ms), || {
        place.refused("timeout_ms", timeout_ms.to_string(), format!("1 to {MAX_TOOL_TIMEOUT_MS}"))
    });
    faults.unless((1..=MAX_RUNS_PER_CALL).contains(&rules.max_per_call), || {
        place.refused("max_per_call", rules.max_per_call.to_string(), format!("1 to {MAX_RUNS_PER_CALL}"))
    });
    if let Some(filler) = &rules.filler {
        faults.unless(!filler.trim().is_empty() && filler.len() <= MAX_FILLER_BYTES, || {
            place.refused("filler", filler, format!("a sentence of at most {MAX_FILLER_BYTES} bytes"))
        });
    }
    faults.unless(!rules.confirm || !parameters.as_ref().is_some_and(|p| p.describes("confirmed")), || {
        let allowed = "another name with confirm = true: that is the caller's word";
        place.refused("parameters", "confirmed", allowed)
    });
    let made = parameters.zip(action).map(|(parameters, action)| Tool {
        name: place.tool.clone(),
        description,
        parameters,
        timeout: Duration::from_millis(timeout_ms),
        max_per_call: rules.max_per_call,
        confirm: rules.confirm,
        filler: rules.filler,
        action,
    });
    faults.outcome(made)
}

#[cfg(test)]
mod tests;
