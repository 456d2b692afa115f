//! Relations between resources that no tool checks: order of creation, distinct names, permissions limited to a stage, and retained data.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tidemark_pipeline::PipelineName;

use crate::support::aws_emulator::{ACCOUNT, REGION};
use crate::support::template::Template;

/// The template with data, and those that are created and deleted with the code.
const STORAGE: &str = "storage.yaml";
const CODE: [&str; 2] = ["template.yaml", "schedules.yaml"];
/// Prefixes of all names of a deployment.
const PREFIXES: [&str; 2] = ["tidemark-${Stage}", "${Name}"];

/// The elements of a list, or a single value.
fn many(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(all) => all.iter().collect(),
        Value::Null => Vec::new(),
        value => vec![value],
    }
}

/// Logical name of the resource that a value is the ARN of.
fn arn_of(value: &Value) -> Option<&str> {
    let of = value["Fn::GetAtt"].as_array().filter(|of| of[1] == "Arn")?;
    of[0].as_str()
}

/// Whether a policy document allows the action on this function or queue, by reference or by ARN.
fn allows(template: &Template, document: &Value, action: &str, name: &str) -> bool {
    let function = template.resolved(&template.expanded["Resources"][name]["Properties"]["FunctionName"], &[]);
    let by_name = function.as_str().map(|function| format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}"));
    let is_it = |resource: &Value| {
        arn_of(resource) == Some(name)
            || by_name.as_ref().is_some_and(|arn| template.resolved(resource, &[]) == json!(arn))
    };
    document["Statement"].as_array().unwrap().iter().any(|statement| {
        statement["Effect"] == "Allow"
            && many(&statement["Action"]).iter().any(|found| *found == action)
            && many(&statement["Resource"]).into_iter().any(is_it)
    })
}

/// When a failure destination is configured, Lambda checks that the function may send to it.
#[test]
fn permissions_exist_before_their_failure_destinations() {
    let Some(template) = Template::read("template.yaml") else { return };
    let resources = &template.expanded["Resources"];
    let mut found = BTreeMap::new();
    for (config, resource) in template.of_type("AWS::Lambda::EventInvokeConfig") {
        let function = resource["Properties"]["FunctionName"]["Ref"].as_str().unwrap();
        let destinations = resource["Properties"]["DestinationConfig"].as_object().unwrap();
        for destination in destinations.values() {
            let to = arn_of(&destination["Destination"]).unwrap_or_else(|| panic!("{config}: {destination}"));
            let action = match resources[to]["Type"].as_str() {
                Some("AWS::Lambda::Function") => "lambda:InvokeFunction",
                Some("AWS::SQS::Queue") => "sqs:SendMessage",
                other => panic!("{config}: a destination that is {other:?}"),
            };
            let role = arn_of(&resources[function]["Properties"]["Role"]).unwrap();
            let inline = many(&resources[role]["Properties"]["Policies"])
                .into_iter()
                .filter_map(|policy| policy.get("PolicyDocument"));
            // The configuration is created after its function, which is created after these policies.
            let waited_for = many(&resources[function]["DependsOn"]).into_iter().chain(many(&resource["DependsOn"]));
            let attached = waited_for.map(|policy| &resources[policy.as_str().unwrap()]["Properties"]);
            let attached = attached.filter(|policy| many(&policy["Roles"]).contains(&&json!({"Ref": role})));
            let mut documents = inline.chain(attached.map(|policy| &policy["PolicyDocument"]));
            assert!(
                documents.any(|document| allows(&template, document, action, to)),
                "{function} may not {action} on {to} when {config} is made"
            );
            found.insert(function.to_owned(), to.to_owned());
        }
    }
    let expected = [("Ingest", "Watch"), ("Transform", "Watch"), ("Load", "Watch"), ("Watch", "Lost")];
    assert_eq!(found, expected.map(|(function, to)| (function.to_owned(), to.to_owned())).into());
}

/// <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html>
#[test]
fn visibility_timeout_of_a_queue_exceeds_the_function_timeout() {
    let Some(template) = Template::read("template.yaml") else { return };
    let (mut mappings, resources) = (0, &template.expanded["Resources"]);
    for (name, mapping) in template.of_type("AWS::Lambda::EventSourceMapping") {
        let queue = arn_of(&mapping["Properties"]["EventSourceArn"]).unwrap();
        let function = mapping["Properties"]["FunctionName"]["Ref"].as_str().unwrap();
        let timeout = resources[function]["Properties"]["Timeout"]["Ref"].as_str().unwrap();
        let longest = template.written["Parameters"][timeout]["MaxValue"].as_u64().unwrap();
        let unseen = resources[queue]["Properties"]["VisibilityTimeout"].as_u64().unwrap();
        assert!(unseen >= 6 * longest, "{name}: {unseen} seconds, and the function may take {longest}");
        mappings += 1;
    }
    assert_eq!(mappings, 1);
}

/// The prefix of names in schedules.yaml, as template.yaml passes it.
fn prefix(template: &Template) -> String {
    let (_, stack) = template.of_type("AWS::CloudFormation::Stack").next().unwrap();
    template.resolved(&stack["Properties"]["Parameters"]["Name"], &[]).as_str().unwrap().to_owned()
}

