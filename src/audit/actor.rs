//! Who did it, and whose record it was.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::kernel::ids::{AppId, CustomerId, JobId, Name, OperatorId, RegistrationId, UserId};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    App,
    User,
    Operator,
    System,
}

/// Who made a change. `id` is the app's, user's or operator's id, or the name of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    pub kind: ActorKind,
    pub id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<String>,
}

impl Actor {
    pub fn app(id: &AppId) -> Self {
        Self { kind: ActorKind::App, id: id.to_string(), on_behalf_of: None }
    }

    pub fn operator(id: OperatorId) -> Self {
        Self { kind: ActorKind::Operator, id: id.to_string(), on_behalf_of: None }
    }

    pub fn system(job: &str) -> Self {
        Self { kind: ActorKind::System, id: job.to_owned(), on_behalf_of: None }
    }
}

/// One aggregate: what has a `revision`, and a `seq` of its own in the trail.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    User(UserId),
    App(AppId),
    Module(Name),
    Operator(OperatorId),
    Customer(CustomerId),
    Registration(RegistrationId),
    Job(JobId),
    Plan(Name),
    Programme(Name),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(f, "user:{id}"),
            Self::App(id) => write!(f, "app:{id}"),
            Self::Module(name) => write!(f, "module:{name}"),
            Self::Operator(id) => write!(f, "operator:{id}"),
            Self::Customer(id) => write!(f, "customer:{id}"),
            Self::Registration(id) => write!(f, "registration:{id}"),
            Self::Job(id) => write!(f, "job:{id}"),
            Self::Plan(name) => write!(f, "plan:{name}"),
            Self::Programme(name) => write!(f, "programme:{name}"),
        }
    }
}
