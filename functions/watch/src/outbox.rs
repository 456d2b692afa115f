//! Sends the claimed notifications, grouped by address, and records the results. A failed one is sent again in the next tick. If the
//! watcher is killed between sending and recording, a message is sent twice, but none is lost.

use std::collections::BTreeMap;

use tidemark_flow::{Error, ErrorKind};

use crate::channel::{Address, Channels};
use crate::incident_store::{IncidentStore, StoredIncident};
use crate::message::{Message, State};
use crate::wording::message;

/// More messages than this for one address are sent as one digest: nobody reads twenty messages, and Slack accepts only one per second.
const MAX_SINGLE_MESSAGES: usize = 4;

/// The messages to be sent, by address.
#[derive(Default)]
pub struct Deliveries(BTreeMap<Address, Vec<Delivery>>);

struct Delivery {
    /// Object name of the incident.
    name: String,
    state: State,
    message: Message,
}

impl Deliveries {
    pub fn add(&mut self, store: &IncidentStore<'_>, name: String, stored: StoredIncident) {
        for (address, state) in stored.claimed {
            let message = message(&stored.incident, state, store);
            self.0.entry(address).or_default().push(Delivery { name: name.clone(), state, message });
        }
    }
}

/// Sends all messages. Returns how many were accepted, and how many were not.
///
/// # Errors
/// The lake cannot be written; messages that were sent may be sent again.
pub fn notify(
    store: &IncidentStore<'_>,
    channels: &Channels<'_>,
    deliveries: Deliveries,
) -> Result<(usize, usize), Error> {
    let (mut sent, mut unsent) = (0, 0);
    for (address, mut deliveries) in deliveries.0 {
        // the worst first
        deliveries.sort_by_key(|delivery| std::cmp::Reverse(delivery.message.severity));
        let size = if deliveries.len() > MAX_SINGLE_MESSAGES { deliveries.len() } else { 1 };
        // if a channel is down for one message, it is down for the next ones too
        let mut is_down: Option<String> = None;
        for batch in deliveries.chunks(size) {
            let last_error = match &is_down {
                Some(last_error) => Some(last_error.clone()),
                None if store.context.is_late() => Some("there was no time left".to_owned()),
                None => {
                    let messages: Vec<Message> = batch.iter().map(|delivery| delivery.message.clone()).collect();
                    channels.send(&address, &messages).err().map(|error| {
                        tracing::error!(%address, error = error.full_message(), hint = error.hint, "notification failed");
                        is_down = (error.kind == ErrorKind::Retry).then(|| error.full_message());
                        error.full_message()
                    })
                }
            };
            for delivery in batch {
                let result = last_error.clone().map_or(Ok(delivery.state), Err);
                if result.is_ok() {
                    sent += 1
                } else {
                    unsent += 1
                }
                store.record_delivery(&delivery.name, &address, &result)?;
            }
        }
    }
    Ok((sent, unsent))
}
