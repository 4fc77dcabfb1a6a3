//! Who may name whom.

use super::assert_none;
use super::source::{Named, paths};
use super::tree::{File, files, rust};

/// What each part of `src` may name beside itself: the road from the commands down to the settings. The peers do not know each
/// other; only the call knows both.
const MAY_NAME: [(&str, &[&str]); 11] = [
    ("address", &[]),
    ("config", &["address"]),
    ("telemetry", &["config"]),
    ("recording", &["config", "telemetry"]),
    ("store", &["config", "telemetry", "recording"]),
    ("tools", &["address", "config", "telemetry"]),
    ("openai", &["address", "config", "telemetry"]),
    ("twilio", &["address", "config", "telemetry", "hosting", "call", "recording"]),
    ("hosting", &["address", "config", "telemetry", "twilio", "call"]),
    ("call", &["address", "config", "telemetry", "twilio", "openai", "tools", "store", "recording"]),
    ("http", &["address", "config", "telemetry", "twilio", "hosting", "call", "store", "recording"]),
];

/// Crates that only some files may name, and these files.
const CONFINED: [(&str, &[&str]); 10] = [
    // One file knows the WebRTC stack, so that it can be exchanged.
    ("rtc", &["src/openai/peer.rs", "tests/interop/webrtc_model.rs"]),
    ("webrtc", &["tests/interop/webrtc_model.rs"]),
    ("str0m", &["sim/src/model/", "sim/tests/"]),
    ("tokio_tungstenite", &["src/twilio/", "src/http/upgrade.rs", "src/openai/socket", "sim/", "tests/"]),
    // What an MCP server or a schema may do is decided in one place each.
    ("rmcp", &["src/tools/mcp"]),
    ("jsonschema", &["src/config/tool/schema.rs", "tests/openapi/"]),
    ("object_store", &["src/recording/shelf.rs"]),
    ("ogg", &["src/recording/sound.rs", "tests/recording"]),
    ("anyhow", &["src/main.rs", "src/cli/"]),
    ("opus_sys", &["pipeline/"]),
];

/// Crates that the audio road cannot name: sockets, JSON, logs and waiting belong to the other road.
const NOT_IN_PIPELINE: [&str; 8] =
    ["tokio", "serde", "serde_json", "tracing", "log", "metrics", "sim", "aria_bridge"];
/// The same for what the standard library has.
const NOT_IN_PIPELINE_STD: [&[&str]; 2] = [&["std", "net"], &["std", "fs"]];
/// Waiting for another thread. `workers.rs` is the side of the other threads: it may.
const LOCKS: [&[&str]; 5] = [&["Mutex"], &["RwLock"], &["Condvar"], &["mpsc"], &["Barrier"]];
/// The clock: `thread.rs` alone reads it.
const CLOCK: [&[&str]; 4] = [&["Instant", "now"], &["SystemTime"], &["clock_gettime"], &["clock_nanosleep"]];

/// What `pipeline` is built from. A new dependency is a decision: it runs on, or right beside, the audio thread.
const PIPELINE_DEPENDENCIES: [&str; 7] =
    ["audioadapter-buffers", "core_affinity", "crossbeam", "libc", "opus-sys", "rtrb", "rubato"];

fn breaches(file: &File, what: &str, forbidden: impl Fn(&Named) -> bool) -> Vec<String> {
    paths(&file.text)
        .iter()
        .filter(|n| forbidden(n))
        .map(|n| format!("{}:{}: {what}: {}", file.path, n.line, n.segments.join("::")))
        .collect()
}

/// Only the commands may link the simulators and the load suite.
fn simulators(file: &File) -> Vec<String> {
    if file.path == "src/main.rs" || file.path.starts_with("src/cli/") {
        return Vec::new();
    }
    breaches(file, "only commands may name", |n| n.starts_in("sim") || n.starts_in("perf"))
}

