//! What older data can look like after a migration, without looking at any: the tree of the older
//! version, taken through the steps.
//!
//! It is always a superset of what there can be. Where a step would lead to a choice that the tree
//! cannot express (a path through what may or may not be an object, a rename onto a field that may be
//! there), it says so instead.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::super::BOUND_MAX;
use super::super::defaults::fill_value;
use super::super::migration::{Path, Step, Target, convert};
use super::super::tree::{Field, Fields, Kind, Scalar, Text};
use super::Breaking;

pub type Entries = BTreeMap<String, Entry>;

/// A field that data may have.
#[derive(Debug, Clone)]
pub struct Entry {
    pub is_required: bool,
    /// What the value may be: any of these.
    pub forms: Vec<Form>,
}

#[derive(Debug, Clone)]
pub enum Form {
    Object(Entries),
    /// Any kind but an object.
    Leaf(Kind),
    /// Exactly this, put there by a default or a step.
    Value(Value),
}

impl Form {
    pub fn of(kind: &Kind) -> Self {
        match kind {
            Kind::Object(fields) => Self::Object(entries(fields)),
            leaf => Self::Leaf(leaf.clone()),
        }
    }

    pub fn as_value(&self) -> Option<&Value> {
        match self {
            Self::Value(value) => Some(value),
            _ => None,
        }
    }

    fn is_object(&self) -> bool {
        matches!(self, Self::Object(_) | Self::Value(Value::Object(_)))
    }
}

pub fn entries(fields: &Fields) -> Entries {
    let entry = |field: &Field| Entry {
        is_required: field.is_required(),
        forms: vec![Form::of(&field.node.kind)],
    };
    fields.iter().map(|(name, field)| (name.clone(), entry(field))).collect()
}

/// As `migration::apply` does it to data.
pub fn step(step: &Step, entries: &mut Entries) -> Result<(), Breaking> {
    match step {
        Step::Rename { from, to } => moved(entries, from, to, Entries::remove),
        Step::Copy { from, to } => moved(entries, from, to, |here, name| here.get(name).cloned()),
        Step::SetDefault { path, value } => {
            if let Some(here) = parent(entries, path)? {
                set_default(here, path.name(), value);
            }
            Ok(())
        }
        Step::Cast { path, to, otherwise } => {
            let cast = |form: &Form| cast(form, *to, otherwise.as_ref());
            each_form(entries, path, cast)
        }
        Step::Drop { path } => {
            if let Some(here) = parent(entries, path)? {
                here.remove(path.name());
            }
            Ok(())
        }
        Step::MapEnum { path, values } => each_form(entries, path, |form| mapped(form, values)),
    }
}

/// As `defaults::fill` does it to data.
pub fn fill(fields: &Fields, entries: &mut Entries, defaults: &Map<String, Value>) {
    for (name, field) in fields {
        let Some(default) = defaults.get(name) else {
            continue;
        };
        if let Some(entry) = entries.get_mut(name) {
            entry.forms.iter_mut().for_each(|form| fill_form(field, form, default));
        }
        if field.is_required() {
            set_default(entries, name, default);
        }
    }
}

fn fill_form(field: &Field, form: &mut Form, default: &Value) {
    match (form, &field.node.kind, default) {
        (Form::Object(inner), Kind::Object(fields), Value::Object(defaults)) => {
            fill(fields, inner, defaults);
        }
        (Form::Value(value), _, _) => fill_value(field, value, default),
        _ => {}
    }
}

fn set_default(here: &mut Entries, name: &str, value: &Value) {
    let entry = here
        .entry(name.to_owned())
        .or_insert_with(|| Entry { is_required: false, forms: Vec::new() });
    if !entry.is_required {
        entry.forms.push(Form::Value(value.clone()));
        entry.is_required = true;
    }
}

/// The object that the path's last name stands in; `None` where no data can have one.
fn parent<'a>(entries: &'a mut Entries, path: &Path) -> Result<Option<&'a mut Entries>, Breaking> {
    object(entries, path.parents(), path)
}

fn object<'a>(
    entries: &'a mut Entries,
    names: &[String],
    path: &Path,
) -> Result<Option<&'a mut Entries>, Breaking> {
    let mut here = entries;
    for name in names {
        let Some(entry) = here.get_mut(name) else {
            return Ok(None);
        };
        match entry.forms.as_mut_slice() {
            [Form::Object(inner)] => here = inner,
            forms if forms.iter().any(Form::is_object) => return Err(unclear(path)),
            _ => return Ok(None),
        }
    }
    Ok(Some(here))
}

fn unclear(path: &Path) -> Breaking {
    let detail = "a path through fields that are always objects";
    Breaking::new(path.pointer(), "path_unclear", detail)
}

fn each_form(
    entries: &mut Entries,
    path: &Path,
    change: impl Fn(&Form) -> Vec<Form>,
) -> Result<(), Breaking> {
    let here = parent(entries, path)?;
    if let Some(entry) = here.and_then(|here| here.get_mut(path.name())) {
        entry.forms = entry.forms.iter().flat_map(change).collect();
    }
    Ok(())
}

