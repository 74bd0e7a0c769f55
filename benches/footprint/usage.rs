//! What this process takes of the machine, as Linux tells it.

use std::{collections::BTreeMap, fs};

/// Clock ticks a second, which Linux has fixed for programs.
const TICKS: f64 = 100.0;

/// This process at one moment.
#[derive(Debug, Clone)]
pub struct Usage {
    /// Processor time since the start, in seconds, of all threads that ever were.
    pub cpu: f64,
    /// Memory that would be free without it, in MB.
    pub private_mb: f64,
    /// Open descriptors.
    pub descriptors: usize,
    tasks: BTreeMap<u32, Task>,
}

#[derive(Debug, Clone)]
struct Task {
    name: String,
    /// In seconds.
    cpu: f64,
    /// How often it waited for something and then went on.
    wakes: u64,
}

impl Usage {
    /// Asks.
    pub fn now() -> Self {
        let read = |name: &str| fs::read_to_string(format!("/proc/self/{name}"));
        let stat = read("stat").unwrap();
        let (_, rest) = stat.rsplit_once(") ").unwrap();
        let ticks = rest.split(' ').skip(11).take(2);
        let smaps = read("smaps_rollup").unwrap();
        let private = ["Private_Clean:", "Private_Dirty:"];
        let mut tasks = BTreeMap::new();
        for entry in fs::read_dir("/proc/self/task").unwrap().flatten() {
            let number = entry.file_name().to_string_lossy().parse().unwrap();
            // A thread may end while we look.
            if let Some(task) = Task::of(number) {
                tasks.insert(number, task);
            }
        }
        Self {
            cpu: ticks
                .map(|ticks| ticks.parse::<f64>().unwrap())
                .sum::<f64>()
                / TICKS,
            private_mb: private
                .map(|name| line(&smaps, name) as f64 / 1024.0)
                .iter()
                .sum(),
            descriptors: fs::read_dir("/proc/self/fd").unwrap().count(),
            tasks,
        }
    }

    /// How many threads there are.
    pub fn threads(&self) -> usize {
        self.tasks.len()
    }

    /// How many threads there are of each name.
    pub fn counted(&self) -> BTreeMap<String, usize> {
        let mut names = BTreeMap::new();
        for task in self.tasks.values() {
            *names.entry(task.name.clone()).or_default() += 1;
        }
        names
    }

    /// Seconds of processor time since an earlier moment, by the names of threads.
    pub fn cpu_since(&self, before: &Self) -> BTreeMap<String, f64> {
        self.since(before, |task| task.cpu)
    }

    /// How often threads went on since an earlier moment, by their names.
    pub fn wakes_since(&self, before: &Self) -> BTreeMap<String, f64> {
        self.since(before, |task| task.wakes as f64)
    }

    fn since(&self, before: &Self, figure: impl Fn(&Task) -> f64) -> BTreeMap<String, f64> {
        let mut names = BTreeMap::new();
        for (number, task) in &self.tasks {
            let earlier = before.tasks.get(number).map_or(0.0, &figure);
            *names.entry(task.name.clone()).or_insert(0.0) += figure(task) - earlier;
        }
        names
    }
}

impl Task {
    fn of(number: u32) -> Option<Self> {
        let read = |name| fs::read_to_string(format!("/proc/self/task/{number}/{name}")).ok();
        // The numbers that GStreamer gives its elements would make each name another.
        let name = read("comm")?
            .trim()
            .chars()
            .filter(|c| !c.is_ascii_digit())
            .collect();
        let ran = read("schedstat")?.split(' ').next()?.parse::<f64>().ok()?;
        Some(Self {
            name,
            cpu: ran / 1e9,
            wakes: line(&read("status")?, "voluntary_ctxt_switches:"),
        })
    }
}

/// The number behind a name at the beginning of a line.
fn line(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}
