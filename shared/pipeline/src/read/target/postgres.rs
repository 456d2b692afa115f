//! `[[target]]` with `kind = "postgres"`.

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::super::contract::explode::known;
use super::super::fields::{Fields, TextValue, described};
use super::super::mention::Mentions;
use super::super::names::target_name;
use super::super::values::{budget, count, duration, named_secret, secret};
use super::destination::destination;
use crate::definition::budget::Budget;
use crate::definition::column::{Column, Type};
use crate::definition::contract::Contract;
use crate::definition::target::{Destination, Mode, Postgres, PostgresType, PostgresUrl};
use crate::diagnostic::{did_you_mean, one_of, quoted};
use crate::name::{ColumnName, DatasetName};
use crate::postgres::Address;

pub(super) const FIELDS: [&str; 13] = [
    "kind",
    "name",
    "dataset",
    "url",
    "password",
    "schema",
    "table",
    "mode",
    "key",
    "types",
    "max_refused",
    "connections",
    "timeout",
];

pub(super) fn postgres(
    fields: &Fields<'_, '_>,
    contract: Option<&Contract>,
    mentions: &mut Mentions,
) -> Option<Postgres> {
    let url = url(fields);
    let password = fields.value("password").and_then(|_| secret(fields, "password", "[target.password]"));
    let schema = fields.filled("schema", "a schema's name").and_then(|text| schema(fields, text));
    let to = destination(fields, contract, mentions, table);
    let types = types(fields, contract, to.as_ref());
    let max_refused = max_refused(fields, to.as_ref()).unwrap_or(Budget::Count(0));
    let connections = count(fields, "connections", 1, 8).and_then(|number| u8::try_from(number).ok()).unwrap_or(1);
    let timeout_s = timeout(fields).unwrap_or(600);
    let to = to?;
    let name = target_name(fields, || {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
        format!("postgres-{}", to.table.chars().map(plain).collect::<String>())
    })?;
    Some(Postgres { name, url: url?, password, schema, to, types, max_refused, connections, timeout_s })
}

/// Only with an upsert, because rejected rows are stored, and removed once they are accepted, by key.
fn max_refused(fields: &Fields<'_, '_>, to: Option<&Destination>) -> Option<Budget> {
    let budget = budget(fields, "max_refused")?;
    let mode = match to?.mode {
        Mode::Upsert => return Some(budget),
        Mode::Swap => "swap",
        Mode::Append => "append",
    };
    let found = format!("`max_refused` with `mode = \"{mode}\"` in {}", fields.label);
    fields.reader.report(
        fields.at("max_refused"),
        found,
        "this field only with `mode = \"upsert\"`, because rejected rows are stored by key",
    );
    None
}

/// Timeout in seconds. It is limited because the server stores milliseconds in 31 bits.
fn timeout(fields: &Fields<'_, '_>) -> Option<u64> {
    const LONGEST_S: u64 = 7 * 86_400;
    let seconds = duration(fields, "timeout")?;
    if seconds > LONGEST_S {
        let found = format!("more than a week for `timeout` in {}", fields.label);
        fields.reader.report(fields.at("timeout"), found, "at most `\"7d\"`");
    }
    Some(seconds)
}

/// A string, or `{ secret = "name" }`.
fn url(fields: &Fields<'_, '_>) -> Option<PostgresUrl> {
    let example = "a URL, as in `postgres://user@host:5432/database`, or `{ secret = \"name\" }`";
    match fields.value("url").map(|value| value.get_ref()) {
        Some(DeValue::Table(_)) => {
            named_secret(&fields.open("url", "[target.url]", &["secret"])?).map(PostgresUrl::Secret)
        }
        _ => {
            let text = fields.needed("url", example)?;
            is_url(fields, &text).then_some(PostgresUrl::Text(text.text))
        }
    }
}

/// Whether it is a valid URL without a password, or contains a parameter. It may contain a password, so messages do not repeat it.
fn is_url(fields: &Fields<'_, '_>, text: &TextValue) -> bool {
    if Address::has_password(&text.text) {
        let hint = "write `password = { secret = \"name\" }` as well, or make the whole URL a secret: `url = { secret = \"name\" }`";
        fields.reader.report_with_hint(
            text.at,
            format!("a password in `url` in {}", fields.label),
            "a URL without one",
            Some(hint.to_owned()),
        );
        return false;
    }
    match Address::parse(&text.text) {
        Ok(_) => true,
        Err(_) if text.text.contains("${") => true,
        Err(fault) => {
            let found = format!("{} for `url` in {}", fault.found, fields.label);
            fields.reader.report_with_hint(text.at, found, fault.expected, fault.hint);
            false
        }
    }
}

fn table(fields: &Fields<'_, '_>, text: TextValue) -> Option<String> {
    let ours = matches!(text.text.as_str(), "tidemark_loads" | "tidemark_refused");
    if ours || text.text.starts_with("tidemark_staged") {
        let expected =
            "another name; `tidemark_loads`, `tidemark_refused` and `tidemark_staged…` are reserved for Tidemark";
        fields.reader.report(text.at, format!("{} for a table's name", quoted(&text.text)), expected);
        return None;
    }
    identifier(fields, text, "a table's name")
}

fn schema(fields: &Fields<'_, '_>, text: TextValue) -> Option<String> {
    if text.text.starts_with("pg_") || text.text == "information_schema" {
        let expected = "another name; `pg_…` and `information_schema` are reserved for PostgreSQL";
        fields.reader.report(text.at, format!("{} for a schema's name", quoted(&text.text)), expected);
        return None;
    }
    identifier(fields, text, "a schema's name")
}

