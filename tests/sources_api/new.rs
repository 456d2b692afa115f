//! `tidemark new` with the first page of an API.

use crate::support::api_server::{Api, Form, Paging, Style, Total};
use crate::support::orders_api::{AT, FIELDS, orders};
use crate::support::project::Site;

#[test]
fn a_pipeline_generated_from_the_first_page_reads_all_pages() {
    let data = Style::for_paging;
    let of = |paging, form| Style { form, ..Style::for_paging(paging) };
    for (style, pagination, certain) in [
        (
            data(Paging::Cursor),
            "pagination = { kind = \"cursor\", parameter = \"cursor\", next = \"/meta/next\" }",
            false,
        ),
        (
            data(Paging::Page { first: 1, total: Total::Records }),
            "pagination = { kind = \"page\", parameter = \"page\", total = \"/meta/total\" }",
            false,
        ),
        (
            data(Paging::NextUrl { is_relative: true }),
            "pagination = { kind = \"next_url\", next = \"/links/next\" }",
            true,
        ),
        (of(Paging::LinkHeader { is_relative: false }, Form::Bare), "pagination = { kind = \"link_header\" }", true),
        (of(Paging::LinkHeader { is_relative: false }, Form::Ndjson), "format = \"ndjson\"", true),
    ] {
        let api = Api::new(style, FIELDS, &orders(43));
        let site = Site::new();
        let from = format!("{}/v1/orders", api.origin());
        let answer = site.ask(&["new", "shop-orders", "--from", &from]).expect(0);
        assert_eq!(answer.json()["key"][0], "id", "{}", answer.out);
        let text = std::fs::read_to_string(site.path("infra/pipelines/shop-orders.toml")).unwrap();
        assert!(text.contains(pagination), "{text}");
        assert_eq!(text.contains("according to the first response"), certain, "{text}");
        assert!(text.contains("customer_country = { type = \"string\", from = \"/customer/country\" }"), "{text}");
        site.call(&["check"]).expect(0);
        site.call(&["run", "--at", AT]).expect(0);
        let rows = site.sql("SELECT COUNT(*) AS n, COUNT(DISTINCT id) AS ids FROM shop_orders");
        assert_eq!((rows[0][0].as_i64(), rows[0][1].as_i64()), (Some(43), Some(43)), "{text}");
    }
}

#[test]
fn an_unreachable_api_is_named_in_the_error() {
    let site = Site::new();
    let answer = site.call(&["new", "shop", "--from", "http://127.0.0.1:9/v1/orders"]).expect(1);
    assert!(answer.err.contains("127.0.0.1:9"), "{}", answer.err);
    assert!(!site.path("infra/pipelines/shop.toml").exists());
}
