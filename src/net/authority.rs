//! A certificate authority of this device's own, and the certificates it issues for the server.
//!
//! People install the authority, so it is made once and kept. It is constrained to the names and
//! networks of this device, so that whoever steals it cannot use it to impersonate a bank.
//! `docs/decisions/013-own-authority.md` has the reasons for its dates.
//!
//! Invariant: the private key of the authority leaves neither this module nor its file.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    NameConstraints, SanType,
};
use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::{
    addresses::Surroundings,
    certificate::{CertificateError, civil, validity},
    hex, provider, state,
};

/// From when the authority is valid: before any clock that a device may start with.
const AUTHORITY_FROM: (i32, u8, u8) = (2024, 1, 1);

/// Until when the authority is valid; its validity is not limited by any system, and dates from
/// 2050 on are written in another way that is less well trodden.
const AUTHORITY_UNTIL: (i32, u8, u8) = (2049, 12, 31);

/// No clock that is right shows an earlier time, in seconds since 1970: 2026-11-01.
const NO_EARLIER: u64 = 1_793_491_200;

/// For how long a server's certificate is valid, in days. Apple's systems refuse more than 825,
/// from private authorities too.
const LEAF_DAYS: u64 = 820;

/// A server's certificate with fewer days left is replaced, so that a device that starts without
/// a clock still has this much time to find one.
const LEAF_SPARE_DAYS: u64 = 180;

/// A server's certificate is valid from this many days before it is made, at least, for phones
/// whose clock is late.
const LEAF_PAST_DAYS: u64 = 90;

const DAY: u64 = 86_400;

/// Networks that never belong to anybody else on the internet: private, link-local, loopback,
/// and the shared space of providers and overlay networks.
const PRIVATE: [&str; 9] = [
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "127.0.0.0/8",
    "100.64.0.0/10",
    "fc00::/7",
    "fe80::/10",
    "::1/128",
];

/// What people install, once, to be rid of browser warnings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// The authority's certificate (X.509 in DER).
    pub der: Vec<u8>,
    /// Its SHA-256 fingerprint.
    pub sha256: [u8; 32],
    /// What it calls itself.
    pub name: String,
}

impl Authority {
    /// The fingerprint as certificate viewers show it: `AB:CD:…`.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let pairs: Vec<_> = self
            .sha256
            .iter()
            .map(|byte| format!("{byte:02X}"))
            .collect();
        pairs.join(":")
    }
}

/// A server's certificate with its key, as TLS wants it.
#[derive(Clone)]
pub(super) struct Leaf {
    /// Chain and key.
    pub(super) key: Arc<CertifiedKey>,
    /// From when it is valid, in seconds since 1970.
    pub(super) not_before: u64,
    /// Until when.
    pub(super) not_after: u64,
}

/// The authority with its key, and the certificate that it has issued last.
pub(super) struct Own {
    state_dir: PathBuf,
    /// Names and addresses from the configuration.
    configured: BTreeSet<Name>,
    authority: Authority,
    permitted: Permitted,
    issuer: Issuer<'static, KeyPair>,
    leaf: Leaf,
    /// What the certificate in use vouches for.
    vouched: BTreeSet<Name>,
    /// What it should vouch for, but the authority may not.
    left_out: BTreeSet<Name>,
}

