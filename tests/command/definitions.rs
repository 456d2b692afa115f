//! Mistakes in pipeline files and in pipeline names.

use crate::support::project::{MORNING, Site, root};

#[test]
fn all_mistakes_are_reported_at_once_with_their_position() {
    let site = Site::new();
    site.write(
        "infra/pipelines/orders.toml",
        "\
[source]
kind = \"files\"
pth = \"in\"

[contract.columns]
id = \"int46\"
price = { type = \"decimal(50,2)\", mni = 0 }

[[model]]
name = \"per_day\"
sql = \"SELECT * FROM ordres\"
",
    );
    let expected = ["orders.toml:3:1:", "orders.toml:6:", "orders.toml:7:", "`path`", "int64", "`min`", "orders"];
    let printed = site.call(&["run"]).expect(2);
    for word in expected {
        assert!(printed.err.contains(word), "no {word}: {}", printed.err);
    }
    assert!(printed.out.is_empty() && !site.path("lake").exists());
    site.ask(&["run"]).fails(2, "definition", &expected);

    let answer = site.ask(&["check"]).expect(2);
    let mistakes = answer.json()["mistakes"].as_array().unwrap().clone();
    assert!(mistakes.len() >= 4, "{mistakes:?}");
    for mistake in &mistakes {
        assert!(mistake["line"].as_u64() > Some(0) && mistake["column"].as_u64() > Some(0), "{mistake}");
        assert!(mistake["file"].as_str().unwrap().ends_with("orders.toml"), "{mistake}");
    }
    assert!(site.call(&["check"]).expect(2).err.contains("orders.toml:3:1:"));
}

#[test]
fn mistakes_of_all_files_are_reported_at_once() {
    let site = Site::new();
    site.write("infra/pipelines/a.toml", "what = 1\n");
    site.write("infra/pipelines/b.toml", "[source\n");
    let printed = site.call(&["check"]).expect(2).err;
    assert!(printed.contains("a.toml:1:1:") && printed.contains("b.toml:1:"), "{printed}");
}

#[test]
fn an_unknown_pipeline_name_is_answered_with_the_most_similar() {
    let site = Site::with_daily_sales();
    for verb in ["run", "plan"] {
        site.ask(&[verb, "daily-sale", "--set", "SALES=in"]).fails(2, "definition", &["daily-sale", "`daily-sales`"]);
        site.ask(&[verb, "x", "--set", "SALES=in"]).fails(2, "definition", &["daily-sales"]);
    }
    assert!(!site.path("lake").exists());
}

#[test]
fn missing_pipelines_are_reported() {
    let site = Site::new();
    for verb in ["run", "plan", "check"] {
        site.ask(&[verb]).fails(2, "definition", &["no pipelines at infra/pipelines", "--pipelines"]);
    }
    std::fs::create_dir(site.path("empty")).unwrap();
    site.ask(&["run", "--pipelines", "empty"]).fails(2, "definition", &["no pipelines at empty"]);
}

#[test]
fn a_missing_sql_file_and_an_unknown_column_are_reported_with_position() {
    let site = Site::with_daily_sales();
    std::fs::remove_file(site.path("infra/pipelines/daily-sales/sales_by_day.sql")).unwrap();
    site.ask(&["check"]).expect(2);
    site.ask(&["run", "--set", "SALES=in"]).fails(2, "definition", &["daily-sales.toml:", "sales_by_day.sql"]);

    let site = Site::with_orders(
        "[contract.columns]\nid = \"int64\"\n[[model]]\nname = \"m\"\nsql = \"SELECT nope FROM orders\"\n",
    );
    site.write("in/a.csv", "id\n1\n");
    site.ask(&["run", "--at", MORNING]).fails(2, "definition", &["model m", "orders.toml:", "nope"]);
    assert_eq!(site.sql("SELECT id FROM orders"), [[1]]);
}

/// Pipeline `orders` of the repository, whose targets depend on parameter `WAREHOUSE`.
fn with_orders_of_the_repository() -> Site {
    let site = Site::new();
    for name in ["orders.toml", "orders/orders_by_day.sql"] {
        let text = std::fs::read(root().join("infra/pipelines").join(name)).unwrap();
        site.write(&format!("infra/pipelines/{name}"), text);
    }
    site
}

#[test]
fn a_parameter_selects_the_targets() {
    let site = with_orders_of_the_repository();
    let check = |arguments: &[&str]| site.call(&[&["check"], arguments].concat()).expect(0).out;
    let (file, warehouse) =
        ("▸ sqlite-orders: table orders in ", "▸ postgres-orders: table orders in db.example.com/shop\n");
    for none in [&[][..], &["--set", "WAREHOUSE="]] {
        let out = check(none);
        assert!(out.contains(file) && !out.contains("postgres-") && out.contains("WAREHOUSE (no value)"), "{out}");
    }
    let given = ["--set", "WAREHOUSE=postgres://loader@db.example.com/shop"];
    let out = check(&given);
    assert!(out.contains(warehouse) && out.contains("▸ postgres-orders_by_day") && !out.contains("sqlite-"), "{out}");
    let steps = |arguments: &[&str]| {
        let plan = [&["plan", "orders", "--set", "ORDERS_API=http://127.0.0.1:9"], arguments].concat();
        let document = site.ask(&plan).expect(0).json();
        let steps = document["steps"].as_array().unwrap().iter().map(|step| step["step"].as_str().unwrap().to_owned());
        steps.filter(|step| step.starts_with("load")).collect::<Vec<_>>()
    };
    assert_eq!(steps(&[]), ["load sqlite-orders", "load sqlite-orders_by_day"]);
}

#[test]
fn a_password_in_a_url_is_refused_and_not_printed() {
    let site = with_orders_of_the_repository();
    let url = "WAREHOUSE=postgres://loader:hunter2@db.example.com/shop";
    for verb in ["check", "run", "plan"] {
        let printed = site.call(&[verb, "--set", "ORDERS_API=http://127.0.0.1:9", "--set", url]).expect(2);
        assert!(printed.err.contains("orders.toml:") && printed.err.contains("a password in `url`"), "{}", printed.err);
        assert!(!format!("{}{}", printed.out, printed.err).contains("hunter2"), "{}", printed.err);
    }
    assert!(!site.path("lake").exists());
}
