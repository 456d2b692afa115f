//! The table that a dataset is loaded into: how it is created, and that parts added by users are kept.

use polars::prelude::*;
use tidemark_flow::{ErrorKind, Status};

use crate::support::postgres::Server;
use crate::support::postgres::release::releases;
use crate::support::postgres_load::{LoadHarness, UPSERT, counts, numbered};

/// A column of every type that a dataset can have.
fn every_type() -> DataFrame {
    df!(
        "id" => [1_i64],
        "tiny" => [1_i32], "small" => [1_i32], "int" => [1_i32],
        "single" => [1.5_f32], "double" => [1.5_f64],
        "text" => ["x"], "yes" => [true], "money" => ["12.30"], "fine" => ["0.5"],
        "day" => [0_i32], "at" => [0_i64], "nothing" => [None::<&str>],
    )
    .unwrap()
    .lazy()
    .with_columns([
        col("tiny").cast(DataType::Int8),
        col("small").cast(DataType::Int16),
        col("money").cast(DataType::Decimal(12, 2)),
        col("fine").cast(DataType::Decimal(38, 38)),
        col("day").cast(DataType::Date),
        col("at").cast(DataType::Datetime(TimeUnit::Microseconds, Some(TimeZone::UTC))),
    ])
    .collect()
    .unwrap()
}

fn columns(lab: &LoadHarness, table: &str) -> Vec<String> {
    lab.lines(&format!(
        "SELECT attname, format_type(atttypid, atttypmod), CASE WHEN attnotnull THEN 'not null' ELSE '' END FROM pg_attribute \
         WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
    ))
}

#[test]
fn a_table_is_created_with_schema_types_and_key() {
    let Some(lab) = LoadHarness::new() else { return };
    lab.commit("d", &every_type());
    lab.load(&format!("schema = 'Shop'\n{UPSERT}"));
    assert_eq!(
        columns(&lab, "\"Shop\".t"),
        [
            "id,bigint,not null",
            "tiny,smallint,",
            "small,smallint,",
            "int,integer,",
            "single,real,",
            "double,double precision,",
            "text,text,",
            "yes,boolean,",
            "money,numeric(12,2),",
            "fine,numeric(38,38),",
            "day,date,",
            "at,timestamp with time zone,",
            "nothing,text,",
        ]
    );
    assert_eq!(
        lab.lines("SELECT indexdef FROM pg_indexes WHERE tablename = 't'"),
        ["CREATE UNIQUE INDEX t_pkey ON \"Shop\".t USING btree (id)"]
    );

    // Another dataset in the same schema, which records both loads.
    lab.commit("e", &numbered(0..3, |id| id.to_string()));
    lab.load("dataset = 'e'\ntable = 'u'\nschema = 'Shop'\nmode = 'append'");
    let loads = "SELECT dataset, \"table\", version, inserted FROM \"Shop\".tidemark_loads ORDER BY 1";
    assert_eq!(lab.lines(loads), ["d,t,0,1", "e,u,0,3"]);

    let typed =
        "types = { text = 'varchar(40)', id = 'integer', double = 'real', money = 'numeric(20,4)', nothing = 'jsonb' }";
    lab.load(&format!("{}\n{typed}", UPSERT.replace("'t'", "'typed'")));
    let found = columns(&lab, "typed");
    for column in
        ["text,character varying(40),", "id,integer,not null", "double,real,", "money,numeric(20,4),", "nothing,jsonb,"]
    {
        assert!(found.iter().any(|found| found == column), "{column}: {found:?}");
    }
}

