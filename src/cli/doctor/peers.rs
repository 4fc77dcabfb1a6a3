//! What OpenAI and Twilio say: whether keys and accounts work, and where Twilio's numbers lead.

use std::collections::BTreeSet;
use std::time::SystemTime;

use aria_bridge::config::{E164, Settings};
use aria_bridge::twilio::rest::{Client, Number, RestError};
use serde_json::Value;

use super::super::number::ours;
use super::finding::Findings;
use super::local::whole_numbers;
use super::outside::{cause, client, clock};

/// OpenAI's list of models: whether the key works, and what it may use.
pub async fn openai(settings: &Settings, findings: &mut Findings) {
    let Some(key) = &settings.openai.api_key else { return };
    let what = "OpenAI";
    let base = &settings.openai.base_url;
    let asked = SystemTime::now();
    let url = format!("{}/models", base.as_str().trim_end_matches('/'));
    let answer = match client(base).get(url).bearer_auth(key.expose()).send().await {
        Ok(answer) => answer,
        Err(error) => {
            let fix = "let HTTPS out, or correct OPENAI_BASE_URL";
            return findings.problem(what, format!("{base} does not answer: {}", cause(&error)), fix);
        }
    };
    clock(what, &answer, asked, findings);
    match answer.status().as_u16() {
        200..=299 => {}
        401 => {
            return findings.problem(what, "the key is not accepted", "set OPENAI_API_KEY to one that works");
        }
        403 => return findings.problem(what, "the key may not list models", "give the key access to models"),
        404 => return findings.good(what, "reached; it has no list of models to look at"),
        status => {
            return findings.problem(what, format!("HTTP {status}"), "try again; see status.openai.com");
        }
    }
    let list: Value = answer.json().await.unwrap_or_default();
    let known: BTreeSet<&str> =
        list["data"].as_array().into_iter().flatten().filter_map(|model| model["id"].as_str()).collect();
    let wanted: BTreeSet<&str> = settings.agents.values().map(|agent| agent.model.as_str()).collect();
    for model in wanted {
        match known.contains(model) {
            true => findings.good(what, format!("the key works, and {model} is there")),
            false => {
                let fix = "name one that the key may use in the agent's table, or ask for access";
                findings.problem(what, format!("the key has no model {model}"), fix);
            }
        }
    }
}

/// Twilio's account and the webhooks of its numbers.
pub async fn twilio(settings: &Settings, findings: &mut Findings) {
    let Some(twilio) = Client::new(&settings.twilio) else { return };
    let what = "Twilio account";
    match twilio.account().await {
        Ok(account) if account.status == "active" => {
            findings.good(what, format!("active, {}", account.kind));
            if account.kind == "Trial" {
                let fix = "upgrade it: until then only verified numbers are called, and ten minutes long";
                findings.note(what, "a trial", fix);
            }
        }
        Ok(account) => {
            let fix = "console.twilio.com says why";
            return findings.problem(what, account.status, fix);
        }
        Err(RestError::Refused { status: 401 | 403, .. }) => {
            let fix = "copy TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN again: console.twilio.com, Account Info";
            return findings.problem(what, "the credentials are not accepted", fix);
        }
        Err(error) => {
            let fix = "let HTTPS out to api.twilio.com, or correct TWILIO_API_URL";
            return findings.problem(what, error, fix);
        }
    }
    let asked = SystemTime::now();
    if let Ok(answer) = client(&settings.twilio.api_url).get(settings.twilio.api_url.clone()).send().await {
        clock("Twilio", &answer, asked, findings);
    }
    match twilio.numbers(None).await {
        Ok(numbers) => webhooks(settings, &numbers, findings),
        Err(error) => findings.problem("Twilio's numbers", error, "try again"),
    }
}

fn webhooks(settings: &Settings, numbers: &[Number], findings: &mut Findings) {
    let ours = ours(settings);
    let named = whole_numbers(settings);
    let leads_here = |number: &Number| {
        number.webhooks.voice_url == ours.voice_url
            && number.voice_application_sid.is_empty()
            && number.trunk_sid.is_empty()
    };
    let mut here = 0;
    for number in numbers {
        let Ok(e164) = number.phone_number.parse::<E164>() else { continue };
        let what = format!("number {}", number.phone_number);
        if leads_here(number) {
            here += 1;
            if number.webhooks.status_callback != ours.status_callback {
                let fix = format!("aria number set {}", number.phone_number);
                findings.note(&what, "leads here, but nobody is told that a call is over", fix);
            } else {
                findings.good(&what, "leads here");
            }
        } else if named.contains(&e164) {
            let fix = format!("aria number set {}", number.phone_number);
            findings.problem(&what, "is in [numbers], and its calls go elsewhere", fix);
        }
    }
    for number in named.iter().filter(|n| !numbers.iter().any(|known| known.phone_number == n.expose())) {
        let fix = "correct [numbers], or buy the number";
        findings.problem(&format!("number {}", number.expose()), "is not the account's", fix);
    }
    if here == 0 && named.is_empty() {
        let fix = "aria number list, then aria number set +…";
        findings.problem("Twilio's numbers", format!("none of {} leads here", numbers.len()), fix);
    }
}
