//! What was measured, as a table, and whether it is what must be reached.

use std::fmt::Write as _;
use std::time::Duration;

use super::slice::Done;
use super::{Cell, Scale, Side, Spread};
use crate::app::bench::median;

/// What one side did in one round, and what each debit cost.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    pub done: Done,
    /// Processor time of the database, where it runs on this machine.
    pub mongod: Option<Duration>,
    /// Of Purser over HTTP; else of the bench, with its clients in it.
    pub own: Duration,
}

/// By cell and side, round by round.
#[derive(Default)]
pub struct Results(Vec<(Cell, Side, Vec<Measured>)>);

/// One side's rate over another's, with 64 clients.
struct Wanted {
    spread: Spread,
    over: Side,
    under: Side,
    at_least: f64,
}

const WANTED_CLIENTS: usize = 64;
const WANTED: [Wanted; 5] = [
    Wanted { spread: Spread::All, over: Side::Http, under: Side::Naive, at_least: 2.5 },
    Wanted { spread: Spread::Hot, over: Side::Http, under: Side::Naive, at_least: 80.0 },
    Wanted { spread: Spread::Hot, over: Side::Http, under: Side::Mutex, at_least: 6.0 },
    Wanted { spread: Spread::All, over: Side::Http, under: Side::WritePath, at_least: 0.6 },
    Wanted { spread: Spread::Hot, over: Side::Http, under: Side::WritePath, at_least: 0.6 },
];

impl Results {
    pub fn add(&mut self, cell: Cell, side: Side, measured: Measured) {
        match self.0.iter_mut().find(|(c, s, _)| (*c, *s) == (cell, side)) {
            Some((_, _, rounds)) => rounds.push(measured),
            None => self.0.push((cell, side, vec![measured])),
        }
    }

    fn rounds(&self, cell: Cell, side: Side) -> &[Measured] {
        let found = self.0.iter().find(|(c, s, _)| (*c, *s) == (cell, side));
        found.map_or(&[], |(_, _, rounds)| rounds)
    }

    /// The median of the rounds, where it was measured.
    pub fn per_second(&self, cell: Cell, side: Side) -> Option<f64> {
        let rounds = self.rounds(cell, side);
        let rates = rounds.iter().map(|round| round.done.per_second).collect();
        (!rounds.is_empty()).then(|| median(rates))
    }

    /// Markdown.
    pub fn table(&self, scale: &Scale) -> String {
        let mut table = format!(
            "{} people, {} s each, medians of {} rounds; µs are processor time for each debit\n\n\
            | users | clients | side | debits/s | p50 ms | p99 ms | mongod µs | process µs |\n\
            |---|---:|---|---:|---:|---:|---:|---:|\n",
            scale.users, scale.seconds, scale.rounds
        );
        for cell in scale.cells() {
            for side in Side::ALL {
                let rounds = self.rounds(cell, side);
                if !rounds.is_empty() {
                    let (spread, clients) = (cell.spread.name(), cell.clients);
                    let row = row(rounds);
                    let _ = writeln!(table, "| {spread} | {clients} | {} | {row} |", side.name());
                }
            }
        }
        table
    }

    /// A line for each ratio that must be reached; an error where one is not.
    pub fn verdict(&self) -> Result<(), String> {
        let mut reached = true;
        for wanted in WANTED {
            let Wanted { spread, over, under, at_least } = wanted;
            let what = format!("{}, {WANTED_CLIENTS} clients", spread.name());
            let sides = format!("{} / {}", over.name(), under.name());
            let Some(ratio) = self.ratio(&wanted) else {
                println!("{what}: {sides} was not measured");
                continue;
            };
            let verdict = if ratio >= at_least { "reached" } else { "MISSED" };
            println!("{what}: {sides} {ratio:.2} (wanted {at_least}): {verdict}");
            reached &= ratio >= at_least;
        }
        if reached { Ok(()) } else { Err("not all of the ratios were reached".to_owned()) }
    }

    /// The median of the rounds' ratios.
    fn ratio(&self, wanted: &Wanted) -> Option<f64> {
        let cell = Cell { spread: wanted.spread, clients: WANTED_CLIENTS };
        let (over, under) = (self.rounds(cell, wanted.over), self.rounds(cell, wanted.under));
        let pairs = over.iter().zip(under);
        let ratios: Vec<f64> =
            pairs.map(|(over, under)| over.done.per_second / under.done.per_second).collect();
        (!ratios.is_empty()).then(|| median(ratios))
    }
}

fn row(rounds: &[Measured]) -> String {
    let of = |figure: &dyn Fn(&Measured) -> f64| median(rounds.iter().map(figure).collect());
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let mongod = if rounds.iter().all(|round| round.mongod.is_some()) {
        format!("{:.0}", of(&|round| ms(round.mongod.unwrap_or_default()) * 1e3))
    } else {
        "–".to_owned()
    };
    format!(
        "{:.0} | {:.1} | {:.1} | {mongod} | {:.0}",
        of(&|round| round.done.per_second),
        of(&|round| ms(round.done.p50)),
        of(&|round| ms(round.done.p99)),
        of(&|round| ms(round.own) * 1e3),
    )
}

impl std::fmt::Display for Measured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Done { per_second, p50, p99, .. } = self.done;
        let (p50, p99) = (p50.as_secs_f64() * 1e3, p99.as_secs_f64() * 1e3);
        write!(f, "{per_second:.0}/s, p50 {p50:.1} ms, p99 {p99:.1} ms")
    }
}
