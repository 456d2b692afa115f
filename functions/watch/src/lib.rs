//! Looks at the lake every few minutes: what failed, what did not start, what is behind, what never ended. Each thing that is wrong is one
//! incident, opened once and resolved once, and told to those whom its pipeline names.

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
pub use incident_store::named;
pub use missed::{Missed, missed};
pub use silence::{Silence, Silences, silence};
pub use tick::{IncidentChange, TickReport, note, tick};
pub use watch_state::{PipelineState, WatchState};
pub use wording::{lasted, quoted, sample, title};

/// What the name of the rule ends with that wakes the watcher.
const OWN_RULE: &str = "watch";

/// Handles one event: the watcher's own schedule, or events that the platform has given up.
///
/// # Errors
/// An event that is none of the watcher's; a lake that cannot be read or written.
pub fn handle(
    context: &Context<'_>,
    environment: ChannelEnvironment<'_>,
    view: &LakeSnapshot<'_>,
    bus: &dyn Bus,
    event: &Event,
    chain: &str,
) -> Result<TickReport, Error> {
    match event {
        Event::Rule { rules, .. } if rules.iter().any(|rule| rule.ends_with(OWN_RULE)) => {}
        Event::DeadLetters(given_up) => note(context, view, given_up)?,
        _ => {
            return Err(Error::new(ErrorKind::Refused, "this event is none of the watcher's")
                .hint("mend the rule that carried the event here"));
        }
    }
    with_channels(context, environment, |channels| tick(context, view, bus, channels, chain))
}

/// What channels need of the world.
pub struct ChannelEnvironment<'a> {
    pub secrets: &'a dyn Secrets,
    /// Without it mail goes by SMTP, as the settings have it.
    pub mailer: Option<&'a dyn Mailer>,
    /// What I/O blocks on.
    pub handle: Handle,
}

/// Builds the channels, which ask nobody before there is something to send.
pub fn with_channels<T>(
    context: &Context<'_>,
    environment: ChannelEnvironment<'_>,
    act: impl FnOnce(&Channels<'_>) -> T,
) -> T {
    let ChannelEnvironment { secrets, mailer, handle } = environment;
    let smtp = Smtp::from_variables(|name| std::env::var(name).ok(), secrets, context.clock);
    act(&Channels::new(secrets, mailer.unwrap_or(&smtp), context.clock, handle))
}

/// Every incident that is open, the oldest first.
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
