//! A slice of time that one side has for its clients, and what they did in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Debits are numbered through all slices and sides, so that no Idempotency-Key comes twice; those that
/// were done are counted, so that the ledger can be checked in the end.
#[derive(Debug, Default)]
pub struct Numbers {
    next: AtomicUsize,
    done: AtomicUsize,
}

impl Numbers {
    pub fn done(&self) -> usize {
        self.done.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Clone)]
pub struct Slice {
    pub clients: usize,
    pub lasts: Duration,
    order: Order,
    /// How many people there are to choose from.
    pub among: usize,
    pub numbers: Arc<Numbers>,
    /// Debits in a second, of all clients together; else as fast as they go.
    pace: Option<f64>,
    begun: Instant,
    /// The number of its first debit.
    first: usize,
    until: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// One after the other: everybody is met soon.
    InTurn,
    /// As chance would have it, the same for all sides: two clients may meet at one person.
    Scattered,
}

/// One debit.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    pub number: usize,
    pub person: usize,
    /// After this no new attempt is begun.
    pub until: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Done,
    /// The time was over, and nothing was changed.
    Abandoned,
}

/// What took how long. What ended after the slice was done all the same, but in no time of it.
#[derive(Debug, Default)]
pub struct Times {
    in_time: Vec<Duration>,
    late: usize,
}

/// What one side did in one slice.
#[derive(Debug, Clone, Copy)]
pub struct Done {
    pub per_second: f64,
    pub p50: Duration,
    pub p99: Duration,
    /// The late ones too.
    pub debits: usize,
}

impl Slice {
    pub fn new(clients: usize, lasts: Duration, among: usize, numbers: &Arc<Numbers>) -> Self {
        let (order, now) = (Order::Scattered, Instant::now());
        let (numbers, pace) = (Arc::clone(numbers), None);
        Self { clients, lasts, order, among, numbers, pace, begun: now, first: 0, until: now }
    }

    pub fn at_a_pace(self, per_second: f64) -> Self {
        Self { pace: Some(per_second), ..self }
    }

    pub fn in_turn(self) -> Self {
        Self { order: Order::InTurn, ..self }
    }

    /// Begins now.
    pub fn begin(&self) -> Self {
        let (begun, first) = (Instant::now(), self.numbers.next.load(Ordering::Relaxed));
        Self { begun, first, until: begun + self.lasts, ..self.clone() }
    }

    /// The next debit of some client, while there is time.
    pub fn next(&self) -> Option<Turn> {
        let until = self.until;
        let number = self.numbers.next.fetch_add(1, Ordering::Relaxed);
        let person = match self.order {
            Order::InTurn => number % self.among,
            Order::Scattered => scattered(number) % self.among,
        };
        (Instant::now() < until).then_some(Turn { number, person, until })
    }

    /// Until it is the debit's turn.
    pub async fn wait(&self, turn: Turn) {
        let Some(pace) = self.pace else { return };
        #[expect(clippy::cast_precision_loss, reason = "a count of debits is far below 2^52")]
        let after = Duration::from_secs_f64((turn.number - self.first) as f64 / pace);
        tokio::time::sleep_until((self.begun + after).into()).await;
    }

    pub fn note(&self, times: &mut Times, asked: Instant) {
        self.numbers.done.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        if now <= self.until { times.in_time.push(now - asked) } else { times.late += 1 }
    }

    pub fn done(&self, all: impl IntoIterator<Item = Times>) -> Done {
        let (mut times, mut late) = (Vec::new(), 0);
        for of_client in all {
            times.extend(of_client.in_time);
            late += of_client.late;
        }
        times.sort_unstable();
        let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default();
        #[expect(clippy::cast_precision_loss, reason = "a count of debits is far below 2^52")]
        let per_second = times.len() as f64 / self.lasts.as_secs_f64();
        Done { per_second, p50: at(50), p99: at(99), debits: times.len() + late }
    }
}

/// The last steps of `SplitMix64`.
fn scattered(number: usize) -> usize {
    let mut bits = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    usize::try_from(bits >> 33).unwrap_or(0)
}

/// The clients as tasks of this runtime. A debit that fails ends all of them.
pub async fn load<F, Fut>(slice: &Slice, work: F) -> Result<Done, String>
where
    F: Fn(Turn) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Result<Ended, String>> + Send,
{
    let slice = slice.begin();
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..slice.clients {
        let (slice, work) = (slice.clone(), work.clone());
        clients.spawn(async move {
            let mut times = Times::default();
            while let Some(turn) = slice.next() {
                let asked = Instant::now();
                if work(turn).await? == Ended::Done {
                    slice.note(&mut times, asked);
                }
            }
            Ok::<_, String>(times)
        });
    }
    let mut all = Vec::new();
    while let Some(client) = clients.join_next().await {
        all.push(client.map_err(|_| "a client panicked")??);
    }
    Ok(slice.done(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_after_the_slice_counts_as_done_but_not_as_speed() {
        let slice = Slice::new(1, Duration::from_secs(1), 1, &Arc::default());
        let mut times = Times::default();
        slice.begin().note(&mut times, Instant::now());
        slice.note(&mut times, Instant::now());
        let done = slice.done([times]);
        assert_eq!((done.per_second, done.debits, slice.numbers.done()), (1.0, 2, 2));
    }

    #[test]
    fn in_turn_everybody_is_met_and_no_number_comes_twice() {
        let numbers = Arc::default();
        let slice = Slice::new(1, Duration::from_secs(60), 3, &numbers);
        let in_turn = slice.begin().in_turn();
        let turns: Vec<_> = (0..3).filter_map(|_| in_turn.next()).collect();
        assert_eq!(turns.iter().map(|turn| turn.person).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(slice.begin().next().map(|turn| turn.number), Some(3));
        assert!(slice.next().is_none(), "its time is over");
    }
}
