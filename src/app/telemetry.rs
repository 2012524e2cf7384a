//! Structured logs on standard error. No personal data: handlers log nothing, the boundary logs
//! routes instead of paths, and the driver's own messages stay off, because they quote documents.

use tracing_subscriber::EnvFilter;

use crate::config::log::{Format, Log};

pub fn start(config: &Log) {
    // What actix-http calls an error is a client that sent no HTTP: anybody could fill the log.
    let level = config.level.as_str();
    let directives = format!("{level},mongodb=off,actix_server=warn,actix_http=off");
    let filter = EnvFilter::new(directives);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start in one process keeps the first subscriber.
    let _ = match config.format {
        Format::Json => builder.json().flatten_event(true).with_target(false).try_init(),
        Format::Text => builder.with_target(false).try_init(),
    };
}
