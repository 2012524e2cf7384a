//! All modules that apps can use, ready for use; made anew only of what has changed.

use std::sync::{Arc, Mutex, PoisonError};

use bson::RawDocument;

use super::custom::Custom;
use super::record::Registered;
use crate::modules::{ALL, BuiltIn};
use crate::store::Snapshot;
use crate::users::{Module, Modules, Shelf};

/// Cheap to clone; clones share what was made.
#[derive(Clone, Default)]
pub struct Catalogue(Arc<Mutex<Option<Made>>>);

#[derive(Clone)]
struct Made {
    from: Snapshot,
    shelved: Arc<Shelved>,
}

/// The registry at one moment.
pub struct Shelved {
    pub modules: Modules,
    /// What apps can use, in the order in which it is shown: the built-in ones first.
    pub open: Vec<Open>,
}

#[derive(Clone)]
pub enum Open {
    BuiltIn(Arc<Registered>, &'static dyn BuiltIn),
    Custom(Arc<Custom>),
}

impl Open {
    pub fn line(&self) -> &Registered {
        match self {
            Self::BuiltIn(line, _) => line,
            Self::Custom(custom) => &custom.line,
        }
    }

    pub fn module(&self) -> &dyn Module {
        match self {
            Self::BuiltIn(_, module) => *module,
            Self::Custom(custom) => custom.as_ref(),
        }
    }
}

impl Catalogue {
    pub fn of(&self, snapshot: &Snapshot) -> Arc<Shelved> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = last.as_ref().filter(|made| made.from.is(snapshot));
        if let Some(made) = same {
            return Arc::clone(&made.shelved);
        }
        // Read again without a change, as without a change stream: what was made still holds.
        let equal = last.as_ref().filter(|made| bytes(&made.from) == bytes(snapshot));
        let shelved = match equal {
            Some(made) => Arc::clone(&made.shelved),
            None => Arc::new(Shelved::of(snapshot.raw(), last.as_ref().map(|it| &*it.shelved))),
        };
        *last = Some(Made { from: snapshot.clone(), shelved: Arc::clone(&shelved) });
        shelved
    }

    /// For who knows nothing of registries.
    pub fn shelf(&self) -> Shelf {
        let catalogue = self.clone();
        Arc::new(move |snapshot| catalogue.of(snapshot).modules.clone())
    }
}

fn bytes(snapshot: &Snapshot) -> &[u8] {
    snapshot.raw().as_bytes()
}

impl Shelved {
    fn of(raw: &RawDocument, before: Option<&Self>) -> Self {
        let all = raw.get_array("modules").into_iter().flatten();
        let lines = all.filter_map(|line| line.ok()?.as_document());
        let mut open: Vec<Open> = lines
            .filter_map(|line| opened(line, before))
            .filter(|it| it.line().is_open())
            .collect();
        open.sort_by_key(|it| match it {
            Open::BuiltIn(line, _) => {
                ALL.iter().position(|one| one.name() == line.module_name.as_str())
            }
            Open::Custom(_) => Some(usize::MAX),
        });
        let modules = open.iter().map(|it| match it {
            Open::BuiltIn(_, module) => Arc::new(Embedded(*module)) as Arc<dyn Module>,
            Open::Custom(custom) => Arc::clone(custom) as Arc<dyn Module>,
        });
        Self { modules: Modules::new(modules.collect()), open }
    }

    pub fn named(&self, name: &str) -> Option<&Open> {
        self.open.iter().find(|it| it.line().module_name.as_str() == name)
    }
}

/// One line; a registered module that has not changed is not compiled again.
fn opened(raw: &RawDocument, before: Option<&Shelved>) -> Option<Open> {
    let line: Result<Registered, _> = bson::deserialize_from_slice(raw.as_bytes());
    let Ok(line) = line else {
        tracing::error!("a line of the registry cannot be decoded");
        return None;
    };
    let name = line.module_name.as_str();
    if let Some(module) = ALL.iter().find(|module| module.name() == name) {
        return Some(Open::BuiltIn(Arc::new(line), *module));
    }
    if !line.is_open() {
        return None;
    }
    match before.and_then(|before| before.named(name)) {
        Some(Open::Custom(same)) if same.line == line => Some(Open::Custom(Arc::clone(same))),
        _ => match Custom::of(line) {
            Ok(custom) => Some(Open::Custom(Arc::new(custom))),
            Err(fault) => {
                tracing::error!(cause = fault.cause(), "a registered module cannot be used");
                None
            }
        },
    }
}

/// A built-in module in the company of others.
struct Embedded(&'static dyn BuiltIn);

impl Module for Embedded {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn permission(&self) -> &str {
        self.0.permission()
    }

    fn defaults(&self, now: crate::kernel::time::Timestamp) -> Option<bson::Document> {
        self.0.defaults(now)
    }

    fn view(&self, data: Option<&bson::Document>) -> Option<serde_json::Value> {
        self.0.view(data)
    }
}