fn audio_road(file: &File) -> Vec<String> {
    let mut found = breaches(file, "the audio road cannot name", |n| {
        NOT_IN_PIPELINE.iter().any(|c| n.starts_in(c)) || NOT_IN_PIPELINE_STD.iter().any(|p| n.has(p))
    });
    if file.path != "pipeline/src/workers.rs" {
        found.extend(breaches(file, "an audio thread waits for nobody", |n| LOCKS.iter().any(|p| n.has(p))));
    }
    if file.path != "pipeline/src/thread.rs" {
        found.extend(breaches(file, "only thread.rs reads the clock", |n| CLOCK.iter().any(|p| n.has(p))));
    }
    found
}

/// The simulators share no code with what they test.
fn strangers(file: &File) -> Vec<String> {
    breaches(file, "a simulator cannot name", |n| n.starts_in("aria_bridge") || n.starts_in("pipeline"))
}

fn confined(file: &File) -> Vec<String> {
    // `openai::rtc` is a module of ours: a file that imports it means that one.
    let ours = paths(&file.text)
        .iter()
        .any(|n| n.imported && n.segments.len() > 1 && n.segments.last().is_some_and(|s| s == "rtc"));
    let forbidden = |krate: &str, allowed: &[&str], n: &Named| {
        n.starts_in(krate) && !(krate == "rtc" && ours) && !allowed.iter().any(|a| file.path.starts_with(a))
    };
    breaches(file, "not the place to name", |n| {
        CONFINED.iter().any(|(krate, files)| forbidden(krate, files, n))
    })
}

fn downward(file: &File) -> Vec<String> {
    let part = file.path.trim_start_matches("src/").split(['/', '.']).next().unwrap_or_default();
    let Some((_, allowed)) = MAY_NAME.iter().find(|(name, _)| *name == part) else { return Vec::new() };
    breaches(file, "imports point down, not to", |n| {
        n.segments[0] == "crate"
            && n.segments.get(1).is_some_and(|s| s != part && is_part(s) && !allowed.contains(&s.as_str()))
    })
}

fn is_part(name: &str) -> bool {
    name == "bridge" || MAY_NAME.iter().any(|(part, _)| *part == name)
}

/// A route of the API without its description: `routes!` takes none, axum's own `.route` takes all. Pages for people need none.
fn undescribed(file: &File) -> Vec<String> {
    let routes =
        file.text.match_indices(".route(").map(|(at, call)| (at, file.text[at + call.len()..].trim_start()));
    let bare = routes.filter(|(_, path)| !path.starts_with("\"/") || path.starts_with("\"/api"));
    let line = |at: usize| file.text[..at].matches('\n').count() + 1;
    bare.map(|(at, _)| format!("{}:{}: a route that the document does not tell of", file.path, line(at)))
        .collect()
}

/// The names under `[dependencies]` of a manifest.
fn dependencies(manifest: &str) -> Vec<String> {
    let manifest: toml::Table = manifest.parse().expect("Cargo has read this manifest");
    manifest["dependencies"].as_table().expect("a table by Cargo's rules").keys().cloned().collect()
}

#[test]
fn only_the_commands_link_the_simulators() {
    assert_none(rust(&["src/"]).iter().flat_map(simulators).collect());
}

#[test]
fn the_audio_road_cannot_wait_log_or_reach_a_socket() {
    assert_none(rust(&["pipeline/src/"]).iter().flat_map(audio_road).collect());
}

#[test]
fn the_audio_road_is_built_from_a_fixed_set() {
    let manifest =
        files().into_iter().find(|f| f.path == "pipeline/Cargo.toml").expect("pipeline is a member");
    assert_eq!(dependencies(&manifest.text), PIPELINE_DEPENDENCIES);
}

