//! Errors as the service words them, in HTTP bodies and in `error` events alike.

use serde_json::{Value, json};

/// One error: `{"type","code","message","param"}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) kind: &'static str,
    pub(crate) code: Option<String>,
    pub(crate) message: String,
    pub(crate) param: Option<String>,
}

impl Refusal {
    /// An `invalid_request_error`.
    pub(crate) fn new(code: &str, message: impl Into<String>, param: Option<&str>) -> Self {
        Self {
            kind: "invalid_request_error",
            code: Some(code.to_owned()),
            message: message.into(),
            param: param.map(str::to_owned),
        }
    }

    pub(crate) fn unknown_parameter(path: &str) -> Self {
        Self::new("unknown_parameter", format!("Unknown parameter: '{path}'."), Some(path))
    }

    pub(crate) fn missing(path: &str) -> Self {
        Self::new("missing_required_parameter", format!("Missing required parameter: '{path}'."), Some(path))
    }

    pub(crate) fn invalid_value(path: &str, value: &str, allowed: &[&str]) -> Self {
        let listed = allowed.iter().map(|v| format!("'{v}'")).collect::<Vec<_>>().join(", ");
        let message = format!("Invalid value: '{value}'. Supported values are: {listed}.");
        Self::new("invalid_value", message, Some(path))
    }

    pub(crate) fn invalid_type(path: &str, expected: &str, value: &Value) -> Self {
        let got = match value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(n) if n.is_f64() => "a decimal",
            Value::Number(_) => "an integer",
            Value::String(_) => "a string",
            Value::Array(_) => "an array",
            Value::Object(_) => "an object",
        };
        let message = format!("Invalid type for '{path}': expected {expected}, but got {got} instead.");
        Self::new("invalid_type", message, Some(path))
    }

    /// The `error` object of an HTTP body.
    pub(crate) fn body(&self) -> Value {
        json!({"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}})
    }

    /// The `error` object of an event, with the id of the client's event it answers.
    pub(crate) fn event(&self, client_event_id: Option<&str>) -> Value {
        json!({"type": self.kind, "code": self.code, "message": self.message, "param": self.param,
               "event_id": client_event_id})
    }
}
