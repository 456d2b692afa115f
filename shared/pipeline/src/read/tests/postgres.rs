use super::*;
use crate::definition::{Budget, Mode, Postgres, PostgresType, PostgresUrl, Target};

/// A pipeline with a contract; the target's first line is line 15.
const CONTRACT: &str = "[source]\nkind='files'\npath='in'\n[contract]\nkey = 'id'\npartition_by = 'day'\n\
    explode.parts = { column = 'lines', columns = { sku = 'string', n = 'int32' } }\n[contract.columns]\n\
    id = 'int64'\nlines = 'string'\nprice = 'decimal(12,2)'\nweight = 'float64'\nday = 'date'\n";
const TARGET: &str = "[[target]]\nkind = 'postgres'\ndataset = 'x'\ntable = 't'\nmode = 'upsert'\n";
const URL: &str = "url = 'postgres://u@h/d'\n";

fn target(text: &str) -> Postgres {
    let pipeline = read_text(text).unwrap_or_else(|all| panic!("{all:#?}"));
    let Target::Postgres(target) = pipeline.targets[0].clone() else { panic!() };
    target
}

fn mistakes_of_contract(rest: &str) -> Vec<String> {
    errors(&format!("{CONTRACT}\n{TARGET}{URL}{rest}"))
}

/// The errors of the URL, which is on line 8.
fn url_errors(url: &str) -> Vec<String> {
    target_errors(&format!("[[target]]\nkind = 'postgres'\ndataset = 'y'\ntable = 't'\nurl = {url}\nmode = 'swap'"))
}

#[test]
fn all_there_is() {
    let whole = target(&format!(
        "{CONTRACT}\n{TARGET}url = 'postgres://loader@db:5432/shop?sslmode=verify-full'\npassword = {{ secret = 'pw' }}\n\
         schema = 'Shop \"1\"'\ntypes = {{ lines = 'JSONB', id = 'integer', price = 'numeric(14, 3)', weight = 'real' }}\n\
         max_refused = '1%'\nconnections = 8\ntimeout = '90s'"
    ));
    assert_eq!(whole.name, "postgres-t");
    assert_eq!(whole.url, PostgresUrl::Text("postgres://loader@db:5432/shop?sslmode=verify-full".into()));
    assert_eq!(whole.password, Some("pw".parse().unwrap()));
    assert_eq!(whole.schema.as_deref(), Some("Shop \"1\""));
    assert_eq!((whole.to.mode, whole.to.key.as_slice()), (Mode::Upsert, ["id".parse().unwrap()].as_slice()));
    let types: Vec<String> = whole.types.iter().map(|(name, ty)| format!("{name} {ty}")).collect();
    assert_eq!(types, ["id integer", "lines jsonb", "price numeric(14,3)", "weight real"]);
    assert_eq!((whole.max_refused, whole.connections, whole.timeout_s), (Budget::Share(0.01), 8, 90));
    assert_eq!(
        serde_json::to_value(&whole).unwrap(),
        serde_json::json!({
            "name": "postgres-t", "url": {"text": "postgres://loader@db:5432/shop?sslmode=verify-full"}, "password": "pw",
            "schema": "Shop \"1\"", "dataset": "x", "table": "t", "mode": "upsert", "key": ["id"],
            "types": {"id": "integer", "lines": "jsonb", "price": "numeric(14,3)", "weight": "real"},
            "max_refused": {"share": 0.01}, "connections": 8, "timeout_s": 90,
        })
    );
}

#[test]
fn the_least_there_is() {
    let least = target(&format!("{CONTRACT}\n{TARGET}url = {{ secret = 'warehouse-url' }}"));
    assert_eq!(least.url, PostgresUrl::Secret("warehouse-url".parse().unwrap()));
    assert_eq!((least.password, least.schema, least.types.len()), (None, None, 0));
    assert_eq!((least.max_refused, least.connections, least.timeout_s), (Budget::Count(0), 1, 600));
}

#[test]
fn what_is_missing_or_wrong_is_told_in_one_go() {
    assert_eq!(
        target_errors("[[target]]\nkind = 'postgres'\npath = 'x.db'\nmax_refused = 'x'\nconnections = 9\ntimeout = 5"),
        [
            "4:1: [[target]] has no `dataset`; expected the dataset to load",
            "4:1: [[target]] has no `mode`; expected one of `upsert`, `swap`, `append`",
            "4:1: [[target]] has no `table`; expected a table's name",
            "4:1: [[target]] has no `url`; expected a URL, as in `postgres://user@host:5432/database`, or `{ secret = \"name\" }`",
            "6:1: unknown field `path` in [[target]]; expected one of `kind`, `name`, `dataset`, `url`, `password`, `schema`, \
             `table`, `mode`, `key`, `types`, `max_refused`, `connections`, `timeout`, `only_with`, `only_without`",
            "7:15: the string `x` for `max_refused` in [[target]]; expected a share from `\"0%\"` to `\"100%\"` or a number of rows",
            "8:15: the number `9` for `connections` in [[target]]; expected a whole number from 1 to 8",
            "9:11: the number `5` for `timeout` in [[target]]; expected a string",
        ]
    );
}

