//! An example of each rule: what is spent first, what ends when, what holds and refunds do.

use super::trial::{
    PLAIN, Trial, capture, credit, debit, kinds, moved, receive, refund, release, send, shop, until,
};
use super::world::{at, empty};
use crate::kernel::chance::Chance;
use crate::kernel::ids::{AccountNumber, Name, UserId};
use crate::modules::wallet::model::{
    Expired, LineKind, Original, Refusal, Resolver, available, held,
};
use crate::modules::wallet::record::{Category, Held, Holder, Nature};
use crate::users::UserStatus;

#[test]
fn what_has_the_lowest_priority_is_spent_first_whatever_it_is() {
    let mut trial = Trial::new();
    let soon = trial.credit(5, until(1_001));
    let first = trial.credit(5, Nature { category: Category::Paid, priority: 99, ..PLAIN });

    let line = trial.debit(7);

    assert_eq!(moved(&line), [(first, 5), (soon, 2)]);
}

#[test]
fn of_one_priority_what_ends_first_is_spent_first_and_what_never_ends_last() {
    let mut trial = Trial::new();
    let never = trial.credit(5, Nature { effective_at: at(-9), ..PLAIN });
    let later = trial.credit(5, until(3_000));
    let sooner = trial.credit(5, Nature { category: Category::Paid, ..until(2_000) });

    let line = trial.debit(15);

    assert_eq!(moved(&line), [(sooner, 5), (later, 5), (never, 5)]);
}

#[test]
fn of_one_end_what_was_not_paid_for_is_spent_before_what_was() {
    let mut trial = Trial::new();
    let paid = trial.credit(5, Nature { category: Category::Paid, ..until(2_000) });
    let others = [Category::Promo, Category::Plan, Category::Referral, Category::Adjustment];
    let mut free: Vec<_> = others
        .map(|category| trial.credit(1, Nature { effective_at: at(9), category, ..until(2_000) }))
        .into();

    let line = trial.debit(5);

    // Among themselves they are spent by their ids.
    free.sort();
    let expected: Vec<_> = free.into_iter().chain([paid]).map(|lot| (lot, 1)).collect();
    assert_eq!(moved(&line), expected);
}

#[test]
fn then_what_came_into_effect_first_is_spent_first_and_then_what_has_the_lower_id() {
    let mut trial = Trial::new();
    let mut later = [trial.credit(1, PLAIN), trial.credit(1, PLAIN), trial.credit(1, PLAIN)];
    let earlier = trial.credit(1, Nature { effective_at: at(-1), ..PLAIN });

    let line = trial.debit(4);

    later.sort();
    let order: Vec<_> = moved(&line).into_iter().map(|(lot, _)| lot).collect();
    assert_eq!(order, [earlier, later[0], later[1], later[2]]);
}

#[test]
fn credits_can_be_spent_from_the_instant_of_their_effect_to_that_before_their_end() {
    let mut trial = Trial::new();
    trial.credit(5, Nature { effective_at: at(1_500), ..until(2_000) });

    let spendable: Vec<_> =
        [1_499, 1_500, 1_999, 2_000].map(|ms| available(&trial.wallet, at(ms))).into();

    assert_eq!(spendable, [0, 5, 5, 0]);
    assert_eq!(trial.at(1_499).refuses(&debit(1)), Refusal::Insufficient { short_by: 1 });
    assert!(trial.at(1_500).tries(&debit(5)).is_ok());
    assert!(trial.at(1_999).tries(&debit(5)).is_ok());
    assert_eq!(trial.at(2_000).refuses(&debit(5)), Refusal::Insufficient { short_by: 5 });
}

#[test]
fn whoever_comes_next_books_what_has_ended_before_what_they_came_for() {
    let mut trial = Trial::new();
    let lot = trial.credit(5, until(2_000));
    trial.hold(2, 1_500);

    let outcome = trial.at(2_000).does(&credit(1, PLAIN));

    let lines = &outcome.lines;
    assert_eq!(kinds(lines), [LineKind::Release, LineKind::Expire, LineKind::Credit]);
    assert_eq!(lines.iter().map(|line| line.by_time).collect::<Vec<_>>(), [true, true, false]);
    assert_eq!(lines.iter().map(|line| line.seq).collect::<Vec<_>>(), [3, 4, 5]);
    assert_eq!(moved(&lines[1]), [(lot, 5)]);
    assert_eq!(outcome.main().kind, LineKind::Credit);
    assert_eq!((trial.wallet.balance, trial.wallet.held), (1, 0));
}

