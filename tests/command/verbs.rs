//! Output and exit code of every verb, with and without `--json`.

use serde_json::{Value, json};

use crate::support::lambda::stack::bootstrap;
use crate::support::project::{MORNING, Site, sales};

/// A site after one run.
fn one_morning() -> Site {
    let site = Site::with_daily_sales();
    site.write("in/a.csv", sales("2011-12-08", &[("1", "A", 2, "1.5"), ("C2", "B", -1, "2"), ("3", "A", 1, "n/a")]));
    let mut rows = String::new();
    for invoice in 10..40 {
        rows += &format!("{invoice},A,,1,2011-12-08 11:00:00,1.25,,France\n");
    }
    site.write("in/b.csv", crate::support::project::HEADER.to_owned() + &rows);
    site.morning("in", MORNING).expect(0);
    site
}

const STEPS: [&str; 8] = [
    "ingest",
    "clean",
    "model sales_by_day",
    "model sales_by_product",
    "model sales_by_country",
    "model sales_by_hour",
    "load sqlite-sales_by_day",
    "load report",
];

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn run_prints_a_record_per_step() {
    let site = Site::with_daily_sales();
    site.write("in/a.csv", sales("2011-12-08", &[("1", "A", 2, "1.5"), ("C2", "B", -1, "2")]));
    let answer = site.morning("in", MORNING).expect(0);
    assert_eq!(answer.statuses(), STEPS.map(|step| (step.to_owned(), "done".to_owned())));
    let document = answer.json();
    assert_eq!(keys(&document), ["runs"]);
    let fields = [
        "run_id",
        "pipeline",
        "step",
        "trigger",
        "scheduled_time",
        "chain",
        "status",
        "started_at",
        "finished_at",
        "duration_ms",
        "inputs",
        "outputs",
        "rows",
        "bytes",
        "peak_memory_bytes",
        "requests",
        "cost_usd",
    ];
    let chain = &answer.step("ingest")["chain"];
    for run in document["runs"].as_array().unwrap() {
        assert_eq!(run["chain"], *chain);
        assert_eq!(keys(run)[..fields.len()], fields, "{run}");
        assert!(run["error"].is_null() && run["pipeline"] == "daily-sales", "{run}");
        assert!(run["trigger"].as_str().unwrap().contains(MORNING), "{run}");
    }
    let clean = answer.step("clean");
    assert_eq!(clean["inputs"], json!([{"dataset": "sales.raw", "from_version": null, "to_version": 0}]));
    assert_eq!(clean["outputs"], json!([{"dataset": "sales", "version": 0, "partitions": 1, "watermark": MORNING}]));
    let balance = json!({
        "in": 2, "written": 2, "updated": 0, "unchanged": 0, "deduplicated": 0, "filtered": {}, "quarantined": 0, "deleted": 0,
    });
    assert_eq!(clean["rows"], balance);
    assert!(clean["bytes"]["read"].as_u64() > Some(0) && clean["bytes"]["written"].as_u64() > Some(0));
    // The run records in the lake are the same.
    let kept: Vec<Value> = site.files("lake/runs").values().map(|json| serde_json::from_slice(json).unwrap()).collect();
    assert_eq!(kept.len(), STEPS.len());
    assert!(document["runs"].as_array().unwrap().iter().all(|run| kept.contains(run)));
}

#[test]
fn a_second_run_finds_nothing_to_do_and_changes_no_byte() {
    let site = one_morning();
    let (lake, out) = (site.files("lake"), site.files("out"));
    let answer = site.morning("in", MORNING).expect(0);
    assert_eq!(answer.statuses(), STEPS.map(|step| (step.to_owned(), "nothing_to_do".to_owned())));
    assert_eq!(answer.step("ingest")["bytes"]["read"], 0);
    assert!(site.files("lake") == lake, "the lake has changed");
    assert!(site.files("out") == out, "the reports have changed");
}

