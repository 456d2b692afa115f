//! Request parameters of an API, in the query or in the body.

use super::super::fields::Fields;
use crate::http::{Method, Parameter};

/// Reads the name of a parameter in `key`. `in = "body"` requires `POST`.
pub(super) fn parameter(
    fields: &Fields<'_, '_>,
    key: &str,
    default: Option<&str>,
    method: Method,
) -> Option<Parameter> {
    let in_body = fields.choice("in", &[("query", false), ("body", true)]).unwrap_or(false);
    if in_body && method == Method::Get {
        fields.refuse("in", "`\"body\"` only with `method = \"POST\"`");
    }
    let name = match (fields.value(key), default) {
        (None, Some(default)) => default.to_owned(),
        (None, None) => {
            fields.missing(key, "the name of the API's parameter");
            return None;
        }
        (Some(_), _) => fields.filled(key, "the name of the API's parameter")?.text,
    };
    Some(match in_body {
        false => Parameter::Query(name),
        true if name.starts_with('/') => Parameter::Body(name),
        true => Parameter::Body(format!("/{}", name.replace('~', "~0").replace('/', "~1"))),
    })
}
