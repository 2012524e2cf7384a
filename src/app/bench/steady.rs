//! Readers at a steady pace, to learn what they feel of something else. Without a pause between an answer
//! and the next question they keep the server busy, and measure each other, too.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::load::{Asker, Seen};
use super::{People, pick};

/// How many there are, and each one's pause between an answer and the next question.
#[derive(Debug, Clone, Copy)]
pub struct Readers {
    pub count: usize,
    pub pause: Duration,
}

pub const PAUSE: Duration = Duration::from_millis(10);

/// Readers until they are told to end.
pub struct Reading {
    over: Arc<AtomicBool>,
    readers: JoinSet<Result<Vec<Duration>, String>>,
}

impl Reading {
    pub fn begin(address: SocketAddr, people: &Arc<People>, them: Readers) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let mut readers = JoinSet::new();
        for number in 0..them.count {
            let (people, over) = (Arc::clone(people), Arc::clone(&over));
            readers.spawn(read(address, people, number, them.pause, over));
        }
        Self { over, readers }
    }

    pub async fn end(mut self) -> Result<Vec<Duration>, String> {
        self.over.store(true, Ordering::Relaxed);
        let mut times = Vec::new();
        while let Some(read) = self.readers.join_next().await {
            times.extend(read.map_err(|_| "a reader panicked")??);
        }
        Ok(times)
    }
}

async fn read(
    address: SocketAddr,
    people: Arc<People>,
    number: usize,
    pause: Duration,
    over: Arc<AtomicBool>,
) -> Result<Vec<Duration>, String> {
    let mut asker = Asker::connect(address, &people.key, Seen::Forgotten).await?;
    let (mut times, mut turn) = (Vec::new(), number);
    while !over.load(Ordering::Relaxed) {
        let asked = Instant::now();
        asker.read(&people.ids[pick(turn, people.ids.len())]).await?;
        times.push(asked.elapsed());
        turn += 97;
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
    Ok(times)
}

pub fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() * 99 / 100).copied().unwrap_or_default().max(Duration::from_micros(1))
}
