//! The rules of the four sources, each on the smallest configuration that is accepted.

use std::path::PathBuf;

use super::found::Kind;
use super::loader::{DEFAULTS, Loader};
use super::*;

const REQUIRED: [(&str, &str); 3] = [
    ("PURSER__STORE__URI", "mongodb://purser:hunter2@db.example/"),
    ("PURSER__CRYPTO__MASTER_KEYS", "m1:hunter2"),
    ("PURSER__CRYPTO__PEPPERS", "p1:hunter2"),
];

/// A file of its own for each test, gone when the test ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("purser-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}

fn load_bare(file: Option<&Scratch>, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let owned = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::load(file.map(|file| file.0.as_path()), owned)
}

fn load(file: Option<&Scratch>, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    load_bare(file, &[&REQUIRED, variables].concat())
}

/// The problems, one per line, without the opening line.
fn problems(result: Result<Config, ConfigError>) -> Vec<String> {
    let message = result.expect_err("must be refused").to_string();
    let mut lines = message.lines().map(|line| line.trim_start_matches("- ").to_owned());
    assert_eq!(lines.next().unwrap(), "the configuration was refused:");
    lines.collect()
}

#[test]
fn the_defaults_and_the_required_secrets_are_a_whole_configuration() {
    let config = load(None, &[]).unwrap();

    assert_eq!(config.server.bind.to_string(), "127.0.0.1");
    assert_eq!((config.server.port, config.server.node.as_str()), (8080, ""));
    assert_eq!((config.store.pool_max, config.store.pool_min), (64, 4));
    assert_eq!(config.crypto.peppers.expose(), "p1:hunter2");
    assert_eq!(config.audit.ip_address, IpDetail::Full);
    assert_eq!((config.log.level, config.log.format), (Level::Info, Format::Json));
}

#[test]
fn each_source_overrides_the_one_before() {
    let file = Scratch::new("override.toml", "[server]\nport = 1000\nworkers = 3\n");

    let config = load(Some(&file), &[("PURSER__SERVER__PORT", "2000")]).unwrap();

    assert_eq!(config.server.port, 2000);
    assert_eq!(config.server.workers, 3);
    assert_eq!(config.server.keep_alive_seconds, 75);
}

#[test]
fn a_secret_file_overrides_the_configuration_file_and_is_trimmed() {
    let file = Scratch::new("secret.toml", "[crypto]\npeppers = \"p1:old\"\n");
    let secret = Scratch::new("peppers", "\n p2:new \n");
    let variables = [REQUIRED[0], REQUIRED[1], ("PURSER__CRYPTO__PEPPERS_FILE", secret.path())];

    let config = load_bare(Some(&file), &variables).unwrap();

    assert_eq!(config.crypto.peppers.expose(), "p2:new");
}

#[test]
fn the_command_line_names_the_file_before_the_environment_does() {
    let one = Scratch::new("one.toml", "[server]\nport = 1\n");
    let two = Scratch::new("two.toml", "[server]\nport = 2\n");
    let variable = [("PURSER_CONFIG", two.path())];

    assert_eq!(load(Some(&one), &variable).unwrap().server.port, 1);
    assert_eq!(load(None, &variable).unwrap().server.port, 2);
}

#[test]
fn variables_of_others_are_ignored() {
    assert!(load(None, &[("PURSER_HOME", "/srv"), ("PATH", "/bin"), ("purser__x", "")]).is_ok());
}

#[test]
fn an_unknown_key_is_refused_in_each_source_with_the_nearest_known_one() {
    let file = Scratch::new("unknown.toml", "port = 1\n[server]\nprot = 1\n[store.uri]\na = 1\n");
    let variables = [("PURSER__SEVER__PORT", "1"), ("PURSER__CRYPTO__PEPPER_FILE", "/x")];

    let source = format!("(file {}) is not a known key; the nearest known key is", file.path());
    let environment = "(environment) is not a known key; the nearest known key is";
    assert_eq!(
        problems(load(Some(&file), &variables)),
        [
            format!("port {source} server.port"),
            format!("server.prot {source} server.port"),
            format!("store.uri.a {source} store.uri"),
            format!("PURSER__CRYPTO__PEPPER_FILE {environment} PURSER__CRYPTO__PEPPERS_FILE"),
            format!("PURSER__SEVER__PORT {environment} PURSER__SERVER__PORT"),
        ]
    );
}

#[test]
fn a_file_variable_for_a_key_that_is_not_secret_is_unknown() {
    assert_eq!(
        problems(load(None, &[("PURSER__SERVER__PORT_FILE", "/x")])),
        ["PURSER__SERVER__PORT_FILE (environment) is not a known key; \
          the nearest known key is PURSER__SERVER__PORT"]
    );
}

