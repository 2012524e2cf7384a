//! Random schemas, documents, edits and migrations, all from one seed.

#![expect(clippy::cast_precision_loss, reason = "the numbers here are small")]

use serde_json::{Map, Value, json};

use crate::modules::registry::schema::migration::Target;
use crate::modules::registry::schema::tree::{
    About, Array, Field, Fields, Format, Kind, Node, Presence, Scalar, Schema, Text,
};

type Matches = fn(&str) -> bool;

pub const PATTERNS: [(&str, Matches); 3] = [
    ("^[a-z]{2,4}$", |text| {
        (2..=4).contains(&text.chars().count()) && text.chars().all(|c| c.is_ascii_lowercase())
    }),
    ("^x", |text| text.starts_with('x')),
    (r"\d$", |text| text.ends_with(|c: char| c.is_ascii_digit())),
];

/// Texts and the one format that each has.
const FORMATTED: [(&str, Format); 8] = [
    ("2026-01-02T03:04:05Z", Format::DateTime),
    ("2026-01-02T03:04:05.5+01:00", Format::DateTime),
    ("2026-02-28", Format::Date),
    ("a@example.org", Format::Email),
    ("https://example.org/a?b", Format::Uri),
    ("urn:isbn:1", Format::Uri),
    ("0189dc53-0b1c-7c2a-8d5e-2b8a3c4d5e6f", Format::Uuid),
    ("6e8bc430-9c3a-11d9-9669-0800200c9a66", Format::Uuid),
];
/// Texts that look as if they had one.
const UNFORMATTED: [&str; 6] =
    ["2026-02-30", "2026-13-01T00:00:00Z", "2026-01-02 03:04:05Z", "a@", "x y", "0189dc53"];

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "nick"];

pub fn has_format(text: &str, format: Format) -> bool {
    FORMATTED.contains(&(text, format))
}

/// A source of choices (splitmix64).
pub struct Dice(pub u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("less than `end`")
    }

    pub fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    fn maybe<T>(&mut self, chance: usize, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.percent(chance) { Some(make(self)) } else { None }
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    fn small(&mut self) -> i64 {
        i64::try_from(self.below(9)).expect("small") - 4
    }
}

// Schemas.

pub fn schema(dice: &mut Dice) -> Schema {
    let mut fields = fields(dice, 3);
    let enabled = Field { presence: Presence::Required, node: Node::from(Kind::Boolean) };
    fields.insert("enabled".to_owned(), enabled);
    Schema { about: about(dice), fields }
}

fn fields(dice: &mut Dice, depth: usize) -> Fields {
    let count = dice.below(5);
    (0..count).map(|_| ((*dice.pick(&NAMES)).to_owned(), field(dice, depth))).collect()
}

fn field(dice: &mut Dice, depth: usize) -> Field {
    Field { presence: presence(dice), node: node(dice, depth) }
}

fn presence(dice: &mut Dice) -> Presence {
    *dice.pick(&[Presence::Required, Presence::Optional])
}

fn about(dice: &mut Dice) -> About {
    About { title: dice.maybe(5, text), description: dice.maybe(5, text) }
}

pub fn node(dice: &mut Dice, depth: usize) -> Node {
    Node { about: about(dice), kind: kind(dice, depth) }
}

fn kind(dice: &mut Dice, depth: usize) -> Kind {
    match dice.below(if depth == 0 { 8 } else { 13 }) {
        0 => Kind::Boolean,
        1 | 2 => {
            let (min, max) = range(dice, Dice::small);
            Kind::Integer { min, max }
        }
        3 => {
            let (min, max) = range(dice, |dice| dice.small() as f64 / 2.0);
            Kind::Number { min, max }
        }
        4 | 5 => Kind::Text(text_kind(dice)),
        6 | 7 => Kind::OneOf(choices(dice)),
        8 | 9 => {
            let (min, max) = range(dice, |dice| dice.below(4) as u64);
            let items = node(dice, depth - 1);
            Kind::Array(Box::new(Array { items, min, max, unique: dice.percent(30) }))
        }
        _ => Kind::Object(fields(dice, depth - 1)),
    }
}

fn range<T: PartialOrd>(
    dice: &mut Dice,
    mut bound: impl FnMut(&mut Dice) -> T,
) -> (Option<T>, Option<T>) {
    let (min, max) = (dice.maybe(40, &mut bound), dice.maybe(40, &mut bound));
    match (min, max) {
        (Some(min), Some(max)) if max < min => (Some(max), Some(min)),
        bounds => bounds,
    }
}

