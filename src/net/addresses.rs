//! Where this machine can be reached, best first.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::{SystemTime, UNIX_EPOCH},
};

use nix::{ifaddrs::getifaddrs, net::if_::InterfaceFlags};

/// Interfaces that only this machine's own containers and guests can use.
const INSIDE: [&str; 11] = [
    "docker", "br-", "veth", "virbr", "vnet", "cni", "flannel", "lxc", "lxdbr", "podman", "incus",
];

/// Interfaces that reach elsewhere, but rarely the phone in the room.
const TUNNELS: [&str; 5] = ["tun", "tap", "wg", "tailscale", "zt"];

/// What the machine is called, where it can be reached and what time it believes, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surroundings {
    /// The host's name, as the kernel knows it.
    pub host: String,
    /// Every address that another machine, a guest or this one can use, without IPv6 link-local
    /// ones, which no browser can open.
    pub addresses: BTreeSet<IpAddr>,
    /// Seconds since 1970, by a clock that may be wrong.
    pub unix: u64,
}

impl Surroundings {
    /// Looks at the machine.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is where a certificate's time enters"
    )]
    pub fn look() -> Self {
        Self {
            host: host_name(),
            addresses: entries()
                .unwrap_or_default()
                .into_iter()
                .filter(|entry| !entry.passing)
                .map(|entry| entry.address)
                .chain([Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()])
                .filter(|address| !is_link_local_v6(*address))
                .collect(),
            unix: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
        }
    }
}

/// The host's name, as the kernel knows it, or `localhost`.
#[must_use]
pub fn host_name() -> String {
    nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".into())
}

/// The addresses that a phone in the same network could open, best first.
///
/// Empty where there is no network.
pub fn reachable() -> io::Result<Vec<IpAddr>> {
    Ok(rank(entries()?, &default_interfaces()))
}

/// One address of one interface that is up.
#[derive(Debug, Clone)]
struct Entry {
    interface: String,
    address: IpAddr,
    loopback: bool,
    /// A privacy address that changes by the day, or one that is not or no longer to be used.
    passing: bool,
}

fn entries() -> io::Result<Vec<Entry>> {
    let passing = passing(&fs::read_to_string("/proc/net/if_inet6").unwrap_or_default());
    Ok(getifaddrs()?
        .filter(|found| found.flags.contains(InterfaceFlags::IFF_UP))
        .filter_map(|found| {
            let address = found.address?;
            let address = match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
                (Some(v4), _) => IpAddr::V4(v4.ip()),
                (_, Some(v6)) => IpAddr::V6(v6.ip()),
                _ => return None,
            };
            Some(Entry {
                loopback: found.flags.contains(InterfaceFlags::IFF_LOOPBACK),
                interface: found.interface_name,
                address,
                passing: passing.contains(&address),
            })
        })
        .collect())
}

/// Addresses that `/proc/net/if_inet6` marks as temporary, tentative, deprecated or duplicate.
fn passing(table: &str) -> BTreeSet<IpAddr> {
    // Bits of linux/if_addr.h: temporary 01, failed duplicate detection 08, deprecated 20,
    // tentative 40.
    const PASSING: u8 = 0x01 | 0x08 | 0x20 | 0x40;
    table
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let address = u128::from_str_radix(fields.next()?, 16).ok()?;
            let flags = u8::from_str_radix(fields.nth(3)?, 16).ok()?;
            (flags & PASSING != 0).then_some(IpAddr::V6(address.into()))
        })
        .collect()
}

/// Interfaces with a default route, each with its smallest metric.
fn default_interfaces() -> BTreeMap<String, u32> {
    let mut found = BTreeMap::new();
    let v4 = fs::read_to_string("/proc/net/route").unwrap_or_default();
    let v6 = fs::read_to_string("/proc/net/ipv6_route").unwrap_or_default();
    for (interface, metric) in default_routes_v4(&v4).chain(default_routes_v6(&v6)) {
        let least = found.entry(interface).or_insert(metric);
        *least = metric.min(*least);
    }
    found
}

fn default_routes_v4(table: &str) -> impl Iterator<Item = (String, u32)> {
    table.lines().filter_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let is_default = fields.get(1) == Some(&"00000000") && fields.get(7) == Some(&"00000000");
        let metric = fields.get(6)?.parse().ok()?;
        is_default.then(|| (fields[0].to_owned(), metric))
    })
}

fn default_routes_v6(table: &str) -> impl Iterator<Item = (String, u32)> {
    table.lines().filter_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (interface, metric) = (fields.get(9)?, fields.get(5)?);
        let all = fields[0].bytes().all(|digit| digit == b'0') && fields[1] == "00";
        // The kernel's own "nothing goes anywhere" route is on the loopback interface.
        (all && *interface != "lo").then_some(())?;
        Some((
            (*interface).to_owned(),
            u32::from_str_radix(metric, 16).ok()?,
        ))
    })
}

