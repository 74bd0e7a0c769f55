//! `roomd snapshot`: what the wall shows, into a file of whoever asks.
//!
//! The daemon hands the picture over the control socket. It never hears of the file, which is
//! written with the rights of the one who typed the command.

use std::{
    fs::{self, OpenOptions},
    io::{self, IsTerminal as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{
    control,
    system::state::{self, Readers},
};

/// What stands for standard output.
const OUTPUT: &str = "-";

/// Takes the picture and puts it where it was asked for. Says what there is to say.
pub(super) fn take(socket: &Path, file: &Path, force: bool) -> Result<String, String> {
    let output = file == Path::new(OUTPUT);
    // Known before there is a picture, so that nobody is asked for one in vain.
    if output && io::stdout().is_terminal() {
        return Err("a picture is nothing for a terminal: name a file, or hand it on".to_owned());
    }
    if !output {
        check(file, force)?;
    }
    let answer = control::ask(socket, &json!({ "do": "snapshot" }));
    let answer = answer.map_err(|error| error.to_string())?;
    let png = read(&answer).ok_or("roomd answered with what is no picture")?;
    if output {
        let mut out = io::stdout().lock();
        return match out.write_all(&png).and_then(|()| out.flush()) {
            // Whoever has seen enough is not told that there was more.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(format!("the picture cannot be written: {error}"))
            }
            _ => Ok(String::new()),
        };
    }
    write(file, &png, force).map_err(|error| not_written(file, &error))?;
    let (width, height) = size(&png).unwrap_or_default();
    Ok(format!(
        "Saved {}, {width}x{height} pixels.\n",
        file.display()
    ))
}

/// The daemon's answer.
#[cfg(feature = "media")]
pub(super) fn answer(png: &[u8]) -> Value {
    json!({ "png": STANDARD.encode(png) })
}

fn read(answer: &Value) -> Option<Vec<u8>> {
    let png = STANDARD.decode(answer["png"].as_str()?).ok()?;
    size(&png).is_some().then_some(png)
}

/// Width and height of a PNG: they stand in its first chunk (RFC 2083, section 4.1.1).
fn size(png: &[u8]) -> Option<(u32, u32)> {
    let (width, rest) = png
        .strip_prefix(b"\x89PNG\r\n\x1a\n")?
        .get(8..)?
        .split_first_chunk()?;
    let (height, _) = rest.split_first_chunk()?;
    Some((u32::from_be_bytes(*width), u32::from_be_bytes(*height)))
}

/// Refuses what is not to be replaced.
fn check(file: &Path, force: bool) -> Result<(), String> {
    match fs::metadata(file) {
        Ok(found) if !found.is_file() => Err(format!("{} is not a file", file.display())),
        Ok(_) if !force => Err(taken(file)),
        _ => Ok(()),
    }
}

fn taken(file: &Path) -> String {
    format!(
        "{} is there already; --force puts the picture in its place",
        file.display()
    )
}

fn not_written(file: &Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AlreadyExists => taken(file),
        _ => format!("{} cannot be written: {error}", file.display()),
    }
}

/// Writes all of it or nothing, for its owner alone: while nobody is there, the picture has the PIN.
fn write(file: &Path, png: &[u8], force: bool) -> io::Result<()> {
    if force {
        return state::write(&with_directory(file), png, Readers::Owner);
    }
    let mut options = OpenOptions::new();
    let options = options.write(true).create_new(true).mode(0o600);
    let mut new = options.open(file)?;
    let written = new.write_all(png).and_then(|()| new.sync_all());
    if written.is_err() {
        let _ = fs::remove_file(file);
    }
    written
}

/// A name alone is one in the present directory.
fn with_directory(file: &Path) -> PathBuf {
    match file.parent() {
        Some(directory) if directory.as_os_str().is_empty() => Path::new(".").join(file),
        _ => file.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// The beginning of a PNG of 640x360.
    const BEGINNING: &[u8] =
        b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\x02\x80\0\0\x01\x68\x08\x02\0\0\0";

    #[test]
    fn an_answer_is_a_picture_or_nothing() {
        assert_eq!(size(BEGINNING), Some((640, 360)));
        let answer = json!({ "png": STANDARD.encode(BEGINNING) });
        assert_eq!(read(&answer).as_deref(), Some(BEGINNING));
        for bad in [
            json!({}),
            json!({ "png": "%" }),
            json!({ "png": STANDARD.encode(b"GIF89a") }),
            json!({ "png": STANDARD.encode(&BEGINNING[..20]) }),
        ] {
            assert_eq!(read(&bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_there_is_replaced_only_by_force() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("wall.png");
        check(&file, false).unwrap();
        let mode = || fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        write(&file, b"one", false).unwrap();
        assert_eq!(mode(), 0o600);
        let refused = check(&file, false).unwrap_err();
        assert!(refused.contains("--force"), "{refused}");
        // Made by somebody else since it was looked for.
        let refused = write(&file, b"two", false).unwrap_err();
        assert!(not_written(&file, &refused).contains("--force"));
        assert_eq!(fs::read(&file).unwrap(), b"one");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        check(&file, true).unwrap();
        write(&file, b"two", true).unwrap();
        assert_eq!(mode(), 0o600);
        assert_eq!(fs::read(&file).unwrap(), b"two");
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_file_is_never_replaced() {
        let place = tempfile::tempdir().unwrap();
        for force in [false, true] {
            let refused = check(place.path(), force).unwrap_err();
            assert!(refused.ends_with("is not a file"), "{refused}");
            check(Path::new("/dev/null"), force).unwrap_err();
        }
        let nowhere = place.path().join("no/wall.png");
        check(&nowhere, false).unwrap();
        let refused = write(&nowhere, b"it", false).unwrap_err();
        assert!(not_written(&nowhere, &refused).contains("cannot be written"));
        assert_eq!(
            with_directory(Path::new("wall.png")),
            Path::new("./wall.png")
        );
    }
}
