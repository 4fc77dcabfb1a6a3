//! The real program, `aria serve`, in a process of its own.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use url::Url;

/// How the bridge is told the internet reaches it; the phone connects this origin to where it really listens.
pub const PUBLIC_URL: &str = "http://localhost:8080";
/// From the start to the line that says where it listens.
const START_LIMIT: Duration = Duration::from_secs(20);
/// From SIGTERM to the end, when there are no calls.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// A new and empty folder: no `aria.toml` lies about in it, and nobody else keeps records there.
pub fn folder() -> PathBuf {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let name = format!("house-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    // An earlier process may have had this id.
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("cargo's directory for tests is writable");
    folder
}

/// A running bridge. Killed when it is dropped.
pub struct Program {
    child: Child,
    pid: u32,
    said: Arc<Mutex<String>>,
    /// Where it listens.
    pub url: Url,
}

impl Program {
    /// Starts it on a free port with this environment and nothing of ours.
    pub async fn serve(environment: &[(&str, &str)]) -> Self {
        Self::start(&[], environment, false).await
    }

    /// The same; what it writes is kept ([`Self::said`]).
    pub async fn overheard(environment: &[(&str, &str)]) -> Self {
        Self::start(&[], environment, true).await
    }

    /// The same, by way of another program that becomes it: its name and arguments, which those of `aria` follow.
    pub async fn within(wrapper: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::start(wrapper, environment, false).await
    }

    async fn start(wrapper: &[&str], environment: &[(&str, &str)], overheard: bool) -> Self {
        let words = [wrapper, &[env!("CARGO_BIN_EXE_aria"), "serve"]].concat();
        let mut command = Command::new(words[0]);
        // A machine that keeps the memory of what dies, as far as this one may be made so.
        // SAFETY: between fork and exec this makes one system call, which reads what it is pointed to.
        unsafe {
            command.pre_exec(|| {
                let limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
                libc::setrlimit(libc::RLIMIT_CORE, &limit);
                Ok(())
            });
        }
        let mut child = command
            .args(&words[1..])
            .env_clear()
            .envs([("ARIA_LISTEN", "127.0.0.1:0"), ("ARIA_PUBLIC_URL", PUBLIC_URL), ("RUST_LOG", "error")])
            // In huge pages resident memory comes and goes by 2 MB, whatever the calls do.
            .env("MIMALLOC_ALLOW_THP", "0")
            .envs(environment.iter().copied())
            .current_dir(folder())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(if overheard { Stdio::piped() } else { Stdio::inherit() })
            .kill_on_drop(true)
            .spawn()
            .expect("cargo has built the program");
        let said = Arc::<Mutex<String>>::default();
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(keep(BufReader::new(stderr), Arc::clone(&said)));
        }
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let listening = async {
            while let Some(line) = lines.next_line().await.expect("its output is text") {
                if let Some(url) = line.strip_prefix("listening on ") {
                    return url.parse().expect("it prints a URL");
                }
            }
            panic!("the program ended before it listened");
        };
        let url = tokio::time::timeout(START_LIMIT, listening).await.expect("it listens in time");
        let pid = child.id().expect("it runs");
        tokio::spawn(keep(lines.into_inner(), Arc::clone(&said)));
        Self { child, pid, said, url }
    }

    /// What it has written after it began to listen, and to standard error before.
    pub fn said(&self) -> String {
        self.said.lock().expect("nobody panics with it").clone()
    }

    /// A soft limit as the system tells it, by its name there.
    pub fn limit(&self, name: &str) -> String {
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", self.pid)).expect("it runs");
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).expect("Linux tells it");
        line.split_whitespace().next().expect("a value").to_owned()
    }

    /// The root of the file system as it sees it.
    pub fn root(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root", self.pid))
    }

    /// Resident memory in kB.
    pub fn memory_kb(&self) -> i64 {
        self.status("VmRSS:")
    }

    /// Threads.
    pub fn threads(&self) -> i64 {
        self.status("Threads:")
    }

    /// Open file descriptors.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid)).expect("it runs").count()
    }

    /// How often each thread whose name begins so has given up its core to wait, by name.
    pub fn waits(&self, prefix: &str) -> BTreeMap<String, u64> {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.pid)).expect("it runs");
        let threads = threads.filter_map(|thread| {
            let folder = thread.ok()?.path();
            let name = std::fs::read_to_string(folder.join("comm")).ok()?.trim().to_owned();
            let status = std::fs::read_to_string(folder.join("status")).ok()?;
            let waits = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
            Some((name, waits.trim().parse().ok()?))
        });
        threads.filter(|(name, _)| name.starts_with(prefix)).collect()
    }

    fn status(&self, field: &str) -> i64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("Linux tells it");
        line.split_whitespace().next().and_then(|n| n.parse().ok()).expect("a number")
    }

    /// Calls that are here, by its own metrics.
    pub async fn live(&self) -> usize {
        self.metric("aria_calls").await.map_or(0, |number| number as usize)
    }

    /// A metric by its name and labels, once there is one.
    pub async fn metric(&self, name: &str) -> Option<f64> {
        let url = self.url.join("/metrics").expect("a path");
        let text = reqwest::get(url).await.expect("it answers").text().await.expect("text");
        let number = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        number.map(|number| number.trim().parse().expect("a number"))
    }

    /// Waits until no call is here.
    pub async fn empty(&self, limit: Duration) {
        let until = Instant::now() + limit;
        while self.live().await > 0 {
            assert!(Instant::now() < until, "calls are left over");
            // There is no event to wait for across processes.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Asks it to end, without waiting.
    pub async fn terminate(&self) {
        // A shell has `kill` built in, so nothing need be installed.
        let asked = Command::new("sh").arg("-c").arg(format!("kill -TERM {}", self.pid)).status().await;
        assert!(asked.expect("there is a shell").success());
    }

    /// Waits for its end.
    pub async fn ended(mut self) -> ExitStatus {
        let ended = tokio::time::timeout(STOP_LIMIT, self.child.wait()).await;
        ended.expect("it ends in time").expect("it is our child")
    }
}

/// Reads on to the end, so that the pipe never fills.
async fn keep(mut from: BufReader<impl AsyncRead + Unpin>, said: Arc<Mutex<String>>) {
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line).await.is_ok_and(|read| read > 0) {
        said.lock().expect("nobody panics with it").push_str(&String::from_utf8_lossy(&line));
        line.clear();
    }
}