fn text_kind(dice: &mut Dice) -> Text {
    match dice.below(4) {
        0 => Text { format: Some(*dice.pick(&Format::ALL)), ..Text::default() },
        1 => Text { pattern: Some(dice.pick(&PATTERNS).0.to_owned()), ..Text::default() },
        2 => {
            let (min_len, max_len) = range(dice, |dice| dice.below(6) as u64);
            Text { min_len, max_len, ..Text::default() }
        }
        _ => Text::default(),
    }
}

fn choices(dice: &mut Dice) -> Vec<Scalar> {
    let mut choices = vec![];
    for _ in 0..=dice.below(4) {
        let choice = Scalar::of(&scalar(dice)).expect("a scalar");
        if !choices.contains(&choice) {
            choices.push(choice);
        }
    }
    choices
}

/// The schema as shorthand, where shorthand can say it.
pub fn shorthand(dice: &mut Dice, fields: &Fields) -> Option<Value> {
    let mut written = Map::new();
    for (name, field) in fields {
        let (mut key, mut node, mut marks) = (name.clone(), &field.node, String::new());
        while let Kind::Array(array) = &node.kind {
            if array.min.is_some() || array.max.is_some() || array.unique {
                return None;
            }
            marks.push_str("[]");
            node = &array.items;
        }
        if !field.is_required() {
            marks.push('?');
        }
        let word = match &node.kind {
            Kind::Object(fields) => {
                written.insert(key + &marks, shorthand(dice, fields)?);
                continue;
            }
            Kind::Boolean => "boolean",
            Kind::Integer { min: None, max: None } => "integer",
            Kind::Number { min: None, max: None } => "number",
            Kind::Text(text) if *text == Text::default() => "string",
            Kind::Text(Text { min_len: None, max_len: None, pattern: None, format }) => {
                format.filter(|format| *format == Format::DateTime).map(|_| "date")?
            }
            _ => return None,
        };
        let (at_key, at_word) = if dice.percent(50) { (&*marks, "") } else { ("", marks.as_str()) };
        key.push_str(at_key);
        written.insert(key, Value::from(format!("{word}{at_word}")));
    }
    Some(Value::Object(written))
}

/// The schema without texts, which shorthand cannot say.
pub fn without_about(fields: &Fields) -> Fields {
    fn bare(node: &Node) -> Node {
        Node::from(match &node.kind {
            Kind::Array(array) => {
                Kind::Array(Box::new(Array { items: bare(&array.items), ..(**array).clone() }))
            }
            Kind::Object(fields) => Kind::Object(without_about(fields)),
            leaf => leaf.clone(),
        })
    }
    let field = |field: &Field| Field { presence: field.presence, node: bare(&field.node) };
    fields.iter().map(|(name, inner)| (name.clone(), field(inner))).collect()
}

/// A schema that shorthand can say.
pub fn plain_fields(dice: &mut Dice, depth: usize) -> Fields {
    let count = dice.below(5);
    let mut fields = Fields::new();
    for _ in 0..count {
        let mut kind = match dice.below(if depth == 0 { 5 } else { 7 }) {
            0 => Kind::Boolean,
            1 => Kind::Integer { min: None, max: None },
            2 => Kind::Number { min: None, max: None },
            3 => Kind::Text(Text::default()),
            4 => Kind::Text(Text { format: Some(Format::DateTime), ..Text::default() }),
            _ => Kind::Object(plain_fields(dice, depth - 1)),
        };
        if dice.percent(30) {
            let items = Node::from(kind);
            kind = Kind::Array(Box::new(Array { items, min: None, max: None, unique: false }));
        }
        let field = Field { presence: presence(dice), node: Node::from(kind) };
        fields.insert((*dice.pick(&NAMES)).to_owned(), field);
    }
    fields
}

// Documents.

/// Mostly valid; where bounds contradict one another it is not.
pub fn document(dice: &mut Dice, fields: &Fields) -> Map<String, Value> {
    let mut document = Map::new();
    for (name, field) in fields {
        if field.is_required() || dice.percent(60) {
            document.insert(name.clone(), value(dice, &field.node));
        }
    }
    document
}

pub fn value(dice: &mut Dice, node: &Node) -> Value {
    match &node.kind {
        Kind::Boolean => Value::from(dice.percent(50)),
        Kind::Integer { min, max } => {
            let integer = within(dice.small() * dice.pick(&[1, 1, 1000]), *min, *max);
            // An integer may be written with a fraction of zero.
            if dice.percent(10) { Value::from(integer as f64) } else { Value::from(integer) }
        }
        Kind::Number { min, max } => Value::from(within(dice.small() as f64 / 4.0, *min, *max)),
        Kind::Text(accepted) => Value::from(conforming(dice, accepted)),
        Kind::OneOf(choices) => dice.pick(choices).to_json(),
        Kind::Array(array) => items(dice, array),
        Kind::Object(fields) => Value::Object(document(dice, fields)),
    }
}

