//! Names of steps. Events, run records, messages and arguments all use the text defined here.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::name::DatasetName;

/// The name of a step within its pipeline. Its text, here and wherever it is serialized, is `ingest`, `clean`, `model <dataset>` or
/// `load <target>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum StepId {
    /// Source → raw dataset.
    Ingest,
    /// Raw → clean dataset and quarantine.
    Clean,
    /// Datasets → the dataset of this name.
    Model(DatasetName),
    /// Datasets → the target of this name.
    Load(String),
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StepId::Ingest => f.write_str("ingest"),
            StepId::Clean => f.write_str("clean"),
            StepId::Model(name) => write!(f, "model {name}"),
            StepId::Load(name) => write!(f, "load {name}"),
        }
    }
}

/// A text that is not the name of a step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected `ingest`, `clean`, `model <name>` or `load <target>`, found {0:?}")]
pub struct NoStep(String);

impl FromStr for StepId {
    type Err = NoStep;

    /// Accepts exactly the output of `Display`.
    fn from_str(text: &str) -> Result<StepId, NoStep> {
        let none = || NoStep(text.to_owned());
        match text.split_once(' ') {
            None if text == "ingest" => Ok(StepId::Ingest),
            None if text == "clean" => Ok(StepId::Clean),
            Some(("model", name)) => name.parse().map(StepId::Model).map_err(|_| none()),
            Some(("load", name)) if !name.is_empty() => Ok(StepId::Load(name.to_owned())),
            _ => Err(none()),
        }
    }
}

impl TryFrom<String> for StepId {
    type Error = NoStep;

    fn try_from(text: String) -> Result<StepId, NoStep> {
        text.parse()
    }
}

impl From<StepId> for String {
    fn from(step: StepId) -> String {
        step.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_its_text_wherever_it_is_written() {
        let steps = [
            (StepId::Ingest, "ingest"),
            (StepId::Clean, "clean"),
            (StepId::Model("by_day".parse().unwrap()), "model by_day"),
            (StepId::Load("the report".into()), "load the report"),
        ];
        for (step, text) in steps {
            assert_eq!(step.to_string(), text);
            assert_eq!(text.parse(), Ok(step.clone()));
            assert_eq!(serde_json::to_value(&step).unwrap(), text);
            assert_eq!(serde_json::from_value::<StepId>(text.into()).unwrap(), step);
        }
    }

    #[test]
    fn what_is_nearly_a_step_is_none() {
        for text in [
            "",
            "Ingest",
            " ingest",
            "ingest ",
            "ingest x",
            "clean sales",
            "model",
            "model ",
            "model A",
            "load",
            "load ",
        ] {
            assert_eq!(text.parse::<StepId>(), Err(NoStep(text.to_owned())), "{text:?}");
            assert!(serde_json::from_value::<StepId>(text.into()).is_err(), "{text:?}");
        }
    }
}
