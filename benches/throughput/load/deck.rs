//! What the next request is about: a new customer, one deferred before, or a repeat.
//!
//! Enters: what kind of traffic it shall be, and how earlier requests were answered. Leaves: wishes. One
//! deck serves all connections, so that a follow-up may leave by another one than its deferred lead.
//!
//! **Invariant:** a repeat equals a request that was answered 200; a follow-up names a customer whose
//! deferred lead was answered 200.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::template::{Form, Wish};
use super::{Ids, Job, Traffic};

/// In the mix, how long after its deferred lead's answer a follow-up is due.
const FOLLOW_UP_AFTER: Duration = Duration::from_millis(250);
/// In the mix, repeats are of so many of the last requests.
const REMEMBERED: usize = 4096;
/// Shares of the mix, in percent; the rest is `wait`.
const ASYNC: u8 = 85;
const DEFERRED: u8 = 10;
const REPEATS_OF_ASYNC: u8 = 10;

/// Deals wishes.
#[derive(Debug)]
pub(super) struct Deck {
    rng: SmallRng,
    traffic: Traffic,
    /// The next customer, where they are counted.
    counter: Option<u64>,
    clicks: usize,
    events: u64,
    hot: u128,
    /// Customers with a deferred lead, and from when their follow-up may go out.
    deferred: VecDeque<(Instant, u128)>,
    /// Requests that may be repeated.
    answered: VecDeque<Wish>,
}

impl Deck {
    /// A deck for a job; `deferred` are the customers that follow-ups are of.
    pub(super) fn new(job: &Job, clicks: usize, deferred: Vec<u128>) -> Self {
        let mut rng = SmallRng::from_os_rng();
        let now = Instant::now();
        let counter = match job.ids {
            Ids::Random => None,
            Ids::Sequential(from) => Some(from),
        };
        Self {
            hot: rng.random(),
            rng,
            traffic: job.traffic,
            counter,
            clicks,
            events: 0,
            deferred: deferred.into_iter().map(|customer| (now, customer)).collect(),
            answered: VecDeque::new(),
        }
    }

    /// The next wish; `None` when the deferred customers are used up.
    pub(super) fn next(&mut self) -> Option<Wish> {
        match self.traffic {
            Traffic::Async | Traffic::Bulk(_) => Some(self.new_customer(Form::Async)),
            Traffic::Wait => Some(self.new_customer(Form::Wait)),
            Traffic::Deferred => Some(self.new_customer(Form::Deferred)),
            Traffic::FollowUp => self.follow_up(),
            Traffic::Mix => Some(self.mixed()),
            Traffic::HotCustomer => Some(self.hot_or_not()),
        }
    }

    /// Takes note of an answer.
    pub(super) fn note(&mut self, wish: &Wish, status: u16) {
        if status != 200 || self.traffic != Traffic::Mix {
            return;
        }
        match wish.form {
            Form::Deferred => self.deferred.push_back((Instant::now() + FOLLOW_UP_AFTER, wish.customer)),
            Form::Async => {
                self.answered.push_back(*wish);
                if self.answered.len() > REMEMBERED {
                    self.answered.pop_front();
                }
            }
            Form::Wait | Form::FollowUp | Form::Numbered => {}
        }
    }

    fn new_customer(&mut self, form: Form) -> Wish {
        let customer = match &mut self.counter {
            Some(next) => {
                *next += 1;
                u128::from(*next - 1)
            }
            None => self.rng.random(),
        };
        Wish { form, customer, click: self.rng.random_range(0..self.clicks), event: 0 }
    }

    fn follow_up(&mut self) -> Option<Wish> {
        self.deferred.pop_front_if(|(due, _)| *due <= Instant::now()).map(|(_, customer)| Wish {
            form: Form::FollowUp,
            customer,
            click: 0,
            event: 0,
        })
    }

    fn mixed(&mut self) -> Wish {
        if let Some(follow_up) = self.follow_up() {
            return follow_up;
        }
        let roll = self.rng.random_range(0..100);
        if roll >= ASYNC + DEFERRED {
            return self.new_customer(Form::Wait);
        }
        if roll >= ASYNC {
            return self.new_customer(Form::Deferred);
        }
        let repeats = self.rng.random_range(0..100) < REPEATS_OF_ASYNC && !self.answered.is_empty();
        let earlier = if repeats { self.answered.get(self.rng.random_range(0..self.answered.len())) } else { None };
        earlier.copied().unwrap_or_else(|| self.new_customer(Form::Async))
    }

    fn hot_or_not(&mut self) -> Wish {
        self.events += 1;
        let wish = self.new_customer(Form::Numbered);
        let customer = if self.rng.random() { self.hot } else { wish.customer };
        Wish { customer, event: self.events, ..wish }
    }
}
