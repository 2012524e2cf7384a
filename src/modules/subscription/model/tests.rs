//! The rules of subscriptions: by example, and against an oracle that knows only which times were paid
//! for and what the wallet holds.

use std::collections::BTreeMap;

use bson::oid::ObjectId;
use chrono::{DateTime, Datelike, TimeZone as _, Timelike, Utc};
use chrono_tz::Tz;
use proptest::prelude::*;

use super::calendar::{Cycle, Unit, Zone};
use super::prorate::prorate;
use super::{Contract, GRACE_MS, Period, RETRIES_MS, Refusal, Status, Terms, Turn};
use crate::kernel::ids::{LedgerId, Name};
use crate::kernel::time::{self, DAY_MS, Timestamp, parse_rfc3339, rfc3339};

fn at(text: &str) -> Timestamp {
    parse_rfc3339(text).expect("a time")
}

fn terms(plan: &str, price: i64, unit: Unit, count: i64) -> Terms {
    Terms {
        plan: Name::parse(plan).expect("a name"),
        price,
        period: Cycle { unit, count },
        credits: 0,
        credits_days: None,
        features: vec![format!("of_{plan}")],
    }
}

fn begun(terms: Terms, from: &str, zone: &str) -> Contract {
    Contract::begin(ObjectId::from_bytes([1; 12]), terms, 0, at(from), Zone::of(Some(zone)))
}

fn ends(terms: &Terms, from: &str, zone: &str, periods: usize) -> Vec<String> {
    let zone_name = zone;
    let mut contract = begun(terms.clone(), from, zone_name);
    let mut ends = vec![rfc3339(contract.period.end)];
    while ends.len() < periods {
        let Turn::Bill(bill) = contract.turn(contract.period.end, Zone::of(Some(zone_name))) else {
            panic!("a bill at the end of a period")
        };
        contract = bill.paid;
        ends.push(rfc3339(contract.period.end));
    }
    ends
}

#[test]
fn a_month_that_lacks_the_day_ends_on_its_last_one_and_the_next_has_it_again() {
    let monthly = terms("monthly", 10, Unit::Month, 1);
    let seen = ends(&monthly, "2026-01-31T09:30:00Z", "UTC", 4);
    let days: Vec<_> = seen.iter().map(|end| &end[..16]).collect();
    assert_eq!(
        days,
        ["2026-02-28T09:30", "2026-03-31T09:30", "2026-04-30T09:30", "2026-05-31T09:30"]
    );
    let yearly = terms("yearly", 10, Unit::Year, 1);
    let seen = ends(&yearly, "2024-02-29T00:00:00Z", "UTC", 5);
    let days: Vec<_> = seen.iter().map(|end| &end[..10]).collect();
    assert_eq!(days, ["2025-02-28", "2026-02-28", "2027-02-28", "2028-02-29", "2029-02-28"]);
}

#[test]
fn a_period_ends_at_the_same_hour_of_the_persons_own_clock() {
    let monthly = terms("monthly", 10, Unit::Month, 1);
    // 09:00 in Berlin is 08:00 UTC in winter and 07:00 in summer.
    let seen = ends(&monthly, "2026-02-15T08:00:00Z", "Europe/Berlin", 3);
    assert_eq!(
        seen,
        ["2026-03-15T08:00:00.000Z", "2026-04-15T07:00:00.000Z", "2026-05-15T07:00:00.000Z"]
    );
    // Clocks jump over 02:30 on 29 March: the first moment that they show after it.
    let daily = terms("daily", 1, Unit::Day, 1);
    let seen = ends(&daily, "2026-03-28T01:30:00Z", "Europe/Berlin", 2);
    assert_eq!(seen, ["2026-03-29T01:00:00.000Z", "2026-03-30T00:30:00.000Z"]);
}

