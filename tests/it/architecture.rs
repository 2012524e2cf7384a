//! The house rules that a compiler cannot check, read from the sources themselves.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Which room may import which: itself and these. What is not here is not a room.
const ROOMS: &[(&str, &[&str])] = &[
    ("kernel", &[]),
    ("config", &["kernel"]),
    ("crypto", &["kernel"]),
    ("audit", &["kernel", "crypto"]),
    ("store", &["kernel", "config", "crypto", "audit"]),
    ("access", &["kernel", "config", "crypto", "audit", "store"]),
    ("http", &["kernel", "config", "access"]),
    ("apps", FLOORS_0_TO_3),
    ("users", FLOORS_0_TO_3),
    ("trail", FLOORS_0_TO_3),
    // The modules reach `connections` as `users::Module` objects, which `app` passes in.
    (
        "connections",
        &["kernel", "config", "crypto", "audit", "store", "access", "http", "apps", "users"],
    ),
    // The wallet asks what an app may issue, and whether it is trusted.
    (
        "modules",
        &["kernel", "config", "crypto", "audit", "store", "access", "http", "apps", "users"],
    ),
    (
        "people",
        &[
            "kernel",
            "config",
            "crypto",
            "audit",
            "store",
            "access",
            "http",
            "apps",
            "users",
            "connections",
        ],
    ),
    // Erasing settles the wallet.
    (
        "customers",
        &["kernel", "config", "crypto", "audit", "store", "access", "http", "users", "modules"],
    ),
    // What apps are told is what the view shows; the ledger comes as `users::Lines`, by `app`.
    (
        "delivery",
        &[
            "kernel",
            "config",
            "crypto",
            "audit",
            "store",
            "access",
            "http",
            "apps",
            "users",
            "connections",
        ],
    ),
    (
        "app",
        &[
            "customers",
            "delivery",
            "kernel",
            "config",
            "crypto",
            "audit",
            "store",
            "access",
            "http",
            "apps",
            "users",
            "connections",
            "modules",
            "people",
            "trail",
        ],
    ),
];

const FLOORS_0_TO_3: &[&str] = &["kernel", "config", "crypto", "audit", "store", "access", "http"];
const SLICES: &[&str] =
    &["apps", "users", "connections", "modules", "people", "customers", "delivery", "trail"];

/// What may not stand in the code, where it may all the same, and why it may not.
const BANNED: &[(&str, &[&str], &str)] = &[
    ("mongodb::", &["store/", RAW_DRIVER], "only the store names the MongoDB client"),
    ("Warrant::issue", &["access/gate.rs"], "only the gate gives leave to write"),
    ("Pass::issue", &["access/gate.rs"], "only the gate gives leave to read"),
    ("std::env", &["config/"], "what is decided from outside is a key of the configuration"),
    ("web::Json", &[], "`http::call::Json` reads a body after the grant, within its bounds"),
    ("static mut", &[], "there is no global state"),
    ("OnceLock", &[], "there is no global state"),
    ("LazyLock", &[], "there is no global state"),
    ("thread_local!", &[], "there is no global state"),
];

/// The benches compare Purser with the driver itself.
const RAW_DRIVER: &str = "app/bench/";

const FILE_LINES_MAX: usize = 400;
const MAIN_LINES_MAX: usize = 30;
const HANDLER_LINES_MAX: usize = 15;
const HEADER_LINES_MIN: usize = 3;

#[test]
fn every_folder_is_a_room_of_the_table() {
    let mut folders: Vec<String> = fs::read_dir(source())
        .expect("src")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_dir())
        .map(|path| path.file_name().expect("a name").to_string_lossy().into_owned())
        .collect();
    let mut rooms: Vec<&str> = ROOMS.iter().map(|(room, _)| *room).collect();
    folders.sort();
    rooms.sort_unstable();
    assert_eq!(folders, rooms);
}

#[test]
fn a_room_imports_only_what_its_floor_may() {
    let mut found = Found::default();
    for file in files() {
        let Some((room, may)) = ROOMS.iter().find(|(room, _)| *room == file.room()) else {
            continue;
        };
        for (line, path) in file.imports() {
            let Some(imported) = path.first().map(String::as_str) else { continue };
            let is_room = ROOMS.iter().any(|(known, _)| *known == imported);
            if is_room && imported != *room && !may.contains(&imported) {
                found.add(&file, line, &format!("`{room}` may not import `{}`", path.join("::")));
            }
        }
    }
    found.nothing();
}