#[test]
fn run_prints_its_steps() {
    let site = Site::with_daily_sales();
    site.write("in/a.csv", sales("2011-12-08", &[("1", "A", 2, "1.5")]));
    let run = ["run", "--set", "SALES=in", "--at", MORNING];
    let answer = site.call(&run).expect(0);
    for step in STEPS {
        assert!(answer.out.contains(&format!("✓ daily-sales  {step}")), "{}", answer.out);
    }
    assert!(answer.out.contains("report  out/daily-sales-2011-12-08.xlsx") && answer.err.is_empty(), "{answer:?}");
    assert!(!answer.out.contains('\u{1b}'), "colours in a file: {}", answer.out);
    assert!(site.call(&run).expect(0).out.contains("0 steps done, 8 with nothing to do"));
}

#[test]
fn a_full_run_gives_the_same_rows() {
    let site = one_morning();
    let (live, out) = (site.live("sales"), site.files("out"));
    let full =
        site.ask(&["run", "daily-sales", "--full", "--set", "SALES=in", "--set", "REPORTS=out", "--at", MORNING]);
    assert_eq!(full.expect(0).step("ingest")["rows"]["in"], 33);
    assert_eq!(site.live("sales"), live);
    assert!(site.files("out").into_iter().filter(|(name, _)| name != "sales.db").all(|(name, b)| out[&name] == b));
}

#[test]
fn plan_works_without_a_lake_and_changes_nothing() {
    let site = Site::with_daily_sales();
    site.write("in/a.csv", sales("2011-12-08", &[("1", "A", 2, "1.5")]));
    let before = site.files("");
    let plan = ["plan", "daily-sales", "--set", "SALES=in", "--at", MORNING];
    let document = site.ask(&plan).expect(0).json();
    assert_eq!(keys(&document), ["steps"]);
    let first = &document["steps"][0];
    assert_eq!(
        keys(first),
        ["pipeline", "step", "due", "partitions", "rows", "bytes", "seconds", "cost_usd"],
        "{first}"
    );
    assert_eq!((&first["due"], &first["partitions"]), (&json!(true), &json!(1)));
    assert_eq!(first["bytes"], site.files("in")["a.csv"].len());
    assert_eq!(document["steps"].as_array().unwrap().len(), STEPS.len());
    assert!(site.call(&plan).expect(0).out.contains("daily-sales  ingest"));
    assert!(site.files("") == before && !site.path("lake").exists() && !site.path("out").exists());

    // With a lake in which every step is done.
    site.morning("in", MORNING).expect(0);
    let before = site.files("");
    let document = site.ask(&["plan", "--set", "SALES=in", "--set", "REPORTS=out", "--at", MORNING]).expect(0).json();
    assert!(site.files("") == before);
    let due = |step: &str| {
        document["steps"].as_array().unwrap().iter().find(|s| s["step"] == step).unwrap()["due"].as_bool().unwrap()
    };
    for step in &STEPS[..7] {
        assert!(!due(step), "{step}: {document}");
    }
}

#[test]
fn check_draws_the_graph() {
    let site = Site::with_daily_sales();
    assert_eq!(site.ask(&["check"]).expect(0).json(), json!({"pipelines": ["daily-sales"], "mistakes": []}));
    let out = site.call(&["check"]).expect(0).out;
    for word in ["sales.raw", "sales_by_day", "SALES (no value: --set it)", "REPORTS = out", "1 pipelines, no mistakes"]
    {
        assert!(out.contains(word), "no {word}: {out}");
    }
}

#[test]
fn status_names_every_dataset() {
    let site = one_morning();
    let document = site.ask(&["status"]).expect(0).json();
    assert_eq!(keys(&document), ["datasets", "incidents"]);
    let datasets = document["datasets"].as_array().unwrap();
    let names: Vec<_> = datasets.iter().map(|dataset| dataset["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "sales",
            "sales.quarantine",
            "sales.raw",
            "sales_by_country",
            "sales_by_day",
            "sales_by_hour",
            "sales_by_product"
        ]
    );
    assert_eq!(
        keys(&datasets[0]),
        ["name", "version", "watermark", "rows", "lag_seconds", "behind_schedule_seconds", "sla"]
    );
    assert_eq!(
        (&datasets[0]["watermark"], &datasets[0]["rows"], &datasets[1]["rows"]),
        (&json!(MORNING), &json!(32), &json!(1))
    );
    assert!(datasets[0]["lag_seconds"].as_i64() > Some(0));
    assert!(site.call(&["status"]).expect(0).out.contains("sales_by_hour"));
}