#[test]
fn a_wrong_type_names_key_value_source_and_what_is_accepted() {
    let text = "[server]\nport = \"8080\"\nbind = 1\nworkers = 1.5\n[log]\nlevel = [1]\n";
    let file = Scratch::new("type.toml", text);
    let variables = [("PURSER__STORE__QUEUE", "many\nmore"), ("PURSER__AUDIT__IP_ADDRESS", "")];

    let source = format!("(file {}); accepted:", file.path());
    let variable = "(environment variable PURSER__";
    assert_eq!(
        problems(load(Some(&file), &variables)),
        [
            format!("server.bind = 1 {source} an IP address"),
            format!("server.port = \"8080\" {source} an integer from 0 to 65535"),
            format!("server.workers = 1.5 {source} an integer from 0 to 256"),
            format!(
                "store.queue = \"many\\nmore\" {variable}STORE__QUEUE); \
                 accepted: an integer from 1 to 100000"
            ),
            format!(
                "audit.ip_address = \"\" {variable}AUDIT__IP_ADDRESS); \
                 accepted: full | prefix | none"
            ),
            format!("log.level = an array {source} error | warn | info | debug | trace"),
        ]
    );
}

#[test]
fn what_is_out_of_range_is_refused_and_the_bounds_are_not() {
    for (name, value) in [
        ("PURSER__SERVER__PORT", "65536"),
        ("PURSER__SERVER__PORT", "-1"),
        ("PURSER__SERVER__REQUEST_TIMEOUT_MS", "99"),
        ("PURSER__STORE__BATCH_BYTES", "9223372036854775808"),
        ("PURSER__STORE__POOL_MIN", "65"),
        ("PURSER__STORE__POOL_MAX", "3"),
        ("PURSER__STORE__DATABASE", "Purser"),
        ("PURSER__STORE__DATABASE", ""),
        ("PURSER__STORE__DATABASE", &"d".repeat(39)),
        ("PURSER__SERVER__NODE", "a b"),
        ("PURSER__SERVER__NODE", &"n".repeat(65)),
        ("PURSER__SERVER__BIND", "localhost"),
        ("PURSER__LOG__LEVEL", "mongodb=debug"),
    ] {
        let found = problems(load(None, &[(name, value)]));
        assert!(found.len() == 1 && found[0].contains(&format!("{value:?} (")), "{found:?}");
        assert!(found[0].contains(&format!("({} {name}); accepted: ", "environment variable")));
    }
    for (name, value) in [
        ("PURSER__SERVER__PORT", "0"),
        ("PURSER__SERVER__PORT", "65535"),
        ("PURSER__STORE__POOL_MIN", "64"),
        ("PURSER__STORE__POOL_MAX", "4"),
        ("PURSER__STORE__DATABASE", &"d".repeat(38)),
        ("PURSER__SERVER__NODE", "eu-1.purser:8080_a"),
        ("PURSER__SERVER__BIND", "::1"),
    ] {
        load(None, &[(name, value)]).unwrap();
    }
}

#[test]
fn a_key_bounded_by_a_refused_one_is_not_refused_on_its_account() {
    let variables = [("PURSER__STORE__POOL_MAX", "2000"), ("PURSER__STORE__POOL_MIN", "100")];
    let found = problems(load(None, &variables));
    assert!(found.len() == 1 && found[0].starts_with("store.pool_max"), "{found:?}");
}

#[test]
fn each_lane_of_argon2_needs_eight_kib() {
    let memory = ("PURSER__CRYPTO__ARGON2_MEMORY_KIB", "16");
    assert!(load(None, &[memory, ("PURSER__CRYPTO__ARGON2_LANES", "2")]).is_ok());

    let found = problems(load(None, &[memory, ("PURSER__CRYPTO__ARGON2_LANES", "3")]));
    assert!(found.len() == 1 && found[0].starts_with("crypto.argon2_lanes = \"3\""), "{found:?}");
}

#[test]
fn a_long_value_is_cut() {
    let found = problems(load(None, &[("PURSER__LOG__FORMAT", &"x".repeat(10_000))]));
    assert!(found[0].len() < 200);
}

#[test]
fn all_missing_secrets_are_named_with_the_ways_to_set_them() {
    let found = problems(load_bare(None, &[]));

    assert_eq!(found.len(), 3);
    assert_eq!(
        found[1],
        "crypto.master_keys is missing from all sources; accepted: one or more \
         <id>:<base64 of 32 bytes>, newest first; set PURSER__CRYPTO__MASTER_KEYS or \
         PURSER__CRYPTO__MASTER_KEYS_FILE, or `master_keys` under [crypto] in the configuration file"
    );
}

