//! How far a command has come: a bar on a terminal, elsewhere a line now and then.

use std::io::IsTerminal;

use indicatif::ProgressBar;

/// Between two lines where nobody watches a bar.
const LINE_EVERY: u64 = 10_000;

pub struct Progress {
    bar: Option<ProgressBar>,
    done: u64,
    total: u64,
    what: &'static str,
}

impl Progress {
    pub fn new(total: u64, what: &'static str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| ProgressBar::new(total));
        Self { bar, done: 0, total, what }
    }

    pub fn add(&mut self, count: u64) {
        self.come_to(self.done + count, self.total);
    }

    pub fn come_to(&mut self, done: u64, total: u64) {
        let lines_before = self.done / LINE_EVERY;
        (self.done, self.total) = (done, total);
        match &self.bar {
            Some(bar) => {
                bar.set_length(total);
                bar.set_position(done);
            }
            None if done / LINE_EVERY > lines_before => self.tell(),
            None => {}
        }
    }

    pub fn end(&self) {
        match &self.bar {
            Some(bar) => bar.finish(),
            None => self.tell(),
        }
    }

    fn tell(&self) {
        eprintln!("{} of {} {}", self.done, self.total.max(self.done), self.what);
    }
}
