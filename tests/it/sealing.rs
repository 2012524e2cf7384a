//! The sealed trail: its tree, its checkpoints, its proofs, and what `purser audit verify` finds.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bson::{Document, doc};
use purser::app::build::job;
use purser::audit::checkpoint::Note;
use purser::audit::proof::{Head, verify_consistency, verify_inclusion};
use purser::audit::tree::Hash;
use purser::crypto::signature::SigningKey;
use purser::trail::SealTrail;
use purser::trail::seal::{Checkpoints, Sequencer};
use serde_json::{Value, json};

use crate::command_line::{KEY, command_with};
use crate::harness::{Principal, Purser, SIGNING_KEY, START};

/// A person with a history, and the app that made it.
fn history(purser: &Purser) -> (Principal, String) {
    let shop = purser.app("shop");
    let (ada, _) = shop.register("ada@example.com");
    for name in ["Ada", "Augusta", "Countess"] {
        let patch = json!({ "profile": { "first_name": name } });
        shop.patch(&format!("/v1/users/{ada}"), patch).expect(200);
    }
    (shop, ada)
}

fn sealed(purser: &Purser) -> u64 {
    purser.block_on(purser.inner.seal_trail()).expect("sealed")
}

fn count(purser: &Purser) -> u64 {
    purser.db_entries(doc! {}).len() as u64
}

fn hash(text: &Value) -> Hash {
    let bytes = STANDARD.decode(text.as_str().expect("base64")).expect("base64");
    Hash::from_slice(&bytes).expect("32 bytes")
}

fn hashes(list: &Value) -> Vec<Hash> {
    list.as_array().expect("a list").iter().map(hash).collect()
}

fn head(checkpoint: &Value) -> Head {
    let note = Note::parse(checkpoint["note"].as_str().expect("a note")).expect("a checkpoint");
    note.unverified().head()
}

#[test]
fn every_entry_has_its_place_in_a_tree_that_is_signed_and_can_be_proved() {
    let purser = Purser::start();
    history(&purser);
    let auditor = purser.auditor();
    let (entries, known) = (count(&purser), purser.db_entries(doc! {}));

    assert_eq!(sealed(&purser), entries);
    assert_eq!(sealed(&purser), entries, "again is no change");

    let latest = auditor.get("/v1/audit/checkpoints/latest").expect(200);
    assert_eq!(latest["size"], entries);
    let note = Note::parse(latest["note"].as_str().expect("a note")).expect("a checkpoint");
    let key = purser.inner.checkpoints.public_key().expect("a key").clone();
    assert!(note.verify(&[key]).is_ok(), "signed with the configured key");
    // What is read now comes after it.
    for entry in known {
        let id = entry.get_object_id("_id").expect("an id").to_hex();
        let proof = auditor.get(&format!("/v1/audit/logs/{id}/proof")).expect(200);
        let leaf = proof["leaf"].as_u64().expect("a number");
        let path = hashes(&proof["proof"]);
        let proven = verify_inclusion(
            leaf,
            hash(&proof["leaf_hash"]),
            head(&json!({ "note": proof["checkpoint"] })),
            &path,
        );
        assert_eq!(proven, Ok(()), "{id}");
    }
}