#[test]
fn what_is_not_paid_is_tried_again_four_times_and_over_after_the_grace() {
    let contract = begun(terms("daily", 5, Unit::Day, 1), "2026-01-01T00:00:00Z", "UTC");
    let (end, zone) = (contract.period.end, Zone::of(None));
    let mut owing = contract.clone();
    let mut tried = Vec::new();
    while let Some(due) = owing.due_at() {
        match owing.turn(due, zone) {
            Turn::Bill(bill) => {
                tried.push(due.timestamp_millis() - end.timestamp_millis());
                owing = bill.unpaid.expect("it was due");
            }
            Turn::Ends(ended) => owing = *ended,
            Turn::Nothing => panic!("something is due when it is due"),
        }
    }
    assert_eq!(tried, [0].into_iter().chain(RETRIES_MS).collect::<Vec<_>>());
    assert_eq!((owing.status, owing.entitled_until()), (Status::Expired, None));
    // Between two attempts it can be paid, and an attempt that fails then is not counted.
    let Turn::Bill(bill) = contract.turn(end, zone) else { panic!("a bill") };
    let owing = bill.unpaid.expect("it was due");
    let Turn::Bill(between) = owing.turn(time::plus(end, 1), zone) else { panic!("a bill") };
    assert_eq!((between.amount, between.unpaid), (5, None));
    assert_eq!(between.paid.period.start, end, "billed as of its beginning");
}

#[test]
fn a_trial_costs_nothing_and_the_first_period_begins_at_its_end() {
    let id = ObjectId::from_bytes([2; 12]);
    let zone = Zone::of(Some("America/New_York"));
    let plan = terms("monthly", 10, Unit::Month, 1);
    let contract = Contract::begin(id, plan, 14, at("2026-01-17T12:00:00Z"), zone);
    assert_eq!((contract.status, contract.seq), (Status::Trialing, 0));
    assert_eq!(rfc3339(contract.period.end), "2026-01-31T12:00:00.000Z");
    let Turn::Bill(bill) = contract.turn(contract.period.end, zone) else { panic!("a bill") };
    assert_eq!((bill.amount, bill.paid.seq, bill.paid.status), (10, 1, Status::Active));
    assert_eq!(rfc3339(bill.paid.period.end), "2026-02-28T12:00:00.000Z");
    assert_eq!(bill.paid.reference(), "sub:020202020202020202020202:1");
}

#[test]
fn a_canceled_one_ends_with_its_period_and_can_be_resumed_until_then() {
    let contract = begun(terms("daily", 5, Unit::Day, 1), "2026-01-01T00:00:00Z", "UTC");
    let canceled = contract.cancel().expect("it runs");
    let end = contract.period.end;
    assert!(canceled.is_entitled(time::plus(end, -1)));
    assert!(!canceled.is_entitled(end), "no grace for what was canceled");
    assert!(matches!(canceled.turn(end, Zone::of(None)), Turn::Ends(_)));
    assert_eq!(canceled.resume(), Ok(contract));
}

#[test]
fn a_change_gives_back_what_is_unused_and_takes_what_is_left() {
    let zone = Zone::of(None);
    let charge = Some(LedgerId(ObjectId::from_bytes([9; 12])));
    let contract = begun(terms("basic", 100, Unit::Day, 10), "2026-01-01T00:00:00Z", "UTC");
    let contract = Contract { charge, ..contract };
    let middle = at("2026-01-04T00:00:00Z");
    let dearer = contract.change_now(terms("premium", 333, Unit::Day, 10), middle, zone);
    let dearer = dearer.expect("it runs");
    assert_eq!((dearer.refund, dearer.charge), (70, 234));
    assert_eq!(dearer.after.period, contract.period);
    let yearly = contract.change_now(terms("yearly", 900, Unit::Year, 1), middle, zone);
    let yearly = yearly.expect("it runs");
    assert_eq!((yearly.refund, yearly.charge, yearly.after.seq), (70, 900, 2));
    assert_eq!(yearly.after.period.start, middle);
    let granted = Contract { granted: true, ..contract.clone() };
    let cheaper = granted.change_now(terms("free", 0, Unit::Day, 10), middle, zone);
    assert_eq!(cheaper, Err(Refusal::KeepsCredits));
    let same = contract.change_now(terms("basic", 100, Unit::Day, 10), middle, zone);
    assert_eq!(same, Err(Refusal::SamePlan));
}

