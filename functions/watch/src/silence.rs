//! Pipelines of which nobody wants to hear for a while.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tidemark_flow::{Error, ErrorKind};
use tidemark_lake::Lake;
use tidemark_pipeline::PipelineName;

/// As it is kept in the lake, one for each pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    pub until: Timestamp,
    pub since: Timestamp,
    /// What somebody said about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Those that last.
#[derive(Debug, Default)]
pub struct Silences {
    last: BTreeMap<String, Silence>,
    /// Those that are over for long.
    over: Vec<PipelineName>,
}

impl Silences {
    /// Reads those of these pipelines; one that cannot be read silences nobody.
    ///
    /// # Errors
    /// The lake cannot be read.
    pub fn read(lake: &Lake, names: &[String], now: Timestamp) -> Result<Silences, Error> {
        /// Nobody gives a new end to a silence that is over for so long.
        const OVER: SignedDuration = SignedDuration::from_hours(24);
        let (mut last, mut over) = (BTreeMap::new(), Vec::new());
        for name in names {
            let Ok(pipeline) = name.parse::<PipelineName>() else { continue };
            let Some(bytes) = lake.silence(&pipeline)? else { continue };
            match serde_json::from_slice::<Silence>(&bytes) {
                Ok(silence) if silence.until > now => {
                    last.insert(name.clone(), silence);
                }
                Ok(silence) if now.duration_since(silence.until) >= OVER => over.push(pipeline),
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, pipeline = name, "a silence cannot be read"),
            }
        }
        Ok(Silences { last, over })
    }

    pub fn get(&self, pipeline: &str) -> Option<&Silence> {
        self.last.get(pipeline)
    }

    /// Takes away those that are over for long.
    ///
    /// # Errors
    /// The lake cannot be written.
    pub(crate) fn clear(&self, lake: &Lake) -> Result<(), Error> {
        Ok(self.over.iter().try_for_each(|pipeline| lake.delete_silence(pipeline))?)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Silence)> {
        self.last.iter().map(|(name, silence)| (name.as_str(), silence))
    }
}

/// Silences a pipeline until a moment.
///
/// # Errors
/// The lake cannot be written.
pub fn silence(lake: &Lake, pipeline: &PipelineName, silence: &Silence) -> Result<(), Error> {
    let json = serde_json::to_vec(silence)
        .map_err(|error| Error::new(ErrorKind::Bug, "a silence cannot be written").because(error))?;
    Ok(lake.put_silence(pipeline, json)?)
}
