//! Sends what was claimed, each address its own, and keeps what came of it. What does not get through is sent at the next tick; a watcher
//! that is killed between sending and keeping makes one message come twice, and none be lost.

use std::collections::BTreeMap;

use tidemark_flow::{Error, ErrorKind};

use crate::channel::{Address, Channels};
use crate::incident_store::{IncidentStore, StoredIncident};
use crate::message::{Message, State};
use crate::wording::message;

/// More at once come as one digest: nobody reads twenty messages, and Slack takes one a second.
const SINGLY: usize = 4;

/// What is to be sent, by address.
#[derive(Default)]
pub struct Deliveries(BTreeMap<Address, Vec<Delivery>>);

struct Delivery {
    /// Of the incident.
    name: String,
    state: State,
    message: Message,
}

impl Deliveries {
    pub fn add(&mut self, register: &IncidentStore<'_>, name: String, kept: StoredIncident) {
        for (address, state) in kept.claimed {
            let message = message(&kept.incident, state, register);
            self.0.entry(address).or_default().push(Delivery { name: name.clone(), state, message });
        }
    }
}

/// Sends everything. Gives how many messages were taken, and how many were not.
///
/// # Errors
/// The lake cannot be written: what has been sent may be sent once more.
pub fn notify(
    register: &IncidentStore<'_>,
    channels: &Channels<'_>,
    letters: Deliveries,
) -> Result<(usize, usize), Error> {
    let (mut told, mut untold) = (0, 0);
    for (address, mut letters) in letters.0 {
        // the worst first
        letters.sort_by_key(|letter| std::cmp::Reverse(letter.message.severity));
        let size = if letters.len() > SINGLY { letters.len() } else { 1 };
        // where one does not get through for now, the next would not either
        let mut is_down: Option<String> = None;
        for batch in letters.chunks(size) {
            let trouble = match &is_down {
                Some(trouble) => Some(trouble.clone()),
                None if register.context.is_late() => Some("there was no time left".to_owned()),
                None => {
                    let messages: Vec<Message> = batch.iter().map(|letter| letter.message.clone()).collect();
                    channels.send(&address, &messages).err().map(|failure| {
                        tracing::error!(%address, error = failure.full_message(), hint = failure.hint, "not told");
                        is_down = (failure.kind == ErrorKind::Retry).then(|| failure.full_message());
                        failure.full_message()
                    })
                }
            };
            for letter in batch {
                let sent = trouble.clone().map_or(Ok(letter.state), Err);
                if sent.is_ok() {
                    told += 1
                } else {
                    untold += 1
                }
                register.told(&letter.name, &address, &sent)?;
            }
        }
    }
    Ok((told, untold))
}