#[test]
fn rows_are_quarantined_by_their_key() {
    for mode in ["swap", "append"] {
        let text =
            format!("[[target]]\nkind = 'postgres'\ndataset = 'y'\ntable = 't'\n{URL}mode = '{mode}'\nmax_refused = 1");
        assert_eq!(
            target_errors(&text),
            [format!(
                "10:15: `max_refused` with `mode = \"{mode}\"` in [[target]]; expected this field only with \
                 `mode = \"upsert\"`, because rejected rows are stored by key"
            )]
        );
    }
}

#[test]
fn a_url_has_no_password_and_is_not_repeated() {
    let password = "8:7: a password in `url` in [[target]]; expected a URL without one; write `password = { secret = \"name\" }` as \
     well, or make the whole URL a secret: `url = { secret = \"name\" }`";
    for url in ["postgres://u:hunter2@h/d", "postgres://u:hunter2@h", "postgres://u:@h/d", "u:hunter2@h"] {
        assert_eq!(url_errors(&format!("'{url}'")), [password], "{url}");
    }
    assert_eq!(
        url_errors("'mysql://hunter2/d'"),
        [
            "8:7: a URL that is not a PostgreSQL URL for `url` in [[target]]; expected `postgres://user@host:5432/database`"
        ]
    );
    assert_eq!(
        url_errors("'postgres://hunter2/d?sslmode=allow'"),
        [
            "8:7: an invalid value for parameter `sslmode` of the URL for `url` in [[target]]; expected one of `disable`, `prefer`, \
             `require`, `verify-ca`, `verify-full`"
        ]
    );
    assert_eq!(
        url_errors("'postgres://hunter2/d?sslmod=require'"),
        [
            "8:7: unknown parameter `sslmod` of the URL for `url` in [[target]]; expected one of `sslmode`, `sslrootcert`, \
             `application_name`, `connect_timeout`, `target_session_attrs`, `options`; did you mean `sslmode`?"
        ]
    );
    assert_eq!(url_errors("{ secret = 'a b' }").len(), 1);
    assert_eq!(url_errors("{ secret = 'a', password = 'b' }").len(), 1);
}

#[test]
fn a_parameter_of_a_url_may_have_no_value_yet() {
    // as in a check without values for parameters
    let check = |url: &str| {
        let text = format!("[[model]]\nname = 'x'\nsql = 'SELECT 1 AS id'\n{TARGET}key = 'id'\nurl = '{url}'");
        let file = SourceFile::new("p/x.toml", text.as_bytes()).unwrap();
        read(&file, &|name| Some(format!("${{{name}}}")), &|_| Err("no file".to_owned())).map(|_| ())
    };
    assert_eq!(check("${WAREHOUSE}"), Ok(()));
    assert_eq!(check("postgres://u@${HOST}:${PORT}/d"), Ok(()));
    assert_eq!(check("postgres://u:hunter2@${HOST}/d").unwrap_err().len(), 1);
}

#[test]
fn a_password_is_the_name_of_a_secret() {
    assert_eq!(
        mistakes_of_contract("password = 'hunter2'"),
        [
            "21:12: a string for `password` in [[target]]; expected the name of a secret; write `password = { secret = \"name\" }`; \
             store the value in environment variable TIDEMARK_SECRET_NAME, or in AWS Secrets Manager"
        ]
    );
}

#[test]
fn a_statement_ends_some_time() {
    assert_eq!(mistakes_of_contract("timeout = '7d'"), Vec::<String>::new());
    assert_eq!(
        mistakes_of_contract("timeout = '8d'"),
        ["21:11: more than a week for `timeout` in [[target]]; expected at most `\"7d\"`"]
    );
}

#[test]
fn names_of_tables_and_schemas() {
    let names = |table: &str, schema: &str| {
        let target = "[[target]]\nkind = 'postgres'\ndataset = 'y'\nmode = 'swap'\n";
        target_errors(&format!("{target}{URL}table = \"{table}\"\nschema = \"{schema}\""))
    };
    let longest = "é".repeat(31) + "x";
    for good in ["select", "Two Words", "a\\\"b", "Tidemark_Loads", "日本", "semi;colon", longest.as_str()] {
        assert_eq!(names(good, good), Vec::<String>::new(), "{good}");
    }
    let long = "é".repeat(32);
    assert_eq!(
        names(&long, &long),
        [
            format!(
                "9:9: `{long}`, of 64 bytes, for a table's name; expected at most 63 bytes, because PostgreSQL truncates longer names"
            ),
            format!(
                "10:10: `{long}`, of 64 bytes, for a schema's name; expected at most 63 bytes, because PostgreSQL truncates longer names"
            ),
        ]
    );
    assert_eq!(
        names("a\\u0000b", "a\\u0000b"),
        [
            "9:9: `a\\0b` for a table's name; expected a name without NUL",
            "10:10: `a\\0b` for a schema's name; expected a name without NUL",
        ]
    );
    for ours in ["tidemark_loads", "tidemark_refused", "tidemark_staged", "tidemark_staged_4"] {
        assert_eq!(
            names(ours, "s"),
            [format!(
                "9:9: `{ours}` for a table's name; expected another name; `tidemark_loads`, `tidemark_refused` and \
                 `tidemark_staged…` are reserved for Tidemark"
            )]
        );
    }
    assert_eq!(
        names("t", "pg_catalog"),
        [
            "10:10: `pg_catalog` for a schema's name; expected another name; `pg_…` and `information_schema` are reserved for PostgreSQL"
        ]
    );
    assert_eq!(names("t", "information_schema").len(), 1);
    assert_eq!(
        names("", ""),
        [
            "9:9: an empty value for `table` in [[target]]; expected a table's name",
            "10:10: an empty value for `schema` in [[target]]; expected a schema's name",
        ]
    );
}

