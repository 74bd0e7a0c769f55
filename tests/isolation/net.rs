//! Networks of a test's own.
//!
//! The whole test runs in a network namespace that has no name and is gone with its last process,
//! however that ends; so nothing is seen outside, and nothing is left to be removed. A peer that is
//! to have a line of its own is in another one, at the end of a cable:
//!
//! ```text
//!   the test: device, healthy peer        bad peer
//!   home0 192.0.2.1    line0 198.51.100.1 ──── eth0 198.51.100.2
//! ```

use std::{
    process::{Command, Stdio},
    sync::atomic::{AtomicU8, Ordering::Relaxed},
    time::Duration,
};

use nix::{
    sys::{prctl::set_pdeathsig, signal::Signal},
    unistd::{Pid, Uid, getppid},
};

/// Says to the test that it is in a network of its own.
const APART: &str = "ROOMD_TEST_IS_APART";

/// The line that is slow carries this much to the peer, and holds back 400 ms of it.
const SLOW: &str = "tbf rate 300kbit burst 16kb latency 400ms";

/// Why there can be no network of one's own here.
pub fn impossible() -> Option<&'static str> {
    (!Uid::effective().is_root()).then_some("network namespaces need root")
}

pub fn is_apart() -> bool {
    std::env::var_os(APART).is_some()
}

/// Plays one case of this binary in a network of its own.
pub fn again_apart(name: &str) -> Result<(), String> {
    let program = std::env::current_exe().unwrap();
    let status = Command::new("unshare")
        .args(["--net", "--"])
        .arg(program)
        .args(["--exact", name, "--nocapture"])
        .env(APART, "1")
        .stdin(Stdio::null())
        .status()
        .map_err(|error| format!("unshare (util-linux): {error}"))?;
    if status.success() {
        return Ok(());
    }
    Err(format!("in a network of its own: {status}"))
}

/// Where this process is one that the test started: it does not outlive it, even one that is killed.
pub fn end_with_the_test() {
    if is_apart() || super::peer::kind().is_some() {
        set_pdeathsig(Signal::SIGKILL).unwrap();
        // It may have ended before we said so.
        assert_ne!(getppid(), Pid::from_raw(1), "the test is gone");
    }
}

/// Gives the test an address: that of the loopback interface is no candidate of anybody's.
pub fn prepare() {
    ip("link set lo up");
    ip("link add home0 type veth peer name home1");
    ip("addr add 192.0.2.1/24 dev home0");
    ip("link set home0 up");
    ip("link set home1 up");
    until_it_runs("ip", "home0");
}

/// A cable to a process that is in a network of its own.
pub struct Line {
    number: u8,
    process: u32,
}

impl Line {
    /// Lays it.
    pub fn to(process: u32) -> Self {
        static LINES: AtomicU8 = AtomicU8::new(0);
        let number = LINES.fetch_add(1, Relaxed);
        let line = Self { number, process };
        let near = format!("line{number}");
        let (ours, theirs) = (4 * number + 1, 4 * number + 2);
        ip(&format!(
            "link add {near} type veth peer name eth0 netns {process}"
        ));
        ip(&format!("addr add 198.51.100.{ours}/30 dev {near}"));
        ip(&format!("link set {near} up"));
        line.there("link set lo up");
        line.there(&format!("addr add 198.51.100.{theirs}/30 dev eth0"));
        line.there("link set eth0 up");
        until_it_runs("ip", &near);
        until_it_runs(&line.inside(), "eth0");
        line
    }

    /// Makes the way to the other end slow.
    pub fn throttle(&self) {
        run(&format!("tc qdisc add dev line{} root {SLOW}", self.number));
    }

    /// Pulls the plug at the other end.
    pub fn cut(&self) {
        self.there("link set eth0 down");
    }

    fn there(&self, words: &str) {
        run(&format!("{} {words}", self.inside()));
    }

    /// The command `ip` at the other end.
    fn inside(&self) -> String {
        format!("nsenter --net=/proc/{}/ns/net ip", self.process)
    }
}

/// Waits until the kernel says that a cable carries something, which may take it a second: before
/// that, libnice finds no address at it, and looks only once.
fn until_it_runs(ip: &str, device: &str) {
    for _ in 0..1000 {
        if run(&format!("{ip} -o link show {device}")).contains("state UP") {
            return;
        }
        std::thread::park_timeout(Duration::from_millis(10));
    }
    panic!("{device} carries nothing");
}

fn ip(words: &str) {
    run(&format!("ip {words}"));
}

fn run(line: &str) -> String {
    let mut words = line.split(' ');
    let done = Command::new(words.next().unwrap()).args(words).output();
    let done = done.unwrap_or_else(|error| panic!("{line}: {error}"));
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{line}: {said}");
    String::from_utf8_lossy(&done.stdout).into_owned()
}
