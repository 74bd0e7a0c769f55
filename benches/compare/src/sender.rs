//! The process that is measured.

use std::{collections::BTreeMap, sync::Arc, sync::atomic::Ordering::Relaxed};

use gstreamer as gst;

use crate::{
    encoders::Codec,
    marks,
    mode::{Engine, Mode},
    per_peer::PerPeer,
    roomd_side::{Roomd, Side, Tiers},
    source::{Counts, Film, Shape},
    stamp,
    wire::{self, Line, Sent},
};

/// How it is to send.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Which of the ways.
    pub mode: Mode,
    /// The codec of the pictures.
    #[arg(long, default_value = "vp8")]
    pub codec: Codec,
    /// Size and rate of the pictures.
    #[arg(long, default_value = "1280x720@30")]
    pub shape: Shape,
    /// Bitrate of the pictures in kbit/s.
    #[arg(long, default_value_t = 1500)]
    pub kbps: u32,
    /// Lets roomd take its usual tiers and rates, instead of one that stays as it is. The others
    /// have no choice: webrtcsink adapts where it has congestion control.
    #[arg(long)]
    pub adapt: bool,
    /// Notes when single frames pass which place.
    #[arg(long)]
    pub stages: bool,
}

/// Runs until it is told to end.
pub fn run(options: &Options) -> Result<(), String> {
    gst::init().map_err(|error| error.to_string())?;
    marks::register(options.stages).map_err(|error| error.to_string())?;
    let film = Arc::new(Film::new(options.shape));
    let counts = Arc::new(Counts::default());
    let (codec, kbps) = (options.codec, options.kbps);
    let mut engine: Box<dyn Engine> = match options.mode {
        Mode::Roomd => Box::new(Roomd::start(
            Side::Sender,
            codec,
            if options.adapt {
                Tiers::Usual
            } else {
                Tiers::One(kbps)
            },
            film,
            counts.clone(),
        )?),
        Mode::EncoderPerPeer => Box::new(PerPeer::start(codec, kbps, film, counts.clone())?),
        #[cfg(feature = "webrtcsink")]
        mode => Box::new(crate::webrtcsink_side::Webrtcsink::start(
            mode,
            codec,
            kbps,
            &film,
            counts.clone(),
        )?),
        #[cfg(not(feature = "webrtcsink"))]
        mode => return Err(format!("this is built without {}", mode.title())),
    };
    let mut opened = BTreeMap::new();
    wire::say(&Line::Ready);
    wire::hear(|line| match line {
        Line::Open { peer } => {
            opened.insert(peer, stamp::now_ns());
            if let Err(error) = engine.open(peer) {
                wire::fail(error);
            }
        }
        Line::Close { peer } => engine.close(peer),
        Line::Answer { peer, sdp } => {
            if let Err(error) = engine.remote(peer, sdp) {
                wire::fail(error);
            }
        }
        Line::Candidate {
            peer,
            mline,
            candidate,
        } => engine.candidate(peer, mline, candidate),
        Line::Ask => {
            let (encoding_ns, encoded, encoding_threads) = marks::encoding();
            let mut sent = Sent {
                at_ns: stamp::now_ns(),
                pictures: counts.pictures.load(Relaxed),
                late: counts.late.load(Relaxed),
                encoding_ns,
                encoded,
                encoding_threads,
                opened_ns: opened.clone(),
                passages: marks::take(),
                ..Sent::default()
            };
            engine.report(&mut sent);
            wire::say(&Line::Sent(sent));
        }
        _ => {}
    });
    engine.stop();
    Ok(())
}
