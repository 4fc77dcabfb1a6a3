//! Where in the file something is, and what somebody may have meant. Pure.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Names further apart than this are not the same one mistyped.
const LIKE: f64 = 0.75;

/// The line, counted from 1, of the field that `path` names (`agents.default.voice`), or of the nearest table above it.
pub fn line(text: &str, path: &str) -> Option<usize> {
    let table = DeTable::parse(text).ok()?;
    let mut at = None;
    let mut table = Some(table.get_ref());
    let mut list: Option<&[Spanned<DeValue<'_>>]> = None;
    for part in parts(path) {
        if let Some(tables) = list.take() {
            // Elements of a list are told apart by their `name`.
            let named = |v: &&Spanned<DeValue<'_>>| {
                let name =
                    v.get_ref().as_table().and_then(|t| t.get("name")).and_then(|n| n.get_ref().as_str());
                name == Some(part)
            };
            let element = tables.iter().find(named)?;
            at = Some(element.span().start);
            table = element.get_ref().as_table();
            continue;
        }
        let Some((key, value)) = table.and_then(|table| table.iter().find(|(key, _)| key.get_ref() == part))
        else {
            break;
        };
        at = Some(key.span().start);
        table = value.get_ref().as_table();
        list = value.get_ref().as_array().map(|array| &array[..]);
    }
    at.map(|at| text[..at].matches('\n').count() + 1)
}

/// Splits a path at its dots, but for those within quotes.
fn parts(path: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    path.split(move |c| {
        quoted ^= c == '"';
        c == '.' && !quoted
    })
    .map(|part| part.trim_matches('"'))
}

/// Which of `known` is nearest to `given`, if any is near.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let scored = known.into_iter().map(|name| (strsim::jaro_winkler(given, name), name));
    scored.filter(|(like, _)| *like >= LIKE).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}

/// What an error about an unknown field says besides: the nearest of the names that it lists (`` unknown field `voce`, expected one of
/// `model`, `voice` ``).
pub fn meant(message: &str) -> Option<String> {
    let mut names = message.split('`').skip(1).step_by(2);
    if !message.contains("unknown field") && !message.contains("unknown variant") {
        return None;
    }
    let given = names.next()?;
    nearest(given, names).map(|name| format!("did you mean `{name}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "listen = \"x\"\n\n[agents.default]\nvoice = \"m\"\n[[agents.default.tools]]\nname = \"a\"\n\
                        [[agents.default.tools]]\nname = \"b\"\nurl = \"u\"\n[numbers]\n\"+1.5\" = \"default\"\n";

    #[test]
    fn fields_have_their_lines() {
        for (path, at) in [
            ("listen", 1),
            ("agents.default.voice", 4),
            ("agents.default.tools.b.url", 9),
            ("numbers.\"+1.5\"", 11),
            ("agents.default.greeting", 3),
        ] {
            assert_eq!(line(TEXT, path), Some(at), "{path}");
        }
        assert_eq!(line(TEXT, "limits.max_calls"), None);
    }

    #[test]
    fn a_mistyped_name_is_guessed() {
        assert_eq!(nearest("voce", ["model", "voice", "voicemail"]), Some("voice"));
        assert_eq!(nearest("zzz", ["model", "voice"]), None);
        let message = "unknown field `greetng`, expected one of `model`, `greeting`, `voice`";
        assert_eq!(meant(message).as_deref(), Some("did you mean `greeting`?"));
        assert_eq!(meant("invalid type: integer `3`, expected a string"), None);
    }
}
