//! Every environment variable Tidemark reads, in one place. The standard `AWS_*` variables are read by the AWS SDK.

/// The lake: a folder, or `s3://bucket/prefix`.
pub const LAKE: &str = "TIDEMARK_LAKE";
/// The folder of the pipeline files.
pub const PIPELINES: &str = "TIDEMARK_PIPELINES";
/// Level of the log on stderr: `warn`, `info`, `tidemark_lake=debug`, … (syntax of `tracing`).
pub const LOG: &str = "TIDEMARK_LOG";
/// Memory budget of a step, in MiB; half of the machine's memory by default.
pub const MEMORY_MB: &str = "TIDEMARK_MEMORY_MB";
/// Prefix of the variable of a secret. The secret's name follows in capitals, with `_` for `-`. The value is used where no secrets manager
/// is available.
pub const SECRET: &str = "TIDEMARK_SECRET_";
/// The event bus to which a function announces due steps; with `none` it only logs them.
pub const BUS: &str = "TIDEMARK_BUS";
/// The CloudWatch namespace of a function's metrics, `Tidemark` by default. It separates several stacks in one account.
pub const NAMESPACE: &str = "TIDEMARK_NAMESPACE";
/// The mail server, if mail is not sent by AWS: `smtps://host`, or `smtp://user@host:587`. Its password is the secret `smtp-password`.
pub const SMTP: &str = "TIDEMARK_SMTP";
/// The sender of mail: `tidemark@example.com`, or `Tidemark <tidemark@example.com>`.
pub const MAIL_FROM: &str = "TIDEMARK_MAIL_FROM";
/// The ARN of the SNS topic through which a function sends mail.
pub const ALERT_TOPIC: &str = "TIDEMARK_ALERT_TOPIC";

/// Variables of a deployed function. `infra/template.yaml` sets these, the parameters of the pipelines, and no others.
pub const DEPLOYED: [&str; 8] = [LAKE, PIPELINES, LOG, BUS, NAMESPACE, SMTP, MAIL_FROM, ALERT_TOPIC];
/// Variables for local use only: a function knows its memory, and reads secrets from Secrets Manager.
pub const LOCAL: [&str; 2] = [MEMORY_MB, SECRET];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_is_in_one_of_the_lists() {
        let named = include_str!("settings.rs").lines().filter(|line| line.contains(": &str = \"TIDEMARK_"));
        let mut named: Vec<&str> = named.map(|line| line.split('"').nth(1).unwrap()).collect();
        let mut listed = [&DEPLOYED[..], &LOCAL[..]].concat();
        named.sort_unstable();
        listed.sort_unstable();
        assert_eq!(named, listed);
    }
}
