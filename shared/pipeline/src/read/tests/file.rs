use super::*;
use crate::definition::*;
use crate::name::DatasetName;

#[test]
fn a_whole_file() {
    let pipeline = read_text(include_str!("whole.toml")).unwrap_or_else(|all| panic!("{all:#?}"));
    assert_eq!(pipeline.name.as_str(), "x");
    let schedule = pipeline.schedule.unwrap();
    assert_eq!(schedule.to_string(), "cron 0 8 * * ? * (Europe/London)");
    assert_eq!(schedule.catch_up, CatchUp::All);
    let Some(Source::Files(files)) = pipeline.source else { panic!("no files") };
    // a value is not expanded again
    assert_eq!(files.path, "in/${OUT}");
    assert_eq!((files.csv.delimiter, files.csv.quote, files.csv.encoding), (b'\t', None, Encoding::Windows1252));
    let contract = pipeline.contract.unwrap();
    assert_eq!(contract.dataset.as_str(), "x");
    assert_eq!(contract.max_quarantined, Some(Budget::Share(0.01)));
    let names: Vec<&str> = contract.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["invoice", "quantity", "amount", "sold_at", "status", "updated_at"]);
    let amount = &contract.columns[2];
    assert_eq!((amount.min.as_deref(), amount.max.as_deref()), (Some("0"), Some("100000.5")));
    assert_eq!(amount.ty, Type::Decimal { precision: 12, scale: 2 });
    assert_eq!(contract.columns[0].nulls, ["", "N/A"]);
    assert_eq!(contract.columns[1].nulls, [""]);
    assert!(contract.columns[1].trim && !contract.columns[0].trim);
    let partition = contract.partition_by.unwrap();
    assert_eq!((partition.name.as_str(), partition.every), ("sold_on", Some(Every::Day)));
    assert_eq!(contract.filters[0].sql, "invoice <> 'TEST'");
    let model = &pipeline.models[0];
    let ModelKind::Sql(sql) = &model.kind else { panic!() };
    assert_eq!((sql.file.as_str(), sql.line, model.when), ("p/x.toml", 33, When::Complete));
    assert_eq!(model.incremental, Some(Incremental { lookback_days: 7 }));
    let Target::Sqlite(sqlite) = &pipeline.targets[0] else { panic!() };
    assert_eq!((sqlite.name.as_str(), sqlite.to.key[0].as_str()), ("sqlite-sales", "invoice"));
    let Target::Report(report) = &pipeline.targets[1] else { panic!() };
    assert_eq!((report.folder.as_str(), report.file.as_str(), report.timezone.as_str()), ("out", "x", "Europe/London"));
    let summary = &report.sheets[0];
    assert_eq!(summary.sql.file, "p/x/good.sql");
    assert_eq!(summary.formats[0].1, CellFormat::Money);
    assert_eq!(summary.charts[0].sheet, "Hours");
    assert_eq!(report.sheets[1].charts[0].sheet, "Hours");
    let inputs: Vec<&str> = report.inputs.iter().map(DatasetName::as_str).collect();
    assert_eq!(inputs, ["y", "x", "x.quarantine"]);
}

#[test]
fn the_parameters_of_a_file() {
    let text = include_str!("whole.toml");
    let file = SourceFile::new("p/x.toml", text.as_bytes()).unwrap();
    let found = parameters(&file).unwrap();
    let names: Vec<(&str, Option<&str>)> =
        found.iter().map(|parameter| (parameter.name.as_str(), parameter.default.as_deref())).collect();
    assert_eq!(names, [("IN", None), ("REPORTS", Some("out"))]);
    assert_eq!((found[0].line, found[0].column), (6, 8));
    assert_eq!(found[1].about.as_deref(), Some("where reports go"));
}

