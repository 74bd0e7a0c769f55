//! The encoders, which are set alike in every mode: as roomd's own pipeline files say.

use std::{collections::BTreeMap, path::Path};

use gstreamer as gst;
use gstreamer::{glib, prelude::*};
use roomd::{
    media::{self, Recipe},
    pipeline::{Catalogue, File, Kind},
    sdp,
};

use crate::marks;

/// Sound, in kbit/s.
pub const SOUND_KBPS: u32 = 32;

/// Encodes sound. The same as roomd's, which is in `src/media/encoder.rs`.
const OPUS: &str = "opusenc name=encoder audio-type=voice frame-size=20 \
     bitrate-type=constrained-vbr inband-fec=true packet-loss-percentage=5 \
     perfect-timestamp=true bitrate=32000";

/// Which codec pictures are sent in.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    clap::ValueEnum,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// libvpx.
    Vp8,
    /// x264.
    H264,
}

impl Codec {
    /// By the name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Vp8 => "vp8",
            Self::H264 => "h264",
        }
    }

    /// For people.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Vp8 => "VP8",
            Self::H264 => "H.264",
        }
    }

    /// What comes out of the encoder.
    #[must_use]
    pub fn encoded(self) -> &'static str {
        match self {
            Self::Vp8 => "video/x-vp8",
            Self::H264 => "video/x-h264",
        }
    }

    /// A payloader, set as roomd and webrtcsink set theirs.
    #[must_use]
    pub fn payloader(self) -> &'static str {
        match self {
            Self::Vp8 => "rtpvp8pay name=pay pt=96 mtu=1200 picture-id-mode=15-bit",
            Self::H264 => {
                "rtph264pay name=pay pt=96 mtu=1200 config-interval=-1 aggregate-mode=zero-latency"
            }
        }
    }

    /// The depayloader that belongs to it.
    #[must_use]
    pub fn depayloader(self) -> &'static str {
        match self {
            Self::Vp8 => "rtpvp8depay wait-for-keyframe=true request-keyframe=true",
            Self::H264 => "rtph264depay wait-for-keyframe=true request-keyframe=true",
        }
    }

    /// The decoder that roomd uses too.
    #[must_use]
    pub fn decoder(self) -> &'static str {
        match self {
            Self::Vp8 => "vp8dec",
            Self::H264 => "h264parse ! avdec_h264 max-threads=1",
        }
    }

    fn file(self) -> &'static str {
        match self {
            Self::Vp8 => "vp8",
            Self::H264 => "x264",
        }
    }
}

fn file(codec: Codec) -> Result<File, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pipelines");
    let catalogue = Catalogue::load(&[folder]).map_err(|error| format!("{error:?}"))?;
    catalogue
        .get(Kind::Encoder, codec.file())
        .cloned()
        .ok_or_else(|| format!("no pipeline file {}", codec.file()))
}

/// What roomd encodes with: its own file, with our marks around it.
pub fn recipes(codec: Codec) -> Result<Vec<Recipe>, String> {
    let mut file = file(codec)?;
    file.launch = marks::marked(&file.launch);
    Ok(vec![
        Recipe {
            codec: sdp::Codec::Opus,
            file: None,
        },
        Recipe {
            codec: match codec {
                Codec::Vp8 => sdp::Codec::Vp8,
                Codec::H264 => sdp::Codec::H264,
            },
            file: Some((file, BTreeMap::new())),
        },
    ])
}

/// An encoder of pictures as a bin, for the modes that are not roomd.
pub fn video(codec: Codec, kbps: u32, marked: bool) -> Result<gst::Bin, String> {
    let mut file = file(codec)?;
    if marked {
        file.launch = marks::marked(&file.launch);
    }
    let (bin, _) =
        media::launch_encoder(&file, &BTreeMap::new(), kbps).map_err(|error| error.to_string())?;
    Ok(bin)
}

/// An encoder of sound as a bin.
pub fn sound() -> Result<gst::Bin, String> {
    gst::parse::bin_from_description(OPUS, true).map_err(|error| error.to_string())
}

/// Sets somebody else's encoder as ours is set, property by property.
pub fn set_alike(theirs: &gst::Element, codec: Codec, kbps: u32) -> Result<(), String> {
    let is_opus = theirs.factory().is_some_and(|it| it.name() == "opusenc");
    let bin = if is_opus {
        sound()?
    } else {
        video(codec, kbps, false)?
    };
    let ours = bin.by_name("encoder").ok_or("no encoder of ours")?;
    if ours.factory() != theirs.factory() {
        return Err(format!("{} is not {}", theirs.name(), ours.name()));
    }
    for property in ours.list_properties() {
        let (flags, name) = (property.flags(), property.name());
        // vp8enc of 1.22 crashes when it is asked for its arrays of temporal layers.
        let is_plain = [
            glib::Type::BOOL,
            glib::Type::I32,
            glib::Type::U32,
            glib::Type::I64,
            glib::Type::U64,
            glib::Type::F32,
            glib::Type::F64,
            glib::Type::ENUM,
            glib::Type::FLAGS,
        ]
        .iter()
        .any(|plain| property.value_type().is_a(*plain));
        if is_plain
            && flags.contains(glib::ParamFlags::READWRITE)
            && !flags.contains(glib::ParamFlags::CONSTRUCT_ONLY)
        {
            let value = ours.property_value(name);
            // What is set without need makes some of them warn.
            if theirs.property_value(name).compare(&value) != Some(std::cmp::Ordering::Equal) {
                theirs.set_property_from_value(name, &value);
            }
        }
    }
    if !is_opus {
        marks::around(theirs);
    }
    Ok(())
}
