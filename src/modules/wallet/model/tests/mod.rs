//! The rules of a wallet, twice: sentences with an example each (`rules`, `limits`), and sequences of
//! operations as they come (below) against an oracle that knows only a list of entries.
//!
//! `oracle` is the wallet told naively, `world` does everything on both sides and compares them after
//! each operation, `scenario` says what is done. A sequence is a row of numbers, each of which decides
//! one operation, so that a failure shrinks to a short row.

mod limits;
mod oracle;
mod rules;
mod scenario;
mod trial;
mod world;

use std::cell::RefCell;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use scenario::{AGES, CLOCKS, CROWDS, INSTANTS, RICHES, Scenario};
use world::{Seen, World};

/// Four of them are a million.
const SHARE: usize = 250_000;
const STEPS: usize = 80;

/// Lets rules and oracle loose for at least so many operations, and says what has been seen.
fn compare(scenario: &Scenario, operations: usize, steps: usize) -> Seen {
    let seen = RefCell::new(Seen::new());
    let done = || seen.borrow().get("operations").copied().unwrap_or(0);
    while done() < operations {
        let cases = u32::try_from((operations - done()).div_ceil(steps)).expect("few");
        let max_shrink_iters = 2_000;
        let config =
            Config { cases, max_shrink_iters, failure_persistence: None, ..Config::default() };
        let row = prop::collection::vec(any::<u64>(), 1..2 * steps);
        let outcome = TestRunner::new(config).run(&(any::<u64>(), row), |(seed, row)| {
            let mut world = World::begin(scenario, seed);
            for number in &row {
                world.step(*number);
            }
            world.ends_well();
            let mut seen = seen.borrow_mut();
            *seen.entry("operations").or_default() += row.len();
            for (what, often) in world.seen {
                *seen.entry(what).or_default() += often;
            }
            Ok(())
        });
        if let Err(error) = outcome {
            panic!("{error}");
        }
    }
    let seen = seen.into_inner();
    assert!(seen["operations"] >= operations, "{seen:?}");
    seen
}

/// Tests that try nothing would agree as well.
fn saw(seen: &Seen, what: &[&str]) {
    let missing: Vec<_> =
        what.iter().filter(|what| seen.get(**what).is_none_or(|n| *n < 10)).collect();
    assert!(missing.is_empty(), "too few of {missing:?} in {seen:?}");
}

const ALWAYS: &[&str] = &[
    "credit",
    "debit",
    "transfer_out",
    "hold",
    "capture",
    "release",
    "refund",
    "adjust",
    "disabled",
    "frozen",
    "insufficient",
    "no such hold",
    "hold expired",
    "exceeds hold",
    "exceeds refundable",
    "restored",
    "extended",
    "forfeited",
    "a rest that ends with its hold",
    "the worker",
    "a repetition",
];

#[test]
fn rules_and_oracle_agree_where_everything_ends_while_something_else_begins() {
    saw(&compare(&INSTANTS, SHARE, STEPS), ALWAYS);
}

#[test]
fn rules_and_oracle_agree_where_the_clocks_of_the_nodes_do_not() {
    let seen = compare(&CLOCKS, SHARE, STEPS);
    saw(&seen, ALWAYS);
    saw(&seen, &["a slow clock"]);
}

#[test]
fn rules_and_oracle_agree_where_nobody_comes_by_for_a_long_time() {
    saw(&compare(&AGES, SHARE, 2 * STEPS), ALWAYS);
}

#[test]
fn rules_and_oracle_agree_where_balances_are_as_large_as_they_can_be() {
    let seen = compare(&RICHES, SHARE, STEPS);
    saw(&seen, ALWAYS);
    saw(&seen, &["too much"]);
}

#[test]
fn rules_and_oracle_agree_where_wallets_are_full() {
    let seen = compare(&CROWDS, 2_500, 3 * STEPS);
    saw(&seen, &["full", "joined"]);
}