#[test]
fn parameters_without_values() {
    assert_eq!(
        errors("[[model]]\nname = '${A}'\nsql = \"SELECT ${B} FROM ${C\""),
        [
            "2:9: parameter `A` without a value; expected a value for it; \
             give it with `--set A=value` or the environment variable `A`",
            "3:15: parameter `B` without a value; expected a value for it; \
             give it with `--set B=value` or the environment variable `B`",
            "3:25: `${` without the name of a parameter; expected `${NAME}`; a literal `${` is written `$${`",
        ]
    );
    assert_eq!(
        errors("[parameters]\n9 = {}\nA = { defualt = 'x', about = 1 }\nB = 1\n[[model]]\nname='m'\nsql='SELECT 1'"),
        [
            "2:1: `9` for a parameter's name; expected letters, digits and `_`, no digit first",
            "3:7: unknown field `defualt` in [parameters.A]; expected one of `default`, `about`; did you mean `default`?",
            "3:30: no string for `about` in [parameters.A]; expected a string",
            "4:5: the number `1` for [parameters.B]; expected a table",
        ]
    );
}

#[test]
fn all_mistakes_in_one_go() {
    assert_eq!(
        errors(
            "descripton = 1\nschedule = { cron = '0 8 * *', timezone = 'Europe/Lundon' }\n[sourcee]\n[[model]]\nsql = 1"
        ),
        [
            "1:1: unknown field `descripton` in the file; expected one of `description`, `schedule`, `parameters`, \
             `source`, `contract`, `model`, `target`, `alerts`; did you mean `description`?",
            "2:22: 4 fields; expected six fields: minute hour day-of-month month day-of-week year, as in `0 8 * * ? *`",
            "2:43: unknown time zone `Europe/Lundon`; expected an IANA name such as `UTC` or `Europe/London`",
            "3:2: unknown field `sourcee` in the file; expected one of `description`, `schedule`, `parameters`, `source`, \
             `contract`, `model`, `target`, `alerts`; did you mean `source`?",
            "4:1: [[model]] has no `name`; expected the name of the model's dataset",
            "5:7: the number `1` for `sql` in [[model]]; expected a string",
        ]
    );
}

#[test]
fn cron_errors_point_into_the_expression() {
    let model = "[[model]]\nname='m'\nsql='SELECT 1'";
    assert_eq!(
        errors(&format!("schedule.cron = \"0 25 * * ? *\"\n{model}")),
        ["1:20: `25` in the hour field; expected 0-23 with , - * /"]
    );
}

#[test]
fn positions_count_characters() {
    assert_eq!(
        errors("description = 'ä'\n\"日本\" = { 'ü' = 1 }\n[[model]]\nname = 'm'\nsql = 'SELECT \"ö\" FRM x'"),
        [
            "2:1: unknown field `日本` in the file; expected one of `description`, `schedule`, `parameters`, `source`, \
             `contract`, `model`, `target`, `alerts`",
            "5:23: `x` after the query; expected its end",
        ]
    );
}

#[test]
fn sql_errors_point_into_the_sql() {
    let model = |sql: &str| errors(&format!("[[model]]\nname = 'm'\n{sql}"));
    let found = "the SQL does not parse at `)`; expected an expression";
    assert_eq!(model("sql = 'SELECT )'"), [format!("3:15: {found}")]);
    assert_eq!(model("sql = \"\"\"\nSELECT\n  )\"\"\""), [format!("5:3: {found}")]);
    assert_eq!(model("sql = \"\"\"\r\nSELECT\r\n  )\"\"\""), [format!("5:3: {found}")]);
    assert_eq!(model("sql = '''SELECT\n  )'''"), [format!("4:3: {found}")]);
    // the string has escapes or parameters, so the place is the start of the value
    assert_eq!(model("sql = \"SELECT \\u0029\""), [format!("3:7: {found}")]);
    assert_eq!(model("sql = 'SELECT 1 +'"), ["3:18: the SQL ends too early; expected an expression"]);
    let all = read_text("[[model]]\nname = 'm'\nsql_file = 'x/bad.sql'").unwrap_err();
    assert_eq!(all[0].to_string(), format!("p/x/bad.sql:2:14: {found}"));
}

