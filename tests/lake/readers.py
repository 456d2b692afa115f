"""Reads Delta tables with two independent readers and prints their rows as JSON, as `tidemark sql --json` does.

    python readers.py TABLE...

Prints {reader: {table: {"columns": [name...], "rows": [[value...]...]}}}.
"""

import json
import sys
from datetime import date, datetime, timezone
from decimal import Decimal

import deltalake
import duckdb
import duckdb_ext


def plain(value):
    match value:
        case datetime():
            text = value.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")
            return text.rstrip("0").rstrip(".") + "Z"
        case date():
            return value.isoformat()
        case Decimal():
            # a number where a double holds all digits
            return float(value) if abs(int(value.scaleb(-value.as_tuple().exponent))) < 2**53 else str(value)
        case _:
            return value


def by_deltalake(path):
    return deltalake.DeltaTable(path).to_pyarrow_table()


def by_duckdb(path):
    connection = duckdb_ext.init(duckdb.connect())
    connection.execute("LOAD delta; SET TimeZone = 'UTC'")
    return connection.execute("SELECT * FROM delta_scan(?)", [path]).fetch_arrow_table()


answer = {}
for name, reader in {"deltalake": by_deltalake, "duckdb": by_duckdb}.items():
    answer[name] = {}
    for path in sys.argv[1:]:
        table = reader(path)
        columns = [[plain(value) for value in column.to_pylist()] for column in table.columns]
        answer[name][path] = {"columns": table.column_names, "rows": list(zip(*columns))}
print(json.dumps(answer))
