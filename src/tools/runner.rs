//! Runs function calls.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;
use tokio::time::timeout_at;

use super::breaker::Breakers;
use super::definition::{self, CONFIRMED};
use super::desk::Desk;
use super::effect::{self, Effect, Parties};
use super::error::ToolError;
use super::guard::Guard;
use super::policy::{Rules, Verdict};
use super::{Outcome, http, mcp};
use crate::config::{Agent, HttpTool, McpServer, Schema, Settings, Tool, ToolAction};

/// Largest output given to the model, bytes as JSON. With its event it stays below 64 KiB, which every peer takes (RFC 8841, 6.1: the
/// `max-message-size` of an answer that names none).
pub const MAX_OUTPUT_BYTES: usize = 60 * 1024;
/// Largest arguments taken from the model, bytes.
pub const MAX_ARGUMENTS_BYTES: usize = 64 * 1024;
/// What MCP servers are given to be there before the first call.
pub const MCP_START: Duration = Duration::from_secs(2);
/// Tools that run at once in the process; further ones wait, in their own time.
pub const MAX_AT_ONCE: usize = 256;

/// Runs tools for all calls. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Runner {
    http: Arc<http::Client>,
    servers: Arc<mcp::Servers>,
    breakers: Breakers,
    permits: Arc<Semaphore>,
    denied: Arc<[String]>,
}

/// What is left to do once the policy has agreed.
enum Job {
    Http(HttpTool, Map<String, Value>),
    Mcp(Arc<mcp::Server>, String, Map<String, Value>),
}

/// What becomes of a function call before anything runs.
enum Ruling {
    Run(Job, Duration),
    Answer(String, Option<Effect>),
}