#[test]
fn a_slice_is_used_only_through_its_face() {
    let mut found = Found::default();
    for file in files() {
        for slice in SLICES {
            if file.path == format!("{slice}/mod.rs") {
                for (line, text) in file.lines() {
                    let open =
                        text.trim().strip_prefix("pub mod ").map(|m| m.trim_end_matches(';'));
                    let is_file = |module: &str| source().join(slice).join(module).is_file();
                    if open.is_some_and(|module| is_file(&format!("{module}.rs"))) {
                        found.add(
                            &file,
                            line,
                            "a slice's files are private; re-export what others need",
                        );
                    }
                }
            }
        }
        for (line, path) in file.imports() {
            let [slice, inner, _, ..] = path.as_slice() else { continue };
            let foreign = SLICES.contains(&slice.as_str()) && *slice != file.room();
            if foreign && source().join(slice).join(format!("{inner}.rs")).is_file() {
                found.add(&file, line, &format!("`{slice}` is used through its `mod.rs`"));
            }
        }
    }
    found.nothing();
}

#[test]
fn modules_do_not_know_each_other() {
    let modules = modules();
    let mut found = Found::default();
    for file in files() {
        let Some(module) = modules.iter().find(|m| file.path.starts_with(&format!("modules/{m}/")))
        else {
            continue;
        };
        for (line, path) in file.imports() {
            let other = path.get(1).filter(|other| *other != module && modules.contains(other));
            if path.first().is_some_and(|room| room == "modules")
                && let Some(other) = other
            {
                found.add(&file, line, &format!("`{module}` knows `{other}`"));
            }
        }
    }
    found.nothing();
}

#[test]
fn every_module_has_its_folder_and_its_schema_and_there_are_no_others() {
    let mut known: Vec<String> =
        purser::modules::ALL.iter().map(|module| module.name().to_owned()).collect();
    known.sort();
    let schemas = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/modules");
    let mut described: Vec<String> = fs::read_dir(schemas)
        .expect("schemas")
        .map(|entry| entry.expect("an entry").path())
        .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
        .collect();
    described.sort();
    assert_eq!(modules(), known, "the folders of src/modules");
    assert_eq!(described, known, "the files of schemas/modules");
}

#[test]
fn what_has_one_place_is_named_nowhere_else() {
    let mut found = Found::default();
    for file in files() {
        for (line, text) in file.lines() {
            for (banned, places, why) in BANNED {
                let exempt = places.iter().any(|place| file.path.starts_with(place));
                if names(text, banned) && !exempt {
                    found.add(&file, line, &format!("`{banned}`: {why}"));
                }
            }
        }
    }
    found.nothing();
}

/// actix swallows the rejection of an extractor inside `Option` and `Result`. As the result of a
/// function the same types are fine.
#[test]
fn no_grant_is_extracted_optionally() {
    let mut found = Found::default();
    for file in files() {
        for wrapped in ["Option<Granted", "Result<Granted", "Option<Call", "Result<Call"] {
            for (at, _) in file.code.match_indices(wrapped) {
                let before = file.code[..at].rsplit("->").next().unwrap_or_default();
                let returned = file.code[..at].contains("->")
                    && before.chars().all(|c| c.is_alphanumeric() || c == '<' || c == ' ');
                let boxed = before.trim_start().starts_with("impl Future<Output =")
                    || before.trim_end().ends_with("dyn Future<Output =");
                if !returned && !boxed {
                    found.add(&file, line_of(&file.code, at), &format!("`{wrapped}`"));
                }
            }
        }
    }
    found.nothing();
}

/// Flattening a document would let a client's keys in beside our own.
#[test]
fn no_document_is_flattened() {
    let mut found = Found::default();
    for file in files() {
        let lines: Vec<_> = file.lines().collect();
        for pair in lines.windows(2) {
            let [(line, attribute), (_, field)] = pair else { continue };
            let flat = attribute.contains("serde(") && names(attribute, "flatten");
            if flat && ["Document", "Value", "Map<"].iter().any(|open| field.contains(open)) {
                found.add(&file, *line, "an open type is flattened");
            }
        }
    }
    found.nothing();
}

