//! Rust source, as far as the rules need it: what is code, and which paths it names.

/// A path as the code names it: `use` trees are expanded to their leaves.
#[derive(Debug, PartialEq, Eq)]
pub struct Named {
    pub segments: Vec<String>,
    pub line: usize,
    pub imported: bool,
}

impl Named {
    /// Whether the path starts in the crate or module `name`. A lone word is a variable, not a crate.
    pub fn starts_in(&self, name: &str) -> bool {
        self.segments[0] == name && (self.imported || self.segments.len() > 1)
    }

    /// Whether `parts` follow each other anywhere in the path.
    pub fn has(&self, parts: &[&str]) -> bool {
        self.segments.windows(parts.len()).any(|w| w.iter().zip(parts).all(|(a, b)| a == b))
    }
}

/// The source with comments and literals blanked out, line breaks kept.
pub fn code(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let before = out.chars().next_back().unwrap_or(' ');
        let skipped = match c {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment(rest),
            '"' => string(rest),
            'r' if !is_word(before) && raw_string(rest) > 0 => raw_string(rest),
            '\'' => character(rest),
            _ => 0,
        };
        let (blank, tail) = rest.split_at(skipped);
        out.extend(blank.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = tail;
        if skipped == 0 {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    for (i, _) in text.match_indices(['/', '*']) {
        match text.get(i..i + 2) {
            Some("/*") => depth += 1,
            Some("*/") if depth > 1 => depth -= 1,
            Some("*/") => return i + 2,
            _ => {}
        }
    }
    text.len()
}

fn string(text: &str) -> usize {
    let mut escaped = false;
    for (i, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return i + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of a raw string at the start of `text`, 0 if there is none.
fn raw_string(text: &str) -> usize {
    let hashes = text[1..].chars().take_while(|c| *c == '#').count();
    if !text[1 + hashes..].starts_with('"') {
        return 0;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let start = 2 + hashes;
    text[start..].find(&end).map_or(text.len(), |i| start + i + end.len())
}

/// The length of a character literal at the start of `text`, 0 if it is a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some(_)) => text[3..].find('\'').map_or(0, |i| i + 4),
        (Some(_), Some((i, '\''))) => i + 1,
        _ => 0,
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Every path that `text` names.
pub fn paths(text: &str) -> Vec<Named> {
    let code = code(text);
    let tokens = tokens(&code);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let (word, line) = tokens[at];
        let after_dot = at > 0 && tokens[at - 1].0 == ".";
        if word == "use" {
            at = tree(&tokens, at + 1, &mut Vec::new(), line, &mut found);
        } else if word.starts_with(is_word) && !after_dot {
            let mut segments = vec![word.to_owned()];
            while tokens.get(at + 1).is_some_and(|t| t.0 == "::")
                && tokens.get(at + 2).is_some_and(|t| t.0.starts_with(is_word))
            {
                segments.push(tokens[at + 2].0.to_owned());
                at += 2;
            }
            found.push(Named { segments, line, imported: false });
        }
        at += 1;
    }
    found
}

/// Expands one `use` tree; gives the index of the token that ended it.
fn tree(
    tokens: &[(&str, usize)],
    mut at: usize,
    prefix: &mut Vec<String>,
    line: usize,
    found: &mut Vec<Named>,
) -> usize {
    let depth = prefix.len();
    while let Some((word, _)) = tokens.get(at) {
        match *word {
            "::" => {}
            "{" => {
                loop {
                    at = tree(tokens, at + 1, prefix, line, found);
                    if tokens.get(at).is_none_or(|t| t.0 != ",") {
                        break;
                    }
                }
                prefix.truncate(depth);
                return at + 1;
            }
            // An alias names nothing new, and `self` names what stands before it.
            "as" => at += 1,
            "self" if depth > 0 => {}
            word if word.starts_with(is_word) || word == "*" => prefix.push(word.to_owned()),
            _ => break,
        }
        at += 1;
    }
    if !prefix.is_empty() {
        found.push(Named { segments: prefix.clone(), line, imported: true });
    }
    prefix.truncate(depth);
    at
}

/// Words, `::` and single signs, each with its line.
fn tokens(code: &str) -> Vec<(&str, usize)> {
    let mut tokens = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(c) = rest.chars().next() {
            let length = match c {
                _ if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
                ':' if rest.starts_with("::") => 2,
                _ => c.len_utf8(),
            };
            tokens.push((&rest[..length], number + 1));
            rest = rest[length..].trim_start();
        }
    }
    tokens
}

#[test]
fn comments_and_literals_are_no_code() {
    let text = "a /* b /* c */ d */ e // f\n\"g \\\" h\" r#\"i \" j\"# 'k' '\\n' &'l m";
    assert_eq!(code(text).split_whitespace().collect::<Vec<_>>(), ["a", "e", "&'l", "m"]);
    assert_eq!(code(text).lines().count(), 2);
}

#[test]
fn paths_are_found_wherever_they_are_named() {
    let named: Vec<String> = paths(
        "use std::{net::{self, UdpSocket}, sync::Mutex as M};\n#[tokio::test]\nfn f(x: &a::B) { y.z::<Q>(); c::d!() }",
    )
    .iter()
    .filter(|n| n.imported || n.segments.len() > 1)
    .map(|n| format!("{}:{}", n.line, n.segments.join("::")))
    .collect();
    assert_eq!(
        named,
        ["1:std::net", "1:std::net::UdpSocket", "1:std::sync::Mutex", "2:tokio::test", "3:a::B", "3:c::d"]
    );
}
