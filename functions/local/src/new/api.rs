//! A sample of an API: the records of its first page.

use ingest::http::{Preview, preview};
use polars::prelude::{Column, DataFrame, DataType, Int64Chunked, IntoColumn as _, NamedFrom as _, Series};
use tidemark_flow::{Error, ErrorKind, Quiet};
use tidemark_pipeline::http::{Body, Pagination, Parameter, Total};
use tidemark_pipeline::raw::{FAULT, OBJECT, PAGE, ROW, TEXT};
use tidemark_transform::RawLayout;

use super::draft::quote;
use super::sample::{Sample, fields_of_records};
use crate::environment::LocalEnvironment;

pub(super) fn sample(url: &str) -> anyhow::Result<Sample> {
    let local = LocalEnvironment::new()?;
    let lake = local.empty_lake()?;
    let preview = local.with_context(&lake, &Quiet, |context| preview(context, url))?;
    let fields = fields_of_records(preview.texts.iter().map(String::as_str));
    if fields.is_empty() {
        return Err(Error::new(ErrorKind::Data, format!("{url} returned no record to guess the columns from"))
            .hint("request a time or a page with records")
            .into());
    }
    let raw = raw(&preview).map_err(|error| Error::new(ErrorKind::Bug, "records without text").because(error))?;
    let source = source_lines(url, &preview);
    let is_whole = preview.is_certain && preview.pagination == Pagination::Single;
    Ok(Sample {
        title: url.to_owned(),
        source,
        raw,
        layout: RawLayout::Json,
        fields,
        is_whole,
        header: None,
        is_api: true,
    })
}

/// The raw rows as `ingest` would write them.
fn raw(preview: &Preview) -> polars::prelude::PolarsResult<DataFrame> {
    let height = preview.texts.len();
    let columns = vec![
        Series::new(TEXT.into(), &preview.texts).into_column(),
        Column::full_null(FAULT.into(), height, &DataType::String),
        Series::new(OBJECT.into(), vec!["sample"; height]).into_column(),
        Int64Chunked::from_vec(PAGE.into(), vec![1; height]).into_column(),
        Int64Chunked::from_vec(ROW.into(), (1..=height as i64).collect()).into_column(),
    ];
    DataFrame::new(height, columns)
}

fn source_lines(url: &str, preview: &Preview) -> Vec<String> {
    let mut lines = vec!["kind = \"http\"".to_owned(), format!("url = {}", quote(url))];
    lines.push("# auth = { bearer = { secret = \"api-token\" } }   # the token is in TIDEMARK_SECRET_API_TOKEN, or AWS Secrets Manager".into());
    if preview.format == Body::Ndjson {
        lines.push("format = \"ndjson\"".into());
    }
    if !preview.records.is_empty() {
        lines.push(format!(
            "records = {}   # {} of them on the first page",
            quote(&preview.records),
            preview.texts.len()
        ));
    }
    let why = if preview.is_certain {
        "according to the first response"
    } else {
        "guessed from the other fields of the response: check it"
    };
    lines.push(format!("pagination = {}   # {why}", paging(&preview.pagination)));
    lines.push("# incremental = { column = \"updated_at\", parameter = \"updated_since\", lookback = \"1h\" }   # if the API can \
     filter by time".into());
    lines
}

fn paging(pagination: &Pagination) -> String {
    let name = |parameter: &Parameter| match parameter {
        Parameter::Query(name) | Parameter::Body(name) => quote(name),
    };
    match pagination {
        Pagination::Single => "{ kind = \"single\" }".into(),
        Pagination::LinkHeader => "{ kind = \"link_header\" }".into(),
        Pagination::NextUrl { next } => format!("{{ kind = \"next_url\", next = {} }}", quote(next)),
        Pagination::Cursor { parameter, next } => {
            format!("{{ kind = \"cursor\", parameter = {}, next = {} }}", name(parameter), quote(next))
        }
        Pagination::Keyset { parameter, field } => {
            format!("{{ kind = \"keyset\", parameter = {}, field = {} }}", name(parameter), quote(field))
        }
        Pagination::Page { parameter, total, .. } => {
            let total = match total {
                Some(Total::Pages(pages)) => format!(", total_pages = {}", quote(pages)),
                Some(Total::Records(records)) => format!(", total = {}", quote(records)),
                None => String::new(),
            };
            format!("{{ kind = \"page\", parameter = {}{total} }}", name(parameter))
        }
        Pagination::Offset { parameter, size, total } => {
            let size =
                size.as_ref().map(|(parameter, size)| format!(", size_parameter = {}, size = {size}", name(parameter)));
            let total = total.as_ref().map(|total| format!(", total = {}", quote(total)));
            format!(
                "{{ kind = \"offset\", parameter = {}{}{} }}",
                name(parameter),
                size.unwrap_or_default(),
                total.unwrap_or_default()
            )
        }
    }
}
