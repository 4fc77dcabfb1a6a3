//! A tool behind an HTTP endpoint.

use std::time::Duration;

use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Map, Value};

use super::error::ToolError;
use super::guard::Guard;
use crate::config::{HttpMethod, HttpTool};

/// How long a connection may take of the tool's time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// From a failure to the first repetition; doubles with each.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// The HTTP side of tools.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    guard: Guard,
}

impl Client {
    /// A client that reaches what `guard` allows.
    pub fn new(guard: Guard) -> reqwest::Result<Self> {
        let http = guard.client().connect_timeout(CONNECT_TIMEOUT).build()?;
        Ok(Self { http, guard })
    }

    /// Calls the tool. Arguments without a place in the path go as the JSON body, with GET as the query. Ends when the caller's deadline
    /// drops it, not by itself.
    pub async fn run(&self, tool: &HttpTool, mut arguments: Map<String, Value>) -> Result<String, ToolError> {
        let misplaced =
            |_| ToolError::Schema("an argument is empty, too long or no part of an address".into());
        let mut url = tool.endpoint.fill(&mut arguments).map_err(misplaced)?;
        if !self.guard.allows(&url) {
            return Err(ToolError::Forbidden);
        }
        let mut wait = RETRY_AFTER;
        let mut left = tool.retries;
        if tool.method == HttpMethod::Get {
            for (name, value) in &arguments {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                url.query_pairs_mut().append_pair(name, &text);
            }
        }
        loop {
            let mut request = self.http.request(method(tool.method), url.clone());
            if tool.method != HttpMethod::Get {
                request = request.json(&arguments);
            }
            match exchange(tool, request).await {
                Err(ToolError::Unreachable | ToolError::Status(502..=504)) if left > 0 => left -= 1,
                ended => return ended,
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
    }
}

async fn exchange(tool: &HttpTool, mut request: RequestBuilder) -> Result<String, ToolError> {
    for (name, value) in &tool.headers {
        request = request.header(name, value.expose());
    }
    // Nothing is unpacked, so nothing small becomes large.
    request = request.header(ACCEPT_ENCODING, "identity");
    let response = request.send().await.map_err(|_| ToolError::Unreachable)?;
    if !response.status().is_success() {
        return Err(ToolError::Status(response.status().as_u16()));
    }
    if response.headers().get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return Err(ToolError::Unreadable);
    }
    text(response, tool.max_answer_bytes).await
}

async fn text(mut response: Response, most: usize) -> Result<String, ToolError> {
    if response.content_length().is_some_and(|announced| announced > most as u64) {
        return Err(ToolError::TooLarge);
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| ToolError::Unreachable)? {
        if body.len() + chunk.len() > most {
            return Err(ToolError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(String::from_utf8_lossy(&body).into_owned())
}

fn method(method: HttpMethod) -> Method {
    match method {
        HttpMethod::Get => Method::GET,
        HttpMethod::Post => Method::POST,
        HttpMethod::Put => Method::PUT,
        HttpMethod::Patch => Method::PATCH,
        HttpMethod::Delete => Method::DELETE,
    }
}

#[cfg(test)]
mod tests;
