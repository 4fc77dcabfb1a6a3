//! Peers that are programs of another language.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use url::Url;

/// Python with its modules, or Node with libwebrtc, on a busy machine with cold disks.
const START: Duration = Duration::from_secs(60);

/// A running peer; it ends with this value.
pub struct Peer {
    /// `http://127.0.0.1:PORT/v1`.
    pub url: Url,
    _child: Child,
    /// The peer stops when this closes, so it cannot outlive us however we end.
    _stdin: ChildStdin,
}

impl Peer {
    /// aiortc, or `None` where it is not installed and not required.
    pub async fn aiortc() -> Option<Self> {
        let python = root().join("target/interop/venv/bin/python");
        let installed = python.exists();
        let mut command = Command::new(python);
        command.arg(root().join("tests/interop/aiortc_model.py"));
        Self::start("aiortc", installed, command).await
    }

    /// libwebrtc in Node.js, or `None` where it is not installed and not required.
    pub async fn libwebrtc() -> Option<Self> {
        let folder = root().join("target/interop/node");
        let installed = folder.join("node_modules/@roamhq/wrtc").exists();
        let mut command = Command::new("node");
        command.arg(root().join("tests/interop/wrtc_model.mjs")).env("ARIA_INTEROP_NODE", folder);
        Self::start("libwebrtc", installed, command).await
    }

    async fn start(name: &str, installed: bool, mut command: Command) -> Option<Self> {
        if !installed {
            let required = std::env::var("ARIA_INTEROP").is_ok_and(|v| v == "required");
            assert!(!required, "{name} is required (ARIA_INTEROP) and not installed: see tests/interop.rs");
            super::report::tell(&format!(
                "SKIPPED: no call with {name}: not installed, see tests/interop.rs"
            ));
            return None;
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{name} does not start: {e}"));
        let stdin = child.stdin.take().expect("standard input is piped");
        let mut lines = BufReader::new(child.stdout.take().expect("standard output is piped")).lines();
        let line = tokio::time::timeout(START, lines.next_line()).await.expect("the peer is up in time");
        let line = line.expect("UTF-8").unwrap_or_else(|| panic!("{name} ended at once"));
        let port = line.strip_prefix("listening ").unwrap_or_else(|| panic!("{name} said {line:?}"));
        // What it prints later is for whoever reads the test's output, and must not fill the pipe.
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                eprintln!("{line}");
            }
        });
        let url = Url::parse(&format!("http://127.0.0.1:{port}/v1")).expect("a port makes a URL");
        Some(Self { url, _child: child, _stdin: stdin })
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}