fn within<T: PartialOrd>(value: T, min: Option<T>, max: Option<T>) -> T {
    match (min, max) {
        (Some(min), _) if value < min => min,
        (_, Some(max)) if value > max => max,
        _ => value,
    }
}

fn items(dice: &mut Dice, array: &Array) -> Value {
    let count = within(dice.below(4) as u64, array.min, array.max);
    let mut items: Vec<Value> = Vec::new();
    for _ in 0..20 {
        let item = value(dice, &array.items);
        if items.len() as u64 == count {
            break;
        }
        if !array.unique || !items.contains(&item) {
            items.push(item);
        }
    }
    Value::from(items)
}

fn conforming(dice: &mut Dice, accepted: &Text) -> String {
    for _ in 0..100 {
        let text = text(dice);
        let length = text.chars().count() as u64;
        let matches = |pattern: &String| {
            PATTERNS.iter().any(|(known, matches)| known == pattern && matches(&text))
        };
        if accepted.min_len.is_none_or(|least| least <= length)
            && accepted.max_len.is_none_or(|most| length <= most)
            && accepted.pattern.as_ref().is_none_or(matches)
            && accepted.format.is_none_or(|format| has_format(&text, format))
        {
            return text;
        }
    }
    String::new()
}

fn text(dice: &mut Dice) -> String {
    match dice.below(10) {
        0..3 => dice.pick(&FORMATTED).0.to_owned(),
        3 => (*dice.pick(&UNFORMATTED)).to_owned(),
        4 => (*dice.pick(&["1", "-3", "2.5", "true", "false", "1e3"])).to_owned(),
        _ => {
            let length = dice.below(6);
            (0..length).map(|_| *dice.pick(&['a', 'b', 'x', 'é', '7'])).collect()
        }
    }
}

fn scalar(dice: &mut Dice) -> Value {
    match dice.below(4) {
        0 => Value::from(dice.percent(50)),
        1 => Value::from(dice.small()),
        2 => Value::from(dice.small() as f64 / 4.0),
        _ => Value::from(text(dice)),
    }
}

/// One place of it is something else.
pub fn damaged(dice: &mut Dice, value: &Value) -> Value {
    match value {
        Value::Object(fields) if dice.percent(80) => {
            let mut fields = fields.clone();
            let keys: Vec<String> = fields.keys().cloned().collect();
            match dice.below(5) {
                0 => {
                    fields.insert((*dice.pick(&NAMES)).to_owned(), noise(dice, 1));
                }
                1 if !keys.is_empty() => {
                    fields.remove(dice.pick(&keys));
                }
                _ if !keys.is_empty() => {
                    let key = dice.pick(&keys);
                    fields.insert(key.clone(), damaged(dice, &fields[key]));
                }
                _ => {}
            }
            Value::Object(fields)
        }
        Value::Array(items) if !items.is_empty() && dice.percent(80) => {
            let mut items = items.clone();
            let at = dice.below(items.len());
            match dice.below(3) {
                0 => items.push(items[at].clone()),
                1 => {
                    items.remove(at);
                }
                _ => items[at] = damaged(dice, &items[at]),
            }
            Value::Array(items)
        }
        Value::Number(number) if dice.percent(60) => {
            Value::from(number.as_f64().expect("a number") + dice.small() as f64 / 2.0)
        }
        Value::String(text) if dice.percent(50) => Value::from(format!("{text}é")),
        _ => noise(dice, 1),
    }
}

pub fn noise(dice: &mut Dice, depth: usize) -> Value {
    match dice.below(if depth == 0 { 5 } else { 8 }) {
        0 => Value::Null,
        1..5 => scalar(dice),
        5 => (0..dice.below(4)).map(|_| noise(dice, depth - 1)).collect(),
        _ => {
            let count = dice.below(4);
            let mut fields = Map::new();
            for _ in 0..count {
                fields.insert((*dice.pick(&NAMES)).to_owned(), noise(dice, depth - 1));
            }
            Value::Object(fields)
        }
    }
}