impl Own {
    pub(super) fn open(
        state_dir: PathBuf,
        configured: Vec<String>,
        here: &Surroundings,
    ) -> Result<Self, CertificateError> {
        let configured = configured
            .into_iter()
            .map(|name| Name::parse(&name).ok_or(CertificateError::Name { name }))
            .collect::<Result<BTreeSet<_>, _>>()?;
        state::make_directory(&state_dir).map_err(|source| CertificateError::Unwritable {
            path: state_dir.clone(),
            source,
        })?;
        let path = state_dir.join("authority.pem");
        let kept = match state::read(&path) {
            Ok(text) => {
                Some(Issued::parse(&text).and_then(|it| Permitted::read(&it.der).map(|p| (it, p))))
            }
            Err(state::ReadError::Missing) => None,
            Err(state::ReadError::Exposed { mode }) => {
                let remedy = "600";
                return Err(CertificateError::Exposed { path, mode, remedy });
            }
            Err(error) => Some(Err(error.to_string())),
        };
        let (root, permitted) = match kept {
            None => make_authority(&path, &configured, here)?,
            Some(Err(detail)) => return Err(CertificateError::Authority { path, detail }),
            Some(Ok((_, permitted))) if !configured.iter().all(|name| permitted.covers(name)) => {
                tracing::warn!(
                    "a configured name is outside what the device's own authority may vouch for; \
                     a new authority is made, and whoever installed the old one must install it"
                );
                make_authority(&path, &configured, here)?
            }
            Some(Ok(kept)) => kept,
        };
        let broken = |detail: String| CertificateError::Authority {
            path: path.clone(),
            detail,
        };
        let name = common_name(&root.der).map_err(broken)?;
        let sha256 = ring::digest::digest(&ring::digest::SHA256, &root.der);
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(sha256.as_ref());
        let issuer = Issuer::from_ca_cert_der(&root.der, root.key)
            .map_err(|error| broken(error.to_string()))?;
        let authority = Authority {
            der: root.der.to_vec(),
            sha256: fingerprint,
            name,
        };
        let (wanted, left_out) = wanted(&configured, here, &permitted);
        let path = state_dir.join("certificate.pem");
        let kept = state::read(&path)
            .ok()
            .and_then(|text| Issued::parse(&text).ok())
            .and_then(|kept| usable(kept, &authority, &issuer, &wanted, here.unix));
        let (leaf, vouched) = match kept {
            Some(kept) => kept,
            None => (issue(&path, &issuer, &wanted, here)?, wanted),
        };
        Ok(Self {
            state_dir,
            configured,
            authority,
            permitted,
            issuer,
            leaf,
            vouched,
            left_out,
        })
    }

    pub(super) fn authority(&self) -> &Authority {
        &self.authority
    }

    pub(super) fn leaf(&self) -> &Leaf {
        &self.leaf
    }

    pub(super) fn left_out(&self) -> Vec<String> {
        self.left_out.iter().map(ToString::to_string).collect()
    }

    /// Issues a new certificate where the present one lacks a name or comes to its end.
    /// Says whether it did.
    pub(super) fn check(&mut self, here: &Surroundings) -> Result<bool, CertificateError> {
        let (wanted, left_out) = wanted(&self.configured, here, &self.permitted);
        self.left_out = left_out;
        // A name too many harms nobody, and browsers that were told to accept the present
        // certificate ask again for a new one. So only a name that is missing counts.
        let in_time = is_in_time(self.leaf.not_before, self.leaf.not_after, here.unix);
        if in_time && wanted.is_subset(&self.vouched) {
            return Ok(false);
        }
        let path = self.state_dir.join("certificate.pem");
        self.leaf = issue(&path, &self.issuer, &wanted, here)?;
        self.vouched = wanted;
        Ok(true)
    }
}

/// A DNS name in lower case, or an address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    Dns(String),
    Address(IpAddr),
}

impl Name {
    fn parse(text: &str) -> Option<Self> {
        let bare = text.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse() {
            return Some(Self::Address(address));
        }
        let name = text.trim_end_matches('.').to_ascii_lowercase();
        let fits = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|c| c.is_ascii_alphanumeric() || b"-_".contains(&c))
        };
        let last = name.rsplit('.').next()?;
        // A last label of digits would be read as part of an address.
        let is_number = last.bytes().all(|c| c.is_ascii_digit());
        (name.len() <= 253 && !is_number && name.split('.').all(fits)).then_some(Self::Dns(name))
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// What an authority may vouch for: DNS names with all below them, and networks.
struct Permitted {
    names: Vec<String>,
    networks: Vec<(IpAddr, IpAddr)>,
}

