//! The certificate that the server shows, and how it stays good without a restart.
//!
//! It comes from files that somebody else renews, or from an authority of this device's own.
//! Invariant: once open there is always a usable certificate, the newest that was good.

#[cfg(test)]
mod tests;

use std::{
    fmt, fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{
    addresses::Surroundings,
    authority::{Leaf, Own},
    provider,
};

pub use super::authority::Authority;

/// How often the files are looked at. Renewal comes weeks before the old certificate ends.
const FILES_EVERY: Duration = Duration::from_mins(1);

/// How often names and addresses are looked at. A person waits for a device with a new address.
const ADDRESSES_EVERY: Duration = Duration::from_secs(10);

/// Where the certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Files in PEM that somebody else renews.
    Files {
        /// The certificate and the chain below the root.
        certificate: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
    /// An authority of this device's own.
    Own {
        /// Where it is kept.
        state_dir: PathBuf,
        /// Names and addresses, beside those of the machine, under which it is reached.
        names: Vec<String>,
    },
}

/// Why there is no usable certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("{} cannot be written; is the state directory ours?", path.display())]
    Unwritable {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file holds something else.
    #[error("{} holds no {wanted}", path.display())]
    Empty {
        /// Which.
        path: PathBuf,
        /// What was looked for.
        wanted: &'static str,
    },
    /// A file is broken.
    #[error("{} cannot be used: {detail}", path.display())]
    Broken {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// Others on this machine may read the private key.
    #[error(
        "{0} may be read by others on this machine (mode {mode:04o}); run: chmod {remedy} {0}",
        path.display()
    )]
    Exposed {
        /// The key's file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// What `chmod` should do about it.
        remedy: &'static str,
    },
    /// The key belongs to another certificate.
    #[error(
        "the key in {} does not belong to the first certificate in {}; \
         that file must begin with the server's own certificate, and the chain follow",
        key.display(),
        certificate.display()
    )]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The device's own authority is broken, and people may have installed it.
    #[error(
        "the device's own authority in {} cannot be used: {detail}; bring it back from a copy, or \
         remove it to have a new one made, which everybody who installed the old one must install",
        path.display()
    )]
    Authority {
        /// The authority's file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// A name in the configuration cannot be in a certificate.
    #[error("{name:?} is neither a host name nor an address")]
    Name {
        /// As configured.
        name: String,
    },
    /// Making a certificate did not work.
    #[error("a certificate could not be made: {0}")]
    Making(String),
}

/// What a look at the source has brought.
#[derive(Debug)]
pub enum Change {
    /// All is as it was.
    None,
    /// A new certificate is in use.
    Renewed {
        /// The day it ends, as `YYYY-MM-DD`.
        until: String,
    },
    /// There is something new, but it is no good. The old certificate stays in use.
    Kept(CertificateError),
}

/// The certificate in use. Clones share it.
#[derive(Clone)]
pub struct Certificate {
    current: Arc<Current>,
    origin: Arc<Mutex<Origin>>,
    tls: Arc<ServerConfig>,
}

