//! MCP servers: connected in the background, shared by all calls, and away when they are away.
//!
//! The protocol is the official SDK's (crate `rmcp`). What is ours: who may be reached, how long anything takes, how much is read,
//! and that no call ever waits for a connection.

mod link;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use rmcp::model::{CallToolRequestParams, CallToolResult};
use rmcp::service::{Peer, ServiceError};
use rmcp::{ClientHandler, RoleClient};
use serde_json::{Map, Value, json};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::error::ToolError;
use super::guard::Guard;
use crate::config::{McpLink, Schema};
use link::Connection;

/// How long a connection may take: process start or TCP and TLS, and the greeting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the list of tools may take.
const LIST_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the list is asked for again: it finds out that a server has gone, and that its tools have changed.
const LIST_EVERY: Duration = Duration::from_secs(30);
/// From a lost connection to the first attempt; doubles with each.
const RECONNECT_AFTER: Duration = Duration::from_millis(500);
/// Longest wait between attempts.
const RECONNECT_AT_MOST: Duration = Duration::from_secs(60);
/// Longest description that is given to the model, bytes.
const MAX_DESCRIPTION_BYTES: usize = 1_024;
/// Largest schema that is given to the model, bytes.
const MAX_SCHEMA_BYTES: usize = 16 * 1024;
/// Most of an answer that is given on, bytes.
const MAX_TEXT_BYTES: usize = crate::config::MAX_ANSWER_BYTES;

/// A tool as its server describes it.
#[derive(Debug)]
pub(super) struct Listed {
    /// As the server names it.
    pub name: String,
    pub description: String,
    pub parameters: Schema,
}

/// All servers that the settings name.
#[derive(Debug)]
pub(super) struct Servers {
    guard: Guard,
    http: reqwest::Client,
    running: Mutex<Vec<Arc<Server>>>,
}

impl Servers {
    pub fn new(guard: Guard) -> Result<Self, String> {
        let http = guard.client().connect_timeout(CONNECT_TIMEOUT).build().map_err(|e| e.to_string())?;
        Ok(Self { guard, http, running: Mutex::default() })
    }

    /// Starts what is new among `links` (with a name for the log) and ends what is not among them.
    pub fn prepare(&self, links: Vec<(String, McpLink)>) {
        let mut running = self.running.lock().unwrap_or_else(|e| e.into_inner());
        running.retain(|server| links.iter().any(|(_, link)| *link == server.link));
        for (name, link) in links {
            if !running.iter().any(|server| server.link == link) {
                running.push(Server::start(name, link, self.guard.clone(), self.http.clone()));
            }
        }
    }

    /// Waits until each server has been tried once, at most for `limit`: those that are there are then known.
    pub async fn settled(&self, limit: Duration) {
        let servers = self.running.lock().unwrap_or_else(|e| e.into_inner()).clone();
        let tried = async {
            for server in servers {
                // A server that is let go of meanwhile need not be waited for.
                let _ = server.shared.tried.subscribe().wait_for(|tried| *tried).await;
            }
        };
        // Who is slower comes later.
        let _ = timeout(limit, tried).await;
    }

    pub fn get(&self, link: &McpLink) -> Option<Arc<Server>> {
        let running = self.running.lock().unwrap_or_else(|e| e.into_inner());
        running.iter().find(|server| server.link == *link).cloned()
    }
}

/// One server, connected or not.
#[derive(Debug)]
pub(super) struct Server {
    id: u64,
    link: McpLink,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// What the task of a server and its callers share.
#[derive(Debug, Default)]
struct Shared {
    connected: RwLock<Option<Connected>>,
    /// The list has changed.
    changed: Notify,
    /// A call found the connection broken.
    broken: Notify,
    /// Whether it has been tried to connect.
    tried: watch::Sender<bool>,
}

#[derive(Debug, Clone)]
struct Connected {
    peer: Peer<RoleClient>,
    tools: Vec<Arc<Listed>>,
}

/// Takes what the server says by itself.
#[derive(Debug)]
struct Listener(Arc<Shared>);

impl ClientHandler for Listener {
    async fn on_tool_list_changed(&self, _: rmcp::service::NotificationContext<RoleClient>) {
        self.0.changed.notify_one();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    fn start(name: String, link: McpLink, guard: Guard, http: reqwest::Client) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let shared = Arc::new(Shared::default());
        let task = tokio::spawn(keep(name, link.clone(), guard, http, Arc::clone(&shared)));
        Arc::new(Self { id: NEXT.fetch_add(1, Ordering::Relaxed), link, shared, task })
    }

    /// Tells it from all others.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// A tool, if the server is there and has it.
    pub fn tool(&self, name: &str) -> Option<Arc<Listed>> {
        self.connected()?.tools.into_iter().find(|t| t.name == name)
    }

    fn connected(&self) -> Option<Connected> {
        self.shared.connected.read().unwrap_or_else(|e| e.into_inner()).clone()
    }

