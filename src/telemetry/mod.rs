//! Logs, metrics and profiles. None ever holds a secret or a phone number.

pub mod audio;
pub mod profile;

use std::io::IsTerminal;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

/// What the WebSocket layer may tell: below this it shows whole messages, and these hold tokens and what callers say.
const WEBSOCKET: &str = "tungstenite=info";
/// The same for the layer of MCP: it shows messages that it did not expect.
const MCP: &str = "rmcp=error";

/// What is logged: by `RUST_LOG` or else `default`, but no message of a socket whatever they ask for.
pub fn filter(default: &str) -> EnvFilter {
    let asked = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    [WEBSOCKET, MCP]
        .into_iter()
        .fold(asked, |asked, cap| asked.add_directive(cap.parse().expect("it is a directive")))
}

/// Starts logging to stderr, filtered by `RUST_LOG` or else `default`. Later calls change nothing.
pub fn log(default: &str) {
    let colours = std::io::stderr().is_terminal();
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter(default))
        .with_ansi(colours)
        .with_writer(std::io::stderr)
        .try_init();
}

/// Installs the recorder of all `metrics` macros. A process has one; later calls get a handle of their own that shows nothing.
pub fn metrics() -> PrometheusHandle {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let _ = ::metrics::set_global_recorder(recorder);
    handle
}
