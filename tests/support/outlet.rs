//! A screen or a speaker that is a pipe: what comes out there, buffer by buffer, with its timestamps.

use std::{io::Read, os::fd::AsRawFd, path::Path};

use gstreamer as gst;
use roomd::{
    media::source::Device,
    pipeline::{File, Kind},
};

/// What follows a header of GDP is a buffer.
const BUFFER: u64 = 1;

/// One buffer as it came out.
pub struct Piece<'a> {
    /// Its running time.
    pub pts: gst::ClockTime,
    /// How long it lasts.
    #[allow(dead_code, reason = "of pictures it says nothing")]
    pub duration: gst::ClockTime,
    /// What is in it.
    pub bytes: &'a [u8],
}

/// A device of which each buffer is shown to `take`, on a thread of its own, when it is due. `caps` is
/// what is wanted.
pub fn open(kind: Kind, caps: &str, mut take: impl FnMut(Piece) + Send + 'static) -> Device {
    let (reader, writer) = std::io::pipe().unwrap();
    let text = format!(
        "summary = \"a pipe\"\nelements = [\"gdppay\", \"fdsink\"]\n\
         launch = \"capsfilter caps={caps} ! gdppay ! fdsink fd={} sync=true\"",
        writer.as_raw_fd()
    );
    let file = File::parse(kind, "pipe", Path::new("pipe.toml"), &text).unwrap();
    std::thread::spawn(move || {
        // It has no end: whoever writes into it may do so until the process ends.
        let _ = read(reader, &mut take);
        drop(writer);
    });
    Device::plain(file)
}

/// gst-plugins-bad, gdp: a header of 62 bytes, in which the kind of what follows, its length, its
/// timestamp and its duration have these places, big-endian.
fn read(mut from: impl Read, take: &mut impl FnMut(Piece)) -> std::io::Result<()> {
    let mut header = [0; 62];
    let mut bytes = Vec::new();
    loop {
        from.read_exact(&mut header)?;
        let number = |range: std::ops::Range<usize>| {
            let all = header[range].iter();
            all.fold(0_u64, |all, byte| all << 8 | u64::from(*byte))
        };
        bytes.resize(usize::try_from(number(6..10)).unwrap(), 0);
        from.read_exact(&mut bytes)?;
        if number(4..6) == BUFFER {
            take(Piece {
                pts: gst::ClockTime::from_nseconds(number(10..18)),
                duration: gst::ClockTime::from_nseconds(number(18..26)),
                bytes: &bytes,
            });
        }
    }
}
