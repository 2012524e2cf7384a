//! How much of its limits one caller has used, in fixed UTC windows. Pure: what the nodes take from
//! the common stock, and what they got, are values.
//!
//! Tokens are taken from the stock in slices and spent here, so that most requests ask nobody. A
//! token that was taken and not spent dies with its window: together the nodes never spend more than
//! the limit, and may spend a little less.

use super::limits::RateLimits;
use crate::kernel::quota::{Allowance, Quota};
use crate::kernel::time::{SECOND_MS, Timestamp};

const MINUTE_SECONDS: i64 = 60;
const HOUR_SECONDS: i64 = 3600;
const MINUTES: i64 = HOUR_SECONDS / MINUTE_SECONDS;
/// The smallest slice, and how many slices a large limit has.
const SLICE_MIN: i64 = 8;
const SLICES: i64 = 32;

/// One caller's windows on this node.
#[derive(Debug, Default)]
pub struct Meter {
    /// Since 1970, in UTC; it never runs back.
    minute: i64,
    of_minute: Window,
    of_hour: Window,
}

#[derive(Debug, Default)]
struct Window {
    limit: i64,
    /// Taken from the stock and not spent yet.
    tokens: i64,
    /// Taken by all nodes when this one looked last, or before it was alone.
    taken: i64,
    /// Spent here.
    spent: i64,
    /// Spent before the stock was asked, or while it was out of reach. Negative: to be given back.
    owed: i64,
    /// The stock was asked in this window.
    asked: bool,
    /// The stock was empty.
    closed: bool,
}

/// What a node asks of the stock: how many tokens of each window, and how many it gives back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    pub minute: i64,
    pub of_minute: Slice,
    pub of_hour: Slice,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Slice {
    pub limit: i64,
    pub wanted: i64,
    /// Negative: what is owed.
    pub returned: i64,
}

/// What may be spent of the windows before the stock is asked: nothing, unless this node is alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unasked {
    pub of_minute: i64,
    pub of_hour: i64,
    /// What is known to be taken of the hour, by whoever was there before.
    pub taken_of_hour: i64,
}

/// What it got, and how much all have taken now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Got {
    pub tokens: i64,
    pub taken: i64,
}

impl Slice {
    /// What the stock answers when `taken` were taken before. The database computes the same.
    pub fn of(self, taken: i64) -> Got {
        let taken = (taken - self.returned).max(0);
        let tokens = self.wanted.min(self.limit - taken).max(0);
        Got { tokens, taken: taken + tokens }
    }
}

/// Whether a request may be made.
#[derive(Debug, PartialEq, Eq)]
pub enum Say {
    Yes,
    /// Not before the stock was asked.
    Ask(Order),
    No,
}

impl Meter {
    /// Spends nothing; a moment before the last one counts as the last one.
    pub fn ask(&mut self, limits: RateLimits, now: Timestamp, unasked: Unasked) -> Say {
        self.roll(now);
        if !self.of_hour.asked && unasked.of_hour > 0 {
            self.of_hour.taken = unasked.taken_of_hour;
        }
        self.of_minute.limited_to(limits.requests_per_minute);
        self.of_hour.limited_to(limits.requests_per_hour);
        if self.of_minute.closed || self.of_hour.closed {
            return Say::No;
        }
        let of_minute = self.of_minute.slice(1);
        // Enough for the whole slice of the minute, so that the two are asked for together.
        let of_hour = self.of_hour.slice(1.max(of_minute.wanted));
        let is_enough = |window: &Window, unasked: i64| {
            let of_the_stock = window.tokens > 0 && window.owed == 0;
            let left = window.limit.saturating_sub(window.taken);
            of_the_stock || (!window.asked && window.spent < unasked.min(left))
        };
        let is_enough = is_enough(&self.of_minute, unasked.of_minute)
            && is_enough(&self.of_hour, unasked.of_hour);
        if is_enough {
            return Say::Yes;
        }
        Say::Ask(Order { minute: self.minute, of_minute, of_hour })
    }

    /// Only after every meter of a request has said yes: all or nothing.
    pub fn spend(&mut self) {
        for window in [&mut self.of_minute, &mut self.of_hour] {
            window.spend();
        }
    }

