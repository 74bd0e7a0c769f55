//! Whether this machine is too busy to say whose fault something is.

use std::{collections::BTreeMap, time::Duration};

/// A thread that waited so long for a core, of the time between two looks, says that the machine is
/// short of breath.
const STARVED: Duration = Duration::from_millis(60);

/// A test has failed, and the machine may be to blame: it is to be tried again.
#[derive(Debug)]
pub struct Starved(pub String);

/// How often something is tried where the machine is too busy to judge it.
const ATTEMPTS: usize = 4;

/// Tries it until the machine was not to blame for what failed.
pub async fn attempt(case: impl AsyncFn() -> Result<(), Starved>) {
    let mut seen = Vec::new();
    for _ in 0..ATTEMPTS {
        match case().await {
            Ok(()) => return,
            Err(Starved(faults)) => {
                println!("this machine is too busy to judge: {faults}");
                seen.push(faults);
            }
        }
    }
    panic!("too busy a machine, or a fault: {seen:#?}");
}

/// How long the threads of this process wait for a core. Who waits for a lock or for the network is
/// not in it, so it excuses nobody who holds up others.
pub struct Cores {
    waits: BTreeMap<String, Duration>,
    /// The longest that one of them waited between two looks.
    longest: Duration,
    /// Of all looks together.
    total: Duration,
}

impl Cores {
    pub fn watch() -> Self {
        Self {
            waits: waits(),
            longest: Duration::ZERO,
            total: Duration::ZERO,
        }
    }

    pub fn look(&mut self) {
        let before = std::mem::replace(&mut self.waits, waits());
        let since = self.waits.iter().filter_map(|(thread, now)| {
            let before = before.get(thread)?;
            Some(now.saturating_sub(*before))
        });
        let longest = since.max().unwrap_or_default();
        self.longest = self.longest.max(longest);
        self.total += longest;
    }

    pub fn longest(&self) -> Duration {
        self.longest
    }

    /// For how long one or another of them waited, in all.
    pub fn total(&self) -> Duration {
        self.total
    }

    /// Ends the test if there are faults, unless the machine may be to blame for them.
    pub fn judge(&self, faults: &[Option<String>]) -> Result<(), Starved> {
        let faults: Vec<&str> = faults.iter().filter_map(Option::as_deref).collect();
        let faults = faults.join("; ");
        if !faults.is_empty() && self.longest >= STARVED {
            return Err(Starved(faults));
        }
        assert!(faults.is_empty(), "{faults}");
        Ok(())
    }
}

/// How long each thread has waited so far, as the kernel counts it (proc(5), `schedstat`). Where it
/// does not, nothing is excused.
fn waits() -> BTreeMap<String, Duration> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let waits = tasks.filter_map(|task| {
        let task = task.ok()?;
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        let nanoseconds = text.split(' ').nth(1)?.parse().ok()?;
        let name = task.file_name().into_string().ok()?;
        Some((name, Duration::from_nanos(nanoseconds)))
    });
    waits.collect()
}
