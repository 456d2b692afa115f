//! Table `tidemark_loads`: the version of each loaded table, stored in the same database as the tables.

use tidemark_pipeline::DatasetName;
use tidemark_postgres::{Fault, Session, ToSql, Type};

use super::catalog::create_own_table;
use super::table::Table;

/// Name of the table with one row per dataset and table: the version the table is at, and the result of the load that brought it there.
pub(super) const LOADS: &str = "tidemark_loads";

/// The result of a load, counted in rows of the table and of the change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Loaded {
    pub(crate) inserted: u64,
    pub(crate) updated: u64,
    /// Rows of the change that the table had already.
    pub(crate) unchanged: u64,
    pub(crate) deleted: u64,
    /// Rows that the database rejected.
    pub(crate) refused: u64,
}

/// The recorded state of a table: its version, and the load that brought it there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoadState {
    pub(crate) version: i64,
    pub(crate) run_id: String,
    pub(crate) loaded: Loaded,
}

impl LoadState {
    /// The state of a table recorded in `loads`; both names are quoted. `None` if the table was never loaded or no longer exists, so that
    /// dropping it causes a full load. Runs one statement.
    pub(super) fn read(
        session: &Session,
        (loads, table): (&str, &str),
        to: &str,
        dataset: &DatasetName,
    ) -> Result<Option<LoadState>, Fault> {
        let sql = format!(
            "SELECT version, run_id, inserted, updated, unchanged, deleted, refused FROM {loads} \
             WHERE dataset = $1 AND \"table\" = $2 AND to_regclass($3) IS NOT NULL"
        );
        let dataset = dataset.as_str();
        let values: [(&(dyn ToSql + Sync), Type); 3] =
            [(&dataset, Type::TEXT), (&to, Type::TEXT), (&table, Type::TEXT)];
        let rows = match session.rows(&sql, &values) {
            // nothing was ever loaded into this schema, or the schema does not exist yet
            Err(Fault::Server(error)) if ["42P01", "3F000"].contains(&error.code().code()) => return Ok(None),
            rows => rows?,
        };
        let Some(row) = rows.first() else { return Ok(None) };
        let count = |at| Ok::<_, Fault>(row.try_get::<_, i64>(at)?.cast_unsigned());
        let loaded = Loaded {
            inserted: count(2)?,
            updated: count(3)?,
            unchanged: count(4)?,
            deleted: count(5)?,
            refused: count(6)?,
        };
        Ok(Some(LoadState { version: row.try_get(0)?, run_id: row.try_get(1)?, loaded }))
    }
}

/// Records the version of the table, replacing the previous record; run records keep the history.
pub(super) fn note(
    session: &Session,
    table: &Table<'_>,
    (dataset, version, run_id): (&DatasetName, i64, &str),
    loaded: Loaded,
) -> Result<(), Fault> {
    let loads = table.sibling(LOADS);
    create_own_table(
        session,
        &loads,
        "dataset text NOT NULL, \"table\" text NOT NULL, version bigint NOT NULL, run_id text NOT NULL, inserted bigint NOT NULL, \
         updated bigint NOT NULL, unchanged bigint NOT NULL, deleted bigint NOT NULL, refused bigint NOT NULL, \
         loaded_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (dataset, \"table\")",
    )?;
    let Loaded { inserted, updated, unchanged, deleted, refused } = loaded;
    let counts = [inserted, updated, unchanged, deleted, refused].map(u64::cast_signed);
    let (dataset, of) = (dataset.as_str(), table.target.to.table.as_str());
    session.rows(
        &format!(
            "INSERT INTO {loads} AS l (dataset, \"table\", version, run_id, inserted, updated, unchanged, deleted, refused) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (dataset, \"table\") DO UPDATE SET \
             (version, run_id, inserted, updated, unchanged, deleted, refused, loaded_at) = (excluded.version, excluded.run_id, \
             excluded.inserted, excluded.updated, excluded.unchanged, excluded.deleted, excluded.refused, now())"
        ),
        &[
            (&dataset, Type::TEXT),
            (&of, Type::TEXT),
            (&version, Type::INT8),
            (&run_id, Type::TEXT),
            (&counts[0], Type::INT8),
            (&counts[1], Type::INT8),
            (&counts[2], Type::INT8),
            (&counts[3], Type::INT8),
            (&counts[4], Type::INT8),
        ],
    )?;
    Ok(())
}
