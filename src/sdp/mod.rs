//! Session descriptions (RFC 8866, JSEP RFC 8829) as text.
//!
//! What another member sends is read by [`Description::parse`], which accepts exactly what roomd
//! negotiates and nothing else, and is then written anew for the engine by
//! [`Description::reduce`]: an invalid description can crash webrtcbin, so it never sees one that
//! somebody else wrote.
//!
//! Accepted is: one audio and one video section, in this order, in one BUNDLE with one ICE user
//! and one certificate, over `UDP/TLS/RTP/SAVPF` with `rtcp-mux`, neither refused nor `inactive`.
//!
//! Invariant: no input makes anything in here panic.

mod candidate;
mod fingerprint;
mod lines;
mod redact;

use std::{collections::BTreeSet, fmt::Write as _};

pub use candidate::{Candidate, CandidateError, CandidateKind, Transport};
pub use fingerprint::{Fingerprint, FingerprintError, Hash};
pub use redact::redact;

use lines::Raw;

/// The header extension whose sequence numbers congestion feedback refers to.
pub const TRANSPORT_WIDE_CC: &str =
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

/// The largest description that is read, in bytes. Chromium 156 writes 5.5 kB for our two sections.
pub const LARGEST: usize = 48 * 1024;

/// Most lines in a description.
const MOST_LINES: usize = 2000;

/// Most `a=ssrc` sources that are kept of a section: a stream, its retransmission, and room for more.
const MOST_SOURCES: usize = 16;

/// Which of the two descriptions of a generation it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The first.
    Offer,
    /// The second.
    Answer,
}

/// Why a description cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// More bytes or lines than any honest one has.
    #[error("the description is too long")]
    TooLong,
    /// A line that is no `letter=text`, or a first line that is not `v=0`.
    #[error("line {0} is not a line of a session description")]
    Syntax(usize),
    /// Not one audio and then one video section.
    #[error("the description must have one audio and then one video section")]
    Sections,
    /// A section that was turned down.
    #[error("the {0} section was refused")]
    Rejected(Medium),
    /// The section cannot be used as it is.
    #[error("the {medium} section {what}")]
    Section {
        /// Which section.
        medium: Medium,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Both sections must be in one bundle.
    #[error("both sections must be in one BUNDLE group")]
    Bundle,
    /// A section without a codec that both sides know.
    #[error("the {0} section has no codec in common with us")]
    Codec(Medium),
}

/// What a section carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Medium {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
}

impl std::fmt::Display for Medium {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Audio => "audio",
            Self::Video => "video",
        })
    }
}

/// The codecs that roomd negotiates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Codec {
    /// RFC 7741.
    Vp8,
    /// RFC 6184, (constrained) baseline, packetization mode 1.
    H264,
    /// RFC 7587.
    Opus,
}

impl Codec {
    /// The encoding name in `a=rtpmap`, in the spelling of RTP caps.
    #[must_use]
    pub fn encoding_name(self) -> &'static str {
        match self {
            Self::Vp8 => "VP8",
            Self::H264 => "H264",
            Self::Opus => "OPUS",
        }
    }

    /// RTP clock ticks a second.
    #[must_use]
    pub fn clock_rate(self) -> u32 {
        match self {
            Self::Vp8 | Self::H264 => 90_000,
            Self::Opus => 48_000,
        }
    }
}

/// In which directions a section's media may flow, seen from who wrote the description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Both.
    SendRecv,
    /// Only from the writer.
    SendOnly,
    /// Only to the writer.
    RecvOnly,
}

impl Direction {
    fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
        }
    }
}

/// Who opens the DTLS connection (RFC 5763).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    /// The reader may choose.
    ActPass,
    /// The writer does.
    Active,
    /// The reader does.
    Passive,
}

impl Setup {
    fn as_str(self) -> &'static str {
        match self {
            Self::ActPass => "actpass",
            Self::Active => "active",
            Self::Passive => "passive",
        }
    }
}

/// RTCP feedback that we understand (RFC 4585, RFC 5104).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feedback {
    /// Lost packets are asked for again.
    Nack,
    /// A keyframe is asked for.
    NackPli,
    /// A keyframe is asked for, in the older way.
    CcmFir,
    /// Arrival times are reported.
    TransportCc,
}

