//! What this machine gives: keys, limits, disk, UDP.

use std::net::UdpSocket;
use std::path::Path;

use aria_bridge::awake::{Awake, Idle};
use aria_bridge::config::{E164, Settings};

use super::finding::Findings;

/// Descriptors of one call: the media socket, the model's UDP socket, requests that come and go.
const DESCRIPTORS_PER_CALL: usize = 4;
/// Descriptors of the rest of the house: connections without proof, tools, the database.
const DESCRIPTORS_BESIDE: usize = 512;
/// A documentation address (RFC 5737): whether it has a route is what the default route says. Nothing is sent to it.
const ANYWHERE: &str = "192.0.2.1:443";

/// Which keys are set.
pub fn keys(settings: &Settings, findings: &mut Findings) {
    let local = settings.public_url_is_loopback();
    match (&settings.openai.api_key, local) {
        (Some(_), _) => findings.good("OPENAI_API_KEY", "set"),
        (None, true) => {
            findings.note("OPENAI_API_KEY", "not set", "callers talk to the simulated model until it is")
        }
        (None, false) => {
            findings.problem("OPENAI_API_KEY", "not set", "set it: platform.openai.com, API keys")
        }
    }
    match (&settings.twilio.account_sid, &settings.twilio.auth_token, local) {
        (Some(_), Some(_), _) => findings.good("TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN", "set"),
        (None, None, true) => {
            let fix = "only simulated phones can call until they are";
            findings.note("TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN", "not set", fix);
        }
        _ => {
            let fix = "set both: console.twilio.com, Account Info";
            findings.problem("TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN", "not both set", fix);
        }
    }
    if settings.admin_token.is_none() && !local {
        let fix = "set it to a long random text; until then the console answers to this machine alone";
        findings.note("ARIA_ADMIN_TOKEN", "not set", fix);
    }
    let outbound = &settings.outbound;
    match (outbound.allow.len(), &outbound.from) {
        (0, _) => {}
        (n, None) => {
            let fix = "set outbound.from, or give `from` with each call";
            findings.note("outbound calls", format!("{n} entries in outbound.allow, no outbound.from"), fix);
        }
        (n, Some(from)) => {
            findings.good("outbound calls", format!("{n} entries in outbound.allow, from {from}"))
        }
    }
}

/// Descriptors, priority, memory, sleep.
pub fn limits(settings: &Settings, findings: &mut Findings) {
    // Linux says so there; elsewhere `serve` tells what it got.
    let Ok(text) = std::fs::read_to_string("/proc/self/limits") else { return };
    let calls = settings.limits.max_calls;
    let needed = calls * DESCRIPTORS_PER_CALL + DESCRIPTORS_BESIDE;
    match soft(&text, "Max open files") {
        Some(Some(limit)) if limit < needed => {
            let fix = format!("raise it: ulimit -n {needed}, or LimitNOFILE={needed} in the unit file");
            findings.problem("file descriptors", format!("{limit}, and {calls} calls need {needed}"), fix);
        }
        Some(Some(limit)) => findings.good("file descriptors", format!("{limit}, enough for {calls} calls")),
        Some(None) | None => findings.good("file descriptors", "no limit"),
    }
    match soft(&text, "Max realtime priority") {
        Some(Some(0)) => {
            let fix =
                "LimitRTPRIO=10 in the unit file, or CAP_SYS_NICE: under load frames are late without it";
            findings.note("real-time priority", "not allowed (RLIMIT_RTPRIO 0)", fix);
        }
        _ => findings.good("real-time priority", "allowed"),
    }
    match soft(&text, "Max locked memory") {
        Some(Some(limit)) => {
            let fix =
                "LimitMEMLOCK=infinity in the unit file: without it pages may be read from disk in mid-call";
            findings.note("locked memory", format!("limited to {} kB (RLIMIT_MEMLOCK)", limit / 1024), fix);
        }
        _ => findings.good("locked memory", "no limit"),
    }
    match Awake::new(settings.audio.awake_from_calls).idle() {
        Idle::Poll { .. } => findings.good("idle cores", "can be kept awake"),
        Idle::Sleep => findings.good("idle cores", "sleep (audio.awake_from_calls = 0)"),
        Idle::Denied(_) | Idle::Unsupported => {
            let fix = "let this user write to /dev/cpu_dma_latency: sleeping cores are woken for each frame, which takes CPU";
            findings.note("idle cores", "sleep (/dev/cpu_dma_latency is closed or missing)", fix);
        }
    }
}

/// The soft limit `name` in the text of `/proc/self/limits`: `Some(None)` if it is unlimited.
fn soft(limits: &str, name: &str) -> Option<Option<usize>> {
    let rest = limits.lines().find_map(|line| line.strip_prefix(name))?;
    match rest.split_whitespace().next()? {
        "unlimited" => Some(None),
        number => number.parse().ok().map(Some),
    }
}

/// Where records go.
pub fn disk(settings: &Settings, findings: &mut Findings) {
    let records = &settings.records;
    let url = records.database_url.expose();
    match url.strip_prefix("sqlite:") {
        Some(path) => {
            let path = path.trim_start_matches("//").split('?').next().unwrap_or_default();
            if path.is_empty() || path == ":memory:" {
                findings.note("database", "in memory", "DATABASE_URL=sqlite:/var/lib/aria/aria.db keeps it");
            } else {
                writable("database", folder(Path::new(path)), findings);
            }
        }
        // The address may carry a password.
        None => findings.good("database", "Postgres; `serve` says whether it is reached"),
    }
    writable("journal", existing(&records.journal), findings);
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// The folder, or the one in which it would be made.
fn existing(path: &Path) -> &Path {
    if path.is_dir() { path } else { folder(path) }
}

fn writable(what: &str, folder: &Path, findings: &mut Findings) {
    let probe = folder.join(format!(".aria-doctor-{}", std::process::id()));
    match std::fs::write(&probe, b"").and_then(|()| std::fs::remove_file(&probe)) {
        Ok(()) => findings.good(what, format!("{} can be written", folder.display())),
        Err(error) => {
            let fix = "let the user that runs the bridge write there, or name another place (DATABASE_URL, records.journal)";
            findings.problem(what, format!("{} cannot be written: {error}", folder.display()), fix);
        }
    }
}

/// Whether the model's media could leave.
pub fn udp(findings: &mut Findings) {
    let socket = UdpSocket::bind(("0.0.0.0", 0)).and_then(|socket| socket.connect(ANYWHERE).map(|()| socket));
    match socket.and_then(|socket| socket.local_addr()) {
        Ok(address) => findings.good("UDP", format!("leaves by {}", address.ip())),
        Err(error) => {
            let fix = "give the machine a default route and let UDP out: the model's sound comes by it (transport = \"websocket\" does without)";
            findings.problem("UDP", format!("no way out: {error}"), fix);
        }
    }
}

/// Numbers of the configuration that are whole numbers.
pub fn whole_numbers(settings: &Settings) -> Vec<E164> {
    settings.numbers.keys().filter_map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max open files            1024                 524288               files     \n\
                    Max locked memory         unlimited            unlimited            bytes     \n\
                    Max realtime priority     0                    0                              \n";
        assert_eq!(soft(text, "Max open files"), Some(Some(1024)));
        assert_eq!(soft(text, "Max locked memory"), Some(None));
        assert_eq!(soft(text, "Max realtime priority"), Some(Some(0)));
        assert_eq!(soft(text, "Max cats"), None);
    }
}
