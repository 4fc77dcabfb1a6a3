//! A Postgres server of our own.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Where Debian and others put the server's programs.
const PLACES: [&str; 2] = ["/usr/lib/postgresql", "/usr/local/pgsql"];
/// From its start until it takes connections.
const START_LIMIT: Duration = Duration::from_secs(30);

/// A running server, killed and removed when dropped.
pub struct Postgres {
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
    user: Option<u32>,
    child: Option<Child>,
}

fn programs() -> Option<PathBuf> {
    let below =
        |place: &str| fs::read_dir(place).into_iter().flatten().flatten().map(|e| e.path().join("bin"));
    let mut found: Vec<PathBuf> = PLACES.iter().flat_map(|place| below(place)).collect();
    found.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    found.into_iter().find(|p| p.join("initdb").exists() && p.join("postgres").exists())
}

/// Postgres refuses to run as root: then it runs as somebody who may do nothing.
fn other_user() -> Option<u32> {
    // SAFETY: it only reads the process's own id.
    if unsafe { libc::geteuid() } != 0 {
        return None;
    }
    let asked = Command::new("id").args(["-u", "nobody"]).output().ok()?;
    String::from_utf8(asked.stdout).ok()?.trim().parse().ok()
}

impl Postgres {
    /// A new and empty server; `None`, said aloud, where there is no Postgres.
    pub fn start(name: &str) -> Option<Self> {
        let Some(programs) = programs() else {
            assert!(
                std::env::var("ARIA_POSTGRES").as_deref() != Ok("required"),
                "ARIA_POSTGRES=required, and initdb and postgres are not found"
            );
            eprintln!("skipped on Postgres: initdb and postgres are not found");
            return None;
        };
        // Not below target/: whoever the server runs as must be able to reach it.
        let folder = std::env::temp_dir().join(format!("aria-postgres-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder");
        let user = other_user();
        if let Some(user) = user {
            std::os::unix::fs::chown(&folder, Some(user), None).expect("root may give a folder away");
        }
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let mut server = Self { programs, folder, port, user, child: None };
        let made = server
            .program("initdb")
            .args(["--username=aria", "--auth=trust", "--encoding=UTF8", "--no-sync", "--pgdata"])
            .arg(server.folder.join("data"))
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        server.run();
        Some(server)
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C").current_dir(&self.folder);
        if let Some(user) = self.user {
            command.uid(user);
        }
        command
    }

    /// Starts it (again) and waits until it takes connections.
    pub fn run(&mut self) {
        let log = File::options().append(true).create(true).open(self.folder.join("log")).expect("a log");
        let child = self
            .program("postgres")
            .arg("-D")
            .arg(self.folder.join("data"))
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-c", "shared_buffers=16MB", "-k"])
            .arg(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("postgres starts");
        self.child = Some(child);
        let until = Instant::now() + START_LIMIT;
        while !self.answers() {
            assert!(
                Instant::now() < until,
                "{}",
                fs::read_to_string(self.folder.join("log")).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn answers(&self) -> bool {
        let mut asked = self.program("psql");
        asked.args(["-h", "127.0.0.1", "-U", "aria", "-p", &self.port.to_string()]);
        let asked = asked.args(["-d", "postgres", "-c", "SELECT 1"]).output();
        asked.is_ok_and(|asked| asked.status.success())
    }

    /// Kills it as a power cut would.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // SAFETY: no pointers; the process is our own child and has not been waited for. SIGQUIT: end at once, children too.
            unsafe { libc::kill(child.id() as i32, libc::SIGQUIT) };
            child.wait().expect("it is our child");
        }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("postgres://aria@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }

    /// Its folder, for a journal beside it.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
