//! `[[target]]` with `kind = "sqlite"`.

use super::destination::destination;
use crate::definition::contract::Contract;
use crate::definition::target::Sqlite;
use crate::diagnostic::quoted;
use crate::params::is_name;
use crate::read::fields::{Fields, TextValue};
use crate::read::mention::Mentions;
use crate::read::names::target_name;

pub(super) const FIELDS: [&str; 7] = ["kind", "name", "dataset", "path", "table", "mode", "key"];

pub(super) fn sqlite(fields: &Fields<'_, '_>, contract: Option<&Contract>, mentions: &mut Mentions) -> Option<Sqlite> {
    let path = fields.needed("path", "the database file");
    let to = destination(fields, contract, mentions, table)?;
    let name = target_name(fields, || format!("sqlite-{}", to.table))?;
    Some(Sqlite { name, path: path?.text, to })
}

fn table(fields: &Fields<'_, '_>, text: TextValue) -> Option<String> {
    let lower = text.text.to_lowercase();
    let ours = lower.starts_with("sqlite_") || lower == "tidemark_loads";
    if !is_name(&text.text) || text.text.len() > 100 || ours {
        let expected = "letters, digits and `_`, no digit first, not `sqlite_…` or `tidemark_loads`";
        fields.reader.report(text.at, format!("{} for a table's name", quoted(&text.text)), expected);
        return None;
    }
    Some(text.text)
}
