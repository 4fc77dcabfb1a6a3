//! The file as it was typed, and over it what the environment says of its fields. What has no place in it is taken out and noted, one
//! thing at a time, until the rest can be used: whoever has made three mistakes is told of three.

use std::borrow::Cow;
use std::path::PathBuf;

use serde::Deserialize as _;
use toml::de::{DeArray, DeTable, DeValue, Deserializer, Error};
use toml::{Spanned, Table};

use super::faults::{ConfigError, Faults, value_error};
use super::{Sources, overlay, place, raw};

/// Mistakes in one file that are looked for.
const MAX_FAULTS: usize = 50;
/// Longest value that is shown, characters.
const MAX_SHOWN: usize = 80;

/// A file as it was typed.
pub struct Typed {
    path: PathBuf,
    text: String,
}

impl Typed {
    /// The same error with the line of its field, if it is one of this file's.
    pub fn located(&self, error: ConfigError) -> ConfigError {
        match error {
            ConfigError::Value { field, value, allowed, at: None } => {
                let line = place::line(&self.text, field.rsplit(" / ").next().unwrap_or(&field));
                let at = line.map(|line| format!("{}:{line}: ", self.path.display()));
                ConfigError::Value { field, value, allowed, at }
            }
            other => other,
        }
    }

    fn at(&self, offset: usize) -> String {
        format!("{}:{}: ", self.path.display(), self.text[..offset].matches('\n').count() + 1)
    }

    fn syntax(&self, error: &Error) -> ConfigError {
        let before = &self.text[..error.span().map_or(0, |span| span.start.min(self.text.len()))];
        let line = before.rsplit('\n').next().unwrap_or_default();
        ConfigError::Syntax {
            path: self.path.clone(),
            line: before.matches('\n').count() + 1,
            column: line.chars().count() + 1,
            message: error.message().to_owned(),
        }
    }
}

/// Reads both. Fails where nothing can be read; what has no place in it goes into `faults`.
pub fn read(sources: &Sources, faults: &mut Faults) -> Result<(raw::File, Option<Typed>), ConfigError> {
    let typed = match (&sources.text, sources.path()) {
        (Some(text), _) => Some(Typed { path: PathBuf::from("(text)"), text: text.clone() }),
        (None, Some(path)) => {
            let text = std::fs::read_to_string(&path)
                .map_err(|source| ConfigError::Unreadable { path: path.clone(), source })?;
            Some(Typed { path, text })
        }
        (None, None) => None,
    };
    let table = match &typed {
        Some(typed) => {
            let table = DeTable::parse(&typed.text).map_err(|error| typed.syntax(&error))?;
            sift(table, typed, faults)
        }
        None => Table::new(),
    };
    Ok((overlaid(table, sources, faults), typed))
}

/// What remains of `table` when what is wrong was taken out.
fn sift(mut table: Spanned<DeTable<'_>>, typed: &Typed, faults: &mut Faults) -> Table {
    for _ in 0..MAX_FAULTS {
        let Err(error) = file(&table) else { break };
        let path = blame(&table, &error);
        faults.note(explain(&table, &path, &error, typed));
        if path.is_empty() {
            return Table::new();
        }
        take(table.get_mut(), &path);
    }
    Table::deserialize(Deserializer::from(table)).unwrap_or_default()
}

fn file(table: &Spanned<DeTable<'_>>) -> Result<raw::File, Error> {
    raw::File::deserialize(Deserializer::from(table.clone()))
}

/// A step down from a table or a list.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Field(String),
    Element(usize),
}

/// The way to what the error is about: the smallest part without which it is another error or none.
fn blame(table: &Spanned<DeTable<'_>>, error: &Error) -> Vec<Step> {
    let mut path = Vec::new();
    loop {
        let guilty = steps(table.get_ref(), &path, error).into_iter().find(|step| {
            let mut without = table.clone();
            take(without.get_mut(), &[&path[..], std::slice::from_ref(step)].concat());
            file(&without).err().is_none_or(|e| e.message() != error.message() || e.span() != error.span())
        });
        match guilty {
            Some(step) => path.push(step),
            None => return path,
        }
    }
}