impl Permitted {
    /// Reads the name constraints (RFC 5280 §4.2.1.10) of an authority.
    fn read(der: &[u8]) -> Result<Self, String> {
        let (_, parsed) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
        let constraints = parsed
            .name_constraints()
            .map_err(|error| error.to_string())?
            .and_then(|extension| extension.value.permitted_subtrees.as_ref())
            .ok_or("it has no name constraints")?;
        let mut permitted = Self {
            names: Vec::new(),
            networks: Vec::new(),
        };
        for subtree in constraints {
            match &subtree.base {
                GeneralName::DNSName(name) => permitted.names.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => permitted.networks.extend(
                    address(&bytes[..bytes.len() / 2]).zip(address(&bytes[bytes.len() / 2..])),
                ),
                _ => {}
            }
        }
        Ok(permitted)
    }

    fn covers(&self, name: &Name) -> bool {
        match name {
            Name::Dns(name) => self.names.iter().any(|tree| {
                name.strip_suffix(tree.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }),
            Name::Address(address) => self
                .networks
                .iter()
                .any(|network| is_in(*address, *network)),
        }
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(four.into());
    }
    Some(<[u8; 16]>::try_from(bytes).ok()?.into())
}

fn is_in(address: IpAddr, (network, mask): (IpAddr, IpAddr)) -> bool {
    match (address, network, mask) {
        (IpAddr::V4(a), IpAddr::V4(n), IpAddr::V4(m)) => {
            a.to_bits() & m.to_bits() == n.to_bits() & m.to_bits()
        }
        (IpAddr::V6(a), IpAddr::V6(n), IpAddr::V6(m)) => {
            a.to_bits() & m.to_bits() == n.to_bits() & m.to_bits()
        }
        _ => false,
    }
}

/// A certificate with its private key, as they stand in one file: written together or not at all.
struct Issued {
    der: CertificateDer<'static>,
    key: KeyPair,
}

impl Issued {
    fn parse(text: &str) -> Result<Self, String> {
        let der = CertificateDer::from_pem_slice(text.as_bytes()).map_err(|e| e.to_string())?;
        let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|e| e.to_string())?;
        let key = KeyPair::try_from(&key).map_err(|error| error.to_string())?;
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|error| error.to_string())?;
        if parsed.public_key().subject_public_key.data != key.public_key_raw() {
            return Err("its key belongs to another certificate".into());
        }
        Ok(Self { der, key })
    }
}

fn make_authority(
    path: &Path,
    configured: &BTreeSet<Name>,
    here: &Surroundings,
) -> Result<(Issued, Permitted), CertificateError> {
    let key = KeyPair::generate().map_err(making)?;
    let mut params = CertificateParams::default();
    params.not_before = rcgen::date_time_ymd(AUTHORITY_FROM.0, AUTHORITY_FROM.1, AUTHORITY_FROM.2);
    params.not_after =
        rcgen::date_time_ymd(AUTHORITY_UNTIL.0, AUTHORITY_UNTIL.1, AUTHORITY_UNTIL.2);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: permitted(configured, here),
        excluded_subtrees: Vec::new(),
    });
    // Two authorities of one name would be mistaken for each other in a phone's list and, worse,
    // by the search for a chain.
    let digest = ring::digest::digest(&ring::digest::SHA256, key.public_key_raw());
    let mark = hex(&digest.as_ref()[..3]).to_uppercase();
    let host: String = here.host.chars().take(40).collect();
    params.distinguished_name = distinguished(&format!("roomd {host} {mark}"));
    let certificate = params.self_signed(&key).map_err(making)?;
    let text = format!("{}{}", certificate.pem(), key.serialize_pem());
    state::write(path, text.as_bytes()).map_err(|source| CertificateError::Unwritable {
        path: path.into(),
        source,
    })?;
    let der = certificate.der().clone();
    let permitted = Permitted::read(&der).map_err(CertificateError::Making)?;
    tracing::info!("the device's own certificate authority has been made");
    Ok((Issued { der, key }, permitted))
}

