//! What one section of a link is negotiated as, and the caps that say so to webrtcbin.

use gstreamer as gst;

use crate::sdp::{self, Choice, Codec, Feedback, Format, Medium};

/// Payload types that we offer. Chromium's and Firefox's are others; each offerer's count.
const OFFERED_OPUS: u8 = 111;
const OFFERED_VP8: u8 = 96;
const OFFERED_H264: u8 = 108;

/// The id under which we offer transport-wide congestion control.
const OFFERED_TRANSPORT_CC: u8 = 3;

/// Constrained baseline, level 3.1: what RFC 7742 requires of everybody, and what an offer without
/// one means to us.
const ASSUMED_PROFILE: &str = "42e01f";

/// How one section sends and what it has agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What is sent and received.
    pub format: Format,
    /// The extension id for [`sdp::TRANSPORT_WIDE_CC`], where it is used.
    pub transport_cc: Option<u8>,
    /// The source of what we send.
    pub ssrc: u32,
}

/// Both sections, in the order of the description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lines {
    /// Section 0.
    pub audio: Line,
    /// Section 1.
    pub video: Line,
}

impl Lines {
    /// What we offer for this video codec; `profile` is the `profile-level-id` of the best tier.
    #[must_use]
    pub fn offer(video: Codec, profile: &str, ssrcs: [u32; 2]) -> Self {
        use Feedback::{CcmFir, Nack, NackPli, TransportCc};
        let line = |codec, payload, ssrc, feedback: &[Feedback]| Line {
            format: Format {
                payload,
                codec,
                profile_level_id: (codec == Codec::H264).then(|| profile.to_owned()),
                retransmission: None,
                feedback: feedback.iter().copied().collect(),
            },
            transport_cc: Some(OFFERED_TRANSPORT_CC),
            ssrc,
        };
        let payload = match video {
            Codec::H264 => OFFERED_H264,
            Codec::Vp8 | Codec::Opus => OFFERED_VP8,
        };
        Self {
            audio: line(Codec::Opus, OFFERED_OPUS, ssrcs[0], &[TransportCc]),
            video: line(
                video,
                payload,
                ssrcs[1],
                &[Nack, NackPli, CcmFir, TransportCc],
            ),
        }
    }

    /// What we answer to an offer: its payload types, its extension ids, its profile.
    #[must_use]
    pub fn answer(offer: &sdp::Description, choice: Choice, ssrcs: [u32; 2]) -> Self {
        let line = |format: Format, section: &sdp::Section, ssrc| Line {
            // Without feedback the numbers would be of no use to anybody.
            transport_cc: section
                .transport_cc
                .filter(|_| format.feedback.contains(&Feedback::TransportCc)),
            format,
            ssrc,
        };
        let mut audio = choice.audio;
        // Retransmitted sound comes too late, and Chromium refuses the description with it.
        audio.feedback.remove(&Feedback::Nack);
        Self {
            audio: line(audio, &offer.audio, ssrcs[0]),
            video: line(choice.video, &offer.video, ssrcs[1]),
        }
    }

    /// The lines with their places.
    pub fn each(&self) -> [(Medium, &Line); 2] {
        [(Medium::Audio, &self.audio), (Medium::Video, &self.video)]
    }
}

impl Line {
    /// Everything that webrtcbin shall write into a description for this section.
    #[must_use]
    pub fn caps(&self, medium: Medium) -> gst::Caps {
        let Format {
            payload,
            codec,
            profile_level_id,
            feedback,
            ..
        } = &self.format;
        let mut caps = gst::Structure::builder("application/x-rtp")
            .field("media", medium.to_string())
            .field("payload", i32::from(*payload))
            .field(
                "clock-rate",
                i32::try_from(codec.clock_rate()).unwrap_or(i32::MAX),
            )
            .field("encoding-name", codec.encoding_name())
            .field("ssrc", self.ssrc);
        match codec {
            Codec::Opus => {
                caps = caps
                    .field("encoding-params", "2")
                    .field("useinbandfec", "1")
                    .field("usedtx", "1");
            }
            Codec::H264 => {
                let profile = profile_level_id.as_deref().unwrap_or(ASSUMED_PROFILE);
                caps = caps
                    .field("packetization-mode", "1")
                    .field("profile-level-id", profile)
                    // This is how caps say `level-asymmetry-allowed=1`.
                    .field(
                        "profile",
                        if sdp::is_constrained(profile) {
                            "constrained-baseline"
                        } else {
                            "baseline"
                        },
                    );
            }
            Codec::Vp8 => {}
        }
        for feedback in feedback {
            caps = caps.field(
                match feedback {
                    Feedback::Nack => "rtcp-fb-nack",
                    Feedback::NackPli => "rtcp-fb-nack-pli",
                    Feedback::CcmFir => "rtcp-fb-ccm-fir",
                    Feedback::TransportCc => "rtcp-fb-transport-cc",
                },
                true,
            );
        }
        if let Some(id) = self.transport_cc {
            caps = caps.field(format!("extmap-{id}"), sdp::TRANSPORT_WIDE_CC);
        }
        gst::Caps::builder_full().structure(caps.build()).build()
    }

