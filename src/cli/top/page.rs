//! A metrics page: the Prometheus text format, as much of it as a reader needs.
//!
//! Enters: text. Leaves: series with labels and values. Comments, time stamps and exemplars are passed over, and so is a line
//! that is none. (The parsers to be had are not kept any more, and bring regular expressions.)
//!
//! **Invariant:** no text, however broken, is an error here; a page without series is an empty page.

/// One line of a page.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Series {
    name: String,
    labels: Vec<(String, String)>,
    pub(super) value: f64,
}

/// All series of one page.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Page(Vec<Series>);

impl Series {
    /// The value of a label; empty if it has none.
    pub(super) fn label(&self, name: &str) -> &str {
        self.labels.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    fn has(&self, labels: &[(&str, &str)]) -> bool {
        labels.iter().all(|(name, value)| self.label(name) == *value)
    }
}

impl Page {
    pub(super) fn read(text: &str) -> Self {
        Self(text.lines().filter_map(series).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The series of a name.
    pub(super) fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Series> {
        self.0.iter().filter(move |series| series.name == name)
    }

    /// The sum over the series that have these labels; `None` if there are none.
    pub(super) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut found = self.of(name).filter(|series| series.has(labels)).peekable();
        found.peek()?;
        Some(found.map(|series| series.value).sum())
    }
}

fn series(line: &str) -> Option<Series> {
    let line = line.trim_start();
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))?;
    let (name, rest) = line.split_at_checked(end).filter(|(name, _)| !name.is_empty())?;
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    let value = rest.split_ascii_whitespace().next()?.parse().ok()?;
    Some(Series { name: name.to_owned(), labels, value })
}

/// What stands between the braces, and what follows them.
fn labels(mut rest: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (name, value) = rest.split_once("=\"")?;
        let (text, after) = quoted(value)?;
        labels.push((name.trim().to_owned(), text));
        rest = after;
    }
}

/// A value up to its closing quote, and what follows that.
fn quoted(text: &str) -> Option<(String, &str)> {
    let (mut value, mut escaped) = (String::new(), false);
    for (at, c) in text.char_indices() {
        match (escaped, c) {
            (true, 'n') => value.push('\n'),
            (true, other) => value.push(other),
            (false, '\\') => {}
            (false, '"') => return Some((value, text.get(at + 1..)?)),
            (false, other) => value.push(other),
        }
        escaped = !escaped && c == '\\';
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_read_with_labels_and_without() {
        let text = "# HELP a b\n# TYPE a counter\na_total{x=\"1\",why=\"a \\\"b\\\" \\\\ \\n{},\"} 4 1700000000000\n\
                    a_total{x=\"2\"} 1.5e2 # {trace_id=\"x\"} 1 2\nb 7\nb_bucket{le=\"+Inf\"} +Inf\n\n# EOF\n";
        let page = Page::read(text);
        assert_eq!(page.sum("a_total", &[]), Some(154.0));
        assert_eq!(page.sum("a_total", &[("x", "2")]), Some(150.0));
        assert_eq!(page.of("a_total").next().unwrap().label("why"), "a \"b\" \\ \n{},");
        assert_eq!((page.sum("b", &[]), page.sum("b", &[("x", "1")]), page.sum("c", &[])), (Some(7.0), None, None));
        assert_eq!(page.sum("b_bucket", &[("le", "+Inf")]), Some(f64::INFINITY));
    }

    #[test]
    fn what_is_no_page_is_an_empty_one() {
        for text in ["", "<html></html>", "{\"a\": 1}", "a{", "a{x=\"", "a{x=1} 2", "a", "a x", "{} 1", "é 1"] {
            assert!(Page::read(text).is_empty(), "{text}");
        }
    }
}