impl Feedback {
    fn parse(text: &str) -> Option<Self> {
        match text.trim() {
            "nack" => Some(Self::Nack),
            "nack pli" => Some(Self::NackPli),
            "ccm fir" => Some(Self::CcmFir),
            "transport-cc" => Some(Self::TransportCc),
            _ => None,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Nack => "nack",
            Self::NackPli => "nack pli",
            Self::CcmFir => "ccm fir",
            Self::TransportCc => "transport-cc",
        }
    }
}

/// One payload type of a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    /// The RTP payload type.
    pub payload: u8,
    /// The codec that it stands for.
    pub codec: Codec,
    /// `profile-level-id` as written, six hexadecimal digits. H.264 only.
    pub profile_level_id: Option<String>,
    /// The payload type of its retransmissions (RFC 4588), where there is one.
    pub retransmission: Option<u8>,
    /// The feedback that the writer understands for it.
    pub feedback: BTreeSet<Feedback>,
}

/// An audio or video section, as far as we use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// What it carries.
    pub medium: Medium,
    /// The name by which candidates and the bundle refer to it.
    pub mid: String,
    /// Which way media may flow, seen from its writer.
    pub direction: Direction,
    /// Formats with a codec of ours, in the writer's order.
    pub formats: Vec<Format>,
    /// The id of [`TRANSPORT_WIDE_CC`] in this section, where the writer has it.
    pub transport_cc: Option<u8>,
    /// Stream sources announced, each with its canonical name.
    pub sources: Vec<(u32, String)>,
    /// Candidates within the description, from writers that do not trickle.
    pub candidates: Vec<String>,
    reduced_rtcp: bool,
}

/// A description of another member, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Which of the two it is.
    pub side: Side,
    /// The audio section.
    pub audio: Section,
    /// The video section.
    pub video: Section,
    /// Certificates that the writer may present. Never empty.
    pub fingerprints: Vec<Fingerprint>,
    /// Who opens the DTLS connection.
    pub setup: Setup,
    /// The writer has a public address and only answers checks (RFC 8445, 2.5).
    pub ice_lite: bool,
    ufrag: String,
    password: String,
}

/// One format for each section, both known to writer and reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Opus, under the writer's payload type.
    pub audio: Format,
    /// The video codec, under the writer's payload type.
    pub video: Format,
}

impl Description {
    /// Reads and checks what another member sent.
    pub fn parse(text: &str, side: Side) -> Result<Self, Refused> {
        let raw = Raw::split(text)?;
        let [first, second] = raw.sections.as_slice() else {
            return Err(Refused::Sections);
        };
        if first.medium() != Some(Medium::Audio) || second.medium() != Some(Medium::Video) {
            return Err(Refused::Sections);
        }

        let audio = Section::read(first, Medium::Audio)?;
        let video = Section::read(second, Medium::Video)?;
        if audio.mid == video.mid {
            return Err(section(
                Medium::Video,
                "has the same mid as the audio section",
            ));
        }
        let bundled = raw.session.all("group").any(|group| {
            let mut words = group.split(' ');
            words.next() == Some("BUNDLE") && {
                let mids: Vec<_> = words.collect();
                // The first mid of the group is the one that carries the transport.
                mids.first() == Some(&audio.mid.as_str()) && mids.contains(&video.mid.as_str())
            }
        });
        if !bundled {
            return Err(Refused::Bundle);
        }

        let transport = lines::Transport::read(&raw.session, first, Medium::Audio, side)?;
        if lines::Transport::read(&raw.session, second, Medium::Video, side)? != transport {
            return Err(section(
                Medium::Video,
                "has another transport than the audio section",
            ));
        }

        Ok(Self {
            side,
            audio,
            video,
            fingerprints: transport.fingerprints,
            setup: transport.setup,
            ice_lite: raw.session.has("ice-lite"),
            ufrag: transport.ufrag,
            password: transport.password,
        })
    }

