//! The conversation: items in order.

use serde_json::{Value, json};

use super::refusal::Refusal;
use super::schema::{Field, Shape, may, must, or_null};

const COMMON: [&str; 3] = ["id", "object", "status"];
const ROLES: &[&str] = &["user", "assistant", "system"];

const USER_PART: Shape = Shape::Tagged(
    "type",
    &[
        ("input_text", &[must("text", Shape::Text)]),
        ("input_audio", &[must("audio", Shape::Text), may("transcript", or_null!(Shape::Text))]),
        ("input_image", &[must("image_url", Shape::Text), may("detail", Shape::Text)]),
    ],
);
const ASSISTANT_PART: Shape = Shape::Tagged("type", &[("output_text", &[must("text", Shape::Text)])]);
const SYSTEM_PART: Shape = Shape::Tagged("type", &[("input_text", &[must("text", Shape::Text)])]);

const ID: Field = may("id", or_null!(Shape::Text));
const OBJECT: Field = may("object", Shape::Word(&["realtime.item"]));
const STATUS: Field = may("status", Shape::Word(&["completed", "incomplete", "in_progress"]));

const ITEM: Shape = Shape::Tagged(
    "type",
    &[
        (
            "message",
            &[
                ID,
                OBJECT,
                STATUS,
                must("role", Shape::Word(ROLES)),
                must("content", Shape::List(&Shape::Free)),
            ],
        ),
        (
            "function_call",
            &[
                ID,
                OBJECT,
                STATUS,
                may("call_id", Shape::Text),
                must("name", Shape::Text),
                must("arguments", Shape::Text),
            ],
        ),
        (
            "function_call_output",
            &[ID, OBJECT, STATUS, must("call_id", Shape::Text), must("output", Shape::Text)],
        ),
        (
            "mcp_approval_response",
            &[
                ID,
                OBJECT,
                STATUS,
                must("approval_request_id", Shape::Text),
                must("approve", Shape::Flag),
                may("reason", or_null!(Shape::Text)),
            ],
        ),
    ],
);

/// An item as the client sees it, and what only the server knows of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Item {
    pub(crate) value: Value,
    /// Milliseconds of model audio that the item holds, shrunk by truncation.
    pub(crate) audio_ms: u32,
}

impl Item {
    pub(crate) fn id(&self) -> &str {
        self.value["id"].as_str().unwrap_or_default()
    }
}

/// Items that one session may hold; further ones are refused. The real limit is in tokens.
const MAX_ITEMS: usize = 4096;

#[derive(Debug, Default)]
pub(crate) struct Conversation {
    items: Vec<Item>,
}

impl Conversation {
    /// Checks an item that a client wants to add. `path` names it in errors.
    pub(crate) fn check(&self, item: &Value, id_limit: Option<usize>) -> Result<(), Refusal> {
        ITEM.check("item", item)?;
        let part = match item["role"].as_str() {
            Some("user") => USER_PART,
            Some("assistant") => ASSISTANT_PART,
            _ => SYSTEM_PART,
        };
        for (i, content) in item["content"].as_array().into_iter().flatten().enumerate() {
            part.check(&format!("item.content[{i}]"), content)?;
        }
        if let Some(id) = item["id"].as_str() {
            if self.get(id).is_some() {
                let message = format!("Error adding item: an item with ID '{id}' already exists.");
                return Err(Refusal::new("item_already_exists", message, Some("item.id")));
            }
            if let Some(limit) = id_limit {
                Shape::ShortText(limit).check("item.id", &item["id"])?;
            }
        }
        if item["type"] == "function_call_output" && !self.has_call(&item["call_id"]) {
            let call = item["call_id"].as_str().unwrap_or_default();
            let message = format!("Tool call ID '{call}' not found in conversation.");
            return Err(Refusal::new("invalid_tool_call_id", message, Some("item.call_id")));
        }
        if self.items.len() >= MAX_ITEMS {
            return Err(Refusal::new("invalid_value", "The conversation is full.", Some("item")));
        }
        Ok(())
    }

    fn has_call(&self, call_id: &Value) -> bool {
        self.items.iter().any(|i| i.value["type"] == "function_call" && i.value["call_id"] == *call_id)
    }

