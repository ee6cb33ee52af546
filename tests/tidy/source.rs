//! The files of this repository as texts, and what of a text is code.
//!
//! **Invariant:** folders that tools fill (caches, packages, build output) are never looked into.

use std::fs;
use std::path::{Path, PathBuf};

/// One file: its path from the repository's root, and its text.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// Module path below `src`: `src/store/pool.rs` is `[store, pool]`, `src/store/mod.rs` is `[store]`.
    pub(crate) fn module(&self) -> Vec<&str> {
        let inner = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        let mut parts: Vec<&str> = inner.split('/').collect();
        if parts.last() == Some(&"mod") {
            parts.pop();
        }
        parts
    }

    pub(crate) fn room(&self) -> &str {
        self.module().first().copied().unwrap_or_default()
    }

    /// Without comments; without test modules as well, unless wished for.
    pub(crate) fn code(&self, with_tests: bool) -> String {
        let mut code = String::new();
        let mut skipped: Option<usize> = None;
        for line in self.text.lines() {
            let trimmed = line.trim_start();
            let indent = line.len() - trimmed.len();
            if let Some(level) = skipped {
                if indent == level && (trimmed == "}" || trimmed.ends_with(';')) {
                    skipped = None;
                }
            } else if trimmed == "#[cfg(test)]" && !with_tests {
                skipped = Some(indent);
            } else if !trimmed.starts_with("//") {
                code.push_str(line);
                code.push('\n');
            }
        }
        code
    }
}

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn files(below: &str, ending: &str) -> Vec<Source> {
    fn walk(folder: &Path, ending: &str, found: &mut Vec<Source>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            if path.is_dir() && !["node_modules", ".cache", "__pycache__", ".venv", "target"].contains(&name.as_str()) {
                walk(&path, ending, found);
            } else if name.ends_with(ending) && path.is_file() {
                let relative =
                    path.strip_prefix(root()).map_or_else(|_| name.clone(), |p| p.to_string_lossy().into_owned());
                found.push(Source { path: relative, text: fs::read_to_string(&path).unwrap_or_default() });
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(below), ending, &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}
