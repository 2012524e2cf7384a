//! JSON Pointers (RFC 6901) and the names that may stand in them.

const NAME_CHARS_MAX: usize = 64;
/// Names that other languages trip over: a property of that name would hide what every object has.
const TREACHEROUS: [&str; 6] =
    ["__proto__", "constructor", "hasOwnProperty", "prototype", "toString", "valueOf"];

/// What a refused name is told.
pub const NAMES_ACCEPTED: &str = "names of 1 to 64 letters, digits and _ that begin with a letter, and none of constructor, prototype, hasOwnProperty, toString, valueOf";

pub fn is_name(name: &str) -> bool {
    name.len() <= NAME_CHARS_MAX
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !TREACHEROUS.contains(&name)
}

/// The pointer to `key` in what `pointer` points to. A key that is long or cannot be printed is not
/// repeated: then it is the place where the key stands.
pub fn below(pointer: &str, key: &str) -> String {
    if key.chars().count() > NAME_CHARS_MAX || key.contains(char::is_control) {
        return pointer.to_owned();
    }
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}
