//! `pagination = { … }`.

use super::super::fields::Fields;
use super::super::values::{count, needed_pointer, pointer};
use super::parameter::parameter;
use crate::http::{Body, Method, Pagination, Parameter, Total};

const KINDS: [(&str, &[&str]); 7] = [
    ("single", &[]),
    ("page", &["parameter", "in", "first", "size_parameter", "size", "total", "total_pages", "empty_pages"]),
    ("offset", &["parameter", "in", "size_parameter", "size", "total", "empty_pages"]),
    ("cursor", &["parameter", "in", "next", "empty_pages"]),
    ("next_url", &["next", "empty_pages"]),
    ("link_header", &["empty_pages"]),
    ("keyset", &["parameter", "in", "field", "empty_pages"]),
];
const ALL: [&str; 11] = [
    "kind",
    "parameter",
    "in",
    "first",
    "size_parameter",
    "size",
    "total",
    "total_pages",
    "next",
    "field",
    "empty_pages",
];

pub(super) fn pagination(top: &Fields<'_, '_>, method: Method, format: Body) -> Option<(Pagination, bool)> {
    let fields = top.open("pagination", "[source.pagination]", &ALL)?;
    if fields.value("kind").is_none() {
        fields.missing("kind", &crate::diagnostic::one_of(KINDS.iter().map(|(kind, _)| *kind)));
    }
    let (kind, known) = fields.choice("kind", &KINDS.map(|kind| (kind.0, kind)))?;
    for key in ALL.iter().filter(|key| **key != "kind" && !known.contains(key)) {
        fields.refuse(key, &format!("no such field with `kind = \"{kind}\"`"));
    }
    if format == Body::Ndjson && matches!(kind, "cursor" | "next_url") {
        fields.refuse("kind", "a kind that reads nothing from the body, which is NDJSON");
    }
    let parameter = |default| parameter(&fields, "parameter", default, method);
    let allows_empty = fields.flag("empty_pages").unwrap_or(false);
    let pagination = match kind {
        "single" => Pagination::Single,
        "link_header" => Pagination::LinkHeader,
        "next_url" => Pagination::NextUrl { next: needed_pointer(&fields, "next", "/links/next")? },
        "cursor" => {
            let next = needed_pointer(&fields, "next", "/meta/next");
            Pagination::Cursor { parameter: parameter(Some("cursor"))?, next: next? }
        }
        "keyset" => {
            let field = needed_pointer(&fields, "field", "/id");
            Pagination::Keyset { parameter: parameter(None)?, field: field? }
        }
        "page" => {
            let total = match (pointer(&fields, "total"), pointer(&fields, "total_pages")) {
                (Some(_), Some(_)) => {
                    fields.refuse("total_pages", "either `total`, of records, or `total_pages`");
                    None
                }
                (Some(records), None) => Some(Total::Records(records)),
                (None, pages) => pages.map(Total::Pages),
            };
            let first = count(&fields, "first", 0, 1).unwrap_or(1);
            Pagination::Page {
                parameter: parameter(Some("page"))?,
                first,
                size: size(&fields, "per_page", method),
                total,
            }
        }
        _ => Pagination::Offset {
            parameter: parameter(Some("offset"))?,
            size: size(&fields, "limit", method),
            total: pointer(&fields, "total"),
        },
    };
    Some((pagination, allows_empty))
}

/// The page size to request, and its parameter.
fn size(fields: &Fields<'_, '_>, default: &str, method: Method) -> Option<(Parameter, u64)> {
    if fields.value("size").is_none() {
        fields.refuse("size_parameter", "`size = 100` as well");
        return None;
    }
    let size = count(fields, "size", 1, 1_000_000)?;
    Some((parameter(fields, "size_parameter", Some(default), method)?, size))
}
