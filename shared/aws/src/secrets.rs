//! Reads secrets from AWS Secrets Manager. The secret `orders-api-token` of a definition is stored there as `tidemark/orders-api-token`.

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::{DisplayErrorContext, ProvideErrorMetadata as _};
use tidemark_flow::{Error, ErrorKind, Secret};
use tidemark_pipeline::SecretName;
use tokio::runtime::Handle;

use crate::client::Account;

/// Reads a secret. It is read again in each run that needs it, so a changed secret takes effect at once.
///
/// # Errors
/// The secret does not exist, or the function may not read it; the hint says what to do.
pub(crate) fn secret(account: &Account, handle: &Handle, name: &SecretName) -> Result<Secret, Error> {
    let id = format!("tidemark/{name}");
    let client = Client::new(account.config());
    let answer = handle.block_on(client.get_secret_value().secret_id(&id).send()).map_err(|error| {
        let (kind, hint) = match error.code() {
            Some("ResourceNotFoundException") => (
                ErrorKind::Definition,
                format!("create it: aws secretsmanager create-secret --name {id} --secret-string …"),
            ),
            Some("AccessDeniedException") => (
                ErrorKind::Refused,
                format!("allow secretsmanager:GetSecretValue on {id} in the policy of the function's role"),
            ),
            _ => (ErrorKind::Retry, "run again".to_owned()),
        };
        let message = format!("secret {id} cannot be read");
        Error::new(kind, message).hint(hint).because(DisplayErrorContext(&error).to_string())
    })?;
    answer.secret_string().map(Secret::new).ok_or_else(|| {
        Error::new(ErrorKind::Definition, format!("secret {id} is not a string")).hint("store it as a secret string")
    })
}
