//! The README's three questions to a running service, asked as they are printed, answered as it says.
//!
//! Enters: the blocks of the section "Look after it": commands, then what they say of a service whose worker has stopped. An
//! `…` in a line of the README stands for whatever differs.
//!
//! **Invariant:** not a word of the commands is changed; they are run by a shell that finds the binary.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use super::import::ran;
use super::typed::at_house;
use crate::harness::Harness;
use crate::harness::track::lead;

/// The blocks of a kind in the section, in their order.
fn blocks(kind: &str) -> Vec<String> {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let section = readme.split("\n## Look after it\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let fence = format!("```{kind}\n");
    section.split(fence.as_str()).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// The command of a line, and the question behind it.
fn commands() -> Vec<(String, String)> {
    let block = blocks("sh").remove(0);
    let line =
        |line: &str| line.split_once("# ").map(|(command, asked)| (command.trim().to_owned(), asked.trim().to_owned()));
    block.lines().map(|text| line(text).unwrap_or_else(|| panic!("no question: {text}"))).collect()
}

/// Whether a line says what the README says that it says.
fn says(line: &str, printed: &str) -> bool {
    let (mut rest, mut first) = (line, true);
    for part in printed.split('…') {
        let Some(at) = rest.find(part) else { return false };
        if first && at > 0 {
            return false;
        }
        (rest, first) = (&rest[at + part.len()..], false);
    }
    printed.ends_with('…') || rest.is_empty()
}

/// Holds what a command said against the README, line by line.
#[track_caller]
fn compare(command: &str, said: &str, printed: &str) {
    let mut lines = said.lines();
    for wanted in printed.lines().filter(|line| !line.is_empty() && *line != "…") {
        assert!(lines.any(|line| says(line, wanted)), "{command}: nothing like {wanted:?} in\n{said}");
    }
}

/// Runs a command as it is printed.
async fn typed(house: &Harness, line: &str) -> (Option<i32>, String) {
    let told = at_house(house, &[]);
    let folder = Path::new(env!("CARGO_BIN_EXE_leadline")).parent().unwrap();
    let path = format!("{}:/usr/bin:/bin", folder.display());
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", line]).env("PATH", path).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    shell.envs(told.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.env("LEADLINE__BROKER__QUEUE_MAX_LENGTH", house.config.broker.queue_max_length.to_string());
    let ended = ran(shell).await;
    (ended.code, ended.out + &ended.err)
}

#[tokio::test]
async fn the_readmes_questions_are_answered_as_it_says() {
    let mut house = Harness::start().await;
    let rename = sqlx::query("UPDATE workspaces SET slug = 'acme' WHERE id = $1").bind(house.workspace.id);
    rename.execute(&house.pool).await.unwrap();
    let (commands, printed) = (commands(), blocks("text"));
    let questions: Vec<&str> = commands.iter().map(|(_, asked)| asked.as_str()).collect();
    assert_eq!(questions, ["is it healthy?", "how far behind is it?", "why did this lead not appear?"]);
    let [healthy, behind, why] = [0, 1, 2].map(|n| commands[n].0.as_str());
    let (code, said) = typed(&house, healthy).await;
    assert!(code == Some(0) && said.contains("nothing is wrong"), "{said}");

    house.stop_worker().await;
    let click = house.click().await;
    for customer in ["user-1", "user-2", "user-3"] {
        house.track(&lead(&click, "Sign Up", customer)).await.ok();
    }
    for (line, printed, expected) in [(healthy, &printed[0], 1), (behind, &printed[1], 0), (why, &printed[2], 1)] {
        let (code, said) = typed(&house, line).await;
        assert_eq!(code, Some(expected), "{line}: {said}");
        compare(line, &said, printed);
    }

    house.add_worker().await;
    house.track(&lead(&click, "Sign Up", "user-1")).await.ok();
    for customer in ["user-1", "user-2", "user-3"] {
        crate::harness::eventually::eventually("a recorded lead", || async {
            let recorded = house.rows(customer).await.iter().any(|row| row.ending == "recorded");
            crate::harness::eventually::holds(recorded, customer)
        })
        .await;
    }
    let (code, said) = typed(&house, why).await;
    assert_eq!(code, Some(0), "{said}");
    compare(why, &said, &printed[3]);
    house.finish().await;
}

#[test]
fn what_differs_is_left_open_and_nothing_else() {
    assert!(says("all   3  -", "all   3  -") && says("all   3", "all…3") && says("took 12 ms", "took …"));
    assert!(!says("all   4", "all…3") && !says("x all 3", "all…3") && !says("all 3 more", "all…3"));
}