#[test]
fn runs_are_newest_first() {
    let site = one_morning();
    let document = site.ask(&["runs", "--limit", "3"]).expect(0).json();
    let runs = document["runs"].as_array().unwrap();
    let steps: Vec<_> = runs.iter().map(|run| run["step"].as_str().unwrap()).collect();
    // The loads run in parallel after the models.
    assert!(steps[..2].iter().all(|step| step.starts_with("load ")) && steps[2].starts_with("model "), "{steps:?}");
    let out = site.call(&["runs"]).expect(0).out;
    assert!(out.contains("daily-sales ingest") && out.contains("done"), "{out}");
}

#[test]
fn show_gives_rows_and_commits() {
    let site = one_morning();
    let document = site.ask(&["show", "sales", "--limit", "5"]).expect(0).json();
    assert_eq!(keys(&document), ["columns", "rows"]);
    let columns: Vec<_> =
        document["columns"].as_array().unwrap().iter().map(|column| column["type"].as_str().unwrap()).collect();
    assert_eq!(
        columns,
        ["string", "string", "string", "int64", "datetime", "date", "decimal(12,3)", "int64", "string", "date"]
    );
    assert_eq!(document["rows"].as_array().unwrap().len(), 5);
    let out = site.call(&["show", "sales"]).expect(0).out;
    assert!(out.contains("20 of 32 rows, version 0") && out.contains("unit_price decimal(12,3)"), "{out}");

    let history = site.ask(&["show", "sales", "--history"]).expect(0);
    let row = &history.rows()[0];
    let names = ["version", "committed_at", "operation", "files_added", "files_removed", "step", "run_id", "rows"];
    let columns = history.json()["columns"].as_array().unwrap().clone();
    assert_eq!(columns.iter().map(|column| column["name"].as_str().unwrap()).collect::<Vec<_>>(), names);
    assert_eq!((&row[0], &row[3], &row[5], &row[7]["in"]), (&json!(0), &json!(1), &json!("clean"), &json!(33)));
    assert!(site.call(&["show", "sales", "--history"]).expect(0).out.contains("32 written"));
}

#[test]
fn sql_reaches_every_dataset() {
    let site = one_morning();
    let query = "SELECT country, SUM(quantity * unit_price) AS revenue, COUNT(*) AS n, MAX(sold_on) AS day \
                 FROM sales GROUP BY country ORDER BY country";
    assert_eq!(
        site.sql(query),
        [
            [json!("France"), json!(37.5), json!(30), json!("2011-12-08")],
            [json!("United Kingdom"), json!(1.0), json!(2), json!("2011-12-08")],
        ]
    );
    let broken = site.sql("SELECT q._object, q._row, r.\"UnitPrice\", q.value FROM sales.quarantine q JOIN sales.raw r ON q._row = r._row AND q._object = r._object");
    assert_eq!(broken, [[json!("a.csv"), json!(4), json!("n/a"), json!("n/a")]]);
    assert!(site.call(&["sql", "SELECT 1 AS one"]).expect(0).out.contains("1 rows"));
}

#[test]
fn invalid_queries_are_errors_of_the_user() {
    let site = one_morning();
    for query in
        ["SELEC 1", "SELECT nope FROM sales", "SELECT * FROM nowhere", "", "DROP TABLE sales", "SELECT 1; SELECT 2"]
    {
        site.ask(&["sql", query]).fails(2, "definition", &["sql"]);
    }
    site.ask(&["show", "nowhere"]).fails(2, "definition", &["nowhere", "does not exist"]);
    site.ask(&["show", "sale"]).fails(2, "definition", &["sale", "sales"]);
    site.ask(&["show", "../sales"]).fails(2, "definition", &["../sales"]);
    site.ask(&["show", "nowhere", "--history"]).fails(2, "definition", &["nowhere", "does not exist"]);
}

