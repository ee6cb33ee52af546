//! Text as the wire contract counts it: UTF-16 units, JavaScript's white space, no NUL.
//!
//! The clients' validator runs in JavaScript, so a length is a number of UTF-16 code units and
//! trimming removes what `String.prototype.trim` removes (ECMA-262 §22.1.3.32).
//!
//! **Invariant:** a string that leaves this file as accepted can be stored by `PostgreSQL` as `text`.

/// Length in UTF-16 code units.
#[must_use]
pub fn utf16_len(text: &str) -> usize {
    if text.is_ascii() {
        return text.len();
    }
    text.chars().map(char::len_utf16).sum()
}

/// Removes leading and trailing white space as JavaScript defines it.
///
/// That set is Rust's `char::is_whitespace` without U+0085 and with U+FEFF.
#[must_use]
pub fn js_trim(text: &str) -> &str {
    text.trim_matches(|c: char| (c.is_whitespace() && c != '\u{85}') || c == '\u{FEFF}')
}

/// Whether the text holds a NUL, which `PostgreSQL` refuses in `text`.
#[must_use]
pub fn has_nul(text: &str) -> bool {
    text.as_bytes().contains(&0)
}

/// Whether an address has the shape the contract accepts.
///
/// Local part of `[A-Za-z0-9_'+\-.]`, no leading dot, no `..`, last character of `[A-Za-z0-9_+-]`;
/// domain labels of letters, digits and hyphens; a final label of two letters or more.
#[must_use]
pub fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else {
        return false;
    };
    is_local_part(local) && is_mail_domain(domain)
}

fn is_local_part(local: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_'+-.".contains(&b);
    let last = |b: u8| b.is_ascii_alphanumeric() || b"_+-".contains(&b);
    local.bytes().all(allowed)
        && !local.starts_with('.')
        && !local.contains("..")
        && local.bytes().last().is_some_and(last)
}

fn is_mail_domain(domain: &str) -> bool {
    let Some((rest, top)) = domain.rsplit_once('.') else {
        return false;
    };
    let label = |l: &str| {
        l.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    top.len() >= 2 && top.bytes().all(|b| b.is_ascii_alphabetic()) && rest.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_counted_in_utf16_units() {
        assert_eq!(utf16_len("abc"), 3);
        assert_eq!(utf16_len("é"), 1);
        assert_eq!(utf16_len("😀"), 2);
    }

    #[test]
    fn trimming_follows_javascript() {
        assert_eq!(js_trim("\u{FEFF}\u{A0} a b \u{2003}\n"), "a b");
        assert_eq!(js_trim("\u{85}a\u{85}"), "\u{85}a\u{85}");
    }

    #[test]
    fn emails_are_accepted_as_in_the_contract() {
        for good in ["a@b.co", "a.b+c'd_e-@x-y.z1.org", "A@1.io", "_@a.bc"] {
            assert!(is_email(good), "{good}");
        }
        for bad in [
            "",
            "a",
            "a@b",
            ".a@b.co",
            "a..b@c.de",
            "a.@b.co",
            "a'@b.co",
            "a@-b.co",
            "a@b.c",
            "a@b.c1",
            "ä@b.co",
            "a@b..co",
            "a@@b.co",
            "a b@c.de",
        ] {
            assert!(!is_email(bad), "{bad}");
        }
    }
}
