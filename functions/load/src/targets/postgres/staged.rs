//! Staging: rows are sent to a temporary table. One statement then inserts new rows, updates rows that differ, and leaves the rest
//! untouched.

use tidemark_postgres::{DbError, Fault, Row, Session, SqlType, quoted};

use super::table::{Column, ROW, Table};

/// Name of the temporary table. Column `tidemark_row` numbers the rows of the change from 1. A negative number marks the key of a deleted
/// row, 0 the key of a rejected row, whose earlier version is kept.
pub(super) const STAGED: &str = "tidemark_staged";
/// The same with its schema.
pub(super) const TEMPORARY: &str = "pg_temp.tidemark_staged";

/// The effect of a merge on the table, in rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Merged {
    pub(super) inserted: u64,
    pub(super) updated: u64,
}

/// A part of the temporary table, by the physical position of its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StagedRange {
    All,
    /// First page, and the page after the last.
    Pages(u32, u32),
    /// Rows by their `ctid`.
    Rows(Vec<String>),
}

impl StagedRange {
    fn condition(&self) -> String {
        match self {
            StagedRange::All => String::new(),
            StagedRange::Pages(from, to) => format!(" AND ctid >= '({from},0)'::tid AND ctid < '({to},0)'::tid"),
            // quoted, because a ctid contains a comma
            StagedRange::Rows(rows) => format!(" AND ctid = ANY ('{{\"{}\"}}'::tid[])", rows.join("\",\"")),
        }
    }
}

pub(super) struct Staged<'a> {
    session: &'a Session,
    table: &'a Table<'a>,
    /// The source of the rows: a table, or a subquery over several.
    from: String,
    /// Whether the server supports MERGE and counts inserted rows.
    has_merge: bool,
}

impl<'a> Staged<'a> {
    /// Creates the temporary table, with the column types of the target's table.
    pub(super) fn create(session: &'a Session, table: &'a Table<'a>) -> Result<Staged<'a>, Fault> {
        let columns: Vec<String> = table.columns.iter().map(Column::staged).collect();
        session.run(&format!(
            "DROP TABLE IF EXISTS pg_temp.{STAGED}; CREATE TEMPORARY TABLE {STAGED} ON COMMIT DROP AS \
             SELECT 0::bigint AS {ROW}, {} FROM {} WITH NO DATA",
            columns.join(", "),
            table.name
        ))?;
        Staged::new(session, table, TEMPORARY.to_owned())
    }

    /// `from` is the source of the rows.
    pub(super) fn new(session: &'a Session, table: &'a Table<'a>, from: String) -> Result<Staged<'a>, Fault> {
        let counts = session.rows("SELECT current_setting('track_counts')::boolean", &[])?;
        let counts = counts.first().map_or(Ok(false), |row| row.try_get(0))?;
        Ok(Staged { session, table, from, has_merge: session.version() >= 15 && counts })
    }

    /// The COPY statement that sends rows into the table `name`.
    pub(super) fn copy_statement(&self, name: &str) -> String {
        let columns: Vec<String> = self.table.columns.iter().map(|column| quoted(&column.name)).collect();
        format!("COPY {name} ({ROW}, {}) FROM STDIN (FORMAT binary)", columns.join(", "))
    }

    /// Collects statistics for the planner, which has none of this table. If the change is a large part of the target's table, disables
    /// hash joins: reading both in the order of the key visits each page of table and index once; a hash join would visit them at random.
    pub(super) fn analyze(&self, names: &str, rows: u64) -> Result<(), Fault> {
        let takes_much = self.table.rows.is_none_or(|table| rows.saturating_mul(4) >= table);
        let hash_join = if takes_much { "off" } else { "DEFAULT" };
        self.session.run(&format!("ANALYZE {names}; SET LOCAL enable_hashjoin = {hash_join}"))
    }

    /// Deletes rows that the change deletes and does not also upsert.
    pub(super) fn delete(&self) -> Result<u64, Fault> {
        let (gone, come) = (self.same_key("t", "g"), self.same_key("s", "g"));
        let keys: Vec<String> = self.table.key().map(|column| quoted(&column.name)).collect();
        self.session.change(&format!(
            "DELETE FROM {} AS t USING (SELECT DISTINCT {} FROM {from} AS w WHERE {ROW} < 0) AS g \
             WHERE {gone} AND NOT EXISTS (SELECT FROM {from} AS s WHERE s.{ROW} >= 0 AND {come})",
            self.table.name,
            keys.join(", "),
            from = self.from
        ))
    }

    pub(super) fn merge(&self, part: &StagedRange) -> Result<Merged, Fault> {
        if !self.has_merge {
            let updated = match self.update(part) {
                Some(sql) => self.session.change(&sql)?,
                None => 0,
            };
            return Ok(Merged { inserted: self.session.change(&self.insert(part))?, updated });
        }
        let before = self.counted()?;
        let all = self.session.change(&self.merge_statement(part))?;
        let inserted = self.counted()?.saturating_sub(before);
        Ok(Merged { inserted: inserted.min(all), updated: all.saturating_sub(inserted) })
    }

    /// Number of rows that this transaction has inserted so far. A MERGE returns only the total of inserted and updated rows.
    fn counted(&self) -> Result<u64, Fault> {
        let sql = format!(
            "SELECT sum(pg_stat_get_xact_tuples_inserted(relid))::bigint \
             FROM (SELECT {oid}::oid AS relid UNION SELECT relid::oid FROM pg_partition_tree({oid})) AS parts",
            oid = self.table.oid
        );
        let rows = self.session.rows(&sql, &[])?;
        let counted: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0))?;
        Ok(counted.cast_unsigned())
    }

