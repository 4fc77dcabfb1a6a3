//! `<Play>`: a recording fetched from the bridge.

use std::io::Cursor;

use reqwest::header::HOST;
use url::Url;

use super::webhook::Asker;
use crate::wav;

/// The largest recording fetched: four minutes of 16 kHz. Twilio takes more; a test has no use for it.
const MAX_BYTES: usize = 8 << 20;

/// Fetches a WAV file as 8 kHz samples.
pub(crate) async fn fetch(asker: Asker, url: String) -> Result<Vec<i16>, String> {
    let url = Url::parse(&url).map_err(|e| e.to_string())?;
    let place = asker.route.to(&url);
    let mut response = asker
        .client
        .get(place.url)
        .header(HOST, place.host)
        .send()
        .await
        .map_err(|e| e.without_url().to_string())?;
    if !response.status().is_success() {
        return Err(format!("HTTP status {}", response.status().as_u16()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| e.without_url().to_string())? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_BYTES {
            return Err("too large".into());
        }
    }
    wav::decode_8k(Cursor::new(body)).map_err(|e| e.to_string())
}