impl Runner {
    /// A runner for these settings. Connects to their MCP servers in the background; must be called within a tokio runtime.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let guard = Guard::new(&settings.tool_private_hosts);
        let runner = Self {
            http: Arc::new(http::Client::new(guard.clone()).map_err(|e| e.to_string())?),
            servers: Arc::new(mcp::Servers::new(guard)?),
            breakers: Breakers::default(),
            permits: Arc::new(Semaphore::new(MAX_AT_ONCE)),
            denied: settings.tool_denied_prefixes.clone().into(),
        };
        runner.prepare(settings);
        Ok(runner)
    }

    /// Connects to the MCP servers of these settings and lets go of all others. What is in both stays connected. Private hosts and
    /// denied prefixes stay those of the start.
    pub fn prepare(&self, settings: &Settings) {
        let of = |tool: &Tool| match &tool.action {
            ToolAction::Mcp(server) if !server.hosted => Some((tool.name.clone(), server.link.clone())),
            _ => None,
        };
        self.servers.prepare(settings.agents.values().flat_map(|a| a.tools.iter().filter_map(of)).collect());
    }

    /// Waits until each MCP server has been tried once, at most for [`MCP_START`], so that the first call has the tools of those
    /// that are there.
    pub async fn settled(&self) {
        self.servers.settled(MCP_START).await;
    }

    /// The tools of an agent for `session.tools`. Waits for nobody: tools of an MCP server that is away now are left out.
    pub fn definitions(&self, agent: &Agent) -> Vec<Value> {
        let mut definitions = Vec::new();
        for tool in &agent.tools {
            match &tool.action {
                ToolAction::Mcp(server) if server.hosted => {
                    definitions.extend(definition::hosted(tool, server));
                }
                ToolAction::Mcp(server) => definitions.extend(self.listed(tool, server)),
                _ => definitions.push(definition::function(
                    &tool.name,
                    &tool.description,
                    &tool.parameters,
                    tool.confirm,
                )),
            }
        }
        definitions
    }

    fn listed(&self, tool: &Tool, server: &McpServer) -> Vec<Value> {
        let Some(running) = self.servers.get(&server.link) else { return Vec::new() };
        let mut definitions = Vec::new();
        for name in &server.allow {
            match running.tool(name) {
                Some(listed) => definitions.push(definition::function(
                    &McpServer::shown(name),
                    &listed.description,
                    &listed.parameters,
                    tool.confirm,
                )),
                None => {
                    tracing::warn!(server = %tool.name, tool = %name, "an MCP tool is away: this call goes without it");
                }
            }
        }
        definitions
    }

    /// The desk of one call. `caller` and `called` are its numbers as Twilio writes them; on an outbound call, `caller` is whom we
    /// called and `called` our own number.
    pub fn desk(&self, agent: Arc<Agent>, caller: &str, called: &str) -> Desk {
        Desk::new(agent, Parties::new(caller, called, &self.denied))
    }

    /// Runs the tool `name` of a call. The policy is asked now, in the order of the calls; the future owns all it needs and ends by
    /// the tool's deadline. Dropping it gives the tool up.
    pub fn run(
        &self,
        desk: &Desk,
        name: &str,
        arguments: String,
    ) -> impl Future<Output = Outcome> + Send + 'static + use<> {
        let begun = Instant::now();
        let ruling = self.rule(desk, name, &arguments);
        let (runner, permits) = (self.clone(), Arc::clone(&desk.permits));
        async move {
            let ended = match ruling {
                Ok(Ruling::Answer(output, effect)) => Ok((output, true, effect)),
                Ok(Ruling::Run(job, timeout)) => runner
                    .work(job, begun + timeout, &permits)
                    .await
                    .and_then(|(output, ok)| sendable(output).map(|output| (output, ok, None))),
                Err(error) => Err(error),
            };
            let label = match &ended {
                Ok((_, true, _)) => "ok",
                Ok((_, false, _)) => "told",
                Err(error) => error.label(),
            };
            metrics::counter!("aria_tool_calls_total", "outcome" => label).increment(1);
            let (output_for_model, ok, effect) =
                ended.unwrap_or_else(|error| (error.for_the_model(), false, None));
            Outcome { output_for_model, ok, effect, took: begun.elapsed() }
        }
    }

    /// Everything that must be right before a tool runs.
    fn rule(&self, desk: &Desk, name: &str, arguments: &str) -> Result<Ruling, ToolError> {
        desk.policy().handle_attempt()?;
        let (tool, own_name) = desk.tool(name).ok_or(ToolError::Unknown)?;
        let mut arguments = object(arguments).ok_or(ToolError::Arguments)?;
        let confirmed = tool.confirm && arguments.remove(CONFIRMED) == Some(Value::Bool(true));
        let listed = match (&tool.action, own_name) {
            (ToolAction::Mcp(server), Some(own)) => {
                let running = self.servers.get(&server.link).ok_or(ToolError::Unknown)?;
                let listed = running.tool(own).ok_or(ToolError::Unknown)?;
                Some((running, listed))
            }
            _ => None,
        };
        let schema: &Schema = listed.as_ref().map_or(&tool.parameters, |(_, listed)| &listed.parameters);
        let whole = Value::Object(arguments);
        schema.check(&whole).map_err(ToolError::Schema)?;
        let Value::Object(arguments) = whole else { return Err(ToolError::Arguments) };
        let planned = match &tool.action {
            ToolAction::Builtin(builtin) => Some(effect::plan(builtin, &arguments, &desk.parties)?),
            _ => None,
        };
        let rules = Rules { max_per_call: tool.max_per_call, confirm: tool.confirm };
        if desk.policy().handle_call(name, rules, &arguments, confirmed)? == Verdict::Ask {
            let ask = json!({
                "status": "not done yet",
                "next": "Tell the caller exactly what would be done and ask for a yes. Then call this again with the same arguments and confirmed = true.",
            });
            return Ok(Ruling::Answer(ask.to_string(), None));
        }
        let job = match (&tool.action, planned, listed) {
            (_, Some((effect, output)), _) => {
                return Ok(Ruling::Answer(output.to_string(), Some(effect)));
            }
            (ToolAction::Http(http), ..) => Job::Http(http.clone(), arguments),
            (_, _, Some((running, listed))) => Job::Mcp(running, listed.name.clone(), arguments),
            _ => return Err(ToolError::Unknown),
        };
        Ok(Ruling::Run(job, tool.timeout))
    }

    async fn work(
        &self,
        job: Job,
        deadline: Instant,
        of_call: &Semaphore,
    ) -> Result<(String, bool), ToolError> {
        let deadline = deadline.into();
        let permits = async { (of_call.acquire().await, self.permits.acquire().await) };
        // Neither is ever closed.
        let _permits = timeout_at(deadline, permits).await.map_err(|_| ToolError::Busy)?;
        let host = match &job {
            Job::Http(tool, _) => {
                let url = tool.endpoint.url();
                format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(0))
            }
            Job::Mcp(server, ..) => format!("mcp:{}", server.id()),
        };
        let admission = self.breakers.admit(&host).ok_or(ToolError::OutOfOrder)?;
        let work = async {
            match job {
                Job::Http(tool, arguments) => {
                    self.http.run(&tool, arguments).await.map(|output| (output, true))
                }
                Job::Mcp(server, name, arguments) => server.call(name, arguments).await,
            }
        };
        let ended = timeout_at(deadline, work).await.unwrap_or(Err(ToolError::TimedOut));
        admission.end(ended.as_ref().is_err_and(ToolError::is_of_the_host));
        ended
    }
}

/// An event that is too large would never leave, and the model would wait for its output.
fn sendable(output: String) -> Result<String, ToolError> {
    let written = serde_json::to_string(&output).map_or(usize::MAX, |json| json.len());
    if written > MAX_OUTPUT_BYTES { Err(ToolError::TooLarge) } else { Ok(output) }
}

/// The model leaves the arguments empty when there are none.
fn object(arguments: &str) -> Option<Map<String, Value>> {
    if arguments.len() > MAX_ARGUMENTS_BYTES {
        return None;
    }
    if arguments.trim().is_empty() { Some(Map::new()) } else { serde_json::from_str(arguments).ok() }
}

#[cfg(test)]
mod tests;