#[test]
fn sql_files() {
    let model = |sql: &str| errors(&format!("[[model]]\nname = 'm'\n{sql}"));
    assert_eq!(
        model("sql_file = 'x/none.sql'"),
        ["3:12: SQL file `x/none.sql` cannot be read: no such file; expected a file p/x/none.sql"]
    );
    for path in ["../secret", "/etc/passwd", "a//b", "C:\\x", "./x"] {
        assert_eq!(
            model(&format!("sql_file = '{path}'")),
            [format!("3:12: `{path}` for `sql_file` in [[model]]; expected a path below the pipeline file's folder")
                .replace("C:\\x", "C:\\\\x")]
        );
    }
    assert_eq!(
        model("sql = 'SELECT 1'\nsql_file = 'x/good.sql'"),
        ["4:12: `sql_file` in [[model]]; expected either `sql` or `sql_file`"]
    );
    assert_eq!(model(""), ["1:1: [[model]] has no `sql`; expected `sql = \"SELECT …\"` or `sql_file = \"….sql\"`"]);
}

#[test]
fn what_is_not_toml() {
    assert_eq!(errors("a = 1\na = 2").len(), 1);
    assert_eq!(errors("a = 1\na = 2"), ["2:1: not TOML at `a`: duplicate key; expected each key once"]);
    assert_eq!(
        errors("name = sales\nx = True"),
        [
            "1:8: not TOML at `sales`: string values must be quoted; expected literal string",
            "2:5: not TOML at `True`: invalid boolean; expected `true`",
        ]
    );
    for garbage in [
        "a",
        "=",
        "[",
        "[[",
        "]]",
        "\0",
        "a = \"",
        "a = '''",
        "a = [1,",
        "a = {",
        "\u{1}\u{2}",
        "a.b = 1\na = 2",
        "[a]\n[a]",
        "a = 1e",
        "a = 99999999999999999999999",
        "[[model]]\n[model]",
        "🦀",
        "description = \"\\q\"",
        "a = \"\0\"",
        "a = \u{feff}1",
        "schedule.cron.x = 1",
        "contract = []",
        "model = {}",
        "model = [1]",
        "source = 'x'",
        "target = 1",
        "parameters = 1",
        "schedule = 5",
        "description = 1979-05-27",
    ] {
        let all = errors(garbage);
        assert!(!all.is_empty(), "{garbage:?}");
        assert!(all.iter().all(|one| one.starts_with(|c: char| c.is_ascii_digit()) && !one.contains('\n')), "{all:#?}");
    }
}