    /// Calls a tool: what it says, and whether that is a result. Dropping the future tells the server that nobody waits.
    pub async fn call(
        &self,
        name: String,
        arguments: Map<String, Value>,
    ) -> Result<(String, bool), ToolError> {
        let Connected { peer, .. } = self.connected().ok_or(ToolError::Unreachable)?;
        let request = CallToolRequestParams::new(name).with_arguments(arguments);
        match peer.call_tool(request).await {
            Ok(result) => spoken(result),
            Err(ServiceError::McpError(_)) => Err(ToolError::Failed),
            Err(ServiceError::TransportSend(_) | ServiceError::TransportClosed) => {
                self.shared.broken.notify_one();
                Err(ToolError::Unreachable)
            }
            Err(_) => Err(ToolError::Failed),
        }
    }
}

/// Text of a result. Pictures and sounds are of no use to a voice.
fn spoken(result: CallToolResult) -> Result<(String, bool), ToolError> {
    let texts: Vec<&str> =
        result.content.iter().filter_map(|c| c.as_text()).map(|t| t.text.as_str()).collect();
    let mut text = texts.join("\n");
    if let (true, Some(structured)) = (text.is_empty(), &result.structured_content) {
        text = structured.to_string();
    }
    if text.len() > MAX_TEXT_BYTES {
        return Err(ToolError::TooLarge);
    }
    // A tool's own error is meant for the model, so that it can do better (MCP, Tools, Error handling).
    if result.is_error == Some(true) {
        Ok((json!({ "error": text }).to_string(), false))
    } else {
        Ok((text, true))
    }
}

/// Keeps a server connected for as long as it is wanted.
async fn keep(name: String, link: McpLink, guard: Guard, http: reqwest::Client, shared: Arc<Shared>) {
    let mut wait = RECONNECT_AFTER;
    loop {
        let connecting = link::connect(&link, &guard, &http, Listener(Arc::clone(&shared)));
        match timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(Ok(connection)) => {
                if serve(&name, &connection, &shared).await {
                    wait = RECONNECT_AFTER;
                }
                *shared.connected.write().unwrap_or_else(|e| e.into_inner()) = None;
                tracing::warn!(server = %name, "an MCP server is lost: its tools are away");
                metrics::counter!("aria_mcp_lost_total").increment(1);
                link::close(connection).await;
            }
            Ok(Err(reason)) => {
                tracing::warn!(server = %name, reason, "an MCP server cannot be reached: its tools are away")
            }
            Err(_) => tracing::warn!(server = %name, "an MCP server does not answer: its tools are away"),
        }
        shared.tried.send_replace(true);
        // Servers that went together need not come back together.
        tokio::time::sleep(wait.mul_f64(rand::random_range(0.8..1.2))).await;
        wait = (wait * 2).min(RECONNECT_AT_MOST);
    }
}

/// Lists the tools and keeps the list fresh until the connection is lost. Whether there ever was a list.
async fn serve(name: &str, connection: &Connection, shared: &Shared) -> bool {
    let mut listed = false;
    loop {
        let Ok(Ok(tools)) = timeout(LIST_TIMEOUT, connection.peer().list_all_tools()).await else {
            return listed;
        };
        let tools: Vec<Arc<Listed>> =
            tools.into_iter().filter_map(|tool| readable(name, tool)).map(Arc::new).collect();
        if !listed {
            tracing::info!(server = %name, tools = tools.len(), "an MCP server is connected");
        }
        listed = true;
        let connected = Connected { peer: connection.peer().clone(), tools };
        *shared.connected.write().unwrap_or_else(|e| e.into_inner()) = Some(connected);
        shared.tried.send_replace(true);
        tokio::select! {
            () = shared.changed.notified() => {}
            () = shared.broken.notified() => return true,
            () = tokio::time::sleep(LIST_EVERY) => {}
        }
        if connection.is_closed() {
            return true;
        }
    }
}

/// A tool that can be given to the model.
fn readable(server: &str, tool: rmcp::model::Tool) -> Option<Listed> {
    let name = tool.name.into_owned();
    let source = Value::Object(Arc::unwrap_or_clone(tool.input_schema));
    let parameters = if source.to_string().len() > MAX_SCHEMA_BYTES {
        Err(format!("its schema is above {MAX_SCHEMA_BYTES} bytes"))
    } else {
        Schema::new(source)
    };
    match parameters {
        Ok(parameters) => {
            let mut description = tool.description.unwrap_or_default().into_owned();
            description.truncate(description.floor_char_boundary(MAX_DESCRIPTION_BYTES));
            Some(Listed { name, description, parameters })
        }
        Err(reason) => {
            tracing::warn!(server, tool = name, reason, "an MCP tool cannot be used");
            None
        }
    }
}

#[cfg(test)]
mod tests;
