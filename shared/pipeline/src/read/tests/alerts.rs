use super::*;
use crate::definition::*;

const MODEL: &str = "\n[[model]]\nname = 'm'\nsql = 'SELECT 1 AS one'\n";
const SCHEDULE: &str = "schedule = { cron = '0 8 * * ? *', timezone = 'Europe/London' }";

/// The errors of a table `[alerts]`; its first line is line 2.
fn alerts_errors(alerts: &str) -> Vec<String> {
    errors(&format!("[alerts]\n{alerts}{MODEL}"))
}

fn alerts(alerts: &str) -> Alerts {
    read_text(&format!("{SCHEDULE}\n[alerts]\n{alerts}{MODEL}")).unwrap_or_else(|all| panic!("{all:#?}")).alerts
}

#[test]
fn everything_of_alerts() {
    let whole = read_text(include_str!("whole.toml")).unwrap().alerts;
    let slack: Vec<(&str, Severity)> = whole.slack.iter().map(|one| (one.secret.as_str(), one.severity)).collect();
    assert_eq!(slack, [("slack-webhook", Severity::Warning), ("slack-oncall", Severity::Critical)]);
    let email: Vec<(&str, Severity)> = whole.email.iter().map(|one| (one.to.as_str(), one.severity)).collect();
    assert_eq!(
        email,
        [
            ("data@example.com", Severity::Warning),
            ("oncall@example.com", Severity::Critical),
            ("boss@example.com", Severity::Critical)
        ]
    );
    assert_eq!((whole.start_within_s, whole.caught_up_within_s), (600, 3_600));
    assert_eq!(whole.max_quarantined, Some(Budget::Share(0.005)));
    assert_eq!(whole.severity_of(IncidentKind::Behind), Severity::Critical);
    assert_eq!(whole.severity_of(IncidentKind::OverBudget), Severity::Warning);
    assert_eq!(whole.severity_of(IncidentKind::Failed), Severity::Critical);
    let quiet = whole.quiet.unwrap();
    assert_eq!((quiet.from.to_string().as_str(), quiet.to.to_string().as_str()), ("22:00:00", "07:00:00"));
    assert_eq!((quiet.timezone.as_str(), quiet.except), ("Europe/London", Some(Severity::Critical)));
}

#[test]
fn short_forms() {
    assert_eq!(alerts(""), Alerts::default());
    let one = alerts("slack = { secret = 'hook' }\nemail = 'a@b.c'");
    assert_eq!((one.slack.len(), one.email.len()), (1, 1));
    let table = alerts(
        "email = { to = 'a@b.c', severity = 'critical' }\nquiet = { from = '01:00', to = '02:00', timezone = 'UTC' }",
    );
    assert_eq!(table.email, [Email { to: "a@b.c".into(), severity: Severity::Critical }]);
    assert_eq!(table.quiet.unwrap().timezone, "UTC");
    // written as [[alerts.slack]]
    assert_eq!(alerts("[[alerts.slack]]\nsecret = 'a'\n[[alerts.slack]]\nsecret = 'b'").slack.len(), 2);
    let later =
        read_text(&format!("[alerts]\ncaught_up_within = '2h'\nquiet = {{ from = '00:00', to = '23:59' }}{MODEL}"));
    assert_eq!(later.unwrap().alerts.quiet.unwrap().timezone, "UTC");
}

