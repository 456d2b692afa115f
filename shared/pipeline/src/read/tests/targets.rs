use super::*;

const SHEET: &str = "[[target.sheet]]\ntitle = 'S'\nsql = 'SELECT * FROM y'\n";

#[test]
fn kinds() {
    assert_eq!(
        target_errors("[[target]]"),
        ["4:1: [[target]] has no `kind`; expected one of `postgres`, `sqlite`, `report`"]
    );
    assert_eq!(
        target_errors("[[target]]\nkind = 'sqllite'\nfoo = 1"),
        [
            "5:8: `sqllite` for `kind` in [[target]]; expected one of `postgres`, `sqlite`, `report`; did you mean `sqlite`?",
            "6:1: unknown field `foo` in [[target]]; expected one of `kind`, `name`, `dataset`, `path`, `table`, `mode`, \
             `key`, `url`, `password`, `schema`, `types`, `max_refused`, `connections`, `timeout`, `folder`, `file` and 5 more",
        ]
    );
}

#[test]
fn sqlite() {
    assert_eq!(
        target_errors(
            "[[target]]\nkind = 'sqlite'\ndataset = 'y'\ntable = 'tidemark_loads'\nmode = 'merge'\nfolder = 'x'"
        ),
        [
            "4:1: [[target]] has no `path`; expected the database file",
            "7:9: `tidemark_loads` for a table's name; expected letters, digits and `_`, no digit first, not `sqlite_…` or \
             `tidemark_loads`",
            "8:8: `merge` for `mode` in [[target]]; expected one of `upsert`, `swap`, `append`",
            "9:1: unknown field `folder` in [[target]]; expected one of `kind`, `name`, `dataset`, `path`, `table`, `mode`, \
             `key`, `only_with`, `only_without`",
        ]
    );
    let one = |rest: &str| format!("[[target]]\nkind = 'sqlite'\ndataset = 'y'\npath = 'x'\ntable = 't'\n{rest}\n");
    assert_eq!(
        target_errors(&one("mode = 'upsert'")),
        [
            "4:1: [[target]] has no `key`; expected `key = [\"…\"]` for the upsert, because no contract defines a key of the dataset"
        ]
    );
    assert_eq!(
        target_errors(&one("mode = 'swap'\nkey = 'a'")),
        ["10:7: `key` in [[target]]; expected this field only with `mode = \"upsert\"`"]
    );
    assert_eq!(
        target_errors(&(one("mode = 'swap'") + &one("mode = 'append'"))),
        ["10:1: a second target `sqlite-t`; expected a unique name"]
    );
    assert_eq!(target_errors(&(one("mode = 'swap'") + &one("mode = 'append'\nname = 'two'"))), Vec::<String>::new());
    assert_eq!(target_errors(&one("mode = 'swap'\nname = '../x'")).len(), 1);
}

#[test]
fn an_upsert_takes_the_contract_s_key() {
    let file = |key: &str, target: &str| {
        format!(
            "[source]\nkind='files'\npath='in'\n[contract]\n{key}\ncolumns = {{ id = 'int64', n = 'int64' }}\n\
             [[target]]\nkind='sqlite'\ndataset='x'\npath='x.db'\ntable='x'\nmode='upsert'\n{target}"
        )
    };
    let pipeline = read_text(&file("key = 'id'", "")).unwrap();
    let crate::Target::Sqlite(target) = &pipeline.targets[0] else { panic!() };
    assert_eq!(target.to.key, ["id".parse().unwrap()]);
    assert_eq!(errors(&file("", "")).len(), 1);
    assert_eq!(
        errors(&file("", "key = ['idd']")),
        ["13:8: unknown column `idd` in [[target]]; expected one of `id`, `n`; did you mean `id`?"]
    );
}

#[test]
fn reports() {
    let report = "[[target]]\nkind = 'report'\nfolder = 'out'\ntitle = 'T'\n";
    assert_eq!(
        target_errors(report),
        ["4:1: [[target]] has no `sheet`; expected at least one [[target.sheet]] below it"]
    );
    assert_eq!(
        target_errors(&format!("{report}file = 'a/b'\n{SHEET}")),
        [
            "8:8: `a/b` for `file` in [[target]]; expected the stem of a file name: no folder, none of \\ : * ? \" < > |, at most \
          100 bytes"
        ]
    );
    assert_eq!(
        target_errors(&format!("{report}{SHEET}{SHEET}")),
        ["12:9: sheet `S` beside `S`; expected titles that differ in their letters and digits"]
    );
    for title in ["a/b", "History", "'''it's'", "x".repeat(32).as_str(), ""] {
        let quote = if title.starts_with('\'') { "" } else { "\"" };
        let text = format!("{report}[[target.sheet]]\ntitle = {quote}{title}{quote}\nsql = 'SELECT 1'");
        assert_eq!(target_errors(&text).len(), 1, "{title}");
    }
}

#[test]
fn sheets_formats_and_charts() {
    let sheet = |rest: &str| {
        let text = format!("[[target]]\nkind = 'report'\nfolder = 'out'\ntitle = 'T'\n{SHEET}{rest}");
        target_errors(&text)
    };
    assert_eq!(
        sheet("formats = { a = 'mony', b = 1, _c = 'text' }\nlabels = 'x'"),
        [
            "11:17: `mony` for `a` in `formats` of [[target.sheet]]; expected one of `text`, `integer`, `decimal`, `number`, `money`, \
             `percent`, `date`, `datetime`; did you mean `money`?",
            "11:29: the number `1` for `b` in `formats` of [[target.sheet]]; expected a string",
            "11:32: `_c` for a column's name; expected a name that does not start with `_`, which is reserved for Tidemark",
            "12:10: the string `x` for `labels` in [[target.sheet]]; expected a table of columns",
        ]
    );
    assert_eq!(
        sheet("charts = [{ kind = 'pie', sheet = 's', values = [] }]"),
        [
            "11:11: `charts` of [[target.sheet]] has no `category`; expected the column along the axis",
            "11:11: `charts` of [[target.sheet]] has no `title`; expected the chart's title",
            "11:11: `charts` of [[target.sheet]] has no `values`; expected the columns that are drawn",
            "11:20: `pie` for `kind` in `charts` of [[target.sheet]]; expected one of `column`, `bar`, `line`",
            "11:35: unknown sheet `s` in `charts` of [[target.sheet]]; expected `S`; did you mean `S`?",
        ]
    );
}

#[test]
fn models() {
    assert_eq!(
        errors("[[model]]\nname = 'm'\nsql = 'SELECT 1'\nincremental = { lookback = '1w' }\nwhen = 'complete'"),
        [
            "4:15: `incremental` in [[model]]; expected `partition_by = \"…\"` as well",
            "4:28: `1w` for `lookback`; expected whole days, as in `\"7d\"`",
            "5:8: `when` in [[model]]; expected `partition_by = \"…\"` as well, because `\"complete\"` waits for the end of each partition",
        ]
    );
    assert_eq!(
        errors(
            "[[model]]\nname = 'm'\nsql = 'SELECT 1'\n[[model]]\nname = 'm'\nsql = 'SELECT * FROM Sales'\nwhen='now'"
        ),
        [
            "5:8: a second model `m`; expected a unique name",
            "6:22: table `Sales` in the SQL; expected a dataset: 1 to 100 bytes of a-z, 0-9 and _, starting with a letter",
            "7:6: `now` for `when` in [[model]]; expected one of `changed`, `complete`",
        ]
    );
}
