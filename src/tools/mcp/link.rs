//! The two ways to an MCP server: a program of this machine, or streamable HTTP.

use std::collections::{BTreeMap, HashMap};
use std::process::Stdio;

use reqwest::header::{ACCEPT_ENCODING, HeaderName, HeaderValue};
use rmcp::RoleClient;
use rmcp::service::{RunningService, serve_client};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::async_rw::AsyncRwTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use tokio::process::{Child, Command};

use super::Listener;
use crate::config::{McpLink, Secret};
use crate::tools::guard::Guard;

/// Largest message of a server, bytes: a list of tools is the largest.
const MAX_MESSAGE_BYTES: usize = 1024 * 1024;
/// Most of an error's body that is read, bytes.
const MAX_ERROR_BYTES: usize = 4 * 1024;
/// Requests under way at one server.
const MAX_REQUESTS: usize = 64;
/// What a program sees of the bridge's environment: enough to be found and to run. Its secrets are named in its own table.
const ENVIRONMENT: [&str; 5] = ["PATH", "HOME", "LANG", "TMPDIR", "TZ"];

/// A connection, and the program behind it if there is one. The program dies with it.
pub(super) struct Connection {
    service: RunningService<RoleClient, Listener>,
    program: Option<Child>,
}

impl Connection {
    pub fn peer(&self) -> &rmcp::Peer<RoleClient> {
        self.service.peer()
    }

    pub fn is_closed(&self) -> bool {
        self.service.is_closed() || self.peer().is_transport_closed()
    }
}

/// Connects and greets. The error is for the log and holds nothing of the server's or the table's.
pub(super) async fn connect(
    link: &McpLink,
    guard: &Guard,
    http: &reqwest::Client,
    listener: Listener,
) -> Result<Connection, &'static str> {
    match link {
        McpLink::Url { url, headers } => {
            if !guard.allows(url) {
                return Err("its address is not one that tools may reach");
            }
            let config = StreamableHttpClientTransportConfig::with_uri(url.as_str())
                .custom_headers(sent(headers)?)
                .max_concurrent_requests(MAX_REQUESTS)
                .max_json_response_size(MAX_MESSAGE_BYTES)
                .max_sse_event_size(MAX_MESSAGE_BYTES)
                .max_error_response_size(MAX_ERROR_BYTES)
                .reinit_on_expired_session(true);
            let transport = StreamableHttpClientTransport::with_client(http.clone(), config);
            let service = serve_client(listener, transport)
                .await
                .map_err(|_| "it was not reached or does not speak MCP")?;
            Ok(Connection { service, program: None })
        }
        McpLink::Command { program, arguments, environment } => {
            let mut child =
                command(program, arguments, environment).spawn().map_err(|_| "the program does not start")?;
            let (Some(output), Some(input)) = (child.stdout.take(), child.stdin.take()) else {
                return Err("the program has no input and output");
            };
            let transport = AsyncRwTransport::new(output, input).with_max_line_length(MAX_MESSAGE_BYTES);
            let service =
                serve_client(listener, transport).await.map_err(|_| "the program does not speak MCP")?;
            Ok(Connection { service, program: Some(child) })
        }
    }
}

/// Ends a connection.
pub(super) async fn close(connection: Connection) {
    // What is closed is gone either way.
    let _ = connection.service.cancel().await;
    if let Some(mut program) = connection.program {
        let _ = program.kill().await;
    }
}

fn command(program: &str, arguments: &[String], environment: &BTreeMap<String, Secret>) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    // What a program complains about may hold what callers say.
    command.stderr(Stdio::null());
    for name in ENVIRONMENT {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    for (name, value) in environment {
        command.env(name, value.expose());
    }
    command
}

fn sent(headers: &BTreeMap<String, Secret>) -> Result<HashMap<HeaderName, HeaderValue>, &'static str> {
    let mut sent = HashMap::new();
    // Nothing is unpacked, so nothing small becomes large.
    sent.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| "a header cannot be sent")?;
        let mut value = HeaderValue::from_str(value.expose()).map_err(|_| "a header cannot be sent")?;
        value.set_sensitive(true);
        sent.insert(name, value);
    }
    Ok(sent)
}
