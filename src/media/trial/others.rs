//! What else the machine does while an encoder is at work: whoever shares it is slow, and that says
//! nothing about the encoder.

use std::fs;

/// One part in so many of the machine's time is nothing to speak of.
const LITTLE: u64 = 5;

/// The time of all processors since the machine was started, in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    /// All there was.
    all: u64,
    /// Nothing was done in.
    idle: u64,
    /// Went to this process.
    own: u64,
}

impl Times {
    /// Those of now; nothing where the kernel does not tell.
    pub(super) fn now() -> Option<Self> {
        let machine = fs::read_to_string("/proc/stat").ok()?;
        let process = fs::read_to_string("/proc/self/stat").ok()?;
        Self::read(&machine, &process)
    }

    /// Out of `/proc/stat` and `/proc/self/stat`.
    fn read(machine: &str, process: &str) -> Option<Self> {
        let sums = machine.lines().next()?.strip_prefix("cpu ")?;
        let sums: Vec<u64> = sums
            .split_whitespace()
            .map_while(|sum| sum.parse().ok())
            .collect();
        // What guests take, which comes last, is in the others already.
        let sums = sums.get(..8)?;
        // The name of the program may hold anything.
        let (_, fields) = process.rsplit_once(')')?;
        let mut fields = fields.split_whitespace().skip(11);
        let mut field = || fields.next()?.parse::<u64>().ok();
        Some(Self {
            all: sums.iter().sum(),
            idle: sums[3] + sums[4],
            own: field()? + field()?,
        })
    }

    /// Whether others have taken so much since then that this process was slower for it: their part
    /// was not small, and hardly any was left over.
    pub(super) fn were_short_since(self, before: Self) -> bool {
        let all = self.all.saturating_sub(before.all);
        let idle = self.idle.saturating_sub(before.idle);
        let own = self.own.saturating_sub(before.own);
        let others = all.saturating_sub(idle + own);
        others * LITTLE > all && idle * LITTLE < all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_figures_are_understood() {
        let machine = "cpu  100 1 50 800 20 3 4 5 90 9\ncpu0 1 2 3 4 5 6 7 8 9 10\n";
        let process = "17 (a ) b) R 1 17 17 0 -1 4194304 99 0 0 0 41 7 0 0 20 0 9 0 5 6\n";
        let times = Times {
            all: 983,
            idle: 820,
            own: 48,
        };
        assert_eq!(Times::read(machine, process), Some(times));
        assert_eq!(Times::read("cpu  1 2 3\n", process), None);
        assert_eq!(Times::read(machine, "17 (it) R 1"), None);
        let now = Times::now().unwrap();
        assert!(now.own <= now.all && now.idle <= now.all, "{now:?}");
    }

    #[test]
    fn one_that_shares_the_machine_is_told_from_one_that_has_it() {
        let before = Times {
            all: 5000,
            idle: 3000,
            own: 40,
        };
        // Of 200 ticks: what was left over, and what went to this process.
        for (what, idle, own, short) in [
            ("alone on all processors", 0, 195, false),
            ("alone on one of four", 146, 50, false),
            ("hardware does it", 180, 6, false),
            ("among thirty others", 0, 6, true),
            ("half of the machine is another's", 10, 90, true),
            ("another has what is left over", 60, 60, false),
            ("another takes a little", 0, 165, false),
        ] {
            let after = Times {
                all: before.all + 200,
                idle: before.idle + idle,
                own: before.own + own,
            };
            assert_eq!(after.were_short_since(before), short, "{what}");
        }
    }
}
