//! The templates are checked by SAM, cfn-lint and checkov. SAM and cfn-lint overlook some mistakes in a SAM template that they find in its
//! expanded form, so both forms are checked.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use super::explained::EXPLAINED;
use crate::support::aws_emulator::tools::{self, offline};
use crate::support::project::{Answer, root};
use crate::support::template::Template;

const TEMPLATES: [&str; 3] = ["template", "storage", "schedules"];
const PLAIN: [&str; 2] = ["storage.yaml", "schedules.yaml"];
/// Findings of cfn-lint that do not apply to the templates as they are checked here.
const IGNORED: [&str; 2] = [
    // W3002: a nested template is a local file, which `sam deploy` uploads. W1020: SAM replaces a parameter in the name of the layer and
    // leaves the `Fn::Sub`.
    "W3002", "W1020",
];

/// A folder with all templates in expanded form, and those without SAM's transform also as written. `None`, with a message, without a
/// Python for SAM.
fn expanded() -> Option<TempDir> {
    let folder = tempfile::tempdir().unwrap();
    for name in TEMPLATES {
        let template = Template::read(&format!("{name}.yaml"))?;
        std::fs::write(folder.path().join(format!("{name}.json")), template.expanded.to_string()).unwrap();
    }
    for name in PLAIN {
        std::fs::copy(root().join("infra").join(name), folder.path().join(name)).unwrap();
    }
    Some(folder)
}

fn cfn_lint(folder: &Path, name: &str) -> Answer {
    let tools = tools::sam().unwrap();
    let mut command = tools.program(&tools.folder.join("bin/cfn-lint"));
    command.args(["--format", "parseable", "--regions", "eu-west-1", "us-east-1"]);
    if name.ends_with(".json") {
        // `--ignore-checks` would override the list in a template, so it is not used for templates as written.
        command.arg("--ignore-checks").args(IGNORED);
    }
    Answer::from_command(offline(command.arg("--").arg(folder.join(name))))
}

#[test]
fn templates_are_valid_for_sam() {
    let Some(tools) = tools::sam() else { return };
    for name in ["template.yaml", "storage.yaml"] {
        let mut command = tools.module("samcli");
        command
            .args(["validate", "--lint", "--region", "eu-west-1", "--template-file"])
            .arg(root().join("infra").join(name));
        let folder = tempfile::tempdir().unwrap();
        let answer = Answer::from_command(offline(&mut command).env("__SAM_CLI_APP_DIR", folder.path())).expect(0);
        assert!(answer.out.contains("is a valid SAM Template"), "{}", answer.out);
    }
}

#[test]
fn cfn_lint_finds_nothing_in_the_expanded_templates() {
    let Some(folder) = expanded() else { return };
    for name in ["template.json", PLAIN[0], PLAIN[1]] {
        let answer = cfn_lint(folder.path(), name);
        assert_eq!((answer.code, answer.out.as_str()), (0, ""), "{}", answer.err);
    }
    // The check finds mistakes.
    let text = std::fs::read_to_string(folder.path().join("template.json")).unwrap();
    let wrong = text.replace("provided.al2023", "provided.al2032").replace("rate(5 minutes)", "rate(5 minute)");
    std::fs::write(folder.path().join("wrong.json"), wrong).unwrap();
    let answer = cfn_lint(folder.path(), "wrong.json");
    let lines = |part: &str| answer.out.lines().filter(|line| line.contains(part)).count();
    assert_eq!((lines("'provided.al2032' is not one of"), lines("'minute' is not one of")), (4, 1), "{}", answer.out);
}

/// Id of the check, and the resource, like `AWS::SQS::Queue.Lost`.
type Finding = (String, String);

#[test]
fn every_checkov_finding_is_explained() {
    let (Some(folder), Some(tools)) = (expanded(), tools::checkov()) else { return };
    let mut on_resources = Vec::new();
    for name in TEMPLATES {
        on_resources.extend(remove_explanations(&folder.path().join(format!("{name}.json"))));
    }
    for name in PLAIN {
        std::fs::remove_file(folder.path().join(name)).unwrap();
    }
    let mut command = tools.module("checkov.main");
    command.args(["--framework", "cloudformation", "--skip-download", "--output", "json", "-d"]).arg(folder.path());
    let report = Answer::from_command(offline(&mut command)).json();
    assert_eq!(report["summary"]["parsing_errors"], 0, "{report}");
    assert!(report["summary"]["resource_count"].as_u64().unwrap() > 40, "{report}");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let failed = report["results"]["failed_checks"].as_array().unwrap();
    let found: BTreeSet<Finding> =
        failed.iter().map(|finding| (text(&finding["check_id"]), text(&finding["resource"]))).collect();

    let is_of = |finding: &Finding, (check, kind, _): &(&str, &str, &str)| {
        finding.0 == *check && finding.1.strip_prefix(kind).is_some_and(|name| name.starts_with('.'))
    };
    let unexplained: Vec<_> = found
        .iter()
        .filter(|finding| {
            !on_resources.contains(finding) && !EXPLAINED.iter().any(|explained| is_of(finding, explained))
        })
        .collect();
    assert!(unexplained.is_empty(), "{unexplained:#?}");
    let stale: Vec<_> =
        EXPLAINED.iter().filter(|explained| !found.iter().any(|finding| is_of(finding, explained))).collect();
    assert!(stale.is_empty(), "nothing is found of: {stale:#?}");
    let stale: Vec<_> = on_resources.iter().filter(|explained| !found.contains(explained)).collect();
    assert!(stale.is_empty(), "nothing is found of: {stale:#?}");
}

/// Removes the explanations from the resources of a template and returns them. With them in place checkov would skip the checks, and stale
/// ones could not be found.
fn remove_explanations(path: &Path) -> Vec<Finding> {
    let mut template: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let mut explained = Vec::new();
    for (name, resource) in template["Resources"].as_object_mut().unwrap() {
        let resource_name = format!("{}.{name}", resource["Type"].as_str().unwrap());
        let Some(metadata) = resource.get_mut("Metadata").and_then(Value::as_object_mut) else { continue };
        let Some(checkov) = metadata.remove("checkov") else { continue };
        for skip in checkov["skip"].as_array().unwrap() {
            let comment = skip["comment"].as_str().unwrap_or_default();
            assert!(!comment.trim().is_empty(), "{resource_name}: {skip} has no reason");
            explained.push((skip["id"].as_str().unwrap().to_owned(), resource_name.clone()));
        }
    }
    std::fs::write(path, template.to_string()).unwrap();
    explained
}
