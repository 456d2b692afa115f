//! One deployment from build to deletion: rules and events invoke the functions, data reaches a real PostgreSQL, alerts reach Slack, and a
//! definition is changed.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::roles::assert_roles_fit;
use crate::support::api_server::{Api, Auth, Bound, Fields, Filter, Paging, Style, Time};
use crate::support::aws_emulator::bundle::{Bundle, builds_for_arm64};
use crate::support::aws_emulator::call::Call;
use crate::support::aws_emulator::tools::can_build;
use crate::support::aws_emulator::{Emulator, REGION};
use crate::support::postgres::{Database, database};
use crate::support::project::{HEADER, sales};
use crate::support::receivers::Sink;

const INGEST: &str = "tidemark-dev-ingest";
/// Function and name of the rules that fire once a minute.
const WATCH_RULE: (&str, &str) = ("tidemark-dev-watch", "tidemark-dev_watch");
const ORDERS_RULE: (&str, &str) = (INGEST, "tidemark-dev-orders");
/// How long after an undelivered event it is sent again.
const RESEND_AFTER: Duration = Duration::from_secs(60);
const TOKEN: &str = "hush-and-more";
const ALERTS: &str = "\n[alerts]\nslack = { secret = \"slack-webhook\" }\n";

/// A pipeline whose API has no such path, so it always fails.
const REFUNDS: &str = "description = 'Refunds'\nschedule = { rate = '1 minute' }\n[parameters]\nORDERS_API = { about = 'the API' }\n\
    [source]\nkind = 'http'\nurl = '${ORDERS_API}/v1/refunds'\nrecords = '/refunds'\npagination = { kind = 'single' }\n\
    [contract]\ndataset = 'refunds'\nkey = ['id']\n[contract.columns]\nid = { type = 'int64', from = '/id' }\n";

fn order(id: usize, minute: usize) -> String {
    let time = format!("2026-03-02T10:{minute:02}:00Z");
    json!({"id": id, "created_at": time, "updated_at": time, "customer": {"id": 7, "country": "FR"}, "amount": "12.50",
        "currency": "EUR", "status": "paid", "channel": "web"})
    .to_string()
}

/// An API like that of `infra/pipelines/orders.toml`.
fn shop(orders: usize) -> Api {
    let filter = Filter { time: Time::Rfc3339, since: Bound::Inclusive, until: Bound::Exclusive };
    let style = Style { filter: Some(filter), size: 10, ..Style::for_paging(Paging::Cursor) };
    let records: Vec<_> = (1..=orders).map(|id| order(id, id)).collect();
    let api = Api::new(style, Fields { id: "/id", time: "/updated_at" }, &records);
    api.guard(Auth::Header("authorization", "Bearer hush-and-more"));
    api
}

fn count(database: &Database, sql: &str) -> Option<String> {
    crate::support::postgres::ask(&database.url(), sql).ok()?.first()?[0].clone()
}

