use super::*;

#[test]
fn columns() {
    let all = contract_errors(
        "columns.a = 'int46'\n\
         columns.b = { type = 'decimal(40,2)', requird = true }\n\
         columns.c = { from = '' }\n\
         columns.d = 5\n\
         columns._row = 'string'\n\
         columns.A = 'string'\n\
         columns.e = 'varchar'\n\
         columns.f = { type = 'date', format = 'yyyy-mm-dd', pattern = 'x', timezone = 'UTC', trim = 'no', nulls = [1] }",
    );
    assert_eq!(
        all,
        [
            "5:13: unknown type `int46`; expected one of `string`, `bool`, `int32`, `int64`, `float64`, `decimal(12,2)`, \
             `date`, `time`, `datetime`; did you mean `int64`?",
            "6:22: unknown type `decimal(40,2)`; expected `decimal(precision,scale)` with 1 ≤ precision ≤ 38 and scale ≤ \
             precision",
            "6:39: unknown field `requird` in [contract.columns.b]; expected one of `type`, `from`, `required`, `min`, \
             `max`, `one_of`, `pattern`, `format`, `timezone`, `trim`, `nulls`; did you mean `required`?",
            "7:13: [contract.columns.c] has no `type`; expected one of `string`, `bool`, `int32`, `int64`, `float64`, \
             `decimal(12,2)`, `date`, `time`, `datetime`",
            "7:22: an empty value for `from` in [contract.columns.c]; expected a field of the source",
            "8:13: the number `5` for [contract.columns.d]; expected a table",
            "9:9: `_row` for a column's name; expected a name that does not start with `_`, which is reserved for Tidemark",
            "10:9: column `A` beside `a`; expected names that differ not only in case, as Delta and SQL require",
            "11:13: unknown type `varchar`; expected one of `string`, `bool`, `int32`, `int64`, `float64`, \
             `decimal(12,2)`, `date`, `time`, `datetime`; here it is called `string`",
            "12:39: `yyyy-mm-dd` for `format` in [contract.columns.f]; expected strptime directives, as in `%Y-%m-%d \
             %H:%M:%S`",
            "12:63: `pattern` in [contract.columns.f]; expected this field only for a string",
            "12:79: `timezone` in [contract.columns.f]; expected this field only for a datetime",
            "12:93: the string `no` for `trim` in [contract.columns.f]; expected `true` or `false`",
            "12:108: the number `1` for `nulls` in [contract.columns.f]; expected a string",
        ]
    );
}

#[test]
fn bounds_are_of_the_column_s_type() {
    let column = |text: &str| contract_errors(&format!("columns.a = {{ {text} }}"));
    let good = [
        "type = 'int32', min = -5, max = 0xff",
        "type = 'int64', one_of = [1, '2']",
        "type = 'float64', min = 1, max = 1.5e3",
        "type = 'decimal(5,2)', min = -999.99, max = '999.99'",
        "type = 'date', min = 2024-01-01, max = '2024-12-31'",
        "type = 'time', min = 08:00:00, max = '20:30'",
        "type = 'datetime', min = 2024-01-01T00:00:00Z, max = 2025-01-01T00:00:00",
        "type = 'bool', one_of = [true]",
        "type = 'string', one_of = ['']",
    ];
    for good in good {
        assert_eq!(column(good), Vec::<String>::new(), "{good}");
    }
    let of = "[contract.columns.a]; expected";
    let cases = [
        (
            "type = 'int32', min = 3000000000",
            format!("37: the number `3000000000` for `min` in {of} a whole number of 32 bits"),
        ),
        ("type = 'int64', max = 1.5", format!("37: the number `1.5` for `max` in {of} a whole number of 64 bits")),
        ("type = 'float64', max = nan", format!("39: the number `nan` for `max` in {of} a number")),
        (
            "type = 'decimal(5,2)', max = 1.234",
            format!("44: the number `1.234` for `max` in {of} a number of at most 5 digits, 2 of them after the point"),
        ),
        (
            "type = 'date', min = '2024-02-30'",
            format!("36: the string `2024-02-30` for `min` in {of} a date, as in `2024-12-31`"),
        ),
        ("type = 'string', min = 'a'", format!("38: `min` in {of} this field only for numbers, dates and times")),
        ("type = 'string', one_of = [5]", format!("42: the number `5` for `one_of` in {of} a string")),
        ("type = 'string', one_of = []", format!("41: an empty `one_of` in {of} at least one value")),
        ("type = 'string', one_of = 'x'", format!("41: the string `x` for `one_of` in {of} an array of values")),
        (
            "type = 'int64', min = 5, max = -5",
            "37: `min` `5` over `max` `-5` in [contract.columns.a]; expected a `min` that is not greater than `max`"
                .to_owned(),
        ),
        ("type = 'int64', min = [1]", format!("37: an array for `min` in {of} a whole number of 64 bits")),
    ];
    for (text, expected) in cases {
        assert_eq!(column(text), [format!("5:{expected}")], "{text}");
    }
}

const COLUMNS: &str =
    "[contract.columns]\nid = 'int64'\nsold_at = 'datetime'\nday = 'date'\nprice = 'float64'\ngone = 'no type'";

/// The errors of a contract, except that of the invalid column `gone`, which causes no others.
fn mistakes_in(contract: &str) -> Vec<String> {
    let mut all = contract_errors(&format!("{contract}\n{COLUMNS}"));
    assert!(all.pop().unwrap().contains("`no type`"));
    all
}

