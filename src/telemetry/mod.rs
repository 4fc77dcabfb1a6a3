//! Logs, metrics and profiles. None ever holds a secret or a phone number.

pub mod audio;
pub mod profile;

use std::io::IsTerminal;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

/// Starts logging to stderr, filtered by `RUST_LOG` or else `default`. Later calls change nothing.
pub fn log(default: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let colours = std::io::stderr().is_terminal();
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
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
