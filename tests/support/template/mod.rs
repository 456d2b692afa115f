//! A template of `infra/` as JSON, as written and in the form expanded by SAM.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::support::aws_emulator::{ACCOUNT, REGION, tools};
use crate::support::project::{Answer, root};

pub struct Template {
    pub written: Value,
    pub expanded: Value,
}

impl Template {
    /// `None`, with a message, without a Python for SAM.
    pub fn read(name: &str) -> Option<Template> {
        let mut command = tools::sam()?.program(&root().join("tests/support/template/expand.py"));
        command.arg(root().join("infra").join(name));
        let answer = Answer::from_command(tools::offline(&mut command)).expect(0);
        let [written, expanded]: [Value; 2] = serde_json::from_value(answer.json()).unwrap();
        Some(Template { written, expanded })
    }

    /// All resources of a type, with their logical names.
    pub fn of_type<'t>(&'t self, kind: &'t str) -> impl Iterator<Item = (&'t str, &'t Value)> {
        let resources = self.expanded["Resources"].as_object().unwrap();
        resources.iter().filter(move |(_, resource)| resource["Type"] == kind).map(|(name, of)| (name.as_str(), of))
    }

    /// A value with parameters replaced; references to other resources remain.
    pub fn resolved(&self, value: &Value, parameters: &[(&str, &str)]) -> Value {
        let mut known: BTreeMap<&str, String> = BTreeMap::new();
        for (name, parameter) in self.written["Parameters"].as_object().unwrap() {
            if let Some(default) = parameter.get("Default") {
                known.insert(name, default.as_str().map_or_else(|| default.to_string(), str::to_owned));
            }
        }
        known.extend(parameters.iter().map(|(name, value)| (*name, (*value).to_owned())));
        known.extend([("AWS::AccountId", ACCOUNT), ("AWS::Region", REGION), ("AWS::Partition", "aws")].map(of_aws));
        resolve(value, &known)
    }
}

fn of_aws((name, value): (&'static str, &str)) -> (&'static str, String) {
    (name, value.to_owned())
}

fn resolve(value: &Value, known: &BTreeMap<&str, String>) -> Value {
    match value {
        Value::Array(all) => all.iter().map(|value| resolve(value, known)).collect(),
        Value::Object(object) => match function(object) {
            Some(("Ref", Value::String(name))) => {
                known.get(name.as_str()).map_or_else(|| value.clone(), |text| json!(text))
            }
            Some(("Fn::Sub", Value::String(text))) => {
                let put = |text: String, (name, value): (&&str, &String)| text.replace(&format!("${{{name}}}"), value);
                let text = known.iter().fold(text.clone(), put);
                if text.contains("${") { json!({"Fn::Sub": text}) } else { json!(text) }
            }
            _ => object.iter().map(|(name, value)| (name.clone(), resolve(value, known))).collect::<Map<_, _>>().into(),
        },
        value => value.clone(),
    }
}

fn function(object: &Map<String, Value>) -> Option<(&str, &Value)> {
    let (name, of) = object.iter().next()?;
    (object.len() == 1).then_some((name.as_str(), of))
}
