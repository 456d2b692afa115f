//! Links to other pages in the headers of an answer.

use reqwest::header::{HeaderMap, LINK};

/// Links to other pages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Headers {
    pub next: Option<String>,
}

impl Headers {
    /// `Link: <https://api.example.com/orders?page=2>; rel="next"` (RFC 8288)
    pub(crate) fn from_map(headers: &HeaderMap) -> Headers {
        let links = headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
        Headers {
            next: links
                .flat_map(parse_links)
                .find(|(_, rel)| rel.split(' ').any(|rel| rel.eq_ignore_ascii_case("next")))
                .map(|(url, _)| url),
        }
    }
}

/// All links of a header, with their `rel`.
fn parse_links(header: &str) -> Vec<(String, String)> {
    let mut links = Vec::new();
    let mut rest = header;
    while let Some((url, behind)) = rest.split_once('<').and_then(|(_, behind)| behind.split_once('>')) {
        // parameters go up to the comma before the next link; a comma may be in quotes
        let mut quoted = false;
        let end = behind.find(|c| {
            quoted ^= c == '"';
            c == ',' && !quoted
        });
        let (parameters, after) = behind.split_at(end.unwrap_or(behind.len()));
        let rel = parameters.split(';').find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim().eq_ignore_ascii_case("rel").then(|| value.trim().trim_matches('"').to_owned())
        });
        links.extend(rel.map(|rel| (url.to_owned(), rel)));
        rest = after;
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_headers_are_parsed() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(LINK, text.parse().unwrap());
            Headers::from_map(&headers).next
        };
        let two = r#"<https://x/?page=1>; rel="prev", <https://x/?a=1,2&page=3>; rel="next"; title="a, b""#;
        assert_eq!(of(two).as_deref(), Some("https://x/?a=1,2&page=3"));
        assert_eq!(of("</v1?page=2>; title=\"x\"; rel=\"last next\"").as_deref(), Some("/v1?page=2"));
        assert_eq!(of("<https://x>; rel=nextish"), None);
        assert_eq!(of("nonsense"), None);
    }
}
