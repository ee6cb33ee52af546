//! How often one key and one address may ask, where an operator wishes to say so.
//!
//! A rate and a burst each, by the generic cell rate algorithm of `governor`. Not `tower_governor`: it knows
//! neither keys, which are good only after a look-up, nor our proxies, nor the contract's envelope.
//! Addresses of IPv6 count by /64, since whoever has one has them all.
//!
//! **Invariant:** memory is bounded; a caller that was forgotten for lack of room starts with a full burst, no worse.

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue};
use chrono::Utc;
use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use moka::sync::Cache;

use super::Problem;
use super::problem::whole_seconds;
use crate::config;
use crate::store::KeyHash;

/// Callers remembered per limit, at about 200 bytes each.
const REMEMBERED: u64 = 100_000;
const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

type Cell = RateLimiter<NotKeyed, InMemoryState, MonotonicClock, NoOpMiddleware<std::time::Instant>>;

/// Both limits; clones share them.
#[derive(Debug, Clone)]
pub(super) struct Throttle {
    keys: Option<Limit<KeyHash>>,
    addresses: Option<Limit<IpAddr>>,
}

impl Throttle {
    pub(super) fn new(config: &config::Http) -> Self {
        Self {
            keys: Limit::new(config.rate_per_key, config.burst_per_key),
            addresses: Limit::new(config.rate_per_address, config.burst_per_address),
        }
    }

    /// Whether keys are limited at all.
    pub(super) fn minds_keys(&self) -> bool {
        self.keys.is_some()
    }

    /// Whether addresses are.
    pub(super) fn minds_addresses(&self) -> bool {
        self.addresses.is_some()
    }

    /// Lets one more request with a key pass, or says when to come again.
    pub(super) fn key(&self, hash: KeyHash) -> Result<(), Problem> {
        self.keys.as_ref().map_or(Ok(()), |limit| limit.pass(hash))
    }

    /// Lets the rest of a request pass that counts as several, of which one has passed, or says when to come again.
    pub(super) fn key_again(&self, hash: KeyHash, count: usize) -> Result<(), Problem> {
        self.keys.as_ref().map_or(Ok(()), |limit| limit.pass_rest(hash, count))
    }

    /// Lets one more request from an address pass, or says when to come again.
    pub(super) fn address(&self, address: IpAddr) -> Result<(), Problem> {
        self.addresses.as_ref().map_or(Ok(()), |limit| limit.pass(network(address)))
    }
}

/// The part of an address that one caller has.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

#[derive(Debug, Clone)]
struct Limit<K: Hash + Eq + Send + Sync + 'static> {
    quota: Quota,
    cells: Cache<K, Arc<Cell>>,
}

impl<K: Hash + Eq + Send + Sync + 'static> Limit<K> {
    /// So many per second, and so many at once; `None` where either is nought.
    fn new(rate: u32, burst: u32) -> Option<Self> {
        let quota = Quota::per_second(NonZeroU32::new(rate)?).allow_burst(NonZeroU32::new(burst)?);
        // Idle for so long, a caller has its whole burst again: there is nothing to remember.
        let refilled = quota.burst_size_replenished_in() + Duration::from_secs(1);
        Some(Self { quota, cells: Cache::builder().max_capacity(REMEMBERED).time_to_idle(refilled).build() })
    }

    fn pass(&self, caller: K) -> Result<(), Problem> {
        self.cell(caller).check().map_err(|not_until| self.exceeded(not_until.wait_time_from(MonotonicClock.now())))
    }

    /// All but one of so many, at once or not at all.
    fn pass_rest(&self, caller: K, count: usize) -> Result<(), Problem> {
        let burst = self.quota.burst_size().get();
        let Some(count) = u32::try_from(count).ok().filter(|count| *count <= burst) else {
            let never =
                format!("Too many requests: a batch of {count} leads never fits the burst of {burst} of this key.");
            return Err(self.exceeded(self.quota.burst_size_replenished_in()).said(never));
        };
        let Some(rest) = NonZeroU32::new(count.saturating_sub(1)) else { return Ok(()) };
        match self.cell(caller).check_n(rest) {
            Ok(Err(not_until)) => {
                // And the one that the next attempt is charged before it comes here.
                let wait = not_until.wait_time_from(MonotonicClock.now()) + self.quota.replenish_interval();
                Err(self.exceeded(wait))
            }
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }

    fn cell(&self, caller: K) -> Arc<Cell> {
        self.cells.get_with(caller, || Arc::new(RateLimiter::direct_with_clock(self.quota, MonotonicClock)))
    }

    fn exceeded(&self, wait: Duration) -> Problem {
        let reset = Utc::now().timestamp().saturating_add(i64::try_from(whole_seconds(wait)).unwrap_or(i64::MAX));
        Problem::too_many(wait)
            .header(&LIMIT, HeaderValue::from(self.quota.burst_size().get()))
            .header(&REMAINING, HeaderValue::from(0))
            .header(&RESET, HeaderValue::from(reset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_the_next_waits_alone() {
        let limit = Limit::new(1, 3).unwrap();
        let passed = (0..10).filter(|_| limit.pass("a").is_ok()).count();
        assert_eq!(passed, 3);
        assert!(limit.pass("b").is_ok());
        assert!(Limit::<u8>::new(0, 3).is_none());
    }

    #[test]
    fn a_batch_counts_as_its_leads_and_passes_whole_or_not_at_all() {
        let limit = Limit::new(1, 10).unwrap();
        let batch = |count| limit.pass("a").and_then(|()| limit.pass_rest("a", count));
        batch(7).unwrap();
        let refused = format!("{:?}", batch(4).unwrap_err());
        assert!(refused.contains("\"Too many requests.\""), "{refused}");
        batch(2).unwrap();
        assert!(limit.pass("a").is_err());
        let never = format!("{:?}", Limit::new(1, 10).unwrap().pass_rest("b", 11).unwrap_err());
        assert!(never.contains("a batch of 11 leads never fits the burst of 10"), "{never}");
    }

    #[test]
    fn whoever_has_a_network_has_one_limit() {
        let one = |text: &str| network(text.parse().unwrap());
        assert_eq!(one("2001:db8::1"), one("2001:db8::ffff:2"));
        assert_ne!(one("2001:db8::1"), one("2001:db8:0:1::1"));
        assert_eq!(one("::ffff:1.2.3.4"), one("1.2.3.4"));
        assert_ne!(one("1.2.3.4"), one("1.2.3.5"));
    }

    #[test]
    fn a_crowd_of_callers_takes_bounded_room() {
        let limit = Limit::new(1, 1).unwrap();
        for caller in 0..REMEMBERED + 50_000 {
            drop(limit.pass(caller));
        }
        limit.cells.run_pending_tasks();
        assert!(limit.cells.entry_count() <= REMEMBERED);
    }
}
