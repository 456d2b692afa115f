use super::*;
use crate::ColumnName;
use crate::definition::*;

const CONTRACT: &str = "key = 'id'\npartition_by = { column = 'day', every = 'month' }\n\
                        columns = { id = 'int64', day = 'date', items = 'string', tags = 'string' }\n";

#[test]
fn an_array_is_a_model() {
    let text = format!(
        "[source]\nkind = 'files'\npath = 'in'\n[contract]\n{CONTRACT}\
         [contract.explode.order_items]\ncolumn = 'items'\n[contract.explode.order_items.columns]\nsku = 'string'\n\
         price = {{ type = 'decimal(12,2)', from = '/unit/price', min = 0 }}\n\
         [contract.explode.order_tags]\ncolumn = 'tags'\ncolumns = {{ tag = {{ type = 'string', from = '' }} }}\n\
         [[model]]\nname = 'm'\nsql = 'SELECT * FROM order_items'\n\
         [[target]]\nkind = 'sqlite'\ndataset = 'order_items'\npath = 'x.db'\ntable = 't'\nmode = 'upsert'\n"
    );
    let pipeline = read_text(&text).unwrap_or_else(|all| panic!("{all:#?}"));
    let names: Vec<&str> = pipeline.models.iter().map(|model| model.name.as_str()).collect();
    assert_eq!(names, ["order_items", "order_tags", "m"]);
    let Model { kind: ModelKind::Explode(children), partition_by, incremental, inputs, .. } = &pipeline.models[0]
    else {
        panic!()
    };
    assert_eq!((children.key[0].as_str(), children.column.as_str()), ("id", "items"));
    assert_eq!(partition_by.as_ref().unwrap().as_str(), "day_month");
    assert_eq!((incremental, inputs[0].as_str()), (&Some(Incremental { lookback_days: 0 }), "x"));
    let tags = &pipeline.contract.as_ref().unwrap().explodes[1];
    assert_eq!(tags.columns[0].from.as_deref(), Some(""));
    let Target::Sqlite(sqlite) = &pipeline.targets[0] else { panic!() };
    let key: Vec<&str> = sqlite.to.key.iter().map(ColumnName::as_str).collect();
    assert_eq!(key, ["id", "position"]);
}

#[test]
fn mistakes_of_an_explode() {
    assert_eq!(
        contract_errors(&format!(
            "{CONTRACT}[contract.explode.a]\ncolumn = 'itmes'\ncolunms = 1\n\
             [contract.explode.b]\ncolumn = 'day'\ncolumns = {{ Id = 'string', position = 'int64', day_month = 'date', x = 'text' }}\n\
             [contract.explode.C]\ncolumn = 'items'\ncolumns = {{}}\n\
             [contract.explode.d]\ncolumn = 'items'\ncolumns = {{ x = {{ type = 'string', from = '', mni = 1 }} }}"
        )),
        [
            "8:1: [contract.explode.a] has no `columns`; expected [contract.explode.a.columns] with `name = \"type\"` for each \
             column",
            "9:10: unknown column `itmes` in [contract.explode.a]; expected one of `id`, `day`, `items`, `tags`; did you mean \
             `items`?",
            "10:1: unknown field `colunms` in [contract.explode.a]; expected one of `column`, `columns`; did you mean `columns`?",
            "12:10: column `day` in [contract.explode.b], which is not a string; expected a column of type `string` that holds a \
             JSON array",
            "13:13: column `Id` in [contract.explode.b], which has `id` already; expected another name; the key, `position` and the \
             partition column are added automatically",
            "13:28: column `position` in [contract.explode.b], which has `position` already; expected another name; the key, \
             `position` and the partition column are added automatically",
            "13:48: column `day_month` in [contract.explode.b], which has `day_month` already; expected another name; the key, \
             `position` and the partition column are added automatically",
            "13:72: unknown type `text`; expected one of `string`, `bool`, `int32`, `int64`, `float64`, `decimal(12,2)`, \
             `date`, `time`, `datetime`; here it is called `string`",
            "14:19: `C` for a dataset's name; expected 1 to 100 bytes of a-z, 0-9 and _, starting with a letter",
            "16:11: no columns in [contract.explode.C.columns]; expected at least one",
            "19:47: unknown field `mni` in [contract.explode.d.columns.x]; expected one of `type`, `from`, `required`, `min`, \
             `max`, `one_of`, `pattern`, `format`, `timezone`, `trim`, `nulls`; did you mean `min`?",
        ]
    );
    assert_eq!(
        contract_errors(
            "columns = { items = 'string' }\nexplode = { a = { column = 'items', columns = { x = 'string' } } }"
        ),
        [
            "6:11: [contract.explode] without a key; expected `key = [\"…\"]` in [contract], which identifies the record of each element"
        ]
    );
    assert_eq!(
        contract_errors(
            "key = 'Position'\ncolumns = { Position = 'string' }\nexplode.a = { column = 'Position', columns.x = 'string' }"
        ),
        [
            "7:9: column `Position` of the contract, which is also the position in [contract.explode.a]; expected another name for \
             the contract's column"
        ]
    );
    assert_eq!(
        contract_errors("columns.a = 'string'\nexplode = ['a']"),
        ["6:11: an array for [contract.explode]; expected a table for each dataset: [contract.explode.<name>]"]
    );
}
