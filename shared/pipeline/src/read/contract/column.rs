//! `[contract.columns]`.

use toml::de::DeValue;

use crate::definition::column::{Column, Type};
use crate::diagnostic::{did_you_mean, one_of, quoted};
use crate::name::ColumnName;
use crate::read::fields::{Fields, TextValue, Value, described};
use crate::read::literal::{self, TYPES};

const FIELDS: [&str; 11] =
    ["type", "from", "required", "min", "max", "one_of", "pattern", "format", "timezone", "trim", "nulls"];

/// The valid columns, and the names of all columns. References to an invalid column are not reported as unknown.
pub(super) struct Columns {
    pub columns: Vec<Column>,
    pub names: Vec<ColumnName>,
}

impl Columns {
    pub fn named(&self, fields: &Fields<'_, '_>, text: &TextValue) -> Option<ColumnName> {
        fields.reader.column(text, &self.names, &fields.label)
    }

    pub fn type_of(&self, name: &ColumnName) -> Option<Type> {
        self.columns.iter().find(|column| column.name == *name).map(|column| column.ty)
    }
}

/// The kind of data that the columns are read from.
#[derive(Clone, Copy)]
pub(super) enum ColumnOwner<'a> {
    /// Records with exactly these fields.
    These(&'a [ColumnName]),
    Record,
    /// Elements of an array. `from = ""` is the whole element.
    Element,
}

/// `columns` of `[contract]`, or of a `[contract.explode.<name>]`.
pub(super) fn columns(contract: &Fields<'_, '_>, of: ColumnOwner<'_>) -> Columns {
    let mut all = Columns { columns: Vec::new(), names: Vec::new() };
    let label = below(contract, "columns");
    let Some(value) = contract.value("columns") else {
        contract.missing("columns", &format!("{label} with `name = \"type\"` for each column"));
        return all;
    };
    let DeValue::Table(table) = value.get_ref() else {
        let found = format!("{} for {label}", described(value.get_ref()));
        contract.reader.report(value.span().start, found, "a table of columns");
        return all;
    };
    if table.is_empty() {
        contract.reader.report(value.span().start, format!("no columns in {label}"), "at least one");
    }
    for (key, value) in table {
        let at = key.span().start;
        let name = TextValue { text: key.get_ref().to_string(), at, verbatim: None };
        let Some(name) = contract.reader.column_name(&name) else {
            continue;
        };
        if let Some(other) =
            all.names.iter().find(|other| other.as_str().to_lowercase() == name.as_str().to_lowercase())
        {
            let found = format!("column {} beside {}", quoted(name.as_str()), quoted(other.as_str()));
            contract.reader.report(at, found, "names that differ not only in case, as Delta and SQL require");
        }
        all.names.push(name.clone());
        if let Some(column) = column(contract, name, at, value, of) {
            all.columns.push(column);
        }
    }
    all
}

/// Label of a table within a table: `[contract.columns]`.
fn below(fields: &Fields<'_, '_>, name: &str) -> String {
    format!("{}.{name}]", fields.label.trim_end_matches(']'))
}

fn column(
    contract: &Fields<'_, '_>,
    name: ColumnName,
    at: usize,
    value: Value<'_>,
    of: ColumnOwner<'_>,
) -> Option<Column> {
    let label = below(contract, &format!("columns.{name}"));
    if value.get_ref().is_str() {
        let text = contract.reader.text(value, &label)?;
        source_field(contract, name.as_str(), at, of);
        return Some(plain(name, ty(contract, &text)?));
    }
    let fields = contract.reader.open(value, label, &FIELDS)?;
    let ty = fields.needed("type", &one_of(TYPES)).and_then(|text| ty(&fields, &text));
    let from = match of {
        ColumnOwner::Element => fields.text("from"),
        ColumnOwner::These(_) | ColumnOwner::Record => fields.filled("from", "a field of the source"),
    };
    match &from {
        Some(text) => source_field(&fields, &text.text, text.at, of),
        None => source_field(&fields, name.as_str(), at, of),
    }
    let required = fields.flag("required").unwrap_or(false);
    let trim = fields.flag("trim").unwrap_or(true);
    let nulls = fields.one_or_more("nulls");
    let pattern = fields.filled("pattern", "a regular expression");
    let formats = formats(&fields);
    let timezone = fields.text("timezone").and_then(|text| fields.reader.timezone(text));
    // the rest depends on the type
    let ty = ty?;
    if ty != Type::String {
        fields.refuse("pattern", "this field only for a string");
    }
    if ty != Type::Datetime {
        fields.refuse("timezone", "this field only for a datetime");
    }
    if !matches!(ty, Type::Date | Type::Time | Type::Datetime) {
        fields.refuse("format", "this field only for a date, time or datetime");
    }
    let zone = timezone.as_deref();
    let (min, max) = (bound(&fields, "min", ty, zone), bound(&fields, "max", ty, zone));
    if let (Some(min), Some(max)) = (&min, &max)
        && literal::compare(ty, min, max).is_some_and(std::cmp::Ordering::is_gt)
    {
        let found = format!("`min` {} over `max` {} in {}", quoted(min), quoted(max), fields.label);
        fields.reader.report(fields.at("min"), found, "a `min` that is not greater than `max`");
    }
    let one_of = choices(&fields, ty, zone);
    Some(Column {
        from: from.map(|text| text.text),
        required,
        min,
        max,
        one_of,
        pattern: pattern.map(|text| text.text),
        formats,
        timezone,
        trim,
        nulls: nulls.map_or_else(|| vec![String::new()], |texts| texts.into_iter().map(|text| text.text).collect()),
        ..plain(name, ty)
    })
}

