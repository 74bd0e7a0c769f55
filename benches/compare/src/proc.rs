//! What the kernel knows of a process and of the machine.

use std::{collections::BTreeMap, fs};

/// A process at one moment.
#[derive(Debug, Clone, Default)]
pub struct Usage {
    /// Processor time since its start, in seconds, of all threads that ever were.
    pub cpu: f64,
    /// Resident memory, in MB.
    pub resident: f64,
    /// That without the pages of programs and libraries, in MB.
    pub own: f64,
    /// Threads.
    pub threads: u64,
    /// Descriptors.
    pub descriptors: u64,
    /// Each thread's name and processor time in seconds.
    pub tasks: BTreeMap<i32, (String, f64)>,
}

/// Clock ticks a second, which Linux has fixed for programs.
const TICKS: f64 = 100.0;

impl Usage {
    /// Asks.
    pub fn of(process: u32) -> Result<Self, String> {
        let folder = format!("/proc/{process}");
        let read = |name: &str| {
            fs::read_to_string(format!("{folder}/{name}"))
                .map_err(|error| format!("{folder}/{name}: {error}"))
        };
        let status = read("status")?;
        let line = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
                .unwrap_or(0)
        };
        let mut tasks = BTreeMap::new();
        let entries = fs::read_dir(format!("{folder}/task")).map_err(|error| error.to_string())?;
        for entry in entries.flatten() {
            let Some(task) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            // A thread may end while we look.
            let name = read(&format!("task/{task}/comm")).unwrap_or_default();
            let seconds = read(&format!("task/{task}/schedstat"))
                .ok()
                .and_then(|text| text.split(' ').next()?.parse::<f64>().ok())
                .map_or(0.0, |nanoseconds| nanoseconds / 1e9);
            tasks.insert(task, (name.trim().to_owned(), seconds));
        }
        Ok(Self {
            cpu: cpu(&read("stat")?).ok_or("no processor time")?,
            resident: line("VmRSS:") as f64 / 1024.0,
            own: line("RssAnon:") as f64 / 1024.0,
            threads: line("Threads:"),
            descriptors: fs::read_dir(format!("{folder}/fd"))
                .map_err(|error| error.to_string())?
                .count() as u64,
            tasks,
        })
    }

    /// Seconds of processor time since an earlier moment, by the names of threads. The numbers
    /// that GStreamer gives its elements are left out of them.
    #[must_use]
    pub fn by_name_since(&self, before: &Self) -> BTreeMap<String, f64> {
        let mut names = BTreeMap::new();
        for (task, (name, seconds)) in &self.tasks {
            let earlier = before.tasks.get(task).map_or(0.0, |(_, seconds)| *seconds);
            let name: String = name
                .chars()
                .filter(|letter| !letter.is_ascii_digit())
                .collect();
            *names.entry(name).or_insert(0.0) += seconds - earlier;
        }
        names
    }
}

/// User and system time, which stand behind the name in brackets.
fn cpu(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS)
}

/// Processor time of the machine: what it worked, and what it could have worked.
pub fn machine() -> Result<(f64, f64), String> {
    let text = fs::read_to_string("/proc/stat").map_err(|error| error.to_string())?;
    let line = text.lines().next().unwrap_or_default();
    let fields: Vec<f64> = line
        .split_whitespace()
        .skip(1)
        .take(8)
        .filter_map(|field| field.parse().ok())
        .collect();
    let all: f64 = fields.iter().sum();
    let idle: f64 = fields.iter().skip(3).take(2).sum();
    Ok((all - idle, all))
}

/// What it is measured on, for people.
#[must_use]
pub fn description() -> String {
    let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpus = text("/proc/cpuinfo");
    let cores = cpus
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("an unknown processor", |(_, model)| model);
    let system = text("/etc/os-release");
    let system = system
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .unwrap_or("Linux")
        .trim_matches('"');
    let (major, minor, micro, _) = gstreamer::version();
    format!("{cores} cores of {model}, {system}, GStreamer {major}.{minor}.{micro}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_something() {
        let usage = Usage::of(std::process::id()).expect("we are there");
        assert!(usage.resident > 1.0 && usage.threads >= 1 && usage.descriptors >= 3);
        assert!(!usage.tasks.is_empty());
        let stat = "1 (a name) with) S 1 1 1 0 -1 4194560 1 2 3 4 250 50 6 7 20 0 1 0";
        assert_eq!(cpu(stat), Some(3.0));
        let (busy, all) = machine().expect("we are on Linux");
        assert!(busy > 0.0 && busy <= all);
    }
}
