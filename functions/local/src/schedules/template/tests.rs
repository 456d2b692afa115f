use tidemark_pipeline::{SourceFile, read};

use super::*;

const CONTRACT: &str = "[contract.columns]\nid = 'int64'\n";
const SOURCE: &str = "[source]\nkind = 'files'\npath = 'in'\nformat = 'csv'\n";

/// Pipelines by name and text; each parameter has its placeholder as value.
fn graph_of(files: &[(&str, &str)]) -> Graph {
    let definition = |(name, text): &(&str, &str)| {
        let path = format!("pipelines/{name}.toml");
        let file = SourceFile::new(&path, text.as_bytes()).unwrap();
        let parameter = |name: &str| Some(format!("${{{name}}}"));
        read(&file, &parameter, &|_| Err("no such file".into())).unwrap()
    };
    Graph::new(files.iter().map(definition).collect()).unwrap()
}

fn template_of(files: &[(&str, &str)]) -> String {
    template(&graph_of(files)).unwrap()
}

fn with_schedule(schedule: &str) -> String {
    template_of(&[("shop", &format!("schedule = {schedule}\n{SOURCE}{CONTRACT}"))])
}

/// The lines of a resource, without its name.
fn resource(text: &str, id: &str) -> String {
    let lines = text.lines().skip_while(|line| *line != format!("  {id}:")).skip(1);
    lines.take_while(|line| line.starts_with("    ")).map(|line| format!("{line}\n")).collect()
}

fn mistakes(files: &[(&str, &str)]) -> Vec<String> {
    let error = template(&graph_of(files)).unwrap_err();
    let mistakes = error.source.as_ref().unwrap().downcast_ref::<DefinitionErrors>().unwrap();
    mistakes.0.iter().map(ToString::to_string).collect()
}

#[test]
fn a_cron_in_utc_is_a_rule() {
    let text = with_schedule("{ cron = '0 8 * * ? *', timezone = 'Etc/UTC' }");
    let expected = "    Type: AWS::Events::Rule
    Properties:
      Name: !Sub '${Name}-shop'
      State: !Ref State
      ScheduleExpression: 'cron(0 8 * * ? *)'
      Targets:
        - Id: ingest
          Arn: !Ref Ingest
          InputTransformer:
            InputPathsMap:
              time: $.time
            # EventBridge puts the quotes around the time
            InputTemplate: '{\"pipeline\": \"shop\", \"scheduled_time\": <time>}'
          RetryPolicy:
            MaximumEventAgeInSeconds: 3600
            MaximumRetryAttempts: 24
          DeadLetterConfig:
            Arn: !Ref DeadLetters
";
    assert_eq!(resource(&text, "ShopSchedule"), expected);
}

#[test]
fn a_cron_in_a_time_zone_is_a_schedule() {
    let text = with_schedule("{ cron = '0 8 * * ? *', timezone = 'Europe/London' }");
    let schedule = resource(&text, "ShopSchedule");
    for line in [
        "    Type: AWS::Scheduler::Schedule",
        "      ScheduleExpressionTimezone: 'Europe/London'",
        "        Mode: 'OFF'",
        "        RoleArn: !Ref SchedulerRole",
        "        Input: '{\"pipeline\": \"shop\", \"scheduled_time\": \"<aws.scheduler.scheduled-time>\"}'",
        "          MaximumRetryAttempts: 24",
        "          Arn: !Ref DeadLetters",
    ] {
        assert!(schedule.lines().any(|found| found == line), "no {line} in {schedule}");
    }
}

#[test]
fn a_rate_is_a_rule_with_a_comment_if_it_drifts() {
    let comment = "# no cron fires at its multiples";
    let text = with_schedule("{ rate = '4 hours' }");
    assert!(text.contains("      ScheduleExpression: 'cron(0 0/4 * * ? *)'\n") && !text.contains(comment), "{text}");
    let text = with_schedule("{ rate = '90 minutes' }");
    assert!(text.contains("      ScheduleExpression: 'rate(90 minutes)'\n") && text.contains(comment), "{text}");
    let without = template_of(&[("shop", &format!("{SOURCE}{CONTRACT}"))]);
    assert!(!without.contains("Schedule:\n    Type") && without.contains("  ShopTable:\n"), "{without}");
}

/// Each function may read only the secrets it uses, including those of targets that a parameter switches off.
#[test]
fn a_function_may_read_only_its_own_secrets() {
    let source = "[source]\nkind = 'http'\nurl = '${API}/orders'\nauth = { bearer = { secret = 'token' } }\n";
    let target = "[[target]]\nkind = 'postgres'\nonly_with = 'W'\ndataset = 'shop'\nurl = '${W}'\npassword = { secret = 'pass' }\n\
        table = 't'\nmode = 'append'\n[[target]]\nkind = 'postgres'\nonly_without = 'W'\ndataset = 'shop'\n\
        url = { secret = 'all-of-it' }\ntable = 't'\nmode = 'append'\n";
    let top =
        "[parameters]\nW = { default = '' }\nAPI = {}\n[alerts]\nslack = [{ secret = 'hook' }, { secret = 'token' }]\n";
    let contract = format!("[contract]\nkey = ['id']\n{CONTRACT}");
    let shop = format!("{top}{source}{contract}{target}");
    let again = format!("{}{contract}", source.replace("token", "a-token"));
    let text = template_of(&[("shop", &shop), ("again", &again)]);
    let named = |id: &str| {
        let policy = resource(&text, id);
        let arns =
            policy.lines().filter_map(|line| line.split_once(":secret:tidemark/")).map(|(_, name)| name.to_owned());
        (policy.contains(&format!("!Ref {}\n", id.replace("Secrets", "Role"))), arns.collect::<Vec<_>>().join(" "))
    };
    assert_eq!(named("IngestSecrets"), (true, "a-token-??????' token-??????'".into()));
    assert_eq!(named("LoadSecrets"), (true, "all-of-it-??????' pass-??????'".into()));
    assert_eq!(named("WatchSecrets"), (true, "hook-??????' token-??????'".into()));
    assert!(!template_of(&[("shop", &format!("{SOURCE}{CONTRACT}"))]).contains("AWS::IAM::Policy"));
}

