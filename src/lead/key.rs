//! When two leads are the same, and which shard a customer belongs to.
//!
//! Two leads are the same when workspace, customer and normalised event name are. The
//! normalisation is the contract's: Unicode lower case, each U+0020 becomes `-`.
//!
//! **Invariant:** the event key is computed here only, and the shard function is part of queue
//! topology v1: changing either needs a v2 beside it (the golden tests below say so).

use uuid::Uuid;

/// Number of shard queues in topology v1.
pub const SHARDS: u8 = 4;

/// What at most one recorded lead may have.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LeadKey {
    /// The tenant.
    pub workspace_id: Uuid,
    /// The caller's name of the customer.
    pub customer_external_id: String,
    /// The normalised event name.
    pub event_key: String,
}

/// Normalises an event name: lower case, each space a hyphen (two spaces, two hyphens).
#[must_use]
pub fn event_key(event_name: &str) -> String {
    event_name.to_lowercase().replace(' ', "-")
}

/// The shard of a customer: FNV-1a 64 of workspace id, 0x1F, external id, modulo [`SHARDS`].
#[must_use]
pub fn shard(workspace_id: Uuid, customer_external_id: &str) -> u8 {
    let bytes = workspace_id.as_bytes().iter().chain([&0x1F]).chain(customer_external_id.as_bytes());
    let hash = fnv1a(bytes.copied());
    u8::try_from(hash % u64::from(SHARDS)).unwrap_or(0)
}

/// FNV-1a, 64 bits (draft-eastlake-fnv, offset basis and prime of its table).
pub(crate) fn fnv1a(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_event_share_a_key() {
        for name in ["Sign Up", "sign-up", "SIGN UP"] {
            assert_eq!(event_key(name), "sign-up");
        }
        assert_eq!(event_key("a  b"), "a--b");
        assert_eq!(event_key("ÉCOLE\tX"), "école\tx");
    }

    #[test]
    fn fnv_matches_its_published_vectors() {
        assert_eq!(fnv1a(std::iter::empty()), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a("foobar".bytes()), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn shards_of_topology_v1_never_move() {
        let workspace = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001);
        let golden: Vec<u8> = (0..12).map(|n| shard(workspace, &format!("customer-{n}"))).collect();
        assert_eq!(golden, GOLDEN);
    }

    const GOLDEN: [u8; 12] = [1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 2, 1];
}
