//! Column names from the field names of a source: letters, digits and `_`, and no reserved word of SQL.

use std::collections::BTreeSet;

/// Reserved words of SQL.
const RESERVED: [&str; 64] = [
    "all",
    "and",
    "any",
    "as",
    "asc",
    "between",
    "by",
    "case",
    "cast",
    "check",
    "create",
    "cross",
    "default",
    "delete",
    "desc",
    "distinct",
    "drop",
    "else",
    "end",
    "except",
    "exists",
    "false",
    "from",
    "full",
    "group",
    "having",
    "in",
    "inner",
    "insert",
    "intersect",
    "interval",
    "into",
    "is",
    "join",
    "key",
    "left",
    "like",
    "limit",
    "natural",
    "not",
    "null",
    "offset",
    "on",
    "or",
    "order",
    "outer",
    "primary",
    "references",
    "right",
    "select",
    "set",
    "some",
    "table",
    "then",
    "to",
    "true",
    "union",
    "unique",
    "update",
    "user",
    "using",
    "values",
    "when",
    "where",
];
const OTHERS: [&str; 3] = ["with", "window", "current_date"];

/// Maximum bytes of a name, with room left for a numeric suffix.
const LONGEST: usize = 100;

/// `InvoiceNo` → `invoice_no`, `Unit Price (€)` → `unit_price`, `HTTPStatus` → `http_status`. Empty if nothing is left.
fn snake(words: &str) -> String {
    let mut name = String::new();
    let letters: Vec<char> = words.chars().collect();
    for (at, &letter) in letters.iter().enumerate() {
        if !letter.is_alphanumeric() {
            if !name.ends_with('_') {
                name.push('_');
            }
            continue;
        }
        let before = at.checked_sub(1).and_then(|before| letters.get(before));
        let begins_word = letter.is_uppercase()
            && before.is_some_and(|before| {
                before.is_lowercase()
                    || before.is_numeric()
                    || (before.is_uppercase() && letters.get(at + 1).is_some_and(|next| next.is_lowercase()))
            });
        if begins_word && !name.ends_with('_') {
            name.push('_');
        }
        name.extend(letter.to_lowercase());
    }
    let mut name = name.trim_matches('_').to_owned();
    while name.len() > LONGEST {
        name.pop();
    }
    name
}

/// A unique name for every field, in order.
pub(super) fn column_names<'w>(fields: impl Iterator<Item = &'w str>) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let named = fields.enumerate().map(|(at, words)| {
        let mut name = snake(words);
        if name.is_empty() {
            name = format!("column_{}", at + 1);
        }
        if name.starts_with(|first: char| first.is_numeric()) {
            name.insert_str(0, "n_");
        }
        if RESERVED.iter().chain(&OTHERS).any(|word| *word == name) {
            name.push('_');
        }
        free(name, &mut taken)
    });
    named.collect()
}

/// The name, with a numeric suffix if it is taken.
pub(super) fn free(name: String, taken: &mut BTreeSet<String>) -> String {
    let mut free = name.clone();
    let mut number = 2;
    while !taken.insert(free.clone()) {
        free = format!("{}_{number}", name.trim_end_matches('_'));
        number += 1;
    }
    free
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_valid_and_unique() {
        for (words, name) in [
            ("InvoiceNo", "invoice_no"),
            ("CustomerID", "customer_id"),
            ("HTTPStatusCode", "http_status_code"),
            (" Unit Price (€) ", "unit_price"),
            ("ISO3166-1-Alpha-3", "iso3166_1_alpha_3"),
            ("@timestamp", "timestamp"),
            ("_row", "row"),
            ("Größe", "größe"),
            ("2019 sales", "n_2019_sales"),
            ("order", "order_"),
            ("%%", "column_1"),
            ("", "column_1"),
            ("a__b--c", "a_b_c"),
        ] {
            assert_eq!(column_names([words].into_iter()), [name], "{words}");
        }
        assert_eq!(
            column_names(["a b", "A-B", "a_b", "order", "ORDER", "a_b_2"].into_iter()),
            ["a_b", "a_b_2", "a_b_3", "order_", "order_2", "a_b_2_2"]
        );
        assert!(column_names([&*"ä".repeat(300)].into_iter())[0].len() <= LONGEST);
    }
}
