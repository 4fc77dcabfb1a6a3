//! A flamegraph of the running process.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use axum::extract::RawQuery;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::admin::Operator;
use super::answers::NotAnOperator;
use crate::telemetry::profile::{self, ProfileError, Threads};

/// How long threads may be sampled, seconds: a request must end before proxies give it up.
const SECONDS: RangeInclusive<u64> = 1..=60;
/// Without `seconds`.
const DEFAULT_SECONDS: u64 = 10;
/// Samples per second of CPU time. The kernel looks at these timers at its own tick (250 or 1000 Hz as a rule), so that more than that
/// only adds weight to samples.
const HZ: RangeInclusive<u32> = 2..=500;
/// Without `hz`. Odd, so that work on a beat of 10 or 20 ms is not met at the same place each time.
const DEFAULT_HZ: u32 = 199;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Svg,
    Folded,
}

#[derive(Debug, PartialEq, Eq)]
struct Wish {
    seconds: u64,
    threads: Threads,
    hz: u32,
    format: Format,
}

impl Wish {
    fn read(query: &str) -> Result<Self, String> {
        let mut wish =
            Self { seconds: DEFAULT_SECONDS, threads: Threads::All, hz: DEFAULT_HZ, format: Format::Svg };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "seconds" => wish.seconds = number("seconds", &value, SECONDS)?,
                "hz" => wish.hz = number("hz", &value, HZ)?,
                "threads" => {
                    let unknown =
                        |()| format!("threads must be audio, network, control or all, not '{value}'");
                    wish.threads = value.parse().map_err(unknown)?;
                }
                "format" => {
                    wish.format = match &*value {
                        "svg" => Format::Svg,
                        "folded" => Format::Folded,
                        _ => return Err(format!("format must be svg or folded, not '{value}'")),
                    }
                }
                _ => return Err(format!("'{name}' is not known; there are seconds, threads, hz and format")),
            }
        }
        Ok(wish)
    }
}

fn number<T: FromStr + PartialOrd + Display>(
    name: &str,
    value: &str,
    bounds: RangeInclusive<T>,
) -> Result<T, String> {
    match value.parse() {
        Ok(number) if bounds.contains(&number) => Ok(number),
        _ => Err(format!(
            "{name} must be a whole number from {} to {}, not '{value}'",
            bounds.start(),
            bounds.end()
        )),
    }
}

/// A flamegraph of the running process. Answers when the time is over.
#[utoipa::path(
    get,
    operation_id = "take_profile",
    path = "/api/profile",
    tag = "operation",
    security(("bearer" = [])),
    params(
        ("seconds" = Option<u64>, Query, minimum = 1, maximum = 60, description = "How long to sample. Default 10"),
        ("hz" = Option<u32>, Query, minimum = 2, maximum = 500, description = "Samples per second of CPU time. Default 199"),
        ("threads" = Option<String>, Query, pattern = "^(audio|network|control|all)$", description = "Whose. Default `all`"),
        ("format" = Option<String>, Query, pattern = "^(svg|folded)$", description = "A picture, or folded stacks. Default `svg`"),
    ),
    responses(
        (status = 200, description = "The picture, or the stacks", content(
            (String = "image/svg+xml"),
            (String = "text/plain"),
        )),
        (status = 400, content_type = "text/plain", body = String, description = "A parameter is unknown or has a value that is not allowed"),
        (status = 409, content_type = "text/plain", body = String, description = "Another profile is being taken"),
        (status = 500, content_type = "text/plain", body = String, description = "The system refuses its timers"),
        (status = 501, content_type = "text/plain", body = String, description = "Not on this system"),
        NotAnOperator,
    )
)]
pub(super) async fn show(_: Operator, RawQuery(query): RawQuery) -> Response {
    let wish = match Wish::read(query.as_deref().unwrap_or_default()) {
        Ok(wish) => wish,
        Err(wrong) => return (StatusCode::BAD_REQUEST, wrong + "\n").into_response(),
    };
    match profile::take(Duration::from_secs(wish.seconds), wish.threads, wish.hz).await {
        Ok(stacks) if wish.format == Format::Folded => stacks.folded().into_response(),
        Ok(stacks) => ([(header::CONTENT_TYPE, "image/svg+xml")], stacks.svg()).into_response(),
        Err(error) => refused(&error),
    }
}

fn refused(error: &ProfileError) -> Response {
    let status = match error {
        ProfileError::Busy => StatusCode::CONFLICT,
        ProfileError::Unsupported => StatusCode::NOT_IMPLEMENTED,
        ProfileError::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, format!("{error}\n")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_read_whole_or_refused_with_the_reason() {
        let wish = Wish::read("seconds=5&threads=audio&hz=99&format=folded");
        let expected = Wish { seconds: 5, threads: Threads::Audio, hz: 99, format: Format::Folded };
        assert_eq!(wish, Ok(expected));
        assert!(Wish::read("").is_ok());
        for (wrong, why) in [
            ("seconds=0", "from 1 to 60"),
            ("seconds=61", "from 1 to 60"),
            ("seconds=", "from 1 to 60"),
            ("hz=501", "from 2 to 500"),
            ("hz=-1", "from 2 to 500"),
            ("threads=video", "audio, network, control or all"),
            ("format=png", "svg or folded"),
            ("second=5", "'second' is not known"),
        ] {
            assert!(Wish::read(wrong).is_err_and(|e| e.contains(why)), "{wrong}");
        }
    }
}