fn numbered(number: u32) -> ObjectId {
    let mut id = [0; 12];
    id[..4].copy_from_slice(&number.to_be_bytes());
    ObjectId::from_bytes(id)
}

/// What the oracle calls the same day of a later month: found by counting days, not by the library.
fn naive_months_later(from: DateTime<Tz>, months: u32) -> (i32, u32, u32) {
    let whole = from.month0() + months;
    let (year, month) = (from.year() + i32::try_from(whole / 12).expect("small"), whole % 12 + 1);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    (year, month, from.day().min(days))
}

/// Something that happens after `wait_ms` (which may be negative: a clock that was set back).
#[derive(Debug, Clone)]
enum Event {
    Start {
        plan: usize,
        trial_days: i64,
    },
    Now {
        plan: usize,
    },
    Later {
        plan: usize,
    },
    Cancel,
    Resume,
    Credit {
        amount: i64,
    },
    /// The worker comes by, twice as after a crash.
    Work,
    /// The person moves.
    Move {
        zone: usize,
    },
    Ask,
}

const ZONES: [&str; 5] =
    ["UTC", "Europe/Berlin", "America/New_York", "Pacific/Kiritimati", "Pacific/Pago_Pago"];

fn plans() -> Vec<Terms> {
    let granting = Terms { credits: 3, ..terms("granting", 40, Unit::Month, 1) };
    vec![
        terms("free", 0, Unit::Month, 1),
        terms("daily", 7, Unit::Day, 1),
        terms("weekly", 45, Unit::Week, 1),
        terms("monthly", 101, Unit::Month, 1),
        terms("premium", 997, Unit::Month, 1),
        terms("yearly", 1200, Unit::Year, 1),
        granting,
    ]
}

fn events() -> impl Strategy<Value = Vec<(i64, Event)>> {
    let plan = 0..plans().len();
    let event = prop_oneof![
        2 => (plan.clone(), prop_oneof![Just(0), 1_i64..20])
            .prop_map(|(plan, trial_days)| Event::Start { plan, trial_days }),
        2 => plan.clone().prop_map(|plan| Event::Now { plan }),
        1 => plan.prop_map(|plan| Event::Later { plan }),
        1 => Just(Event::Cancel),
        1 => Just(Event::Resume),
        3 => (1_i64..1500).prop_map(|amount| Event::Credit { amount }),
        6 => Just(Event::Work),
        1 => (0..ZONES.len()).prop_map(|zone| Event::Move { zone }),
        3 => Just(Event::Ask),
    ];
    let wait = prop_oneof![
        4 => 0_i64..2 * DAY_MS,
        2 => 0_i64..10 * DAY_MS,
        // The worker was down for weeks.
        1 => 10 * DAY_MS..60 * DAY_MS,
        1 => -DAY_MS..0_i64,
    ];
    prop::collection::vec((wait, event), 1..60)
}

/// The person, the wallet, and what the oracle writes down.
struct World {
    now: Timestamp,
    /// The moment of the last decision: no later one is before it.
    last: Timestamp,
    zone: Zone,
    contract: Option<Contract>,
    wallet: i64,
    credited: i64,
    /// What was taken and put back, by reference: each is used once.
    taken: BTreeMap<String, i64>,
    returned: BTreeMap<String, i64>,
    /// What may still be refunded of each bill.
    refundable: BTreeMap<ObjectId, i64>,
    bills: u32,
    /// Times of the present contract that were paid for, or tried for nothing.
    paid: Vec<Period>,
}

impl World {
    fn new() -> Self {
        let now = at("2026-01-31T22:30:00Z");
        Self {
            now,
            last: now,
            zone: Zone::of(None),
            contract: None,
            wallet: 0,
            credited: 0,
            taken: BTreeMap::new(),
            returned: BTreeMap::new(),
            refundable: BTreeMap::new(),
            bills: 0,
            paid: Vec::new(),
        }
    }

    fn moment(&self) -> Timestamp {
        self.last.max(self.now)
    }

