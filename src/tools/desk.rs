//! One call's tools: what it may call, what it has used up, who is on the line.

use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Semaphore;

use super::effect::Parties;
use super::policy::Policy;
use crate::config::{Agent, McpServer, Tool, ToolAction};

/// Tools of one call that run at once; further ones wait, in their own time.
pub const MAX_AT_ONCE_PER_CALL: usize = 8;

/// One call's tools. Cheap to clone; all clones are the same call.
#[derive(Debug, Clone)]
pub struct Desk {
    pub(super) agent: Arc<Agent>,
    pub(super) parties: Arc<Parties>,
    pub(super) permits: Arc<Semaphore>,
    policy: Arc<Mutex<Policy>>,
}

impl Desk {
    pub(super) fn new(agent: Arc<Agent>, parties: Parties) -> Self {
        Self {
            agent,
            parties: Arc::new(parties),
            permits: Arc::new(Semaphore::new(MAX_AT_ONCE_PER_CALL)),
            policy: Arc::default(),
        }
    }

    /// The caller has said something: what the model has asked for before may have been agreed to. To be told at the end of each of
    /// the caller's turns.
    pub fn caller_spoke(&self) {
        self.policy().handle_caller_spoke();
    }

    /// What may be said while a tool runs.
    pub fn filler(&self, name: &str) -> Option<&str> {
        self.tool(name)?.0.filler.as_deref()
    }

    pub(super) fn policy(&self) -> MutexGuard<'_, Policy> {
        self.policy.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// The table that a function belongs to, and the function's name at its MCP server if it has one.
    pub(super) fn tool(&self, name: &str) -> Option<(&Tool, Option<&str>)> {
        self.agent.tools.iter().find_map(|tool| match &tool.action {
            ToolAction::Mcp(server) if server.hosted => None,
            ToolAction::Mcp(server) => {
                let own = server.allow.iter().find(|t| McpServer::shown(t) == name)?;
                Some((tool, Some(own.as_str())))
            }
            _ => (tool.name == name).then_some((tool, None)),
        })
    }
}