    /// What is to be written down of the minute and of the hour, and is not owed any more.
    pub fn settle(&mut self) -> Option<(i64, i64, i64)> {
        let owed = |window: &mut Window| std::mem::take(&mut window.owed);
        let debts = (self.minute, owed(&mut self.of_minute), owed(&mut self.of_hour));
        (debts.1 != 0 || debts.2 != 0).then_some(debts)
    }

    /// What could not be written down after all.
    pub fn owe(&mut self, minute: i64, of_minute: i64, of_hour: i64) {
        if minute == self.minute {
            self.of_minute.owed += of_minute;
        }
        if minute / MINUTES == self.minute / MINUTES {
            self.of_hour.owed += of_hour;
        }
    }

    pub fn receive(&mut self, order: Order, of_minute: Got, of_hour: Got) {
        if order.minute == self.minute {
            self.of_minute.receive(order.of_minute, of_minute);
        }
        if order.minute / MINUTES == self.minute / MINUTES {
            self.of_hour.receive(order.of_hour, of_hour);
        }
    }

    /// The stock is out of reach: this node has its share of the limit, on credit. Whether a
    /// request may be made on it.
    pub fn on_credit(&mut self, nodes: i64) -> bool {
        let windows = [&mut self.of_minute, &mut self.of_hour];
        let share = |window: &Window| (window.limit / nodes.max(1)).max(1);
        if windows.iter().any(|window| window.tokens <= 0 && window.spent >= share(window)) {
            return false;
        }
        windows.into_iter().for_each(Window::spend);
        true
    }

    /// What is left, for the caller to know.
    pub fn quota(&self, now: Timestamp) -> Quota {
        let seconds = now.timestamp_millis().div_euclid(SECOND_MS);
        let allowance = |name, window: &Window, window_seconds: i64| Allowance {
            name,
            limit: window.limit,
            window_seconds,
            remaining: window
                .limit
                .saturating_sub(window.taken)
                .saturating_add(window.tokens - window.owed)
                .clamp(0, window.limit),
            resets_in_seconds: window_seconds - seconds.rem_euclid(window_seconds),
        };
        let minute = allowance("minute", &self.of_minute, MINUTE_SECONDS);
        Quota { windows: [minute, allowance("hour", &self.of_hour, HOUR_SECONDS)] }
    }

    /// Whether it is the hour that refuses.
    pub fn is_hour_over(&self) -> bool {
        self.of_hour.closed
    }

    /// How long until what has refused is over.
    pub fn wait_seconds(&self, now: Timestamp) -> i64 {
        let [minute, hour] = self.quota(now).windows;
        if self.of_hour.closed { hour.resets_in_seconds } else { minute.resets_in_seconds }
    }

    fn roll(&mut self, now: Timestamp) {
        let minute = now.timestamp_millis().div_euclid(MINUTE_SECONDS * SECOND_MS);
        if minute <= self.minute {
            return;
        }
        self.of_minute = Window::default();
        if minute / MINUTES != self.minute / MINUTES {
            self.of_hour = Window::default();
        }
        self.minute = minute;
    }
}

impl Window {
    fn spend(&mut self) {
        if self.tokens > 0 {
            self.tokens -= 1;
        } else {
            self.owed += 1;
        }
        self.spent += 1;
    }

    /// Another limit counts from now on; what was taken under the old one goes back.
    fn limited_to(&mut self, limit: i64) {
        if self.limit != limit {
            self.closed = false;
            self.limit = limit;
            self.owed -= std::mem::take(&mut self.tokens);
        }
    }

    fn slice(&self, at_least: i64) -> Slice {
        let size = SLICE_MIN.max(self.limit / SLICES);
        let wanted = if self.tokens < at_least { size } else { 0 };
        Slice { limit: self.limit, wanted, returned: -self.owed }
    }