    /// As the purse does: what is there, or nothing.
    fn take(&mut self, amount: i64, reference: String) -> Result<Option<LedgerId>, ()> {
        if amount == 0 {
            return Ok(None);
        }
        if amount > self.wallet {
            return Err(());
        }
        self.wallet -= amount;
        assert_eq!(self.taken.insert(reference, amount), None, "billed twice");
        self.bills += 1;
        let id = numbered(self.bills);
        self.refundable.insert(id, amount);
        Ok(Some(LedgerId(id)))
    }

    fn put_back(&mut self, charge: LedgerId, amount: i64, reference: String) {
        if amount == 0 {
            return;
        }
        let left = self.refundable.get_mut(&charge.0).expect("a bill that was paid");
        assert!(amount <= *left, "more is refunded than was billed");
        *left -= amount;
        self.wallet += amount;
        assert_eq!(self.returned.insert(reference, amount), None, "refunded twice");
    }

    /// What is due is done first, as every operation and the worker do.
    fn settle(&mut self) {
        for _ in 0..9 {
            let Some(contract) = self.contract.clone() else { return };
            match contract.turn(self.moment(), self.zone) {
                Turn::Nothing => return,
                Turn::Ends(ended) => {
                    assert!(self.over(&contract), "it ends only when its time is over");
                    self.keep(*ended);
                    return;
                }
                Turn::Bill(bill) => {
                    let Ok(charge) = self.take(bill.amount, bill.paid.reference()) else {
                        if let Some(unpaid) = bill.unpaid {
                            self.keep(unpaid);
                        }
                        return;
                    };
                    let last = self.paid.last().expect("something came before");
                    assert_eq!(bill.paid.period.start, last.end, "no gap, no overlap");
                    assert!(bill.paid.period.end > last.end);
                    self.paid.push(bill.paid.period);
                    self.keep(Contract { charge, ..bill.paid });
                }
            }
        }
    }

    /// The grace is over, or it was canceled and its period is.
    fn over(&self, contract: &Contract) -> bool {
        let end = self.paid.last().expect("a period").end;
        let grace = if contract.status == Status::Canceled { 0 } else { GRACE_MS };
        self.moment() >= time::plus(end, grace)
    }

    fn keep(&mut self, contract: Contract) {
        self.last = self.moment();
        self.contract = Some(contract);
    }

    fn apply(&mut self, event: &Event) {
        let plans = plans();
        match event {
            Event::Credit { amount } => {
                self.wallet += amount;
                self.credited += amount;
            }
            Event::Move { zone } => self.zone = Zone::of(Some(ZONES[*zone])),
            Event::Ask => self.ask(),
            Event::Work => {
                self.settle();
                let before = (self.contract.clone(), self.wallet);
                self.settle();
                assert_eq!((self.contract.clone(), self.wallet), before, "once more does nothing");
            }
            Event::Start { plan, trial_days } => self.start(plans[*plan].clone(), *trial_days),
            Event::Now { plan } => self.change(plans[*plan].clone()),
            Event::Later { plan } => {
                self.settle();
                let later = self.contract.as_ref().map(|it| it.change_later(plans[*plan].clone()));
                if let Some(Ok(after)) = later {
                    self.keep(after);
                }
            }
            Event::Cancel => {
                self.settle();
                if let Some(Ok(after)) = self.contract.as_ref().map(Contract::cancel) {
                    self.keep(after);
                }
            }
            Event::Resume => {
                self.settle();
                if let Some(Ok(after)) = self.contract.as_ref().map(Contract::resume) {
                    self.keep(after);
                }
            }
        }
    }

    fn start(&mut self, terms: Terms, trial_days: i64) {
        self.settle();
        if self.contract.as_ref().is_some_and(|it| it.status != Status::Expired) {
            return;
        }
        self.bills += 1;
        let id = numbered(self.bills);
        let begun = Contract::begin(id, terms, trial_days, self.moment(), self.zone);
        let due = if begun.status == Status::Trialing { 0 } else { begun.terms.price };
        let Ok(charge) = self.take(due, begun.reference()) else { return };
        self.paid = vec![begun.period];
        self.keep(Contract { charge, ..begun });
    }