#[test]
fn a_deployment_runs_every_pipeline_on_its_schedule() {
    if !can_build(builds_for_arm64()) {
        return;
    }
    let (Some(emulator), Some(database)) = (Emulator::start("deploy"), database()) else { return };
    let (shop, sink) = (shop(25), Sink::start());
    let bundle = Bundle::new(&emulator);

    // The layer is not built with an invalid definition; the error names file and cause.
    bundle.define("refunds.toml", &REFUNDS.replace("int64", "int46"));
    let why = bundle.build_layer().unwrap_err();
    assert!(why.contains("unknown type `int46`") && why.contains("refunds.toml"), "{why}");
    // Nor with a schedule that is missing in schedules.yaml.
    bundle.define("refunds.toml", &format!("{REFUNDS}{ALERTS}"));
    let why = bundle.build_layer().unwrap_err();
    assert!(why.contains("tidemark schedules"), "{why}");

    bundle.change("daily-sales.toml", "\n# [alerts]\n", &format!("{ALERTS}email = \"data@example.com\"\n"));
    bundle.change("orders.toml", "\n# [alerts]\n", ALERTS);
    bundle.change("orders.toml", "cron = \"0 */4 * * ? *\", timezone = \"UTC\"", "rate = \"1 minute\"");
    bundle.schedule();
    let built = bundle.build();

    let stored = bundle.deploy("dev-storage", &[]);
    let lake = bundle.output("tidemark-dev-storage", "Lake");
    let [incoming, reports] = ["Incoming", "Reports"].map(|name| bundle.output("tidemark-dev-storage", name));
    let zone = jiff::tz::TimeZone::get("Europe/London").unwrap();
    let today = Timestamp::now().to_zoned(zone).start_of_day().unwrap();
    let yesterday = today.yesterday().unwrap();
    // Each day has the same sales: the report covers the day before the trigger, and midnight may pass during the test.
    let days = [&yesterday.yesterday().unwrap(), &yesterday, &today].map(|day| day.date().to_string());
    let on_each = |rows: &[(&str, &str, i64, &str)]| {
        let texts = days.each_ref().map(|day| sales(day, rows).replace(HEADER, ""));
        HEADER.to_owned() + &texts.concat()
    };
    let first = on_each(&[("500001", "A", 2, "2.50"), ("500002", "B", 1, "4.00")]);
    bundle.put(&format!("{incoming}sales/first.csv"), &first);
    // The token of the API is not stored yet.
    bundle.secret("warehouse-password", "any");
    bundle.secret("slack-webhook", &sink.url());
    let parameters = [
        "Stage=dev".to_owned(),
        "LoadConcurrency=0".into(),
        "WatchEvery=\"rate(1 minute)\"".into(),
        format!("OrdersApi={}", shop.origin()),
        format!("Warehouse={}", database.url()),
    ];
    let parameters: Vec<&str> = parameters.iter().map(String::as_str).collect();
    let deployed = bundle.deploy("dev", &parameters);
    let began = Instant::now();

    // A rule invokes `ingest`, whose secret is missing; after three attempts Slack is notified.
    let says = |words: &[&str]| {
        let messages = sink.taken().into_iter().map(|message| message.to_string());
        messages.filter(|text| words.iter().all(|word| text.contains(word))).count()
    };
    let notified = bundle.until("Slack is told of the missing secret", || {
        says(&["orders: ingest failed", "tidemark/orders-api-token"]) == 1
    });
    // From here on the test fires the rules itself.
    bundle.until_firing(&[WATCH_RULE], "Slack is told of the refunds", || says(&["refunds: ingest failed"]) == 1);
    // With the secret, a rule invokes `ingest`; events lead to `transform` and `load`.
    bundle.secret("orders-api-token", TOKEN);
    let loaded = bundle.until_firing(&[ORDERS_RULE], "the orders are in PostgreSQL", || {
        count(&database, "SELECT count(*) FROM orders").as_deref() == Some("25")
            && count(&database, "SELECT sum(orders) FROM orders_by_day").as_deref() == Some("25")
    });
    bundle.until_firing(&[WATCH_RULE], "Slack is told that it is over", || {
        says(&["Over after", "orders: ingest failed"]) == 1
    });

    // The emulator does not fire schedules, so the test sends the input of the deployed one.
    let schedule = emulator.aws(&["scheduler", "get-schedule", "--name", "tidemark-dev-daily-sales"]);
    let zone = (&schedule["ScheduleExpression"], &schedule["ScheduleExpressionTimezone"]);
    assert_eq!(zone, (&json!("cron(0 8 * * ? *)"), &json!("Europe/London")));
    let input = schedule["Target"]["Input"].as_str().unwrap();
    assert_eq!(input.matches("<aws.scheduler.scheduled-time>").count(), 1, "{input}");
    let now = yesterday.with().hour(8).build().unwrap().timestamp();
    let morning: Value =
        serde_json::from_str(&input.replace("<aws.scheduler.scheduled-time>", &now.to_string())).unwrap();
    let arn = schedule["Target"]["Arn"].as_str().unwrap();
    let report = format!("daily-sales-{}.xlsx", days[0]);
    let has_report = || bundle.object(&format!("{reports}{report}")).is_some();
    let cold = Instant::now();
    emulator.send(arn.rsplit(':').next().unwrap(), &morning);
    bundle.until("the report is in its bucket", has_report);
    let cold = cold.elapsed();

    // A new file invokes the pipeline that reads it.
    let summary = |day: &str| bundle.object(&format!("{reports}daily-sales-{day}-summary.csv")).unwrap_or_default();
    assert!(summary(&days[0]).contains("Revenue,9.0,"), "{}", summary(&days[0]));
    let warm = Instant::now();
    bundle.put(&format!("{incoming}sales/more.csv"), &on_each(&[("500003", "A", 1, "1.00")]));
    bundle.until("the report has the other file", || days.iter().any(|day| summary(day).contains("Revenue,10.0,")));
    let warm = warm.elapsed();

    // The report of an earlier day is requested, from a file so large that it is read in parts.
    let old: Vec<_> = (0..140_000).map(|n| ("400000", if n % 2 == 0 { "A" } else { "B" }, 1, "0.25")).collect();
    let old = sales("2026-01-02", &old);
    assert!(old.len() > 8 << 20);
    bundle.put(&format!("{incoming}sales/old.csv"), &old);
    bundle.until("the large file is a dataset", || {
        emulator.log_of(INGEST, "rows_in").iter().any(|line| line.contains("\"rows_in\":140000"))
    });
    emulator.send(INGEST, &json!({"pipeline": "daily-sales", "from": "2026-01-02", "to": "2026-01-02"}));
    bundle.until("the report of the other day", || {
        let text = bundle.object(&format!("{reports}daily-sales-2026-01-02-summary.csv")).unwrap_or_default();
        text.contains("Revenue,35000.0,")
    });

    // A fetch without new records deletes its landed pages.
    let is_it = |call: &&Call| call.action() == "s3:DeleteObject" && call.resource.contains("/landing/orders/");
    let cleared = || emulator.calls().iter().filter(is_it).count();
    let before = cleared();
    bundle.until_firing(&[ORDERS_RULE], "the pages without news are gone", || cleared() > before);

    // Events that a rule or a schedule could not deliver reach the watcher too.
    let rule = "arn:aws:events:eu-west-1:000000000000:rule/tidemark-dev-orders";
    let tick = json!({"source": "aws.events", "detail-type": "Scheduled Event", "time": now, "resources": [rule], "detail": {}});
    let schedule = "arn:aws:scheduler:eu-west-1:000000000000:schedule/default/tidemark-dev-daily-sales";
    bundle.dead_letter(&morning, "SCHEDULE_ARN", schedule, "AWS.Scheduler.InternalServerError");
    // a run of orders that succeeds before the next tick of the watcher ends the incident untold: then the rule fails to deliver again
    emulator.aws(&["events", "disable-rule", "--name", ORDERS_RULE.1]);
    let mut sent = None::<Instant>;
    bundle.until_firing(&[WATCH_RULE], "Slack is told of the rule", || {
        if sent.is_none_or(|sent| sent.elapsed() > RESEND_AFTER) {
            bundle.dead_letter(&tick, "RULE_ARN", rule, "NO_PERMISSIONS");
            sent = Some(Instant::now());
        }
        says(&["orders", "NO_PERMISSIONS"]) == 1
    });
    emulator.aws(&["events", "enable-rule", "--name", ORDERS_RULE.1]);
    bundle.until_firing(&[WATCH_RULE], "Slack is told of the schedule", || {
        says(&["daily-sales", "InternalServerError"]) == 1
    });

    assert_roles_fit(&bundle);

    // The next deployment changes a definition, but no function.
    let code = || {
        let functions = emulator.aws(&["lambda", "list-functions"]);
        let of = |function: &Value| (function["CodeSha256"].clone(), function["Layers"][0]["Arn"].clone());
        functions["Functions"].as_array().unwrap().iter().map(of).unzip::<_, _, Vec<_>, Vec<_>>()
    };
    let (functions, layers) = code();
    bundle.change("orders.toml", "\n[[model]]", "channel = \"string\"\n\n[[model]]");
    bundle.schedule();
    bundle.build();
    let changed = bundle.deploy("dev", &parameters);
    let (now_functions, now_layers) = code();
    assert!(functions.len() == 4 && now_functions == functions && now_layers != layers, "{now_layers:?}");
    bundle.until_firing(&[ORDERS_RULE], "the new column is in PostgreSQL", || {
        count(&database, "SELECT count(*) FROM orders WHERE channel = 'web'").as_deref() == Some("25")
    });

    // Each message was sent once: the refunds still fail; orders failed for the secret, and then for the undelivered event.
    bundle.until_firing(&[WATCH_RULE, ORDERS_RULE], "Slack is told that this is over too", || {
        says(&["Over after", "orders: ingest failed"]) == 2
    });
    assert_eq!((says(&["refunds: ingest failed"]), says(&["orders: ingest failed"])), (1, 4), "{:#?}", sink.taken());

    // Deleting the stack deletes the functions, but no data.
    let before = bundle.keys(&lake);
    bundle.sam(&["delete", "--config-env", "dev", "--no-prompts", "--region", REGION]).expect(0);
    let functions = emulator.aws(&["lambda", "list-functions"]);
    assert_eq!(functions["Functions"], json!([]));
    let after = bundle.keys(&lake);
    assert!(before.iter().all(|key| after.contains(key)) && has_report());
    eprintln!(
        "built {built:.1?}; deployed the buckets in {stored:.1?}, the functions in {deployed:.1?}, a changed definition in {changed:.1?}; \
         told {notified:.1?} after the deploy; loaded {loaded:.1?} after the secret; schedule to report {cold:.1?}, file to report {warm:.1?}; \
         {:.0?} in all",
        began.elapsed()
    );
}
