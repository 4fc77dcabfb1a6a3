//! A bucket of an S3-compatible store, as far as recordings need one. It checks every request's signature, and refuses on demand.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// The keys it knows.
pub const KEY: &str = "AKIDEXAMPLE";
pub const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
pub const REGION: &str = "eu-central-1";

#[derive(Default)]
struct Kept {
    objects: BTreeMap<String, Bytes>,
    /// Requests to refuse with 503.
    refuse: usize,
    forged: usize,
}

/// A running bucket.
#[derive(Clone)]
pub struct Bucket {
    pub address: SocketAddr,
    kept: Arc<Mutex<Kept>>,
}

impl Bucket {
    /// On a free port. The first `refuse` requests are answered with 503.
    pub async fn start(refuse: usize) -> Self {
        let kept = Arc::new(Mutex::new(Kept { refuse, ..Kept::default() }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let router = Router::new().fallback(serve).with_state(Arc::clone(&kept));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, kept }
    }

    /// What is in it, by path.
    pub fn objects(&self) -> BTreeMap<String, Bytes> {
        self.kept.lock().unwrap().objects.clone()
    }

    /// Requests whose signature was wrong.
    pub fn forged(&self) -> usize {
        self.kept.lock().unwrap().forged
    }
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length will do");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes all");
        text
    })
}

/// Whether the request is signed with [`SECRET`].
fn signed(request: &Request) -> Option<bool> {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let authorization = header("authorization")?.strip_prefix("AWS4-HMAC-SHA256 ")?;
    let part = |name: &str| authorization.split([',', ' ']).find_map(|part| part.strip_prefix(name));
    let (credential, names, signature) = (part("Credential=")?, part("SignedHeaders=")?, part("Signature=")?);
    let (key, scope) = credential.split_once('/')?;
    let query = request.uri().query().unwrap_or_default().split('&').filter(|part| !part.is_empty());
    let query: Vec<_> =
        query.map(|part| if part.contains('=') { part.into() } else { format!("{part}=") }).collect();
    let mut canonical = format!("{}\n{}\n{}\n", request.method(), request.uri().path(), query.join("&"));
    for name in names.split(';') {
        writeln!(canonical, "{name}:{}", header(name)?.trim()).ok()?;
    }
    write!(canonical, "\n{names}\n{}", header("x-amz-content-sha256")?).ok()?;
    let (date, hash) = (header("x-amz-date")?, hex(&Sha256::digest(canonical)));
    let signing = scope.split('/').fold(format!("AWS4{SECRET}").into_bytes(), |key, part| mac(&key, part));
    let right = hex(&mac(&signing, &format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{hash}")));
    Some(key == KEY && scope.contains(REGION) && right == signature)
}

async fn serve(State(kept): State<Arc<Mutex<Kept>>>, request: Request) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    {
        let mut kept = kept.lock().unwrap();
        if signed(&request) != Some(true) {
            kept.forged += 1;
            return StatusCode::FORBIDDEN.into_response();
        }
        if kept.refuse > 0 {
            kept.refuse -= 1;
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
    }
    let body = axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap_or_default();
    let mut kept = kept.lock().unwrap();
    match method {
        Method::PUT => {
            kept.objects.insert(path, body);
            ([("etag", "\"1\"")], StatusCode::OK).into_response()
        }
        Method::GET => match kept.objects.get(&path) {
            Some(bytes) => {
                let headers = [("etag", "\"1\""), ("last-modified", "Thu, 26 Nov 2026 00:00:00 GMT")];
                (headers, bytes.clone()).into_response()
            }
            None => StatusCode::NOT_FOUND.into_response(),
        },
        // DeleteObjects: the names are in the body.
        Method::POST => {
            let body = String::from_utf8_lossy(&body);
            let keys = body.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next());
            let mut deleted = String::new();
            for key in keys {
                kept.objects.remove(&format!("{path}/{key}"));
                write!(deleted, "<Deleted><Key>{key}</Key></Deleted>").expect("a String takes all");
            }
            format!("<DeleteResult>{deleted}</DeleteResult>").into_response()
        }
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}