#[test]
fn reading_verbs_create_no_lake() {
    let site = Site::new();
    for verb in [&["status"][..], &["runs"], &["show", "sales"], &["sql", "SELECT 1"]] {
        site.ask(verb).fails(2, "definition", &["no lake at lake", "--lake"]);
        let printed = site.call(verb).expect(2);
        assert!(
            printed.out.is_empty() && printed.err.contains("error: no lake at lake") && printed.err.contains("→"),
            "{printed:?}"
        );
    }
    assert!(!site.path("lake").exists());
}

#[test]
fn wrong_usage_is_code_2() {
    let site = Site::with_daily_sales();
    for wrong in [
        &["rum"][..],
        &[],
        &["run", "--at", "yesterday"],
        &["run", "--set", "SALES"],
        &["run", "--nope"],
        &["show"],
        &["runs", "--limit", "many"],
    ] {
        let printed = site.call(wrong);
        assert!(printed.code == 2 && printed.out.is_empty() && !printed.err.is_empty(), "{printed:?}");
    }
    assert!(site.call(&["--help"]).expect(0).out.contains("demo"));
}

/// Tasks and receipts are exchanged only between programs of the same fingerprint.
#[test]
fn command_and_functions_of_one_build_have_the_same_fingerprint() {
    let site = Site::with_daily_sales();
    let version = site.call(&["--version"]).expect(0).out;
    let build = version.trim_end().strip_prefix("tidemark ").unwrap();
    for function in ["ingest", "transform", "load", "watch"] {
        let output = std::process::Command::new(bootstrap(function)).arg("--version").output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{function} {build}\n"));
    }
}

#[test]
fn parameters_come_from_set_then_from_the_environment() {
    let site = Site::with_daily_sales();
    site.write("in/a.csv", sales("2011-12-08", &[("1", "A", 2, "1.5")]));
    site.ask(&["run", "--at", MORNING]).fails(2, "definition", &["daily-sales.toml:", "SALES"]);
    let run = |arguments: &[&str]| {
        let mut command = site.command(crate::support::project::tidemark());
        command.env("SALES", "in").env("REPORTS", "from-environment").env("TIDEMARK_LAKE", "other-lake");
        crate::support::project::Answer::from_command(command.args(arguments)).expect(0)
    };
    run(&["run", "--at", MORNING]);
    assert!(site.path("from-environment/sales.db").exists() && site.path("other-lake/tidemark.json").exists());
    run(&["run", "--at", MORNING, "--set", "REPORTS=first", "--set", "REPORTS=last", "--lake", "lake"]);
    assert!(site.path("last").exists() && !site.path("first").exists() && site.path("lake/tidemark.json").exists());
}

#[test]
fn pipelines_without_parameter_values_are_left_out_and_listed() {
    let site = Site::with_daily_sales();
    let orders = std::fs::read(crate::support::project::root().join("infra/pipelines/orders.toml")).unwrap();
    site.write("infra/pipelines/orders.toml", orders);
    site.write("infra/pipelines/orders/orders_by_day.sql", "SELECT ordered_on, currency FROM orders");
    site.write("in/a.csv", sales("2011-12-08", &[("1", "A", 2, "1.5")]));
    let left_out = json!([{"pipeline": "orders", "missing": ["ORDERS_API"]}]);
    let given = ["--set", "SALES=in", "--set", "REPORTS=out", "--at", MORNING];
    let plan = [&["plan"][..], &given].concat();
    assert_eq!(site.ask(&plan).expect(0).json()["left_out"], left_out);
    assert!(site.call(&plan).expect(0).out.contains("orders  left out; it needs --set ORDERS_API=…"));
    let run = [&["run"][..], &given].concat();
    let printed = site.ask(&run).expect(0);
    assert_eq!(printed.json()["left_out"], left_out);
    assert!(printed.json()["runs"].as_array().unwrap().iter().all(|run| run["pipeline"] == "daily-sales"));
    assert!(site.call(&run).expect(0).out.contains("orders  left out"));
    // A pipeline named explicitly, or no complete pipeline: the missing parameters are an error.
    site.ask(&["run", "orders"]).fails(2, "definition", &["orders.toml:", "ORDERS_API"]);
    site.ask(&["run"]).fails(2, "definition", &["orders.toml:", "ORDERS_API", "daily-sales.toml:", "SALES"]);
    site.ask(&["check"]).expect(0);
}