/// Puts first what a person should be told, and leaves out what only this machine can use.
fn rank(entries: Vec<Entry>, default: &BTreeMap<String, u32>) -> Vec<IpAddr> {
    let usable = |entry: &Entry| {
        !entry.loopback
            && !entry.passing
            && !entry.address.is_loopback()
            && !entry.address.is_unspecified()
            && !is_link_local_v6(entry.address)
    };
    let mut ranked: Vec<_> = entries
        .into_iter()
        .filter(usable)
        .map(|entry| {
            let starts = |with: &[&str]| with.iter().any(|p| entry.interface.starts_with(p));
            let kind = match entry.address {
                _ if starts(&INSIDE) => 4,
                _ if starts(&TUNNELS) => 3,
                IpAddr::V4(v4) if v4.is_link_local() => 2,
                IpAddr::V4(_) => 0,
                IpAddr::V6(_) => 1,
            };
            let metric = default.get(&entry.interface).copied();
            let order = (
                kind,
                metric.is_none(),
                metric,
                entry.interface,
                entry.address,
            );
            (order, entry.address)
        })
        .collect();
    ranked.sort();
    // What leads into our own containers is worth telling only where nothing else is there.
    if ranked.iter().any(|((kind, ..), _)| *kind < 4) {
        ranked.retain(|((kind, ..), _)| *kind < 4);
    }
    let mut seen = BTreeSet::new();
    ranked
        .into_iter()
        .map(|(_, address)| address)
        .filter(|address| seen.insert(*address))
        .collect()
}

fn is_link_local_v6(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(interface: &str, address: &str) -> Entry {
        let address: IpAddr = address.parse().unwrap();
        Entry {
            interface: interface.into(),
            loopback: interface == "lo",
            passing: false,
            address,
        }
    }

    fn ranked(entries: Vec<Entry>, default: &[(&str, u32)]) -> Vec<String> {
        let default = default.iter().map(|(i, m)| ((*i).to_owned(), *m)).collect();
        rank(entries, &default)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn the_default_routes_address_comes_first() {
        let entries = vec![
            entry("lo", "127.0.0.1"),
            entry("docker0", "172.17.0.1"),
            entry("wg0", "10.9.0.2"),
            entry("eth1", "10.0.0.5"),
            entry("wlan0", "192.168.1.20"),
            entry("wlan0", "2001:db8::20"),
            entry("wlan0", "fe80::20"),
            entry("eth0", "192.168.7.3"),
        ];
        assert_eq!(
            ranked(entries, &[("wlan0", 600), ("eth0", 100)]),
            [
                "192.168.7.3",
                "192.168.1.20",
                "10.0.0.5",
                "2001:db8::20",
                "10.9.0.2"
            ]
        );
    }

    #[test]
    fn a_container_bridge_is_better_than_nothing() {
        let entries = vec![entry("lo", "127.0.0.1"), entry("docker0", "172.17.0.1")];
        assert_eq!(ranked(entries, &[]), ["172.17.0.1"]);
        assert!(ranked(vec![entry("lo", "127.0.0.1")], &[]).is_empty());
    }

    #[test]
    fn privacy_addresses_are_passing() {
        let table = "\
20010db8000000000000000000000020 02 40 00 00    wlan0
20010db80000000000000000deadbeef 02 40 00 01    wlan0
20010db80000000000000000feedbeef 02 40 00 20    wlan0
fd000000000000000000000000000002 04 40 00 82     eth0
broken
";
        let passing: Vec<_> = passing(table).iter().map(ToString::to_string).collect();
        assert_eq!(passing, ["2001:db8::dead:beef", "2001:db8::feed:beef"]);
    }

    #[test]
    fn default_routes_are_read_from_the_kernels_tables() {
        let v4 = "\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
";
        let zero = "0".repeat(32);
        let v6 = format!(
            "{zero} 00 {zero} 00 fd000000000000000000000000000001 00000400 00000001 00000000 00000003     eth0\n\
             {zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200       lo\n"
        );
        assert_eq!(
            default_routes_v4(v4).collect::<Vec<_>>(),
            [("eth0".to_owned(), 100)]
        );
        assert_eq!(
            default_routes_v6(&v6).collect::<Vec<_>>(),
            [("eth0".to_owned(), 1024)]
        );
    }

    #[test]
    fn this_machine_has_loopback_addresses() {
        let here = Surroundings::look();
        assert!(!here.host.is_empty());
        assert!(here.addresses.contains(&Ipv4Addr::LOCALHOST.into()));
        assert!(reachable().unwrap().iter().all(|a| !a.is_loopback()));
    }
}
