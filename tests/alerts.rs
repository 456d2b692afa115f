//! Where alerts arrive: a webhook shaped like Slack's, a real mail server, a topic of SNS; and what the channels make of them.

mod channels;
mod function;
mod mail;
mod slack;
mod smtp;
mod sns;
mod topic;

pub use slack::{Sink, Trouble};
pub use smtp::{Smtp, Way};
