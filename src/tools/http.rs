//! A tool behind an HTTP endpoint.

use std::time::Duration;

use serde_json::{Map, Value};

use super::ToolError;
use super::guard::Guard;
use crate::config::{HttpMethod, HttpTool};

/// Largest answer of a tool, bytes: more is of no use to a voice.
pub const MAX_ANSWER_BYTES: usize = 256 * 1024;
/// How long a connection may take of the tool's time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The HTTP side of tools.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    guard: Guard,
}

impl Client {
    /// A client that reaches public hosts and those named.
    pub fn new(private_hosts: &[String]) -> reqwest::Result<Self> {
        let guard = Guard::new(private_hosts);
        let http = reqwest::Client::builder()
            // A redirect could lead where the guard would not let us.
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .dns_resolver(guard.clone())
            .build()?;
        Ok(Self { http, guard })
    }

    /// Calls the tool. The arguments go as the JSON body, with GET as the query.
    pub async fn run(&self, tool: &HttpTool, arguments: Map<String, Value>) -> Result<String, ToolError> {
        if !self.guard.allows(&tool.url) {
            return Err(ToolError::Forbidden);
        }
        tokio::time::timeout(tool.timeout, self.exchange(tool, arguments))
            .await
            .unwrap_or(Err(ToolError::TimedOut))
    }

    async fn exchange(&self, tool: &HttpTool, arguments: Map<String, Value>) -> Result<String, ToolError> {
        let method = match tool.method {
            HttpMethod::Get => reqwest::Method::GET,
            HttpMethod::Post => reqwest::Method::POST,
            HttpMethod::Put => reqwest::Method::PUT,
            HttpMethod::Patch => reqwest::Method::PATCH,
            HttpMethod::Delete => reqwest::Method::DELETE,
        };
        let mut url = tool.url.clone();
        let request = if tool.method == HttpMethod::Get {
            for (name, value) in &arguments {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                url.query_pairs_mut().append_pair(name, &text);
            }
            self.http.request(method, url)
        } else {
            self.http.request(method, url).json(&arguments)
        };
        let mut response = request.send().await.map_err(|_| ToolError::Unreachable)?;
        if !response.status().is_success() {
            return Err(ToolError::Status(response.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|_| ToolError::Unreachable)? {
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(ToolError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(String::from_utf8_lossy(&body).into_owned())
    }
}