#[test]
fn a_later_checkpoint_begins_with_the_earlier_one_and_one_is_made_only_where_there_is_more() {
    let purser = Purser::start();
    let (shop, ada) = history(&purser);
    let auditor = purser.auditor();
    sealed(&purser);
    purser.step_clock(60_000);
    sealed(&purser);
    assert_eq!(purser.db_find("trail_checkpoints", doc! {}).len(), 1, "nothing new");

    let before = auditor.get("/v1/audit/checkpoints/latest").expect(200);
    assert_eq!(before["created_at"], START);
    let patch = json!({ "profile": { "first_name": "Lovelace" } });
    let changed = shop.patch(&format!("/v1/users/{ada}"), patch);
    let entry = changed.header("purser-entry").expect("the entry it left").to_owned();
    let early = auditor.get(&format!("/v1/audit/logs/{entry}/proof"));
    assert!(early.header("retry-after").is_some());
    assert_eq!(early.refused(409), "not_yet_sealed");
    sealed(&purser);

    let after = auditor.get("/v1/audit/checkpoints/latest").expect(200);
    let (from, to) = (&before["size"], &after["size"]);
    let proof = auditor.get(&format!("/v1/audit/consistency?from={from}&to={to}")).expect(200);
    assert_eq!((&proof["from"], &proof["to"]), (&before["note"], &after["note"]), "as documented");
    assert_eq!(verify_consistency(head(&before), head(&after), &hashes(&proof["proof"])), Ok(()));
    auditor.get(&format!("/v1/audit/logs/{entry}/proof")).expect(200);
    let listed = auditor.get("/v1/audit/checkpoints").expect(200);
    assert_eq!(listed["items"].as_array().expect("items").len(), 2);
    for wrong in ["from=0&to=1", "from=1&to=2", "to=1", "from=x&to=1"] {
        let refused = auditor.get(&format!("/v1/audit/consistency?{wrong}"));
        assert_eq!(refused.refused(422), "invalid", "{wrong}");
    }
    let nobody = "0123456789abcdef01234567";
    assert_eq!(auditor.get(&format!("/v1/audit/logs/{nobody}/proof")).refused(404), "not_found");
}

#[test]
fn the_stream_brings_what_is_new_and_another_process_goes_on_where_the_last_one_stopped() {
    let purser = Purser::start();
    let (shop, ada) = history(&purser);
    let other = purser.beside("other");
    let grant = |purser: &Purser| {
        purser.inner.gate.itself::<SealTrail>(job("sequencer"), purser.inner.context())
    };
    let begin = |purser: &Purser| {
        purser.block_on(Sequencer::begin(&grant(purser), &purser.inner.store)).expect("asked")
    };
    let until_sealed = |purser: &Purser, sequencer: &mut Sequencer| {
        let entries = count(purser);
        while sequencer.size() < entries {
            let step = purser.block_on(sequencer.step(&grant(purser))).expect("stepped");
            assert!(step.is_some(), "it is its turn");
        }
    };
    let patch = |name: &str| {
        let patch = json!({ "profile": { "first_name": name } });
        shop.patch(&format!("/v1/users/{ada}"), patch).expect(200);
    };

    let mut first = begin(&purser).expect("nobody else's turn");
    until_sealed(&purser, &mut first);
    patch("One");
    until_sealed(&purser, &mut first);
    assert!(begin(&other).is_none(), "one at a time");
    patch("Two");
    purser.step_clock(11_000);
    other.step_clock(11_000);
    let mut second = begin(&other).expect("the lease is over");
    until_sealed(&other, &mut second);
    assert_eq!(purser.block_on(first.step(&grant(&purser))).expect("asked"), None);
    patch("Three");
    until_sealed(&other, &mut second);

    let leaves = purser.db_find("trail_leaves", doc! {});
    assert_eq!(leaves.len() as u64, count(&purser), "each entry once");
}

/// What `purser audit verify` says, with a checkpoint that was kept.
struct Auditor {
    kept: PathBuf,
}

impl Auditor {
    fn keeping(purser: &Purser) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("purser-checkpoint-{}-{number}", std::process::id());
        let kept = std::env::temp_dir().join(name);
        let latest = purser.auditor().get("/v1/audit/checkpoints/latest").expect(200);
        std::fs::write(&kept, latest["note"].as_str().expect("a note")).expect("written");
        Self { kept }
    }

    fn verify(&self, purser: &Purser) -> (bool, Value) {
        let kept = self.kept.to_str().expect("a path");
        let arguments = ["audit", "verify", "--checkpoint", kept, "--json"];
        let (well, out, err) =
            command_with(purser, KEY, &arguments, &[("PURSER__TRAIL__SIGNING_KEY", SIGNING_KEY)]);
        (well, serde_json::from_str(&out).unwrap_or_else(|_| panic!("{err}")))
    }
}

impl Drop for Auditor {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.kept);
    }
}