    fn receive(&mut self, slice: Slice, got: Got) {
        self.tokens += got.tokens;
        self.taken = got.taken;
        self.asked = true;
        self.owed += slice.returned;
        self.closed = slice.limit == self.limit && slice.wanted > 0 && self.tokens == 0;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use proptest::prelude::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * SECOND_MS)
    }

    fn limits(minute: i64, hour: i64) -> RateLimits {
        RateLimits { requests_per_minute: minute, requests_per_hour: hour }
    }

    /// What all nodes have taken, as the database keeps it.
    #[derive(Default)]
    struct Stock {
        minutes: HashMap<i64, i64>,
        hours: HashMap<i64, i64>,
        asked: usize,
    }

    impl Stock {
        fn give(&mut self, order: Order) -> (Got, Got) {
            self.asked += 1;
            let minute = self.minutes.entry(order.minute).or_default();
            let hour = self.hours.entry(order.minute / MINUTES).or_default();
            let got = (order.of_minute.of(*minute), order.of_hour.of(*hour));
            (*minute, *hour) = (got.0.taken, got.1.taken);
            got
        }
    }

    fn admits(meter: &mut Meter, stock: &mut Stock, limits: RateLimits, now: Timestamp) -> bool {
        admits_alone(meter, stock, limits, now, Unasked::default())
    }

    fn admits_alone(
        meter: &mut Meter,
        stock: &mut Stock,
        limits: RateLimits,
        now: Timestamp,
        unasked: Unasked,
    ) -> bool {
        for _ in 0..3 {
            match meter.ask(limits, now, unasked) {
                Say::Yes => {
                    meter.spend();
                    return true;
                }
                Say::No => return false,
                Say::Ask(order) => {
                    let (of_minute, of_hour) = stock.give(order);
                    meter.receive(order, of_minute, of_hour);
                }
            }
        }
        panic!("a meter asks without end");
    }

    #[test]
    fn seven_of_eight_requests_ask_nobody() {
        let (mut meter, mut stock) = (Meter::default(), Stock::default());
        for _ in 0..800 {
            assert!(admits(&mut meter, &mut stock, limits(1000, 10_000), at(0)));
        }
        assert!(stock.asked <= 100, "{}", stock.asked);
        let (mut meter, mut stock) = (Meter::default(), Stock::default());
        let admitted =
            (0..300).filter(|_| admits(&mut meter, &mut stock, limits(100, 1000), at(0)));
        assert_eq!((admitted.count(), stock.asked <= 14), (100, true));
    }

    #[test]
    fn a_lowered_limit_counts_what_was_spent_and_not_what_was_only_taken() {
        let (mut meter, mut stock) = (Meter::default(), Stock::default());
        for _ in 0..9 {
            assert!(admits(&mut meter, &mut stock, limits(100, 1000), at(0)));
        }
        assert!(admits(&mut meter, &mut stock, limits(10, 1000), at(0)));
        assert!(!admits(&mut meter, &mut stock, limits(10, 1000), at(0)));
        assert!(admits(&mut meter, &mut stock, limits(11, 1000), at(0)), "and may be raised again");
    }

    #[test]
    fn what_is_left_is_said() {
        let (mut meter, mut stock) = (Meter::default(), Stock::default());
        admits(&mut meter, &mut stock, limits(100, 1000), at(42));
        let [minute, hour] = meter.quota(at(42)).windows;
        assert_eq!((minute.remaining, minute.resets_in_seconds), (99, 18));
        assert_eq!((hour.remaining, hour.resets_in_seconds), (999, 3558));
    }

    #[test]
    fn what_was_taken_before_this_node_was_alone_stays_known_when_it_is_not_sure_of_that_any_more()
    {
        let mut meter = Meter::default();
        let alone = Unasked { of_minute: 7, of_hour: 7, taken_of_hour: 40 };
        assert_eq!(meter.ask(limits(10, 50), at(0), alone), Say::Yes);
        meter.spend();
        assert!(matches!(meter.ask(limits(10, 50), at(0), Unasked::default()), Say::Ask(_)));
        assert!(meter.on_credit(1));
        assert_eq!(meter.quota(at(0)).windows[1].remaining, 8);
    }

    #[test]
    fn out_of_reach_of_the_stock_a_node_has_its_share_and_owes_it() {
        let (mut meter, mut stock) = (Meter::default(), Stock::default());
        assert!(matches!(meter.ask(limits(10, 100), at(0), Unasked::default()), Say::Ask(_)));
        let admitted = (0..10).filter(|_| meter.on_credit(2)).count();
        assert_eq!(admitted, 5);
        let later = (0..10).filter(|_| admits(&mut meter, &mut stock, limits(10, 100), at(0)));
        assert_eq!(later.count(), 5, "what was spent on credit is not spent again");
    }

    fn unasked(most: i64) -> Unasked {
        Unasked { of_minute: most, of_hour: most, taken_of_hour: 0 }
    }

    #[test]
    fn whoever_is_alone_asks_with_the_eighth_request_and_settles_before_others_come() {
        let (mut meter, mut stock) = (Meter::default(), Stock::default());
        for _ in 0..7 {
            assert!(admits_alone(&mut meter, &mut stock, limits(10, 100), at(0), unasked(7)));
        }
        assert_eq!(stock.asked, 0);
        assert_eq!(meter.quota(at(0)).windows[0].remaining, 3);

        let (minute, of_minute, of_hour) = meter.settle().expect("debts");
        assert_eq!((of_minute, of_hour), (7, 7));
        stock.minutes.insert(minute, of_minute);
        stock.hours.insert(minute / MINUTES, of_hour);
        assert_eq!(meter.settle(), None);
        let mut other = Meter::default();
        let admitted = (0..10).filter(|_| admits(&mut other, &mut stock, limits(10, 100), at(0)));
        assert_eq!(admitted.count(), 3);
        assert!(!admits(&mut meter, &mut stock, limits(10, 100), at(0)));
    }

    proptest! {
        /// The oracle is the naive counter: one number for each window, and a request is admitted
        /// while both are below their limits.
        #[test]
        fn one_node_admits_exactly_what_a_naive_counter_admits(
            steps in prop::collection::vec((0..40_i64, 1..30_i64, 1..60_i64), 1..200),
            most in 0..9_i64,
            before in (0..25_i64, 0..40_i64),
        ) {
            let (mut meter, mut stock) = (Meter::default(), Stock::default());
            // Who was there before has taken something of the first minute, and of the first hour.
            let before = (before.0, before.0 + before.1);
            stock.minutes.insert(0, before.0);
            stock.hours.insert(0, before.1);
            let mut minutes = HashMap::from([(0, before.0)]);
            let mut hours = HashMap::from([(0, before.1)]);
            let (mut now, mut limit) = (0, limits(20, 100));
            for (step, minute, hour) in steps {
                now += step;
                if step % 7 == 0 {
                    limit = limits(minute, hour);
                }
                let in_minute = minutes.entry(now / 60).or_insert(0);
                let in_hour = hours.entry(now / 3600).or_insert(0);
                let naive = *in_minute < limit.requests_per_minute && *in_hour < limit.requests_per_hour;
                if naive {
                    *in_minute += 1;
                    *in_hour += 1;
                }
                let of_minute = if now < 60 { 0 } else { most };
                let taken_of_hour = if now < 3600 { before.1 } else { 0 };
                let unasked = Unasked { of_minute, of_hour: most, taken_of_hour };
                let admitted = admits_alone(&mut meter, &mut stock, limit, at(now), unasked);
                prop_assert_eq!(admitted, naive);
            }
        }

        #[test]
        fn together_the_nodes_never_admit_more_than_the_limit(
            requests in prop::collection::vec((0..4_usize, 0..3_i64), 1..600),
            minute in 1..80_i64, hour in 1..200_i64,
        ) {
            let mut nodes: Vec<Meter> = (0..4).map(|_| Meter::default()).collect();
            let (mut stock, mut now) = (Stock::default(), 0);
            let (mut minutes, mut hours) = (HashMap::new(), HashMap::new());
            for (node, step) in requests {
                now += step;
                if admits(&mut nodes[node], &mut stock, limits(minute, hour), at(now)) {
                    *minutes.entry(now / 60).or_insert(0) += 1;
                    *hours.entry(now / 3600).or_insert(0) += 1;
                }
            }
            prop_assert!(minutes.values().all(|count| *count <= minute));
            prop_assert!(hours.values().all(|count| *count <= hour));
        }
    }
}
