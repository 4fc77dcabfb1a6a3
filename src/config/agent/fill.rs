//! What an outbound call says about whom it calls: `{{name}}` in an agent's texts.

use std::collections::BTreeMap;

use super::Agent;

impl Agent {
    /// The agent for one call: each `{{name}}` in its instructions, greeting and voicemail is the variable of that name, or nothing if
    /// there is none. What a variable holds is not looked at again.
    pub fn filled(&self, variables: &BTreeMap<String, String>) -> Self {
        let fill = |text: &str| fill(text, variables);
        Self {
            instructions: fill(&self.instructions),
            greeting: self.greeting.as_deref().map(fill),
            voicemail: self.voicemail.as_deref().map(fill),
            ..self.clone()
        }
    }
}

fn fill(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((name, behind)) = after.split_once("}}") else { break };
        filled.push_str(before);
        filled.push_str(variables.get(name.trim()).map_or("", String::as_str));
        rest = behind;
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_replaced_once() {
        let variables = BTreeMap::from([
            ("who".to_owned(), "{{when}} Ms Lima".to_owned()),
            ("when".into(), "3 pm".into()),
        ]);
        for (text, filled) in [
            ("Call {{who}} at {{ when }}.", "Call {{when}} Ms Lima at 3 pm."),
            ("{{nobody}}!", "!"),
            ("{{who", "{{who"),
            ("{a} }} {", "{a} }} {"),
            ("", ""),
        ] {
            assert_eq!(fill(text, &variables), filled);
        }
    }
}
