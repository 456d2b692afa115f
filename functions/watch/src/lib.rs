//! Looks at the lake every few minutes: what failed, what did not start, what is behind, what never ended. Each thing that is wrong is one
//! incident, opened once and resolved once, and told to those whom its pipeline names.

pub mod channel;
mod given_up;
mod help;
mod incident;
mod judge;
mod keep;
mod look;
mod memory;
pub mod message;
mod missed;
mod silence;
mod step_key;
mod step_state;
mod tell;
mod tick;
mod wording;

use tidemark_flow::{Bus, Context, Event, Failure, Kind, Mailer, Secrets};
use tidemark_lake::Lake;
use tokio::runtime::Handle;

use channel::smtp::Smtp;
pub use channel::{Address, Channels};
pub use incident::{Finding, Incident, Said, Told};
pub use judge::View;
pub use keep::named;
pub use memory::{Known, Memory};
pub use missed::{Missed, missed};
pub use silence::{Silence, Silences, silence};
pub use tick::{Ticked, Turn, note, tick};
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
    view: &View<'_>,
    bus: &dyn Bus,
    event: &Event,
    chain: &str,
) -> Result<Ticked, Failure> {
    match event {
        Event::Rule { rules, .. } if rules.iter().any(|rule| rule.ends_with(OWN_RULE)) => {}
        Event::GivenUp(given_up) => note(context, view, given_up)?,
        _ => {
            return Err(Failure::new(Kind::Refused, "this event is none of the watcher's")
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
pub fn open_incidents(lake: &Lake) -> Result<Vec<Incident>, Failure> {
    let memory = look::memory(lake)?.0;
    let mut open = Vec::new();
    for (name, tag) in lake.watched()?.incidents {
        if memory.at_rest.get(&name) == Some(&tag) {
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
