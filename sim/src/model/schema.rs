//! The shape of what a client may send, as tables, and the errors for what it may not.

use serde_json::Value;

use super::refusal::Refusal;

/// What a value may be.
pub(crate) enum Shape {
    /// Anything.
    Any,
    Null,
    Text,
    /// A text of at most this many characters.
    ShortText(usize),
    Flag,
    /// An integer between two values.
    Whole(i64, i64),
    /// A number between two values.
    Real(f64, f64),
    /// One of these words.
    Word(&'static [&'static str]),
    List(&'static Shape),
    /// An object with these fields and no others.
    Object(&'static [Field]),
    /// An object with any fields.
    Free,
    /// An object whose field of this name tells which fields it has.
    Tagged(&'static str, &'static [(&'static str, &'static [Field])]),
    /// The first alternative that the value's JSON type fits decides.
    Either(&'static [Shape]),
}

/// One field of an object.
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) required: bool,
    pub(crate) shape: Shape,
}

/// An optional field.
pub(crate) const fn may(name: &'static str, shape: Shape) -> Field {
    Field { name, required: false, shape }
}

/// A required field.
pub(crate) const fn must(name: &'static str, shape: Shape) -> Field {
    Field { name, required: true, shape }
}

/// `null` or the shape beside it.
macro_rules! or_null {
    ($($shape:expr),+) => { Shape::Either(&[Shape::Null, $($shape),+]) };
}
pub(crate) use or_null;

impl Shape {
    /// The first thing in `value` that is not of this shape.
    pub(crate) fn check(&self, path: &str, value: &Value) -> Result<(), Refusal> {
        let wrong = |expected: &str| Err(Refusal::invalid_type(path, expected, value));
        match self {
            Self::Any => Ok(()),
            Self::Null if value.is_null() => Ok(()),
            Self::Null => wrong("null"),
            Self::Text if value.is_string() => Ok(()),
            Self::Text => wrong("a string"),
            Self::ShortText(limit) => match value.as_str() {
                Some(text) if text.chars().count() <= *limit => Ok(()),
                Some(text) => Err(Refusal::new(
                    "string_above_max_length",
                    format!(
                        "Invalid '{path}': string too long. Expected a string with maximum length {limit}, \
                         but got a string with length {} instead.",
                        text.chars().count()
                    ),
                    Some(path),
                )),
                None => wrong("a string"),
            },
            Self::Flag if value.is_boolean() => Ok(()),
            Self::Flag => wrong("a boolean"),
            Self::Whole(low, high) => match value.as_i64() {
                Some(n) if (*low..=*high).contains(&n) => Ok(()),
                Some(n) => Err(out_of_range(path, n as f64, *low as f64, *high as f64)),
                None => wrong("an integer"),
            },
            Self::Real(low, high) => match value.as_f64() {
                Some(n) if (*low..=*high).contains(&n) => Ok(()),
                Some(n) => Err(out_of_range(path, n, *low, *high)),
                None => wrong("a decimal"),
            },
            Self::Word(words) => match value.as_str() {
                Some(word) if words.contains(&word) => Ok(()),
                Some(word) => Err(Refusal::invalid_value(path, word, words)),
                None => wrong("a string"),
            },
            Self::List(shape) => {
                let Some(list) = value.as_array() else { return wrong("an array") };
                list.iter().enumerate().try_for_each(|(i, v)| shape.check(&format!("{path}[{i}]"), v))
            }
            Self::Free if value.is_object() => Ok(()),
            Self::Free => wrong("an object"),
            Self::Object(fields) => {
                if !value.is_object() {
                    return wrong("an object");
                }
                check_fields(path, value, fields, None)
            }
            Self::Tagged(tag, kinds) => {
                if !value.is_object() {
                    return wrong("an object");
                }
                let tag_path = under(path, tag);
                let Some(kind) = value.get(tag) else { return Err(Refusal::missing(&tag_path)) };
                let names: Vec<&str> = kinds.iter().map(|(name, _)| *name).collect();
                let Some(kind) = kind.as_str() else {
                    return Err(Refusal::invalid_type(&tag_path, "a string", kind));
                };
                match kinds.iter().find(|(name, _)| *name == kind) {
                    Some((_, fields)) => check_fields(path, value, fields, Some(tag)),
                    None => Err(Refusal::invalid_value(&tag_path, kind, &names)),
                }
            }
            Self::Either(shapes) => {
                if shapes.iter().any(|shape| shape.check(path, value).is_ok()) {
                    return Ok(());
                }
                let fitting = shapes.iter().find(|shape| shape.fits(value));
                match fitting.or(shapes.last()) {
                    Some(shape) => shape.check(path, value),
                    None => Ok(()),
                }
            }
        }
    }

