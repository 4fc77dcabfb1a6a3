//! One address before one or several models: a session goes to the model that its instructions name. It may be far away.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Larger requests are none of the bridge's.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// The words in an agent's instructions that name its model.
pub fn name(index: usize) -> String {
    format!("You are agent number {index}.")
}

struct Routes {
    /// `http://127.0.0.1:PORT`, in the order of the agents.
    models: Vec<String>,
    /// Which model has granted which call.
    calls: Mutex<HashMap<String, usize>>,
    client: reqwest::Client,
    /// How long each request is under way, there and back.
    round_trip: Duration,
}

/// The address; ends when it is dropped.
pub struct Front {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Front {
    /// Before models with these base URLs. A request to them is under way for `round_trip`.
    pub async fn start(base_urls: &[String], round_trip: Duration) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let models = base_urls.iter().map(|url| url.trim_end_matches("/v1").to_owned()).collect();
        let client = reqwest::Client::builder().no_proxy().build().expect("a plain client");
        let routes = Arc::new(Routes { models, calls: Mutex::default(), client, round_trip });
        let router = Router::new().fallback(pass).with_state(routes);
        let task = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { address, task }
    }

    /// As `OPENAI_BASE_URL` wants it.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }
}

async fn pass(State(routes): State<Arc<Routes>>, request: Request) -> Response {
    tokio::time::sleep(routes.round_trip).await;
    let (mut head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY_BYTES).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let path = head.uri.path().to_owned();
    let Some(model) = routes.model(&path, &body) else { return StatusCode::NOT_FOUND.into_response() };
    // reqwest names the host and the length itself.
    head.headers.remove(header::HOST);
    head.headers.remove(header::CONTENT_LENGTH);
    let url = format!("{}{path}", routes.models[model]);
    let answer = routes.client.request(head.method, url).headers(head.headers).body(body).send().await;
    let Ok(answer) = answer else { return StatusCode::BAD_GATEWAY.into_response() };
    let (status, headers) = (answer.status(), answer.headers().clone());
    let location = headers.get(header::LOCATION).and_then(|l| l.to_str().ok());
    if let Some(call) = location.and_then(|l| l.rsplit('/').next()) {
        routes.calls.lock().expect("nobody panics with it").insert(call.to_owned(), model);
    }
    let mut response = Response::new(Body::from(answer.bytes().await.unwrap_or_default()));
    *response.status_mut() = status;
    for kept in [header::LOCATION, header::CONTENT_TYPE, header::RETRY_AFTER] {
        if let Some(value) = headers.get(&kept) {
            response.headers_mut().insert(kept, value.clone());
        }
    }
    response
}

impl Routes {
    fn model(&self, path: &str, body: &[u8]) -> Option<usize> {
        if let Some(call) = path.strip_suffix("/hangup").and_then(|p| p.rsplit('/').next()) {
            return self.calls.lock().expect("nobody panics with it").get(call).copied();
        }
        let body = String::from_utf8_lossy(body);
        (0..self.models.len()).find(|index| body.contains(&name(*index)))
    }
}