#[test]
fn no_pipeline_can_have_the_name_of_another_rule() {
    let (Some(template), Some(schedules)) = (Template::read(CODE[0]), Template::read(CODE[1])) else { return };
    let prefix = prefix(&template);
    let mut taken = BTreeSet::new();
    let mut own_of_default_bus = Vec::new();
    for (of, is_own) in [(&template, true), (&schedules, false)] {
        for kind in ["AWS::Events::Rule", "AWS::Scheduler::Schedule"] {
            for (id, resource) in of.of_type(kind) {
                let name = of.resolved(&resource["Properties"]["Name"], &[("Name", &prefix)]);
                let name = name.as_str().unwrap_or_else(|| panic!("{id} has no name of its own: {name}")).to_owned();
                assert!(taken.insert(name.clone()), "{name} twice");
                if is_own && resource["Properties"].get("EventBusName").is_none() {
                    own_of_default_bus.push(name);
                }
            }
        }
    }
    assert!(own_of_default_bus.len() == 3 && taken.len() > 7, "{taken:?}");
    let could_be = |name: &str| {
        let pipeline = name.strip_prefix(&format!("{prefix}-"));
        pipeline.is_some_and(|pipeline| pipeline.parse::<PipelineName>().is_ok())
    };
    // The check recognises names of pipelines.
    assert!(taken.contains(&format!("{prefix}-orders")) && could_be(&format!("{prefix}-orders")));
    let met: Vec<_> = own_of_default_bus.iter().filter(|name| could_be(name)).collect();
    assert!(met.is_empty(), "a pipeline could have the name of {met:?}");
}

fn texts<'v>(value: &'v Value, into: &mut Vec<&'v str>) {
    match value {
        Value::String(text) => into.push(text),
        Value::Array(all) => all.iter().for_each(|value| texts(value, into)),
        Value::Object(fields) => fields.values().for_each(|value| texts(value, into)),
        _ => {}
    }
}

/// Whether a wildcard also matches resources of another stage whose name begins with this one's.
fn matches_other_stages(text: &str) -> bool {
    PREFIXES
        .iter()
        .flat_map(|prefix| text.split(prefix).skip(1))
        .any(|rest| rest.contains(['*', '?']) && !rest.starts_with(['-', '_', '/']))
}

#[test]
fn no_wildcard_matches_another_stage() {
    let (mut wild, mut wrong) = (0, Vec::new());
    for name in [CODE[0], CODE[1], STORAGE] {
        let Some(template) = Template::read(name) else { return };
        let mut all = Vec::new();
        texts(&template.expanded["Resources"], &mut all);
        let of_stage = |text: &&&str| PREFIXES.iter().any(|prefix| text.contains(prefix)) && text.contains('*');
        wild += all.iter().filter(of_stage).count();
        wrong.extend(all.into_iter().filter(|text| matches_other_stages(text)).map(|text| format!("{name}: {text}")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(wild > 10, "{wild}");
    for (text, is_match) in [
        ("rule/tidemark-${Stage}*", true),
        ("rule/tidemark-${Stage}.*", true),
        ("rule/${Name}?", true),
        ("rule/tidemark-${Stage}-*", false),
        ("rule/tidemark-${Stage}/*", false),
        ("rule/tidemark-${Stage}", false),
    ] {
        assert_eq!(matches_other_stages(text), is_match, "{text}");
    }
}

#[test]
fn buckets_are_retained_and_only_in_the_storage_stack() {
    let (kept, mut found) = (["AWS::S3::Bucket", "AWS::S3::BucketPolicy"], Vec::new());
    for name in [CODE[0], CODE[1], STORAGE] {
        let Some(template) = Template::read(name) else { return };
        for kind in kept {
            for (id, resource) in template.of_type(kind) {
                assert_eq!(name, STORAGE, "{id}: no data is in what is torn down");
                let policies = (&resource["DeletionPolicy"], &resource["UpdateReplacePolicy"]);
                assert_eq!(policies, (&json!("Retain"), &json!("Retain")), "{id}");
                found.push(id.to_owned());
            }
        }
        if name == STORAGE {
            let resources = template.expanded["Resources"].as_object().unwrap();
            let other = resources.iter().find(|(_, resource)| !kept.iter().any(|kind| resource["Type"] == *kind));
            assert!(other.is_none(), "is it data? {other:?}");
        }
    }
    found.sort();
    assert_eq!(found, ["LakeBucket", "LakePolicy", "ReportBucket", "ReportPolicy"]);
}

#[test]
fn every_queue_is_encrypted() {
    let mut queues = 0;
    for name in [CODE[0], CODE[1], STORAGE] {
        let Some(template) = Template::read(name) else { return };
        for (id, queue) in template.of_type("AWS::SQS::Queue") {
            let properties = &queue["Properties"];
            assert!(properties["SqsManagedSseEnabled"] == true || properties["KmsMasterKeyId"].is_string(), "{id}");
            queues += 1;
        }
    }
    assert_eq!(queues, 2);
}
