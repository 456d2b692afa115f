//! Function `watch` on Lambda: a look at everything every few minutes, and at what was given up. This file is the door; `lib.rs` is the
//! house.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), tidemark_aws::RuntimeError> {
    tidemark_aws::serve_watch(|context, watched, event, chain| {
        let view = watch::LakeSnapshot { graph: watched.graph, broken: watched.broken, arguments: String::new() };
        let (secrets, mailer, handle) = (watched.secrets, watched.mailer, watched.handle.clone());
        let channels = watch::ChannelEnvironment { secrets, mailer, handle };
        let seen = watch::handle(context, channels, &view, watched.bus, event, chain)?;
        Ok(seen.to_json())
    })
}