#[test]
fn a_secret_named_by_value_and_by_file_is_refused() {
    assert_eq!(
        problems(load(None, &[("PURSER__STORE__URI_FILE", "/does/not/matter")])),
        ["store.uri = [secret] (environment variables PURSER__STORE__URI and \
          PURSER__STORE__URI_FILE); accepted: only one of the two"]
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let missing = [REQUIRED[0], REQUIRED[1], ("PURSER__CRYPTO__PEPPERS_FILE", "/nowhere/peppers")];
    let found = problems(load_bare(None, &missing));
    assert!(found[0].starts_with(
        "crypto.peppers = [secret] (file /nowhere/peppers of environment variable \
         PURSER__CRYPTO__PEPPERS_FILE): the file cannot be read: No such file"
    ));

    let found = problems(load(None, &[("PURSER_CONFIG", "/nowhere/purser.toml")]));
    assert!(found[0].starts_with("the configuration file /nowhere/purser.toml cannot be read: No"));

    let endless = [REQUIRED[0], REQUIRED[1], ("PURSER__CRYPTO__PEPPERS_FILE", "/dev/zero")];
    assert!(problems(load_bare(None, &endless))[0].contains("it is larger than 65536 bytes"));
}

#[test]
fn an_srv_address_is_refused_with_the_way_out() {
    let uri = ("PURSER__STORE__URI", "mongodb+srv://purser:hunter2@db.example/");
    let found = problems(load_bare(None, &[uri, REQUIRED[1], REQUIRED[2]]));

    assert!(
        found[0].starts_with("store.uri = [secret] (environment variable PURSER__STORE__URI);")
    );
    assert!(found[0].contains("in the standard connection string instead"));
}

#[test]
fn no_secret_is_in_debug_or_in_a_message() {
    assert!(!format!("{:?}", load(None, &[]).unwrap()).contains("hunter2"));

    let empty = Scratch::new("empty", " \n");
    let number = Scratch::new("number.toml", "[store]\nuri = 442211\n");
    let broken = Scratch::new("broken.toml", "[store]\nuri = mongodb://purser:hunter2@db/\n");
    let twice = Scratch::new("twice.toml", "[store]\nuri = \"hunter2\"\nuri = \"hunter2\"\n");
    let misspelt = Scratch::new("misspelt.toml", "[crypto]\npepper = \"hunter2\"\n");
    let (keys, peppers) = (REQUIRED[1], REQUIRED[2]);
    let peppers_file = ("PURSER__CRYPTO__PEPPERS_FILE", empty.path());
    for result in [
        load_bare(Some(&number), &[keys, peppers]),
        load_bare(Some(&broken), &[keys, peppers]),
        load_bare(Some(&twice), &[keys, peppers]),
        load(Some(&misspelt), &[("PURSER__STORE__URL", "hunter2")]),
        load_bare(None, &[("PURSER__STORE__URI", "hunter2"), keys, peppers_file]),
    ] {
        let error = result.unwrap_err();
        let message = format!("{error} {error:?}");
        assert!(!message.contains("hunter2") && !message.contains("442211"), "{message}");
    }
}

#[test]
fn a_file_that_is_not_toml_is_refused_with_the_position_alone() {
    let file = Scratch::new("syntax.toml", "[server]\nport = = 1\n");
    let expected = format!("file {} is not TOML: see at line 2, column 8", file.path());
    assert_eq!(problems(load(Some(&file), &[])), [expected]);
}

#[test]
fn an_integer_too_large_for_toml_is_refused_as_such() {
    let file = Scratch::new("large.toml", "[server]\nport = 99999999999999999999\n");
    let expected = format!("file {} is not TOML: it has an integer that is too large", file.path());
    assert_eq!(problems(load(Some(&file), &[])), [expected]);
}

/// A key of `defaults.toml` with the comment above it; a required one is commented out.
struct Documented<'a> {
    path: String,
    required: bool,
    comment: Vec<&'a str>,
}

fn documented() -> Vec<Documented<'static>> {
    let (mut section, mut comment, mut keys) = ("", Vec::new(), Vec::new());
    for line in DEFAULTS.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if let Some(text) = line.strip_prefix("# ") {
            comment.push(text);
        } else if let Some((name, _)) = line.split_once(" = ") {
            let path = format!("{section}.{}", name.trim_start_matches('#'));
            let required = line.starts_with('#');
            keys.push(Documented { path, required, comment: std::mem::take(&mut comment) });
        } else if line.is_empty() {
            comment.clear();
        }
    }
    keys
}

#[test]
fn defaults_toml_documents_every_key_as_the_code_reads_it_and_no_other() {
    let mut loader = Loader::open(None, std::iter::empty()).unwrap();
    Config::read(&mut loader);
    let documented = documented();

    let paths: Vec<&str> = documented.iter().map(|key| key.path.as_str()).collect();
    let known: Vec<String> = loader.keys().iter().map(super::found::Key::path).collect();
    assert_eq!(paths, known, "same keys in the same order");
    for (text, key) in documented.iter().zip(loader.keys()) {
        // What can be left out says so.
        let is_needed = key.kind == Kind::Secret && !key.accepted.starts_with("empty");
        assert_eq!(text.required, is_needed, "{}", text.path);
        let (what, accepted) = text.comment.join(" ").split_once("Accepted: ").map_or_else(
            || panic!("{} does not say what is accepted", text.path),
            |(what, accepted)| (what.to_owned(), accepted.to_owned()),
        );
        assert!(what.len() > 20, "{} does not say what it is", text.path);
        assert_eq!(accepted.trim_end_matches('.'), key.accepted, "{}", text.path);
    }
}
