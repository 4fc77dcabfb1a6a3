//! What the model may call: tools behind HTTP endpoints, on MCP servers, and those the bridge has itself.

mod endpoint;
mod reference;
mod resolve;
mod schema;
pub(super) mod typed;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Deserialize;
use url::Url;

use super::{E164, Secret};
pub use endpoint::{Endpoint, Unfilled};
pub(super) use resolve::{deny_prefixes, resolve};
pub use schema::Schema;

/// Longest time a tool may be given, milliseconds: longer than this a caller has hung up.
pub const MAX_TOOL_TIMEOUT_MS: u64 = 60_000;
/// What a tool is given when its table says nothing, milliseconds.
pub const DEFAULT_TOOL_TIMEOUT_MS: u64 = 5_000;
/// Most of an answer that is read, bytes: more is of no use to a voice.
pub const MAX_ANSWER_BYTES: usize = 256 * 1024;
/// Most runs of one tool in a call that may be configured.
pub const MAX_RUNS_PER_CALL: u32 = 1_000;
/// Runs of one tool in a call when its table says nothing.
pub const DEFAULT_RUNS_PER_CALL: u32 = 20;
/// Repetitions of a GET that may be configured.
pub const MAX_RETRIES: u32 = 3;
/// Repetitions of a GET when its table says nothing.
pub const DEFAULT_RETRIES: u32 = 1;
/// Longest `filler`, bytes: two breaths.
pub const MAX_FILLER_BYTES: usize = 200;
/// Tools that one agent may have, those of MCP servers counted each. More confuse the model and fill its context.
pub const MAX_TOOLS: usize = 64;
/// Characters of a text message: ten segments of GSM 03.38, Twilio's limit for one body.
pub const MAX_MESSAGE_CHARS: usize = 1_600;
/// Characters of a text message when its table says nothing: two segments.
pub const DEFAULT_MESSAGE_CHARS: usize = 320;
/// Characters of a note.
pub const MAX_NOTE_CHARS: usize = 4_000;
/// Text messages of a call when the table says nothing.
pub const DEFAULT_MESSAGES_PER_CALL: u32 = 2;
/// Transfers of a call: fixed, since the call is elsewhere after the first.
pub const TRANSFERS_PER_CALL: u32 = 1;
/// Keys pressed at once.
pub const KEYS_AT_ONCE: RangeInclusive<usize> = 1..=32;

/// One table of an agent's `tools`.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// What the model calls it: letters, digits, `_` and `-`, at most 64. The server's name if it is an MCP server.
    pub name: String,
    /// What the model is told about it. MCP servers describe their tools themselves.
    pub description: String,
    /// What its arguments must look like. MCP servers say so themselves.
    pub parameters: Schema,
    /// Until when it must have answered.
    pub timeout: Duration,
    /// Runs in one call, of each tool.
    pub max_per_call: u32,
    /// Whether the caller must agree before it runs.
    pub confirm: bool,
    /// What may be said while it runs.
    pub filler: Option<String>,
    /// What it does.
    pub action: ToolAction,
}

/// What a tool does.
#[derive(Debug, Clone, PartialEq)]
pub enum ToolAction {
    /// A request to an HTTP endpoint.
    Http(HttpTool),
    /// Tools of an MCP server.
    Mcp(McpServer),
    /// Something with the call itself.
    Builtin(Builtin),
}

/// A request to an HTTP endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpTool {
    /// GET sends the arguments as the query, the others as a JSON body.
    pub method: HttpMethod,
    /// Where it is.
    pub endpoint: Endpoint,
    /// Sent with each request.
    pub headers: BTreeMap<String, Secret>,
    /// Repetitions after a failure of the network or a 502, 503 or 504. 0 unless the method is GET.
    pub retries: u32,
    /// Most of an answer that is read, bytes.
    pub max_answer_bytes: usize,
}

/// Methods a tool may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs)]
pub enum HttpMethod {
    Get,
    #[default]
    Post,
    Put,
    Patch,
    Delete,
}

/// A server of the Model Context Protocol (revisions 2024-11-05 and later).
#[derive(Debug, Clone, PartialEq)]
pub struct McpServer {
    /// How it is reached. Tables with the same link share a connection.
    pub link: McpLink,
    /// Its tools that the model may call, as the server names them.
    pub allow: Vec<String>,
    /// Whether the model's own server calls it, not the bridge.
    pub hosted: bool,
}

/// How an MCP server is reached.
#[derive(Debug, Clone, PartialEq)]
pub enum McpLink {
    /// A program of this machine, over its standard input and output.
    Command {
        /// The program.
        program: String,
        /// Its arguments.
        arguments: Vec<String>,
        /// Its environment beside the bare minimum; it does not see the bridge's.
        environment: BTreeMap<String, Secret>,
    },
    /// Streamable HTTP.
    Url {
        /// The endpoint.
        url: Url,
        /// Sent with each request.
        headers: BTreeMap<String, Secret>,
    },
}

impl McpServer {
    /// How the model sees a tool of this server: OpenAI takes letters, digits, `_` and `-`, MCP servers use `.` and `/` as well.
    pub fn shown(tool: &str) -> String {
        tool.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect()
    }
}

/// Something with the call itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Builtin {
    /// Says goodbye and hangs up.
    EndCall,
    /// Connects the caller with somebody else.
    TransferCall {
        /// Who, by the name that the model uses. Nobody else can be reached.
        targets: BTreeMap<String, E164>,
        /// Whether they are told what the call is about before they are connected.
        warm: bool,
    },
    /// Sends a text message to the caller or to somebody named.
    SendMessage {
        /// Who beside the caller, by the name that the model uses.
        allow: BTreeMap<String, E164>,
        /// Longest message, characters.
        max_chars: usize,
    },
    /// Presses keys of the telephone: for menus of who was called.
    PressKeys,
    /// Writes something down for the record of the call.
    TakeNote {
        /// Longest note, characters.
        max_chars: usize,
    },
}
