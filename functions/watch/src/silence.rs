//! Silences: pipelines whose notifications are suppressed for a while.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tidemark_flow::{Error, ErrorKind};
use tidemark_lake::Lake;
use tidemark_pipeline::PipelineName;

/// A silence as stored in the lake, one object for each pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    pub until: Timestamp,
    pub since: Timestamp,
    /// The reason given by the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The silences of all pipelines.
#[derive(Debug, Default)]
pub struct Silences {
    active: BTreeMap<String, Silence>,
    /// Pipelines whose silence expired long ago.
    expired: Vec<PipelineName>,
}

impl Silences {
    /// Reads the silences of these pipelines. An unreadable silence has no effect.
    ///
    /// # Errors
    /// The lake cannot be read.
    pub fn read(lake: &Lake, names: &[String], now: Timestamp) -> Result<Silences, Error> {
        /// After this time an expired silence is deleted; it will not be extended any more.
        const OVER: SignedDuration = SignedDuration::from_hours(24);
        let (mut active, mut expired) = (BTreeMap::new(), Vec::new());
        for name in names {
            let Ok(pipeline) = name.parse::<PipelineName>() else { continue };
            let Some(bytes) = lake.silence(&pipeline)? else { continue };
            match serde_json::from_slice::<Silence>(&bytes) {
                Ok(silence) if silence.until > now => {
                    active.insert(name.clone(), silence);
                }
                Ok(silence) if now.duration_since(silence.until) >= OVER => expired.push(pipeline),
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, pipeline = name, "a silence cannot be read"),
            }
        }
        Ok(Silences { active, expired })
    }

    pub fn get(&self, pipeline: &str) -> Option<&Silence> {
        self.active.get(pipeline)
    }

    /// Deletes silences that expired long ago.
    ///
    /// # Errors
    /// The lake cannot be written.
    pub(crate) fn clear(&self, lake: &Lake) -> Result<(), Error> {
        Ok(self.expired.iter().try_for_each(|pipeline| lake.delete_silence(pipeline))?)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Silence)> {
        self.active.iter().map(|(name, silence)| (name.as_str(), silence))
    }
}

/// Stores a silence of a pipeline.
///
/// # Errors
/// The lake cannot be written.
pub fn silence(lake: &Lake, pipeline: &PipelineName, silence: &Silence) -> Result<(), Error> {
    let json = serde_json::to_vec(silence)
        .map_err(|error| Error::new(ErrorKind::Bug, "a silence cannot be written").because(error))?;
    Ok(lake.put_silence(pipeline, json)?)
}