/// What a schema or migration looks like from far: its words in random places.
pub fn jumbled(dice: &mut Dice, depth: usize) -> Value {
    const KEYS: [&str; 24] = [
        "type",
        "properties",
        "required",
        "items",
        "enum",
        "const",
        "$ref",
        "$defs",
        "$schema",
        "a",
        "b?",
        "c[]",
        "pattern",
        "format",
        "minimum",
        "maxLength",
        "uniqueItems",
        "rename",
        "from",
        "to",
        "cast",
        "path",
        "otherwise",
        "enabled",
    ];
    const WORDS: [&str; 18] = [
        "object",
        "array",
        "string",
        "integer",
        "number",
        "boolean",
        "null",
        "date",
        "string?",
        "number[]",
        "#/$defs/a",
        "#/$defs/b",
        "(a{9}){9}",
        "date-time",
        "/a",
        "/a/b",
        "/enabled",
        "a",
    ];
    match dice.below(if depth == 0 { 4 } else { 9 }) {
        0..3 => Value::from(*dice.pick(&WORDS)),
        3 => noise(dice, 1),
        4 => (0..dice.below(4)).map(|_| jumbled(dice, depth - 1)).collect(),
        _ => {
            let count = dice.below(5);
            let mut fields = Map::new();
            for _ in 0..count {
                fields.insert((*dice.pick(&KEYS)).to_owned(), jumbled(dice, depth - 1));
            }
            Value::Object(fields)
        }
    }
}

// Versions.

/// The same schema with one small change somewhere.
pub fn edit(dice: &mut Dice, fields: &mut Fields, depth: usize) {
    let names = own_names(fields);
    if names.is_empty() || dice.percent(25) {
        let added = field(dice, 1);
        fields.entry((*dice.pick(&NAMES)).to_owned()).or_insert(added);
        return;
    }
    let name = dice.pick(&names).clone();
    match dice.below(8) {
        0 => {
            fields.remove(&name);
        }
        1 | 2 => {
            let field = fields.get_mut(&name).expect("there");
            field.presence = presence(dice);
        }
        _ => edit_node(dice, &mut fields.get_mut(&name).expect("there").node, depth),
    }
}

fn edit_node(dice: &mut Dice, node: &mut Node, depth: usize) {
    match &mut node.kind {
        Kind::Integer { min, max } => match dice.below(4) {
            0 => *min = min.map(|min| min - 1),
            1 => *max = max.map(|max| max + dice.small().max(0)),
            2 => {
                let exact = |bound: &Option<i64>| bound.map(|bound| bound as f64);
                node.kind = Kind::Number { min: exact(min), max: exact(max) };
            }
            _ => *min = None,
        },
        Kind::Number { min, max } => match dice.below(3) {
            0 => *max = max.map(|max| max + 1.0),
            1 => *min = min.map(|min| min - 0.5),
            _ => *max = None,
        },
        Kind::Text(text) => match dice.below(6) {
            0 => text.format = None,
            1 => text.pattern = None,
            2 => text.max_len = text.max_len.map(|most| most + 1),
            3 => text.min_len = None,
            4 => text.max_len = Some(text.min_len.unwrap_or(0) + 3),
            _ => *text = text_kind(dice),
        },
        Kind::OneOf(choices) => match dice.below(3) {
            0 if choices.len() > 1 => {
                choices.remove(0);
            }
            1 => node.kind = Kind::Text(Text::default()),
            _ if !choices.contains(&Scalar::Integer(77)) => choices.push(Scalar::Integer(77)),
            _ => {}
        },
        Kind::Array(array) => match dice.below(5) {
            0 => array.unique = !array.unique,
            1 => array.max = None,
            2 => array.min = None,
            _ => edit_node(dice, &mut array.items, depth),
        },
        Kind::Object(fields) if depth > 0 => edit(dice, fields, depth - 1),
        kind => *kind = self::kind(dice, 1),
    }
}

/// Steps, and the fields as they are after them; sometimes not quite.
pub fn migrate(dice: &mut Dice, fields: &mut Fields) -> Value {
    let mut steps = Vec::new();
    for _ in 0..dice.below(4) {
        let mut after = fields.clone();
        steps.extend(step(dice, &mut after, ""));
        if dice.percent(85) {
            *fields = after;
        }
    }
    Value::from(steps)
}