#[test]
fn new_columns_are_loaded_with_history_and_other_types_are_refused() {
    let Some(lab) = LoadHarness::new() else { return };
    lab.commit("d", &numbered(0..10, |id| id.to_string()));
    lab.load(UPSERT);
    lab.query("ALTER TABLE t ADD COLUMN mine int DEFAULT 7; CREATE VIEW v AS SELECT id, note FROM t");

    let wider = numbered(0..10, |id| id.to_string()).lazy().with_column((col("id") * lit(2_i64)).alias("twice"));
    let wider = wider.collect().unwrap();
    lab.commit("d", &wider);
    assert_eq!(counts(&lab.load(UPSERT)), [0, 10, 0, 0, 0]);
    assert_eq!(lab.one("SELECT sum(twice), sum(mine), count(*) FROM t"), "90,70,10");
    assert_eq!(columns(&lab, "t")[2..], ["mine,integer,", "twice,bigint,"]);

    // A column that the dataset no longer has stays in the table.
    lab.commit("d", &numbered(0..10, |id| format!("{id}!")));
    assert_eq!(counts(&lab.load(UPSERT)), [0, 10, 0, 0, 0]);
    assert_eq!(lab.one("SELECT sum(twice) FROM t"), "90");

    let other = wider.lazy().with_column(col("twice").cast(DataType::String)).collect().unwrap();
    lab.commit("d", &other);
    let error = lab.fail(UPSERT);
    assert_eq!(error.kind, ErrorKind::Definition);
    for word in ["column \"twice\"", "\"public\".\"t\"", "has type bigint", "text"] {
        assert!(error.message.contains(word), "{error:?}");
    }
    assert_eq!(lab.one("SELECT version FROM tidemark_loads"), "2");
    assert_eq!(lab.one("SELECT count(*) FROM t WHERE note LIKE '%!'"), "10");

    // A dropped table is created again.
    lab.query("DROP TABLE t CASCADE");
    assert_eq!(counts(&lab.load(UPSERT)), [10, 0, 0, 0, 0]);
    assert_eq!(columns(&lab, "t"), ["id,bigint,not null", "note,text,", "twice,text,"]);
    assert_eq!(lab.run(UPSERT).status, Status::NothingToDo);
}

/// The catalogue of the database without rows: relations, columns, constraints, indexes, triggers, views and grants.
fn catalogue(lab: &LoadHarness) -> Vec<String> {
    lab.lines(
        "SELECT 'relation', c.oid::regclass::text, relkind::text, relpersistence::text, relfilenode::text, relhastriggers::text FROM pg_class c \
         JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') \
           AND relname !~ '^tidemark_' \
         UNION ALL SELECT 'column', attrelid::regclass::text, attname, format_type(atttypid, atttypmod), attnotnull::text, \
           coalesce(pg_get_expr(adbin, adrelid), '') || attidentity::text || attgenerated::text FROM pg_attribute \
           LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum WHERE attrelid IN \
           (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname !~ '^tidemark_') \
         UNION ALL SELECT 'constraint', conname, pg_get_constraintdef(oid), '', '', '' FROM pg_constraint \
           WHERE connamespace = 'public'::regnamespace AND conname !~ '^tidemark_' \
         UNION ALL SELECT 'index', indexname, indexdef, '', '', '' FROM pg_indexes WHERE schemaname = 'public' \
           AND tablename !~ '^tidemark_' \
         UNION ALL SELECT 'trigger', tgname, tgenabled::text, pg_get_triggerdef(oid), '', '' FROM pg_trigger WHERE NOT tgisinternal \
         UNION ALL SELECT 'view', viewname, definition, '', '', '' FROM pg_views WHERE schemaname = 'public' \
         UNION ALL SELECT 'grant', table_name, grantee, privilege_type, '', '' FROM information_schema.table_privileges \
           WHERE table_schema = 'public' AND table_name !~ '^tidemark_' \
         ORDER BY 1, 2, 3, 4",
    )
}

const OWN: &str = "
    CREATE TYPE mood AS ENUM ('calm', 'loud');
    CREATE DOMAIN price AS numeric(12,2) CHECK (VALUE >= 0);
    CREATE TABLE country (code varchar(2) PRIMARY KEY);
    INSERT INTO country VALUES ('de'), ('fr');
    CREATE TABLE audit (at timestamptz DEFAULT now(), what text);
    CREATE TABLE t (
        mine uuid DEFAULT gen_random_uuid(), number int GENERATED ALWAYS AS IDENTITY, amount price,
        country varchar(2) REFERENCES country, id bigint NOT NULL, mood mood, loose numeric,
        double numeric GENERATED ALWAYS AS (loose * 2) STORED, touched timestamptz DEFAULT '2020-01-01Z',
        CONSTRAINT t_key UNIQUE (id)
    );
    CREATE INDEX by_mood ON t (mood) WHERE mood = 'loud';
    CREATE TABLE line (t bigint REFERENCES t (id), n int);
    CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO audit (what) VALUES (TG_OP || ' ' || coalesce(NEW.id, OLD.id)); RETURN coalesce(NEW, OLD); END $$;
    CREATE TRIGGER noted BEFORE INSERT OR UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION noted();
    CREATE VIEW loud AS SELECT id, amount FROM t WHERE mood = 'loud';
    CREATE ROLE reader; GRANT SELECT ON t, loud TO reader;";