/// A column with defaults for all but its type.
fn plain(name: ColumnName, ty: Type) -> Column {
    Column {
        name,
        ty,
        from: None,
        required: false,
        min: None,
        max: None,
        one_of: Vec::new(),
        pattern: None,
        formats: Vec::new(),
        timezone: None,
        trim: true,
        nulls: vec![String::new()],
    }
}

fn ty(fields: &Fields<'_, '_>, text: &TextValue) -> Option<Type> {
    let ty = literal::parse_type(&text.text);
    if ty.is_none() {
        let (expected, hint) = if text.text.starts_with("decimal") {
            ("`decimal(precision,scale)` with 1 ≤ precision ≤ 38 and scale ≤ precision".to_owned(), None)
        } else {
            (one_of(TYPES), did_you_mean(&text.text, TYPES).or_else(|| other_name(&text.text)))
        };
        fields.reader.report_with_hint(text.at, format!("unknown type {}", quoted(&text.text)), expected, hint);
    }
    ty
}

/// A hint for type names of other systems.
fn other_name(text: &str) -> Option<String> {
    let ours = match text.to_lowercase().as_str() {
        "text" | "varchar" | "str" | "utf8" => "string",
        "integer" | "int" | "bigint" | "long" => "int64",
        "smallint" => "int32",
        "double" | "float" | "real" => "float64",
        "boolean" => "bool",
        "timestamp" | "timestamptz" => "datetime",
        "numeric" | "money" => "decimal(12,2)",
        _ => return None,
    };
    Some(format!("here it is called `{ours}`"))
}

fn source_field(fields: &Fields<'_, '_>, field: &str, at: usize, of: ColumnOwner<'_>) {
    if let ColumnOwner::These(given) = of
        && !given.iter().any(|name| name.as_str() == field)
    {
        let names = || given.iter().map(ColumnName::as_str);
        let found = format!("{} is not a column of [source.csv]", quoted(field));
        fields.reader.report_with_hint(at, found, one_of(names()), did_you_mean(field, names()));
    }
}

fn formats(fields: &Fields<'_, '_>) -> Vec<String> {
    let texts = fields.one_or_more("format").unwrap_or_default();
    for text in texts.iter().filter(|text| !text.text.contains('%')) {
        let found = format!("{} for `format` in {}", quoted(&text.text), fields.label);
        fields.reader.report(text.at, found, "strptime directives, as in `%Y-%m-%d %H:%M:%S`");
    }
    texts.into_iter().map(|text| text.text).collect()
}

fn bound(fields: &Fields<'_, '_>, key: &str, ty: Type, timezone: Option<&str>) -> Option<String> {
    if matches!(ty, Type::String | Type::Bool) {
        fields.refuse(key, "this field only for numbers, dates and times");
        return None;
    }
    value_of(fields, fields.value(key)?, key, ty, timezone)
}

fn choices(fields: &Fields<'_, '_>, ty: Type, timezone: Option<&str>) -> Vec<String> {
    let Some(items) = fields.items("one_of", |_| false, "an array of values") else {
        return Vec::new();
    };
    if items.is_empty() {
        fields.reader.report(
            fields.at("one_of"),
            format!("an empty `one_of` in {}", fields.label),
            "at least one value",
        );
    }
    items.into_iter().filter_map(|item| value_of(fields, item, "one_of", ty, timezone)).collect()
}

fn value_of(fields: &Fields<'_, '_>, value: Value<'_>, key: &str, ty: Type, timezone: Option<&str>) -> Option<String> {
    let text = match value.get_ref() {
        DeValue::String(_) => Some(fields.reader.text(value, key)?.text),
        // the number 5 is not accepted for a string
        _ if ty == Type::String => None,
        other => literal::raw(other),
    };
    let normal = text.and_then(|text| literal::normal(ty, &text, timezone));
    if normal.is_none() {
        let found = format!("{} for `{key}` in {}", described(value.get_ref()), fields.label);
        fields.reader.report(value.span().start, found, literal::describe_type(ty));
    }
    normal
}