#[test]
fn keys_and_partitions_name_columns() {
    assert_eq!(mistakes_in("key = ['id', 'gone']\nlatest_by = 'gone'\npartition_by = 'gone'"), Vec::<String>::new());
    let known = "expected one of `id`, `sold_at`, `day`, `price`, `gone`";
    assert_eq!(
        mistakes_in(
            "key = ['idd', 'id', 'id']\nlatest_by = 'soldat'\npartition_by = { column = 'nowhere', every = 'hour' }"
        ),
        [
            format!("5:8: unknown column `idd` in [contract]; {known}; did you mean `id`?"),
            "5:21: a second key column `id`; expected a unique name".to_owned(),
            format!("6:13: unknown column `soldat` in [contract]; {known}; did you mean `sold_at`?"),
            format!("7:27: unknown column `nowhere` in [contract.partition_by]; {known}"),
            "7:46: `hour` for `every` in [contract.partition_by]; expected one of `day`, `month`".to_owned(),
        ]
    );
    assert_eq!(
        mistakes_in("latest_by = 'sold_at'"),
        ["5:13: `latest_by` in [contract]; expected a `key` as well, because it chooses among rows with the same key"]
    );
    assert_eq!(
        mistakes_in("partition_by = 'sold_at'"),
        [
            "5:16: partition by `sold_at`, a `datetime`, which would make a partition of each instant; expected a column of type \
          string, bool, int32, int64 or date; write `partition_by = { column = \"sold_at\", every = \"day\" }`"
        ]
    );
    assert_eq!(mistakes_in("partition_by = 'price'").len(), 1);
    assert_eq!(
        mistakes_in("partition_by = { column = 'id', every = 'day', as = 'DAY' }"),
        [
            "5:27: column `id` in [contract.partition_by], which is not a date or time; expected a column of type `date` or \
             `datetime` for `every`",
            "5:53: partition column `day`, which is already a column of the contract; expected another name: `as = \"…\"`",
        ]
    );
    assert_eq!(
        mistakes_in("partition_by = { column = 'day', every = 'month', timezone = 'UTC' }"),
        [
            "5:62: `timezone` in [contract.partition_by]; expected this field only with a `datetime`; dates have no time zone"
        ]
    );
    assert_eq!(
        mistakes_in("partition_by = { column = 'id', as = 'x', timezone = 'UTC' }"),
        [
            "5:38: `as` in [contract.partition_by]; expected this field only with `every`; without `every` the column itself is the \
             partition column",
            "5:54: `timezone` in [contract.partition_by]; expected this field only with `every`",
        ]
    );
}

#[test]
fn names_of_partition_columns() {
    let name = |column: &str, every: &str| {
        let text = format!(
            "[source]\nkind='files'\npath='in'\n[contract]\ncolumns.{column} = 'date'\n\
             partition_by = {{ column = '{column}', every = '{every}' }}"
        );
        read_text(&text).unwrap().contract.unwrap().partition_by.unwrap().name.to_string()
    };
    assert_eq!(name("sold_at", "day"), "sold_on");
    assert_eq!(name("sold_at", "month"), "sold_month");
    assert_eq!(name("day", "day"), "day_day");
    assert_eq!(name("day", "month"), "day_month");
}

#[test]
fn rules_and_budget() {
    assert_eq!(
        mistakes_in(
            "max_quarantined = '101%'\nfilter = { 'a b' = 'id > 0', ok = 'idd > 0' }\ncheck = { type = 'id', two = 2 }"
        ),
        [
            "5:19: the string `101%` for `max_quarantined` in [contract]; expected a share from `\"0%\"` to `\"100%\"` or a \
             number of rows",
            "6:12: `a b` for a name in [contract.filter]; expected letters, digits and `_`, other than one of `format`, \
             `type`, `required`, `min`, `max`, `one_of`, `pattern`",
            "6:36: unknown column `idd`; expected a column of the contract; did you mean `id`?",
            "7:11: `type` for a name in [contract.check]; expected letters, digits and `_`, other than one of `format`, \
             `type`, `required`, `min`, `max`, `one_of`, `pattern`",
            "7:30: the number `2` for `two` in [contract.check]; expected a string",
        ]
    );
    for wrong in ["-1", "0.5", "'5'", "'-1%'", "'%'", "'1e1%'", "true", "'inf%'"] {
        assert_eq!(mistakes_in(&format!("max_quarantined = {wrong}")).len(), 1, "{wrong}");
    }
    for good in ["0", "100", "'0%'", "'0.5%'", "'100%'"] {
        assert_eq!(mistakes_in(&format!("max_quarantined = {good}")).len(), 0, "{good}");
    }
    assert_eq!(
        mistakes_in("unknown = 'refuse'"),
        ["5:11: `refuse` for `unknown` in [contract]; expected one of `keep`, `ignore`, `fail`"]
    );
    assert_eq!(mistakes_in("unknown = 'fail'"), Vec::<String>::new());
    assert_eq!(
        mistakes_in("dataset = 'Sales'"),
        ["5:11: `Sales` for a dataset's name; expected 1 to 100 bytes of a-z, 0-9 and _, starting with a letter"]
    );
    assert_eq!(
        mistakes_in("dataset = 'sales.raw'"),
        [
            "5:11: `sales.raw` for a dataset's name; expected a name without `.`; `.raw` and `.quarantine` are added automatically"
        ]
    );
}
