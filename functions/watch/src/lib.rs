//! The watcher. Every few minutes it checks the lake for what failed, did not start, is behind, or never ended. Each problem is one
//! incident, which is opened once, resolved once, and reported to the recipients that its pipeline names.

pub mod channel;
mod collect;
mod dead_letter;
mod evaluate;
mod incident;
mod incident_store;
pub mod message;
mod missed;
mod outbox;
mod remediate;
mod silence;
mod step_key;
mod step_state;
mod tick;
mod watch_state;
mod wording;

use tidemark_flow::{Bus, Context, Error, ErrorKind, Event, Mailer, Secrets};
use tidemark_lake::Lake;
use tokio::runtime::Handle;

use channel::smtp::Smtp;
pub use channel::{Address, Channels};
pub use evaluate::LakeSnapshot;
pub use incident::{Finding, Incident, Notification, NotificationState};
pub use incident_store::recipients;
pub use missed::{Missed, missed};
pub use silence::{Silence, Silences, silence};
pub use tick::{IncidentChange, TickReport, record_dead_letters, tick};
pub use watch_state::{PipelineState, WatchState};
pub use wording::{lasted, quoted, sample, title};

/// The ending of the name of the rule that wakes the watcher.
const OWN_RULE: &str = "watch";

/// Handles one event: a tick of the watcher's own schedule, or dead letters.
///
/// # Errors
/// The event is not for the watcher, or the lake cannot be read or written.
pub fn handle(
    context: &Context<'_>,
    environment: ChannelEnvironment<'_>,
    snapshot: &LakeSnapshot<'_>,
    bus: &dyn Bus,
    event: &Event,
    correlation_id: &str,
) -> Result<TickReport, Error> {
    match event {
        Event::Rule { rules, .. } if rules.iter().any(|rule| rule.ends_with(OWN_RULE)) => {}
        Event::DeadLetters(dead_letters) => record_dead_letters(context, snapshot, dead_letters)?,
        _ => {
            return Err(Error::new(ErrorKind::Refused, "this event is not for the watcher")
                .hint("fix the rule that routed the event here"));
        }
    }
    with_channels(context, environment, |channels| tick(context, snapshot, bus, channels, correlation_id))
}

/// The dependencies of the channels.
pub struct ChannelEnvironment<'a> {
    pub secrets: &'a dyn Secrets,
    /// Sends mail; if `None`, mail goes by SMTP according to the settings.
    pub mailer: Option<&'a dyn Mailer>,
    /// The runtime on which I/O blocks.
    pub handle: Handle,
}

/// Builds the channels and passes them to `act`. They send no request until there is something to send.
pub fn with_channels<T>(
    context: &Context<'_>,
    environment: ChannelEnvironment<'_>,
    act: impl FnOnce(&Channels<'_>) -> T,
) -> T {
    let ChannelEnvironment { secrets, mailer, handle } = environment;
    let smtp = Smtp::from_variables(|name| std::env::var(name).ok(), secrets, context.clock);
    act(&Channels::new(secrets, mailer.unwrap_or(&smtp), context.clock, handle))
}

/// All open incidents, the oldest first.
///
/// # Errors
/// The lake cannot be read.
pub fn open_incidents(lake: &Lake) -> Result<Vec<Incident>, Error> {
    let state = collect::read_state(lake)?.0;
    let mut open = Vec::new();
    for (name, tag) in lake.watched()?.incidents {
        if state.at_rest.get(&name) == Some(&tag) {
            continue;
        }
        if let Some((bytes, _)) = lake.incident(&name)?
            && let Ok(incident) = serde_json::from_slice::<Incident>(&bytes)
            && incident.is_open()
        {
            open.push(incident);
        }
    }
    open.sort_by_key(|incident| incident.opened_at);
    Ok(open)
}
