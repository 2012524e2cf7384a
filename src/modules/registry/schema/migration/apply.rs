//! Doing a step to data, whatever the data is.

use serde_json::{Map, Value};

use super::{Path, Step, convert};

type Data = Map<String, Value>;

pub fn step(step: &Step, data: &mut Data) {
    match step {
        Step::Rename { from, to } => rename(data, from, to),
        Step::Copy { from, to } => copy(data, from, to),
        Step::SetDefault { path, value } => {
            if let Some(parent) = parent(data, path) {
                parent.entry(path.name()).or_insert_with(|| value.clone());
            }
        }
        Step::Cast { path, to, otherwise } => {
            if let Some(value) = value(data, path)
                && let Some(converted) = convert(value, *to).or_else(|| otherwise.clone())
            {
                *value = converted;
            }
        }
        Step::Drop { path } => {
            parent(data, path).and_then(|parent| parent.remove(path.name()));
        }
        Step::MapEnum { path, values } => {
            if let Some(Value::String(text)) = value(data, path)
                && let Some(mapped) = values.get(text)
            {
                text.clone_from(mapped);
            }
        }
    }
}

fn rename(data: &mut Data, from: &Path, to: &Path) {
    if can_hold(data, to)
        && let Some(value) = parent(data, from).and_then(|parent| parent.remove(from.name()))
    {
        put(data, to, value);
    }
}

fn copy(data: &mut Data, from: &Path, to: &Path) {
    if can_hold(data, to)
        && let Some(value) = value(data, from).cloned()
    {
        put(data, to, value);
    }
}

fn value<'a>(data: &'a mut Data, path: &Path) -> Option<&'a mut Value> {
    parent(data, path)?.get_mut(path.name())
}

fn parent<'a>(data: &'a mut Data, path: &Path) -> Option<&'a mut Data> {
    path.parents().iter().try_fold(data, |here, name| here.get_mut(name)?.as_object_mut())
}

/// Whether nothing but objects, or nothing at all, is on the way: so that a value that is taken away
/// from one place can be put down at the other.
fn can_hold(data: &Data, path: &Path) -> bool {
    let mut here = data;
    for name in path.parents() {
        match here.get(name) {
            None => return true,
            Some(Value::Object(inner)) => here = inner,
            Some(_) => return false,
        }
    }
    true
}

fn put(data: &mut Data, path: &Path, value: Value) {
    let parent = path.parents().iter().try_fold(data, |here, name| {
        here.entry(name).or_insert_with(|| Value::Object(Map::new())).as_object_mut()
    });
    if let Some(parent) = parent {
        parent.insert(path.name().to_owned(), value);
    }
}
