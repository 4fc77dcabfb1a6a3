//! How files are cut and named.

use super::assert_none;
use super::source::code;
use super::tree::{File, files};

/// Longer files are more than one noun.
const MAX_LINES: usize = 500;
/// What is ours to cut: the rest is data, manifests and prose.
const PROGRAMS: [&str; 5] = [".rs", ".py", ".mjs", ".ts", ".sh"];
/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 10] =
    ["util", "utils", "common", "helper", "helpers", "types", "manager", "managers", "misc", "shared"];

fn too_long(file: &File) -> Option<String> {
    let lines = file.text.lines().count();
    let program = PROGRAMS.iter().any(|p| file.path.ends_with(p)) || file.path == ".ci/run";
    (program && lines > MAX_LINES).then(|| format!("{}: {lines} lines, at most {MAX_LINES}", file.path))
}

/// Files, folders and inline modules alike.
fn empty_names(file: &File) -> Vec<String> {
    if !file.path.ends_with(".rs") {
        return Vec::new();
    }
    let stem = file.path.trim_end_matches(".rs");
    let mut modules: Vec<String> = stem.split('/').map(str::to_owned).collect();
    let code = code(&file.text);
    let mut words = code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty());
    while let Some(word) = words.next() {
        if word == "mod" {
            modules.extend(words.next().map(str::to_owned));
        }
    }
    modules.retain(|m| EMPTY_NAMES.contains(&m.as_str()));
    modules.iter().map(|m| format!("{}: a module named {m}", file.path)).collect()
}

/// Test data that no program names.
fn unused_data(files: &[File]) -> Vec<String> {
    let programs: Vec<&File> =
        files.iter().filter(|f| PROGRAMS.iter().any(|p| f.path.ends_with(p))).collect();
    files
        .iter()
        .filter(|f| f.path.starts_with("tests/data/") || f.path.contains("/tests/data/"))
        .filter(|f| {
            let name = f.path.rsplit('/').next().unwrap_or_default();
            !programs.iter().any(|p| p.text.contains(name))
        })
        .map(|f| format!("{}: no test reads it", f.path))
        .collect()
}

#[test]
fn no_file_is_too_long() {
    assert_none(files().iter().filter_map(too_long).collect());
}

#[test]
fn names_say_what_is_inside() {
    assert_none(files().iter().flat_map(empty_names).collect());
}

#[test]
fn every_test_data_file_is_read_by_a_test() {
    assert_none(unused_data(&files()));
}

#[test]
fn each_rule_can_be_broken() {
    let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
    assert!(too_long(&file("src/a.rs", &"x\n".repeat(501))).is_some());
    assert!(too_long(&file("src/a.rs", &"x\n".repeat(500))).is_none());
    assert!(too_long(&file("Cargo.lock", &"x\n".repeat(501))).is_none());

    assert_eq!(empty_names(&file("src/utils.rs", "")).len(), 1);
    assert_eq!(empty_names(&file("src/helpers/mod.rs", "pub mod types; // mod common")).len(), 2);
    assert_eq!(empty_names(&file("src/common_name.rs", "mod utilities { }")).len(), 0);

    let data = || file("tests/data/a.json", "{}");
    assert_eq!(unused_data(&[data(), file("src/a.rs", "include_str!(\"b.json\")")]).len(), 1);
    assert_eq!(unused_data(&[data(), file("src/a.rs", "include_str!(\"../tests/data/a.json\")")]).len(), 0);
}
