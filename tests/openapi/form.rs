//! The document is OpenAPI 3.1, tells of every route and of none that is not there.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::Value;

use super::document::{fetch, operations, references};
use crate::support::house::House;
use crate::support::lines;

/// The methods that routes have here. A described path must not answer to one that is not described.
const METHODS: [Method; 5] = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// The specification's rules for what this document has in it (<https://spec.openapis.org/oas/v3.1.1.html>).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_document_is_well_formed_and_its_references_lead_somewhere() {
    let house = House::of(lines::model()).await;
    let document = fetch(&house).await;
    assert!(document["openapi"].as_str().is_some_and(|v| v.starts_with("3.1.")), "{}", document["openapi"]);
    assert!(document["info"]["title"].is_string() && document["info"]["version"].is_string());

    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 20, "{found:?}");
    for reference in &found {
        let pointer = reference.strip_prefix('#').expect("a reference within the document");
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    for (name, schema) in document["components"]["schemas"].as_object().expect("schemas") {
        assert!(jsonschema::meta::is_valid(schema), "{name} is no schema");
        assert!(found.iter().any(|r| r.ends_with(&format!("/{name}"))), "{name} is used by nothing");
    }
    let schemes = document["components"]["securitySchemes"].as_object().expect("schemes");
    assert_eq!(
        (&schemes["bearer"]["type"], &schemes["bearer"]["scheme"]),
        (&"http".into(), &"bearer".into())
    );

    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        let at = format!("{method} {path}");
        let id = operation["operationId"].as_str().unwrap_or_else(|| panic!("{at} has no id"));
        assert!(ids.insert(id.to_owned()), "{at}: {id} is used twice");
        assert!(operation["summary"].is_string(), "{at} is not explained");
        let none = Vec::new();
        let parameters = operation["parameters"].as_array().unwrap_or(&none);
        for parameter in parameters {
            let place = parameter["in"].as_str().unwrap_or_default();
            assert!(["path", "query", "header"].contains(&place), "{at}: {parameter}");
            assert!(
                parameter["schema"].is_object() && parameter["description"].is_string(),
                "{at}: {parameter}"
            );
        }
        let in_path = |p: &&Value| p["in"] == "path" && p["required"] == true;
        let named: BTreeSet<_> =
            parameters.iter().filter(in_path).filter_map(|p| p["name"].as_str()).collect();
        let places: BTreeSet<_> =
            path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
        assert_eq!(named, places, "{at}: its parameters");
        let responses = operation["responses"].as_object().unwrap_or_else(|| panic!("{at} has no answers"));
        for (status, response) in responses {
            assert!(status.parse::<u16>().is_ok_and(|s| (100..600).contains(&s)), "{at}: {status}");
            assert!(response["description"].is_string(), "{at} {status}");
        }
        let admin = path.starts_with("/api/") && !path.starts_with("/api/twilio/");
        let secured =
            operation["security"].as_array().is_some_and(|s| s.iter().any(|s| s["bearer"].is_array()));
        assert_eq!(admin, secured, "{at}: the bearer token");
        assert_eq!(admin, responses.contains_key("401") && responses.contains_key("403") && admin, "{at}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_described_route_exists_and_no_method_beside_them() {
    let house = House::of(lines::model()).await;
    let document = fetch(&house).await;
    let client = reqwest::Client::builder().no_proxy().build().expect("a plain client");
    let described: BTreeSet<(String, String)> =
        operations(&document).into_iter().map(|(path, method, _)| (path, method)).collect();
    assert!(described.len() >= 20, "{described:?}");
    let paths: BTreeSet<&String> = described.iter().map(|(path, _)| path).collect();
    for path in paths {
        for method in METHODS {
            // No profile takes so short a time: the route says so at once.
            let path_here = path.replace("{sid}", "CA0").replace("{id}", "x");
            let url = format!("http://{}{path_here}?seconds=0", house.address);
            let answer = client.request(method.clone(), url).send().await;
            let answer = answer.expect("it answers");
            let status = answer.status().as_u16();
            let length = answer.bytes().await.expect("a body").len();
            if described.contains(&(path.clone(), method.as_str().to_ascii_lowercase())) {
                // A route that does not find what is asked of it says so; the router alone has an empty 404.
                assert!(status != 405 && (status != 404 || length > 0), "{method} {path}: {status}");
            } else {
                assert_eq!(status, 405, "{method} {path} is not described");
            }
        }
    }
}
