//! A run that takes long says in the lake that it is under way, and says it again while it lasts. Whoever finds the mark of a run that says
//! nothing any more, and no record of it, knows that it never ended. A short run leaves no mark: that it died is seen by what is missing.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tidemark_lake::Lake;
use tidemark_pipeline::StepId;

use crate::context::Context;
use crate::host;
use crate::trigger::Trigger;

/// After which a mark is written, where nothing else is wanted.
pub const HEARTBEAT_AFTER: Duration = Duration::from_secs(20);
/// Between two signs of life.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(60);

/// A run that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    pub run_id: String,
    pub pipeline: String,
    pub step: StepId,
    #[serde(rename = "chain")]
    pub correlation_id: String,
    pub scheduled_time: Timestamp,
    pub started_at: Timestamp,
    /// Its last sign of life.
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

    /// Does what is to be done, and keeps the mark while it takes long. Says whether there is a mark, which is to be taken away when the
    /// record of the run is there.
    pub(crate) fn beat_while<T>(mut self, context: &Context<'_>, act: impl FnOnce() -> T) -> (T, bool) {
        let (lake, mark_after) = (context.lake.clone(), context.process.heartbeat_after);
        // a machine that has slept has not been under way for less
        let began = host::now();
        std::thread::scope(|scope| {
            let (ended, until_ended) = channel::<()>();
            let keeper = std::thread::Builder::new().name("mark".into()).spawn_scoped(scope, move || {
                let mut pause = mark_after;
                let mut is_kept = false;
                while until_ended.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                    self.alive_at = self.started_at + host::now().duration_since(began);
                    is_kept |= self.write(&lake);
                    pause = HEARTBEAT_EVERY;
                }
                is_kept
            });
            let done = act();
            drop(ended);
            // without a thread the run goes on unmarked
            let is_kept = keeper.is_ok_and(|keeper| keeper.join().unwrap_or(true));
            (done, is_kept)
        })
    }

    /// Takes the mark of a run away; one that stays is taken away by the watcher.
    pub(crate) fn delete(context: &Context<'_>, run_id: &str) {
        if let Err(error) = context.lake.delete_running(run_id) {
            tracing::warn!(%error, hint = error.hint(), run_id, "the mark of a run that has ended was not deleted");
        }
    }

    fn write(&self, lake: &Lake) -> bool {
        let json = serde_json::to_vec(self).unwrap_or_default();
        let kept = lake.put_running(&self.run_id, json);
        if let Err(error) = &kept {
            tracing::warn!(%error, hint = error.hint(), run_id = self.run_id, "the mark of a run that takes long was not kept");
        }
        kept.is_ok()
    }
}
