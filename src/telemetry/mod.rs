//! Logs, metrics and profiles. None ever holds a secret or a phone number.

pub mod audio;
pub mod profile;

use std::io::IsTerminal;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing::{Level, Subscriber};
use tracing_subscriber::filter::{EnvFilter, FilterExt, filter_fn};
use tracing_subscriber::layer::{Filter, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// Our own crates: they tell what they are asked for, and know what must not be told.
const OURS: [&str; 5] = ["aria", "aria_bridge", "pipeline", "sim", "perf"];
/// What anybody else may tell at most. Below this, libraries show what passes through them: headers with keys, whole messages, what callers
/// say.
const OTHERS: Level = Level::INFO;
/// The layer of MCP shows messages that it did not expect even in its warnings.
const MCP: (&str, Level) = ("rmcp", Level::ERROR);

/// What is logged: by `RUST_LOG` or else `default`, but nothing that passes through a library, whatever they ask for.
pub fn filter<S>(default: &str) -> impl Filter<S> + use<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let asked = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    asked.and(filter_fn(|about| may_tell(about.target(), about.level())))
}

fn may_tell(target: &str, level: &Level) -> bool {
    let origin = target.split("::").next().unwrap_or_default();
    // The levels are ordered by how much they tell.
    match origin {
        ours if OURS.contains(&ours) => true,
        mcp if mcp == MCP.0 => *level <= MCP.1,
        _ => *level <= OTHERS,
    }
}

/// Starts logging to stderr, filtered by `RUST_LOG` or else `default`. Later calls change nothing.
pub fn log(default: &str) {
    let lines = tracing_subscriber::fmt::layer().with_ansi(std::io::stderr().is_terminal());
    let lines = lines.with_writer(std::io::stderr).with_filter(filter(default));
    let _ = tracing_subscriber::registry().with(lines).try_init();
}

/// Installs the recorder of all `metrics` macros. A process has one; later calls get a handle of their own that shows nothing.
pub fn metrics() -> PrometheusHandle {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let _ = ::metrics::set_global_recorder(recorder);
    handle
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_tells_little_whatever_it_is_asked_for() {
        for (target, level, told) in [
            ("aria_bridge::call::task", Level::TRACE, true),
            ("hyper::proto::h1::io", Level::DEBUG, false),
            ("tungstenite::protocol", Level::TRACE, false),
            ("sqlx::query", Level::WARN, true),
            ("rmcp::service", Level::WARN, false),
            ("rmcp::service", Level::ERROR, true),
            ("aria_bridges", Level::DEBUG, false),
        ] {
            assert_eq!(may_tell(target, &level), told, "{target} {level}");
        }
    }
}
