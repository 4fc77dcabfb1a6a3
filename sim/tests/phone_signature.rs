//! Every vector of Twilio's own validator against the phone's signatures.

use serde_json::Value;
use sim::phone::signature::{sign, sign_sha256, signed_string};

fn vectors() -> Value {
    serde_json::from_str(include_str!("data/twilio-signature-vectors.json")).expect("the file is JSON")
}

fn params(vector: &Value) -> Vec<(String, String)> {
    let pair = |p: &Value| (p[0].as_str().unwrap().to_owned(), p[1].as_str().unwrap().to_owned());
    vector["params"].as_array().unwrap().iter().map(pair).collect()
}

fn text<'a>(vector: &'a Value, name: &str) -> &'a str {
    vector[name].as_str().unwrap_or_else(|| panic!("{name} in {vector}"))
}

#[test]
fn the_phone_signs_as_twilio_does() {
    let file = vectors();
    let list = file["vectors"].as_array().unwrap();
    assert_eq!(list.len(), 16);
    for vector in list {
        let (token, url, params) = (text(vector, "auth_token"), text(vector, "signed_url"), params(vector));
        assert_eq!(signed_string(url, &params), text(vector, "signed_string"), "{}", vector["id"]);
        let signature = match text(vector, "algorithm") {
            "HMAC_SHA256" => sign_sha256(token, url, &params),
            _ => sign(token, url, &params),
        };
        assert_eq!(signature, text(vector, "signature"), "{}", vector["id"]);
    }
}

#[test]
fn what_is_not_signed_so_does_not_match() {
    let file = vectors();
    let list = file["negative"].as_array().unwrap();
    assert_eq!(list.len(), 3);
    for vector in list {
        let made = sign(text(vector, "auth_token"), text(vector, "signed_url"), &params(vector));
        assert_ne!(made, text(vector, "signature"), "{}", vector["id"]);
    }
}

#[test]
fn the_order_on_the_wire_does_not_matter() {
    for vector in vectors()["vectors"].as_array().unwrap() {
        let mut reversed = params(vector);
        reversed.reverse();
        assert_eq!(signed_string(text(vector, "signed_url"), &reversed), text(vector, "signed_string"));
    }
}
