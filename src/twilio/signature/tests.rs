use serde::Deserialize;
use url::Url;

use super::*;
use crate::twilio::public_url::PublicUrl;

const VECTORS: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/twilio_signature_vectors.json"));

#[derive(Deserialize)]
struct File {
    vectors: Vec<Vector>,
    negative: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    id: String,
    auth_token: String,
    signed_url: String,
    params: Vec<(String, String)>,
    signature: String,
    algorithm: Option<String>,
    form_body: Option<String>,
    body: Option<String>,
    body_sha256_hex: Option<String>,
    signed_string: Option<String>,
    extra_headers: Option<std::collections::BTreeMap<String, String>>,
    #[serde(default)]
    python_validator: Vec<Reconstructed>,
}

#[derive(Deserialize)]
struct Reconstructed {
    reconstructed_url: String,
    python_validate: bool,
}

impl Vector {
    fn verifier(&self) -> Verifier {
        match &self.extra_headers {
            Some(headers) => {
                let settings = &headers["X-Twilio-Webhooks-Signature-Settings"];
                let id = read_settings(settings).unwrap().0.to_owned();
                Verifier::default().with_shared_key(SharedKey { id, secret: Secret::new(&*self.auth_token) })
            }
            None => Verifier::new([Secret::new(&*self.auth_token)]),
        }
    }

    fn settings(&self) -> Option<&str> {
        self.extra_headers.as_ref().map(|headers| &*headers["X-Twilio-Webhooks-Signature-Settings"])
    }

    fn accepts(&self, urls: &[String], form: &Form) -> bool {
        self.verifier().verify(urls, form, &self.signature, self.settings())
    }
}

fn vectors() -> File {
    serde_json::from_str(VECTORS).unwrap()
}

/// Splits a URL as our server would see it: what is configured, and what the request's first line says.
fn split(url: &str) -> (PublicUrl, String) {
    let http = url.replacen("ws", "http", usize::from(url.starts_with("ws")));
    let parsed = Url::parse(&http).unwrap();
    let authority_at = url.find("://").unwrap() + 3;
    let target = url[authority_at..].find('/').map_or("/", |at| &url[authority_at + at..]);
    let mut origin = parsed.clone();
    origin.set_path("/");
    origin.set_query(None);
    // `url` drops a default port that is written out; then our own variants supply it.
    (PublicUrl::new(&origin), target.to_owned())
}

#[test]
fn every_vector_is_accepted_over_its_own_url_and_body() {
    let file = vectors();
    assert_eq!(file.vectors.len(), 16);
    for vector in &file.vectors {
        let form = match &vector.form_body {
            Some(body) => Form::parse(body.as_bytes()),
            None => vector.params.clone().into_iter().collect(),
        };
        let urls = [vector.signed_url.clone()];
        if let Some(text) = &vector.signed_string {
            assert_eq!(format!("{}{}", vector.signed_url, form.signed_text()), *text, "{}", vector.id);
        }
        assert!(vector.accepts(&urls, &form), "{}", vector.id);
        // And over nothing else.
        assert!(!vector.accepts(&[format!("{}x", vector.signed_url)], &form), "{}", vector.id);
        let mut more: Vec<(String, String)> = vector.params.clone();
        more.push(("Extra".into(), String::new()));
        assert!(!vector.accepts(&urls, &more.into_iter().collect()), "{}", vector.id);
    }
}

#[test]
fn negative_vectors_are_refused() {
    let file = vectors();
    assert_eq!(file.negative.len(), 3);
    for vector in &file.negative {
        let form = vector.params.clone().into_iter().collect();
        assert!(!vector.accepts(std::slice::from_ref(&vector.signed_url), &form), "{}", vector.id);
    }
}

/// The server accepts what the official validator accepts for the URL it would rebuild, and on an upgrade also the slash and the
/// port that the validator misses.
#[test]
fn rebuilt_urls_are_judged_as_by_the_official_validator() {
    let mut judged = 0;
    for vector in &vectors().vectors {
        let form = vector.params.clone().into_iter().collect();
        for case in &vector.python_validator {
            let url = &case.reconstructed_url;
            let (public, target) = split(url);
            if vector.signed_url.starts_with("wss") {
                if url.starts_with("wss") {
                    assert!(vector.accepts(&public.signed_by_upgrade(&target), &form), "{} {url}", vector.id);
                    judged += 1;
                }
            } else {
                let accepted = vector.accepts(&public.signed_by_webhook(&target), &form);
                assert_eq!(accepted, case.python_validate, "{} {url}", vector.id);
                judged += 1;
            }
        }
    }
    assert!(judged >= 25, "{judged}");
}

