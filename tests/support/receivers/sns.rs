//! A fake SNS topic for `Publish`: the query protocol, XML responses, and the limits of SNS.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use crate::support::http_server::{Asked, Reply, reply, serve};

/// A published message.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Published {
    pub topic: String,
    pub subject: String,
    pub message: String,
    /// Attributes: type and value by name.
    pub attributes: BTreeMap<String, (String, String)>,
}

#[derive(Clone)]
pub struct Sns {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    taken: Vec<Published>,
    requests: usize,
    refusal: Option<(u16, &'static str)>,
}

impl Sns {
    pub fn start() -> Sns {
        let state = Arc::new(Mutex::new(State::default()));
        let of_server = state.clone();
        let address = serve(move |asked| {
            let state = of_server.clone();
            async move { publish(&mut state.lock().unwrap(), &asked) }
        });
        Sns { address, state }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn taken(&self) -> Vec<Published> {
        self.state.lock().unwrap().taken.clone()
    }

    pub fn requests(&self) -> usize {
        self.state.lock().unwrap().requests
    }

    /// Refuses all further requests with this status and code.
    pub fn refuse(&self, refusal: Option<(u16, &'static str)>) {
        self.state.lock().unwrap().refusal = refusal;
    }
}

fn refused(status: u16, code: &str) -> Reply {
    let who = if status < 500 { "Sender" } else { "Receiver" };
    reply(
        status,
        format!(
            "<ErrorResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><Error><Type>{who}</Type><Code>{code}</Code>\
             <Message>as it was told</Message></Error><RequestId>1</RequestId></ErrorResponse>"
        ),
    )
}

fn publish(state: &mut State, asked: &Asked) -> Reply {
    state.requests += 1;
    if let Some((status, code)) = state.refusal {
        return refused(status, code);
    }
    let form: BTreeMap<String, String> = url::form_urlencoded::parse(&asked.body).into_owned().collect();
    let field = |name: &str| form.get(name).cloned().unwrap_or_default();
    let signed = asked.headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if field("Action") != "Publish" || !signed.starts_with("AWS4-HMAC-SHA256") {
        return refused(400, "InvalidAction");
    }
    let mut published = Published {
        topic: field("TopicArn"),
        subject: field("Subject"),
        message: field("Message"),
        attributes: BTreeMap::new(),
    };
    let mut bytes = published.message.len();
    for n in 1.. {
        let of = |rest: &str| field(&format!("MessageAttributes.entry.{n}.{rest}"));
        let (name, kind, value) = (of("Name"), of("Value.DataType"), of("Value.StringValue"));
        if name.is_empty() {
            break;
        }
        let is_array = || serde_json::from_str::<Vec<String>>(&value).is_ok_and(|values| !values.is_empty());
        let is_value = match kind.as_str() {
            "String" => !value.is_empty(),
            "String.Array" => is_array(),
            _ => false,
        };
        if !is_value {
            return refused(400, "ParameterValueInvalid");
        }
        bytes += name.len() + kind.len() + value.len();
        published.attributes.insert(name, (kind, value));
    }
    let subject = &published.subject;
    let is_subject = (1..100).contains(&subject.len())
        && subject.bytes().all(|b| (b' '..=b'~').contains(&b))
        && subject.as_bytes()[0].is_ascii_graphic();
    // the request must be signed for the region of the topic
    let region = published.topic.split(':').nth(3).unwrap_or_default();
    let is_here = signed.contains(&format!("/{region}/sns/"));
    if !is_subject || !is_here || published.message.is_empty() || bytes > 256 * 1024 {
        return refused(400, "InvalidParameter");
    }
    state.taken.push(published);
    reply(
        200,
        "<PublishResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><PublishResult><MessageId>1</MessageId></PublishResult>\
         <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></PublishResponse>",
    )
}
