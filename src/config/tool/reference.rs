//! Secrets in a table: named, never written. `Bearer ${CRM_TOKEN}`, `${file:/run/secrets/crm}`.

use std::collections::BTreeMap;

use super::super::Secret;

/// Largest file that holds a secret, bytes.
const MAX_FILE_BYTES: u64 = 16 * 1024;
/// Headers that carry secrets: their value must come from elsewhere.
const SECRET_HEADERS: [&str; 8] = [
    "authorization",
    "cookie",
    "proxy-authorization",
    "api-key",
    "apikey",
    "x-api-key",
    "x-auth-token",
    "x-access-token",
];
/// Headers that belong to HTTP itself. `accept-encoding` is ours: nothing is ever unpacked.
const RESERVED_HEADERS: [&str; 10] = [
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
    "expect",
    "accept-encoding",
];

/// Fills references. The error says what is missing, never what was found.
pub(super) fn fill(text: &str, environment: &BTreeMap<String, String>) -> Result<Secret, String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, from)) = rest.split_once("${") {
        let (name, after) = from.split_once('}').ok_or("a reference written as ${NAME} or ${file:PATH}")?;
        filled.push_str(before);
        match name.strip_prefix("file:") {
            Some(path) => filled.push_str(&read(path)?),
            None => {
                let value = environment.get(name).filter(|v| !v.is_empty());
                filled.push_str(value.ok_or_else(|| format!("the environment variable {name} to be set"))?);
            }
        }
        rest = after;
    }
    filled.push_str(rest);
    Ok(Secret::new(filled))
}

fn read(path: &str) -> Result<String, String> {
    let size = std::fs::metadata(path).map_err(|e| format!("the file {path} to be readable ({e})"))?.len();
    if size > MAX_FILE_BYTES {
        return Err(format!("the file {path} to hold at most {MAX_FILE_BYTES} bytes"));
    }
    let text =
        std::fs::read_to_string(path).map_err(|e| format!("the file {path} to be readable text ({e})"))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// Headers by lower-case name.
pub(super) fn headers(
    typed: BTreeMap<String, String>,
    environment: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, Secret>, (String, String)> {
    let mut headers = BTreeMap::new();
    for (name, text) in typed {
        let lower = name.to_ascii_lowercase();
        let refused = |why: String| (name.clone(), why);
        if reqwest::header::HeaderName::from_bytes(lower.as_bytes()).is_err()
            || RESERVED_HEADERS.contains(&lower.as_str())
        {
            return Err(refused("a header that HTTP does not need for itself".into()));
        }
        if SECRET_HEADERS.contains(&lower.as_str()) && !text.contains("${") {
            return Err(refused("its secret named as ${NAME} or ${file:PATH}, not written".into()));
        }
        let value = fill(&text, environment).map_err(&refused)?;
        if reqwest::header::HeaderValue::from_str(value.expose()).is_err() {
            return Err(refused("a value of visible characters".into()));
        }
        headers.insert(lower, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> BTreeMap<String, String> {
        [("TOKEN".to_owned(), "canary".to_owned())].into()
    }

    #[test]
    fn references_are_filled_from_the_environment_and_from_files() {
        let path = std::env::temp_dir().join(format!("aria-secret-{}", std::process::id()));
        std::fs::write(&path, "from-file\n").unwrap();
        let text = format!("Bearer ${{TOKEN}}-${{file:{}}}", path.display());
        assert_eq!(fill(&text, &environment()).unwrap().expose(), "Bearer canary-from-file");
        std::fs::remove_file(&path).unwrap();
        for bad in ["${NOBODY}", "${TOKEN", "${file:/nonexistent/aria}"] {
            assert!(fill(bad, &environment()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_written_secret_is_refused() {
        let typed = |name: &str, value: &str| [(name.to_owned(), value.to_owned())].into();
        assert!(headers(typed("Authorization", "Bearer written"), &environment()).is_err());
        assert!(headers(typed("Host", "a.example"), &environment()).is_err());
        assert!(headers(typed("X-Tenant", "a\nb: c"), &environment()).is_err());
        assert_eq!(
            headers(typed("Authorization", "Bearer ${TOKEN}"), &environment()).unwrap()["authorization"]
                .expose(),
            "Bearer canary"
        );
        assert_eq!(headers(typed("X-Tenant", "42"), &environment()).unwrap()["x-tenant"].expose(), "42");
    }
}