#[test]
fn a_hashed_json_body_is_bound_by_the_url() {
    use sha2::Digest;
    let file = vectors();
    let vector = file.vectors.iter().find(|v| v.body.is_some()).unwrap();
    let hash = Sha256::digest(vector.body.as_ref().unwrap());
    let hex: String = hash.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(Some(&hex), vector.body_sha256_hex.as_ref());
    assert!(vector.signed_url.ends_with(&hex));
}

#[test]
fn both_tokens_are_accepted_during_a_rotation() {
    let file = vectors();
    let vector = &file.vectors[1];
    let form: Form = vector.params.clone().into_iter().collect();
    let urls = [vector.signed_url.clone()];
    for tokens in [["new", &vector.auth_token], [&vector.auth_token, "new"]] {
        let verifier = Verifier::new(tokens.map(Secret::new));
        assert!(verifier.verify(&urls, &form, &vector.signature, None));
    }
    assert!(!Verifier::new([Secret::new("new")]).verify(&urls, &form, &vector.signature, None));
    assert!(!Verifier::default().verify(&urls, &form, &vector.signature, None));
}

#[test]
fn a_shared_key_counts_only_where_it_is_named_and_configured() {
    let file = vectors();
    let vector = file.vectors.iter().find(|v| v.algorithm.as_deref() == Some("HMAC_SHA256")).unwrap();
    let form: Form = vector.params.clone().into_iter().collect();
    let urls = [vector.signed_url.clone()];
    assert!(!vector.verifier().verify(&urls, &form, &vector.signature, None));
    let other = "key=another,algorithm=HMAC_SHA256";
    assert!(!vector.verifier().verify(&urls, &form, &vector.signature, Some(other)));
    let tokens = Verifier::new([Secret::new(&*vector.auth_token)]);
    assert!(!tokens.verify(&urls, &form, &vector.signature, vector.settings()));
    assert_eq!(read_settings("key=a,algorithm=HMAC_MD5"), None);
    assert_eq!(read_settings("nonsense"), None);
}

/// Row 1 of the fault list: ten thousand mutated requests, none accepted.
#[test]
fn no_mutation_is_accepted() {
    let file = vectors();
    let vector = &file.vectors[1];
    let body = vector.form_body.as_ref().unwrap().as_bytes();
    let (public, target) = split(&vector.signed_url);
    let urls = public.signed_by_webhook(&target);
    let verifier = vector.verifier();
    assert!(verifier.verify(&urls, &Form::parse(body), &vector.signature, None));
    let original = Form::parse(body).signed_text();
    let mut tried = 0;
    let mut refused = |body: &[u8], how: &str| {
        let form = Form::parse(body);
        // `+` for `%20` and the like are the same form.
        if form.signed_text() != original {
            assert!(!verifier.verify(&urls, &form, &vector.signature, None), "{how}");
            tried += 1;
        }
    };
    for at in 0..body.len() {
        for flip in [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40] {
            let mut mutated = body.to_vec();
            mutated[at] ^= flip;
            refused(&mutated, &format!("byte {at} ^ {flip}"));
        }
        for byte in [b'0', b'A', b'+', b'%', b'&', b'='] {
            let mut mutated = body.to_vec();
            mutated.insert(at, byte);
            refused(&mutated, &format!("{byte} before byte {at}"));
        }
        refused(&[&body[..at], &body[at + 1..]].concat(), &format!("byte {at} left out"));
        refused(&body[..at], &format!("cut at byte {at}"));
    }
    let form = Form::parse(body);
    for at in 0..vector.signature.len() {
        for byte in (0x20..0x7fu8).filter(|&b| b != vector.signature.as_bytes()[at]) {
            let mut signature = vector.signature.clone().into_bytes();
            signature[at] = byte;
            let signature = String::from_utf8(signature).unwrap();
            assert!(!verifier.verify(&urls, &form, &signature, None), "{signature}");
            tried += 1;
        }
    }
    for odd in ["", "=", "AAAA", &"A".repeat(44), &"A".repeat(100_000), "\u{e9}"] {
        assert!(!verifier.verify(&urls, &form, odd, None));
    }
    assert!(tried > 10_000, "{tried}");
}