    /// The payloader's factory.
    #[must_use]
    pub fn payloader(&self) -> &'static str {
        match self.format.codec {
            Codec::Vp8 => "rtpvp8pay",
            Codec::H264 => "rtph264pay",
            Codec::Opus => "rtpopuspay",
        }
    }

    /// What the payloader is fed with.
    ///
    /// Size and rate are left out and the level is the lowest that may be, because the payloader
    /// compares them with `profile-level-id`, which says what we receive.
    #[must_use]
    pub fn encoded_caps(&self) -> gst::Caps {
        match self.format.codec {
            Codec::Vp8 => gst::Caps::builder("video/x-vp8").build(),
            Codec::H264 => gst::Caps::builder("video/x-h264")
                .field("stream-format", "byte-stream")
                .field("alignment", "au")
                .field("profile", "constrained-baseline")
                .field("level", "1")
                .build(),
            Codec::Opus => gst::Caps::builder("audio/x-opus")
                .field("channel-mapping-family", 0i32)
                .field("channels", 1i32)
                .field("rate", 48_000i32)
                .build(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdp::{Description, Side, TRANSPORT_WIDE_CC};

    fn offer(profile: &str, feedback: &str) -> Description {
        let transport = format!(
            "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=setup:actpass\r\na=rtcp-mux\r\n\
             a=fingerprint:sha-256 {}\r\na=extmap:5 {TRANSPORT_WIDE_CC}\r\n",
            ["00"; 32].join(":")
        );
        let text = format!(
            "v=0\r\na=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 109\r\n{transport}a=mid:0\r\n\
             a=rtpmap:109 opus/48000/2\r\na=rtcp-fb:109 nack\r\na=rtcp-fb:109 {feedback}\r\n\
             m=video 9 UDP/TLS/RTP/SAVPF 126\r\n{transport}a=mid:1\r\na=rtpmap:126 H264/90000\r\n\
             a=rtcp-fb:126 nack\r\na=rtcp-fb:126 {feedback}\r\n\
             a=fmtp:126 packetization-mode=1;level-asymmetry-allowed=1;profile-level-id={profile}\r\n"
        );
        Description::parse(&text, Side::Offer).unwrap()
    }

    #[test]
    fn an_answer_has_the_numbers_of_the_offer() {
        gst::init().unwrap();
        let offer = offer("42001f", "transport-cc");
        let lines = Lines::answer(&offer, offer.choose(&[Codec::H264]).unwrap(), [1, 2]);
        let audio = lines.audio.caps(Medium::Audio);
        let audio = audio.structure(0).unwrap();
        assert_eq!(audio.get::<i32>("payload"), Ok(109));
        assert_eq!(audio.get::<&str>("extmap-5"), Ok(TRANSPORT_WIDE_CC));
        assert!(!audio.has_field("rtcp-fb-nack"), "Chromium refuses it");
        let video = lines.video.caps(Medium::Video);
        let video = video.structure(0).unwrap();
        assert_eq!(video.get::<i32>("payload"), Ok(126));
        assert_eq!(video.get::<u32>("ssrc"), Ok(2));
        assert_eq!(video.get::<&str>("profile-level-id"), Ok("42001f"));
        assert_eq!(video.get::<&str>("profile"), Ok("baseline"));
        assert!(video.has_field("rtcp-fb-nack"));
    }

    #[test]
    fn without_feedback_there_are_no_transport_wide_numbers() {
        gst::init().unwrap();
        let offer = offer("42e01f", "goog-remb");
        let lines = Lines::answer(&offer, offer.choose(&[Codec::H264]).unwrap(), [1, 2]);
        for (medium, line) in lines.each() {
            assert!(!line.caps(medium).to_string().contains("extmap"));
        }
        assert!(
            lines
                .video
                .caps(Medium::Video)
                .to_string()
                .contains("constrained-baseline")
        );
    }
}
