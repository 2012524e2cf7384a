//! A path through objects to one field.

use super::super::pointer::is_name;
use super::super::{DEPTH_MAX, ENABLED};

/// What a refused path is told.
pub const PATHS_ACCEPTED: &str = "a pointer of 1 to 8 names of properties, such as /home/city";

/// At least one name, at most [`DEPTH_MAX`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    parents: Vec<String>,
    name: String,
}

/// Why a text is no path of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unusable {
    Malformed,
    /// `enabled`, and names with a leading `_`, are Purser's own.
    Protected,
}

impl Path {
    pub fn parse(pointer: &str) -> Result<Self, Unusable> {
        let mut names: Vec<&str> = pointer.split('/').take(DEPTH_MAX + 2).collect();
        // No name needs escaping, so `~` is as wrong as any other letter that names have not.
        if !names.remove(0).is_empty() || names.is_empty() || names.len() > DEPTH_MAX {
            return Err(Unusable::Malformed);
        }
        if names[0] == ENABLED || names.iter().any(|name| name.starts_with('_')) {
            return Err(Unusable::Protected);
        }
        if !names.iter().all(|name| is_name(name)) {
            return Err(Unusable::Malformed);
        }
        let name = names.pop().expect("there is at least one name").to_owned();
        Ok(Self { parents: names.into_iter().map(str::to_owned).collect(), name })
    }

    pub fn parents(&self) -> &[String] {
        &self.parents
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn pointer(&self) -> String {
        self.names().fold(String::new(), |pointer, name| pointer + "/" + name)
    }

    /// Whether one of them stands in the other, or they are the same.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.names().zip(other.names()).all(|(one, two)| one == two)
    }

    /// How many objects on the way are the same.
    pub fn parents_shared_with(&self, other: &Self) -> usize {
        self.parents.iter().zip(&other.parents).take_while(|(one, two)| one == two).count()
    }

    fn names(&self) -> impl Iterator<Item = &String> {
        self.parents.iter().chain([&self.name])
    }
}