fn orders(ids: std::ops::Range<i64>, mood: &str) -> DataFrame {
    let ids: Vec<i64> = ids.collect();
    df!(
        "amount" => ids.iter().map(|id| format!("{id}.50")).collect::<Vec<_>>(),
        "loose" => ids.iter().map(|id| format!("{id}.25")).collect::<Vec<_>>(),
        "country" => ids.iter().map(|id| ["de", "fr"][(id % 2) as usize]).collect::<Vec<_>>(),
        "mood" => vec![mood; ids.len()],
        "id" => ids,
    )
    .unwrap()
    .lazy()
    .with_columns([col("amount").cast(DataType::Decimal(10, 2)), col("loose").cast(DataType::Decimal(10, 2))])
    .collect()
    .unwrap()
}

#[test]
fn user_owned_parts_of_a_table_are_kept() {
    let Some(lab) = LoadHarness::new() else { return };
    lab.query(OWN);
    let before = catalogue(&lab);
    lab.commit("d", &orders(0..6, "calm"));
    assert_eq!(counts(&lab.load(UPSERT)), [6, 0, 0, 0, 0]);
    lab.query("INSERT INTO line VALUES (1, 1); INSERT INTO t (id, loose) OVERRIDING USER VALUE VALUES (100, 1)");
    let mine = lab.lines("SELECT id, mine, number, touched FROM t ORDER BY id");

    let changed = orders(0..6, "calm").vstack(&orders(6..8, "loud")).unwrap();
    let changed =
        changed.lazy().with_column(when(col("id").eq(lit(2))).then(lit("loud")).otherwise(col("mood")).alias("mood"));
    let changed = changed.filter(col("id").neq(lit(0))).collect().unwrap();
    lab.commit("d", &changed);
    let record = lab.load(UPSERT);
    assert_eq!(counts(&record), [2, 1, 4, 1, 0]);
    assert_eq!(catalogue(&lab), before);
    let now = lab.lines("SELECT id, mine, number, touched FROM t ORDER BY id");
    assert_eq!(now.iter().filter(|row| mine.contains(row)).count(), 6, "{now:?}\n{mine:?}");
    assert_eq!(lab.lines("SELECT id, amount FROM loud ORDER BY id"), ["2,2.50", "6,6.50", "7,7.50"]);
    assert_eq!(lab.one("SELECT double FROM t WHERE id = 7"), "14.50");
    // The trigger ran for the changed rows only.
    assert_eq!(
        lab.lines("SELECT what FROM audit WHERE what !~ 'INSERT [0-5]$' ORDER BY what"),
        ["DELETE 0", "INSERT 100", "INSERT 6", "INSERT 7", "UPDATE 2"]
    );

    // A row that another table references cannot be deleted.
    lab.commit("d", &changed.lazy().filter(col("id").gt(lit(1))).collect().unwrap());
    let error = lab.fail(UPSERT);
    assert_eq!(error.kind, ErrorKind::Data);
    assert!(error.message.contains("foreign key") && error.message.contains("line"), "{error:?}");
    assert_eq!(lab.one("SELECT count(*) FROM t"), "8");

    lab.query("DROP VIEW loud; DROP TABLE line, audit, t; DROP ROLE reader");
}

#[test]
fn tables_of_many_kinds_are_loaded_on_every_release() {
    for release in releases() {
        let server = Server::for_release(release, &[]);
        tables_of_many_kinds(&LoadHarness::at(server.url("postgres"), server));
    }
}