/// What the authority may vouch for, for ever: so what the device may be called or get assigned
/// later is in it too, where nobody else can own that.
fn permitted(configured: &BTreeSet<Name>, here: &Surroundings) -> Vec<GeneralSubtree> {
    let mut names: BTreeSet<String> = ["local", "localhost"].map(String::from).into();
    let mut networks: BTreeSet<(IpAddr, u8)> = BTreeSet::new();
    for network in PRIVATE {
        if let Some((address, length)) = network.split_once('/') {
            networks.extend(address.parse().ok().zip(length.parse().ok()));
        }
    }
    let own = host_names(&here.host).chain(here.addresses.iter().copied().map(Name::Address));
    for name in own.chain(configured.iter().cloned()) {
        match name {
            Name::Dns(name) => {
                names.insert(name);
            }
            Name::Address(address) => {
                let is_private = networks
                    .iter()
                    .any(|(network, length)| is_in(address, (*network, mask(*network, *length))));
                if !is_private {
                    // A provider delegates whole /64s, and addresses in one change at will.
                    networks.insert((address, if address.is_ipv4() { 32 } else { 64 }));
                }
            }
        }
    }
    names
        .into_iter()
        .map(GeneralSubtree::DnsName)
        .chain(networks.into_iter().map(|(network, length)| {
            GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(
                first_of(network, length),
                length,
            ))
        }))
        .collect()
}

fn mask(of: IpAddr, length: u8) -> IpAddr {
    match of {
        IpAddr::V4(_) => {
            let rest = 32_u32.saturating_sub(length.into());
            IpAddr::V4(u32::MAX.checked_shl(rest).unwrap_or(0).into())
        }
        IpAddr::V6(_) => {
            let rest = 128_u32.saturating_sub(length.into());
            IpAddr::V6(u128::MAX.checked_shl(rest).unwrap_or(0).into())
        }
    }
}

/// The network's own address: RFC 5280 wants no bits beyond the mask, and some readers insist.
fn first_of(address: IpAddr, length: u8) -> IpAddr {
    match (address, mask(address, length)) {
        (IpAddr::V4(a), IpAddr::V4(m)) => IpAddr::V4((a.to_bits() & m.to_bits()).into()),
        (IpAddr::V6(a), IpAddr::V6(m)) => IpAddr::V6((a.to_bits() & m.to_bits()).into()),
        (other, _) => other,
    }
}

/// The host's name as it is, and its first label where it has several.
fn host_names(host: &str) -> impl Iterator<Item = Name> {
    let short = host.split('.').next().unwrap_or(host);
    let mut names: BTreeSet<Name> = BTreeSet::new();
    names.extend(Name::parse(host));
    names.extend(Name::parse(short));
    names.into_iter()
}

/// What the server's certificate should vouch for, and what of it the authority may not.
fn wanted(
    configured: &BTreeSet<Name>,
    here: &Surroundings,
    permitted: &Permitted,
) -> (BTreeSet<Name>, BTreeSet<Name>) {
    let short = here.host.split('.').next().unwrap_or(&here.host);
    host_names(&here.host)
        .chain(Name::parse(&format!("{short}.local")))
        .chain(Name::parse("localhost"))
        .chain(here.addresses.iter().copied().map(Name::Address))
        .chain(configured.iter().cloned())
        .partition(|name| permitted.covers(name))
}

/// The kept certificate, where it is from this authority, vouches for all and has time left.
fn usable(
    kept: Issued,
    authority: &Authority,
    issuer: &Issuer<'static, KeyPair>,
    wanted: &BTreeSet<Name>,
    unix: u64,
) -> Option<(Leaf, BTreeSet<Name>)> {
    let (_, parsed) = X509Certificate::from_der(&kept.der).ok()?;
    let (_, by) = X509Certificate::from_der(&authority.der).ok()?;
    if parsed.issuer() != by.subject() {
        return None;
    }
    let signature = ring::signature::UnparsedPublicKey::new(
        &ring::signature::ECDSA_P256_SHA256_ASN1,
        issuer.key().public_key_raw(),
    );
    signature
        .verify(
            parsed.tbs_certificate.as_ref(),
            &parsed.signature_value.data,
        )
        .ok()?;
    let (not_before, not_after) = validity(&kept.der).ok()?;
    let vouched: BTreeSet<Name> = parsed
        .subject_alternative_name()
        .ok()??
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Name::parse(name),
            GeneralName::IPAddress(bytes) => address(bytes).map(Name::Address),
            _ => None,
        })
        .collect();
    if !wanted.is_subset(&vouched) || !is_in_time(not_before, not_after, unix) {
        return None;
    }
    let leaf = leaf(kept, not_before, not_after).ok()?;
    Some((leaf, vouched))
}

