//! Laws of the small readers: text rules, ids, diary lines, the configuration.
//!
//! **Invariant:** what one function prints the other reads, and cleaning what is clean changes nothing.

use leadline::config;
use leadline::lead::click::hostname;
use leadline::lead::text::{has_nul, is_email, js_trim, utf16_len};
use leadline::lead::{DiaryLine, event_key, id, shard};
use leadline::store::KeyKind;
use uuid::Uuid;

/// Text rules, ids, keys and diary lines.
pub(super) fn words(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    assert_eq!(utf16_len(&text), text.encode_utf16().count());
    let trimmed = js_trim(&text);
    assert_eq!(js_trim(trimmed), trimmed);
    assert_eq!(has_nul(&text), text.contains('\0'));
    if is_email(&text) {
        assert!(text.is_ascii() && text.matches('@').count() == 1 && !text.contains(char::is_whitespace), "{text:?}");
    }
    if let Some(host) = hostname(&text) {
        assert!(host == host.to_lowercase() && !has_nul(&host), "{host:?}");
    }
    assert!(!event_key(&text).contains(' '));
    assert!(shard(Uuid::nil(), &text) < 4);
    for prefix in [id::LINK, id::LEAD, ""] {
        if let Some(read) = id::read(prefix, &text) {
            assert_eq!(id::show(prefix, read), text);
        }
    }
    assert!(!(KeyKind::Secret.fits(&text) && KeyKind::Publishable.fits(&text)));
    if let Ok(line) = DiaryLine::parse(&text) {
        assert_eq!(DiaryLine::parse(&line.line().unwrap()).unwrap(), line);
        let trimmed = line.trimmed();
        assert_eq!(trimmed.clone().trimmed(), trimmed);
    }
}

/// A configuration file.
pub(super) fn settings(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match config::read(&text) {
        Ok(config) => assert_eq!(config::violations(&config), Vec::<String>::new()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