#[test]
fn mistakes_in_alerts() {
    assert_eq!(
        alerts_errors(
            "slak = 1\nstart_within = '15m'\ncaught_up_within = '30'\nmax_quarantined = 'few'\nseverity = { behnd = 'critical', failed = 'bad' }"
        ),
        [
            "2:1: unknown field `slak` in [alerts]; expected one of `slack`, `email`, `start_within`, `caught_up_within`, \
             `max_quarantined`, `severity`, `quiet`; did you mean `slack`?",
            "3:16: `start_within` in [alerts]; expected this field only with a `schedule`, which says when the pipeline should start",
            "4:20: `30` for `caught_up_within` in [alerts]; expected a duration, as in `\"90s\"`, `\"15m\"`, `\"2h\"` or `\"1d\"`",
            "5:19: the string `few` for `max_quarantined` in [alerts]; expected a share from `\"0%\"` to `\"100%\"` or a number of rows",
            "6:14: unknown field `behnd` in [alerts.severity]; expected one of `failed`, `over_budget`, `quarantine`, \
             `not_started`, `behind`, `never_ended`, `blind`; did you mean `behind`?",
            "6:43: `bad` for `failed` in [alerts.severity]; expected one of `warning`, `critical`",
        ]
    );
    assert_eq!(
        alerts_errors("quiet = { from = '7:00', to = '24:00', timezone = 'Mars', except = 'warning' }"),
        [
            "2:18: `7:00` for `from` in [alerts.quiet]; expected a time from `00:00` to `23:59`",
            "2:31: `24:00` for `to` in [alerts.quiet]; expected a time from `00:00` to `23:59`",
            "2:51: unknown time zone `Mars`; expected an IANA name such as `UTC` or `Europe/London`",
            "2:68: `warning` for `except` in [alerts.quiet]; expected `critical`",
        ]
    );
    assert_eq!(
        alerts_errors("quiet = { from = '22:00', to = '22:00' }"),
        ["2:32: `22:00` for both ends of [alerts.quiet]; expected two times that differ"]
    );
    assert_eq!(
        alerts_errors("quiet = { from = '22:00' }"),
        ["2:9: [alerts.quiet] has no `to`; expected a time, as in `22:00`"]
    );
    for wrong in ["22:0", "22:000", "+2:00", "22.00", "22:00:00", " 22:00", "22:60", "", "ab:cd", "2２:00"] {
        assert_eq!(alerts_errors(&format!("quiet = {{ from = '{wrong}', to = '23:00' }}")).len(), 1, "{wrong}");
    }
    assert_eq!(errors(&format!("alerts = 5{MODEL}")), ["1:10: the number `5` for [alerts]; expected a table"]);
}

#[test]
fn mistakes_in_addresses() {
    let form = "expected an address as `data@example.com`, without a name: ASCII, at most 254 bytes, no spaces";
    assert_eq!(
        alerts_errors("email = ['a@b.c', 'A@B.c', { to = ['x', 'a@b.c'] }, 5, {}, { to = [] }]"),
        [
            "2:19: `A@B.c` for a second time in `email` of [alerts]; expected each address once".to_owned(),
            format!("2:36: `x` for an e-mail address; {form}"),
            "2:41: `a@b.c` for a second time in `email` of [alerts]; expected each address once".to_owned(),
            "2:53: the number `5` for `email` in [alerts]; expected an address, \
             `{ to = \"a@example.com\", severity = \"critical\" }` or an array of these"
                .to_owned(),
            "2:56: [alerts.email] has no `to`; expected an address or an array of them".to_owned(),
            "2:67: an empty `to` in [alerts.email]; expected an address or an array of them".to_owned(),
        ]
    );
    assert_eq!(
        alerts_errors("email = []"),
        ["2:9: an empty `email` in [alerts]; expected an address, \
          `{ to = \"a@example.com\", severity = \"critical\" }` or an array of these"]
    );
    let long = format!("{}@example.com", "x".repeat(243));
    for wrong in [
        "",
        "a",
        "@",
        "a@",
        "@b",
        "a@b@c",
        "a b@c.d",
        "a@b.c ",
        "Data <a@b.c>",
        "a@b.c,d@e.f",
        "a@b.c;d",
        "a@b.c\\r\\nBcc: x",
        "\\\"a\\\"@b.c",
        "ä@b.c",
        &long,
    ] {
        assert_eq!(alerts_errors(&format!("email = \"{wrong}\"")).len(), 1, "{wrong}");
    }
    assert_eq!(alerts(&format!("email = '{}'", &long[1..])).email.len(), 1);
    // without values for the parameters
    let text = format!("[alerts]\nemail = ['${{TEAM}}', 'a ${{TEAM}}']{MODEL}");
    let file = SourceFile::new("p/x.toml", text.as_bytes()).unwrap();
    let all = read(&file, &|name| Some(format!("${{{name}}}")), &|_| Err(String::new())).unwrap_err();
    assert_eq!((all.len(), all[0].column), (1, 21));
}

