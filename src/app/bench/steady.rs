//! Readers at a steady pace, to learn what they feel of something else: clients that ask as fast as they
//! can would measure each other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::load::{Asker, Seen};
use super::{People, pick};

/// Of each reader, between an answer and the next question.
const PAUSE: Duration = Duration::from_millis(10);

/// Readers until they are told to end.
pub struct Reading {
    over: Arc<AtomicBool>,
    readers: JoinSet<Result<Vec<Duration>, String>>,
}

impl Reading {
    pub fn begin(address: SocketAddr, people: &Arc<People>, count: usize) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let mut readers = JoinSet::new();
        for number in 0..count {
            readers.spawn(read(address, Arc::clone(people), number, Arc::clone(&over)));
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
    over: Arc<AtomicBool>,
) -> Result<Vec<Duration>, String> {
    let mut asker = Asker::connect(address, &people.key, Seen::Forgotten).await?;
    let (mut times, mut turn) = (Vec::new(), number);
    while !over.load(Ordering::Relaxed) {
        let asked = Instant::now();
        asker.read(&people.ids[pick(turn, people.ids.len())]).await?;
        times.push(asked.elapsed());
        turn += 97;
        tokio::time::sleep(PAUSE).await;
    }
    Ok(times)
}

pub fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() * 99 / 100).copied().unwrap_or_default().max(Duration::from_micros(1))
}
