//! An example of each limit: what a wallet takes when it is full, rich, frozen or disabled.

use super::trial::{
    PLAIN, Trial, adjust, capture, credit, credits, debit, hold, moved, receive, refund, release,
    send, until,
};
use super::world::at;
use crate::kernel::credits::CREDITS_MAX;
use crate::modules::wallet::model::{
    Direction, Expired, LineKind, Operation, Refusal, Resolver, adjustment,
};
use crate::modules::wallet::record::{Category, HOLDS_MAX, LOTS_MAX, Nature, SLICES_MAX};

/// As many lots as there can be, each with an end of its own.
fn full() -> Trial {
    let mut trial = Trial::new();
    for end_ms in 0..256 {
        trial.credit(2, until(2_000 + end_ms));
    }
    trial
}

#[test]
fn a_wallet_without_room_refuses_credits_that_are_like_nothing_it_has() {
    let trial = full();
    assert_eq!(trial.wallet.lots.len(), LOTS_MAX);

    let unlike = [
        PLAIN,
        until(1_999),
        Nature { category: Category::Paid, ..until(2_000) },
        Nature { priority: 99, ..until(2_000) },
        Nature { effective_at: at(1_001), ..until(2_000) },
    ];

    for nature in unlike {
        assert_eq!(trial.refuses(&credit(1, nature)), Refusal::Full, "{nature:?}");
    }
    assert_eq!(trial.refuses(&adjust(1, Direction::Credit)), Refusal::Full);
}

#[test]
fn a_wallet_without_room_takes_credits_into_the_lot_that_is_spent_like_them() {
    let mut trial = full();
    let third = trial.wallet.lots[2].clone();

    let nature = Nature { effective_at: at(1_000), ..until(2_002) };
    let line = trial.does(&credit(5, nature)).main().clone();

    assert_eq!(moved(&line), [(third.id, 5)]);
    let joined = &trial.wallet.lots[2];
    assert_eq!((joined.remaining, joined.amount, joined.nature()), (7, 7, third.nature()));
    assert_eq!((trial.wallet.lots.len(), trial.wallet.balance), (LOTS_MAX, 517));
}

#[test]
fn there_is_room_again_when_a_lot_is_spent_or_has_ended() {
    let mut trial = full();
    assert!(trial.at(2_000).tries(&credit(1, PLAIN)).is_ok());

    trial.at(1_000).debit(2);
    trial.credit(1, PLAIN);

    assert_eq!(trial.wallet.lots.len(), LOTS_MAX);
    assert_eq!(trial.refuses(&credit(1, until(9_000))), Refusal::Full);
}

#[test]
fn what_a_hold_pins_of_a_joined_lot_stays_pinned_and_what_came_later_is_free() {
    let mut trial = full();
    let first = trial.wallet.lots[0].id;
    let pinning = trial.hold(2, 9_000);
    trial.credit(3, until(2_000));

    let line = trial.debit(3);
    let captured = trial.does(&capture(pinning, None));

    assert_eq!(moved(&line), [(first, 3)]);
    assert_eq!(moved(captured.main()), [(first, 2)]);
    assert!(trial.wallet.lots.iter().all(|lot| lot.id != first));
}

#[test]
fn a_refund_finds_its_lot_and_without_room_for_it_one_that_is_spent_alike() {
    let mut trial = full();
    let some = trial.debit(1);
    let rest = trial.debit(1);
    let first = some.slices[0].lot;
    let (some, rest) = (trial.original(&some), trial.original(&rest));

    // The lot is spent: it comes anew, and is found afterwards.
    assert_eq!(moved(&trial.refund(&rest, None, Expired::Restore)), [(first, 1)]);
    assert_eq!(moved(&trial.refund(&some, None, Expired::Restore)), [(first, 1)]);
    assert_eq!(trial.wallet.lots.len(), LOTS_MAX);

    // Another is in its place.
    let line = trial.debit(2);
    let original = trial.original(&line);
    let other = trial.credit(1, until(2_000));
    assert_eq!(moved(&trial.refund(&original, None, Expired::Restore)), [(other, 2)]);

    // No other is like it.
    let line = trial.debit(3);
    let original = trial.original(&line);
    trial.credit(1, PLAIN);
    assert_eq!(trial.refuses(&refund(&original, None, Expired::Restore)), Refusal::Full);
}

#[test]
fn a_payee_without_room_refuses_all_of_what_is_sent() {
    let (mut payer, payee) = (Trial::new(), full());
    payer.credit(1, until(2_003));
    payer.credit(1, PLAIN);
    let sent = payer.does(&send(2)).main().clone();

    assert_eq!(payee.refuses(&receive(sent.slices)), Refusal::Full);
}

#[test]
fn a_wallet_has_no_more_open_holds_than_may_be() {
    let mut trial = Trial::new();
    trial.credit(1_000, PLAIN);
    let first = trial.hold(1, 9_000);
    for _ in 1..HOLDS_MAX {
        trial.hold(1, 9_000);
    }

    assert_eq!(trial.refuses(&hold(1, 9_000)), Refusal::Full);
    assert_eq!(trial.refuses(&hold(489, 9_000)), Refusal::Insufficient { short_by: 1 });

    trial.does(&release(first, Resolver::Admin));
    assert!(trial.tries(&hold(1, 9_000)).is_ok());
}

