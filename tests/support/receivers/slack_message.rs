//! Messages as a reader of the channel sees them.

use serde_json::Value;

/// A parsed Slack message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SlackMessage {
    pub head: String,
    pub what: String,
    pub facts: Vec<(String, String)>,
    pub next: String,
    pub command: String,
    /// Incident, times, run record.
    pub origin: String,
    /// For a digest: the title of each entry.
    pub lines: Vec<String>,
}

impl SlackMessage {
    pub fn parse(message: &Value) -> SlackMessage {
        let mut slack_message = SlackMessage { head: text(&message["blocks"][0]["text"]), ..SlackMessage::default() };
        let attachments = message["attachments"].as_array().unwrap();
        if attachments.len() > 1 {
            slack_message.lines = attachments.iter().map(|attachment| text(&attachment["blocks"][0]["text"])).collect();
            return slack_message;
        }
        for block in attachments[0]["blocks"].as_array().unwrap() {
            let of = text(&block["text"]);
            if block["type"] == "context" {
                slack_message.origin = text(&block["elements"][0]);
            } else if let Some(fields) = block["fields"].as_array() {
                let split = |field: &Value| {
                    let text = text(field);
                    let (name, value) = text.split_once('\n').unwrap();
                    (name.trim_matches('*').to_owned(), value.to_owned())
                };
                slack_message.facts = fields.iter().map(split).collect();
            } else if let Some(next) = of.strip_prefix("*What happens next*\n") {
                slack_message.next = next.to_owned();
            } else if let Some((_, code)) = of.split_once("```") {
                slack_message.command = code.trim_end_matches("```").to_owned();
            } else {
                slack_message.what = of;
            }
        }
        slack_message
    }

    pub fn fact(&self, name: &str) -> &str {
        self.facts.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// A time by its name, `opened` or `over`.
    pub fn time(&self, name: &str) -> &str {
        let parts = self.origin.split("  ·  ").filter_map(|part| part.split_once(' '));
        parts.filter(|(part, _)| *part == name).map(|(_, time)| time).next().unwrap_or_default()
    }

    /// The incident id, like `orders.clean.failed#1`.
    pub fn incident(&self) -> &str {
        self.origin.split("  ·  ").nth(1).unwrap_or_default()
    }

    /// The path of its run record.
    pub fn record(&self) -> &str {
        self.origin.rsplit_once("run record ").map_or("", |(_, path)| path)
    }

    pub fn is_over(&self) -> bool {
        self.head.starts_with('✅')
    }
}

fn text(object: &Value) -> String {
    object["text"].as_str().unwrap_or_default().replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&")
}
