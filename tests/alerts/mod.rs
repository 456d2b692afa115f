//! Tests of the watcher and its channels. The receivers are a webhook that behaves like Slack's, a real mail server, and an SNS topic.

mod causes;
mod channels;
mod crash;
mod function;
mod mail;
mod notify;
mod topic;