#[test]
fn nothing_overflows() {
    let deep = format!("a = {}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(!errors(&deep).is_empty());
    assert!(!errors(&format!("{}a = 1", "a.".repeat(100_000))).is_empty());
    assert!(!errors(&format!("[{}a]", "a.".repeat(100_000))).is_empty());
    assert!(!errors(&"{".repeat(500_000)).is_empty());
    let many: String = (0..20_000).map(|n| format!("field{n} = 1\n")).collect();
    assert_eq!(errors(&many).len(), 20_000);
    let columns: String = (0..5_000).map(|n| format!("c{n} = 'int64'\n")).collect();
    assert_eq!(contract_errors(&format!("[contract.columns]\n{columns}")), Vec::<String>::new());
}

#[test]
fn a_pipeline_must_do_something() {
    let nothing = "1:1: a pipeline that does nothing; expected [source] and [contract], a [[model]] or a [[target]]";
    assert_eq!(errors(""), [nothing]);
    assert_eq!(errors("[contract]\ncolumns.a = 'int64'").len(), 1);
    assert_eq!(
        errors("[source]\nkind = 'files'\npath = 'x'"),
        ["1:1: [source] without a contract; expected [contract], which defines the columns"]
    );
    let file = SourceFile::new("p/Daily Sales.toml", b"[[model]]\nname='m'\nsql='SELECT 1'").unwrap();
    let all = read(&file, &|_| None, &|_| Err(String::new())).unwrap_err();
    assert_eq!(
        all[0].to_string(),
        "p/Daily Sales.toml:1:1: `Daily Sales` for a pipeline's name; \
         expected 1 to 100 bytes of a-z, 0-9 and -, starting with a letter"
    );
}

#[test]
fn csv() {
    let source = |text: &str| {
        errors(&format!("[contract]\ncolumns = {{ a = 'int64' }}\n[source]\nkind = 'files'\npath = 'x'\n{text}"))
    };
    assert_eq!(
        source("format = 'json'\ncsv = { delimiter = ';;', quote = 'ä', encoding = 'latin1', header = 1, sep = ',' }"),
        [
            "6:10: `json` for `format` in [source]; expected one of `csv`, `ndjson`, `parquet`",
            "7:21: `;;` for `delimiter` in [source.csv]; expected one ASCII character, as in `\",\"`, `\";\"` or `\"\\t\"`",
            "7:35: `ä` for `quote` in [source.csv]; expected one ASCII character, or `\"\"` for none",
            "7:51: `latin1` for `encoding` in [source.csv]; expected one of `utf-8`, `windows-1252`",
            "7:70: the number `1` for `header` in [source.csv]; expected `true` or `false`",
            "7:73: unknown field `sep` in [source.csv]; expected one of `delimiter`, `quote`, `header`, `columns`, `encoding`",
        ]
    );
    assert_eq!(
        source("csv = { delimiter = '|', quote = '|', header = false }"),
        [
            "6:7: [source.csv] has no `columns`; expected `columns = [\"…\"]`, since `header = false`",
            "6:34: the delimiter for `quote` in [source.csv]; expected another character",
        ]
    );
    assert_eq!(
        source("csv = { header = false, columns = ['A', 'b', 'b', '_row'] }"),
        [
            "2:13: `a` is not a column of [source.csv]; expected one of `A`, `b`; did you mean `A`?",
            "6:46: a second column `b`; expected a unique name",
            "6:51: `_row` for a column's name; expected a name that does not start with `_`, which is reserved for Tidemark",
        ]
    );
    assert_eq!(
        source("csv = { columns = ['a'] }"),
        [
            "6:19: `columns` in [source.csv]; expected `header = false` as well, because the first line is read as a header otherwise"
        ]
    );
}

#[test]
fn a_broken_file_gives_messages_whatever_is_broken() {
    let whole = include_str!("whole.toml");
    for (at, char) in whole.char_indices() {
        let (before, after) = (&whole[..at], &whole[at + char.len_utf8()..]);
        let cut =
            [before.to_owned(), format!("{before}{after}"), format!("{before}\"{after}"), format!("{before}}}{after}")];
        for text in cut {
            if let Err(all) = read_text(&text) {
                assert!(!all.is_empty(), "{text}");
                let lines = text.lines().count() + 1;
                assert!(all.iter().all(|one| (1..=lines).contains(&one.line) && one.column > 0), "{all:#?}");
            }
        }
    }
}

#[test]
fn a_model_may_say_how_long_its_partitions_are() {
    let model = |by: &str| format!("[[model]]\nname = 'm'\nsql = 'SELECT 1 AS month'\npartition_by = {by}");
    let read = |by: &str| read_text(&model(by)).unwrap().models.remove(0);
    let declared = read("{ column = 'month', every = 'month', timezone = 'Europe/London' }");
    let periods = Periods { every: Every::Month, timezone: Some("Europe/London".to_owned()) };
    assert_eq!((declared.partition_by.unwrap().as_str(), declared.periods), ("month", Some(periods)));
    let left = read("'month'");
    assert_eq!((left.partition_by.unwrap().as_str(), left.periods), ("month", None));
    for (by, expected) in [
        ("5", "4:16: the number `5` for `partition_by` in [[model]]; expected a string"),
        ("{ every = 'day' }", "4:16: [model.partition_by] has no `column`; expected a column of the result"),
        (
            "{ column = 'a' }",
            "4:16: [model.partition_by] has no `every`; expected `\"day\"` or `\"month\"`; without it write `partition_by = \"…\"`",
        ),
        (
            "{ column = 'a', every = 'day', timezone = 'Mars' }",
            "4:58: unknown time zone `Mars`; expected an IANA name such as `UTC` or `Europe/London`",
        ),
    ] {
        assert_eq!(errors(&model(by)), [expected]);
    }
}