    /// Adds an item after `previous` (`"root"` is the front, `None` the end) and gives the id of the item now before it.
    pub(crate) fn insert(
        &mut self,
        mut value: Value,
        audio_ms: u32,
        previous: Option<&str>,
    ) -> Result<Option<String>, Refusal> {
        let index = match previous {
            None => self.items.len(),
            Some("root") => 0,
            Some(id) => match self.items.iter().position(|item| item.id() == id) {
                Some(index) => index + 1,
                None => return Err(not_found("previous_item_id", id)),
            },
        };
        value["object"] = "realtime.item".into();
        self.items.insert(index, Item { value, audio_ms });
        Ok(index.checked_sub(1).map(|before| self.items[before].id().to_owned()))
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Item> {
        self.items.iter().find(|item| item.id() == id)
    }

    pub(crate) fn get_mut(&mut self, id: &str) -> Option<&mut Item> {
        self.items.iter_mut().find(|item| item.id() == id)
    }

    /// The id of the item before this one.
    pub(crate) fn before(&self, id: &str) -> Option<String> {
        let index = self.items.iter().position(|item| item.id() == id)?;
        index.checked_sub(1).map(|before| self.items[before].id().to_owned())
    }

    pub(crate) fn last_id(&self) -> Option<&str> {
        self.items.last().map(Item::id)
    }

    pub(crate) fn remove(&mut self, id: &str) -> Result<(), Refusal> {
        let index = self.items.iter().position(|item| item.id() == id);
        self.items.remove(index.ok_or_else(|| not_found("item_id", id))?);
        Ok(())
    }

    /// Cuts an assistant item's audio, and of its transcript the share that is no longer heard.
    pub(crate) fn truncate(&mut self, id: &str, audio_end_ms: u64) -> Result<(), Refusal> {
        let item = self.get_mut(id).ok_or_else(|| not_found("item_id", id))?;
        if item.value["role"] != "assistant" || item.audio_ms == 0 {
            let message = "Only model output audio messages can be truncated";
            return Err(Refusal::new("unsupported_content_type", message, None));
        }
        let had = item.audio_ms;
        if audio_end_ms > u64::from(had) {
            let message = format!("Audio content of {had}ms is already shorter than {audio_end_ms}ms");
            return Err(Refusal::new("invalid_value", message, Some("audio_end_ms")));
        }
        item.audio_ms = audio_end_ms as u32;
        for part in item.value["content"].as_array_mut().into_iter().flatten() {
            let words: Vec<&str> = part["transcript"].as_str().unwrap_or_default().split(' ').collect();
            let kept = words.len() * audio_end_ms as usize / had.max(1) as usize;
            part["transcript"] = words[..kept.min(words.len())].join(" ").into();
        }
        Ok(())
    }

    /// Every item with its type, oldest first.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Item> {
        self.items.iter()
    }
}

pub(crate) fn not_found(param: &str, id: &str) -> Refusal {
    let message = format!("Item with item_id not found: {id}");
    Refusal::new("item_not_found", message, Some(param))
}

/// The shape of an item as responses and item events show it: known common fields first, everything else after.
pub(crate) fn item(id: &str, kind: &str, status: &str, rest: Value) -> Value {
    let mut value = json!({"id": id, "object": "realtime.item", "type": kind, "status": status});
    for (name, inner) in rest.as_object().into_iter().flatten() {
        if !COMMON.contains(&name.as_str()) {
            value[name] = inner.clone();
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(id: &str) -> Value {
        item(
            id,
            "message",
            "completed",
            json!({"role": "user", "content": [{"type": "input_text", "text": "hi"}]}),
        )
    }

    fn spoken(conversation: &mut Conversation, ms: u32) {
        let content = json!({"role": "assistant", "content": [{"type": "output_audio", "transcript": "one two three four"}]});
        conversation.insert(item("a", "message", "completed", content), ms, None).expect("added");
    }

    #[test]
    fn items_go_where_they_are_told() {
        let mut conversation = Conversation::default();
        assert_eq!(conversation.insert(text("1"), 0, None), Ok(None));
        assert_eq!(conversation.insert(text("3"), 0, None), Ok(Some("1".to_owned())));
        assert_eq!(conversation.insert(text("2"), 0, Some("1")), Ok(Some("1".to_owned())));
        assert_eq!(conversation.insert(text("0"), 0, Some("root")), Ok(None));
        assert!(conversation.insert(text("x"), 0, Some("none")).is_err());
        let order: Vec<_> = conversation.iter().map(|i| i.id().to_owned()).collect();
        assert_eq!(order, ["0", "1", "2", "3"]);
    }

    #[test]
    fn clients_may_not_make_up_audio_or_answers() {
        let conversation = Conversation::default();
        let audio = json!({"type": "message", "role": "assistant", "content": [{"type": "output_audio", "transcript": "x"}]});
        assert_eq!(conversation.check(&audio, None).unwrap_err().code.as_deref(), Some("invalid_value"));
        let output = json!({"type": "function_call_output", "call_id": "call_1", "output": "{}"});
        assert_eq!(
            conversation.check(&output, None).unwrap_err().code.as_deref(),
            Some("invalid_tool_call_id")
        );
        let object = json!({"type": "function_call_output", "call_id": "call_1", "output": {}});
        assert_eq!(conversation.check(&object, None).unwrap_err().code.as_deref(), Some("invalid_type"));
        conversation.check(&text("1"), Some(32)).expect("a text is fine");
        assert!(conversation.check(&text(&"x".repeat(33)), Some(32)).is_err());
    }

    #[test]
    fn truncation_takes_the_transcript_with_it_and_knows_its_limits() {
        let mut conversation = Conversation::default();
        spoken(&mut conversation, 4_000);
        assert_eq!(conversation.truncate("x", 0).unwrap_err().code.as_deref(), Some("item_not_found"));
        conversation.truncate("a", 2_000).expect("within the item");
        assert_eq!(conversation.get("a").expect("kept").value["content"][0]["transcript"], "one two");
        let refusal = conversation.truncate("a", 2_040).unwrap_err();
        assert_eq!(refusal.message, "Audio content of 2000ms is already shorter than 2040ms");
        conversation.insert(text("u"), 0, None).expect("added");
        assert_eq!(
            conversation.truncate("u", 0).unwrap_err().code.as_deref(),
            Some("unsupported_content_type")
        );
    }
}
