//! What both sides said, in the order of the conversation.
//!
//! The caller's text often arrives after ARIA's reply has begun, so turns are keyed by item and placed by the items before them,
//! never by when their text came.

use super::{Speaker, Turn};

/// Turns kept of one call; older ones are dropped. An hour of talk has some hundreds.
const MAX_TURNS: usize = 2_000;
/// Text kept of one turn, bytes.
const MAX_TURN_BYTES: usize = 32 * 1024;

/// The turns of one call.
#[derive(Debug, Default)]
pub struct Transcript {
    turns: Vec<Turn>,
}

impl Transcript {
    /// The turns in order.
    pub fn turns(&self) -> &[Turn] {
        &self.turns
    }

    /// A turn begins or is placed: behind `after` if that is known, else at the end.
    pub fn place(&mut self, item_id: &str, speaker: Speaker, after: Option<&str>, at_ms: u64) {
        if let Some(old) = self.position(item_id) {
            // The caller's turn is opened by `speech_started`; only now its place is known.
            if let Some(after) = after.and_then(|a| self.position(a))
                && after > old
            {
                let turn = self.turns.remove(old);
                self.turns.insert(after, turn);
            }
            return;
        }
        let turn = Turn {
            item_id: item_id.into(),
            speaker,
            text: String::new(),
            from_ms: at_ms,
            to_ms: 0,
            interrupted: false,
        };
        match after.and_then(|a| self.position(a)) {
            Some(i) => self.turns.insert(i + 1, turn),
            None => self.turns.push(turn),
        }
        if self.turns.len() > MAX_TURNS {
            self.turns.remove(0);
        }
    }

    /// More text of a turn. Returns the text so far.
    pub fn append(&mut self, item_id: &str, speaker: Speaker, delta: &str, at_ms: u64) -> &str {
        self.place(item_id, speaker, None, at_ms);
        let turn = self.position(item_id).map(|i| &mut self.turns[i]);
        match turn {
            Some(turn) => {
                if turn.text.len() + delta.len() <= MAX_TURN_BYTES {
                    turn.text.push_str(delta);
                }
                &turn.text
            }
            None => "",
        }
    }

    /// The final text of a turn.
    pub fn finish(&mut self, item_id: &str, speaker: Speaker, text: &str, at_ms: u64) {
        self.place(item_id, speaker, None, at_ms);
        if let Some(i) = self.position(item_id)
            && text.len() <= MAX_TURN_BYTES
        {
            self.turns[i].text = text.into();
            self.turns[i].to_ms = at_ms;
        }
    }

    /// ARIA was cut off in this turn.
    pub fn interrupt(&mut self, item_id: &str) {
        if let Some(i) = self.position(item_id) {
            self.turns[i].interrupted = true;
        }
    }

    /// ARIA was cut off in her newest turn.
    pub fn interrupt_last_reply(&mut self) {
        if let Some(turn) = self.turns.iter_mut().rev().find(|t| t.speaker == Speaker::Aria) {
            turn.interrupted = true;
        }
    }

    /// Turns in which something was said: noise opens a turn, too.
    pub fn spoken(&self) -> Vec<Turn> {
        self.turns.iter().filter(|t| !t.text.is_empty()).cloned().collect()
    }

    fn position(&self, item_id: &str) -> Option<usize> {
        // The turn that is talked about is nearly always among the last.
        self.turns.iter().rposition(|t| t.item_id == item_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(t: &Transcript) -> Vec<&str> {
        t.turns().iter().map(|t| t.item_id.as_str()).collect()
    }

    #[test]
    fn a_late_caller_text_stands_before_the_reply() {
        let mut t = Transcript::default();
        t.place("u1", Speaker::Caller, None, 0);
        t.place("a1", Speaker::Aria, Some("u1"), 10);
        t.append("a1", Speaker::Aria, "Hello ", 11);
        assert_eq!(t.append("a1", Speaker::Aria, "there", 12), "Hello there");
        t.finish("u1", Speaker::Caller, "Hi", 20);
        assert_eq!(order(&t), ["u1", "a1"]);
        assert_eq!(t.turns()[0].text, "Hi");
    }

    #[test]
    fn an_item_is_placed_behind_its_predecessor() {
        let mut t = Transcript::default();
        t.place("a", Speaker::Aria, None, 0);
        t.place("u", Speaker::Caller, None, 1);
        t.place("b", Speaker::Aria, Some("a"), 2);
        assert_eq!(order(&t), ["a", "b", "u"]);
        t.place("u", Speaker::Caller, Some("b"), 3);
        assert_eq!(order(&t), ["a", "b", "u"]);
    }

    #[test]
    fn a_turn_opened_early_moves_behind_what_was_added_meanwhile() {
        let mut t = Transcript::default();
        t.place("u", Speaker::Caller, None, 0);
        t.place("a", Speaker::Aria, None, 1);
        t.place("u", Speaker::Caller, Some("a"), 2);
        assert_eq!(order(&t), ["a", "u"]);
    }

    #[test]
    fn memory_is_bounded() {
        let mut t = Transcript::default();
        for i in 0..MAX_TURNS + 10 {
            t.append(&i.to_string(), Speaker::Aria, "x", 0);
        }
        assert_eq!(t.turns().len(), MAX_TURNS);
        for _ in 0..10 {
            t.append("last", Speaker::Aria, &"y".repeat(MAX_TURN_BYTES / 4), 0);
        }
        assert!(t.turns().last().unwrap().text.len() <= MAX_TURN_BYTES);
    }

    #[test]
    fn silent_turns_are_not_in_the_record() {
        let mut t = Transcript::default();
        t.place("noise", Speaker::Caller, None, 0);
        t.finish("u", Speaker::Caller, "Hi", 1);
        t.interrupt_last_reply();
        assert_eq!(t.spoken().len(), 1);
    }
}