fn step(dice: &mut Dice, fields: &mut Fields, prefix: &str) -> Option<Value> {
    let names = own_names(fields);
    if names.is_empty() {
        return None;
    }
    let name = dice.pick(&names).clone();
    let path = format!("{prefix}/{name}");
    if let Kind::Object(inner) = &mut fields.get_mut(&name)?.node.kind {
        match dice.below(4) {
            0 | 1 => return step(dice, inner, &path),
            2 => return out_of_object(dice, fields, &name, prefix),
            _ => {}
        }
    }
    match dice.below(7) {
        0 => {
            let moved = fields.remove(&name)?;
            let to = format!("moved{}", dice.below(100));
            fields.insert(to.clone(), moved);
            Some(json!({"rename": {"from": path, "to": format!("{prefix}/{to}")}}))
        }
        1 => Some(into_object(dice, fields, &name, prefix)),
        2 => {
            let to = format!("copy{}", dice.below(100));
            fields.insert(to.clone(), fields[&name].clone());
            Some(json!({"copy": {"from": path, "to": format!("{prefix}/{to}")}}))
        }
        3 => {
            fields.remove(&name);
            Some(json!({"drop": {"path": path}}))
        }
        4 => {
            let field = fields.get_mut(&name)?;
            let value = if dice.percent(90) { value(dice, &field.node) } else { noise(dice, 1) };
            field.presence = Presence::Required;
            Some(json!({"set_default": {"path": path, "value": value}}))
        }
        5 => {
            let (to, kind, otherwise) = target(dice);
            fields.get_mut(&name)?.node.kind = kind;
            Some(json!({"cast": {"path": path, "to": to.name(), "otherwise": otherwise}}))
        }
        _ => map_values(dice, fields.get_mut(&name)?, &path),
    }
}

/// Into an object beside it: one that is there, or a new one.
fn into_object(dice: &mut Dice, fields: &mut Fields, name: &str, prefix: &str) -> Value {
    let moved = fields.remove(name).expect("there");
    let is_object = |(_, field): &(&String, &Field)| matches!(field.node.kind, Kind::Object(_));
    let there = fields.iter().find(is_object).map(|(name, _)| name.clone());
    let around = there.filter(|_| dice.percent(60)).unwrap_or_else(|| "group".to_owned());
    let from = format!("{prefix}/{name}");
    let to = format!("{prefix}/{around}/inner");
    let made = Field { presence: moved.presence, node: Node::from(Kind::Object(Fields::new())) };
    let field = fields.entry(around).or_insert(made);
    if let Kind::Object(inner) = &mut field.node.kind {
        inner.insert("inner".to_owned(), moved);
    }
    json!({"rename": {"from": from, "to": to}})
}

/// Out of the object `name`, to where that object stands.
fn out_of_object(dice: &mut Dice, fields: &mut Fields, name: &str, prefix: &str) -> Option<Value> {
    let Kind::Object(inner) = &mut fields.get_mut(name)?.node.kind else {
        return None;
    };
    let names = own_names(inner);
    let inner_name = names.first()?;
    let moved = inner.remove(inner_name)?;
    let to = format!("out{}", dice.below(100));
    fields.insert(to.clone(), moved);
    let from = format!("{prefix}/{name}/{inner_name}");
    Some(json!({"rename": {"from": from, "to": format!("{prefix}/{to}")}}))
}

fn target(dice: &mut Dice) -> (Target, Kind, Value) {
    match dice.below(4) {
        0 => (Target::Text, Kind::Text(Text::default()), json!("")),
        1 => (Target::Integer, Kind::Integer { min: None, max: None }, json!(0)),
        2 => (Target::Number, Kind::Number { min: None, max: None }, json!(0.5)),
        _ => (Target::Boolean, Kind::Boolean, json!(false)),
    }
}

fn map_values(dice: &mut Dice, field: &mut Field, path: &str) -> Option<Value> {
    if let Kind::Text(accepted) = &field.node.kind {
        let (old, new) = (conforming(dice, accepted), text(dice));
        return Some(json!({"map_enum": {"path": path, "values": {old: new}}}));
    }
    let Kind::OneOf(choices) = &mut field.node.kind else {
        return None;
    };
    let old = choices.iter().find_map(|choice| match choice {
        Scalar::Text(text) => Some(text.clone()),
        _ => None,
    })?;
    choices.retain(|choice| *choice != Scalar::Text(old.clone()));
    let new = Scalar::Text("new".to_owned());
    if !choices.contains(&new) {
        choices.push(new);
    }
    Some(json!({"map_enum": {"path": path, "values": {old: "new"}}}))
}

/// `enabled` is not for edits, at the root; below it is a name like any other that is not drawn.
fn own_names(fields: &Fields) -> Vec<String> {
    fields.keys().filter(|name| *name != "enabled").cloned().collect()
}

/// Defaults for some of the fields.
pub fn defaults(dice: &mut Dice, fields: &Fields) -> Map<String, Value> {
    let mut defaults = Map::new();
    for (name, field) in fields {
        if dice.percent(60) {
            defaults.insert(name.clone(), value(dice, &field.node));
        }
    }
    defaults
}
