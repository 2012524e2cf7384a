//! `[log]`: how much is logged, and for whose eyes.

use super::section::Section;

#[derive(Debug, Clone)]
pub struct Log {
    pub level: Level,
    pub format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Json,
    Text,
}

impl Level {
    const ALL: [Self; 5] = [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];

    /// The text `tracing_subscriber::EnvFilter` takes. Only a bare level is accepted: a directive
    /// for one target could switch on a dependency's log lines, which quote documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl Log {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self {
            level: section.choice("level", &Level::ALL.map(|level| (level.as_str(), level))),
            format: section.choice("format", &[("json", Format::Json), ("text", Format::Text)]),
        }
    }
}
