//! What `docs/trail.md` shows is what we make, and `tests/interop/verify.py`, which knows nothing
//! but that page, agrees with us on what is right and what is wrong. Without Python and its package
//! `cryptography` the script is not run, which is said.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use bson::oid::ObjectId;
use bson::{Bson, Document, RawDocumentBuf, doc};
use purser::audit::bundle::Writer;
use purser::audit::checkpoint::Checkpoint;
use purser::audit::leaf;
use purser::audit::proof::Head;
use purser::audit::tree::{Frontier, Hash, Plan};
use purser::crypto::signature::SigningKey;
use purser::kernel::text::hex;
use purser::kernel::time::Timestamp;
use serde_json::{Value, json};

const DOCUMENTATION: &str = include_str!("../../docs/trail.md");
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/verify.py");
/// The bytes 0 to 31, as the page says.
const KEY: &str = "purser.example.com/trail:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Entries, the records a database would hold of their tree, and who signs.
struct Trail {
    entries: Vec<String>,
    records: Vec<Vec<Hash>>,
    roots: Vec<Hash>,
    key: SigningKey,
}

impl Trail {
    fn new(entries: Vec<String>, key: SigningKey) -> Self {
        let (mut frontier, mut records) = (Frontier::empty(), Vec::new());
        let mut roots = vec![frontier.root()];
        for entry in &entries {
            records.push(frontier.append(leaf::hash(entry)));
            roots.push(frontier.root());
        }
        Self { entries, records, roots, key }
    }

    fn of(count: u8, key: SigningKey) -> Self {
        let entry = |n: u8| {
            let id = ObjectId::from_bytes([n; 12]);
            let new = f64::from(n) / 10.0;
            let changes = doc! { "text": { "old": "i:1 \u{1f600}\n\"\u{7f}\u{1}", "new": new } };
            canonical(&doc! { "_id": id, "seq": i32::from(n), "changes": changes })
        };
        Self::new((0..count).map(entry).collect(), key)
    }

    fn documented() -> Self {
        let small = |n: i32| canonical(&doc! { "n": n });
        Self::new(vec![canonical(&documented_entry()), small(1), small(2)], documented_key())
    }

    fn fetch(&self, plan: &Plan) -> Vec<Hash> {
        let hashes: Vec<_> =
            plan.nodes().map(|node| self.records[at(node.last_leaf())][node.place()]).collect();
        plan.proof(&hashes).expect("as many as the plan asks for")
    }

    fn inclusion(&self, leaf: u64, size: u64) -> Vec<Hash> {
        self.fetch(&Plan::inclusion(leaf, size).expect("in the tree"))
    }

    fn consistency(&self, old: u64, new: u64) -> Vec<Hash> {
        self.fetch(&Plan::consistency(old, new).expect("not larger"))
    }

    fn checkpoint(&self, size: u64, time: Option<Timestamp>) -> String {
        let head = Head { size, root: self.roots[at(size)] };
        let checkpoint = Checkpoint::new(self.key.public().name(), head, time);
        checkpoint.expect("a valid origin").sign(&[&self.key])
    }

    fn note(&self, size: u64) -> String {
        self.checkpoint(size, None)
    }

    fn bundle(&self, size: u64, leaves: impl IntoIterator<Item = u64>) -> String {
        let (mut writer, mut text) = Writer::begin(&self.note(size)).expect("our own note");
        for leaf in leaves {
            let proof = self.inclusion(leaf, size);
            text += &writer.entry(leaf, &self.entries[at(leaf)], &proof).expect("in order");
        }
        text + &writer.end()
    }
}

fn at(place: u64) -> usize {
    usize::try_from(place).expect("a small tree")
}

fn documented_key() -> SigningKey {
    SigningKey::parse(KEY).expect("a key")
}

fn another_key() -> SigningKey {
    SigningKey::parse(&KEY.replace("AAEC", "AQEC")).expect("a key")
}