fn issue(
    path: &Path,
    issuer: &Issuer<'static, KeyPair>,
    wanted: &BTreeSet<Name>,
    here: &Surroundings,
) -> Result<Leaf, CertificateError> {
    let key = KeyPair::generate().map_err(making)?;
    let (not_before, not_after) = leaf_validity(here.unix);
    let date = |unix| {
        let (year, month, day) = civil(unix);
        rcgen::date_time_ymd(year, month, day)
    };
    let mut params = CertificateParams::default();
    params.not_before = date(not_before);
    params.not_after = date(not_after);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params.subject_alt_names = wanted
        .iter()
        .map(|name| match name {
            Name::Dns(name) => Ok(SanType::DnsName(name.as_str().try_into().map_err(making)?)),
            Name::Address(address) => Ok(SanType::IpAddress(*address)),
        })
        .collect::<Result<_, CertificateError>>()?;
    // Some verifiers hold a common name that looks like a host's to the constraints too, so it
    // must not look like one.
    params.distinguished_name = distinguished("roomd server");
    let certificate = params.signed_by(&key, issuer).map_err(making)?;
    let text = format!("{}{}", certificate.pem(), key.serialize_pem());
    state::write(path, text.as_bytes()).map_err(|source| CertificateError::Unwritable {
        path: path.into(),
        source,
    })?;
    let der = certificate.der().clone();
    leaf(Issued { der, key }, not_before, not_after)
}

/// When a certificate made now shall begin and end: at the beginning of a quarter, so that the
/// date says nothing about the device's clock, and in days past, for late clocks.
fn leaf_validity(unix: u64) -> (u64, u64) {
    let past = unix.max(NO_EARLIER) - LEAF_PAST_DAYS * DAY;
    let (_, month, day) = civil(past);
    let midnight = past - past % DAY;
    let mut begin = midnight - u64::from(day - 1) * DAY;
    for _ in 0..(month - 1) % 3 {
        // From the first of a month to the first of the one before.
        let last = begin - DAY;
        begin = last - u64::from(civil(last).2 - 1) * DAY;
    }
    (begin, begin + LEAF_DAYS * DAY)
}

fn is_in_time(not_before: u64, not_after: u64, unix: u64) -> bool {
    let unix = unix.max(NO_EARLIER);
    not_before <= unix && unix + LEAF_SPARE_DAYS * DAY <= not_after
}

fn leaf(issued: Issued, not_before: u64, not_after: u64) -> Result<Leaf, CertificateError> {
    let key = PrivateKeyDer::try_from(issued.key.serialize_der())
        .map_err(|error| CertificateError::Making(error.into()))?;
    let key = CertifiedKey::from_der(vec![issued.der], key, &provider())
        .map_err(|error| CertificateError::Making(error.to_string()))?;
    Ok(Leaf {
        key: Arc::new(key),
        not_before,
        not_after,
    })
}

fn common_name(der: &[u8]) -> Result<String, String> {
    let (_, parsed) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
    let name = parsed
        .subject()
        .iter_common_name()
        .next()
        .and_then(|name| name.as_str().ok());
    Ok(name.ok_or("it has no name")?.to_owned())
}

fn distinguished(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "roomd");
    name.push(DnType::CommonName, common_name);
    name
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "it is what map_err hands over"
)]
fn making(error: rcgen::Error) -> CertificateError {
    CertificateError::Making(error.to_string())
}
