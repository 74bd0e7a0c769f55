//! Whether a DTLS certificate is the one that a description promised.
//!
//! webrtcbin does not compare them before 1.28.5, so we do: without this, whoever can reach the
//! port could be the other side.

use ring::digest;

use crate::sdp::{Fingerprint, Hash};

/// A certificate that cannot be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the certificate is not PEM")]
pub struct NotPem;

/// Whether one of the fingerprints is that of the certificate.
pub fn matches(pem: &str, fingerprints: &[Fingerprint]) -> Result<bool, NotPem> {
    let der = der(pem).ok_or(NotPem)?;
    Ok(fingerprints.iter().any(|fingerprint| {
        let algorithm = match fingerprint.hash {
            Hash::Sha256 => &digest::SHA256,
            Hash::Sha384 => &digest::SHA384,
            Hash::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, &der).as_ref() == fingerprint.digest()
    }))
}

/// The first certificate of a PEM text (RFC 7468).
fn der(pem: &str) -> Option<Vec<u8>> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let body = pem
        .split_once("-----BEGIN CERTIFICATE-----")?
        .1
        .split_once("-----END CERTIFICATE-----")?
        .0;
    let text: String = body.split_ascii_whitespace().collect();
    STANDARD.decode(text).ok().filter(|der| !der.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    // "roomd" in place of a certificate: the digest does not care.
    const PEM: &str = "-----BEGIN CERTIFICATE-----\ncm9v\nbWQ=\n-----END CERTIFICATE-----\n";

    fn of(hash: &str, algorithm: &'static digest::Algorithm, what: &[u8]) -> Fingerprint {
        let digest = digest::digest(algorithm, what);
        let digits: Vec<_> = digest.as_ref().iter().map(|b| format!("{b:02X}")).collect();
        format!("{hash} {}", digits.join(":")).parse().unwrap()
    }

    #[test]
    fn one_match_among_several_is_enough() {
        let right = of("sha-256", &digest::SHA256, b"roomd");
        let strong = of("sha-512", &digest::SHA512, b"roomd");
        let wrong = of("sha-256", &digest::SHA256, b"r00md");
        assert_eq!(matches(PEM, std::slice::from_ref(&right)), Ok(true));
        assert_eq!(matches(PEM, &[strong]), Ok(true));
        assert_eq!(matches(PEM, &[wrong.clone(), right]), Ok(true));
        assert_eq!(matches(PEM, &[wrong]), Ok(false));
        assert_eq!(matches(PEM, &[]), Ok(false));
    }

    #[test]
    fn what_is_no_certificate_is_an_error() {
        assert_eq!(matches("", &[]), Err(NotPem));
        assert_eq!(matches(&PEM.replace("cm9v", "!"), &[]), Err(NotPem));
        assert_eq!(matches(&PEM.replace("END", "X"), &[]), Err(NotPem));
    }
}
