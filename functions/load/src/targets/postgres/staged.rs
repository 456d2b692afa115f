//! Rows beside the table first: a temporary table, then one statement that brings in what is new, changes what differs, and leaves
//! the rest untouched.

use tidemark_postgres::{DbError, Fault, Row, Session, SqlType, quoted};

use super::table::{Column, ROW, Table};

/// The temporary table. Column `tidemark_row` numbers the rows of the change from 1. What is below 0 is the key of a deleted row;
/// 0 that of a rejected row, whose earlier version stays.
pub(super) const STAGED: &str = "tidemark_staged";
/// As SQL finds it.
pub(super) const TEMPORARY: &str = "pg_temp.tidemark_staged";

/// The effect of a merge on the table, in rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Merged {
    pub(super) inserted: u64,
    pub(super) updated: u64,
}

/// A part of the temporary table, by where its rows lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StagedRange {
    All,
    /// Pages from, and up to.
    Pages(u32, u32),
    /// Rows, by their places.
    Rows(Vec<String>),
}

impl StagedRange {
    fn condition(&self) -> String {
        match self {
            StagedRange::All => String::new(),
            StagedRange::Pages(from, to) => format!(" AND ctid >= '({from},0)'::tid AND ctid < '({to},0)'::tid"),
            // quoted: a place has a comma in it
            StagedRange::Rows(rows) => format!(" AND ctid = ANY ('{{\"{}\"}}'::tid[])", rows.join("\",\"")),
        }
    }
}

pub(super) struct Staged<'a> {
    session: &'a Session,
    table: &'a Table<'a>,
    /// Where the rows are: a table, or a query over several.
    from: String,
    /// Whether one MERGE does it, and what it did can be counted.
    has_merge: bool,
}

impl<'a> Staged<'a> {
    /// Makes the temporary table, with the types that the table itself has.
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

    /// What has the rows.
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

    /// Tells the planner what there is: it has never seen this table. Where the change is a good part of the target's, both are gone
    /// through in the order of the key, so that pages of table and index are met once; a hash join would touch them at random.
    pub(super) fn analyze(&self, names: &str, rows: u64) -> Result<(), Fault> {
        let takes_much = self.table.rows.is_none_or(|table| rows.saturating_mul(4) >= table);
        let hash_join = if takes_much { "off" } else { "DEFAULT" };
        self.session.run(&format!("ANALYZE {names}; SET LOCAL enable_hashjoin = {hash_join}"))
    }

    /// Takes out the rows that are deleted and not upserted too.
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

    /// Rows that this transaction has inserted into the table so far. A MERGE only says how many it has touched.
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

    /// `(t.c, …) IS DISTINCT FROM (s.c, …)`; `None` where the key is all there is.
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

    /// Names of all columns, and the same of the temporary table.
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

    /// Pages of the temporary table.
    pub(super) fn pages(&self) -> Result<u32, Fault> {
        let sql =
            format!("SELECT (pg_relation_size('pg_temp.{STAGED}') / current_setting('block_size')::bigint)::bigint");
        let rows = self.session.rows(&sql, &[])?;
        let pages: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0))?;
        Ok(u32::try_from(pages).unwrap_or(u32::MAX))
    }

    /// Places and numbers of the rows in a part.
    pub(super) fn places(&self, part: &StagedRange) -> Result<Vec<(String, u64)>, Fault> {
        let sql = format!("SELECT ctid::text, {ROW} FROM pg_temp.{STAGED} WHERE {ROW} > 0{}", part.condition());
        let place = |row: Row| Ok((row.try_get(0)?, row.try_get::<_, i64>(1)?.cast_unsigned()));
        self.session.rows(&sql, &[])?.into_iter().map(place).collect()
    }

    /// Numbers of two rows with one key.
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

/// A MERGE that meets a row of the table twice.
pub(super) fn is_duplicate_match(error: &DbError) -> bool {
    error.code().code() == "21000"
}

/// SQL expression by which a column of this type is compared exactly, whatever the collation takes for equal.
fn comparable(sql: SqlType, column: &str) -> String {
    match sql {
        // whatever the column's collation takes for equal
        SqlType::Text | SqlType::Varchar(_) => format!("{column} COLLATE \"C\""),
        SqlType::TextLike | SqlType::Json => format!("{column}::text COLLATE \"C\""),
        _ => column.to_owned(),
    }
}
