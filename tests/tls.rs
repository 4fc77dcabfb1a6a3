//! The listener's own TLS: a whole call over it, a certificate that is exchanged under a running bridge, and those who speak something
//! else.

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use reqwest::Certificate;
use reqwest::tls::Version;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_tungstenite::tungstenite::Message;

use support::program::Program;

struct Files {
    folder: PathBuf,
}

impl Files {
    fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tls-{name}"));
        std::fs::create_dir_all(&folder).expect("cargo's directory for tests is writable");
        Self { folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// Makes a certificate for this machine; its PEM.
    fn renew(&self) -> String {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let pair = rcgen::generate_simple_self_signed(names).expect("a certificate");
        std::fs::write(self.path("cert.pem"), pair.cert.pem()).expect("it can be written");
        std::fs::write(self.path("key.pem"), pair.signing_key.serialize_pem()).expect("it can be written");
        pair.cert.pem()
    }

    async fn serve(&self) -> Program {
        let (certificate, key) = (self.path("cert.pem"), self.path("key.pem"));
        let database = format!("sqlite:{}", self.path("aria.db"));
        let environment = [
            ("ARIA_PUBLIC_URL", "https://localhost:8443"),
            ("ARIA_TLS_CERTIFICATE", &certificate),
            ("ARIA_TLS_KEY", &key),
            ("DATABASE_URL", &database),
        ];
        Program::serve(&environment).await
    }
}

fn client(root: &str) -> reqwest::ClientBuilder {
    let root = Certificate::from_pem(root.as_bytes()).expect("PEM");
    reqwest::Client::builder().no_proxy().tls_certs_only([root]).timeout(Duration::from_secs(5))
}

async fn alive(client: reqwest::ClientBuilder, program: &Program) -> bool {
    let url = program.url.join("/healthz").expect("a path");
    let answer = client.build().expect("a client").get(url).send().await;
    answer.is_ok_and(|answer| answer.status().is_success())
}

#[tokio::test]
async fn a_call_is_held_over_it() {
    let files = Files::new("call");
    let root = files.renew();
    let program = files.serve().await;
    assert_eq!(program.url.scheme(), "https");
    let form = [("CallSid", "CA1"), ("AccountSid", "AC1"), ("From", "+15550000001"), ("To", "+15550000002")];
    let url = program.url.join("/api/twilio/voice/inbound").expect("a path");
    let answer = client(&root).build().unwrap().post(url).form(&form).send().await.expect("it answers");
    let twiml = answer.text().await.expect("text");
    assert!(twiml.contains("wss://localhost:8443/api/twilio/media"), "{twiml}");
    let token = twiml.split("value=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a token");

    let port = program.url.port().expect("a port of its own");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(root.as_bytes()).expect("PEM")).expect("a root");
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("these are")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tcp = TcpStream::connect(("127.0.0.1", port)).await.expect("it listens");
    let name = ServerName::try_from("localhost").expect("a name");
    let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.expect("a handshake");
    let (mut socket, _) = tokio_tungstenite::client_async("wss://localhost:8443/api/twilio/media", tls)
        .await
        .expect("an upgrade");
    let start = json!({
        "event": "start", "sequenceNumber": "1", "streamSid": "MZ1",
        "start": {
            "accountSid": "AC1", "callSid": "CA1", "streamSid": "MZ1", "tracks": ["inbound"],
            "mediaFormat": { "encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1 },
            "customParameters": { "token": token },
        },
    });
    let connected = json!({ "event": "connected", "protocol": "Call", "version": "1.0.0" });
    for message in [connected, start] {
        socket.send(Message::text(message.to_string())).await.expect("it reads");
    }
    // The simulated model greets.
    let until = Instant::now() + Duration::from_secs(15);
    let mut frames = 0;
    while frames < 20 {
        let left = until.saturating_duration_since(Instant::now());
        let message = tokio::time::timeout(left, socket.next()).await.expect("sound in time");
        let Message::Text(text) = message.expect("the socket is open").expect("a message") else { continue };
        let message: Value = serde_json::from_str(&text).expect("JSON");
        frames += usize::from(message["event"] == "media");
    }
    assert_eq!(program_live(&root, &program).await, 1);
}

/// Calls that are here, by the program's own metrics.
async fn program_live(root: &str, program: &Program) -> usize {
    let url = program.url.join("/metrics").expect("a path");
    let text = client(root).build().unwrap().get(url).send().await.unwrap().text().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("aria_calls "));
    line.map_or(0, |number| number.trim().parse::<f64>().expect("a number") as usize)
}

#[tokio::test]
async fn a_new_certificate_comes_into_force_without_a_restart() {
    let files = Files::new("renewal");
    let old = files.renew();
    let program = files.serve().await;
    assert!(alive(client(&old), &program).await);
    let new = files.renew();
    let until = Instant::now() + Duration::from_secs(20);
    while !alive(client(&new), &program).await {
        assert!(Instant::now() < until, "the new certificate is not served");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(!alive(client(&old), &program).await, "and the old one no longer");
    // What is of no use changes nothing.
    std::fs::write(files.path("cert.pem"), "nonsense").expect("it can be written");
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert!(alive(client(&new), &program).await);
}

#[tokio::test]
async fn fault_61_only_tls_of_today_is_spoken() {
    let files = Files::new("versions");
    let root = files.renew();
    let program = files.serve().await;
    for version in [Version::TLS_1_2, Version::TLS_1_3] {
        let client = client(&root).tls_version_min(version).tls_version_max(version);
        assert!(alive(client, &program).await, "{version:?}");
    }
    let port = program.url.port().expect("a port of its own");
    // Plain HTTP, and the ClientHello of TLS 1.0 with a cipher of its time (RSA, AES-128-CBC, SHA-1).
    let mut hello = vec![0x16, 3, 1, 0, 45, 1, 0, 0, 41, 3, 1];
    hello.extend([0x5a; 32]);
    hello.extend([0, 0, 2, 0, 0x2f, 1, 0]);
    for bytes in [b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(), hello] {
        let mut tcp = TcpStream::connect(("127.0.0.1", port)).await.expect("it listens");
        tcp.write_all(&bytes).await.expect("it reads");
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(8), tcp.read_to_end(&mut answer)).await;
        assert!(read.is_ok(), "it is closed");
        // An alert at most (RFC 8446, 6), no ServerHello and no HTTP.
        assert!(answer.first().is_none_or(|kind| *kind == 0x15), "{answer:?}");
    }
    // Who says nothing is put out.
    let mut silent = TcpStream::connect(("127.0.0.1", port)).await.expect("it listens");
    let closed = tokio::time::timeout(Duration::from_secs(8), silent.read(&mut [0; 8])).await;
    assert!(closed.is_ok(), "a handshake that does not come is not waited for");
    assert!(alive(client(&root), &program).await);
}