    /// `t.a = s.a AND t.b = s.b`
    fn same_key(&self, one: &str, other: &str) -> String {
        let same = |column: &Column| {
            let name = quoted(&column.name);
            format!("{one}.{name} = {other}.{name}")
        };
        self.table.key().map(same).collect::<Vec<_>>().join(" AND ")
    }

    /// `ROW(t.c, …) IS DISTINCT FROM ROW(s.c, …)`; `None` if the key columns are the only columns.
    fn differs(&self) -> Option<String> {
        let side = |of: &str| {
            let values = self.table.columns.iter().filter(|column| !column.is_key);
            values
                .map(|column| comparable(column.sql, &format!("{of}.{}", quoted(&column.name))))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let (old, new) = (side("t"), side("s"));
        (!old.is_empty()).then(|| format!("ROW({old}) IS DISTINCT FROM ROW({new})"))
    }

    fn set(&self) -> String {
        let values = self.table.columns.iter().filter(|column| !column.is_key).map(|column| quoted(&column.name));
        values.map(|name| format!("{name} = s.{name}")).collect::<Vec<_>>().join(", ")
    }

    /// Names of all columns, and the same names with the prefix `s.` of the temporary table.
    fn columns(&self) -> (String, String) {
        let names: Vec<String> = self.table.columns.iter().map(|column| quoted(&column.name)).collect();
        (names.join(", "), names.iter().map(|name| format!("s.{name}")).collect::<Vec<_>>().join(", "))
    }

    fn source(&self, part: &StagedRange) -> String {
        format!("(SELECT * FROM {} AS r WHERE {ROW} > 0{}) AS s", self.from, part.condition())
    }

    fn merge_statement(&self, part: &StagedRange) -> String {
        let (names, values) = self.columns();
        let update =
            self.differs().map(|differs| format!("WHEN MATCHED AND {differs} THEN UPDATE SET {} ", self.set()));
        format!(
            "MERGE INTO {} AS t USING {} ON {} {}WHEN NOT MATCHED THEN INSERT ({names}) VALUES ({values})",
            self.table.name,
            self.source(part),
            self.same_key("t", "s"),
            update.unwrap_or_default()
        )
    }

    fn update(&self, part: &StagedRange) -> Option<String> {
        let differs = self.differs()?;
        Some(format!(
            "UPDATE {} AS t SET {} FROM {} WHERE {} AND {differs}",
            self.table.name,
            self.set(),
            self.source(part),
            self.same_key("t", "s")
        ))
    }

    fn insert(&self, part: &StagedRange) -> String {
        let (names, values) = self.columns();
        format!(
            "INSERT INTO {table} ({names}) SELECT {values} FROM {} WHERE NOT EXISTS (SELECT FROM {table} AS t WHERE {})",
            self.source(part),
            self.same_key("t", "s"),
            table = self.table.name
        )
    }

    /// Number of pages of the temporary table.
    pub(super) fn pages(&self) -> Result<u32, Fault> {
        let sql =
            format!("SELECT (pg_relation_size('pg_temp.{STAGED}') / current_setting('block_size')::bigint)::bigint");
        let rows = self.session.rows(&sql, &[])?;
        let pages: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0))?;
        Ok(u32::try_from(pages).unwrap_or(u32::MAX))
    }

    /// `ctid` and number of each row in a part.
    pub(super) fn places(&self, part: &StagedRange) -> Result<Vec<(String, u64)>, Fault> {
        let sql = format!("SELECT ctid::text, {ROW} FROM pg_temp.{STAGED} WHERE {ROW} > 0{}", part.condition());
        let place = |row: Row| Ok((row.try_get(0)?, row.try_get::<_, i64>(1)?.cast_unsigned()));
        self.session.rows(&sql, &[])?.into_iter().map(place).collect()
    }

    /// The number of a row whose key another row has too; `None` if all keys are unique.
    pub(super) fn duplicate_row(&self) -> Result<Option<u64>, Fault> {
        let keys: Vec<String> = self.table.key().map(|column| quoted(&column.name)).collect();
        let sql = format!(
            "SELECT max({ROW}) FROM {} AS s WHERE {ROW} > 0 GROUP BY {} HAVING count(*) > 1 LIMIT 1",
            self.from,
            keys.join(", ")
        );
        let rows = self.session.rows(&sql, &[])?;
        Ok(rows.first().map(|row| row.try_get::<_, i64>(0)).transpose()?.map(i64::cast_unsigned))
    }
}

/// Whether a MERGE failed because several source rows match one row of the table.
pub(super) fn is_duplicate_match(error: &DbError) -> bool {
    error.code().code() == "21000"
}

/// SQL expression that compares a column of this type exactly, whatever its collation regards as equal.
fn comparable(sql: SqlType, column: &str) -> String {
    match sql {
        // the column's own collation may regard different texts as equal
        SqlType::Text | SqlType::Varchar(_) => format!("{column} COLLATE \"C\""),
        SqlType::TextLike | SqlType::Json => format!("{column}::text COLLATE \"C\""),
        _ => column.to_owned(),
    }
}
