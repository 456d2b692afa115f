//! The fields that all database targets have: dataset, table, mode and key.

use crate::definition::contract::Contract;
use crate::definition::target::{Destination, Mode};
use crate::name::{ColumnName, DatasetName};
use crate::read::contract::explode::known;
use crate::read::fields::{Fields, TextValue};
use crate::read::mention::Mentions;
use crate::read::names::keys;

/// `table` checks the name of the table.
pub(super) fn destination(
    fields: &Fields<'_, '_>,
    contract: Option<&Contract>,
    mentions: &mut Mentions,
    table: fn(&Fields<'_, '_>, TextValue) -> Option<String>,
) -> Option<Destination> {
    let dataset_text = fields.needed("dataset", "the dataset to load");
    let dataset: Option<DatasetName> = dataset_text.as_ref().and_then(|text| fields.reader.name(text));
    if let (Some(text), Some(dataset)) = (&dataset_text, &dataset) {
        mentions.add_input(dataset, fields.reader.file.place(text.at));
    }
    let table = fields.needed("table", "a table's name").and_then(|text| table(fields, text));
    if fields.value("mode").is_none() {
        fields.missing("mode", "one of `upsert`, `swap`, `append`");
    }
    let mode = fields.choice("mode", &[("upsert", Mode::Upsert), ("swap", Mode::Swap), ("append", Mode::Append)]);
    let own = contract.zip(dataset.as_ref()).and_then(|(contract, dataset)| known(contract, dataset));
    let key = match mode? {
        // without a dataset its key is unknown
        Mode::Upsert if dataset.is_none() && fields.value("key").is_none() => return None,
        Mode::Upsert => key(fields, own)?,
        Mode::Swap | Mode::Append => {
            fields.refuse("key", "this field only with `mode = \"upsert\"`");
            Vec::new()
        }
    };
    Some(Destination { dataset: dataset?, table: table?, mode: mode?, key })
}

/// `own`: columns and key of the dataset, if this pipeline's contract produces it.
fn key(fields: &Fields<'_, '_>, own: Option<(Vec<ColumnName>, Vec<ColumnName>)>) -> Option<Vec<ColumnName>> {
    let (own, default) = own.unzip();
    let default = default.filter(|key| !key.is_empty());
    match (fields.one_or_more("key"), own) {
        (Some(texts), Some(known)) => Some(keys(fields, &texts, &known)),
        // the columns of a model are only known at run time
        (Some(texts), None) => {
            let names: Vec<ColumnName> = texts.iter().filter_map(|text| fields.reader.column_name(text)).collect();
            Some(keys(fields, &texts, &names))
        }
        (None, _) if fields.value("key").is_some() => None,
        (None, _) => {
            if default.is_none() {
                fields
                    .missing("key", "`key = [\"…\"]` for the upsert, because no contract defines a key of the dataset");
            }
            default
        }
    }
}
