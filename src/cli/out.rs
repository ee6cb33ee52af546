//! What a command says: tables and lines for people, one JSON document for machines.
//!
//! **Invariant:** standard output is written here and nowhere else, and carries results only.

use std::io::{self, Write};

use serde_json::Value;

/// Where a command's result goes, and in which of the two forms.
#[derive(Debug, Clone, Copy)]
pub struct Out {
    /// One JSON document instead of text.
    pub json: bool,
}

impl Out {
    /// A line for people; nothing under `--json`.
    ///
    /// # Errors
    /// When standard output is gone.
    pub fn line(self, text: &str) -> io::Result<()> {
        if self.json {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        writeln!(out, "{text}")?;
        out.flush()
    }

    /// The result for machines; nothing without `--json`.
    ///
    /// # Errors
    /// When standard output is gone.
    pub fn value(self, value: &Value) -> io::Result<()> {
        if !self.json {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        writeln!(out, "{value:#}")?;
        out.flush()
    }

    /// A document that is the same under `--json`: a script, a manual page.
    ///
    /// # Errors
    /// When standard output is gone.
    pub fn document(self, bytes: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()
    }

    /// A table for people: columns as wide as their widest cell, numbers to the right.
    ///
    /// # Errors
    /// When standard output is gone.
    pub fn table(self, head: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
        self.line(table(head, rows).trim_end())
    }

    /// Name and value, one pair per line, names of equal width.
    ///
    /// # Errors
    /// When standard output is gone.
    pub fn pairs(self, pairs: &[(&str, String)]) -> io::Result<()> {
        let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in pairs {
            self.line(&format!("{name:width$}  {value}"))?;
        }
        Ok(())
    }
}

/// Says on standard error why a command failed.
pub fn complain(text: &str) {
    // Nobody is left to tell when standard error itself is gone.
    drop(writeln!(io::stderr().lock(), "leadline: {text}"));
}

/// Says on standard error how a long command gets on.
pub fn note(text: &str) {
    // As above.
    drop(writeln!(io::stderr().lock(), "{text}"));
}

fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize, name: &str| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).fold(name.len(), usize::max)
    };
    let widths: Vec<usize> = head.iter().enumerate().map(|(n, h)| width(n, h)).collect();
    let numeric: Vec<bool> = (0..head.len())
        .map(|column| {
            let mut cells = rows.iter().filter_map(|row| row.get(column)).peekable();
            cells.peek().is_some() && cells.all(|cell| cell.parse::<i64>().is_ok())
        })
        .collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let cells = cells.zip(widths.iter().zip(&numeric));
        let padded = cells.map(|(cell, (width, right))| match right {
            true => format!("{cell:>width$}"),
            false => format!("{cell:width$}"),
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let mut text = line(&mut head.iter().copied());
    for row in rows {
        text.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_align_words_left_and_numbers_right() {
        let rows = [vec!["async".to_owned(), "7".to_owned()], vec!["é".to_owned(), "12".to_owned()]];
        assert_eq!(table(&["mode", "n"], &rows), "mode    n\nasync   7\né      12\n");
    }
}