#[test]
fn no_file_stands_beside_a_folder_of_its_name() {
    let mut found = Found::default();
    for file in files() {
        if source().join(file.path.trim_end_matches(".rs")).is_dir() {
            found.add(&file, 1, "one folder is one slice: move it in as `mod.rs`");
        }
    }
    found.nothing();
}

#[test]
fn every_mod_rs_says_what_it_is() {
    let mut found = Found::default();
    for file in files().into_iter().filter(|file| file.path.ends_with("mod.rs")) {
        let header = file.text.lines().take_while(|line| line.starts_with("//!"));
        let said = header.filter(|line| line.trim() != "//!").count();
        if said < HEADER_LINES_MIN {
            found.add(&file, 1, &format!("a header of {said} lines"));
        }
    }
    found.nothing();
}

#[test]
fn files_and_handlers_stay_small() {
    let mut found = Found::default();
    for file in files() {
        let max = if file.path == "main.rs" { MAIN_LINES_MAX } else { FILE_LINES_MAX };
        let lines = file.code.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        let lines = lines.lines().count();
        let is_test = file.path.ends_with("tests.rs") || file.path.contains("/tests/");
        if lines > max && !is_test {
            found.add(&file, 1, &format!("{lines} lines, at most {max}"));
        }
        if file.path.ends_with("/http.rs") {
            for (name, line, body) in handlers(&file.code) {
                if body > HANDLER_LINES_MAX {
                    found.add(&file, line, &format!("`{name}` has {body} lines of body"));
                }
            }
        }
    }
    found.nothing();
}

struct Source {
    /// Below `src/`, with slashes.
    path: String,
    text: String,
    /// The text with comments and the contents of literals blanked.
    code: String,
}

impl Source {
    fn room(&self) -> &str {
        self.path.split_once('/').map_or("", |(room, _)| room)
    }

    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.lines().enumerate().map(|(at, line)| (at + 1, line))
    }

    /// Each path that begins at the crate, whether written from there or upwards.
    fn imports(&self) -> Vec<(usize, Vec<String>)> {
        let mut imports = Vec::new();
        for (at, _) in self.code.match_indices("crate::") {
            let line = line_of(&self.code, at);
            for path in tree(&self.code[at + "crate::".len()..]).0 {
                imports.push((line, path));
            }
        }
        for (at, _) in self.code.match_indices("super::") {
            if self.code[..at].ends_with("super::") {
                continue;
            }
            let mut rest = &self.code[at..];
            let mut base = self.module();
            while let Some(above) = rest.strip_prefix("super::") {
                base.pop();
                rest = above;
            }
            for path in tree(rest).0 {
                imports.push((line_of(&self.code, at), [base.clone(), path].concat()));
            }
        }
        imports
    }

    fn module(&self) -> Vec<String> {
        let path = self.path.trim_end_matches(".rs").trim_end_matches("/mod");
        path.split('/').map(str::to_owned).collect()
    }
}

/// The paths of a use tree or an inline path, and what follows it.
fn tree(text: &str) -> (Vec<Vec<String>>, &str) {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        let mut paths = Vec::new();
        loop {
            rest = rest.trim_start().trim_start_matches(',').trim_start();
            if let Some(after) = rest.strip_prefix('}') {
                return (paths, after);
            }
            if rest.is_empty() {
                return (paths, rest);
            }
            let (inner, after) = tree(rest);
            paths.extend(inner);
            rest = after.trim_start();
            if let Some(renamed) = rest.strip_prefix("as ") {
                rest = renamed.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_');
            }
        }
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '*');
    let (head, rest) = text.split_at(end.unwrap_or(text.len()));
    if head.is_empty() {
        return (Vec::new(), rest.get(1..).unwrap_or_default());
    }
    let Some(below) = rest.strip_prefix("::").filter(|below| !below.starts_with('<')) else {
        return (vec![vec![head.to_owned()]], rest);
    };
    let (paths, rest) = tree(below);
    let paths = paths.into_iter().map(|path| [vec![head.to_owned()], path].concat());
    (paths.collect(), rest)
}

