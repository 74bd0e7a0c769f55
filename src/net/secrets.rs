//! The room's PIN and the administrator's token, made at the first start.
//!
//! Invariant: their values reach the terminal of whoever asks `roomd pin`, the PIN reaches the
//! device's own screen while nobody is there, and nothing else:
//! `Debug` hides them and there is no `Display`.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    str::FromStr,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::state;

/// Digits of a PIN that roomd makes.
const PIN_DIGITS: u32 = 6;

/// Random bytes in an administrator's token.
const TOKEN_BYTES: usize = 32;

/// What opens the device, from its state directory.
#[derive(Debug, Clone)]
pub struct Secrets {
    /// What a person types to join.
    pub pin: Pin,
    /// What a program presents to administer.
    pub token: Token,
}

impl Secrets {
    /// Reads both, and makes those that are missing.
    pub fn open(state_dir: &Path) -> Result<Self, SecretError> {
        state::make_directory(state_dir).map_err(|source| SecretError::Unwritable {
            path: state_dir.into(),
            source,
        })?;
        Ok(Self {
            pin: read_or_make(&state_dir.join("pin"), Pin::random)?,
            token: read_or_make(&state_dir.join("token"), Token::random)?,
        })
    }

    /// Makes another PIN in the place of the one there is, and reads both.
    pub fn renew_pin(state_dir: &Path) -> Result<Self, SecretError> {
        let path = state_dir.join("pin");
        Pin::random()
            .and_then(|pin| write(&path, &pin))
            .map_err(|source| SecretError::Unwritable { path, source })?;
        Self::open(state_dir)
    }

    /// Reads both and changes nothing, as `roomd pin` must.
    pub fn read(state_dir: &Path) -> Result<Self, SecretError> {
        Ok(Self {
            pin: read(&state_dir.join("pin"))?,
            token: read(&state_dir.join("token"))?,
        })
    }
}

/// Why a PIN or a token cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// roomd has not run yet.
    #[error("{} does not exist; roomd makes it at its first start", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// Somebody else may know it.
    #[error(
        "{0} may be read by others (mode {mode:04o}); remove it to have a new one made, \
         or run: chmod 600 {0}",
        path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Somebody has edited it into something else.
    #[error("{} is not {wanted}; remove it to have a new one made", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What it should be.
        wanted: &'static str,
    },
    /// The system does not let us read it.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The system does not let us write it.
    #[error("{} cannot be written; is the state directory ours?", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Four to twelve digits.
#[derive(Clone, PartialEq, Eq)]
pub struct Pin(String);

/// 32 to 128 characters of `[A-Za-z0-9_-]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Pin {
    /// The digits, to compare or to show to whoever asked.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Six digits, each set equally likely but for those that everybody tries first.
    fn random() -> io::Result<Self> {
        const SETS: u32 = 10_u32.pow(PIN_DIGITS);
        loop {
            let number = u32::from_be_bytes(random()?);
            // Above the last multiple some sets would be likelier than others.
            if number >= u32::MAX - u32::MAX % SETS {
                continue;
            }
            let digits = format!("{:06}", number % SETS);
            if !is_tried_first(&digits) {
                return Ok(Self(digits));
            }
        }
    }
}

impl FromStr for Pin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (4..=12).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_digit());
        if fits {
            Ok(Self(text.into()))
        } else {
            Err("a PIN of 4 to 12 digits")
        }
    }
}

impl Token {
    /// The characters, to compare or to show to whoever asked.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    fn random() -> io::Result<Self> {
        Ok(Self(URL_SAFE_NO_PAD.encode(random::<TOKEN_BYTES>()?)))
    }
}

impl FromStr for Token {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (32..=128).contains(&text.len())
            && text
                .bytes()
                .all(|c| c.is_ascii_alphanumeric() || b"_-".contains(&c));
        if fits {
            Ok(Self(text.into()))
        } else {
            Err("a token of 32 to 128 letters, digits, _ and -")
        }
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[private]")
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[private]")
    }
}

