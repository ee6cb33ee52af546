//! Completions and the manual page, held against the shells and formatters that are there.
//!
//! **Invariant:** a tool that is missing leaves what it would have read to be looked at as text; the test is never skipped.

use std::io::Write;
use std::process::{Command, Stdio};

use super::import::ran;
use super::typed::command;

/// What a tool says of a text, if there is such a tool: whether it is content, and what it complains of.
fn said(tool: &[&str], text: &str) -> Option<(bool, String)> {
    let (name, arguments) = tool.split_first().unwrap();
    let piped = || (Stdio::piped(), Stdio::null(), Stdio::piped());
    let (input, output, errors) = piped();
    let mut child = Command::new(name).args(arguments).stdin(input).stdout(output).stderr(errors).spawn().ok()?;
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let ended = child.wait_with_output().unwrap();
    Some((ended.status.success(), String::from_utf8_lossy(&ended.stderr).into_owned()))
}

#[tokio::test]
async fn completions_are_scripts_of_their_shell() {
    for (shell, tool, marks) in [
        ("bash", ["bash", "-n"], ["complete -F _leadline", "--older-than"]),
        ("zsh", ["zsh", "-n"], ["#compdef leadline", "--older-than"]),
        ("fish", ["fish", "--no-execute"], ["complete -c leadline", "older-than"]),
    ] {
        let script = ran(command(&["completions", shell])).await;
        assert_eq!((script.code, script.err.as_str()), (Some(0), ""), "{shell}");
        for mark in marks.into_iter().chain(["doctor", "buried", "queues"]) {
            assert!(script.out.contains(mark), "{shell}: no {mark}");
        }
        if let Some(said) = said(&tool, &script.out) {
            assert_eq!(said, (true, String::new()), "{shell}");
        }
    }
    assert_eq!(ran(command(&["completions", "tcsh"])).await.code, Some(2));
}

#[tokio::test]
async fn the_manual_page_is_one_that_formatters_take() {
    let page = ran(command(&["man"])).await;
    assert_eq!(page.code, Some(0), "{}", page.err);
    for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "COMMANDS", "EXAMPLES", "VERSION"] {
        assert_eq!(page.out.lines().filter(|line| *line == format!(".SH {section}")).count(), 1, "{section}");
    }
    for tool in [["groff", "-man", "-ww", "-z", "-Tutf8"].as_slice(), &["mandoc", "-T", "lint", "-W", "error"]] {
        if let Some(said) = said(tool, &page.out) {
            assert_eq!(said, (true, String::new()), "{tool:?}");
        }
    }
}
