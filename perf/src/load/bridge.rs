//! The bridge under load: started for the run, or somebody's own.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::process::{Child, Command};
use url::Url;

/// How long a bridge may take to be ready.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// How long it may take to end.
const ENDS_WITHIN: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(50);
/// How long a killed one may take to be gone, and how often that is looked at.
const DIES_WITHIN: Duration = Duration::from_secs(2);
const DEATH_POLL: Duration = Duration::from_millis(2);
/// How long one look at a bridge's calls may take.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// A bridge that is there.
pub(crate) struct Bridge {
    pub(crate) url: Url,
    pub(crate) pid: Option<u32>,
    admin_token: Option<String>,
    client: reqwest::Client,
    started: Option<Started>,
}

/// A bridge that was started here. However the run ends, it ends first and what it keeps goes after it.
struct Started {
    child: Child,
    _folder: Folder,
}

impl Drop for Started {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.start_kill();
        let deadline = Instant::now() + DIES_WITHIN;
        // Or it would still be writing to its folder while that is removed.
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(DEATH_POLL);
        }
    }
}

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // Of a temporary folder, what cannot be removed is the system's to remove.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Bridge {
    /// One that runs already.
    pub(crate) fn given(url: Url, pid: Option<u32>, admin_token: Option<String>) -> io::Result<Self> {
        Ok(Self { url, pid, admin_token, client: client()?, started: None })
    }

    /// Starts `program serve` for so many calls against the model at `model`, and waits until it is ready. Everything stays on loopback.
    pub(crate) async fn spawn(program: &Path, model: &str, codec: &str, calls: usize) -> io::Result<Self> {
        // Freed again at once: nobody else on this machine takes it in the moment until the bridge does.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let folder = Folder(std::env::temp_dir().join(format!("aria-load-{}-{port}", std::process::id())));
        std::fs::create_dir_all(&folder.0)?;
        let config = folder.0.join("aria.toml");
        std::fs::write(
            &config,
            format!(
                "[limits]\nmax_calls = {calls}\ncalls_per_second = 1000\n\n[agents.default]\ninstructions = \"Speak.\"\ncodec = \"{codec}\"\n"
            ),
        )?;
        let child =
            Command::new(program)
                .arg("serve")
                .arg("--config")
                .arg(&config)
                .env_clear()
                .envs(std::env::vars().filter(|(name, _)| {
                    ["PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH"].contains(&name.as_str())
                }))
                .env("ARIA_LISTEN", format!("127.0.0.1:{port}"))
                .env("DATABASE_URL", format!("sqlite:{}", folder.0.join("aria.db").display()))
                .env("OPENAI_BASE_URL", model)
                .env("OPENAI_API_KEY", "sk-simulated")
                .env("RUST_LOG", "error")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .kill_on_drop(true)
                .spawn()?;
        let url = Url::parse(&format!("http://127.0.0.1:{port}")).map_err(io::Error::other)?;
        let mut started = Started { child, _folder: folder };
        let bridge =
            Self { url, pid: started.child.id(), admin_token: None, client: client()?, started: None };
        let deadline = Instant::now() + READY_WITHIN;
        while !bridge.is_ready().await {
            if let Some(status) = started.child.try_wait()? {
                return Err(io::Error::other(format!("the bridge ended before it was ready: {status}")));
            }
            if Instant::now() > deadline {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the bridge was not ready in time"));
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(Self { started: Some(started), ..bridge })
    }

    async fn is_ready(&self) -> bool {
        let answer = self.client.get(format!("{}readyz", self.url)).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// What the bridge's jitter buffer waits in each call, µs by call id; nothing of a bridge that does not tell.
    pub(crate) async fn waits(&self) -> Vec<(String, u64)> {
        let mut request = self.client.get(format!("{}api/sound", self.url));
        if let Some(token) = &self.admin_token {
            request = request.bearer_auth(token);
        }
        let Ok(answer) = request.send().await else { return Vec::new() };
        let Ok(body) = answer.json::<Value>().await else { return Vec::new() };
        let wait = |call: &Value| {
            Some((call["call_sid"].as_str()?.to_owned(), call["sound"]["jitter_wait_us"].as_u64()?))
        };
        body["calls"].as_array().into_iter().flatten().filter_map(wait).collect()
    }

    /// Ends a bridge that was started here, in an orderly way.
    pub(crate) async fn end(mut self) {
        let Some(mut started) = self.started.take() else { return };
        if let Some(pid) = started.child.id() {
            // SAFETY: no pointers; the process is our own child and has not been waited for.
            unsafe { libc::kill(pid as i32, libc::SIGTERM) };
        }
        if tokio::time::timeout(ENDS_WITHIN, started.child.wait()).await.is_err() {
            // It is killed when it is dropped.
            tracing::warn!("the bridge did not end in time");
        }
    }
}

fn client() -> io::Result<reqwest::Client> {
    reqwest::Client::builder().timeout(ASK_TIMEOUT).no_proxy().build().map_err(io::Error::other)
}
