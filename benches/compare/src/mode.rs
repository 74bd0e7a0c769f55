//! What is compared.

use crate::wire::Sent;

/// A way of sending to many.
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
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// roomd's own engine.
    Roomd,
    /// webrtcsink, which encodes raw pictures for each peer, without congestion control.
    WebrtcsinkRaw,
    /// The same with Google congestion control, its default.
    WebrtcsinkRawGcc,
    /// webrtcsink, given pictures that are encoded already, without congestion control.
    WebrtcsinkEncoded,
    /// One pipeline with an encoder for each peer, and nothing around it.
    EncoderPerPeer,
}

impl Mode {
    /// For people.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Roomd => "roomd",
            Self::WebrtcsinkRaw => "webrtcsink, raw input",
            Self::WebrtcsinkRawGcc => "webrtcsink, raw input, congestion control",
            Self::WebrtcsinkEncoded => "webrtcsink, encoded input",
            Self::EncoderPerPeer => "one encoder per peer",
        }
    }

    /// An aim is about it. The others stand beside it, and a look at them is enough.
    #[must_use]
    pub fn is_in_aims(self) -> bool {
        match self {
            Self::Roomd | Self::WebrtcsinkRaw | Self::WebrtcsinkEncoded => true,
            Self::WebrtcsinkRawGcc | Self::EncoderPerPeer => false,
        }
    }

    /// By the name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Roomd => "roomd",
            Self::WebrtcsinkRaw => "webrtcsink-raw",
            Self::WebrtcsinkRawGcc => "webrtcsink-raw-gcc",
            Self::WebrtcsinkEncoded => "webrtcsink-encoded",
            Self::EncoderPerPeer => "encoder-per-peer",
        }
    }
}

/// One of the modes at work in a sender.
pub trait Engine {
    /// Begins with a peer; the offer follows by itself.
    fn open(&mut self, peer: usize) -> Result<(), String>;
    /// Lets a peer go.
    fn close(&mut self, peer: usize);
    /// A peer's description: its answer, or its offer to one who answers.
    fn remote(&mut self, peer: usize, sdp: String) -> Result<(), String>;
    /// A peer's candidate.
    fn candidate(&mut self, peer: usize, mline: u32, candidate: String);
    /// Adds what only the engine knows.
    fn report(&self, _: &mut Sent) {}
    /// Ends.
    fn stop(&mut self);
}
