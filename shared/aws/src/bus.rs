//! The event bus: sends announcements in batches, and retries entries that were not accepted.

use std::time::Duration;

use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::error::DisplayErrorContext;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use tidemark_flow::event::{SOURCE, STEP_DUE};
use tidemark_flow::{Bus, Error, ErrorKind, StepDue};
use tidemark_lake::{Meter, Requests};
use tokio::runtime::Handle;

/// Maximum number of entries of a `PutEvents` request.
const BATCH: usize = 10;
/// How often an entry is sent at most, and the pause before the second attempt; the pause doubles with each further attempt.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(100);

/// One EventBridge event bus.
#[derive(Debug)]
pub(crate) struct EventBus {
    pub client: Client,
    pub name: String,
    pub handle: Handle,
    pub meter: Meter,
}

impl Bus for EventBus {
    fn announce(&self, due: &[StepDue]) -> Result<(), Error> {
        due.chunks(BATCH).try_for_each(|batch| self.handle.block_on(self.send(batch)))
    }
}

impl EventBus {
    async fn send(&self, batch: &[StepDue]) -> Result<(), Error> {
        let mut waiting = batch.iter().map(|due| self.entry(due)).collect::<Result<Vec<_>, _>>()?;
        let mut pause = PAUSE;
        for tried in 1.. {
            let answer = self
                .client
                .put_events()
                .set_entries(Some(waiting.clone()))
                .send()
                .await
                .map_err(|error| self.failed(DisplayErrorContext(&error).to_string()))?;
            // the response has one result per entry, in order; single entries may have been rejected
            let answers = answer.entries();
            let mut refusal = String::new();
            let mut answer = answers.iter();
            let sent = waiting.len();
            waiting.retain(|_| match answer.next() {
                Some(entry) if entry.event_id().is_some() && entry.error_code().is_none() => false,
                Some(entry) => {
                    let (code, message) =
                        (entry.error_code().unwrap_or_default(), entry.error_message().unwrap_or_default());
                    refusal = format!("{code}: {message}");
                    true
                }
                None => true,
            });
            self.meter.count(Requests { events: (sent - waiting.len()) as u64, ..Requests::default() });
            if waiting.is_empty() {
                return Ok(());
            }
            if tried == TRIES {
                return Err(self.failed(format!("{} entries were not accepted, the last for {refusal}", waiting.len())));
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        Ok(())
    }

    fn entry(&self, due: &StepDue) -> Result<PutEventsRequestEntry, Error> {
        let detail = serde_json::to_string(due)
            .map_err(|error| Error::new(ErrorKind::Bug, "an announcement cannot be written").because(error))?;
        let entry = PutEventsRequestEntry::builder().event_bus_name(&self.name).source(SOURCE);
        Ok(entry.detail_type(STEP_DUE).detail(detail).build())
    }

    fn failed(&self, why: String) -> Error {
        Error::new(ErrorKind::Retry, format!("bus {} does not accept announcements", self.name))
            .hint("handling the same event again repeats the announcement; check that the bus exists and that the role may put \
             events on it")
            .because(why)
    }
}

/// Replaces the bus if the user sets it to `none`: due steps are only logged, for the user to forward by hand.
pub(crate) struct NoBus;

impl Bus for NoBus {
    fn announce(&self, due: &[StepDue]) -> Result<(), Error> {
        for due in due {
            let detail = serde_json::to_string(due).unwrap_or_default();
            tracing::info!(detail, "step due");
        }
        Ok(())
    }
}
