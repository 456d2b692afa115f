//! Pipelines of which nobody wants to hear for a while.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tidemark_flow::{Failure, Kind};
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
pub struct Silences(BTreeMap<String, Silence>);

impl Silences {
    /// Reads those of these pipelines; one that cannot be read silences nobody.
    ///
    /// # Errors
    /// The lake cannot be read.
    pub fn read(lake: &Lake, names: &[String], now: Timestamp) -> Result<Silences, Failure> {
        let mut all = BTreeMap::new();
        for name in names {
            let Ok(pipeline) = name.parse::<PipelineName>() else { continue };
            let Some(bytes) = lake.silence(&pipeline)? else { continue };
            match serde_json::from_slice::<Silence>(&bytes) {
                Ok(silence) if silence.until > now => {
                    all.insert(name.clone(), silence);
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, pipeline = name, "a silence cannot be read"),
            }
        }
        Ok(Silences(all))
    }

    pub fn of(&self, pipeline: &str) -> Option<&Silence> {
        self.0.get(pipeline)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Silence)> {
        self.0.iter().map(|(name, silence)| (name.as_str(), silence))
    }
}

/// Silences a pipeline until a moment.
///
/// # Errors
/// The lake cannot be written.
pub fn silence(lake: &Lake, pipeline: &PipelineName, silence: &Silence) -> Result<(), Failure> {
    let json = serde_json::to_vec(silence)
        .map_err(|error| Failure::new(Kind::Bug, "a silence cannot be written").because(error))?;
    Ok(lake.put_silence(pipeline, json)?)
}
