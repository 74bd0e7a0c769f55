use std::fs;

use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    pki_types::{ServerName, UnixTime},
};

use super::*;

const NOW: u64 = 1_795_000_000; // 2026-11-18
const LATER: u64 = NOW + 700 * DAY;

fn here(host: &str, addresses: &[&str], unix: u64) -> Surroundings {
    Surroundings {
        host: host.into(),
        addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
        unix,
    }
}

fn open(place: &Path, names: &[&str], here: &Surroundings) -> Result<Own, CertificateError> {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    Own::open(place.into(), names, here)
}

/// What a browser says that has the authority installed.
fn accepts(authority: &Authority, leaf: &Leaf, name: &str, unix: u64) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der.clone().into()).unwrap();
    let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider())
        .build()
        .unwrap();
    let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(unix));
    let name = ServerName::try_from(name).unwrap();
    verifier
        .verify_server_cert(&leaf.key.cert[0], &[], &name, &[], at)
        .map(|_| ())
        .map_err(|error| error.to_string())
}

#[test]
fn browsers_accept_every_name_and_address_of_the_device() {
    let place = tempfile::tempdir().unwrap();
    let here = here(
        "kiosk-7.example.org",
        &[
            "127.0.0.1",
            "::1",
            "192.168.1.20",
            "fd00::2",
            "203.0.113.9",
            "2001:db8:1:2::20",
        ],
        NOW,
    );
    let own = open(place.path(), &["meet.example.net", "198.51.100.4"], &here).unwrap();
    for name in [
        "kiosk-7.example.org",
        "kiosk-7",
        "kiosk-7.local",
        "localhost",
        "127.0.0.1",
        "::1",
        "192.168.1.20",
        "fd00::2",
        "203.0.113.9",
        "2001:db8:1:2::20",
        "meet.example.net",
        "198.51.100.4",
    ] {
        accepts(own.authority(), own.leaf(), name, NOW).expect(name);
    }
    accepts(own.authority(), own.leaf(), "other.example.net", NOW).unwrap_err();
    assert!(own.left_out().is_empty());
}

#[test]
fn a_stolen_authority_is_of_no_use_elsewhere() {
    let place = tempfile::tempdir().unwrap();
    let own = open(place.path(), &[], &here("kiosk", &["203.0.113.9"], NOW)).unwrap();
    for (name, is_permitted) in [
        ("kiosk", true),
        ("another.local", true),
        ("172.20.1.2", true),
        ("100.100.1.2", true),
        ("fe80::1", true),
        ("example.org", false),
        ("kiosk.example.org", false),
        ("notlocal", false),
        ("172.32.0.1", false),
        ("203.0.113.10", false),
        ("2001:db8::1", false),
    ] {
        let forged = BTreeSet::from([Name::parse(name).unwrap()]);
        let here = here("kiosk", &[], NOW);
        let leaf = issue(
            &place.path().join("forged.pem"),
            &own.issuer,
            &forged,
            &here,
        )
        .unwrap();
        let verdict = accepts(own.authority(), &leaf, name, NOW);
        assert_eq!(verdict.is_ok(), is_permitted, "{name}: {verdict:?}");
        let said = own.permitted.covers(&Name::parse(name).unwrap());
        assert_eq!(said, is_permitted, "we and the verifier agree about {name}");
    }
}

#[test]
fn the_authority_is_made_once_and_the_certificate_kept() {
    let place = tempfile::tempdir().unwrap();
    let here = here("kiosk", &["192.168.1.20"], NOW);
    let first = open(place.path(), &[], &here).unwrap();
    let again = open(place.path(), &[], &here).unwrap();
    assert_eq!(first.authority(), again.authority());
    assert_eq!(first.leaf().key.cert, again.leaf().key.cert);
    assert_eq!(first.authority().fingerprint().len(), 32 * 3 - 1);
    assert!(first.authority().name.starts_with("roomd kiosk "));
    for file in ["authority.pem", "certificate.pem"] {
        assert!(
            state::read(&place.path().join(file)).is_ok(),
            "{file} is ours alone"
        );
    }
    let (begin, end) = validity(&first.authority().der).unwrap();
    assert_eq!(
        (civil(begin), civil(end)),
        (AUTHORITY_FROM, AUTHORITY_UNTIL)
    );
}

#[test]
fn the_certificate_follows_the_device_under_the_same_authority() {
    let place = tempfile::tempdir().unwrap();
    let mut own = open(place.path(), &[], &here("kiosk", &["192.168.1.20"], NOW)).unwrap();
    let authority = own.authority().clone();

    let moved = here("kiosk", &["10.0.0.5"], NOW);
    assert!(own.check(&moved).unwrap());
    accepts(&authority, own.leaf(), "10.0.0.5", NOW).unwrap();
    assert!(
        !own.check(&moved).unwrap(),
        "nothing is new the second time"
    );

    let renamed = here("studio", &["10.0.0.5"], NOW);
    assert!(own.check(&renamed).unwrap());
    accepts(&authority, own.leaf(), "studio.local", NOW).unwrap();
    assert_eq!(own.left_out(), ["studio"], "a bare name may be anybody's");

    let fewer = here("studio", &[], NOW);
    assert!(
        !own.check(&fewer).unwrap(),
        "an address too many is no reason"
    );

    let reopened = open(place.path(), &[], &renamed).unwrap();
    assert_eq!(reopened.authority(), &authority);
    assert_eq!(reopened.leaf().key.cert, own.leaf().key.cert);
}