#[test]
fn the_worker_is_called_when_something_ends_and_does_nothing_a_millisecond_before() {
    let mut trial = Trial::new();
    trial.credit(5, until(3_000));
    trial.hold(5, 4_000);
    assert_eq!(trial.wallet.due_at, Some(at(4_000)), "all of the lot is pinned");
    trial.credit(1, until(2_000));

    let before = trial.wallet.clone();
    assert_eq!(before.due_at, Some(at(2_000)));
    assert!(trial.at(1_999).expire().is_empty());
    assert_eq!(trial.wallet, before);

    assert_eq!(kinds(&trial.at(2_000).expire()), [LineKind::Expire]);
    assert!(trial.at(3_999).expire().is_empty());
    assert_eq!(kinds(&trial.at(4_000).expire()), [LineKind::Release, LineKind::Expire]);
    assert_eq!((trial.wallet.balance, trial.wallet.due_at), (0, None));
}

#[test]
fn a_hold_survives_the_end_of_its_lot_and_what_it_does_not_pin_ends() {
    let mut trial = Trial::new();
    let lot = trial.credit(10, until(2_000));
    let hold = trial.hold(6, 5_000);

    let ended = trial.at(2_000).expire();
    let captured = trial.at(4_999).does(&capture(hold, None));

    assert_eq!(moved(&ended[0]), [(lot, 4)]);
    assert_eq!(kinds(&captured.lines), [LineKind::Capture]);
    assert_eq!(moved(captured.main()), [(lot, 6)]);
    assert_eq!((captured.main().balance_change, captured.main().held_change), (-6, -6));
    assert_eq!((trial.wallet.balance, trial.wallet.lots.len()), (0, 0));
}

#[test]
fn the_rest_of_a_capture_of_an_expired_lot_ends_with_it() {
    let mut trial = Trial::new();
    let lot = trial.credit(10, until(2_000));
    let hold = trial.hold(10, 5_000);

    let outcome = trial.at(3_000).does(&capture(hold, Some(4)));

    assert_eq!(kinds(&outcome.lines), [LineKind::Capture, LineKind::Expire]);
    assert_eq!(moved(&outcome.lines[0]), [(lot, 4)]);
    assert_eq!(moved(&outcome.lines[1]), [(lot, 6)]);
    assert_eq!((outcome.main().kind, outcome.main().available_after), (LineKind::Capture, 0));
    assert_eq!((trial.wallet.balance, trial.wallet.held), (0, 0));
}

#[test]
fn what_is_held_is_not_spent_and_the_rest_of_a_capture_is_free_again() {
    let mut trial = Trial::new();
    let first = trial.credit(5, until(2_000));
    let second = trial.credit(5, until(3_000));
    let hold = trial.hold(7, 9_000);

    assert_eq!(trial.refuses(&debit(4)), Refusal::Insufficient { short_by: 1 });
    assert_eq!(moved(&trial.debit(1)), [(second, 1)]);
    let captured = trial.does(&capture(hold, Some(3)));

    assert_eq!(moved(captured.main()), [(first, 3)]);
    assert_eq!((captured.main().amount, captured.main().held_change), (3, -7));
    assert_eq!(moved(&trial.debit(6)), [(first, 2), (second, 4)]);
}

#[test]
fn a_hold_is_over_at_its_instant_and_its_credits_are_free_though_nobody_has_booked_it() {
    let mut trial = Trial::new();
    trial.credit(10, PLAIN);
    let hold = trial.hold(10, 2_000);

    let told = |ms| (available(&trial.wallet, at(ms)), held(&trial.wallet, at(ms)));
    assert_eq!((told(1_999), told(2_000)), ((0, 10), (10, 0)));

    assert!(trial.at(1_999).tries(&capture(hold, None)).is_ok());
    assert_eq!(trial.at(2_000).refuses(&capture(hold, None)), Refusal::HoldExpired);
    let outcome = trial.at(2_000).does(&debit(10));
    assert_eq!(kinds(&outcome.lines), [LineKind::Release, LineKind::Debit]);
}

