//! What one customer does: the stories that the promise is about, drawn by weight.
//!
//! Enters: a seed. Leaves: requests, in an order that the story demands or leaves open.
//!
//! **Invariant:** a story's kind of request says truly what its sender may expect.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join, join_all};
use leadline::lead::{Mode, id};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::client::{Client, Wish};
use crate::clock::pause;
use crate::diary::Kind;
use crate::given::Tenant;

const EVENTS: [&str; 3] = ["Sign Up", "Trial  Started", "Order ÉTÉ"];

/// One customer's story.
pub(super) async fn journey(client: Client, tenants: Arc<Vec<Tenant>>, seed: u64) {
    let mut dice = StdRng::seed_from_u64(seed);
    let tenant = &tenants[dice.random_range(0..tenants.len())];
    let story = Story { customer: format!("c{seed:016x}"), click: tenant.click(&mut dice), client: &client, tenant };
    match dice.random_range(0..100) {
        0..56 => story.plain(Mode::Async, &mut dice).await,
        56..68 => story.plain(Mode::Wait, &mut dice).await,
        68..78 => story.deferred(&mut dice).await,
        78..83 => story.early(&mut dice).await,
        83..88 => story.competing_keys(&mut dice).await,
        88..92 => story.competing_clicks(&mut dice).await,
        92..96 => story.repeat(&mut dice).await,
        96..98 => story.hang_up(&mut dice).await,
        98..99 => story.unknown_click(&mut dice).await,
        _ => story.nobody(&mut dice).await,
    }
}

struct Story<'a> {
    customer: String,
    click: String,
    client: &'a Client,
    tenant: &'a Tenant,
}

impl Story<'_> {
    fn wish(&self, mode: Mode, dice: &mut StdRng) -> Wish {
        Wish {
            customer: self.customer.clone(),
            event: EVENTS[dice.random_range(0..EVENTS.len())].to_owned(),
            mode,
            click: Some(self.click.clone()),
            quantity: if dice.random_bool(0.2) { dice.random_range(2..=100) } else { 1 },
            kind: Kind::Click,
        }
    }

    fn follow_up(&self, kind: Kind, dice: &mut StdRng) -> Wish {
        let mode = if dice.random_bool(0.3) { Mode::Wait } else { Mode::Async };
        Wish { click: None, kind, ..self.wish(mode, dice) }
    }

    async fn send(&self, wish: &Wish) -> u16 {
        self.client.send(self.tenant, wish).await
    }

    async fn plain(&self, mode: Mode, dice: &mut StdRng) {
        self.send(&self.wish(mode, dice)).await;
    }

    /// A deferred lead; after its 200 one or two follow-ups, at once or a little later.
    async fn deferred(&self, dice: &mut StdRng) {
        if self.send(&self.wish(Mode::Deferred, dice)).await != 200 {
            return;
        }
        for _ in 0..dice.random_range(1..=2) {
            if dice.random_bool(0.3) {
                pause(Duration::from_millis(dice.random_range(1..300))).await;
            }
            self.send(&self.follow_up(Kind::After, dice)).await;
        }
    }

    /// A follow-up that comes too early.
    async fn early(&self, dice: &mut StdRng) {
        let (first, then) = (self.follow_up(Kind::Before, dice), self.wish(Mode::Deferred, dice));
        let late = Duration::from_millis(dice.random_range(0..40));
        join(self.send(&first), async {
            pause(late).await;
            self.send(&then).await
        })
        .await;
    }

    /// Several requests for one key, not alike, at once.
    async fn competing_keys(&self, dice: &mut StdRng) {
        let event = EVENTS[dice.random_range(0..EVENTS.len())];
        let spellings = [event.to_owned(), event.to_uppercase(), event.to_lowercase()];
        let wishes: Vec<Wish> = spellings
            .into_iter()
            .map(|event| {
                let mode = if dice.random_bool(0.3) { Mode::Wait } else { Mode::Async };
                Wish { event, quantity: dice.random_range(1..=9), ..self.wish(mode, dice) }
            })
            .collect();
        join_all(wishes.iter().map(|wish| self.send(wish))).await;
    }

    /// Several clicks for one customer, at once, for events of their own.
    async fn competing_clicks(&self, dice: &mut StdRng) {
        let wishes: Vec<Wish> = (0..2)
            .map(|n| Wish {
                event: format!("Event {n}"),
                click: Some(self.tenant.click(dice)),
                ..self.wish(if n == 0 { Mode::Async } else { Mode::Deferred }, dice)
            })
            .collect();
        join_all(wishes.iter().map(|wish| self.send(wish))).await;
        self.send(&Wish { kind: Kind::Before, ..self.follow_up(Kind::Before, dice) }).await;
    }

    /// The same request again, at once or after its answer.
    async fn repeat(&self, dice: &mut StdRng) {
        let wish = self.wish(if dice.random_bool(0.3) { Mode::Wait } else { Mode::Async }, dice);
        self.send(&wish).await;
        self.send(&wish).await;
    }

    async fn hang_up(&self, dice: &mut StdRng) {
        let mode = Mode::ALL[dice.random_range(0..Mode::ALL.len())];
        let wish = Wish { kind: Kind::HungUp, ..self.wish(mode, dice) };
        let after = Duration::from_micros(dice.random_range(50..12_000));
        self.client.hang_up(self.tenant, &wish, after).await;
    }

    async fn unknown_click(&self, dice: &mut StdRng) {
        let mode = if dice.random_bool(0.3) { Mode::Wait } else { Mode::Async };
        let wish = Wish { click: Some(id::alphanumerics(16)), kind: Kind::Unknown, ..self.wish(mode, dice) };
        self.send(&wish).await;
    }

    async fn nobody(&self, dice: &mut StdRng) {
        self.send(&self.follow_up(Kind::Nobody, dice)).await;
    }
}