    /// Chooses for both sections: Opus, and the first of `video` that the writer has.
    ///
    /// Of several H.264 formats the constrained baseline one is taken before plain baseline.
    pub fn choose(&self, video: &[Codec]) -> Result<Choice, Refused> {
        Choice {
            audio: self
                .audio
                .best(Codec::Opus)
                .ok_or(Refused::Codec(Medium::Audio))?
                .clone(),
            video: video
                .iter()
                .find_map(|codec| self.video.best(*codec))
                .ok_or(Refused::Codec(Medium::Video))?
                .clone(),
        }
        .distinct()
    }

    /// Chooses the formats with these payload types, as an answer to an offer of ours must have them.
    pub fn choose_payloads(
        &self,
        audio: (Codec, u8),
        video: (Codec, u8),
    ) -> Result<Choice, Refused> {
        let find = |section: &Section, (codec, payload): (Codec, u8)| {
            section
                .formats
                .iter()
                .find(|format| format.codec == codec && format.payload == payload)
                .cloned()
                .ok_or(Refused::Codec(section.medium))
        };
        Choice {
            audio: find(&self.audio, audio)?,
            video: find(&self.video, video)?,
        }
        .distinct()
    }

    /// Writes the description anew with the chosen formats only, from what was understood.
    ///
    /// Candidates are left out; they are in [`Section::candidates`].
    #[must_use]
    pub fn reduce(&self, choice: &Choice) -> String {
        let mut out = String::with_capacity(2048);
        out.push_str("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n");
        put(
            &mut out,
            "group",
            format_args!("BUNDLE {} {}", self.audio.mid, self.video.mid),
        );
        put(&mut out, "ice-options", format_args!("trickle"));
        if self.ice_lite {
            out.push_str("a=ice-lite\r\n");
        }
        self.write_section(&mut out, &self.audio, &choice.audio);
        self.write_section(&mut out, &self.video, &choice.video);
        out
    }

    fn write_section(&self, out: &mut String, section: &Section, format: &Format) {
        let payload = format.payload;
        let _ = write!(out, "m={} 9 UDP/TLS/RTP/SAVPF {payload}", section.medium);
        if let Some(retransmission) = format.retransmission {
            let _ = write!(out, " {retransmission}");
        }
        out.push_str("\r\nc=IN IP4 0.0.0.0\r\n");
        put(out, "ice-ufrag", format_args!("{}", self.ufrag));
        put(out, "ice-pwd", format_args!("{}", self.password));
        // The one that webrtcbin sees is of no consequence: it does not compare it before 1.28.5.
        // We do, with all of them.
        if let Some(fingerprint) = self.fingerprints.first() {
            put(out, "fingerprint", format_args!("{fingerprint}"));
        }
        put(out, "setup", format_args!("{}", self.setup.as_str()));
        put(out, "mid", format_args!("{}", section.mid));
        if let Some(id) = section.transport_cc {
            put(out, "extmap", format_args!("{id} {TRANSPORT_WIDE_CC}"));
        }
        let _ = write!(out, "a={}\r\n", section.direction.as_str());
        out.push_str("a=rtcp-mux\r\n");
        if section.reduced_rtcp {
            out.push_str("a=rtcp-rsize\r\n");
        }
        let name = format.codec.encoding_name();
        let clock = format.codec.clock_rate();
        let channels = if format.codec == Codec::Opus {
            "/2"
        } else {
            ""
        };
        put(
            out,
            "rtpmap",
            format_args!("{payload} {name}/{clock}{channels}"),
        );
        for feedback in &format.feedback {
            put(
                out,
                "rtcp-fb",
                format_args!("{payload} {}", feedback.as_str()),
            );
        }
        if let Some(profile) = &format.profile_level_id {
            put(
                out,
                "fmtp",
                format_args!(
                    "{payload} level-asymmetry-allowed=1;packetization-mode=1;profile-level-id={profile}"
                ),
            );
        }
        if let Some(retransmission) = format.retransmission {
            put(out, "rtpmap", format_args!("{retransmission} rtx/{clock}"));
            put(out, "fmtp", format_args!("{retransmission} apt={payload}"));
        }
        for (source, name) in &section.sources {
            put(out, "ssrc", format_args!("{source} cname:{name}"));
        }
    }
}