fn found(report: &Value, code: &str, entry: Option<&Document>) -> bool {
    let id = entry.map(|entry| entry.get_object_id("_id").expect("an id").to_hex());
    let findings = report["findings"].as_array().expect("findings").iter();
    findings
        .filter(|it| it["code"] == code)
        .any(|it| id.is_none() || it["entry_id"].as_str() == id.as_deref())
}

#[test]
fn a_trail_that_nobody_touched_is_verified_and_agrees_with_what_was_kept() {
    let purser = Purser::start();
    let (shop, ada) = history(&purser);
    let wallet = format!("/v1/users/{ada}/wallet");
    let may = json!({ "may_issue": { "categories": ["paid"], "per_day": 100 } });
    purser.admin().with("If-Match", "*").patch("/v1/admin/apps/shop", may).expect(200);
    let credit = shop.with("Idempotency-Key", "credit");
    credit
        .post(&format!("{wallet}/credits"), json!({ "amount": 10, "category": "paid" }))
        .expect(201);
    let size = sealed(&purser);
    let auditor = Auditor::keeping(&purser);
    let patch = json!({ "profile": { "first_name": "Late" } });
    shop.patch(&format!("/v1/users/{ada}"), patch).expect(200);

    let (well, report) = auditor.verify(&purser);

    assert!(well, "{report:#}");
    assert_eq!(report["leaves"], size);
    // The auditor who kept it, that it was read, and what came after.
    assert_eq!(report["unsealed"], 3);
    assert_eq!(report["ledger_lines"], 1);
    assert_eq!(report["kept"], json!({ "witness": "agrees", "size": size }));
}

/// Makes a history, seals it, keeps the checkpoint, tampers, and tells what is found.
fn tampered(tamper: impl FnOnce(&Purser, &[Document])) -> (Value, Vec<Document>) {
    let purser = Purser::start().without_replay();
    history(&purser);
    sealed(&purser);
    let auditor = Auditor::keeping(&purser);
    let mut leaves = purser.db_find("trail_leaves", doc! {});
    leaves.sort_by_key(|leaf| leaf.get_i64("_id").expect("a number"));
    let entry = |leaf: &Document| {
        let id = doc! { "_id": leaf.get_object_id("entry_id").expect("an id") };
        purser.db_find("user_audit_logs", id).remove(0)
    };
    let entries: Vec<_> = leaves.iter().map(entry).collect();
    tamper(&purser, &entries);
    let (well, report) = auditor.verify(&purser);
    assert!(!well, "it was not noticed");
    (report, entries)
}

fn set(purser: &Purser, entry: &Document, set: Document) {
    let id = doc! { "_id": entry.get_object_id("_id").expect("an id") };
    purser.db_update("user_audit_logs", id, doc! { "$set": set });
}

fn delete(purser: &Purser, entry: &Document) {
    let id = entry.get_object_id("_id").expect("an id");
    let deletes = vec![doc! { "q": { "_id": id }, "limit": 1 }];
    purser.db_command(doc! { "delete": "user_audit_logs", "deletes": deletes });
}

#[test]
fn a_value_an_actor_and_a_time_that_were_edited_are_found_by_entry() {
    for edit in [
        doc! { "changes": { "profile.first_name": { "new": "Eve" } } },
        doc! { "actor.id": "somebody_else" },
        doc! { "timestamp": bson::DateTime::from_millis(0) },
    ] {
        let (report, entries) = tampered(|purser, entries| set(purser, &entries[2], edit.clone()));
        assert!(found(&report, "entry_changed", Some(&entries[2])), "{edit}: {report:#}");
        assert_eq!(report["kept"]["witness"], "disagrees", "{report:#}");
    }
}

#[test]
fn the_newest_the_oldest_and_one_between_that_were_deleted_are_found_by_entry() {
    for which in [0, 2, usize::MAX] {
        let at = |entries: &[Document]| which.min(entries.len() - 1);
        let (report, entries) = tampered(|purser, entries| delete(purser, &entries[at(entries)]));
        assert!(found(&report, "entry_missing", Some(&entries[at(&entries)])), "{report:#}");
    }
}

