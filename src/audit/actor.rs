//! Who did it, and whose record it was.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::kernel::ids::{
    AppId, ConnectionId, CustomerId, JobId, Name, OperatorId, RegistrationId, UserId,
};

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
    /// What happened to somebody, or was refused to them, without changing their record. A history of
    /// its own: whoever fails to sign in as somebody must not move that person's revision.
    Security(Whose),
    /// What an operator has read of the trail.
    Reads(OperatorId),
}

/// To whom something happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Whose {
    User(UserId),
    App(AppId),
    Connection(ConnectionId),
    Operator(OperatorId),
}

impl Subject {
    /// Of the text of a `Security` or `Reads`, which is also the `_id` of its record.
    pub fn of_watch(text: &str) -> Option<Self> {
        let (kind, id) = text.split_once(':')?;
        if kind == "reads" {
            return id.parse().ok().map(Self::Reads);
        }
        let (whose, id) = id.split_once('.').filter(|_| kind == "security")?;
        let whose = match whose {
            "user" => Whose::User(id.parse().ok()?),
            "app" => Whose::App(Name::parse(id)?),
            "connection" => Whose::Connection(id.parse().ok()?),
            "operator" => Whose::Operator(id.parse().ok()?),
            _ => return None,
        };
        Some(Self::Security(whose))
    }
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
            Self::Security(whose) => write!(f, "security:{whose}"),
            Self::Reads(id) => write!(f, "reads:{id}"),
        }
    }
}

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(f, "user.{id}"),
            Self::App(id) => write!(f, "app.{id}"),
            Self::Connection(id) => write!(f, "connection.{id}"),
            Self::Operator(id) => write!(f, "operator.{id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_watched_is_read_back_from_its_text() {
        let id = || "65f0a1b2c3d4e5f607182900";
        let subjects = [
            Subject::Security(Whose::User(id().parse().expect("an id"))),
            Subject::Security(Whose::App(Name::parse("shop").expect("a name"))),
            Subject::Security(Whose::Connection(id().parse().expect("an id"))),
            Subject::Security(Whose::Operator(id().parse().expect("an id"))),
            Subject::Reads(id().parse().expect("an id")),
        ];
        for subject in subjects {
            assert_eq!(Subject::of_watch(&subject.to_string()), Some(subject));
        }
        for other in ["user:65f0a1b2c3d4e5f607182900", "security:shop", "reads:shop", ""] {
            assert_eq!(Subject::of_watch(other), None, "{other}");
        }
    }
}