impl Choice {
    /// In one bundle a payload type must mean one thing only.
    fn distinct(self) -> Result<Self, Refused> {
        let all = [
            Some(self.audio.payload),
            self.audio.retransmission,
            Some(self.video.payload),
            self.video.retransmission,
        ];
        let all: Vec<u8> = all.into_iter().flatten().collect();
        if all.iter().collect::<BTreeSet<_>>().len() == all.len() {
            Ok(self)
        } else {
            Err(section(
                Medium::Video,
                "has a payload type that means something else already",
            ))
        }
    }
}

impl Section {
    fn read(raw: &lines::Section<'_>, medium: Medium) -> Result<Self, Refused> {
        let wrong = |what| section(medium, what);
        if raw.media.proto != "UDP/TLS/RTP/SAVPF" {
            return Err(wrong("is not over UDP/TLS/RTP/SAVPF"));
        }
        if raw.media.port == 0 && !raw.has("bundle-only") {
            return Err(Refused::Rejected(medium));
        }
        if !raw.has("rtcp-mux") {
            return Err(wrong("has no rtcp-mux"));
        }
        let direction = raw
            .attributes
            .iter()
            .rev()
            .find_map(|(key, _)| match *key {
                "sendrecv" => Some(Ok(Direction::SendRecv)),
                "sendonly" => Some(Ok(Direction::SendOnly)),
                "recvonly" => Some(Ok(Direction::RecvOnly)),
                "inactive" => Some(Err(wrong("is inactive"))),
                _ => None,
            })
            .unwrap_or(Ok(Direction::SendRecv))?;
        let mid = raw
            .first("mid")
            .filter(|mid| lines::is_token(mid, 32))
            .ok_or(wrong("has no usable mid"))?;

        Ok(Self {
            medium,
            mid: mid.to_owned(),
            direction,
            formats: lines::formats(raw, medium),
            transport_cc: lines::extension(raw, TRANSPORT_WIDE_CC),
            sources: lines::sources(raw, MOST_SOURCES),
            candidates: raw
                .all("candidate")
                .take(64)
                .map(|c| format!("candidate:{c}"))
                .collect(),
            reduced_rtcp: raw.has("rtcp-rsize"),
        })
    }

    /// The format of this codec that suits us best.
    #[must_use]
    pub fn best(&self, codec: Codec) -> Option<&Format> {
        self.formats
            .iter()
            .filter(|format| format.codec == codec)
            // `min_by_key` takes the first of equals, so the writer's order decides among them.
            .min_by_key(|format| {
                format
                    .profile_level_id
                    .as_deref()
                    .is_some_and(|profile| !is_constrained(profile))
            })
    }
}

/// Whether a `profile-level-id` of profile 0x42 promises the constraints of constrained baseline.
#[must_use]
pub fn is_constrained(profile_level_id: &str) -> bool {
    u32::from_str_radix(profile_level_id, 16).is_ok_and(|value| value & 0x00_40_00 != 0)
}

/// The `profile-level-id` of constrained baseline at the lowest level that a picture of this size
/// and rate fits into, and at least level 3.1, which everybody has (RFC 7742, section 6.2).
///
/// The levels are those of H.264, table A-1, in macroblocks of 16 by 16 pixels.
#[must_use]
pub fn profile_level_id(width: u32, height: u32, framerate: u32) -> String {
    /// Macroblocks a picture, macroblocks a second, and the level times ten.
    const LEVELS: [(u64, u64, u8); 6] = [
        (3_600, 108_000, 31),
        (5_120, 216_000, 32),
        (8_192, 245_760, 40),
        (8_704, 522_240, 42),
        (36_864, 983_040, 51),
        (36_864, 2_073_600, 52),
    ];
    let picture = u64::from(width.div_ceil(16)) * u64::from(height.div_ceil(16));
    let second = picture * u64::from(framerate);
    let fits =
        |(most, most_a_second, _): &&(u64, u64, u8)| picture <= *most && second <= *most_a_second;
    let (_, _, level) = LEVELS
        .iter()
        .find(fits)
        .unwrap_or(&LEVELS[LEVELS.len() - 1]);
    format!("42e0{level:02x}")
}

fn section(medium: Medium, what: &'static str) -> Refused {
    Refused::Section { medium, what }
}

fn put(out: &mut String, key: &str, value: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = write!(out, "a={key}:{value}\r\n");
}

#[cfg(test)]
mod tests;