#[test]
fn a_webhook_is_never_repeated() {
    let hook = "https://hooks.example.com/services/T0/B0/abc";
    let hint = "store the value in environment variable TIDEMARK_SECRET_NAME, or in AWS Secrets Manager";
    let plain = format!(
        "a string for `slack` in [alerts]; expected the name of a secret; write `slack = {{ secret = \"name\" }}`; {hint}"
    );
    assert_eq!(alerts_errors(&format!("slack = '{hook}'")), [format!("2:9: {plain}")]);
    assert_eq!(alerts_errors(&format!("slack = ['{hook}']")), [format!("2:10: {plain}")]);
    assert_eq!(
        alerts_errors(&format!("slack = {{ secret = '{hook}' }}")),
        [format!("2:20: a URL for `secret` in [alerts.slack]; expected the name of a secret; give it a name; {hint}")]
    );
    assert_eq!(
        alerts_errors("slack = [{ secret = 'a' }, { secret = 'a', severity = 'critical' }, { severity = 'x' }, 5]"),
        [
            "2:39: secret `a` for a second time in [alerts.slack]; expected each channel once",
            "2:69: [alerts.slack] has no `secret`; expected the name of a secret",
            "2:82: `x` for `severity` in [alerts.slack]; expected one of `warning`, `critical`",
            "2:89: the number `5` for [alerts.slack]; expected a table",
        ]
    );
    assert_eq!(
        alerts_errors("slack = []"),
        ["2:9: an empty `slack` in [alerts]; expected `{ secret = \"slack-webhook\" }` or an array of these"]
    );
}

/// The alerts of a file with errors elsewhere.
fn recipients(text: &str) -> Option<Vec<String>> {
    assert!(read_text(text).is_err(), "{text}");
    let file = SourceFile::new("p/x.toml", text.as_bytes()).unwrap();
    let alerts = alerts_of(&file, &|name| (name == "TEAM").then(|| "team@b.c".to_owned()))?;
    Some(alerts.email.into_iter().map(|one| one.to).collect())
}

#[test]
fn who_is_notified_of_a_broken_file() {
    let alerts = "[alerts]\nemail = 'a@b.c'\nstart_within = '5m'\nquiet = { from = '22:00', to = '07:00' }\n";
    let someone = Some(vec!["a@b.c".to_owned()]);
    // errors in the definition, in the schedule, and in the syntax: after the table, right after it, before it
    assert_eq!(recipients(&format!("{SCHEDULE}\n{alerts}[[model]]\nname = 5")), someone);
    assert_eq!(recipients(&format!("schedule = {{ cron = 'daily' }}\n{alerts}{MODEL}")), someone);
    assert_eq!(recipients(&format!("{SCHEDULE}\n{alerts}{MODEL}x = = 5\n")), someone);
    assert_eq!(recipients(&format!("{SCHEDULE}\n{alerts}[[model]\nname = 'm'\nsql = 'SELECT 1'")), someone);
    assert_eq!(recipients(&format!("{SCHEDULE}\nx = yes\n{alerts}{MODEL}")), someone);
    assert_eq!(recipients(&format!("{SCHEDULE}\n{alerts}[[model]]\nname = 'open")), someone);
    // parameters with values of the caller, and with defaults of the file
    assert_eq!(recipients("[alerts]\nemail = '${TEAM}'"), Some(vec!["team@b.c".to_owned()]));
    assert_eq!(
        recipients("[alerts]\nemail = '${ME}'\n[parameters]\nME = { default = 'me@b.c' }"),
        Some(vec!["me@b.c".to_owned()])
    );
    assert_eq!(recipients("[alerts]\nemail = '${ME}'"), None);
    // no table, or an invalid one
    for text in [
        "",
        "[alerts]",
        "[alerts]\nemail = 'a'",
        "[alerts]\nemail = 'a@b.c'\nx = 1",
        "[alerts]\nstart_within = '5m'",
        "alerts = 1",
        "[[alerts]]\nemail = 'a@b.c'",
        "[alerts]\nemail = 'a@b.c\nstart_within = '5m'",
        "[alerts]\nemail = ['a@b.c', b@b.c]",
    ] {
        assert_eq!(recipients(text), None, "{text}");
    }
}