/// The steps from the end of `path`. A table's `type` decides what its other fields may be, so it is the last one to be blamed, and never
/// for a field that is missing.
fn steps(table: &DeTable<'_>, path: &[Step], error: &Error) -> Vec<Step> {
    let (fields, elements) = match path {
        [] => (Some(table), 0),
        path => {
            let value = find(table, path).map(|(_, value)| value.get_ref());
            (value.and_then(DeValue::as_table), value.and_then(DeValue::as_array).map_or(0, |a| a.len()))
        }
    };
    let mut names: Vec<&str> =
        fields.into_iter().flat_map(|t| t.keys().map(|key| &**key.get_ref())).collect();
    names.sort_by_key(|name| *name == "type");
    names.retain(|name| *name != "type" || !error.message().starts_with("missing field"));
    let fields = names.into_iter().map(|name| Step::Field(name.to_owned()));
    fields.chain((0..elements).map(Step::Element)).collect()
}

/// Where the key of the part begins, and the part.
fn find<'a, 'i>(table: &'a DeTable<'i>, path: &[Step]) -> Option<(usize, &'a Spanned<DeValue<'i>>)> {
    let (first, rest) = path.split_first()?;
    let Step::Field(name) = first else { return None };
    let (key, value) = table.iter().find(|(key, _)| key.get_ref() == name)?;
    rest.iter().try_fold((key.span().start, value), |(_, value), step| match step {
        Step::Field(name) => {
            let (key, value) = value.get_ref().as_table()?.iter().find(|(key, _)| key.get_ref() == name)?;
            Some((key.span().start, value))
        }
        Step::Element(index) => {
            let value = value.get_ref().as_array()?.get(*index)?;
            Some((value.span().start, value))
        }
    })
}

fn take(table: &mut DeTable<'_>, path: &[Step]) {
    match path {
        [Step::Field(name)] => drop(table.remove(name.as_str())),
        [Step::Field(name), rest @ ..] => {
            let value = table.iter_mut().find(|(key, _)| key.get_ref() == name).map(|(_, value)| value);
            value.into_iter().for_each(|value| take_from(value.get_mut(), rest));
        }
        _ => {}
    }
}

fn take_from(value: &mut DeValue<'_>, path: &[Step]) {
    match (value, path) {
        (DeValue::Table(table), path) => take(table, path),
        (DeValue::Array(array), [Step::Element(index)]) => {
            let kept =
                std::mem::replace(array, DeArray::new()).into_iter().enumerate().filter(|(i, _)| i != index);
            *array = kept.map(|(_, value)| value).collect();
        }
        (DeValue::Array(array), [Step::Element(index), rest @ ..]) => {
            array.get_mut(*index).into_iter().for_each(|value| take_from(value.get_mut(), rest));
        }
        _ => {}
    }
}

/// The error in our words: where, which field, and what would be right.
fn explain(table: &Spanned<DeTable<'_>>, path: &[Step], error: &Error, typed: &Typed) -> ConfigError {
    let mut field = String::new();
    for (depth, step) in path.iter().enumerate() {
        let part = match step {
            Step::Field(name) if name.contains('.') => Cow::from(format!("{name:?}")),
            Step::Field(name) => Cow::from(name),
            // As it is named elsewhere: by its name, if it has one.
            Step::Element(index) => {
                let element =
                    find(table.get_ref(), &path[..=depth]).and_then(|(_, v)| v.get_ref().as_table());
                let name = element.and_then(|t| t.get("name")).and_then(|name| name.get_ref().as_str());
                name.map_or_else(|| Cow::from(index.to_string()), |name| Cow::from(name.to_owned()))
            }
        };
        field += if depth == 0 { "" } else { "." };
        field += &part;
    }
    let part = find(table.get_ref(), path);
    let at = part.as_ref().map(|(start, _)| typed.at(*start));
    let value = part.map_or(String::new(), |(_, value)| match value.get_ref() {
        DeValue::Table(_) => "a table".into(),
        DeValue::Array(_) => "a list".into(),
        DeValue::String(text) => text.chars().take(MAX_SHOWN).collect(),
        _ => typed.text.get(value.span()).unwrap_or_default().into(),
    });
    told(at, field, value, error)
}

