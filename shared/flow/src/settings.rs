//! Every environment variable Tidemark reads, in one place. The standard `AWS_*` variables are read by the AWS SDK.

/// The lake: a folder, or `s3://bucket/prefix`.
pub const LAKE: &str = "TIDEMARK_LAKE";
/// The folder of the pipeline files.
pub const PIPELINES: &str = "TIDEMARK_PIPELINES";
/// Level of the log on stderr: `warn`, `info`, `tidemark_lake=debug`, … (syntax of `tracing`).
pub const LOG: &str = "TIDEMARK_LOG";
/// Memory a step may plan with, in MiB; half of the machine's by default.
pub const MEMORY_MB: &str = "TIDEMARK_MEMORY_MB";
/// In front of a secret's name, in capitals and with `_` for `-`: what the secret is, where no secrets manager is asked.
pub const SECRET: &str = "TIDEMARK_SECRET_";
/// The event bus that a function announces to; `none`: it only logs what it would announce.
pub const BUS: &str = "TIDEMARK_BUS";
/// The namespace of a function's metrics, `Tidemark` by default: so that two stacks in one account do not mix.
pub const NAMESPACE: &str = "TIDEMARK_NAMESPACE";
/// The mail server, where mail is not sent by AWS: `smtps://host`, or `smtp://user@host:587`. Its password is the secret `smtp-password`.
pub const SMTP: &str = "TIDEMARK_SMTP";
/// Whom mail is from: `tidemark@example.com`, or `Tidemark <tidemark@example.com>`.
pub const MAIL_FROM: &str = "TIDEMARK_MAIL_FROM";
/// The ARN of the topic of SNS by which a function sends mail.
pub const ALERT_TOPIC: &str = "TIDEMARK_ALERT_TOPIC";

/// What a function reads where it is deployed; `infra/template.yaml` gives these, and the parameters of the pipelines, and no others.
pub const DEPLOYED: [&str; 8] = [LAKE, PIPELINES, LOG, BUS, NAMESPACE, SMTP, MAIL_FROM, ALERT_TOPIC];
/// What is for people at their own machine: a function knows its memory, and asks Secrets Manager.
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