/// Checks an identifier. Any text is allowed because it is quoted, except long text, which PostgreSQL silently truncates.
fn identifier(fields: &Fields<'_, '_>, text: TextValue, what: &str) -> Option<String> {
    const LONGEST: usize = 63;
    if text.text.len() > LONGEST {
        let found = format!("{}, of {} bytes, for {what}", quoted(&text.text), text.text.len());
        fields.reader.report(
            text.at,
            found,
            format!("at most {LONGEST} bytes, because PostgreSQL truncates longer names"),
        );
        return None;
    }
    if text.text.contains('\0') {
        fields.reader.report(text.at, format!("{} for {what}", quoted(&text.text)), "a name without NUL");
        return None;
    }
    Some(text.text)
}

/// `types = { lines = "jsonb" }`
fn types(
    fields: &Fields<'_, '_>,
    contract: Option<&Contract>,
    to: Option<&Destination>,
) -> BTreeMap<ColumnName, PostgresType> {
    let mut types = BTreeMap::new();
    let Some(value) = fields.value("types") else { return types };
    let (dataset, key) = to.map(|to| (&to.dataset, to.key.as_slice())).unzip();
    let key = key.unwrap_or_default();
    let DeValue::Table(table) = value.get_ref() else {
        let found = format!("{} for `types` in {}", described(value.get_ref()), fields.label);
        fields.reader.report(value.span().start, found, "a table of columns, as in `{ lines = \"jsonb\" }`");
        return types;
    };
    // the columns of a model are only known at run time
    let own =
        contract.zip(dataset).and_then(|(contract, dataset)| known(contract, dataset)).map(|(columns, _)| columns);
    for (name, value) in table {
        let column = TextValue { text: name.get_ref().to_string(), at: name.span().start, verbatim: None };
        let column = match &own {
            Some(own) => fields.reader.column(&column, own, &fields.label),
            None => fields.reader.column_name(&column),
        };
        let field = format!("`{}` in `types` of {}", name.get_ref(), fields.label);
        let Some(text) = fields.reader.text(value, &field) else { continue };
        let Some(ty) = parse_type(&text.text) else {
            let found = format!("{} for {field}", quoted(&text.text));
            fields.reader.report_with_hint(text.at, found, one_of(TYPES), did_you_mean(&text.text, TYPES));
            continue;
        };
        let Some(column) = column else { continue };
        if let Some(of) = contract.zip(dataset).and_then(|(contract, dataset)| type_of(contract, dataset, &column))
            && !ty.takes(of)
        {
            fields.reader.report(text.at, format!("`{ty}` for {field}"), fitting(of));
            continue;
        }
        if ty == PostgresType::Json && key.contains(&column) {
            let expected = "`jsonb`, because this is a key column and PostgreSQL cannot compare `json`";
            fields.reader.report(text.at, format!("`json` for {field}"), expected);
            continue;
        }
        types.insert(column, ty);
    }
    types
}

/// The type of a column of a dataset that the contract produces.
fn type_of(contract: &Contract, dataset: &DatasetName, column: &ColumnName) -> Option<Type> {
    let of = |columns: &[Column]| columns.iter().find(|one| one.name == *column).map(|one| one.ty);
    if contract.dataset == *dataset {
        return of(&contract.columns);
    }
    let explode = contract.explodes.iter().find(|explode| explode.name == *dataset)?;
    of(&explode.columns).or_else(|| of(&contract.columns).filter(|_| contract.key.contains(column)))
}

const TYPES: [&str; 9] =
    ["jsonb", "json", "uuid", "varchar(40)", "smallint", "integer", "bigint", "real", "numeric(12,2)"];

/// Parses a type as PostgreSQL writes it.
fn parse_type(text: &str) -> Option<PostgresType> {
    let number = |text: &str| {
        let text = text.trim();
        text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u32>().ok()).flatten()
    };
    let text = text.trim().to_ascii_lowercase();
    let (name, arguments) = match text.split_once('(') {
        Some((name, rest)) => (name.trim_end(), Some(rest.strip_suffix(')')?)),
        None => (text.as_str(), None),
    };
    Some(match (name, arguments) {
        ("json", None) => PostgresType::Json,
        ("jsonb", None) => PostgresType::Jsonb,
        ("uuid", None) => PostgresType::Uuid,
        ("smallint", None) => PostgresType::Smallint,
        ("integer", None) => PostgresType::Integer,
        ("bigint", None) => PostgresType::Bigint,
        ("real", None) => PostgresType::Real,
        ("varchar", Some(length)) => {
            PostgresType::Varchar(number(length).filter(|length| (1..=10_485_760).contains(length))?)
        }
        ("numeric", Some(arguments)) => {
            let (precision, scale) = arguments.split_once(',').unwrap_or((arguments, "0"));
            let (precision, scale) = (u16::try_from(number(precision)?).ok()?, u16::try_from(number(scale)?).ok()?);
            ((1..=1000).contains(&precision) && scale <= precision)
                .then_some(PostgresType::Numeric { precision, scale })?
        }
        _ => return None,
    })
}

/// The types allowed for a column of this type, for messages.
fn fitting(ty: Type) -> String {
    match ty {
        Type::String => "`jsonb`, `json`, `uuid` or `varchar(n)` for a column of strings".to_owned(),
        Type::Int32 | Type::Int64 => {
            "`smallint`, `integer`, `bigint` or `numeric(p,s)` for a column of whole numbers".to_owned()
        }
        Type::Float64 => "`real`, or nothing, for a column of floats".to_owned(),
        Type::Decimal { scale, .. } => format!(
            "`numeric(p,s)` with a scale of {scale} or more for a column of decimals, because PostgreSQL would round"
        ),
        Type::Bool | Type::Date | Type::Time | Type::Datetime => "no entry for a column of this type".to_owned(),
    }
}
