//! `tidemark schedules`: writes the template derived from the pipelines, and checks whether it is current.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::project::{Site, root};
use crate::support::python;

const FILE: &str = "infra/schedules.yaml";

fn contents(site: &Site) -> String {
    std::fs::read_to_string(site.path(FILE)).unwrap()
}

/// Parses a template with PyYAML; `None`, with a message, without Python 3.
fn read_by_python(template: &str) -> Option<Value> {
    let mut command = python::yaml()?;
    command.arg(root().join("tests/command/schedules.py")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(template.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn the_file_is_written_checked_and_updated() {
    let site = Site::with_daily_sales();
    let missing = site.call(&["schedules", "--check"]).expect(2).out;
    assert_eq!(missing, "✗ infra/schedules.yaml  is not there\n    → tidemark schedules\n");
    assert!(!site.path(FILE).exists());
    assert_eq!(site.call(&["schedules"]).expect(0).out, "✓ infra/schedules.yaml  written\n");
    let first = contents(&site);
    assert!(first.starts_with("# Made by `tidemark schedules`") && first.contains("  DailySalesSchedule:\n"));
    let current = site.call(&["schedules", "--check"]).expect(0).out;
    assert_eq!(current, "✓ infra/schedules.yaml  is what the pipeline files say\n");
    assert_eq!(site.call(&["schedules"]).expect(0).out, "✓ infra/schedules.yaml  as it was\n");
    // Line ends of a checkout on Windows.
    site.write(FILE, first.replace('\n', "\r\n"));
    site.call(&["schedules", "--check"]).expect(0);
    site.write(FILE, &first);

    let pipeline = "infra/pipelines/daily-sales.toml";
    let text = std::fs::read_to_string(site.path(pipeline)).unwrap();
    site.write(pipeline, text.replace("0 8 * * ? *", "30 7 * * ? *"));
    let differs = site.call(&["schedules", "--check"]).expect(2).out;
    for (sign, cron) in [("-", "0 8"), ("+", "30 7")] {
        let line = format!(": {sign}       ScheduleExpression: 'cron({cron} * * ? *)'\n");
        assert!(differs.contains(&line) && differs.contains("    DailySalesSchedule:"), "no {line} in {differs}");
    }
    assert!(differs.ends_with("    → tidemark schedules\n") && differs.lines().count() == 4, "{differs}");
    let document = site.ask(&["schedules", "--check"]).expect(2).json();
    assert_eq!((&document["is_current"], &document["is_there"]), (&json!(false), &json!(true)));
    assert_eq!(document["differences"][0]["of"], "DailySalesSchedule");
    assert_eq!(contents(&site), first, "a check writes nothing");

    let written = site.ask(&["schedules"]).expect(0).json();
    assert_eq!(written, json!({"file": FILE, "changed": true}));
    assert_eq!(contents(&site), first.replace("cron(0 8 ", "cron(30 7 "));
    site.call(&["schedules", "--check"]).expect(0);
    assert!(!site.path("lake").exists());
    assert_eq!(site.files("infra").len(), 1 + site.files("infra/pipelines").len(), "something was left behind");
}

#[test]
fn the_file_lies_beside_the_folder_of_pipelines() {
    let site = Site::with_orders("[contract.columns]\nid = \"int64\"\n");
    std::fs::rename(site.path("infra/pipelines"), site.path("shop")).unwrap();
    let missing = site.call(&["schedules", "--check", "--pipelines", "shop"]).expect(2).out;
    assert!(
        missing.contains("✗ schedules.yaml") && missing.contains("→ tidemark schedules --pipelines shop"),
        "{missing}"
    );
    site.call(&["schedules", "--pipelines", "shop"]).expect(0);
    site.call(&["schedules", "--check", "--pipelines", "shop"]).expect(0);
    assert!(site.path("schedules.yaml").exists());
}

/// The template does not depend on the values of parameters, or on whether they have one.
#[test]
fn the_values_of_parameters_do_not_matter() {
    let site = Site::new();
    for name in ["orders.toml", "orders/orders_by_day.sql"] {
        site.write(
            &format!("infra/pipelines/{name}"),
            std::fs::read(root().join("infra/pipelines").join(name)).unwrap(),
        );
    }
    site.call(&["schedules"]).expect(0);
    let text = contents(&site);
    assert!(text.contains("secret:tidemark/warehouse-password-??????'"), "{text}");
    for set in ["WAREHOUSE=", "WAREHOUSE=postgres://loader@db.example.com/shop", "ORDERS_API=https://api.example.com"] {
        site.call(&["schedules", "--check", "--set", set]).expect(0);
    }
}

#[test]
fn a_broken_definition_is_reported_like_check_and_nothing_is_written() {
    let site = Site::with_daily_sales();
    site.call(&["schedules"]).expect(0);
    let text = contents(&site);
    site.write("infra/pipelines/shop.toml", "[contract.columns]\nid = \"int46\"\n");
    for verb in [&["schedules"][..], &["schedules", "--check"]] {
        let printed = site.call(verb).expect(2);
        assert!(printed.err.contains("shop.toml:2:6:") && printed.out.is_empty(), "{printed:?}");
        assert_eq!(site.ask(verb).expect(2).json(), site.ask(&["check"]).expect(2).json());
    }
    // Valid everywhere but on AWS.
    std::fs::remove_file(site.path("infra/pipelines/shop.toml")).unwrap();
    let model = "[[model]]\nname = \"sales_raw\"\nsql = \"SELECT * FROM sales\"\n";
    site.write("infra/pipelines/shop.toml", model);
    site.call(&["check"]).expect(0);
    let printed = site.call(&["schedules"]).expect(2).err;
    assert!(printed.contains("shop.toml:2:8: dataset `sales_raw`") && printed.contains("`sales.raw`"), "{printed}");
    assert_eq!(contents(&site), text);
}

#[test]
fn the_file_of_the_repository_is_current() {
    let mut command = Site::new().command(crate::support::project::tidemark());
    let answer =
        crate::support::project::Answer::from_command(command.current_dir(root()).args(["schedules", "--check"]))
            .expect(0);
    assert!(answer.out.starts_with("✓ infra/schedules.yaml"), "{}", answer.out);
}

/// Descriptions with special characters are unchanged for a YAML parser.
#[test]
fn descriptions_are_escaped_in_the_template() {
    let hostile = [
        "it's \"quoted\": - [a] {b} # c & *d !e %f @g `h`",
        "${Name} ${AWS::Region} $${x} \\ \\n",
        "Ümsätze, 東京, 🎁, \u{2028}, \u{85}, \u{feff}, \u{7f}.",
        "two\nlines:\n  - and\tmore",
        "!Ref Name",
        "~",
        "2026-11-26",
        ": ",
    ];
    let site = Site::new();
    let name = |nth: usize| format!("p-{}", char::from(b'a' + u8::try_from(nth).unwrap()));
    for (nth, text) in hostile.iter().enumerate() {
        // `${` is escaped in pipeline files.
        let written = serde_json::to_string(&text.replace("${", "$${")).unwrap().replace('\u{7f}', "\\u007f");
        let dataset = name(nth).replace('-', "_");
        let zone = if nth % 2 == 0 { "UTC" } else { "Asia/Tokyo" };
        site.write(
            &format!("infra/pipelines/{}.toml", name(nth)),
            format!(
                "description = {written}\nschedule = {{ cron = \"0 8 ? * MON#1 *\", timezone = \"{zone}\" }}\n[source]\nkind = \"files\"\n\
                 path = \"in\"\nformat = \"csv\"\n[contract]\ndataset = \"{dataset}\"\n[contract.columns]\nid = \"int64\"\n"
            ),
        );
    }
    site.call(&["schedules"]).expect(0);
    let Some(template) = read_by_python(&contents(&site)) else { return };
    for (nth, text) in hostile.iter().enumerate() {
        let letter = name(nth)[2..].to_uppercase();
        let schedule = &template["Resources"][format!("P{letter}Schedule")]["Properties"];
        // Control characters become blanks.
        let shown = |text: &str| text.replace(['\u{85}', '\u{7f}'], " ").trim().to_owned();
        assert_eq!(schedule["Description"].as_str().unwrap(), shown(text));
        assert_eq!(schedule["Name"], json!({"Sub": format!("${{Name}}-{}", name(nth))}));
        assert_eq!(schedule["ScheduleExpression"], "cron(0 8 ? * MON#1 *)");
        let input = match schedule.get("Target") {
            Some(target) => target["Input"].as_str().unwrap().to_owned(),
            None => {
                let transformer = &schedule["Targets"][0]["InputTransformer"];
                assert_eq!(transformer["InputPathsMap"], json!({"time": "$.time"}));
                // The input that EventBridge makes from the template.
                transformer["InputTemplate"].as_str().unwrap().replace("<time>", "\"2026-03-03T08:00:00Z\"")
            }
        };
        let input: Value = serde_json::from_str(&input).unwrap();
        assert_eq!(input["pipeline"], name(nth).as_str());
        assert!(input["scheduled_time"].is_string() && input.as_object().unwrap().len() == 2);
        let table = &template["Resources"][format!("P{letter}Table")]["Properties"]["TableInput"];
        let line = shown(text).replace(['\n', '\t'], " ");
        let expected = format!("Clean rows of pipeline {}: {line}", name(nth));
        assert_eq!(table["Description"].as_str().unwrap().trim(), expected.trim());
    }
}