#[test]
fn two_entries_that_were_swapped_are_found_both() {
    let (report, entries) = tampered(|purser, entries| {
        for (entry, other) in [(&entries[1], &entries[3]), (&entries[3], &entries[1])] {
            let mut content = other.clone();
            for own in ["_id", "subject", "seq"] {
                content.remove(own);
            }
            set(purser, entry, content);
        }
    });
    for at in [1, 3] {
        assert!(found(&report, "entry_changed", Some(&entries[at])), "{report:#}");
    }
}

#[test]
fn a_trail_that_was_rewritten_and_signed_anew_does_not_agree_with_what_was_kept() {
    let other = "purser.test/trail:YW5vdGhlciBrZXkgZm9yIHRoZSB0ZXN0cyAwMDAwMDA=";
    let (report, _) = tampered(|purser, entries| {
        set(purser, &entries[2], doc! { "action": "profile_read" });
        for sealed in ["trail_leaves", "trail_checkpoints"] {
            let all = vec![doc! { "q": {}, "limit": 0 }];
            purser.db_command(doc! { "delete": sealed, "deletes": all });
        }
        purser.step_clock(60_000);
        let key = SigningKey::parse(other).expect("a key");
        let forger = Checkpoints::new(Some(key), 1, "");
        let grant = || {
            let context = purser.inner.context();
            purser.inner.gate.itself::<SealTrail>(job("sequencer"), context)
        };
        let signed = purser.block_on(async {
            let begun = Sequencer::begin(&grant(), &purser.inner.store).await.expect("asked");
            let mut sequencer = begun.expect("nobody else's turn");
            sequencer.catch_up(&grant()).await.expect("sealed");
            sequencer.sign(&grant(), &forger).await
        });
        assert!(signed.expect("asked"));
    });
    assert!(found(&report, "kept_checkpoint_differs", None), "{report:#}");
    assert!(found(&report, "checkpoint_invalid", None), "{report:#}");
}

#[test]
fn a_leaf_that_is_gone_and_a_trail_that_was_cut_short_are_found() {
    let (report, entries) = tampered(|purser, entries| {
        let newest = i64::try_from(entries.len()).expect("a number") - 1;
        delete(purser, &entries[entries.len() - 1]);
        let deletes = vec![doc! { "q": { "_id": newest }, "limit": 1 }];
        purser.db_command(doc! { "delete": "trail_leaves", "deletes": deletes });
    });
    assert!(found(&report, "entries_missing", None), "{report:#}");
    drop(entries);
}

#[test]
fn a_record_that_was_changed_past_the_trail_and_a_ledger_line_of_nobody_are_found() {
    let (report, _) = tampered(|purser, _| {
        purser.db_update(
            "users",
            doc! {},
            doc! { "$set": { "modules.wallet.balance": 1_000_000_i64 } },
        );
    });
    assert!(found(&report, "record_differs", None), "{report:#}");
}

#[test]
fn a_bundle_is_verified_without_a_database_and_not_once_it_was_touched() {
    let purser = Purser::start();
    history(&purser);
    sealed(&purser);
    let more = [("PURSER__TRAIL__SIGNING_KEY", SIGNING_KEY)];
    let file = std::env::temp_dir().join(format!("purser-bundle-{}", std::process::id()));
    let path = file.to_str().expect("a path");
    let (well, key, _) = command_with(&purser, KEY, &["audit", "key"], &more);
    assert!(well);
    let key = key.trim();

    assert!(command_with(&purser, KEY, &["audit", "export", path], &more).0);
    let verified = command_with(&purser, KEY, &["audit", "verify-bundle", path, "--key", key], &[]);
    assert!(verified.0, "{verified:?}");
    assert!(verified.1.contains(&format!("{} entries", count(&purser))), "{}", verified.1);
    let touched =
        std::fs::read_to_string(&file).expect("read").replace("user_registered", "user_forgotten");
    std::fs::write(&file, touched).expect("written");
    let refused = command_with(&purser, KEY, &["audit", "verify-bundle", path, "--key", key], &[]);
    assert!(!refused.0, "{refused:?}");
    let _ = std::fs::remove_file(&file);
}
