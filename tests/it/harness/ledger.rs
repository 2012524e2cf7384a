//! What every test ends with besides: each wallet agrees with its entries, no credits have come from
//! nowhere, and workers are told of everybody whom they must look at.

use std::collections::BTreeMap;

use bson::{Document, doc};
use purser::kernel::time::rfc3339;

use super::Purser;

/// The balance of each wallet is the sum of its entries and of what remains of its lots, what is held
/// that of its entries and of its open holds; entries are numbered without gaps, each goes on from
/// the one before; what one loses in a transfer another has; sums that are kept are right. Whoever
/// counts referrals has an entry for each.
pub fn check(purser: &Purser) {
    let mut by_user: BTreeMap<String, Vec<Document>> = BTreeMap::new();
    let (mut transferred, mut tallies) = (0, BTreeMap::new());
    let mut referred: BTreeMap<String, i64> = BTreeMap::new();
    for entry in purser.db_find("wallet_entries", doc! {}) {
        let user = entry.get_object_id("user_id").expect("a user").to_hex();
        if entry.get_str("kind").expect("a kind").starts_with("transfer_") {
            transferred += number(&entry, "balance_change");
        }
        count(&mut tallies, &entry);
        if entry.get_str("reference").expect("a text").ends_with(":referrer") {
            *referred.entry(user.clone()).or_default() += 1;
        }
        by_user.entry(user).or_default().push(entry);
    }
    assert_eq!(transferred, 0, "transfers conserve credits");
    for user in purser.db_find("users", doc! {}) {
        let id = user.get_object_id("_id").expect("an id").to_hex();
        let wallet = user.get_document("modules").and_then(|it| it.get_document("wallet"));
        let referrals = user.get_document("modules").and_then(|it| it.get_document("referrals"));
        let counted = referrals.map_or(0, |it| number(it, "referrals_count"));
        assert_eq!(counted, referred.remove(&id).unwrap_or(0), "{id}: rewarded referrals");
        let Ok(wallet) = wallet else { continue };
        agrees(&id, wallet, by_user.remove(&id).unwrap_or_default());
    }
    assert!(by_user.is_empty(), "entries without a wallet: {:?}", by_user.keys());
    let kept = purser.db_find("wallet_tallies", doc! {}).into_iter();
    let kept = kept.map(|it| (it.get_str("_id").expect("an id").to_owned(), number(&it, "amount")));
    assert_eq!(kept.collect::<BTreeMap<_, _>>(), tallies, "sums of the ledger");
}

/// Whoever must be looked at is marked with the moment, and nobody else is.
pub fn check_marks(purser: &Purser) {
    let due = |user: &Document| {
        let part = user.get_document("modules").and_then(|it| it.get_document("subscription"));
        Some((user.get_object_id("_id").ok()?, *part.ok()?.get_datetime("due_at").ok()?))
    };
    let mark = |mark: &Document| {
        Some((mark.get_object_id("_id").ok()?, *mark.get_datetime("subscription").ok()?))
    };
    let stored: BTreeMap<_, _> = purser.db_find("users", doc! {}).iter().filter_map(due).collect();
    let marked: BTreeMap<_, _> = purser.db_find("dues", doc! {}).iter().filter_map(mark).collect();
    assert_eq!(marked, stored, "whose subscription is due when");
}

fn agrees(user: &str, wallet: &Document, mut entries: Vec<Document>) {
    entries.sort_by_key(|entry| number(entry, "seq"));
    let (mut balance, mut held) = (0, 0);
    for (at, entry) in (1..).zip(&entries) {
        assert_eq!(number(entry, "seq"), at, "the numbers of {user}'s entries");
        balance += number(entry, "balance_change");
        held += number(entry, "held_change");
        assert_eq!(number(entry, "balance_after"), balance, "{user}, entry {at}");
        assert_eq!(number(entry, "held_after"), held, "{user}, entry {at}");
        assert!(0 <= held && held <= balance, "{user}: {held} of {balance} held");
    }
    let stored = |name| wallet.get_i64(name).unwrap_or(0);
    let sum = |list: &str, of: &str| -> i64 {
        let parts = wallet.get_array(list).into_iter().flatten();
        parts.map(|part| number(part.as_document().expect("a part"), of)).sum()
    };
    assert_eq!((stored("balance"), sum("lots", "remaining")), (balance, balance), "{user}");
    assert_eq!((stored("held"), sum("holds", "amount")), (held, held), "{user}");
    assert_eq!(usize::try_from(stored("seq")), Ok(entries.len()), "{user}");
}

fn count(tallies: &mut BTreeMap<String, i64>, entry: &Document) {
    let text = |name| entry.get_str(name).unwrap_or_default();
    let name = match (text("kind"), text("scope").split_once(':')) {
        ("credit", Some(("app", app))) => {
            let at = rfc3339(*entry.get_datetime("created_at").expect("a time"));
            format!("issued:{app}:{}", &at[..10])
        }
        ("refund", _) => format!("refunded:{}", entry.get_object_id("parent").expect("its parent")),
        _ => return,
    };
    *tallies.entry(name).or_default() += number(entry, "amount");
}

fn number(document: &Document, name: &str) -> i64 {
    document.get_i64(name).unwrap_or_else(|_| panic!("{name} is no whole number: {document}"))
}