#[test]
fn the_simulators_share_no_code_with_the_bridge() {
    assert_none(rust(&["sim/"]).iter().flat_map(strangers).collect());
    let manifest = files().into_iter().find(|f| f.path == "sim/Cargo.toml").expect("sim is a member");
    assert!(
        !dependencies(&manifest.text)
            .iter()
            .any(|d| d == "pipeline" || d == "aria-bridge" || d == "opus-sys")
    );
}

#[test]
fn stacks_are_known_where_they_belong() {
    assert_none(
        rust(&["src/", "pipeline/", "sim/", "perf/", "tests/", "benches/"])
            .iter()
            .flat_map(confined)
            .collect(),
    );
}

#[test]
fn every_route_of_the_api_is_described() {
    assert_none(rust(&["src/http/"]).iter().flat_map(undescribed).collect());
}

#[test]
fn imports_point_down() {
    assert_none(rust(&["src/"]).iter().flat_map(downward).collect());
}

#[test]
fn each_border_can_be_breached() {
    let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
    type Rule = fn(&File) -> Vec<String>;
    let cases: [(Rule, &str, &str, usize); 24] = [
        (simulators, "src/call/task.rs", "use sim::model::ModelServer;", 1),
        (simulators, "src/call/task.rs", "fn f() { perf::run() } // sim::model", 1),
        (simulators, "src/cli/demo.rs", "use sim::model::ModelServer;", 0),
        (audio_road, "pipeline/src/ring.rs", "use std::{net::UdpSocket, sync::{Arc, Mutex}};", 2),
        (audio_road, "pipeline/src/ring.rs", "fn f() { tracing::info!(\"tokio::spawn\") }", 1),
        (audio_road, "pipeline/src/ring.rs", "let t = std::time::Instant::now();", 1),
        (audio_road, "pipeline/src/workers.rs", "use std::sync::{Mutex, mpsc};", 0),
        (audio_road, "pipeline/src/thread.rs", "let t = std::time::Instant::now();", 0),
        (audio_road, "pipeline/src/ring.rs", "use std::time::SystemTime;", 1),
        (audio_road, "pipeline/src/ring.rs", "use std::time::Duration; let log = 1; x.log();", 0),
        (strangers, "sim/src/phone/mod.rs", "let x = pipeline::now();", 1),
        (strangers, "sim/src/phone/mod.rs", "use aria_bridge::twilio;", 1),
        (strangers, "sim/src/phone/mod.rs", "let pipeline = 1;", 0),
        (confined, "src/openai/rtc.rs", "use rtc::sansio::Protocol;", 1),
        (confined, "src/call/task.rs", "use crate::openai::rtc::{self, Leg}; fn f() { rtc::open() }", 0),
        (confined, "src/call/task.rs", "fn f() { rtc::sansio::x() }", 1),
        (confined, "src/http/mod.rs", "use tokio_tungstenite::WebSocketStream;", 1),
        (confined, "src/twilio/media/open.rs", "use tokio_tungstenite::WebSocketStream;", 0),
        (confined, "src/openai/rtc.rs", "use str0m::Rtc; use anyhow::Result;", 2),
        (undescribed, "src/http/mod.rs", "x.route(\"/api/x\", get(y)).route(A_PATH, get(z))", 2),
        (undescribed, "src/http/mod.rs", "x.routes(routes!(y)).route(\"/\", get(z))", 0),
        (downward, "src/openai/rtc.rs", "use crate::{config::Agent, twilio::wire};", 1),
        (downward, "src/config/mod.rs", "fn f() -> crate::call::CallEnd {}", 1),
        (downward, "src/call/task.rs", "use crate::{config::Agent, twilio::wire, openai::rtc};", 0),
    ];
    for (rule, path, text, expected) in cases {
        assert_eq!(rule(&file(path, text)).len(), expected, "{path}: {text}");
    }
    let manifest = "[dependencies]\ntokio.workspace = true\n[dependencies.rtrb]\nversion = \"1\"\n[dev-dependencies]\nx = \"1\"\n";
    assert_eq!(dependencies(manifest), ["rtrb", "tokio"]);
}
