//! Function `watch` on Lambda: the entry point. It handles the watcher's schedule and dead letters; the logic is in `lib.rs`.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), tidemark_aws::RuntimeError> {
    tidemark_aws::serve_watch(|context, environment, event, correlation_id| {
        let snapshot =
            watch::LakeSnapshot { graph: environment.graph, broken: environment.broken, arguments: String::new() };
        let (secrets, mailer, handle) = (environment.secrets, environment.mailer, environment.handle.clone());
        let channels = watch::ChannelEnvironment { secrets, mailer, handle };
        let report = watch::handle(context, channels, &snapshot, environment.bus, event, correlation_id)?;
        Ok(report.to_json())
    })
}
