//! The beginning of a WebSocket session: upgrade, `session.created`, `session.update`, `session.updated`.
//!
//! Over WebRTC the settings go with the offer. Here the session begins with the defaults, so nothing of the caller is sent before the
//! server has confirmed ours.

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use futures_util::{SinkExt, StreamExt};
use reqwest::Upgraded;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::stream::config;
use super::{FORMAT, OWN};
use crate::openai::connect::{self, Client, ConnectError, refusal};

/// Events that the server may send before it has confirmed the settings; two are expected.
const MAX_EARLY: usize = 16;

/// A session that has our settings, not yet running.
pub struct Leg {
    pub(super) ws: WebSocketStream<Upgraded>,
    /// What the server has said so far.
    pub(super) early: Vec<String>,
}

/// Asks for a session until it is granted, refused for good, nobody wants it any more, or `deadline` has passed.
///
/// # Errors
///
/// See [`ConnectError`]; [`ConnectError::Unusable`] for a server that does not speak mu-law.
pub async fn open(
    client: &Client,
    session: &str,
    safety_identifier: &str,
    deadline: Instant,
    wanted: &AtomicBool,
) -> Result<Leg, ConnectError> {
    let (model, update) = update(session)?;
    connect::attempts(deadline, wanted, || attempt(client, &model, &update, safety_identifier)).await
}

/// The model, and the event that gives the session its other settings.
fn update(session: &str) -> Result<(String, String), ConnectError> {
    let invalid = || ConnectError::Local("the session's settings are no JSON object with a model".into());
    let mut session: Value = serde_json::from_str(session).map_err(|_| invalid())?;
    let settings = session.as_object_mut().ok_or_else(invalid)?;
    let model = settings.remove("model").and_then(|m| m.as_str().map(str::to_owned)).ok_or_else(invalid)?;
    for side in ["input", "output"] {
        session["audio"][side]["format"] = json!({ "type": FORMAT });
    }
    let event = json!({ "type": "session.update", "event_id": format!("{OWN}0"), "session": session });
    Ok((model, event.to_string()))
}

async fn attempt(
    client: &Client,
    model: &str,
    update: &str,
    safety_identifier: &str,
) -> Result<Leg, ConnectError> {
    let key = generate_key();
    let (upgraded, accept) = client.upgrade(model, safety_identifier, &key).await?;
    if accept != derive_accept_key(key.as_bytes()) {
        return Err(ConnectError::Network("not a WebSocket"));
    }
    let ws = WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(config())).await;
    let mut leg = Leg { ws, early: Vec::new() };
    while !leg.heard("session.created")? {
        leg.listen().await?;
    }
    leg.ws.send(Message::text(update)).await.map_err(|_| lost())?;
    while !leg.heard("session.updated")? {
        leg.listen().await?;
    }
    Ok(leg)
}

fn lost() -> ConnectError {
    ConnectError::Network("connection lost")
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    session: Option<Session>,
}

#[derive(Deserialize)]
struct Session {
    audio: Option<Audio>,
}

#[derive(Deserialize)]
struct Audio {
    input: Option<Side>,
    output: Option<Side>,
}

#[derive(Deserialize)]
struct Side {
    format: Option<Format>,
}

impl Side {
    fn is_mulaw(&self) -> bool {
        self.format.as_ref().is_some_and(|format| format.kind == FORMAT)
    }
}

#[derive(Deserialize)]
struct Format {
    #[serde(rename = "type")]
    kind: String,
}

impl Session {
    /// Whether both directions are mu-law. Reports have it that another format was given without a word.
    fn is_mulaw(&self) -> bool {
        let is = |side: &Option<Side>| side.as_ref().is_some_and(Side::is_mulaw);
        self.audio.as_ref().is_some_and(|audio| is(&audio.input) && is(&audio.output))
    }
}

impl Leg {
    /// Whether the last event is of this kind, and as it should be.
    fn heard(&self, kind: &str) -> Result<bool, ConnectError> {
        let Some(text) = self.early.last() else { return Ok(false) };
        let Ok(event) = serde_json::from_str::<Event>(text) else { return Ok(false) };
        match event.kind.as_str() {
            // None of our events but the update is on its way: it was refused, or the session cannot be.
            "error" => Err(refusal(400, text.as_bytes(), None)),
            "session.updated"
                if kind == event.kind && !event.session.as_ref().is_some_and(Session::is_mulaw) =>
            {
                Err(ConnectError::Unusable("the model does not speak mu-law"))
            }
            _ => Ok(kind == event.kind),
        }
    }

    async fn listen(&mut self) -> Result<(), ConnectError> {
        loop {
            match self.ws.next().await {
                Some(Ok(Message::Text(text))) if self.early.len() < MAX_EARLY => {
                    self.early.push(text.as_str().to_owned());
                    return Ok(());
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => return Err(lost()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_goes_into_the_address_and_the_rest_into_the_update() {
        let session = json!({ "type": "realtime", "model": "m", "instructions": "i",
                              "audio": { "output": { "voice": "marin" } } });
        let (model, update) = update(&session.to_string()).unwrap();
        let update: Value = serde_json::from_str(&update).unwrap();
        assert_eq!(model, "m");
        assert_eq!(
            update["session"],
            json!({ "type": "realtime", "instructions": "i",
                    "audio": { "input": { "format": { "type": "audio/pcmu" } },
                               "output": { "voice": "marin", "format": { "type": "audio/pcmu" } } } })
        );
        for bad in ["", "[]", r#"{"type":"realtime"}"#] {
            assert!(super::update(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn another_format_is_noticed() {
        let spoken = |input: &str, output: &str| {
            let event = json!({ "audio": { "input": { "format": { "type": input } },
                                           "output": { "format": { "type": output } } } });
            serde_json::from_value::<Session>(event).unwrap().is_mulaw()
        };
        assert!(spoken("audio/pcmu", "audio/pcmu"));
        assert!(!spoken("audio/pcmu", "audio/pcm") && !spoken("audio/pcm", "audio/pcmu"));
    }
}