#[test]
fn a_hold_is_ended_once_and_by_who_placed_it_or_an_admin() {
    let mut trial = Trial::new();
    trial.credit(10, PLAIN);
    let (one, other) = (trial.hold(3, 2_000), trial.hold(4, 2_000));
    let stranger = Resolver::App(Name::parse("games").expect("a name"));

    assert_eq!(trial.refuses(&release(one, stranger.clone())), Refusal::NoSuchHold);
    trial.does(&release(one, Resolver::App(shop())));
    trial.does(&release(other, Resolver::Admin));

    for hold in [one, other] {
        assert_eq!(trial.refuses(&release(hold, Resolver::Admin)), Refusal::NoSuchHold);
        assert_eq!(trial.refuses(&capture(hold, None)), Refusal::NoSuchHold);
    }
    assert_eq!((trial.wallet.balance, trial.wallet.held), (10, 0));
    let late = trial.hold(1, 2_000);
    let nobody = trial.at(2_000).refuses(&release(late, stranger));
    assert_eq!(nobody, Refusal::NoSuchHold, "that it was there is nobody else's business");
}

#[test]
fn no_more_is_captured_than_is_held() {
    let mut trial = Trial::new();
    trial.credit(10, PLAIN);
    let hold = trial.hold(6, 2_000);

    assert_eq!(trial.refuses(&capture(hold, Some(7))), Refusal::ExceedsHold { held: 6 });

    assert!(trial.tries(&capture(hold, Some(6))).is_ok());
}

#[test]
fn a_refund_goes_back_to_the_same_lots_the_last_one_first_and_goes_on_where_the_last_ended() {
    let mut trial = Trial::new();
    let (first, second) = (trial.credit(4, until(2_000)), trial.credit(4, until(3_000)));
    let third = trial.credit(4, PLAIN);
    let line = trial.debit(10);
    assert_eq!(moved(&line), [(first, 4), (second, 4), (third, 2)]);

    let mut original = trial.original(&line);
    let mut back = |amount, refunded| {
        original.refunded = refunded;
        moved(&trial.refund(&original, amount, Expired::Restore))
    };

    assert_eq!(back(Some(3), 0), [(third, 2), (second, 1)]);
    assert_eq!(back(Some(1), 3), [(second, 1)]);
    assert_eq!(back(None, 4), [(second, 2), (first, 4)]);
    // Those of which nothing was left have come anew.
    let mut lots = trial.remaining();
    lots.sort_by_key(|(lot, _)| [first, second, third].iter().position(|one| one == lot));
    assert_eq!(lots, [(first, 4), (second, 4), (third, 4)]);
}

#[test]
fn all_refunds_of_an_entry_together_are_no_more_than_it() {
    let mut trial = Trial::new();
    trial.credit(10, PLAIN);
    let line = trial.debit(6);
    let mut original = trial.original(&line);

    assert_eq!(
        trial.refuses(&refund(&original, Some(7), Expired::Restore)),
        Refusal::ExceedsRefundable { left: 6 }
    );
    original.refunded = 5;
    assert_eq!(
        trial.refuses(&refund(&original, Some(2), Expired::Restore)),
        Refusal::ExceedsRefundable { left: 1 }
    );
    original.refunded = 6;
    assert_eq!(
        trial.refuses(&refund(&original, None, Expired::Restore)),
        Refusal::ExceedsRefundable { left: 0 }
    );
}

/// Ten credits that ended at 2000, of which seven were taken at 1400, and five that never end.
fn spent_and_expired() -> (Trial, Original) {
    let mut trial = Trial::new();
    trial.at(1_400).credit(7, until(2_000));
    trial.credit(5, PLAIN);
    let line = trial.debit(9);
    let original = trial.original(&line);
    trial.at(2_500);
    (trial, original)
}

#[test]
fn credits_whose_lot_has_expired_are_restored_with_as_much_time_as_they_had_left() {
    let (mut trial, original) = spent_and_expired();

    let line = trial.refund(&original, None, Expired::Restore);

    assert_eq!((line.amount, line.balance_change), (9, 9));
    assert_eq!(trial.ends(), [None, Some(3_100)]);
    assert_ne!(line.slices[1].lot, original.slices[0].lot, "it is another lot");
}

#[test]
fn credits_whose_lot_has_expired_are_forfeited_and_count_as_refunded() {
    let (mut trial, mut original) = spent_and_expired();

    let line = trial.refund(&original, None, Expired::Forfeit);
    original.refunded = line.amount;

    assert_eq!((line.amount, line.balance_change, trial.ends()), (9, 2, vec![None]));
    let again = trial.refuses(&refund(&original, Some(1), Expired::Restore));
    assert_eq!(again, Refusal::ExceedsRefundable { left: 0 });
    original.refunded = 2;
    let line = trial.refund(&original, None, Expired::Forfeit);
    assert_eq!((line.amount, line.balance_change, line.slices.len()), (7, 0, 0), "none is left");
}

