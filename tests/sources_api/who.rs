//! Authentication: every kind of credentials works, is sent to the origin of `url` only, and appears in no file or output.

use super::pages::CURSOR;
use crate::support::api_server::{Api, Auth, Fault, Paging, Rule, Style, When};
use crate::support::orders_api::{AT, FIELDS, Shop, orders};
use crate::support::project::{Answer, tidemark, walk};

const SECRET: &str = "hush-9f8e7d6c5b4a";
const BASE64: &str = "Basic bWU6aHVzaC05ZjhlN2Q2YzViNGE=";

fn kinds() -> Vec<(Auth, &'static str)> {
    vec![
        (Auth::Header("authorization", "Bearer hush-9f8e7d6c5b4a"), "{ bearer = { secret = 'the-key' } }"),
        (Auth::Header("authorization", BASE64), "{ basic = { user = 'me', password = { secret = 'the-key' } } }"),
        (Auth::Header("x-api-key", SECRET), "{ api_key = { header = 'X-Api-Key', secret = 'the-key' } }"),
        (Auth::Query("key", SECRET), "{ api_key = { query = 'key', secret = 'the-key' } }"),
        // Each token is valid for two requests, so it expires during the fetch.
        (
            Auth::Token { client_id: "me", client_secret: SECRET, uses: 2 },
            "{ oauth2 = { token_url = 'ORIGIN/token', client_id = 'me', client_secret = { secret = 'the-key' } } }",
        ),
    ]
}

fn shop(paging: Paging, auth: &(Auth, &'static str)) -> Shop {
    let api = Api::new(Style::for_paging(paging), FIELDS, &orders(43));
    api.guard(auth.0.clone());
    let pages = match paging {
        Paging::Cursor => CURSOR,
        _ => "records = '/data'\npagination = { kind = 'next_url', next = '/links/next' }",
    };
    let source = format!("{pages}\nauth = {}\nlimits = {{ attempts = 2 }}", auth.1.replace("ORIGIN", &api.origin()));
    Shop { variables: vec![("TIDEMARK_SECRET_THE_KEY", SECRET)], ..Shop::with_api(api, &source) }
}

/// Checks that the secret appears in no file of the site, compressed or not, and in no output.
fn assert_hidden(shop: &Shop, outputs: &[String]) {
    let encoded = BASE64.strip_prefix("Basic ").unwrap();
    let has = |text: &[u8]| {
        [SECRET, encoded, "token-1"]
            .iter()
            .any(|secret| text.windows(secret.len()).any(|part| part == secret.as_bytes()))
    };
    for path in walk(&shop.site.path("")) {
        let bytes = std::fs::read(&path).unwrap();
        assert!(!has(&bytes), "{}", path.display());
        if let Some(at) = bytes.windows(4).position(|four| four == [0x28, 0xb5, 0x2f, 0xfd]) {
            let plain = zstd::decode_all(&bytes[at..]).unwrap_or_default();
            assert!(!has(&plain), "{} unpacked", path.display());
        }
    }
    for text in outputs {
        assert!(!has(text.as_bytes()), "{text}");
    }
}

#[test]
fn every_kind_of_credentials_works_and_stays_secret() {
    for auth in kinds() {
        for paging in [Paging::Cursor, Paging::NextUrl { is_relative: false }] {
            let shop = shop(paging, &auth);
            let mut outputs = Vec::new();
            for verb in [&["run", "--at", AT][..], &["status"], &["runs", "--json"]] {
                let mut command = shop.site.command(tidemark());
                command.envs(shop.variables.iter().copied()).env("TIDEMARK_LOG", "trace").args(verb);
                let answer = Answer::from_command(&mut command).expect(0);
                outputs.extend([answer.out, answer.err]);
            }
            shop.has(43);
            assert_hidden(&shop, &outputs);
        }
    }
}

#[test]
fn a_wrong_secret_is_named_and_its_value_stays_secret() {
    for auth in kinds() {
        let mut shop = shop(Paging::Cursor, &auth);
        // The API repeats the secret in its answer.
        let repeats = Fault::Answer(401, vec![], r#"{"error": "no such key: hush-9f8e7d6c5b4a"}"#);
        shop.api.fail(Rule::new(When::Always, repeats));
        let answer = shop.run();
        answer.fails(1, "refused", &["401", "secret the-key"]);
        assert_hidden(&shop, &[answer.out, answer.err]);
        shop.api.recover();
        shop.variables.clear();
        let _ = shop.api.asked();
        shop.run().fails(2, "definition", &["the-key", "TIDEMARK_SECRET_THE_KEY"]);
        assert!(shop.api.asked().is_empty());
    }
}

#[test]
fn credentials_are_sent_to_the_origin_of_the_url_only() {
    let other = Api::new(Style::for_paging(Paging::Cursor), FIELDS, &orders(3));
    for auth in kinds() {
        let shop = shop(Paging::NextUrl { is_relative: false }, &auth);
        let target = format!("{}/v1/orders", other.origin());
        for fault in [
            Fault::Answer(302, vec![("location", target.clone())], ""),
            Fault::Answer(307, vec![("location", target.clone())], ""),
            Fault::Answer(308, vec![("location", "http://169.254.169.254/latest/meta-data/".into())], ""),
            Fault::NextElsewhere(other.origin()),
            Fault::NextElsewhere("http://169.254.169.254".into()),
        ] {
            let befell = shop.api.fail(Rule::new(When::First(1), fault).for_part("/v1/"));
            let answer = shop.run();
            answer.fails(1, "refused", &["origin of `url` only"]);
            assert_eq!(befell.times(), 1);
            shop.api.recover();
            assert_hidden(&shop, &[answer.out, answer.err]);
        }
        assert!(other.asked().is_empty());
        // Redirects within the origin are followed.
        shop.api.fail(
            Rule::new(When::First(1), Fault::Answer(302, vec![("location", "/v2/orders".into())], "")).for_part("/v1/"),
        );
        shop.run().expect(0);
        shop.has(43);
    }
}
