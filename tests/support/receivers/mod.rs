//! What messages are sent to: a Slack webhook, a mail server, an SNS topic, and recording test doubles.

pub mod mail_server;
pub mod recorders;
pub mod slack;
pub mod slack_message;
pub mod sns;

pub use mail_server::{Smtp, Way};
pub use recorders::{Mailbox, RecordingBus};
pub use slack::{Sink, Trouble};
pub use slack_message::SlackMessage;
