//! Event patterns of EventBridge, as far as the templates use them; anything else is an error.
//! <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html>

use serde_json::{Map, Value, json};

/// Whether an event matches a pattern; an error describes an invalid pattern.
pub fn matches(pattern: &Value, event: &Value) -> Result<bool, String> {
    let Some(fields) = pattern.as_object().filter(|fields| !fields.is_empty()) else {
        return Err(format!("a pattern is an object with fields: {pattern}"));
    };
    let mut is_all = true;
    // All fields are checked, so that an invalid pattern is found with every event.
    for (name, wanted) in fields {
        let found = event.get(name);
        is_all &= match wanted {
            Value::Object(_) => matches(wanted, found.unwrap_or(&json!({})))?,
            Value::Array(choices) if !choices.is_empty() => {
                one_of(choices, found).map_err(|why| format!("{name}: {why}"))?
            }
            other => return Err(format!("{name}: a list of what it may be is wanted, not {other}")),
        };
    }
    Ok(is_all)
}

fn one_of(choices: &[Value], found: Option<&Value>) -> Result<bool, String> {
    let mut is_one = false;
    for choice in choices {
        is_one |= match choice {
            Value::Object(operator) => matches_operator(operator, found)?,
            Value::Array(_) => return Err(format!("a list in a list: {choice}")),
            plain => values(found).any(|value| value == plain),
        };
    }
    Ok(is_one)
}

/// For a list in an event, each element.
fn values(found: Option<&Value>) -> impl Iterator<Item = &Value> {
    let (one, many) = match found {
        Some(Value::Array(all)) => (None, all.as_slice()),
        other => (other, [].as_slice()),
    };
    one.into_iter().chain(many)
}

fn matches_operator(operator: &Map<String, Value>, found: Option<&Value>) -> Result<bool, String> {
    let mut fields = operator.iter();
    let (Some((name, of)), None) = (fields.next(), fields.next()) else {
        return Err(format!("one operator is wanted: {operator:?}"));
    };
    let any = |is: &dyn Fn(&str) -> bool| values(found).filter_map(Value::as_str).any(is);
    match (name.as_str(), of) {
        ("prefix", Value::String(start)) => Ok(any(&|text| text.starts_with(start.as_str()))),
        ("suffix", Value::String(end)) => Ok(any(&|text| text.ends_with(end.as_str()))),
        ("wildcard", Value::String(wild)) => Ok(any(&|text| is_like(wild, text))),
        ("exists", Value::Bool(is_there)) => Ok(found.is_some() == *is_there),
        ("anything-but", Value::Array(others))
            if others.iter().all(|other| !other.is_object() && !other.is_array()) =>
        {
            Ok(found.is_some() && !values(found).any(|value| others.contains(value)))
        }
        ("anything-but", Value::String(_)) => Ok(found.is_some() && !values(found).any(|value| value == of)),
        _ => Err(format!("unknown operator: {operator:?}")),
    }
}

/// `*` matches any text.
fn is_like(wild: &str, text: &str) -> bool {
    let Some((start, rest)) = wild.split_once('*') else { return wild == text };
    let Some(left) = text.strip_prefix(start) else { return false };
    (0..=left.len()).any(|at| left.get(at..).is_some_and(|left| is_like(rest, left)))
}

#[test]
fn patterns_match_as_in_eventbridge() {
    let event =
        json!({"source": "shop", "tags": ["a", "b"], "detail": {"key": "in/sales/1.csv", "size": 7, "none": null}});
    let is = |pattern: Value| matches(&pattern, &event).unwrap();
    for pattern in [
        json!({"source": ["other", "shop"]}),
        json!({"source": ["shop"], "detail": {"size": [7]}}),
        json!({"tags": ["b"]}),
        json!({"detail": {"key": [{"prefix": "in/"}]}}),
        json!({"detail": {"key": [{"suffix": ".csv"}]}}),
        json!({"detail": {"key": [{"wildcard": "in/*/*.csv"}]}}),
        json!({"detail": {"key": [{"anything-but": ["in/", "x"]}]}}),
        json!({"detail": {"other": [{"exists": false}], "size": [{"exists": true}]}}),
        json!({"detail": {"none": [null]}}),
    ] {
        assert!(is(pattern.clone()), "{pattern}");
    }
    for pattern in [
        json!({"source": ["Shop"]}),
        json!({"source": ["shop"], "detail": {"size": ["7"]}}),
        json!({"tags": ["c"]}),
        json!({"detail": {"key": [{"prefix": "out/"}]}}),
        json!({"detail": {"key": [{"suffix": ".CSV"}]}}),
        json!({"detail": {"key": [{"wildcard": "in/*.json"}]}}),
        json!({"detail": {"size": [{"prefix": "7"}]}}),
        json!({"source": [{"anything-but": "shop"}]}),
        json!({"tags": [{"anything-but": ["b"]}]}),
        json!({"other": [{"anything-but": ["b"]}]}),
        json!({"other": [{"exists": true}]}),
        json!({"other": {"deep": ["x"]}}),
    ] {
        assert!(!is(pattern.clone()), "{pattern}");
    }
}

#[test]
fn invalid_patterns_are_refused_with_any_event() {
    for pattern in [
        json!({}),
        json!("shop"),
        json!({"source": "shop"}),
        json!({"source": []}),
        json!({"source": [["shop"]]}),
        json!({"source": ["x"], "detail": {"size": 7}}),
        json!({"detail": {}}),
        json!({"source": [{"prefix": 7}]}),
        json!({"source": [{"prefix": "a", "suffix": "b"}]}),
        json!({"source": [{"numeric": [">", 0]}]}),
        json!({"source": [{"anything-but": {"prefix": "a"}}]}),
        json!({"source": [{"Fn::Sub": "${Stage}"}]}),
    ] {
        assert!(matches(&pattern, &json!({})).is_err(), "{pattern}");
    }
}
