//! Heartbeats of long runs. A run that takes long stores a heartbeat in the lake and renews it regularly. A heartbeat that is no longer
//! renewed, without a run record, means that the run was killed. A short run stores none; the watcher notices its death by the missing
//! result.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tidemark_lake::Lake;
use tidemark_pipeline::StepId;

use crate::context::Context;
use crate::host;
use crate::trigger::Trigger;

/// Default run time after which the first heartbeat is written.
pub const HEARTBEAT_AFTER: Duration = Duration::from_secs(20);
/// Time between two heartbeats.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(60);

/// The heartbeat of a run that is in progress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    pub run_id: String,
    pub pipeline: String,
    pub step: StepId,
    #[serde(rename = "chain")]
    pub correlation_id: String,
    pub scheduled_time: Timestamp,
    pub started_at: Timestamp,
    /// When the heartbeat was last renewed.
    pub alive_at: Timestamp,
}

impl Heartbeat {
    pub(crate) fn new(
        pipeline: &str,
        step: &StepId,
        trigger: &Trigger,
        run_id: &str,
        started_at: Timestamp,
    ) -> Heartbeat {
        Heartbeat {
            run_id: run_id.to_owned(),
            pipeline: pipeline.to_owned(),
            step: step.clone(),
            correlation_id: trigger.correlation_id.clone(),
            scheduled_time: trigger.scheduled_time,
            started_at,
            alive_at: started_at,
        }
    }

    /// Calls `act`, and writes heartbeats while it takes long. Returns its result, and whether a heartbeat was stored. The caller deletes
    /// the heartbeat after it has written the run record.
    pub(crate) fn beat_while<T>(mut self, context: &Context<'_>, act: impl FnOnce() -> T) -> (T, bool) {
        let (lake, first_after) = (context.lake.clone(), context.process.heartbeat_after);
        // wall-clock time, so that time in which the machine was suspended counts
        let began = host::now();
        std::thread::scope(|scope| {
            let (ended, until_ended) = channel::<()>();
            let writer = std::thread::Builder::new().name("heartbeat".into()).spawn_scoped(scope, move || {
                let mut pause = first_after;
                let mut is_stored = false;
                while until_ended.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                    self.alive_at = self.started_at + host::now().duration_since(began);
                    is_stored |= self.write(&lake);
                    pause = HEARTBEAT_EVERY;
                }
                is_stored
            });
            let done = act();
            drop(ended);
            // if the thread cannot be started, the run continues without heartbeats
            let is_stored = writer.is_ok_and(|writer| writer.join().unwrap_or(true));
            (done, is_stored)
        })
    }

    /// Deletes the heartbeat of a run. If that fails, the watcher deletes it later.
    pub(crate) fn delete(context: &Context<'_>, run_id: &str) {
        if let Err(error) = context.lake.delete_running(run_id) {
            tracing::warn!(%error, hint = error.hint(), run_id, "the heartbeat of a run that has ended was not deleted");
        }
    }

    fn write(&self, lake: &Lake) -> bool {
        let json = serde_json::to_vec(self).unwrap_or_default();
        let stored = lake.put_running(&self.run_id, json);
        if let Err(error) = &stored {
            tracing::warn!(%error, hint = error.hint(), run_id = self.run_id, "the heartbeat of a long run was not stored");
        }
        stored.is_ok()
    }
}
