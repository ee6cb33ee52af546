//! `leadline import` against a running service: what is sent, what is refused, what is said.
//!
//! **Invariant:** every customer of an imported file is a stranger to the diary; his rows are counted here.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use leadline::lead::id;
use serde_json::{Value, json};

use crate::harness::Harness;
use crate::harness::eventually::{eventually, holds};
use crate::harness::track::{lead, with};

/// A folder of one test, gone when dropped.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("leadline-import-{}", id::alphanumerics(12)));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// A file with these lines.
    pub(super) fn file(&self, name: &str, lines: &[String]) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, lines.join("\n")).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// What a command ended with.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) code: Option<i32>,
    pub(super) out: String,
    pub(super) err: String,
}

impl Ended {
    /// Its result, if it ended so.
    #[track_caller]
    pub(super) fn with(&self, code: i32) -> Value {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        serde_json::from_str(&self.out).unwrap()
    }
}

/// `leadline import` of a file, to an address.
pub(super) fn import(house: &Harness, to: &str, file: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leadline"));
    command.args(["import", "--json"]).arg(file).args(more).current_dir(std::env::temp_dir());
    command.env("LEADLINE_URL", to).env("LEADLINE_API_KEY", &house.workspace.secret);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it to its end while the service works on the test's own thread.
pub(super) async fn ran(mut command: Command) -> Ended {
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// The first API's address.
pub(super) fn address(house: &Harness) -> String {
    format!("http://{}", house.apis[0].address)
}

/// `FILE.ending`.
pub(super) fn beside(file: &Path, ending: &str) -> PathBuf {
    PathBuf::from(format!("{}.{ending}", file.display()))
}

fn refused(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(beside(file, "refused.ndjson")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Waits until each customer has so many recorded leads.
async fn recorded(house: &Harness, expected: &[(&str, usize)]) {
    for (customer, count) in expected {
        house.diary.note_stranger(customer);
        eventually("recorded leads", || async {
            let found = house.rows(customer).await.iter().filter(|row| row.ending == "recorded").count();
            holds(found == *count, (customer, found))
        })
        .await;
    }
}

#[tokio::test]
async fn ndjson_is_imported_and_refused_lines_are_named() {
    let house = Harness::start().await;
    let (folder, click) = (Folder::new(), house.click().await);
    let lines = [
        lead(&click, "Sign Up", "ann").to_string(),
        String::new(),
        "{\"eventName\"".to_owned(),
        with(lead(&click, "Sign Up", "bob"), json!({"mode": "deferred"})).to_string(),
        lead("0123456789abcdef", "Sign Up", "cyd").to_string(),
        "{\"eventName\":\"e\",\"customerExternalId\":\"x\"},{\"eventName\":\"e\",\"customerExternalId\":\"y\"}"
            .to_owned(),
        lead("", "Sign Up", "bob").to_string(),
        lead("", "Sign Up", "nobody").to_string(),
        "[]".to_owned(),
        lead(&click, "sign-up", "ann").to_string(),
    ];
    let file = folder.file("leads.ndjson", &lines);
    let ended = ran(import(&house, &address(&house), &file, &["--batch", "3", "--connections", "3"])).await;
    let result = ended.with(3);
    assert_eq!((&result["accepted"], &result["refused"], &result["complete"]), (&json!(4), &json!(5), &json!(true)));
    let refused = refused(&file);
    let told: Vec<_> =
        refused.iter().map(|line| (line["line"].as_u64().unwrap(), line["status"].as_u64().unwrap())).collect();
    assert_eq!(told, [(3, 400), (5, 404), (6, 400), (8, 400), (9, 422)]);
    assert_eq!(refused[1]["error"]["message"], "Click event not found for clickId: 0123456789abcdef");
    assert_eq!((&refused[1]["lead"], &refused[0]["lead"]), (&lead("0123456789abcdef", "Sign Up", "cyd"), &json!(null)));
    assert!(!beside(&file, "import-state").exists());
    recorded(&house, &[("ann", 1), ("bob", 1), ("cyd", 0), ("x", 0), ("y", 0), ("nobody", 0)]).await;
    let again = ran(import(&house, &address(&house), &file, &[])).await.with(3);
    assert_eq!((&again["accepted"], &again["refused"]), (&json!(4), &json!(5)), "{again}");
    recorded(&house, &[("ann", 1), ("bob", 1)]).await;
    house.finish().await;
}

#[tokio::test]
async fn csv_is_imported() {
    let house = Harness::start().await;
    let (folder, click) = (Folder::new(), house.click().await);
    let lines = [
        "clickId,eventName,customerExternalId,mode,eventQuantity,customerName,customerEmail,customerAvatar,metadata"
            .to_owned(),
        format!("{click},Sign Up,ann,wait,3,\"Ann, the\nfirst\",ann@example.com,,\"{{\"\"a\"\": [1,\n2]}}\""),
        format!("{click},Sign Up,bob,deferred,,,,,"),
        ",Sign Up,bob,,,,,,".to_owned(),
        format!("{click},Sign Up,cyd,,many,,,,"),
        format!("{click},Sign Up,dan,,,,,,nonsense"),
        "too,few".to_owned(),
        String::new(),
    ];
    let file = folder.file("leads.csv", &lines);
    let ended = ran(import(&house, &address(&house), &file, &[])).await;
    assert_eq!(ended.with(3)["accepted"], 3, "{}", ended.err);
    let told: Vec<_> =
        refused(&file).into_iter().map(|mut line| (line["line"].take(), line["error"]["message"].take())).collect();
    let expected = [
        (7, "invalid_type: eventQuantity: Invalid input: expected number, received string"),
        (8, "invalid_type: metadata: Invalid input: expected record, received string"),
        (9, "The record has 2 cells, the header has 9."),
    ];
    assert_eq!(told, expected.map(|(line, message)| (json!(line), json!(message))));
    recorded(&house, &[("ann", 1), ("bob", 1), ("cyd", 0), ("dan", 0)]).await;
    let ann = &house.rows("ann").await[0];
    assert_eq!((ann.quantity, ann.mode.as_str(), ann.metadata.as_deref()), (3, "wait", Some(r#"{"a":[1,2]}"#)));
    house.finish().await;
}

#[tokio::test]
async fn what_cannot_be_imported_is_said_in_one_line() {
    let house = Harness::without_worker().await;
    let folder = Folder::new();
    let good = folder.file("leads.ndjson", &[lead("", "e", "x").to_string()]);
    let said = async |command: Command| {
        let ended = ran(command).await;
        assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""), "{}", ended.err);
        assert_eq!(ended.err.trim().lines().count(), 1, "{}", ended.err);
        ended.err.trim().strip_prefix("leadline: ").unwrap().to_owned()
    };
    let at = address(&house);
    let mut keyless = import(&house, &at, &good, &[]);
    keyless.env_remove("LEADLINE_API_KEY");
    assert!(said(keyless).await.starts_with("LEADLINE_API_KEY is not set"));
    let mut stranger = import(&house, &at, &good, &[]);
    stranger.env("LEADLINE_API_KEY", "ll_000000000000000000000000");
    let refused = said(stranger).await;
    assert!(refused.starts_with("lines 1 to 1: ") && refused.ends_with("answered 401: Unauthorized: Invalid API key."));
    assert!(!refused.contains("ll_"));
    for (name, lines, why) in [
        ("leads.txt", "{}", "the name of the file must end in .ndjson or .csv"),
        ("leads.csv", "eventName,customerExternalId,plan", "line 1: the column plan is none of clickId"),
    ] {
        let file = folder.file(name, &[lines.to_owned()]);
        assert!(said(import(&house, &at, &file, &[])).await.contains(why));
    }
    let missing = said(import(&house, &at, &folder.0.join("none.csv"), &[])).await;
    assert!(missing.contains("none.csv: No such file"), "{missing}");
    let nobody = said(import(&house, "http://127.0.0.1:1", &good, &["--patience", "0"])).await;
    assert!(nobody.contains("given up after 0ns: no answer: "), "{nobody}");
    house.finish().await;
}

#[tokio::test]
async fn standard_input_is_imported() {
    let house = Harness::start().await;
    let (folder, click) = (Folder::new(), house.click().await);
    let lines: Vec<String> = (0..50).map(|n| lead(&click, "Sign Up", &format!("c{n}")).to_string()).collect();
    let file = folder.file("input", &lines);
    let mut command = import(&house, &format!("{}/api/", address(&house)), Path::new("-"), &[]);
    command.stdin(File::open(&file).unwrap()).current_dir(&folder.0);
    assert_eq!(ran(command).await.with(0)["accepted"], 50);
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1, "no state and no refused lines");
    for n in 0..50 {
        recorded(&house, &[(&format!("c{n}"), 1)]).await;
    }
    house.finish().await;
}
