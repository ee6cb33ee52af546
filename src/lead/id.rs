//! Identifiers as callers see them: a prefix and 26 characters of Crockford base 32, or 16
//! alphanumerics for a click.
//!
//! Rows hold 16-byte UUIDv7 values, which carry their time in front, so every index grows at its
//! right edge. A click id does the same in base 62: seven characters of milliseconds (enough until
//! the year 2081), nine random ones (53 bits).
//!
//! **Invariant:** ids are compared byte-wise; a text that is not exactly what [`show`] prints is no id.

use rand::Rng;
use uuid::Uuid;

const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Prefix of a workspace id.
pub const WORKSPACE: &str = "ws_";
/// Prefix of a link id.
pub const LINK: &str = "link_";
/// Prefix of a customer id.
pub const CUSTOMER: &str = "cus_";
/// Prefix of a lead id.
pub const LEAD: &str = "lead_";
/// Prefix of an API key's id (never of the key itself).
pub const KEY: &str = "key_";

/// Prints an id, such as `link_01J…`.
#[must_use]
pub fn show(prefix: &str, id: Uuid) -> String {
    let value = id.as_u128();
    let digits = (0..26).rev().map(|n| digit(CROCKFORD, (value >> (5 * n)) & 31));
    prefix.chars().chain(digits).collect()
}

/// Reads an id back; `None` for anything [`show`] would not print.
#[must_use]
pub fn read(prefix: &str, text: &str) -> Option<Uuid> {
    let digits = text.strip_prefix(prefix)?;
    if digits.len() != 26 || !digits.starts_with(['0', '1', '2', '3', '4', '5', '6', '7']) {
        return None;
    }
    let mut value = 0_u128;
    for byte in digits.bytes() {
        let digit = CROCKFORD.iter().position(|c| *c == byte)?;
        value = (value << 5) | u128::try_from(digit).ok()?;
    }
    Some(Uuid::from_u128(value))
}

/// Makes a click id for a moment in milliseconds since 1970; later moments sort after earlier ones.
#[must_use]
pub fn click_id(millis: u64) -> String {
    let mut rng = rand::rng();
    let time = time(millis);
    let random = (0..9).map(|_| digit(BASE62, u128::from(rng.random_range(0..62_u8))));
    time.chain(random).collect()
}

/// What every click id of this moment in milliseconds since 1970, and of later ones, is not below.
#[must_use]
pub fn click_floor(millis: u64) -> String {
    time(millis).collect()
}

fn time(millis: u64) -> impl Iterator<Item = char> {
    (0..7).rev().map(move |n| digit(BASE62, u128::from(millis / 62_u64.pow(n)) % 62))
}

/// `n` random characters of `[0-9A-Za-z]`, from the operating system's seeded generator.
#[must_use]
pub fn alphanumerics(n: usize) -> String {
    let mut rng = rand::rng();
    (0..n).map(|_| digit(BASE62, u128::from(rng.random_range(0..62_u8)))).collect()
}

fn digit(alphabet: &[u8], value: u128) -> char {
    usize::try_from(value).ok().and_then(|n| alphabet.get(n)).map_or('0', |byte| char::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_as_they_were_shown() {
        for id in [Uuid::nil(), Uuid::max(), Uuid::now_v7()] {
            let text = show(LINK, id);
            assert_eq!(text.len(), LINK.len() + 26);
            assert_eq!(read(LINK, &text), Some(id));
        }
        for bad in [
            "link_",
            "cus_00000000000000000000000000",
            "link_8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
            "link_0000000000000000000000000U",
            "link_0000000000000000000000000é",
        ] {
            assert_eq!(read(LINK, bad), None, "{bad}");
        }
    }

    #[test]
    fn click_ids_are_sixteen_alphanumerics_in_time_order() {
        let moments = [1_u64, 61, 62, 1_763_000_000_000, 1_763_000_000_001, 3_000_000_000_000];
        let ids: Vec<String> = moments.iter().map(|ms| click_id(*ms)).collect();
        assert!(ids.iter().all(|id| id.len() == 16 && id.bytes().all(|b| b.is_ascii_alphanumeric())));
        assert!(ids.is_sorted());
        for (millis, id) in moments.iter().zip(&ids) {
            assert!(click_floor(*millis) < *id && click_floor(millis + 1) > *id, "{id}");
        }
    }
}