#[test]
fn holds_pin_no_more_slices_than_may_be() {
    let mut trial = full();
    trial.hold(512, 9_000);
    for _ in 1..4 {
        for end_ms in 0..256 {
            trial.credit(1, until(2_000 + end_ms));
        }
        trial.hold(256, 9_000);
    }
    trial.credit(1, until(2_000));

    let slices: usize = trial.wallet.holds.iter().map(|hold| hold.slices.len()).sum();
    assert_eq!((slices, trial.wallet.holds.len()), (SLICES_MAX, 4));
    assert_eq!(trial.refuses(&hold(1, 9_000)), Refusal::Full);
    assert!(trial.tries(&debit(1)).is_ok());
}

#[test]
fn a_balance_grows_to_the_limit_and_no_further() {
    let mut trial = Trial::new();
    trial.credit(CREDITS_MAX - 1, until(2_000));
    let line = trial.debit(5);
    let original = trial.original(&line);
    trial.credit(6, PLAIN);
    assert_eq!(trial.wallet.balance, CREDITS_MAX);

    let (mut payer, one) = (Trial::new(), credits(1));
    payer.credit(1, PLAIN);
    let sent = payer.does(&send(1)).main().clone();
    let most = Operation::Credit { amount: credits(CREDITS_MAX), nature: PLAIN };

    assert_eq!(trial.refuses(&credit(one.get(), PLAIN)), Refusal::TooMuch);
    assert_eq!(trial.refuses(&most), Refusal::TooMuch);
    assert_eq!(trial.refuses(&receive(sent.slices)), Refusal::TooMuch);
    assert_eq!(trial.refuses(&refund(&original, None, Expired::Restore)), Refusal::TooMuch);
    assert_eq!(trial.refuses(&adjust(1, Direction::Credit)), Refusal::TooMuch);
    // What has ended makes room before it is booked.
    assert!(trial.at(2_000).tries(&credit(CREDITS_MAX - 6, PLAIN)).is_ok());
}

#[test]
fn all_that_there_can_be_is_held_captured_and_refunded() {
    let mut trial = Trial::new();
    trial.credit(CREDITS_MAX, PLAIN);
    let pinning = trial.hold(CREDITS_MAX, 9_000);
    assert_eq!(trial.refuses(&debit(CREDITS_MAX)), Refusal::Insufficient { short_by: CREDITS_MAX });

    let captured = trial.does(&capture(pinning, None)).main().clone();
    let original = trial.original(&captured);
    trial.refund(&original, None, Expired::Restore);

    assert_eq!(trial.wallet.balance, CREDITS_MAX);
}

#[test]
fn a_frozen_wallet_takes_and_does_not_give() {
    let mut trial = Trial::new();
    trial.credit(10, PLAIN);
    let (line, pinning) = (trial.debit(2), trial.hold(1, 9_000));
    let original = trial.original(&line);
    trial.wallet.frozen = true;

    let giving = [
        debit(1),
        send(1),
        hold(1, 9_000),
        capture(pinning, None),
        release(pinning, Resolver::Admin),
        debit(99),
    ];
    for operation in &giving {
        assert_eq!(trial.refuses(operation), Refusal::Frozen, "{operation:?}");
    }

    let taking = [
        credit(1, PLAIN),
        receive(line.slices),
        refund(&original, None, Expired::Restore),
        adjust(1, Direction::Credit),
        adjust(1, Direction::Debit),
    ];
    for operation in &taking {
        assert!(trial.tries(operation).is_ok(), "{operation:?}");
    }
}

#[test]
fn a_disabled_wallet_refuses_everything_and_its_time_goes_on() {
    let mut trial = Trial::new();
    trial.credit(10, until(2_000));
    trial.wallet.enabled = false;
    trial.wallet.frozen = true;

    for operation in [credit(1, PLAIN), debit(1), adjust(1, Direction::Debit), hold(1, 9_000)] {
        assert_eq!(trial.refuses(&operation), Refusal::Disabled, "{operation:?}");
    }
    let lines = trial.at(2_000).expire();
    assert_eq!((lines.len(), trial.wallet.balance), (1, 0));
}

#[test]
fn a_correction_takes_only_what_is_free_and_gives_what_is_spent_like_other_gifts() {
    let mut trial = Trial::new();
    let paid = trial.credit(5, Nature { category: Category::Paid, ..PLAIN });
    trial.hold(3, 9_000);

    let short = trial.refuses(&adjust(3, Direction::Debit));
    let taken = trial.does(&adjust(2, Direction::Debit)).main().clone();
    let given = trial.does(&adjust(4, Direction::Credit)).main().clone();

    assert_eq!(short, Refusal::Insufficient { short_by: 1 });
    assert_eq!(
        (taken.kind, taken.balance_change, moved(&taken)),
        (LineKind::Adjust, -2, vec![(paid, 2)])
    );
    assert_eq!((given.kind, given.balance_change), (LineKind::Adjust, 4));
    assert_eq!(given.slices[0].nature(), adjustment(at(0)));
}