#[test]
fn a_name_beyond_the_constraints_needs_a_new_authority() {
    let place = tempfile::tempdir().unwrap();
    let here = here("kiosk", &[], NOW);
    let first = open(place.path(), &[], &here).unwrap();
    let inside = open(place.path(), &["studio.local", "10.1.2.3"], &here).unwrap();
    assert_eq!(first.authority(), inside.authority());
    accepts(inside.authority(), inside.leaf(), "studio.local", NOW).unwrap();

    let outside = open(place.path(), &["meet.example.net"], &here).unwrap();
    assert_ne!(first.authority(), outside.authority());
    accepts(outside.authority(), outside.leaf(), "meet.example.net", NOW).unwrap();
    accepts(first.authority(), outside.leaf(), "kiosk", NOW).unwrap_err();

    let refused = open(place.path(), &["https://meet.example.net"], &here);
    let refused = refused.err().unwrap().to_string();
    assert_eq!(
        refused,
        "\"https://meet.example.net\" is neither a host name nor an address"
    );
}

#[test]
fn certificates_are_renewed_long_before_they_end() {
    let place = tempfile::tempdir().unwrap();
    let mut own = open(place.path(), &[], &here("kiosk", &[], NOW)).unwrap();
    let first = own.leaf().clone();
    assert!(!own.check(&here("kiosk", &[], NOW + 300 * DAY)).unwrap());
    assert!(own.check(&here("kiosk", &[], LATER)).unwrap());
    assert!(own.leaf().not_after > first.not_after);
    accepts(
        own.authority(),
        own.leaf(),
        "kiosk",
        LATER + LEAF_SPARE_DAYS * DAY,
    )
    .unwrap();
}

#[test]
fn a_device_without_a_clock_has_a_certificate_that_phones_accept() {
    let place = tempfile::tempdir().unwrap();
    let mut own = open(place.path(), &[], &here("kiosk", &[], 0)).unwrap();
    accepts(own.authority(), own.leaf(), "kiosk", NOW).unwrap();
    accepts(own.authority(), own.leaf(), "kiosk", NO_EARLIER + 365 * DAY).unwrap();
    // The clock becomes right: nothing to do, or a certificate for that time.
    assert!(!own.check(&here("kiosk", &[], NOW)).unwrap());
    assert!(own.check(&here("kiosk", &[], LATER)).unwrap());
    accepts(own.authority(), own.leaf(), "kiosk", LATER).unwrap();
    // The clock falls back at the next start: what phones accept stays.
    let kept = open(place.path(), &[], &here("kiosk", &[], LATER - 60 * DAY)).unwrap();
    assert_eq!(kept.leaf().key.cert, own.leaf().key.cert);
}

#[test]
fn every_day_of_a_century_gives_dates_that_apple_accepts() {
    for day in 0..36_500 {
        let unix = NO_EARLIER + day * DAY + day;
        let (begin, end) = leaf_validity(unix);
        let (_, month, first) = civil(begin);
        assert_eq!((month % 3, first), (1, 1), "a quarter's first day");
        assert!(end - begin < 825 * DAY);
        assert!(begin + LEAF_PAST_DAYS * DAY <= unix);
        assert!(
            is_in_time(begin, end, unix + 365 * DAY),
            "it is not renewed each year"
        );
    }
}

#[test]
fn a_broken_authority_is_refused_and_left_as_it_is() {
    let place = tempfile::tempdir().unwrap();
    let here = here("kiosk", &[], NOW);
    open(place.path(), &[], &here).unwrap();
    let path = place.path().join("authority.pem");
    let good = fs::read_to_string(&path).unwrap();
    let other = tempfile::tempdir().unwrap();
    open(other.path(), &[], &here).unwrap();
    let others = fs::read_to_string(other.path().join("authority.pem")).unwrap();
    let key = good.find("-----BEGIN PRIVATE").unwrap();
    let others_key = others.find("-----BEGIN PRIVATE").unwrap();
    for broken in [
        String::new(),
        good[..key].to_owned(),
        good[..good.len() / 3].to_owned(),
        format!("{}{}", &good[..key], &others[others_key..]),
    ] {
        fs::write(&path, &broken).unwrap();
        let refusal = open(place.path(), &[], &here).err().unwrap().to_string();
        assert!(
            refusal.contains("everybody who installed the old one"),
            "{refusal}"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), broken);
    }
    fs::write(&path, good).unwrap();
    fs::write(place.path().join("certificate.pem"), "rubbish").unwrap();
    let own = open(place.path(), &[], &here).unwrap();
    accepts(own.authority(), own.leaf(), "kiosk", NOW).unwrap();
}

#[test]
fn a_certificate_of_another_authority_is_not_used() {
    let (place, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let here = here("kiosk", &[], NOW);
    open(place.path(), &[], &here).unwrap();
    open(other.path(), &[], &here).unwrap();
    let file = |place: &tempfile::TempDir| place.path().join("certificate.pem");
    fs::copy(file(&other), file(&place)).unwrap();
    let own = open(place.path(), &[], &here).unwrap();
    accepts(own.authority(), own.leaf(), "kiosk", NOW).unwrap();
}

#[test]
fn names_are_read_as_people_write_them() {
    let cases = [
        ("Kiosk.Example.ORG.", Some("kiosk.example.org")),
        ("[fd00::2]", Some("fd00::2")),
        ("10.0.0.1", Some("10.0.0.1")),
        ("room_7", Some("room_7")),
        ("", None),
        ("a..b", None),
        ("-a", None),
        ("10.0.0.256", None),
        ("*.example.org", None),
        ("büro", None),
    ];
    for (text, wanted) in cases {
        let read = Name::parse(text).map(|name| name.to_string());
        assert_eq!(read.as_deref(), wanted, "{text}");
    }
}