impl Certificate {
    /// Loads or makes the certificate. A broken one is refused here.
    pub fn open(source: Source, here: &Surroundings) -> Result<Self, CertificateError> {
        let (first, origin) = match source {
            Source::Files { certificate, key } => {
                let files = Files { certificate, key };
                let stamp = files.stamp()?;
                let loaded = files.load(here.unix)?;
                (loaded, Origin::Files { files, seen: stamp })
            }
            Source::Own { state_dir, names } => {
                let own = Own::open(state_dir, names, here)?;
                (own.leaf().clone(), Origin::Own(Box::new(own)))
            }
        };
        let current = Arc::new(Current(RwLock::new(first)));
        let mut tls = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| CertificateError::Making(error.to_string()))?
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            current,
            origin: Arc::new(Mutex::new(origin)),
            tls: Arc::new(tls),
        })
    }

    /// TLS with whatever certificate is in use when a connection begins.
    #[must_use]
    pub fn tls(&self) -> Arc<ServerConfig> {
        self.tls.clone()
    }

    /// The device's own authority, where the certificate is from it.
    #[must_use]
    pub fn authority(&self) -> Option<Authority> {
        match &*self.origin() {
            Origin::Files { .. } => None,
            Origin::Own(own) => Some(own.authority().clone()),
        }
    }

    /// Addresses and names that the device's own authority may not vouch for.
    ///
    /// They warn in a browser even where the authority is installed, until they are configured.
    #[must_use]
    pub fn left_out(&self) -> Vec<String> {
        match &*self.origin() {
            Origin::Files { .. } => Vec::new(),
            Origin::Own(own) => own.left_out(),
        }
    }

    /// The day on which the certificate in use ends, as `YYYY-MM-DD`.
    #[must_use]
    pub fn until(&self) -> String {
        day(self.current.get().not_after)
    }

    /// Looks at the source once, and takes what is new and good. It reads and may write files.
    ///
    /// A failure is reported once for each state of the files.
    #[must_use = "its log() tells the operator"]
    pub fn check(&self, here: &Surroundings) -> Change {
        let fresh = match &mut *self.origin() {
            Origin::Files { files, seen } => files.check(seen, here.unix),
            Origin::Own(own) => own.check(here).map(|new| new.then(|| own.leaf().clone())),
        };
        match fresh {
            Ok(None) => Change::None,
            Ok(Some(leaf)) => {
                let until = day(leaf.not_after);
                self.current.set(leaf);
                Change::Renewed { until }
            }
            Err(error) => Change::Kept(error),
        }
    }

    /// Looks at the source for ever, and writes into the log what changes.
    pub async fn follow(self) {
        let every = match &*self.origin() {
            Origin::Files { .. } => FILES_EVERY,
            Origin::Own(_) => ADDRESSES_EVERY,
        };
        let mut pace = tokio::time::interval(every);
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            pace.tick().await;
            let this = self.clone();
            let look = move || this.check(&Surroundings::look());
            match tokio::task::spawn_blocking(look).await {
                Ok(change) => change.log(),
                Err(_) => return,
            }
        }
    }

    fn origin(&self) -> std::sync::MutexGuard<'_, Origin> {
        self.origin.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("until", &self.until())
            .finish_non_exhaustive()
    }
}

impl Change {
    /// Writes what an operator should know into the log.
    pub fn log(&self) {
        match self {
            Self::None => {}
            Self::Renewed { until } => tracing::info!(%until, "certificate renewed"),
            Self::Kept(error) => {
                tracing::warn!(%error, "the new certificate is no good; the old one stays in use");
            }
        }
    }
}

enum Origin {
    Files { files: Files, seen: Stamp },
    Own(Box<Own>),
}

/// What TLS asks at each handshake.
struct Current(RwLock<Leaf>);

impl Current {
    fn get(&self) -> Leaf {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, leaf: Leaf) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = leaf;
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.get().key)
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Current")
    }
}

struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// What tells one state of the two files from another: time, length, device and inode of each.
type Stamp = [(i64, i64, u64, u64, u64); 2];

impl Files {
    fn stamp(&self) -> Result<Stamp, CertificateError> {
        let stamp = |path: &Path| {
            // This follows links: that is how certbot renews.
            let found = fs::metadata(path).map_err(|error| unreadable(path, error))?;
            Ok((
                found.mtime(),
                found.mtime_nsec(),
                found.len(),
                found.dev(),
                found.ino(),
            ))
        };
        Ok([stamp(&self.certificate)?, stamp(&self.key)?])
    }

    fn check(&self, seen: &mut Stamp, unix: u64) -> Result<Option<Leaf>, CertificateError> {
        const GONE: Stamp = [(0, 0, 0, 0, 0); 2];
        let stamp = match self.stamp() {
            Ok(stamp) => stamp,
            // Said once; while a renewal is under way, or a mount is missing, it is said of itself.
            Err(_) if *seen == GONE => return Ok(None),
            Err(error) => {
                *seen = GONE;
                return Err(error);
            }
        };
        if stamp == *seen {
            return Ok(None);
        }
        *seen = stamp;
        self.load(unix).map(Some)
    }

