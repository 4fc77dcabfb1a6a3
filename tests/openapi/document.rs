//! The document as a client fetches it, and its schemas as a validator reads them.

use serde_json::{Value, json};

use crate::support::house::House;

/// Fetches it.
pub async fn fetch(house: &House) -> Value {
    let url = format!("http://{}/api/openapi.json", house.address);
    let answer = reqwest::get(url).await.expect("it answers");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/json");
    answer.json().await.expect("JSON")
}

/// Every operation: path, method, and what is said of it.
pub fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let of = |(path, item): (&String, &Value)| {
        let item = item.as_object().expect("operations").clone();
        let path = path.clone();
        item.into_iter().map(move |(method, operation)| (path.clone(), method, operation))
    };
    paths.iter().flat_map(of).collect()
}

/// What is wrong with `value` by a schema of this name. Fields that the schema does not tell of are wrong too: a field that is answered
/// is described.
pub fn faults(document: &Value, schema: &str, value: &Value) -> Vec<String> {
    let mut components = document["components"].clone();
    close(&mut components);
    let whole = json!({ "$ref": format!("#/components/schemas/{schema}"), "components": components });
    let validator = jsonschema::validator_for(&whole).expect("it is a schema");
    validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// Objects have no other fields than those described. A part of a whole (`allOf`) has: the other parts'.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            let described = fields.contains_key("properties") || fields.contains_key("allOf");
            if described && !fields.contains_key("additionalProperties") {
                fields.insert("unevaluatedProperties".into(), false.into());
            }
            for (name, inner) in fields {
                match inner {
                    Value::Array(parts) if name == "allOf" => {
                        for part in parts.iter_mut().filter_map(|part| part["properties"].as_object_mut()) {
                            part.values_mut().for_each(close);
                        }
                    }
                    inner => close(inner),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

/// Every `$ref` in it.
pub fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|inner| references(inner, found));
        }
        Value::Array(items) => items.iter().for_each(|inner| references(inner, found)),
        _ => {}
    }
}

#[test]
fn a_validator_finds_what_is_missing_ill_typed_and_not_described() {
    let schema = json!({ "type": "object", "required": ["a"], "properties": { "a": { "type": "string" } } });
    let document = json!({ "components": { "schemas": { "X": schema, "Y": { "allOf": [
        { "$ref": "#/components/schemas/X" }, { "type": "object", "properties": { "b": { "type": "integer" } } }
    ] } } } });
    for (schema, value, wrong) in [
        ("X", json!({ "a": "x" }), 0),
        ("X", json!({}), 1),
        ("X", json!({ "a": 1 }), 1),
        ("X", json!({ "a": "x", "c": 1 }), 1),
    ] {
        assert_eq!(faults(&document, schema, &value).len(), wrong, "{schema} {value}");
    }
}