/// The worked example of `docs/trail.md`.
fn documented_entry() -> Document {
    let id = |text| ObjectId::parse_str(text).expect("an id");
    doc! {
        "_id": id("65f0a1b2c3d4e5f60718293a"),
        "user_id": id("65f0a1b2c3d4e5f607182900"),
        "app_id": "shop",
        "action": "profile.update",
        "module": "profile",
        "changes": {
            "profile.phone": { "old": Bson::Null, "new": "s1.Zm9vYmFy" },
            "score": { "old": 7_i32, "new": 7.5 },
            "note": { "new": "i:7" },
        },
        "timestamp": Timestamp::from_millis(1_795_687_112_250),
        "subject": "user:65f0a1b2c3d4e5f607182900",
        "seq": 3_i64,
        "actor": { "kind": "user", "id": "65f0a1b2c3d4e5f607182900" },
        "paths": ["profile.phone", "score", "note"],
        "outcome": "done",
    }
}

fn is_documented(text: &str) {
    let text = text.trim_end();
    assert!(DOCUMENTATION.contains(&format!("\n{text}\n")), "missing:\n{text}");
}

#[test]
fn the_examples_in_the_documentation_are_right() {
    let trail = Trail::documented();
    for entry in &trail.entries {
        is_documented(entry);
        let hash = leaf::hash(entry);
        assert!(DOCUMENTATION.contains(&hash.to_string()), "{hash}");
    }
    is_documented(&trail.key.public().to_string());
    let time = Timestamp::from_millis(1_795_687_120_000);
    is_documented(&trail.checkpoint(3, Some(time)));
    is_documented(&trail.bundle(3, [0, 2]));
    assert!(DOCUMENTATION.contains(&hex(&trail.records[0][0].0)));
    for size in [0, 2, 3] {
        let root = trail.roots[size];
        assert!(DOCUMENTATION.contains(&format!("`{root}`")), "{root}");
    }
    is_documented_as_json(&inclusion(&trail, 2, 3));
    is_documented_as_json(&consistency(&trail, 2, 3));
}

fn is_documented_as_json(value: &Value) {
    let blocks = DOCUMENTATION.split("```json").skip(1);
    let shown = blocks.filter_map(|block| serde_json::from_str(block.split("```").next()?).ok());
    assert!(shown.into_iter().any(|shown: Value| shown == *value), "missing:\n{value:#}");
}

fn texts(proof: &[Hash]) -> Vec<String> {
    proof.iter().map(Hash::to_string).collect()
}

fn inclusion(trail: &Trail, leaf: u64, size: u64) -> Value {
    json!({
        "leaf": leaf,
        "leaf_hash": trail.records[at(leaf)][0].to_string(),
        "proof": texts(&trail.inclusion(leaf, size)),
        "checkpoint": trail.note(size),
    })
}

fn consistency(trail: &Trail, old: u64, new: u64) -> Value {
    let proof = texts(&trail.consistency(old, new));
    json!({ "from": trail.note(old), "to": trail.note(new), "proof": proof })
}

/// A folder for one test, gone when it is over.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("purser-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    fn file(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).expect("written");
        path.to_str().expect("a path in UTF-8").to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct Script(String);

impl Script {
    /// `None` where there is no Python with `cryptography`.
    fn found(trail: &Trail) -> Option<Self> {
        let probe = Command::new("python3").args(["-c", "import cryptography"]).output();
        let is_found = probe.is_ok_and(|output| output.status.success());
        assert!(
            is_found || crate::harness::variable("PURSER_INTEROP").is_none(),
            "python3 with the package cryptography is not here"
        );
        if !is_found {
            eprintln!("SKIPPED: python3 with the package cryptography is not here");
        }
        is_found.then(|| Self(trail.key.public().to_string()))
    }

    fn run(&self, what: &str, arguments: &[&str]) -> (bool, String) {
        let mut command = Command::new("python3");
        command.args([SCRIPT, what, "--key", &self.0]).args(arguments);
        let Output { status, stdout, stderr } = command.output().expect("python3 runs");
        let said = String::from_utf8(stdout).expect("UTF-8") + &String::from_utf8_lossy(&stderr);
        assert!(matches!(status.code(), Some(0 | 1)), "{said}");
        (status.success(), said)
    }

    fn accepts(&self, what: &str, arguments: &[&str]) {
        let (is_right, said) = self.run(what, arguments);
        assert!(is_right, "{what} {arguments:?}: {said}");
    }

