//! Leads by the body: `POST /track/lead/batch` takes a JSON array of leads and answers with an array of
//! `{status, leadId, ending, lead | error}` in the same order.
//!
//! Enters: the stage, a connection. Leaves: one note per lead; the time is that of the whole body.
//!
//! **Invariant:** an answer that does not speak of every lead speaks of none: each has the body's status.

use std::rc::Rc;

use super::answer::Answer;
use super::generator::{Note, Sent, Stage, now_ms};
use super::template::{Template, Wish};
use super::wire::Wire;
use crate::{Outcome, stats};

/// What is remembered of one body until its answer is read.
struct Body {
    wishes: Vec<Wish>,
    sent_ms: u64,
    status: u16,
    answer: Vec<u8>,
}

/// Sends bodies of so many leads until the time is up.
pub(super) async fn connection(stage: Rc<Stage>, mut wire: Wire, leads: usize) -> Outcome<Sent> {
    let address = stage.job.addresses.first().map_or("", String::as_str);
    let mut template = Template::list(&stage.job, address, leads);
    let (mut bodies, mut sent) = (Vec::new(), Sent::default());
    while let Some(due) = stage.pace.next().await {
        let wishes: Vec<Wish> = {
            let mut deck = stage.deck.borrow_mut();
            (0..leads).filter_map(|_| deck.next()).collect()
        };
        for (n, wish) in wishes.iter().enumerate() {
            template.fill(n, wish, stage.click(wish));
        }
        let sent_ms = now_ms();
        let reply = wire.exchange(&template.bytes).await;
        sent.took.push(stats::ms(due.elapsed()));
        let (status, answer) = reply.map_or((0, Vec::new()), |reply| (reply.status, reply.body.to_vec()));
        if matches!(status, 404 | 405) {
            return Err(format!("no such route as /track/lead/batch: answered {status}").into());
        }
        bodies.push(Body { wishes, sent_ms, status, answer });
    }
    for Body { wishes, sent_ms, status, answer } in bodies {
        sent.body_bytes = answer.len();
        let answers = Answer::list(&answer).filter(|answers| answers.len() == wishes.len());
        let whole = || vec![Answer { status, ..Answer::default() }; wishes.len()];
        let answers = answers.unwrap_or_else(whole);
        sent.notes.extend(wishes.into_iter().zip(answers).map(|(wish, answer)| Note { wish, sent_ms, answer }));
    }
    Ok(sent)
}
