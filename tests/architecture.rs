//! The shape of the repository, read from its files: imports point down, borders hold, files stay small.
//!
//! Every rule is a function over text, and proves beside itself that it can fail.

#[path = "architecture/borders.rs"]
mod borders;
#[path = "architecture/layout.rs"]
mod layout;
#[path = "architecture/source.rs"]
mod source;
#[path = "architecture/tree.rs"]
mod tree;

/// Fails with every breach at once: one run shows all the work.
fn assert_none(breaches: Vec<String>) {
    assert!(breaches.is_empty(), "\n{}\n", breaches.join("\n"));
}