    fn refuses(&self, what: &str, arguments: &[&str], because: &str) {
        let (is_right, said) = self.run(what, arguments);
        assert!(!is_right && said.contains(because), "{what} {arguments:?}: {said}");
    }
}

#[test]
fn the_script_agrees_with_us_about_bundles() {
    let trail = Trail::of(250, another_key());
    let Some(script) = Script::found(&trail) else { return };
    let folder = Folder::new("bundles");
    let bundle = trail.bundle(241, 0..241);
    let good = folder.file("good", &bundle);
    script.accepts("bundle", &[&good]);
    script.accepts("bundle", &[&good, "--kept", &folder.file("same", trail.note(241))]);

    let kept = folder.file("kept", trail.note(128));
    let proof = folder.file("proof", consistency(&trail, 128, 241).to_string());
    script.refuses("bundle", &[&good, "--kept", &kept], "--consistency");
    script.accepts("bundle", &[&good, "--kept", &kept, "--consistency", &proof]);
    let other = folder.file("other", consistency(&trail, 127, 241).to_string());
    let between_others = ["--kept", &kept, "--consistency", &other];
    script.refuses(
        "bundle",
        &[&[good.as_str()], &between_others[..]].concat(),
        "other checkpoints",
    );

    let lie = Trail::new(trail.entries.iter().rev().cloned().collect(), another_key());
    let lie = folder.file("lie", lie.note(241));
    script.refuses("bundle", &[&good, "--kept", &lie], "DISAGREES");
    let wrong = folder.file("wrong", bundle.replacen("\"seq\":\"i:70\"", "\"seq\":\"i:71\"", 1));
    script.refuses("bundle", &[&wrong], "leaf 70, entry 464646464646464646464646: the proof leads");
    let doubled = folder.file("doubled", bundle.replacen("{\"_id\"", "{\"_id\":\"\",\"_id\"", 1));
    script.refuses("bundle", &[&doubled], "leaf 0: the entry is not in canonical form");
    let (cut, _) = bundle.trim_end().rsplit_once('\n').expect("lines");
    script.refuses("bundle", &[&folder.file("cut", cut)], "cut off");
}

#[test]
fn the_script_agrees_with_us_about_proofs() {
    let trail = Trail::of(70, another_key());
    let Some(script) = Script::found(&trail) else { return };
    let folder = Folder::new("proofs");
    let entry = folder.file("entry", &trail.entries[33]);
    let other = folder.file("other", &trail.entries[34]);
    let good = folder.file("good", inclusion(&trail, 33, 70).to_string());
    script.accepts("inclusion", &[&good, "--entry", &entry]);
    script.refuses("inclusion", &[&good, "--entry", &other], "not the one that is proved");
    for (field, value) in [("leaf", json!(32)), ("proof", json!([])), ("leaf", json!("33"))] {
        let mut wrong = inclusion(&trail, 33, 70);
        wrong[field] = value;
        script.refuses("inclusion", &[&folder.file("wrong", wrong.to_string())], "WRONG");
    }
    for (old, new) in [(1, 2), (3, 7), (4, 7), (6, 8), (64, 70), (65, 70), (70, 70)] {
        let mut proof = consistency(&trail, old, new);
        script.accepts("consistency", &[&folder.file("proof", proof.to_string())]);
        proof["from"] = json!(trail.note(if old == 1 { 2 } else { old - 1 }));
        let wrong = folder.file("wrong", proof.to_string());
        script.refuses("consistency", &[&wrong], "WRONG");
    }
    let stranger = Trail::of(70, documented_key());
    let unknown = folder.file("unknown", consistency(&stranger, 3, 7).to_string());
    script.refuses("consistency", &[&unknown], "not signed with a key that was given");
}

#[test]
fn the_script_agrees_with_the_documentation() {
    let trail = Trail::documented();
    let Some(script) = Script::found(&trail) else { return };
    let folder = Folder::new("documentation");
    script.accepts("bundle", &[&folder.file("bundle", trail.bundle(3, [0, 2]))]);
}

fn canonical(entry: &Document) -> String {
    leaf::canonical(&RawDocumentBuf::try_from(entry).expect("BSON")).expect("BSON")
}