    fn load(&self, unix: u64) -> Result<Leaf, CertificateError> {
        let broken = |path: &Path, detail: &dyn fmt::Display| CertificateError::Broken {
            path: path.into(),
            detail: detail.to_string(),
        };
        let mode = fs::metadata(&self.key)
            .map_err(|error| unreadable(&self.key, error))?
            .permissions()
            .mode()
            & 0o7777;
        if mode & 0o007 != 0 {
            let path = self.key.clone();
            // A group is a common way to share a key among the services of one machine.
            let remedy = "o-rwx";
            return Err(CertificateError::Exposed { path, mode, remedy });
        }
        let text = fs::read(&self.certificate).map_err(|e| unreadable(&self.certificate, e))?;
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&text)
            .collect::<Result<_, _>>()
            .map_err(|error| broken(&self.certificate, &error))?;
        let first = chain.first().ok_or_else(|| CertificateError::Empty {
            path: self.certificate.clone(),
            wanted: "certificate in PEM",
        })?;
        let (not_before, not_after) =
            validity(first).map_err(|error| broken(&self.certificate, &error))?;
        let text = fs::read(&self.key).map_err(|error| unreadable(&self.key, error))?;
        let key = PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
            rustls::pki_types::pem::Error::NoItemsFound => CertificateError::Empty {
                path: self.key.clone(),
                wanted: "private key in PEM",
            },
            error => broken(&self.key, &error),
        })?;
        let key = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => CertificateError::Mismatch {
                certificate: self.certificate.clone(),
                key: self.key.clone(),
            },
            error => broken(&self.key, &error),
        })?;
        // Our clock may be the one that is wrong, so this only warns.
        if unix > not_after || unix < not_before {
            tracing::warn!(
                file = %self.certificate.display(),
                from = %day(not_before), until = %day(not_after),
                "the certificate is not valid at this time; browsers will refuse it"
            );
        }
        Ok(Leaf {
            key: Arc::new(key),
            not_before,
            not_after,
        })
    }
}

/// When a certificate begins and ends, in seconds since 1970.
pub(super) fn validity(der: &[u8]) -> Result<(u64, u64), String> {
    let (_, parsed) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
    let seconds = |time: x509_parser::time::ASN1Time| time.timestamp().try_into().unwrap_or(0);
    let validity = parsed.validity();
    Ok((seconds(validity.not_before), seconds(validity.not_after)))
}

/// `YYYY-MM-DD` of seconds since 1970.
pub(super) fn day(unix: u64) -> String {
    let (year, month, day) = civil(unix);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Year, month and day of seconds since 1970, in the Gregorian calendar.
pub(super) fn civil(unix: u64) -> (i32, u8, u8) {
    // Each year begins in March here, so that the day that is not always there is its last.
    const DAYS_IN_400_YEARS: u64 = 146_097;
    const MARCH_YEAR_0_TO_1970: u64 = 719_468;
    let days = unix / 86_400 + MARCH_YEAR_0_TO_1970;
    let (era, day) = (days / DAYS_IN_400_YEARS, days % DAYS_IN_400_YEARS);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day_of_month = day - (153 * month + 2) / 5 + 1;
    let (month, year) = if month < 10 {
        (month + 3, year)
    } else {
        (month - 9, year + 1)
    };
    let clamp = |number: u64| u8::try_from(number).unwrap_or(1);
    (
        i32::try_from(era * 400 + year).unwrap_or(i32::MAX),
        clamp(month),
        clamp(day_of_month),
    )
}

fn unreadable(path: &Path, source: io::Error) -> CertificateError {
    CertificateError::Unreadable {
        path: path.into(),
        source,
    }
}
