//! The metrics that alarms and dashboards use are compared with those that the code sends: a misspelt name would be an empty graph, or an
//! alarm that never goes off.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::project::root;
use crate::support::template::Template;

const NAMESPACE: &str = "Tidemark/dev";

/// Names of the dimensions, and name of the metric.
type Metric = (Vec<String>, String);

fn metric(dimensions: &[&str], name: &str) -> Metric {
    (dimensions.iter().map(|&dimension| dimension.to_owned()).collect(), name.to_owned())
}

/// The metrics that functions send, parsed from the source text of `shared/aws/src/metrics.rs`, since that module is private and no single
/// run sends them all. A metric is `("name", "Unit"` there, or the second of a pair of names; the dimensions of a function follow its
/// metrics.
fn sent() -> BTreeSet<Metric> {
    let text = std::fs::read_to_string(root().join("shared/aws/src/metrics.rs")).unwrap();
    let (text, _) = text.split_once("#[cfg(test)]").unwrap();
    let mut sent = BTreeSet::new();
    for function in text.split("\nfn ") {
        let Some((metrics, rest)) = function.split_once("dimensions: vec![") else { continue };
        let (dimensions, _) = rest.split_once(']').unwrap();
        // A value may contain a text in parentheses too.
        let names = tuples(dimensions).filter(|(_, rest)| rest.starts_with(','));
        let dimensions: Vec<&str> = names.map(|(name, _)| name).collect();
        for (first, rest) in tuples(metrics) {
            let Some((second, rest)) = rest.strip_prefix(", \"").and_then(|rest| rest.split_once('"')) else {
                continue;
            };
            let name = if rest.starts_with(')') { second } else { first };
            sent.insert(metric(&dimensions, name));
        }
    }
    sent
}

/// The first text of each tuple, and what follows it.
fn tuples(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split("(\"").skip(1).filter_map(|rest| rest.split_once('"'))
}

#[test]
fn sent_metrics_are_parsed_from_the_source_text() {
    let sent = sent();
    let of = |dimensions: &[&str]| {
        let ours = |(by, _): &&Metric| by.iter().map(String::as_str).eq(dimensions.iter().copied());
        sent.iter().filter(ours).map(|(_, name)| name.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(of(&["dataset"]), ["lag_seconds"]);
    assert_eq!(of(&["pipeline", "step"]).len(), 12, "{sent:#?}");
    let of_watch = of(&["function"]);
    assert!(
        of_watch.len() == 10 && of_watch.contains(&"heartbeat") && of_watch.contains(&"records_read"),
        "{of_watch:?}"
    );
    assert!(!of_watch.contains(&"records"), "that is what the watcher calls it");
}

/// Our metrics in the rows of a widget, where `.` repeats the value of the row above.
fn of_rows(rows: &[Value]) -> Vec<Metric> {
    let mut found = Vec::new();
    let mut above: Vec<String> = Vec::new();
    for row in rows {
        let row = row.as_array().unwrap();
        if let Some(expression) = row[0].get("expression") {
            found.extend(of_searches(expression.as_str().unwrap()));
            continue;
        }
        let texts = row.iter().filter_map(Value::as_str).enumerate();
        above = texts.map(|(at, text)| if text == "." { above[at].clone() } else { text.to_owned() }).collect();
        if above[0] == NAMESPACE {
            let dimensions = above[2..].iter().step_by(2).cloned().collect();
            found.push((dimensions, above[1].clone()));
        }
    }
    found
}

/// Our metrics in `SEARCH('{namespace,dimension} MetricName="name"', …)`.
fn of_searches(expression: &str) -> Vec<Metric> {
    let of = |search: &str| {
        let (schema, rest) = search.split_once("} MetricName=\"")?;
        let (name, rest) = rest.split_once('"')?;
        let (namespace, dimensions) = schema.strip_prefix("'{\"")?.split_once("\",")?;
        (namespace == NAMESPACE && rest.starts_with('\'')).then_some(())?;
        Some(metric(&dimensions.split(',').collect::<Vec<_>>(), name))
    };
    let searches = expression.split("SEARCH(").skip(1);
    searches
        .map(|search| of(search).unwrap_or_else(|| panic!("no search for a metric of ours: {expression}")))
        .collect()
}

#[test]
fn every_graph_shows_metrics_that_are_sent() {
    let Some(template) = Template::read("template.yaml") else { return };
    let sent = sent();
    let mut graphed = BTreeSet::new();
    for (name, dashboard) in template.of_type("AWS::CloudWatch::Dashboard") {
        let body = template.resolved(&dashboard["Properties"]["DashboardBody"], &[]);
        let body = body.as_str().unwrap_or_else(|| panic!("{name}: what is it with all parameters? {body}"));
        let body: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{name}: {error}"));
        for widget in body["widgets"].as_array().unwrap() {
            let rows = widget["properties"]["metrics"].as_array().map(Vec::as_slice).unwrap_or_default();
            assert_eq!(rows.is_empty(), widget["type"] == "log", "{widget}");
            graphed.extend(of_rows(rows));
        }
    }
    assert!(graphed.len() > 12, "{graphed:#?}");
    let unsent: Vec<_> = graphed.difference(&sent).collect();
    assert!(unsent.is_empty(), "nobody sends {unsent:?}");
}

#[test]
fn every_alarm_uses_metrics_that_are_sent_and_has_a_recipient() {
    let Some(template) = Template::read("template.yaml") else { return };
    let sent = sent();
    let mut ours = BTreeSet::new();
    for (name, alarm) in template.of_type("AWS::CloudWatch::Alarm") {
        let properties = &alarm["Properties"];
        let has_recipient = properties["AlarmActions"].as_array().is_some_and(|actions| !actions.is_empty());
        assert!(has_recipient && properties["ActionsEnabled"] != false, "{name}");
        let parts = properties["Metrics"].as_array().map(Vec::as_slice).unwrap_or_default();
        let parts = parts.iter().filter_map(|part| part.get("MetricStat")).map(|part| &part["Metric"]);
        let metrics: Vec<&Value> = parts.chain(properties.get("MetricName").map(|_| properties)).collect();
        assert!(!metrics.is_empty(), "{name}");
        for found in metrics {
            let namespace = template.resolved(&found["Namespace"], &[]);
            if namespace.as_str().unwrap().starts_with("AWS/") {
                continue;
            }
            assert_eq!(namespace, NAMESPACE, "{name}");
            let dimensions = found["Dimensions"].as_array().unwrap().iter().map(|by| by["Name"].as_str().unwrap());
            ours.insert(metric(&dimensions.collect::<Vec<_>>(), found["MetricName"].as_str().unwrap()));
        }
    }
    assert!(ours.contains(&metric(&["function"], "heartbeat")), "nobody watches the watcher: {ours:?}");
    let unsent: Vec<_> = ours.difference(&sent).collect();
    assert!(unsent.is_empty(), "nobody sends {unsent:?}");
}
