//! `[contract.explode.<name>]`: arrays in a record that become datasets of their own.

use toml::de::DeValue;

use super::column::{self, ColumnOwner, Columns};
use crate::definition::column::{Column, Type};
use crate::definition::contract::{Contract, PartitionBy};
use crate::definition::explode::{Children, Explode, POSITION};
use crate::definition::model::{Incremental, Model, ModelKind, When};
use crate::diagnostic::quoted;
use crate::name::{ColumnName, DatasetName};
use crate::read::fields::{Fields, TextValue, described};
use crate::read::mention::Mentions;
use crate::read::names::base_name;

pub(super) fn explodes(
    contract: &Fields<'_, '_>,
    columns: &Columns,
    key: &[ColumnName],
    partition_by: Option<&PartitionBy>,
    mentions: &mut Mentions,
) -> Vec<Explode> {
    let reader = contract.reader;
    let Some(value) = contract.value("explode") else {
        return Vec::new();
    };
    let DeValue::Table(table) = value.get_ref() else {
        let found = format!("{} for [contract.explode]", described(value.get_ref()));
        reader.report(value.span().start, found, "a table for each dataset: [contract.explode.<name>]");
        return Vec::new();
    };
    if contract.value("key").is_none() {
        let expected = "`key = [\"…\"]` in [contract], which identifies the record of each element";
        reader.report(value.span().start, "[contract.explode] without a key", expected);
    }
    let mut all = Vec::new();
    for (name, value) in table {
        let at = name.span().start;
        let label = format!("[contract.explode.{}]", name.get_ref());
        let name = base_name(contract, &TextValue { text: name.get_ref().to_string(), at, verbatim: None });
        if let Some(name) = &name {
            mentions.add_output(name, reader.file.place(at));
        }
        let Some(fields) = reader.open(value, label, &["column", "columns"]) else { continue };
        let column = array(&fields, columns);
        let own = column::columns(&fields, ColumnOwner::Element);
        no_clash(&fields, at, &own, key, partition_by);
        if let (Some(name), Some(column)) = (name, column) {
            all.push(Explode { name, column, columns: own.columns });
        }
    }
    all
}

/// The column that holds the array.
fn array(fields: &Fields<'_, '_>, columns: &Columns) -> Option<ColumnName> {
    let expected = "a column of type `string` that holds a JSON array";
    let text = fields.needed("column", expected)?;
    let name = columns.named(fields, &text)?;
    if columns.type_of(&name).is_some_and(|ty| ty != Type::String) {
        fields.reader.report(
            text.at,
            format!("column {} in {}, which is not a string", quoted(name.as_str()), fields.label),
            expected,
        );
    }
    Some(name)
}

/// Reports columns with the name of the contract's key, the position or the partition, which the dataset has too.
fn no_clash(fields: &Fields<'_, '_>, at: usize, own: &Columns, key: &[ColumnName], partition_by: Option<&PartitionBy>) {
    let same = |left: &str, right: &str| left.to_lowercase() == right.to_lowercase();
    let partition = partition_by.map(|by| &by.name);
    let carried: Vec<&str> = key.iter().chain(partition).map(ColumnName::as_str).collect();
    if let Some(name) = carried.iter().find(|name| same(name, POSITION)) {
        let found = format!("column {} of the contract, which is also the position in {}", quoted(name), fields.label);
        fields.reader.report(at, found, "another name for the contract's column");
    }
    let DeValue::Table(table) = fields.value("columns").map_or(&DeValue::Boolean(false), |value| value.get_ref())
    else {
        return;
    };
    for (name, _) in table.iter().filter(|(name, _)| own.names.iter().any(|own| own.as_str() == name.get_ref())) {
        let taken = carried.iter().chain([&POSITION]).find(|taken| same(taken, name.get_ref()));
        if let Some(taken) = taken {
            let found =
                format!("column {} in {}, which has {} already", quoted(name.get_ref()), fields.label, quoted(taken));
            let expected = "another name; the key, `position` and the partition column are added automatically";
            fields.reader.report(name.span().start, found, expected);
        }
    }
}

/// The models of a contract's exploded arrays. Each has the partitions of the contract's dataset.
pub(crate) fn children(contract: &Contract) -> Vec<Model> {
    let partition_by = contract.partition_by.as_ref().map(|by| by.name.clone());
    let model = |explode: &Explode| Model {
        name: explode.name.clone(),
        kind: ModelKind::Explode(Children {
            key: contract.key.clone(),
            column: explode.column.clone(),
            columns: explode.columns.clone(),
        }),
        incremental: partition_by.as_ref().map(|_| Incremental { lookback_days: 0 }),
        partition_by: partition_by.clone(),
        periods: None,
        when: When::Changed,
        inputs: vec![contract.dataset.clone()],
    };
    contract.explodes.iter().map(model).collect()
}

/// The columns and the key of a dataset that a contract produces.
pub(crate) fn known(contract: &Contract, dataset: &DatasetName) -> Option<(Vec<ColumnName>, Vec<ColumnName>)> {
    let names = |columns: &[Column]| columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>();
    let (mut columns, key) = if contract.dataset == *dataset {
        (names(&contract.columns), contract.key.clone())
    } else {
        let explode = contract.explodes.iter().find(|explode| explode.name == *dataset)?;
        let key: Vec<ColumnName> = contract.key.iter().cloned().chain(POSITION.parse()).collect();
        ([key.clone(), names(&explode.columns)].concat(), key)
    };
    // without `every` it is a column of the contract, which may be included already
    if let Some(by) = &contract.partition_by
        && !columns.contains(&by.name)
    {
        columns.push(by.name.clone());
    }
    Some((columns, key))
}
