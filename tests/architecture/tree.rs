//! The files of the repository.

use std::fs;
use std::path::Path;

/// A text file and where it is, `/` between folders.
pub struct File {
    pub path: String,
    pub text: String,
}

/// Folders that hold what others wrote or what is made here.
const NOT_OURS: [&str; 3] = ["target", "node_modules", ".git"];

/// Every UTF-8 file below the repository's root.
pub fn files() -> Vec<File> {
    let mut files = Vec::new();
    walk(Path::new(env!("CARGO_MANIFEST_DIR")), "", &mut files);
    files.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(files.len() > 50, "only {} files found: the tree was not read", files.len());
    files
}

/// The Rust files whose path starts with one of `folders`.
pub fn rust(folders: &[&str]) -> Vec<File> {
    let mut files = files();
    files.retain(|f| f.path.ends_with(".rs") && folders.iter().any(|d| f.path.starts_with(d)));
    files
}

fn walk(folder: &Path, prefix: &str, files: &mut Vec<File>) {
    for entry in fs::read_dir(folder).expect("a folder of the repository can be listed") {
        let entry = entry.expect("an entry of the repository can be read");
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        if entry.path().is_dir() {
            if !NOT_OURS.contains(&name.as_str()) {
                walk(&entry.path(), &format!("{path}/"), files);
            }
        } else if let Ok(text) = fs::read_to_string(entry.path()) {
            files.push(File { path, text });
        }
    }
}
