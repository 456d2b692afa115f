//! The activity that a run record describes.

use serde::{Deserialize, Serialize};
use tidemark_pipeline::StepId;

/// The activity that a run record describes. It is serialized as text; a step uses the text of its [`StepId`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Activity {
    Step(StepId),
    /// A pipeline without a source was started, and each of its steps announced.
    Started,
    /// An event that selected no step, by its name. Also any step name that this version of the program does not know.
    Event(String),
}

const STARTED: &str = "start";

impl Activity {
    pub fn step(&self) -> Option<&StepId> {
        match self {
            Activity::Step(step) => Some(step),
            Activity::Started | Activity::Event(_) => None,
        }
    }
}

impl std::fmt::Display for Activity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Activity::Step(step) => step.fmt(f),
            Activity::Started => f.write_str(STARTED),
            Activity::Event(name) => f.write_str(name),
        }
    }
}

impl From<StepId> for Activity {
    fn from(step: StepId) -> Activity {
        Activity::Step(step)
    }
}

impl From<&str> for Activity {
    fn from(text: &str) -> Activity {
        match text.parse() {
            Ok(step) => Activity::Step(step),
            Err(_) if text == STARTED => Activity::Started,
            Err(_) => Activity::Event(text.to_owned()),
        }
    }
}

impl From<String> for Activity {
    fn from(text: String) -> Activity {
        text.as_str().into()
    }
}

impl From<Activity> for String {
    fn from(activity: Activity) -> String {
        activity.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activities_survive_serialization() {
        let activities = [
            ("clean", Activity::Step(StepId::Clean)),
            ("load report", Activity::Step(StepId::Load("report".into()))),
            ("start", Activity::Started),
            ("test event", Activity::Event("test event".into())),
            ("maintain", Activity::Event("maintain".into())),
            ("model Not A Name", Activity::Event("model Not A Name".into())),
            ("", Activity::Event(String::new())),
        ];
        for (text, activity) in activities {
            assert_eq!(serde_json::from_value::<Activity>(text.into()).unwrap(), activity);
            assert_eq!(serde_json::to_value(&activity).unwrap(), text);
            assert_eq!(activity.to_string(), text);
        }
    }
}
