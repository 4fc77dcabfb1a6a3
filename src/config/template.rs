//! The file that `aria init` writes.

/// Every field with what it means, its unit and its default; those that are not comments are in force.
pub const TEMPLATE: &str = include_str!("template.toml");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, load};

    fn settings(text: String) -> crate::config::Settings {
        load(&Sources { text: Some(text), ..Sources::default() }).expect("a valid file")
    }

    #[test]
    fn it_is_valid_as_it_is_and_with_every_field_uncommented() {
        settings(TEMPLATE.to_owned());
        // A commented field is `# name = …` or a table `# [name]`; prose has another form.
        let field = |line: &str| {
            let rest = line.strip_prefix("# ")?;
            let name = rest.split_once(" = ").map(|(name, _)| name.trim_matches('"'));
            let plain = |c: char| c.is_ascii_alphanumeric() || "_+*#".contains(c);
            let is_field = name.is_some_and(|name| !name.is_empty() && name.chars().all(plain));
            (is_field || rest.starts_with('[')).then(|| rest.to_owned())
        };
        let mut seen = 0;
        let text: Vec<String> = TEMPLATE
            .lines()
            .map(|line| field(line).inspect(|_| seen += 1).unwrap_or_else(|| line.to_owned()))
            // These name files that are not here.
            .filter(|line| {
                !["greeting_audio", "greeting_text", "wait_audio", "secret_file", "certificate", "key", "url"]
                    .iter()
                    .any(|n| line.starts_with(n))
            })
            .collect();
        assert!(seen > 40, "{seen}");
        settings(text.join("\n"));
    }

    #[test]
    fn every_field_of_the_file_is_in_it() {
        let typed = include_str!("raw.rs");
        for line in typed.lines().filter_map(|line| line.trim().strip_prefix("pub ")) {
            let Some((name, _)) = line.split_once(": ") else { continue };
            let mentioned = TEMPLATE.contains(&format!("{name} ="))
                || TEMPLATE.contains(&format!("[{name}"))
                || TEMPLATE.contains(&format!(".{name}]"));
            assert!(mentioned, "{name} is missing");
        }
    }
}