#[test]
fn a_target_s_name_is_harmless_where_the_table_s_is_not() {
    let named = |table: &str| target(&format!("{CONTRACT}\n{TARGET}{URL}").replace("'t'", table)).name;
    assert_eq!(named("\"Order Lines\""), "postgres-Order-Lines");
    assert_eq!(named("'a/../é_1'"), "postgres-a-----_1");
    let two = format!("{CONTRACT}\n{TARGET}{URL}{}{URL}", TARGET.replace("'x'", "'parts'"));
    assert_eq!(errors(&two), ["21:1: a second target `postgres-t`; expected a unique name"]);
}

#[test]
fn types_fit_their_columns() {
    assert_eq!(mistakes_of_contract("types = { lines = 'varchar(40)', id = 'numeric(20,0)' }"), Vec::<String>::new());
    assert_eq!(
        mistakes_of_contract(
            "types = { lnes = 'jsonb', id = 'uuid', price = 'numeric(12,1)', weight = 'numeric(9,2)', day = 'jsonb', lines = 'jsonbb' }"
        ),
        [
            "21:11: unknown column `lnes` in [[target]]; expected one of `id`, `lines`, `price`, `weight`, `day`; did you mean `lines`?",
            "21:32: `uuid` for `id` in `types` of [[target]]; expected `smallint`, `integer`, `bigint` or `numeric(p,s)` for a column \
             of whole numbers",
            "21:48: `numeric(12,1)` for `price` in `types` of [[target]]; expected `numeric(p,s)` with a scale of 2 or more for a \
             column of decimals, because PostgreSQL would round",
            "21:74: `numeric(9,2)` for `weight` in `types` of [[target]]; expected `real`, or nothing, for a column of floats",
            "21:96: `jsonb` for `day` in `types` of [[target]]; expected no entry for a column of this type",
            "21:113: `jsonbb` for `lines` in `types` of [[target]]; expected one of `jsonb`, `json`, `uuid`, `varchar(40)`, \
             `smallint`, `integer`, `bigint`, `real`, `numeric(12,2)`; did you mean `jsonb`?",
        ]
    );
    for wrong in
        ["varchar", "varchar(0)", "varchar(10485761)", "numeric(3,4)", "numeric(1001)", "numeric", "json(1)", "text"]
    {
        assert_eq!(mistakes_of_contract(&format!("types.lines = '{wrong}'")).len(), 1, "{wrong}");
    }
    assert_eq!(
        mistakes_of_contract("types = 'jsonb'"),
        [
            "21:9: the string `jsonb` for `types` in [[target]]; expected a table of columns, as in `{ lines = \"jsonb\" }`"
        ]
    );
    assert_eq!(
        mistakes_of_contract("types.lines = 'json'\nkey = ['id', 'lines']"),
        [
            "21:15: `json` for `lines` in `types` of [[target]]; expected `jsonb`, because this is a key column and PostgreSQL \
             cannot compare `json`"
        ]
    );
}

#[test]
fn types_of_children_and_of_models() {
    let of = |dataset: &str, rest: &str| {
        let target = TARGET.replace("'x'", dataset);
        errors(&format!("{CONTRACT}\n{target}{URL}{rest}\n[[model]]\nname = 'm'\nsql = 'SELECT * FROM x'"))
    };
    assert_eq!(of("'parts'", "types = { sku = 'uuid', n = 'smallint', id = 'integer' }"), Vec::<String>::new());
    assert_eq!(of("'parts'", "types = { n = 'uuid', id = 'uuid', lines = 'jsonb', position = 'integer' }").len(), 3);
    // the columns of a model are only known at run time
    assert_eq!(of("'m'", "key = 'a'\ntypes = { a = 'uuid', b = 'jsonb' }"), Vec::<String>::new());
    assert_eq!(of("'m'", "key = 'a'\ntypes = { _a = 'uuid' }").len(), 1);
}

#[test]
fn types_in_sql() {
    assert_eq!(PostgresType::Numeric { precision: 12, scale: 2 }.to_string(), "numeric(12,2)");
    assert_eq!(PostgresType::Varchar(40).to_string(), "varchar(40)");
}