/// A rename or a copy, by how it takes the field. Seen from the innermost object that both ends are
/// in: if the source is there, so is that object.
fn moved(
    entries: &mut Entries,
    from: &Path,
    to: &Path,
    take: impl Fn(&mut Entries, &str) -> Option<Entry>,
) -> Result<(), Breaking> {
    let shared = from.parents_shared_with(to);
    let Some(around) = object(entries, &from.parents()[..shared], from)? else {
        return Ok(());
    };
    let on_the_way = &from.parents()[shared..];
    let is_reached = is_always_there(around, on_the_way);
    let taken = object(around, on_the_way, from)?.and_then(|here| take(here, from.name()));
    match taken {
        None => Ok(()),
        Some(entry) => {
            let is_required = is_reached && entry.is_required;
            put(around, &to.parents()[shared..], to, Entry { is_required, ..entry })
        }
    }
}

fn is_always_there(entries: &Entries, names: &[String]) -> bool {
    let mut here = entries;
    for name in names {
        match here.get(name).map(|entry| (entry.is_required, entry.forms.as_slice())) {
            Some((true, [Form::Object(inner)])) => here = inner,
            _ => return false,
        }
    }
    true
}

/// Objects on the way are made where they are missing. Such an object holds only what is put there,
/// so whatever else was required in it no longer is for certain.
fn put(
    around: &mut Entries,
    names: &[String],
    to: &Path,
    mut entry: Entry,
) -> Result<(), Breaking> {
    let is_certain = entry.is_required;
    let mut here = around;
    let mut may_be_made = false;
    let mut is_made = false;
    for name in names {
        if may_be_made {
            make_others_optional(here, name);
        }
        let next = here.entry(name.clone()).or_insert_with(|| {
            is_made = true;
            Entry { is_required: false, forms: vec![Form::Object(Entries::new())] }
        });
        may_be_made |= !next.is_required;
        // In an object that is made for it, the next one is always made too.
        next.is_required |= is_certain;
        match next.forms.as_mut_slice() {
            [Form::Object(inner)] => here = inner,
            _ => return Err(unclear(to)),
        }
    }
    if may_be_made {
        make_others_optional(here, to.name());
    }
    entry.is_required |= is_made;
    if here.insert(to.name().to_owned(), entry).is_some() {
        let detail = "a place that no field has, or drop that field first";
        return Err(Breaking::new(to.pointer(), "target_exists", detail));
    }
    Ok(())
}

fn make_others_optional(here: &mut Entries, name: &str) {
    for (_, other) in here.iter_mut().filter(|(other, _)| *other != name) {
        other.is_required = false;
    }
}

fn mapped(form: &Form, values: &BTreeMap<String, String>) -> Vec<Form> {
    let text = |text: &str| values.get(text).map_or_else(|| text.to_owned(), String::clone);
    match form {
        Form::Value(Value::String(old)) => vec![Form::Value(Value::from(text(old)))],
        Form::Leaf(Kind::OneOf(choices)) => {
            let choice = |choice: &Scalar| match choice {
                Scalar::Text(old) => Scalar::Text(text(old)),
                other => other.clone(),
            };
            vec![Form::Leaf(Kind::OneOf(choices.iter().map(choice).collect()))]
        }
        // Which of the old texts there are is not known.
        Form::Leaf(Kind::Text(_)) => {
            let new = values.values().map(|new| Form::Value(Value::from(new.as_str())));
            [form.clone()].into_iter().chain(new).collect()
        }
        _ => vec![form.clone()],
    }
}

fn cast(form: &Form, to: Target, otherwise: Option<&Value>) -> Vec<Form> {
    let instead = || otherwise.map_or_else(|| form.clone(), |value| Form::Value(value.clone()));
    let each = |values: &[Value]| -> Vec<Form> {
        let converted = values.iter().map(|value| convert(value, to).map(Form::Value));
        converted.map(|form| form.unwrap_or_else(instead)).collect()
    };
    match form {
        Form::Object(_) | Form::Leaf(Kind::Array(_) | Kind::Object(_)) => vec![instead()],
        Form::Value(value) => each(std::slice::from_ref(value)),
        Form::Leaf(Kind::Boolean) => each(&[Value::Bool(false), Value::Bool(true)]),
        Form::Leaf(Kind::OneOf(choices)) => {
            each(&choices.iter().map(Scalar::to_json).collect::<Vec<_>>())
        }
        Form::Leaf(Kind::Integer { .. }) if to == Target::Integer => vec![form.clone()],
        Form::Leaf(Kind::Integer { .. } | Kind::Number { .. }) if to == Target::Number => {
            vec![form.clone()]
        }
        Form::Leaf(Kind::Text(_)) if to == Target::Text => vec![form.clone()],
        Form::Leaf(Kind::Number { .. }) if to == Target::Integer => {
            vec![Form::Leaf(Kind::Integer { min: None, max: None })]
        }
        // Between texts and numbers, or to a boolean: what stands for the rest is of the type too.
        Form::Leaf(_) => vec![Form::Leaf(any_of(to))],
    }
}

/// Whatever a conversion into the type can come to.
fn any_of(to: Target) -> Kind {
    match to {
        Target::Text => Kind::Text(Text::default()),
        Target::Integer => Kind::Integer { min: Some(-BOUND_MAX), max: Some(BOUND_MAX) },
        Target::Number => Kind::Number { min: None, max: None },
        Target::Boolean => Kind::Boolean,
    }
}
