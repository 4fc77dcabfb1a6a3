//! Words in an agent's texts that each call fills in: `{{caller}}`, `{{time}}`, … Pure.

use std::collections::BTreeMap;

use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

use super::place::nearest;

/// The variables that every call has.
pub const KNOWN: [&str; 6] = ["agent", "called", "caller", "date", "time", "weekday"];
const DATE: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]");
const TIME: &[BorrowedFormatItem<'_>] = format_description!("[hour]:[minute]");
const WEEKDAY: &[BorrowedFormatItem<'_>] = format_description!("[weekday]");

/// What a call fills in.
pub type Values = BTreeMap<String, String>;

/// The values of a call at `now`, shown as at `offset` from UTC. `more` are a dispatch hook's; they win.
pub fn values(
    agent: &str,
    caller: &str,
    called: &str,
    now: OffsetDateTime,
    offset: UtcOffset,
    more: &Values,
) -> Values {
    let now = now.to_offset(offset);
    let shown = |format| now.format(format).unwrap_or_default();
    let mut values: Values = [
        ("agent", agent.to_owned()),
        ("caller", caller.to_owned()),
        ("called", called.to_owned()),
        ("date", shown(DATE)),
        ("time", shown(TIME)),
        ("weekday", shown(WEEKDAY)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    values.extend(more.iter().map(|(name, value)| (name.clone(), value.clone())));
    values
}

/// The text with its variables filled in. One that has no value is left out.
pub fn fill(text: &str, values: &Values) -> String {
    let mut filled = String::with_capacity(text.len());
    for piece in pieces(text) {
        match piece {
            Piece::Text(text) => filled.push_str(text),
            Piece::Variable(name) => filled.push_str(values.get(name).map_or("", String::as_str)),
        }
    }
    filled
}

/// The first variable of `text` that is neither known nor one of `more`, and the nearest that is.
pub fn unknown<'a>(text: &'a str, more: &'a [String]) -> Option<(&'a str, Option<&'a str>)> {
    let known = || KNOWN.into_iter().chain(more.iter().map(String::as_str));
    pieces(text).find_map(|piece| match piece {
        Piece::Variable(name) if !known().any(|known| known == name) => Some((name, nearest(name, known()))),
        _ => None,
    })
}

enum Piece<'a> {
    Text(&'a str),
    Variable(&'a str),
}

fn pieces(mut rest: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut pieces = Vec::new();
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((name, behind)) = after.split_once("}}") else { break };
        pieces.push(Piece::Text(before));
        pieces.push(Piece::Variable(name.trim()));
        rest = behind;
    }
    pieces.push(Piece::Text(rest));
    pieces.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_fills_its_variables_in() {
        let now = OffsetDateTime::from_unix_timestamp(1_793_000_000).unwrap();
        let more = [("name".to_owned(), "Ada".to_owned())].into();
        let offset = UtcOffset::from_hms(2, 0, 0).unwrap();
        let values = values("default", "+1555", "+1666", now, offset, &more);
        assert_eq!(
            fill("You are {{agent}}. {{ name }} calls from {{caller}}.", &values),
            "You are default. Ada calls from +1555."
        );
        assert_eq!(fill("{{date}} {{time}} {{weekday}}", &values), "2026-10-26 09:33 Monday");
        assert_eq!(fill("{{gone}} {{open", &values), " {{open");
    }

    #[test]
    fn a_mistyped_variable_is_found_when_the_file_is_read() {
        assert_eq!(unknown("{{caler}}", &[]), Some(("caler", Some("caller"))));
        assert_eq!(unknown("{{plan}} {{caller}}", &["plan".into()]), None);
    }
}
