//! The laws of every reader of foreign bytes, held against shaped inputs, seeds and finds.
//!
//! What libFuzzer finds by mutation, these reach by construction: bodies with the right keys and wrong values,
//! wrong keys, broken JSON, odd text. A find becomes a file in `tests/fuzz/finds`, and so a test.
//!
//! **Invariant:** each law of `tests/fuzz/laws` is driven here, and has a seed that its reader accepts.

use std::fs;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::string::string_regex;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value, json};

use crate::laws;

const KEYS: &[&str] = &[
    "clickId",
    "eventName",
    "customerExternalId",
    "externalId",
    "customerId",
    "customerName",
    "customerEmail",
    "customerAvatar",
    "mode",
    "eventQuantity",
    "metadata",
    "domain",
    "key",
    "url",
    "referrer",
    "keyLength",
    "prefix",
    "tenantId",
    "programId",
    "partnerId",
    "trackConversion",
    "archived",
    "expiresAt",
    "disabledAt",
    "title",
    "description",
    "comments",
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_term",
    "utm_content",
    "ref",
    "name",
    "slug",
    "allowedHostnames",
    "conversionEnabled",
    "email",
    "avatar",
    "country",
    "v",
    "id",
    "workspace_id",
    "accepted_at",
    "ending",
    "reason",
    "link_id",
    "customer",
    "event",
    "status",
    "at",
    "lead_id",
];

const WORDS: &[&str] = &[
    "",
    " ",
    "\u{0}",
    "\u{feff}x\u{85}",
    "async",
    "wait",
    "deferred",
    "a@b.co",
    "https://a.b/c?utm_term=t#x",
    "a.b",
    "x y",
    "2026-01-02",
    "2026-01-02T03:04:05+01:00",
    "ext_",
    "ext_7",
    "/k/",
    "_root",
    "Ünï/😀",
    "localhost",
    "*.b.co",
    "recorded",
    "lead_00000000000000000000000000",
    "0198b3e0-0000-7000-8000-000000000000",
    "mailto:a@b",
    "https://a.b/%FF?%00=%00",
];

const NAMES: &[&str] =
    &["page", "pageSize", "sortOrder", "sortBy", "startingAfter", "endingBefore", "search", "domain", "archived"];
const VALUES: &[&str] =
    &["1", "0", "-1", "1000", "9223372036854775807", "asc", "x", "%00", "%FF", "link_00000000000000000000000000"];

/// Enough to find what is wrong with a rule; the fuzzers run for hours.
fn runner() -> TestRunner {
    TestRunner::new(Config { cases: 400, failure_persistence: None, ..Config::default() })
}

fn value() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        4 => select(WORDS).prop_map(str::to_owned),
        2 => string_regex("[ -~\\PC]{0,300}").unwrap(),
        1 => any::<String>(),
    ];
    let leaf = prop_oneof![
        6 => word.prop_map(Value::from),
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => (0..200_i64).prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            vec((select(KEYS), inner), 0..6).prop_map(|pairs| object(&pairs)),
        ]
    })
}

fn object(pairs: &[(&str, Value)]) -> Value {
    Value::Object(pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect::<Map<_, _>>())
}

/// A body that the law's reader accepts, with some fields replaced and some bytes spoilt.
fn body(good: Value) -> impl Strategy<Value = Vec<u8>> {
    let spoilt = prop_oneof![
        8 => Just(None),
        1 => (any::<prop::sample::Index>(), any::<u8>()).prop_map(Some),
    ];
    (vec((select(KEYS), value()), 0..5), spoilt).prop_map(move |(fields, spoilt)| {
        let mut good = good.clone();
        if let (Value::Object(good), Value::Object(fields)) = (&mut good, object(&fields)) {
            good.extend(fields);
        }
        let mut bytes = good.to_string().into_bytes();
        if let Some((at, byte)) = spoilt {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    })
}

fn hold(law: &str, inputs: impl Strategy<Value = Vec<u8>>) {
    let law = laws::of(law);
    let outcome = runner().run(&inputs, |bytes| {
        law(&bytes);
        Ok(())
    });
    if let Err(broken) = outcome {
        panic!("{broken}");
    }
}

fn seed(law: &str, name: &str) -> Value {
    serde_json::from_slice(&fs::read(folder("seeds").join(law).join(name)).unwrap()).unwrap()
}

fn folder(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz").join(name)
}

#[test]
fn every_law_holds_for_every_seed_and_every_find() {
    let mut seen = 0;
    for (name, law) in laws::LAWS {
        let finds = fs::read_dir(folder("finds").join(name)).into_iter().flatten();
        for file in fs::read_dir(folder("seeds").join(name)).unwrap().chain(finds) {
            let path = file.unwrap().path();
            eprintln!("{}", path.display());
            law(&fs::read(path).unwrap());
            seen += 1;
        }
    }
    assert!(seen > laws::LAWS.len());
}

#[test]
fn bodies_of_leads_and_clicks() {
    hold("lead", body(seed("lead", "full")));
    hold("lead", body(json!({"clickId": "", "eventName": "e", "customerExternalId": "x"})));
    hold("click", body(seed("click", "full")));
    let leads = || vec(body(seed("lead", "full")), 0..4).prop_map(|leads| leads.join(&b", "[..]));
    hold("batch", leads().prop_map(|leads| [b"[", leads.as_slice(), b"]"].concat()));
    hold("batch", (leads(), any::<u8>()).prop_map(|(leads, end)| [b" [", leads.as_slice(), &[end]].concat()));
    hold("batch", body(json!({})));
}

#[test]
fn bodies_of_links_customers_and_workspaces() {
    hold("link", body(seed("link", "full")));
    hold("link", body(json!({"url": "https://a.b"})));
    hold("admin", body(seed("admin", "full")));
    hold("admin", body(json!({})));
}

#[test]
fn messages_replies_and_diary_lines() {
    hold("message", body(seed("message", "full")));
    hold("reply", body(seed("reply", "full")));
    hold("words", body(seed("words", "diary")));
}

#[test]
fn words_targets_headers_and_settings() {
    let text = || {
        let odd = prop_oneof![select(WORDS).prop_map(str::to_owned), any::<String>()];
        vec(odd, 0..4).prop_map(|words| words.concat().into_bytes())
    };
    hold("words", text());
    hold("target", text());
    let pair = (select(NAMES), select(VALUES)).prop_map(|(name, value)| format!("{name}={value}"));
    hold("target", vec(pair, 0..5).prop_map(|pairs| pairs.join("&").into_bytes()));
    let entry =
        select(&["1.2.3.4", "10.0.0.1", "[::1]:9", "::ffff:10.0.0.1", "x", "", "1.2.3.4:99", "https://a.dub.sh/"][..]);
    hold(
        "visitor",
        vec(entry, 0..5).prop_map(|list| format!("{}\nDE\nx\n{}", list.join(","), list.join("")).into_bytes()),
    );
    hold("visitor", vec(any::<u8>(), 0..80));
    let settings = "(\\[(http|worker|store|broker|intake)\\]\n)?([a-z_]{1,20} = (-?[0-9]{1,21}|\"[0-9a-z ]{0,9}\"|\\[\\]|true)\n){0,3}";
    hold("settings", string_regex(settings).unwrap().prop_map(String::into_bytes));
}