#[test]
fn every_dataset_has_a_table() {
    let rest = "[contract]\nkey = ['id']\n[contract.columns]\nid = 'int64'\nlines = 'string'\n[contract.explode.shop_lines]\n\
        column = 'lines'\n[contract.explode.shop_lines.columns]\nsku = 'string'\n\
        [[model]]\nname = 'by_sku'\nsql = 'SELECT sku, COUNT(*) AS n FROM shop_lines GROUP BY sku'\n";
    let text = template_of(&[("shop", &format!("description = 'Shop'\n{SOURCE}{rest}"))]);
    let names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("        Name: ")).collect();
    assert_eq!(names, ["by_sku", "shop", "shop_quarantine", "shop_raw", "shop_lines"]);
    // Properties by which Athena recognises a Delta table.
    let table = resource(&text, "ShopRawTable");
    let value_of = |name: &str| {
        let of = |line: &str| line.trim_start().strip_prefix(name)?.strip_prefix(": ").map(str::to_owned);
        let mut values = table.lines().filter_map(of);
        (values.next(), values.next())
    };
    let value = |text: &str| (Some(text.to_owned()), None);
    assert_eq!(value_of("TableType"), value("EXTERNAL_TABLE"));
    assert_eq!(value_of("spark.sql.sources.provider"), value("delta"));
    // a location must end with `/`
    assert_eq!(value_of("Location"), value("!Sub '${Lake}/datasets/shop.raw/'"));
    assert_eq!(value_of("path"), value_of("Location"));
}

#[test]
fn the_order_of_the_files_does_not_matter() {
    let text =
        |name: &str| format!("schedule = {{ rate = '1 day' }}\n{SOURCE}[contract]\ndataset = '{name}'\n{CONTRACT}");
    let (a, b) = (text("a"), text("b"));
    assert_eq!(template_of(&[("x", &a), ("y", &b)]), template_of(&[("y", &b), ("x", &a)]));
}

#[test]
fn pipelines_that_cannot_be_deployed_are_reported_with_position() {
    let schedule = "schedule = { rate = '1 day' }\n";
    let shop = format!("{schedule}{SOURCE}{CONTRACT}");
    let (fits, too_long) = ("x".repeat(39), "x".repeat(40));
    template_of(&[(&fits, &shop), (&"y".repeat(100), &format!("{SOURCE}{CONTRACT}"))]);
    assert_eq!(
        mistakes(&[(&too_long, &shop)]),
        [format!(
            "pipelines/{too_long}.toml:1:1: pipeline `{too_long}` with a schedule and a name of 40 characters; expected at most 39 where \
             there is a schedule; EventBridge allows 64 including the name of the stack; rename the file"
        )]
    );
    let model = format!("{SOURCE}{CONTRACT}[[model]]\nname = 'shop_raw'\nsql = 'SELECT * FROM shop'\n");
    assert_eq!(
        mistakes(&[("shop", &model)]),
        [
            "pipelines/shop.toml:8:8: dataset `shop_raw`, whose table in Glue is called `shop_raw`; expected a unique name; so is the \
          table of `shop.raw`, of pipelines/shop.toml:5:2"
        ]
    );
    let resolve = format!("description = 'a {{{{resolve:ssm:b}}}}'\n{SOURCE}{CONTRACT}");
    let found = mistakes(&[("shop", &resolve)]);
    assert!(
        found.len() == 1 && found[0].starts_with("pipelines/shop.toml:1:1: `{{resolve:` in the description"),
        "{found:?}"
    );
}

#[test]
fn too_many_resources_for_a_stack_are_refused() {
    let texts: Vec<(String, String)> =
        (0..126).map(|n| (format!("p{n}"), format!("schedule = {{ rate = '1 day' }}\n{SOURCE}{CONTRACT}"))).collect();
    let files: Vec<(&str, &str)> = texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    template_of(&files[..125]);
    let error = template(&graph_of(&files)).unwrap_err();
    assert!(error.message.starts_with("504 schedules") && error.kind == ErrorKind::Definition, "{error:?}");
}

#[test]
fn an_address_is_subscribed_once() {
    let alerts = "[alerts]\nemail = ['data@example.com', { to = 'max+x@example.com', severity = 'critical' }]\n";
    let shop = format!("{alerts}{SOURCE}{CONTRACT}");
    let text = template_of(&[
        ("shop", &shop),
        ("again", &format!("[alerts]\nemail = 'data@example.com'\n{SOURCE}{}", CONTRACT)),
    ]);
    assert_eq!(text.matches("AWS::SNS::Subscription").count(), 2);
    let expected = "    Type: AWS::SNS::Subscription
    Condition: MailsByTopic
    Properties:
      TopicArn: !Ref Alerts
      Protocol: email
      Endpoint: \"max+x@example.com\"
      FilterPolicy:
        to:
          - \"max+x@example.com\"
";
    assert_eq!(resource(&text, "Mailmax78x2bx78x40ex78amplex2ecom"), expected);
}
