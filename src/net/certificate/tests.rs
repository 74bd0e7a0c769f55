use std::os::unix::fs::PermissionsExt as _;

use rcgen::{CertificateParams, KeyPair};

use super::*;

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn certificate(&self) -> PathBuf {
        self.0.path().join("fullchain.pem")
    }

    fn key(&self) -> PathBuf {
        self.0.path().join("privkey.pem")
    }

    fn source(&self) -> Source {
        Source::Files {
            certificate: self.certificate(),
            key: self.key(),
        }
    }

    fn write_certificate(&self, text: &str) {
        self.replace(&self.certificate(), text);
    }

    fn write_key(&self, text: &str) {
        self.replace(&self.key(), text);
        fs::set_permissions(self.key(), fs::Permissions::from_mode(0o640)).unwrap();
    }

    /// As a program that renews does: so the inode changes, even within one tick of the clock.
    fn replace(&self, path: &Path, text: &str) {
        let fresh = self.0.path().join("fresh");
        fs::write(&fresh, text).unwrap();
        fs::rename(fresh, path).unwrap();
    }
}

fn pair(name: &str, until: i32) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(until, 1, 1);
    let certificate = params.self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

fn here() -> Surroundings {
    Surroundings {
        host: "kiosk".into(),
        addresses: std::collections::BTreeSet::new(),
        unix: 1_795_000_000,
    }
}

#[test]
fn files_are_taken_again_when_they_are_renewed() {
    let place = Place::new();
    let (certificate, key) = pair("a.example.org", 2030);
    place.write_certificate(&certificate);
    place.write_key(&key);
    let open = Certificate::open(place.source(), &here()).unwrap();
    assert_eq!(open.until(), "2030-01-01");
    assert!(open.authority().is_none());
    assert!(matches!(open.check(&here()), Change::None));

    // Renewal replaces one file after the other: between them nothing fits.
    let (certificate, key) = pair("a.example.org", 2031);
    place.write_certificate(&certificate);
    assert!(matches!(
        open.check(&here()),
        Change::Kept(CertificateError::Mismatch { .. })
    ));
    assert!(
        matches!(open.check(&here()), Change::None),
        "it is said once"
    );
    assert_eq!(open.until(), "2030-01-01");
    place.write_key(&key);
    assert!(matches!(open.check(&here()), Change::Renewed { until } if until == "2031-01-01"));

    fs::remove_file(place.key()).unwrap();
    assert!(matches!(
        open.check(&here()),
        Change::Kept(CertificateError::Unreadable { .. })
    ));
    assert!(
        matches!(open.check(&here()), Change::None),
        "it is said once"
    );
    place.write_key(&key);
    assert!(matches!(open.check(&here()), Change::Renewed { .. }));
}

#[test]
fn a_broken_file_is_refused_and_named() {
    let place = Place::new();
    let (certificate, key) = pair("a.example.org", 2030);
    let (_, others) = pair("b.example.org", 2030);
    let (at_certificate, at_key) = (place.certificate(), place.key());
    let (at_certificate, at_key) = (at_certificate.display(), at_key.display());
    let refusal = || {
        Certificate::open(place.source(), &here())
            .err()
            .unwrap()
            .to_string()
    };
    assert_eq!(refusal(), format!("{at_certificate} cannot be read"));

    place.write_certificate("");
    place.write_key(&key);
    assert_eq!(
        refusal(),
        format!("{at_certificate} holds no certificate in PEM")
    );

    place.write_certificate(&certificate[..certificate.len() / 2]);
    assert!(refusal().starts_with(&format!("{at_certificate} cannot be used: ")));

    place.write_certificate("-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n");
    assert!(refusal().starts_with(&format!("{at_certificate} cannot be used: ")));

    place.write_certificate(&certificate);
    place.write_key("");
    assert_eq!(refusal(), format!("{at_key} holds no private key in PEM"));

    place.write_key(&others);
    assert_eq!(
        refusal(),
        format!(
            "the key in {at_key} does not belong to the first certificate in {at_certificate}; \
             that file must begin with the server's own certificate, and the chain follow"
        )
    );

    place.write_key(&key);
    fs::set_permissions(place.key(), fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(
        refusal(),
        format!(
            "{at_key} may be read by others on this machine (mode 0644); run: chmod o-rwx {at_key}"
        )
    );
}

#[test]
fn an_expired_certificate_is_used_because_the_clock_may_be_wrong() {
    let place = Place::new();
    let (certificate, key) = pair("a.example.org", 2020);
    place.write_certificate(&certificate);
    place.write_key(&key);
    let open = Certificate::open(place.source(), &here()).unwrap();
    assert_eq!(open.until(), "2020-01-01");
}

#[test]
fn days_are_those_of_the_calendar() {
    let cases = [
        (0, "1970-01-01"),
        (951_782_400, "2000-02-29"),
        (1_704_067_199, "2023-12-31"),
        (1_704_067_200, "2024-01-01"),
        (4_102_444_800, "2100-01-01"),
        (4_107_542_400, "2100-03-01"),
    ];
    for (unix, wanted) in cases {
        assert_eq!(day(unix), wanted);
    }
}