    fn change(&mut self, terms: Terms) {
        self.settle();
        let (moment, zone) = (self.moment(), self.zone);
        let Some(contract) = self.contract.clone() else { return };
        let Ok(switch) = contract.change_now(terms, moment, zone) else { return };
        let same = switch.after.seq == contract.seq;
        let reference =
            if same { switch.after.change_reference() } else { switch.after.reference() };
        if switch.charge > self.wallet + switch.refund {
            return;
        }
        if let Some(charge) = contract.charge {
            self.put_back(charge, switch.refund, reference.clone());
        }
        let charge = self.take(switch.charge, reference).expect("looked at before");
        let after = Contract { charge, ..switch.after };
        if !same {
            self.paid.last_mut().expect("a period").end = moment;
            self.paid.push(after.period);
        }
        self.keep(after);
    }

    /// Whoever is entitled has paid, tries, or is within the grace; whoever has paid is entitled.
    fn ask(&self) {
        let Some(contract) = &self.contract else { return };
        let moment = self.moment();
        let end = self.paid.last().expect("a period").end;
        let entitled = contract.is_entitled(moment);
        if entitled {
            assert!(moment < time::plus(end, GRACE_MS), "beyond the grace without pay");
        }
        if moment < end && contract.status != Status::Expired {
            assert!(entitled, "paid for and not entitled");
        }
        assert_eq!(contract.status_at(moment) == Status::Expired, !entitled);
    }

    fn check(&self) {
        let (taken, returned) =
            (self.taken.values().sum::<i64>(), self.returned.values().sum::<i64>());
        assert_eq!(self.wallet, self.credited - taken + returned, "credits are conserved");
        assert!(self.wallet >= 0 && returned <= taken);
        self.ask();
    }
}

proptest! {
    #[test]
    fn whatever_happens_nothing_is_billed_twice_and_nobody_uses_what_was_not_paid(events in events()) {
        let mut world = World::new();
        for (wait, event) in &events {
            world.now = time::plus(world.now, *wait);
            world.apply(event);
            world.check();
        }
    }

    #[test]
    fn proration_conserves_credits_to_the_unit(
        price in 0_i64..9_007_199_254_740_991,
        seconds in 1_i64..400_000_000,
        cuts in prop::collection::vec(0_i64..400_000_000_000, 1..8),
    ) {
        let start = at("2026-01-01T00:00:00Z");
        let period = Period { start, end: time::plus(start, seconds * 1000) };
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut % (seconds * 1000 + 1)).collect();
        cuts.sort_unstable();
        let mut last = price;
        let mut net = price;
        for cut in &cuts {
            let (refund, charge) = prorate(price, period, time::plus(start, *cut));
            prop_assert!(refund <= last, "never more than was taken");
            prop_assert!(charge - refund == 0 || charge - refund == 1);
            net += charge - refund;
            last = charge;
        }
        // Changing to the same price again and again costs at most a credit each time, and gives none.
        prop_assert!(net >= price && net - price <= i64::try_from(cuts.len()).expect("few"));
        prop_assert_eq!(prorate(price, period, period.end), (0, 0));
        prop_assert_eq!(prorate(price, period, period.start), (price, price));
    }

    #[test]
    fn months_end_where_counting_days_says(
        start in 1_600_000_000_i64..2_000_000_000, zone in 0..ZONES.len(), months in 1_u32..40,
    ) {
        let tz: Tz = ZONES[zone].parse().expect("a zone");
        let from = Utc.timestamp_opt(start, 0).single().expect("a time").with_timezone(&tz);
        let here = Zone::of(Some(ZONES[zone]));
        let civil = here.civil(Timestamp::from_millis(start * 1000));
        let later = civil.plus(Cycle { unit: Unit::Month, count: 1 }, i64::from(months));
        let moment = here.moment(later);
        let shown = Utc.timestamp_millis_opt(moment.timestamp_millis()).single().expect("a time");
        let shown = shown.with_timezone(&tz);
        prop_assert_eq!((shown.year(), shown.month(), shown.day()), naive_months_later(from, months));
        // The hour too, unless clocks jump over it.
        let jumped = shown.hour() != from.hour() || shown.minute() != from.minute();
        prop_assert!(!jumped || shown.minute() == 0);
    }
}