fn told(at: Option<String>, field: String, value: String, error: &Error) -> ConfigError {
    let meant = place::meant(error.message()).map_or_else(String::new, |meant| format!("; {meant}"));
    let message = error.message();
    match message.strip_prefix("unknown field `").and_then(|rest| rest.split_once("`, ")) {
        Some((_, known)) => ConfigError::Unknown { at, field, known: format!("{known}{meant}") },
        None => ConfigError::Value { at, field, value, allowed: format!("{message}{meant}") },
    }
}

/// The file with what the environment says of its fields: one by one, so that a fault can be laid at a variable's door.
fn overlaid(mut table: Table, sources: &Sources, faults: &mut Faults) -> raw::File {
    for (name, path, value) in overlay::fields(&sources.environment) {
        let with = |value: toml::Value| {
            let mut table = table.clone();
            overlay::set(&mut table, &path, value);
            raw::File::deserialize(table.clone()).map(|_| table)
        };
        let text = sources.environment.get(&name).cloned().unwrap_or_default();
        // What looks like a number may be meant as a text: a telephone's is one.
        match with(value).or_else(|error| with(toml::Value::String(text.clone())).map_err(|_| error)) {
            Ok(good) => table = good,
            Err(error) => faults.note(told(None, name, text, &error)),
        }
    }
    raw::File::deserialize(table).unwrap_or_else(|error| {
        faults.note(value_error("(environment)", "", error.message()));
        raw::File::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of a file, line by line.
    fn said(text: &str) -> Vec<String> {
        let sources = Sources { text: Some(text.into()), ..Sources::default() };
        let mut faults = Faults::default();
        match read(&sources, &mut faults) {
            Ok(_) => faults.outcome::<()>(Some(())).err(),
            Err(error) => Some(error),
        }
        .map(|error| match error {
            ConfigError::Several(errors) => errors.iter().map(ToString::to_string).collect(),
            error => vec![error.to_string()],
        })
        .unwrap_or_default()
    }

    const TOOL: &str =
        "[[agents.default.tools]]\ntype = \"http\"\nname = \"lookup\"\nurl = \"https://a.example\"\n";

    #[test]
    fn every_field_that_has_no_place_is_told_with_its_line() {
        let text = "lisen = \"x\"\n[agents.default]\nvoce = \"a\"\ncodec = \"mp3\"\nidle_seconds = \"long\"\n\
                    [agents.sales]\nvoce = \"b\"\n[nonsense]\na = 1\n";
        let said = said(text);
        let expected = [
            ("(text):1: lisen: there is no such field", "did you mean `listen`?"),
            ("(text):3: agents.default.voce: there is no such field", "did you mean `voice`?"),
            ("(text):4: agents.default.codec: \"mp3\" is not allowed", "`opus`"),
            ("(text):5: agents.default.idle_seconds: \"long\" is not allowed", "u64"),
            ("(text):7: agents.sales.voce: there is no such field", "did you mean `voice`?"),
            ("(text):8: nonsense: there is no such field", "`agents`"),
        ];
        assert_eq!(said.len(), expected.len(), "{said:#?}");
        for (begin, part) in expected {
            assert!(
                said.iter().any(|line| line.starts_with(begin) && line.contains(part)),
                "{begin}: {said:#?}"
            );
        }
    }

    #[test]
    fn a_tools_faults_are_told_by_its_name() {
        let more = "colour = 1\ntimeout_ms = \"soon\"\nretries = -1\n";
        let said = said(&format!("{TOOL}{more}{}", TOOL.replace("name = \"lookup\"\n", "")));
        for begin in [
            "(text):5: agents.default.tools.lookup.colour: there is no such field",
            "(text):6: agents.default.tools.lookup.timeout_ms: \"soon\"",
            "(text):7: agents.default.tools.lookup.retries: \"-1\"",
            "(text):8: agents.default.tools.1: \"a table\" is not allowed: missing field `name`",
        ] {
            assert!(said.iter().any(|line| line.starts_with(begin)), "{begin}: {said:#?}");
        }
        assert_eq!(said.len(), 4, "{said:#?}");
    }

    #[test]
    fn a_value_in_the_wrong_place_is_not_shown() {
        for text in ["[twilio]\nauth_token = \"canary\"\n", "[openai]\napi_key = canary\n"] {
            let said = said(text);
            assert!(said.len() == 1 && !said[0].contains("canary") && said[0].contains(":2"), "{said:?}");
        }
    }
}