fn tables_of_many_kinds(lab: &LoadHarness) {
    for (name, make) in [
        (
            "ranged",
            "CREATE TABLE ranged (id bigint PRIMARY KEY, note text) PARTITION BY RANGE (id); \
            CREATE TABLE low PARTITION OF ranged FOR VALUES FROM (MINVALUE) TO (50); \
            CREATE TABLE high PARTITION OF ranged FOR VALUES FROM (50) TO (MAXVALUE)",
        ),
        (
            "listed",
            "CREATE TABLE listed (note text, id bigint, UNIQUE (id)) PARTITION BY HASH (id); \
            CREATE TABLE even PARTITION OF listed FOR VALUES WITH (MODULUS 2, REMAINDER 0); \
            CREATE TABLE odd (id bigint UNIQUE, note text); \
            ALTER TABLE listed ATTACH PARTITION odd FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
        ),
        ("unlogged", "CREATE UNLOGGED TABLE unlogged (note text, id bigint PRIMARY KEY)"),
        ("small", "CREATE TABLE small (id numeric PRIMARY KEY, note varchar(9) NOT NULL)"),
        ("deferred", "CREATE TABLE deferred (id bigint UNIQUE DEFERRABLE INITIALLY DEFERRED, note text)"),
        (
            "included",
            "CREATE TABLE included (id bigint, note text); CREATE UNIQUE INDEX ON included (id) INCLUDE (note)",
        ),
        (
            "dropped",
            "CREATE TABLE dropped (a int, id bigint PRIMARY KEY, b int, note text); \
            ALTER TABLE dropped DROP COLUMN a, DROP COLUMN b",
        ),
    ] {
        lab.query(make);
        lab.commit("d", &numbered(0..100, |id| id.to_string()));
        let target = UPSERT.replace("'t'", &format!("'{name}'"));
        assert_eq!(counts(&lab.load(&target)), [100, 0, 0, 0, 0], "{name}");
        lab.commit("d", &numbered(10..110, |id| (id / 30 * 30).to_string()));
        let [written, updated, unchanged, deleted, _] = counts(&lab.load(&target));
        assert_eq!((written, updated + unchanged, deleted), (10, 90, 10), "{name}");
        let digest = format!("SELECT count(*), sum(id), sum(note::int) FROM {name}");
        assert_eq!(lab.one(&digest), "100,5950,4500", "{name}");
        assert_eq!(counts(&lab.load_full(&target)), [0, 0, 100, 0, 0], "{name}");
    }
}

#[test]
fn texts_that_the_server_takes_for_equal_are_distinguished() {
    let Some(lab) = LoadHarness::new() else { return };
    let mut types = vec!["json", "varchar(20)"];
    if lab.one("SELECT count(*) FROM pg_available_extensions WHERE name = 'citext'") == "1" {
        lab.query("CREATE EXTENSION citext");
        types.push("citext");
    }
    for ty in types {
        lab.query(&format!(
            "DROP TABLE IF EXISTS t, tidemark_loads; CREATE TABLE t (id bigint PRIMARY KEY, note {ty})"
        ));
        lab.commit("d", &numbered(0..3, |_| "{\"a\": 1}".to_owned()));
        assert_eq!(counts(&lab.load(UPSERT)), [3, 0, 0, 0, 0], "{ty}");
        lab.commit("d", &numbered(0..3, |id| if id == 1 { "{\"A\": 1}".to_owned() } else { "{\"a\": 1}".to_owned() }));
        assert_eq!(counts(&lab.load(UPSERT)), [0, 1, 2, 0, 0], "{ty}");
        assert_eq!(lab.one("SELECT note FROM t WHERE id = 1"), "{\"A\": 1}", "{ty}");
        assert_eq!(counts(&lab.load_full(UPSERT)), [0, 0, 3, 0, 0], "{ty}");
    }
}