#[test]
fn credits_whose_lot_has_expired_are_extended_and_the_others_are_not() {
    let (mut trial, original) = spent_and_expired();

    trial.refund(&original, None, Expired::Extend(at(2_600)));

    assert_eq!(trial.ends(), [None, Some(2_600)]);
}

#[test]
fn a_lot_has_expired_for_a_refund_at_the_instant_of_its_end() {
    let (mut trial, original) = spent_and_expired();

    let before = trial.at(1_999).tries(&refund(&original, None, Expired::Forfeit)).expect("done");
    let then = trial.at(2_000).tries(&refund(&original, None, Expired::Forfeit)).expect("done");

    assert_eq!((before.main().balance_change, then.main().balance_change), (9, 2));
}

#[test]
fn the_time_that_a_captured_credit_had_left_is_that_when_it_was_set_aside() {
    let mut trial = Trial::new();
    trial.credit(5, until(2_000));
    let hold = trial.at(1_400).hold(5, 9_000);
    let captured = trial.at(3_000).does(&capture(hold, None)).main().clone();
    let original = trial.original(&captured);

    trial.at(4_000).refund(&original, None, Expired::Restore);

    assert_eq!(trial.ends(), [Some(4_600)]);
}

#[test]
fn credits_never_come_back_to_an_expired_lot_that_a_hold_still_pins() {
    let mut trial = Trial::new();
    let lot = trial.credit(10, until(2_000));
    let line = trial.debit(4);
    let hold = trial.hold(6, 9_000);
    let original = trial.original(&line);

    let line = trial.at(3_000).refund(&original, None, Expired::Restore);
    let captured = trial.does(&capture(hold, None));

    assert_ne!(line.slices[0].lot, lot);
    assert_eq!(moved(captured.main()), [(lot, 6)]);
    assert_eq!((trial.wallet.balance, trial.ends()), (4, vec![Some(4_000)]));
}

#[test]
fn a_transfer_keeps_what_the_credits_are_and_alike_ones_arrive_together() {
    let (mut payer, mut payee) = (Trial::new(), Trial::new());
    payer.credit(3, Nature { category: Category::Paid, priority: 7, ..until(2_000) });
    payer.credit(3, Nature { category: Category::Paid, priority: 7, ..until(2_000) });
    payer.credit(3, PLAIN);

    let sent = payer.does(&send(8)).main().clone();
    let received = payee.does(&receive(sent.slices.clone())).main().clone();

    assert_eq!((sent.kind, sent.balance_change), (LineKind::TransferOut, -8));
    assert_eq!((received.kind, received.balance_change), (LineKind::TransferIn, 8));
    assert_eq!(sent.slices.len(), 3);
    let natures: Vec<_> = payee.wallet.lots.iter().map(|l| (l.remaining, l.nature())).collect();
    let paid = Nature { category: Category::Paid, priority: 7, ..until(2_000) };
    assert_eq!(natures, [(6, paid), (2, PLAIN)]);
    assert_eq!(payee.at(2_000).refuses(&debit(8)), Refusal::Insufficient { short_by: 6 });
}

#[test]
fn a_clock_that_is_slow_does_not_bring_back_what_has_ended() {
    let chance = Chance::from_seed(1);
    let mut trial = Trial::new();
    trial.credit(5, until(2_000));
    let hold = trial.hold(1, 1_990);
    let mut holder = Holder {
        id: UserId::new(&chance, at(0)),
        status: UserStatus::Active,
        account_number: AccountNumber::random(&chance),
        modules: Held { wallet: empty() },
        revision: 1,
        revised_at: at(2_000),
    };

    // The request says 1500, but somebody was here at 2000.
    let moment = holder.moment(at(1_500)).timestamp_millis();
    assert_eq!(trial.at(moment).refuses(&debit(1)), Refusal::Insufficient { short_by: 1 });
    assert_eq!(trial.refuses(&capture(hold, None)), Refusal::HoldExpired);

    holder.revised_at = at(1_200);
    let moment = holder.moment(at(1_500)).timestamp_millis();
    assert!(trial.at(moment).tries(&debit(1)).is_ok());
}
