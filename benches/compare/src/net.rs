//! A network of our own, in which one way can be made narrow.
//!
//! The sender and each receiver have a network namespace, with a pair of virtual cables between the
//! sender's and each of the others. Nothing in them leads to the network of this machine. Needs
//! root.

use std::process::Command;

/// The namespaces, which are gone when this is dropped.
pub struct Net {
    names: Vec<String>,
}

/// So many bytes may pass at once, and for so long may one wait: a cheap router at home.
const BURST: &str = "16kb";
const LATENCY: &str = "200ms";

impl Net {
    /// Makes a namespace for the sender and one for each receiver.
    pub fn new(receivers: usize) -> Result<Self, String> {
        let own = std::process::id();
        let mut net = Self { names: Vec::new() };
        for number in 0..=receivers {
            let name = format!("roomd-bench-{own}-{number}");
            ip(&["netns", "add", &name])?;
            net.names.push(name.clone());
            ip(&["-n", &name, "link", "set", "lo", "up"])?;
            if number == 0 {
                continue;
            }
            let hub = net.names[0].clone();
            let (here, there) = (format!("to{number}"), "uplink".to_owned());
            ip(&[
                "-n", &hub, "link", "add", &here, "type", "veth", "peer", "name", &there, "netns",
                &name,
            ])?;
            for (name, cable, end) in [(&hub, &here, 1), (&name, &there, 2)] {
                let address = format!("10.99.{number}.{end}/30");
                ip(&["-n", name, "addr", "add", &address, "dev", cable])?;
                ip(&["-n", name, "link", "set", cable, "up"])?;
            }
        }
        for number in 1..=receivers {
            until_it_runs(&net.names[0], &format!("to{number}"))?;
            until_it_runs(&net.names[number], "uplink")?;
        }
        Ok(net)
    }

    /// The same command in a namespace: 0 is the sender's.
    #[must_use]
    pub fn inside(&self, number: usize, command: &Command) -> Command {
        let mut inside = Command::new("nsenter");
        inside
            .arg(format!("--net=/run/netns/{}", self.names[number]))
            .arg(command.get_program())
            .args(command.get_args());
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                inside.env(name, value);
            }
        }
        inside
    }

    /// Makes the way from the sender to a receiver narrow, or wide again.
    pub fn narrow(&self, receiver: usize, kbps: Option<u32>) -> Result<(), String> {
        let device = format!("to{receiver}");
        let at = ["-n", &self.names[0], "qdisc"];
        match kbps {
            Some(kbps) => {
                let rate = format!("{kbps}kbit");
                let how = [
                    "replace", "dev", &device, "root", "tbf", "rate", &rate, "burst", BURST,
                    "latency", LATENCY,
                ];
                run("tc", &[&at[..], &how].concat())
            }
            None => run("tc", &[&at[..], &["del", "dev", &device, "root"]].concat()),
        }
        .map(drop)
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = ip(&["netns", "del", name]);
        }
    }
}

/// Waits until the kernel says that a cable carries something, which may take it a second: before
/// that, libnice finds no address at it, and looks only once.
fn until_it_runs(name: &str, device: &str) -> Result<(), String> {
    for _ in 0..1000 {
        let words = ["-n", name, "-o", "link", "show", device];
        if run("ip", &words)?.contains("state UP") {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    Err(format!("{device} of {name} carries nothing"))
}

fn ip(words: &[&str]) -> Result<(), String> {
    run("ip", words).map(drop)
}

fn run(program: &str, words: &[&str]) -> Result<String, String> {
    let output = Command::new(program)
        .args(words)
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program} {}: {}", words.join(" "), text.trim()))
}