/// Name, line and lines of body of each async function.
fn handlers(code: &str) -> Vec<(String, usize, usize)> {
    let mut handlers = Vec::new();
    for (at, start) in code.match_indices("async fn ") {
        let rest = &code[at + start.len()..];
        let name = rest.split(['(', '<']).next().unwrap_or_default().to_owned();
        let Some(open) = rest.find("{\n") else { continue };
        let Some(length) = rest[open..].find("\n}") else { continue };
        let body = rest[open..open + length].lines().count() - 1;
        handlers.push((name, line_of(code, at), body));
    }
    handlers
}

/// Whether `word` stands in the text and is not the end of a longer one.
fn names(text: &str, word: &str) -> bool {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| !text[..at].ends_with(part_of_word))
}

fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// What stands beside the built-in modules: the registry, and the data of those in it.
const BESIDE: &[&str] = &["registry", "custom"];

fn modules() -> Vec<String> {
    let folders = fs::read_dir(source().join("modules")).expect("src/modules");
    let mut modules: Vec<String> = folders
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_dir())
        .map(|path| path.file_name().expect("a name").to_string_lossy().into_owned())
        .filter(|name| !BESIDE.contains(&name.as_str()))
        .collect();
    modules.sort();
    modules
}

fn files() -> Vec<Source> {
    let (mut files, mut folders) = (Vec::new(), vec![source()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source");
                let below = path.strip_prefix(source()).expect("below src");
                let path = below.to_string_lossy().replace('\\', "/");
                files.push(Source { path, code: code(&text), text });
            }
        }
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    assert!(files.len() > 50, "the sources were not found");
    files
}

/// The text without comments and without what stands inside literals; the lines stay.
fn code(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = skipped(rest, code.chars().next_back()).unwrap_or(0);
        if length == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            code.extend(rest[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = &rest[length..];
        }
    }
    code
}

/// How long the comment or literal is that begins here.
fn skipped(rest: &str, before: Option<char>) -> Option<usize> {
    let raw = rest.trim_start_matches('b');
    let hashes = raw.strip_prefix('r').map(|raw| raw.chars().take_while(|c| *c == '#').count());
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if rest.starts_with("//") {
        return rest.find('\n').or(Some(rest.len()));
    }
    if let Some(hashes) = hashes.filter(|_| !in_word)
        && raw[1 + hashes..].starts_with('"')
    {
        let end = format!("\"{}", "#".repeat(hashes));
        let start = rest.len() - raw.len() + 2 + hashes;
        return rest[start..].find(&end).map(|at| start + at + end.len());
    }
    if let Some(inner) = rest.strip_prefix('"') {
        let mut escaped = false;
        let end = inner.find(|c: char| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        return end.map(|at| at + 2);
    }
    // A character, not a lifetime.
    if let Some(inner) = rest.strip_prefix('\'') {
        let mut characters = inner.char_indices().skip(usize::from(inner.starts_with('\\')) + 1);
        let (at, _) = characters.find(|(at, c)| *c == '\'' || *at > 12)?;
        let single = inner.starts_with('\\') || inner.chars().nth(1) == Some('\'');
        return single.then_some(at + 2);
    }
    None
}

/// What breaks a rule, told together.
#[derive(Default)]
struct Found(String);

impl Found {
    fn add(&mut self, file: &Source, line: usize, what: &str) {
        writeln!(self.0, "src/{}:{line}: {what}", file.path).expect("a String takes all");
    }

    #[track_caller]
    fn nothing(self) {
        assert!(self.0.is_empty(), "\n{}", self.0);
    }
}

/// The reader above is code too.
#[test]
fn the_rules_see_through_comments_literals_and_groups() {
    let text = r##"
use crate::{apps, store::{self, Key as K}, users::Module};
// use crate::nothing::here;
let text = "crate::nothing::\"here"; let quote = '"'; let raw = r#"crate::nothing"#;
fn of<'a>(path: &'a crate::kernel::ids::Name) { super::super::trail::read() }
"##;
    let file = Source { path: "store/read.rs".to_owned(), code: code(text), text: String::new() };
    let mut seen: Vec<String> = file
        .imports()
        .into_iter()
        .map(|(line, path)| format!("{line} {}", path.join("::")))
        .collect();
    seen.sort();
    assert_eq!(
        seen,
        [
            "2 apps",
            "2 store::Key",
            "2 store::self",
            "2 users::Module",
            "5 kernel::ids::Name",
            "5 trail::read"
        ]
    );
}