    /// Whether the value has the JSON type of this shape, whatever is in it.
    fn fits(&self, value: &Value) -> bool {
        match self {
            Self::Any => true,
            Self::Null => value.is_null(),
            Self::Text | Self::ShortText(_) | Self::Word(_) => value.is_string(),
            Self::Flag => value.is_boolean(),
            Self::Whole(..) | Self::Real(..) => value.is_number(),
            Self::List(_) => value.is_array(),
            Self::Object(_) | Self::Free | Self::Tagged(..) => value.is_object(),
            Self::Either(shapes) => shapes.iter().any(|shape| shape.fits(value)),
        }
    }
}

/// The path of a field; the outermost object has none.
fn under(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Checks an object's fields; `tag` is a field the caller has checked.
fn check_fields(path: &str, value: &Value, fields: &[Field], tag: Option<&str>) -> Result<(), Refusal> {
    for (name, inner) in value.as_object().into_iter().flatten() {
        match fields.iter().find(|field| field.name == name) {
            Some(field) => field.shape.check(&under(path, name), inner)?,
            None if tag == Some(name) => {}
            None => return Err(Refusal::unknown_parameter(&under(path, name))),
        }
    }
    match fields.iter().find(|field| field.required && value.get(field.name).is_none()) {
        Some(field) => Err(Refusal::missing(&under(path, field.name))),
        None => Ok(()),
    }
}

fn out_of_range(path: &str, value: f64, low: f64, high: f64) -> Refusal {
    let (word, bound) = if value < low { (">=", low) } else { ("<=", high) };
    let message = format!(
        "Invalid '{path}': value {} the allowed range. Expected a value {word} {bound}, but got {value} instead.",
        if value < low { "below" } else { "above" }
    );
    Refusal::new("invalid_value", message, Some(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SHAPE: Shape = Shape::Object(&[
        must("type", Shape::Word(&["realtime"])),
        may("speed", Shape::Real(0.25, 1.5)),
        may("turns", or_null!(Shape::Tagged("type", &[("a", &[may("ms", Shape::Whole(0, 9))]), ("b", &[])]))),
    ]);

    fn code(value: Value) -> (Option<String>, Option<String>) {
        let refusal = SHAPE.check("session", &value).expect_err("refused");
        (refusal.code, refusal.param)
    }

    fn expect(value: Value, expected: (&str, &str)) {
        assert_eq!(code(value), (Some(expected.0.to_owned()), Some(expected.1.to_owned())));
    }

    #[test]
    fn good_values_pass_and_bad_ones_are_named() {
        SHAPE.check("session", &json!({"type": "realtime", "speed": 1, "turns": null})).expect("good");
        SHAPE.check("session", &json!({"type": "realtime", "turns": {"type": "a", "ms": 3}})).expect("good");
        expect(json!({}), ("missing_required_parameter", "session.type"));
        expect(json!({"type": "x"}), ("invalid_value", "session.type"));
        expect(json!({"type": "realtime", "speed": 2}), ("invalid_value", "session.speed"));
        expect(json!({"type": "realtime", "speed": "2"}), ("invalid_type", "session.speed"));
        expect(json!({"type": "realtime", "tone": 1}), ("unknown_parameter", "session.tone"));
        let turns = |turns: Value| json!({"type": "realtime", "turns": turns});
        expect(turns(json!({"type": "c"})), ("invalid_value", "session.turns.type"));
        expect(turns(json!({"type": "a", "ms": 10})), ("invalid_value", "session.turns.ms"));
        expect(turns(json!({"type": "b", "ms": 1})), ("unknown_parameter", "session.turns.ms"));
        expect(turns(json!([])), ("invalid_type", "session.turns"));
    }
}
