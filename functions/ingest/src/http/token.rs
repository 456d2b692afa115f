//! OAuth2 access tokens with client credentials (RFC 6749, 4.4). A token is reused until the API rejects it.

use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use tidemark_flow::{Error, ErrorKind, Secret};
use tidemark_pipeline::http::Auth;
use url::Url;

use super::attempt::{AttemptOutcome, Cause, Head, NoAnswer};
use super::connection::Connection;
use super::credentials::{Credentials, encoded};
use super::shown::start;
use super::{origin, retry};

#[derive(Deserialize)]
struct Token {
    access_token: String,
}

/// The cached token, or a new one requested with the client secret.
pub(super) async fn token(
    connection: &Connection<'_>,
    credentials: &Credentials<'_>,
    secret: &Secret,
) -> Result<Secret, NoAnswer> {
    if let Some(token) = &*credentials.token.borrow() {
        return Ok(token.clone());
    }
    let Some(Auth::Oauth2 { token_url, client_id, scope, .. }) = credentials.auth else { return Ok(secret.clone()) };
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    form.extend_pairs(scope.iter().map(|scope| ("scope", scope)));
    let form = form.finish();
    let place = Url::parse(token_url).map(|url| origin::origin(&url)).unwrap_or_default();
    for attempt in 1.. {
        // encoded as RFC 6749 (2.3.1) requires
        let (id, key) = (encoded(client_id), encoded(secret.expose()));
        let request = connection.inner.post(token_url).basic_auth(id, Some(key));
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form.clone());
        let (cause, asked) = match connection.exchange(request).await {
            Ok((Head { status: 200..=299, .. }, body)) => {
                let token: Token = serde_json::from_slice(&body).map_err(|error| {
                    // the cause might contain the token
                    let message =
                        format!("{place} returned no token (line {}, column {})", error.line(), error.column());
                    Error::new(ErrorKind::Data, message).hint("check `token_url` in [source.auth.oauth2]")
                })?;
                let token = Secret::new(token.access_token);
                *credentials.token.borrow_mut() = Some(token.clone());
                return Ok(token);
            }
            Ok((Head { status, headers }, _)) if retry::is_transient(status) => {
                (Cause::new(format!("{status} for a token")), retry::asked(&headers, (connection.context.clock)()))
            }
            Ok((Head { status, .. }, body)) => {
                let says = start(&credentials.redacted(&String::from_utf8_lossy(&body)));
                let message = format!("{place} answered a request for a token with {status}: {says}");
                return Err(NoAnswer::Refused(status, credentials.unauthorized(message)));
            }
            Err(AttemptOutcome::Retry(cause, asked)) => (cause, asked),
            Err(AttemptOutcome::Failed(error)) => return Err(error.into()),
            Err(_) => (Cause::new("no token"), None),
        };
        connection.wait_to_retry(attempt, cause, asked).await?;
    }
    Ok(secret.clone())
}
