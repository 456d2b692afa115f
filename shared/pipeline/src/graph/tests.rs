use super::*;
use crate::{SourceFile, read};

fn definition(path: &str, text: &str) -> Definition {
    let file = SourceFile::new(path, text.as_bytes()).unwrap();
    let read = read(&file, &|name| Some(format!("${{{name}}}")), &|_| Err("no such file".to_owned()));
    read.unwrap_or_else(|diagnostics| panic!("{diagnostics:#?}"))
}

fn graph(files: &[(&str, &str)]) -> Result<Graph, String> {
    let definitions = files.iter().map(|(path, text)| definition(path, text)).collect();
    let text = |all: Vec<Diagnostic>| all.iter().map(|one| one.to_string()).collect::<Vec<_>>().join("\n");
    Graph::new(definitions).map_err(text)
}

const SALES: &str = r#"
schedule = { cron = "0 8 * * ? *", timezone = "Europe/London" }
[source]
kind = "files"
path = "${SALES}"
[contract]
key = "id"
columns = { id = "int64", day = "date" }
[[model]]
name = "top"
sql = "SELECT * FROM by_day"
[[model]]
name = "by_day"
sql = "SELECT day, count(*) AS n FROM sales GROUP BY day"
[[target]]
kind = "sqlite"
dataset = "sales"
path = "x.db"
table = "sales"
mode = "upsert"
[[target]]
kind = "report"
folder = "${REPORTS}"
title = "Sales"
[[target.sheet]]
title = "Days"
sql = "SELECT * FROM by_day WHERE day = :day"
[[target.sheet]]
title = "Quality"
sql = "SELECT * FROM sales.quarantine"
"#;

const YEAR: &str = r#"
[[model]]
name = "year"
sql = "SELECT * FROM top JOIN sales ON top.day = sales.day"
"#;

#[test]
fn steps_run_after_what_they_read() {
    let graph = graph(&[("z/sales.toml", SALES), ("a/annual.toml", YEAR)]).unwrap();
    let steps: Vec<String> = graph.steps().map(|(pipeline, step)| format!("{}: {step}", pipeline.name)).collect();
    assert_eq!(
        steps,
        [
            "sales: ingest",
            "sales: clean",
            "sales: model by_day",
            "sales: model top",
            "annual: model year",
            "sales: load sqlite-sales",
            "sales: load report"
        ]
    );
    let sales = "sales".parse().unwrap();
    assert_eq!(graph.steps_of(&sales).count(), 6);
    assert_eq!(graph.models().map(|(_, model)| model.name.as_str()).collect::<Vec<_>>(), ["by_day", "top", "year"]);
    let consumers = |name: &str| {
        let name = name.parse().unwrap();
        graph.consumers(&name).map(|(_, step)| step.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(consumers("sales"), ["model by_day", "model year", "load sqlite-sales"]);
    assert_eq!(consumers("sales.quarantine"), ["load report"]);
    assert_eq!(consumers("sales.raw"), ["clean"]);
    assert_eq!(graph.producer(&"sales.quarantine".parse().unwrap()).unwrap().1, &StepId::Clean);
}

#[test]
fn the_drawing() {
    let graph = graph(&[("sales.toml", SALES), ("annual.toml", YEAR)]).unwrap();
    let expected = "\
annual
  top  (from sales)
  └─ year  (and sales)

sales  cron 0 8 * * ? * (Europe/London)
  ${SALES}
  └─ sales.raw
     └─ sales + sales.quarantine
        ├─ by_day
        │  ├─ top
        │  └─ ▸ report: sales-<day>.xlsx in ${REPORTS}  (and sales.quarantine)
        └─ ▸ sqlite-sales: table sales in x.db
";
    assert_eq!(graph.draw(), expected);
}

#[test]
fn a_table_is_drawn_with_where_it_is() {
    let drawn = |url: &str| {
        let target =
            "[[target]]\nkind = 'postgres'\ndataset = 'm'\ntable = \"a\\nb\"\nmode = 'swap'\nschema = 'My Shop'\n";
        let text = format!("[[model]]\nname = 'm'\nsql = 'SELECT 1 AS one'\n{target}url = {url}\n");
        let graph = graph(&[("x.toml", &text)]).unwrap();
        graph.draw().lines().last().unwrap().trim().to_owned()
    };
    assert_eq!(drawn("'postgres://u@h:1,%2Frun/d%0A'"), "└─ ▸ postgres-a-b: table My Shop.a?b in h:1,/run/d?");
    assert_eq!(drawn("{ secret = 'where' }"), "└─ ▸ postgres-a-b: table My Shop.a?b in the database of secret where");
}

#[test]
fn one_maker_for_each_dataset() {
    let model = "[[model]]\nname = \"sales\"\nsql = \"SELECT 1 AS one\"";
    assert_eq!(
        graph(&[("p/sales.toml", SALES), ("p/x.toml", model)]).unwrap_err(),
        "p/x.toml:2:8: a second dataset `sales`; expected a unique name; the first is at p/sales.toml:6:1"
    );
    assert_eq!(
        graph(&[("a/x.toml", model), ("b/x.toml", model)]).unwrap_err(),
        "b/x.toml:1:1: a second pipeline `x`; expected a unique file name; the first is a/x.toml\n\
         b/x.toml:2:8: a second dataset `sales`; expected a unique name; the first is at a/x.toml:2:8"
    );
}

#[test]
fn an_input_without_a_producer() {
    let model = "[[model]]\nname = \"m\"\nsql = \"\"\"\nSELECT *\nFROM salse\n  JOIN nothing_like_it ON TRUE\"\"\"";
    assert_eq!(
        graph(&[("p/sales.toml", SALES), ("p/x.toml", model)]).unwrap_err(),
        "p/x.toml:5:6: unknown dataset `salse`; expected one of `by_day`, `m`, `sales`, `sales.quarantine`, `sales.raw`, \
         `top`; did you mean `sales`?\n\
         p/x.toml:6:8: unknown dataset `nothing_like_it`; expected one of `by_day`, `m`, `sales`, `sales.quarantine`, \
         `sales.raw`, `top`"
    );
}

#[test]
fn cycles_are_shown() {
    let model = |name: &str, from: &str| format!("[[model]]\nname = \"{name}\"\nsql = \"SELECT * FROM {from}\"\n");
    let a = model("a", "c") + &model("self", "self") + &model("after", "a");
    let b = model("b", "a") + &model("c", "b");
    assert_eq!(
        graph(&[("a.toml", &a), ("b.toml", &b)]).unwrap_err(),
        "a.toml:2:8: datasets that depend on themselves: a → b → c → a; expected models without a cycle\n\
         a.toml:5:8: datasets that depend on themselves: self → self; expected models without a cycle"
    );
}

#[test]
fn an_unknown_pipeline_has_a_neighbour() {
    let graph = graph(&[("sales.toml", SALES), ("annual.toml", YEAR)]).unwrap();
    let error = graph.pipeline("sale").unwrap_err();
    assert_eq!(error.to_string(), "unknown pipeline `sale`; expected one of `annual`, `sales`; did you mean `sales`?");
    assert!(Graph::new(Vec::new()).unwrap().pipeline("x").is_err());
}
