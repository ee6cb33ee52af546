//! Several letters in one message.
//!
//! Most of what a message costs is its own and not its bytes': a route, an entry in the logs of a quorum, a confirm, a delivery, an
//! acknowledgement. So letters that are on their way to the same queue at the same time travel together (the design sends each
//! alone). A letter that travels alone is a message as the design has it, and both kinds share the queues.
//!
//! A pack is text, for whoever looks into a queue: for each letter a line with its id and its length, then so many bytes, then a
//! line feed. The content type tells it apart.
//!
//! **Invariant:** what comes out of a pack is what went in, letter by letter; of bytes that are no pack nothing comes out.

use uuid::Uuid;
use uuid::fmt::Hyphenated;

/// The content type of a message that is a pack.
pub(super) const CONTENT_TYPE: &str = "application/vnd.leadline.pack";

/// What a letter takes beside its bytes, at most.
const HEAD: usize = Hyphenated::LENGTH + " 12345678\n\n".len();

/// Packs letters.
pub(super) fn pack<'a>(letters: impl Iterator<Item = (Uuid, &'a [u8])> + Clone) -> Vec<u8> {
    let mut pack = Vec::with_capacity(letters.clone().map(|(_, body)| body.len() + HEAD).sum());
    for (id, body) in letters {
        let head = format!("{} {}\n", id.as_hyphenated(), body.len());
        pack.extend_from_slice(head.as_bytes());
        pack.extend_from_slice(body);
        pack.push(b'\n');
    }
    pack
}

/// Takes a pack apart; `None` if it is none.
pub(super) fn unpack(mut pack: &[u8]) -> Option<Vec<(Uuid, &[u8])>> {
    let mut letters = Vec::new();
    while !pack.is_empty() {
        let end = pack.iter().take(HEAD).position(|byte| *byte == b'\n')?;
        let (head, rest) = (pack.get(..end)?, pack.get(end + 1..)?);
        let (id, len) = std::str::from_utf8(head).ok()?.split_once(' ')?;
        let len = len.parse::<usize>().ok()?;
        let (body, rest) = rest.split_at_checked(len)?;
        letters.push((Uuid::try_parse(id).ok()?, body));
        pack = rest.strip_prefix(b"\n")?;
    }
    Some(letters).filter(|letters| !letters.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_went_in_comes_out(letters in prop::collection::vec((any::<u128>(), any::<Vec<u8>>()), 1..8)) {
            let letters: Vec<(Uuid, &[u8])> = letters.iter().map(|(id, body)| (Uuid::from_u128(*id), &body[..])).collect();
            let packed = pack(letters.iter().copied());
            prop_assert_eq!(unpack(&packed), Some(letters));
        }

        #[test]
        fn a_pack_that_lost_its_end_is_none(body in any::<Vec<u8>>(), cut in 1_usize..40) {
            let mut packed = pack([(Uuid::nil(), &body[..])].into_iter());
            packed.truncate(packed.len().saturating_sub(cut));
            prop_assert_eq!(unpack(&packed), None);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in any::<Vec<u8>>(), len in "[0-9+-]{0,22}", tail in ".{0,9}") {
            prop_assert_eq!(unpack(&bytes), None);
            let forged = format!("{} {len}\n{tail}", Uuid::nil());
            for (_, body) in unpack(forged.as_bytes()).unwrap_or_default() {
                prop_assert!(forged.as_bytes().windows(body.len().max(1)).any(|part| part == body) || body.is_empty());
            }
        }
    }

    #[test]
    fn nothing_is_no_pack() {
        assert_eq!(unpack(b""), None);
    }
}