#[test]
fn unsuitable_relations_are_refused_with_their_kind() {
    let Some(lab) = LoadHarness::new() else { return };
    lab.commit("d", &numbered(0..3, |id| id.to_string()));
    lab.query(
        "CREATE TABLE base (id bigint PRIMARY KEY, note text); CREATE VIEW a_view AS SELECT * FROM base; \
         CREATE MATERIALIZED VIEW a_matview AS SELECT * FROM base; CREATE SEQUENCE a_sequence; CREATE INDEX an_index ON base (note); \
         CREATE TYPE a_type AS (id bigint); \
         CREATE TABLE keyless (id bigint, note text); \
         CREATE TABLE partly (id bigint, note text); CREATE UNIQUE INDEX ON partly (id) WHERE note = ''; \
         CREATE TABLE wider (id bigint, note text, UNIQUE (id, note)); \
         CREATE TABLE computed (id bigint, note text); CREATE UNIQUE INDEX ON computed ((id + 0)); \
         CREATE TABLE generated (id bigint PRIMARY KEY, note text GENERATED ALWAYS AS ('x') STORED); \
         CREATE TABLE narrow (id integer PRIMARY KEY, note text); \
         CREATE TABLE coarse (id bigint PRIMARY KEY, note char(3))",
    );
    let make = "create one: CREATE UNIQUE INDEX ON \"public\".";
    for (table, message, hint) in [
        ("a_view", "\"public\".\"a_view\" is a view, not a table", "choose a table"),
        ("a_matview", "is a materialized view, not a table", "choose a table"),
        ("a_sequence", "is a sequence, not a table", "choose a table"),
        ("an_index", "is an index, not a table", "choose a table"),
        ("a_type", "is a type, not a table", "choose a table"),
        ("keyless", "\"public\".\"keyless\" has no unique index on its key", make),
        ("partly", "has no unique index on its key", make),
        ("wider", "has no unique index on its key", "CREATE UNIQUE INDEX ON \"public\".\"wider\" (\"id\")"),
        ("computed", "has no unique index on its key", make),
        (
            "generated",
            "column \"note\" of table \"public\".\"generated\" is generated by the database",
            "another table",
        ),
        (
            "narrow",
            "column \"id\" of table \"public\".\"narrow\" has type integer, which cannot hold the dataset's bigint",
            "drop",
        ),
        ("coarse", "has type character(3), which cannot hold the dataset's text", "drop"),
    ] {
        let error = lab.fail(&UPSERT.replace("'t'", &format!("'{table}'")));
        assert_eq!(error.kind, ErrorKind::Definition, "{error:?}");
        assert!(error.message.starts_with("target here at 127.0.0.1:"), "{error:?}");
        assert!(error.message.contains(message), "{error:?}");
        assert!(error.hint.as_ref().is_some_and(|found| found.contains(hint)), "{error:?}");
    }
    assert_eq!(lab.one("SELECT to_regclass('tidemark_loads')"), "-");
    // The statement in the hint solves the problem.
    let hint = lab.fail(&UPSERT.replace("'t'", "'keyless'")).hint.unwrap();
    lab.query(hint.strip_prefix("create one: ").unwrap());
    assert_eq!(counts(&lab.load(&UPSERT.replace("'t'", "'keyless'"))), [3, 0, 0, 0, 0]);
}

#[test]
fn unusual_names_are_quoted_and_reserved_names_refused() {
    let Some(lab) = LoadHarness::new() else { return };
    let longest = "x".repeat(63);
    let columns = ["order", "Upper Case", "it's", "a\"b", "🛒", "user", "a.b", "%s", "{}", "$1", longest.as_str()];
    let ids: Vec<i64> = (0..5).collect();
    let mut frame = df!("select" => &ids).unwrap();
    for name in columns {
        frame.with_column(Column::new(name.into(), &ids)).unwrap();
    }
    for (schema, table) in
        [("public", "table"), ("My \"own\" schéma", "t'; DROP TABLE x; --"), ("🛒", "🛒"), (&longest, &longest)]
    {
        let target = format!(
            "dataset = 'd'\nschema = '''{schema}'''\ntable = '''{table}'''\nmode = 'upsert'\nkey = ['select', '''a\"b''']"
        );
        lab.commit("d", &frame);
        assert_eq!(counts(&lab.load(&target)), [5, 0, 0, 0, 0], "{table}");
        let changed = frame.clone().lazy().with_column(col("🛒") + lit(1_i64)).filter(col("select").gt(lit(0)));
        lab.commit("d", &changed.collect().unwrap());
        assert_eq!(counts(&lab.load(&target)), [0, 4, 0, 1, 0], "{table}");
        let named = format!("\"{}\".\"{}\"", schema.replace('"', "\"\""), table.replace('"', "\"\""));
        assert_eq!(lab.one(&format!("SELECT sum(\"order\" + \"a\"\"b\" + \"🛒\" + \"{longest}\") FROM {named}")), "44");
        lab.query(&format!(
            "DROP SCHEMA \"{}\" CASCADE; CREATE SCHEMA IF NOT EXISTS public",
            schema.replace('"', "\"\"")
        ));
    }
    for (name, word) in [
        ("y".repeat(64).as_str(), "has 64 bytes, but PostgreSQL allows 63"),
        ("ctid", "is reserved by PostgreSQL"),
        ("xmin", "is reserved by PostgreSQL"),
        ("tableoid", "is reserved by PostgreSQL"),
        ("tidemark_row", "is reserved by Tidemark"),
    ] {
        let mut frame = df!("id" => &ids).unwrap();
        frame.with_column(Column::new(name.into(), &ids)).unwrap();
        lab.commit("d", &frame);
        let error = lab.fail(UPSERT);
        assert_eq!(error.kind, ErrorKind::Definition, "{error:?}");
        assert!(error.message.contains(&format!("column {name:?} {word}")), "{error:?}");
        assert!(error.hint.as_ref().is_some_and(|hint| hint.contains("rename it in the SQL of a model")), "{error:?}");
    }
}
