//! Fingerprints of certificates (RFC 8122).

use std::{fmt, str::FromStr};

/// A hash of a fingerprint. Weaker ones than SHA-256 are not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// 32 bytes. What every browser writes.
    Sha256,
    /// 48 bytes.
    Sha384,
    /// 64 bytes.
    Sha512,
}

impl Hash {
    fn length(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }
}

/// `a=fingerprint`: which certificate the writer will present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// How it was made.
    pub hash: Hash,
    /// Exactly as many bytes as the hash has.
    digest: Vec<u8>,
}

impl Fingerprint {
    /// The hash of the certificate's DER.
    #[must_use]
    pub fn digest(&self) -> &[u8] {
        &self.digest
    }
}

/// Why a text is not a fingerprint that we can compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FingerprintError {
    /// A hash that we do not know, or do not trust.
    #[error("the hash is not SHA-256, SHA-384 or SHA-512")]
    Hash,
    /// Not pairs of hexadecimal digits between colons, as many as the hash has bytes.
    #[error("the digits are not those of its hash")]
    Digits,
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let (name, digits) = text.split_once(' ').ok_or(FingerprintError::Hash)?;
        let hash = [Hash::Sha256, Hash::Sha384, Hash::Sha512]
            .into_iter()
            .find(|hash| name.eq_ignore_ascii_case(hash.as_str()))
            .ok_or(FingerprintError::Hash)?;
        let digest = digits
            .split(':')
            .map(|pair| {
                let two = pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit());
                two.then(|| u8::from_str_radix(pair, 16).ok()).flatten()
            })
            .collect::<Option<Vec<u8>>>()
            .filter(|digest| digest.len() == hash.length())
            .ok_or(FingerprintError::Digits)?;
        Ok(Self { hash, digest })
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.hash.as_str())?;
        for (place, byte) in self.digest.iter().enumerate() {
            write!(f, "{}{byte:02X}", if place == 0 { ' ' } else { ':' })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_reads_and_writes_back() {
        let text = format!("sha-256 {}", ["AB"; 32].join(":"));
        let fingerprint: Fingerprint = text.parse().unwrap();
        assert_eq!(fingerprint.to_string(), text);
        assert_eq!(
            text.to_lowercase().parse::<Fingerprint>(),
            Ok(fingerprint),
            "case does not matter"
        );
    }

    #[test]
    fn only_strong_hashes_of_the_right_length_are_taken() {
        let parse = str::parse::<Fingerprint>;
        let digits = |n| vec!["00"; n].join(":");
        assert_eq!(
            parse(&format!("sha-1 {}", digits(20))),
            Err(FingerprintError::Hash)
        );
        assert_eq!(parse("sha-256"), Err(FingerprintError::Hash));
        assert_eq!(parse("sha-256 "), Err(FingerprintError::Digits));
        assert_eq!(
            parse(&format!("sha-256 {}", digits(31))),
            Err(FingerprintError::Digits)
        );
        assert_eq!(
            parse(&format!("sha-256 {}", digits(33))),
            Err(FingerprintError::Digits)
        );
        assert_eq!(
            parse(&format!("sha-256 {}:", digits(32))),
            Err(FingerprintError::Digits)
        );
        assert_eq!(
            parse(&format!("sha-256 +1:{}", digits(31))),
            Err(FingerprintError::Digits)
        );
        assert!(parse(&format!("SHA-512 {}", digits(64))).is_ok());
    }
}
