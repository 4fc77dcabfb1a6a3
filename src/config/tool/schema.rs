//! A JSON Schema that has been read once and can judge arguments.

use std::fmt;
use std::sync::Arc;

use jsonschema::{PatternOptions, Validator};
use serde_json::{Value, json};

/// Longest complaint about arguments, bytes: the validator repeats what it complains about.
const MAX_COMPLAINT_BYTES: usize = 300;

/// The parameters of a function: a JSON Schema of an object (2020-12 if it names no other draft). References lead nowhere outside it.
#[derive(Clone)]
pub struct Schema {
    source: Value,
    validator: Arc<Validator>,
}

impl Schema {
    /// Reads a schema. The error says what is wrong with it.
    pub fn new(source: Value) -> Result<Self, String> {
        if source.get("type").and_then(Value::as_str) != Some("object") {
            return Err("a JSON Schema with type = \"object\"".into());
        }
        let validator = jsonschema::options()
            // Patterns see what a caller says: none may take exponential time.
            .with_pattern_options(PatternOptions::regex())
            .build(&source)
            .map_err(|e| format!("a valid JSON Schema ({e})"))?;
        Ok(Self { source, validator: Arc::new(validator) })
    }

    /// Takes any object.
    pub fn any() -> Self {
        Self::new(json!({ "type": "object", "properties": {} })).expect("this is a schema")
    }

    /// As it was written.
    pub fn source(&self) -> &Value {
        &self.source
    }

    /// Whether a property is described.
    pub fn describes(&self, property: &str) -> bool {
        self.source["properties"].get(property).is_some()
    }

    /// Whether a property must be there.
    pub fn requires(&self, property: &str) -> bool {
        self.source["required"].as_array().is_some_and(|all| all.iter().any(|p| p == property))
    }

    /// Judges arguments. The complaint is for the model that wrote them.
    pub fn check(&self, arguments: &Value) -> Result<(), String> {
        let Some(error) = self.validator.iter_errors(arguments).next() else { return Ok(()) };
        let place = error.instance_path().to_string();
        let mut complaint = if place.is_empty() { error.to_string() } else { format!("{place}: {error}") };
        if complaint.len() > MAX_COMPLAINT_BYTES {
            complaint.truncate(complaint.floor_char_boundary(MAX_COMPLAINT_BYTES));
            complaint.push('…');
        }
        Err(complaint)
    }
}

impl PartialEq for Schema {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schema({})", self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn city() -> Schema {
        Schema::new(json!({
            "type": "object", "additionalProperties": false, "required": ["city"],
            "properties": { "city": { "type": "string", "maxLength": 5 } }
        }))
        .unwrap()
    }

    #[test]
    fn arguments_are_judged_and_the_complaint_names_the_place() {
        assert!(city().check(&json!({ "city": "Lima" })).is_ok());
        for bad in [
            json!({}),
            json!({ "city": 1 }),
            json!({ "city": "Valparaiso" }),
            json!({ "city": "Lima", "x": 1 }),
            json!([]),
        ] {
            assert!(city().check(&bad).is_err(), "{bad}");
        }
        assert!(city().check(&json!({ "city": 7 })).unwrap_err().contains("/city"));
        let long = city().check(&json!({ "city": "é".repeat(10_000) })).unwrap_err();
        assert!(long.len() <= MAX_COMPLAINT_BYTES + '…'.len_utf8(), "{}", long.len());
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        for bad in [
            json!({ "type": "string" }),
            json!({ "type": "object", "properties": { "a": { "type": "strnig" } } }),
            json!({ "type": "object", "properties": { "a": { "$ref": "http://127.0.0.1:9/a.json" } } }),
            json!({ "type": "object", "properties": { "a": { "pattern": "(" } } }),
        ] {
            assert!(Schema::new(bad.clone()).is_err(), "{bad}");
        }
    }
}
