//! Which keys are good: a cache that forgets a revoked key within seconds and survives an outage.
//!
//! A good key is believed for `key_ttl`, counted from before its look-up, then asked for again. Known
//! to be away, `PostgreSQL` is not asked, and the key is believed until `key_ttl_away` after its last
//! good look-up. However many requests ask for one key at once, one statement runs. Unknown keys are
//! remembered for a moment and their look-ups rationed, so that guessing costs the database little.
//!
//! **Invariant:** only hashes are kept, and a key is never believed on the word of an older look-up than that.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use moka::sync::Cache;

use crate::config;
use crate::store::{KeyHash, KeyKind, Opened, Store, key_hash, same_hash};

const KNOWN_MAX: u64 = 100_000;
const UNKNOWN_MAX: u64 = 10_000;

const FLIGHTS_SWEPT: usize = 1024;

type Flight = Shared<BoxFuture<'static, Verdict>>;
type Landing = WeakShared<BoxFuture<'static, Verdict>>;

/// What became of a look-up.
#[derive(Debug, Clone)]
pub(super) enum Verdict {
    Good(Arc<Opened>),
    Unknown,
    Away,
    /// Too many look-ups of unknown keys.
    Rationed,
}

#[derive(Debug, Clone)]
struct Known {
    hash: KeyHash,
    opened: Arc<Opened>,
    since: Instant,
}

/// The cache; clones share it.
#[derive(Debug, Clone)]
pub(super) struct Keyring {
    store: Store,
    known: Cache<KeyHash, Known>,
    unknown: Cache<KeyHash, ()>,
    /// Held weakly: a look-up whose callers all hung up is dropped, and its connection with it.
    flights: Arc<Mutex<HashMap<KeyHash, Landing>>>,
    ration: Arc<Mutex<Ration>>,
    ttl: Duration,
    ttl_away: Duration,
}

impl Keyring {
    pub(super) fn new(store: &Store, config: &config::Store) -> Self {
        Self {
            store: store.clone(),
            known: Cache::builder().max_capacity(KNOWN_MAX).time_to_live(config.key_ttl_away).build(),
            unknown: Cache::builder().max_capacity(UNKNOWN_MAX).time_to_live(config.unknown_key_ttl).build(),
            flights: Arc::default(),
            ration: Arc::new(Mutex::new(Ration::new(config.unknown_key_lookups))),
            ttl: config.key_ttl,
            ttl_away: config.key_ttl_away,
        }
    }

    /// Says what a key of the given kind opens. Cancel-safe: the callers that stay finish the look-up.
    pub(super) async fn open(&self, key: &str, kind: KeyKind) -> Verdict {
        if !kind.fits(key) {
            return Verdict::Unknown;
        }
        let hash = key_hash(key);
        let known = self.known.get(&hash).filter(|known| same_hash(&hash, &known.hash));
        let age = known.as_ref().map(|known| known.since.elapsed());
        match (known, age) {
            (Some(known), Some(age)) if age < self.ttl => Verdict::Good(known.opened),
            (Some(known), Some(age)) => {
                if self.store.is_up() {
                    let verdict = self.flight(hash, kind).await;
                    if !matches!(verdict, Verdict::Away) {
                        return verdict;
                    }
                }
                if age < self.ttl_away { Verdict::Good(known.opened) } else { Verdict::Away }
            }
            _ if self.unknown.contains_key(&hash) => Verdict::Unknown,
            _ => self.flight(hash, kind).await,
        }
    }

    /// The look-up under way for this key, or a new one.
    fn flight(&self, hash: KeyHash, kind: KeyKind) -> Flight {
        let mut flights = lock(&self.flights);
        if let Some(flight) = flights.get(&hash).and_then(Landing::upgrade) {
            return flight;
        }
        if !self.known.contains_key(&hash) && !lock(&self.ration).take(Instant::now()) {
            return std::future::ready(Verdict::Rationed).boxed().shared();
        }
        let keyring = self.clone();
        let flight = async move { keyring.look_up(hash, kind).await }.boxed().shared();
        if flights.len() >= FLIGHTS_SWEPT {
            flights.retain(|_, flight| flight.upgrade().is_some());
        }
        if let Some(landing) = flight.downgrade() {
            flights.insert(hash, landing);
        }
        flight
    }

    async fn look_up(&self, hash: KeyHash, kind: KeyKind) -> Verdict {
        let since = Instant::now();
        let verdict = match self.store.open_key(&hash, kind).await {
            Ok(Some(opened)) => {
                let opened = Arc::new(opened);
                let known = Known { hash, opened: Arc::clone(&opened), since };
                self.known.insert(hash, known);
                Verdict::Good(opened)
            }
            Ok(None) => {
                self.known.invalidate(&hash);
                self.unknown.insert(hash, ());
                Verdict::Unknown
            }
            Err(error) => {
                tracing::debug!(error = %error, "key not looked up");
                Verdict::Away
            }
        };
        lock(&self.flights).remove(&hash);
        verdict
    }
}

/// So many per second, and as many at once.
#[derive(Debug)]
struct Ration {
    per_second: f64,
    left: f64,
    at: Instant,
}

impl Ration {
    fn new(per_second: u32) -> Self {
        let per_second = f64::from(per_second);
        Self { per_second, left: per_second, at: Instant::now() }
    }

    fn take(&mut self, now: Instant) -> bool {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * self.per_second;
        self.left = (self.left + gained).min(self.per_second);
        self.at = now;
        let granted = self.left >= 1.0;
        if granted {
            self.left -= 1.0;
        }
        granted
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ration_is_spent_and_grows_back() {
        let mut ration = Ration::new(2);
        let start = ration.at;
        assert!(ration.take(start) && ration.take(start) && !ration.take(start));
        assert!(!ration.take(start + Duration::from_millis(400)));
        assert!(ration.take(start + Duration::from_millis(600)));
    }
}