trait Kept: FromStr<Err = &'static str> {
    fn text(&self) -> &str;
}

impl Kept for Pin {
    fn text(&self) -> &str {
        self.reveal()
    }
}

impl Kept for Token {
    fn text(&self) -> &str {
        self.reveal()
    }
}

fn read_or_make<T: Kept>(path: &Path, make: fn() -> io::Result<T>) -> Result<T, SecretError> {
    match read(path) {
        Err(SecretError::Missing { .. }) => {}
        other => return other,
    }
    make()
        .and_then(|new| write(path, &new).map(|()| new))
        .map_err(|source| SecretError::Unwritable {
            path: path.into(),
            source,
        })
}

fn write<T: Kept>(path: &Path, value: &T) -> io::Result<()> {
    state::write(path, format!("{}\n", value.text()).as_bytes())
}

fn read<T: Kept>(path: &Path) -> Result<T, SecretError> {
    let path = path.to_owned();
    match state::read(&path) {
        Ok(text) => text
            .trim()
            .parse()
            .map_err(|wanted| SecretError::Malformed { path, wanted }),
        Err(state::ReadError::Missing) => Err(SecretError::Missing { path }),
        Err(state::ReadError::Exposed { mode }) => Err(SecretError::Exposed { path, mode }),
        Err(state::ReadError::Io(source)) => Err(SecretError::Unreadable { path, source }),
    }
}

fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// One digit repeated, or digits that count up or down.
fn is_tried_first(digits: &str) -> bool {
    let mut steps = digits
        .as_bytes()
        .windows(2)
        .map(|pair| i16::from(pair[1]) - i16::from(pair[0]));
    let Some(first) = steps.next() else {
        return true;
    };
    first.abs() <= 1 && steps.all(|step| step == first)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn secrets_are_made_once_and_read_ever_after() {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().join("state");
        assert!(matches!(
            Secrets::read(&directory),
            Err(SecretError::Missing { .. })
        ));
        let made = Secrets::open(&directory).unwrap();
        assert_eq!(made.pin.reveal().len(), 6);
        assert_eq!(made.token.reveal().len(), 43);
        for again in [Secrets::open(&directory), Secrets::read(&directory)] {
            let again = again.unwrap();
            assert_eq!(again.pin, made.pin);
            assert_eq!(again.token, made.token);
        }
        for file in ["pin", "token"] {
            let found = fs::metadata(directory.join(file)).unwrap();
            assert_eq!(found.permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_secret_that_cannot_be_trusted_is_refused_and_kept() {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path();
        Secrets::open(directory).unwrap();
        let pin = directory.join("pin");

        fs::write(&pin, "12 34\n").unwrap();
        assert_eq!(
            Secrets::open(directory).unwrap_err().to_string(),
            format!(
                "{} is not a PIN of 4 to 12 digits; remove it to have a new one made",
                pin.display()
            )
        );
        fs::write(&pin, "0420\n").unwrap();
        assert_eq!(Secrets::open(directory).unwrap().pin.reveal(), "0420");

        fs::set_permissions(&pin, fs::Permissions::from_mode(0o644)).unwrap();
        let refusal = Secrets::open(directory).unwrap_err().to_string();
        assert!(
            refusal.contains("mode 0644") && refusal.contains("chmod 600"),
            "{refusal}"
        );
        assert_eq!(fs::read_to_string(&pin).unwrap(), "0420\n");
    }

    #[test]
    fn pins_that_everybody_tries_first_are_not_given_out() {
        for pin in ["000000", "777777", "123456", "987654"] {
            assert!(is_tried_first(pin), "{pin}");
        }
        for pin in ["042137", "123457", "112233", "135791"] {
            assert!(!is_tried_first(pin), "{pin}");
        }
    }

    #[test]
    fn a_secret_is_never_printed() {
        let pin: Pin = "4711".parse().unwrap();
        let token = Token::random().unwrap();
        let shown = format!("{:?}", Secrets { pin, token });
        assert_eq!(shown, "Secrets { pin: [private], token: [private] }");
    }
}
