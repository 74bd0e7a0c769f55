//! Sound that is played or recorded on a card's clock, and is on the pipelines' clock all the same.
//!
//! GStreamer's sinks and sources leave it to themselves to follow another clock (1.22): the sink goes
//! on until it is up to 60 ms out of place and jumps, the source runs ahead without end or jumps by
//! all that its card holds. Here what is played is made a little longer or shorter, as the card needs
//! it ([`super::skew`]), and what is recorded likewise. A canceller between two cards then sees one
//! clock.

use std::error::Error;
use std::sync::{Mutex, PoisonError};

use audioadapter_buffers::direct::InterleavedSlice;
use gstreamer as gst;
use gstreamer::prelude::*;
use rubato::{
    Adjustable, Async, FixedAsync, Resampler, ResamplerConstructionError, Resizable,
    SincInterpolationParameters, SincInterpolationType, WindowFunction,
};

use super::skew::{MOST_RATE, Skew};

/// A sample of full scale.
const FULL: f32 = 32_768.0;
/// Frames in a second.
const RATE: u32 = 48_000;
/// Frames that are resampled at once, at most: 100 ms.
const MOST_FRAMES: usize = 4_800;
/// What follows is not what came before, if it is further away than this.
const GAP: gst::ClockTime = gst::ClockTime::from_mseconds(1);
/// Zero crossings of the filter, which passes what is below 20 kHz.
const FILTER: usize = 64;

/// Where sound comes from or goes to on a clock of its own.
#[derive(Debug, Clone)]
struct Card(gst::Element);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Played,
    Recorded,
}

impl Way {
    /// What is mixed has two, and what is sent one.
    fn channels(self) -> usize {
        match self {
            Self::Played => 2,
            Self::Recorded => 1,
        }
    }
}

/// Has what passes this pad on its way to a loudspeaker played when it is due, where the loudspeaker
/// is a card: signed 16-bit samples at 48 kHz in two channels. Called before the card is opened.
pub(super) fn play(pad: &gst::Pad, speaker: &gst::Bin) {
    if let Some(card) = Card::within(speaker) {
        card.pace(pad, Way::Played);
    }
}

/// Gives what a microphone records the time at which it did, where the microphone is a card. Called
/// before it is opened; the answer is to be used in its place.
pub(super) fn record(microphone: gst::Bin) -> Result<gst::Bin, glib::BoolError> {
    let Some(card) = Card::within(&microphone) else {
        return Ok(microphone);
    };
    let make = |factory: &str| gst::ElementFactory::make(factory).build();
    let caps: gst::Caps =
        "audio/x-raw,format=S16LE,layout=interleaved,rate=48000,channels=1".parse()?;
    let filter = gst::ElementFactory::make("capsfilter").property("caps", caps);
    let filter = filter.build()?;
    let chain = [
        microphone.upcast(),
        make("audioconvert")?,
        make("audioresample")?,
        filter.clone(),
    ];
    let bin = gst::Bin::new();
    bin.add_many(&chain)?;
    gst::Element::link_many(&chain)?;
    let Some(end) = filter.static_pad("src") else {
        return Err(glib::bool_error!("a filter without an end"));
    };
    card.pace(&end, Way::Recorded);
    let end = gst::GhostPad::builder_with_target(&end)?.name("src");
    bin.add_pad(&end.build())?;
    Ok(bin)
}

impl Card {
    /// The card in a bin, which is not open yet: what GStreamer calls an audio base sink or source.
    fn within(bin: &gst::Bin) -> Option<Self> {
        let is_card = |element: &gst::Element| {
            let has = |name| element.find_property(name).is_some();
            has("slave-method") && has("provide-clock")
        };
        let elements = bin.iterate_recurse();
        elements.into_iter().flatten().find(is_card).map(Self)
    }

    fn pace(self, pad: &gst::Pad, way: Way) {
        let stream = match Stream::new(way) {
            Ok(stream) => stream,
            Err(error) => {
                tracing::error!(%error, "a sound card is left to follow our clock by itself");
                return;
            }
        };
        // It is asked what its clock says, and follows no other by itself.
        self.0.set_property("provide-clock", true);
        self.0.set_property_from_str("slave-method", "none");
        let stream = Mutex::new(stream);
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let Some(buffer) = info.buffer_mut() else {
                return gst::PadProbeReturn::Ok;
            };
            let seen = self.ahead_ns(way);
            let mut stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
            match stream.pass(buffer, seen) {
                Some(paced) => {
                    *buffer = paced;
                    gst::PadProbeReturn::Ok
                }
                None => gst::PadProbeReturn::Drop,
            }
        });
    }

    /// When it was asked, on the pipelines' clock, and by how much the card's is ahead, in
    /// nanoseconds. None while it does not run.
    fn ahead_ns(&self, way: Way) -> Option<(u64, i64)> {
        let ours = self.0.clock()?;
        let theirs = self.0.provide_clock()?;
        // A sink puts what is due at `external` where its card is at `internal`; a source counts
        // from its beginning.
        let (internal, external) = match way {
            Way::Played => {
                let (internal, external, _, _) = theirs.calibration();
                (internal, external)
            }
            Way::Recorded => (gst::ClockTime::ZERO, self.0.base_time()?),
        };
        if external.is_zero() {
            return None;
        }
        let now = ours.time();
        let card = theirs.internal_time();
        // Whoever is put aside between two questions has no answer.
        if ours.time() > now + GAP {
            return None;
        }
        let ahead = |time: gst::ClockTime, since: gst::ClockTime| {
            i64::try_from(i128::from(time.nseconds()) - i128::from(since.nseconds())).ok()
        };
        let ahead = ahead(card, internal)?.checked_sub(ahead(now, external)?)?;
        Some((now.nseconds(), ahead))
    }
}

/// One stream of sound on its way from one clock to the other.
struct Stream {
    way: Way,
    channels: usize,
    resampler: Async<f32>,
    /// None until the card says what time it is.
    skew: Option<Skew>,
    /// Where what came last ends.
    end: Option<gst::ClockTime>,
    /// What comes next does not follow what was handed on.
    begins: bool,
}

impl Stream {
    fn new(way: Way) -> Result<Self, ResamplerConstructionError> {
        let channels = way.channels();
        let filter = SincInterpolationParameters::new(FILTER, WindowFunction::BlackmanHarris2)
            .oversampling_factor(256)
            .interpolation(SincInterpolationType::Linear);
        let most = 1.0 + MOST_RATE * 2.0;
        let fixed = FixedAsync::Input;
        Ok(Self {
            way,
            channels,
            resampler: Async::new_sinc(1.0, most, &filter, MOST_FRAMES, channels, fixed)?,
            skew: None,
            end: None,
            begins: true,
        })
    }

    /// Has a buffer follow the card's clock. None where there is nothing to hand on.
    fn pass(&mut self, buffer: &gst::Buffer, seen: Option<(u64, i64)>) -> Option<gst::Buffer> {
        let came = buffer.pts()?;
        let samples = samples_of(buffer)?;
        let frames = samples.len() / self.channels;
        if self.end.is_none_or(|end| came.absdiff(end) > GAP) {
            self.resampler.reset();
            self.begins = true;
        }
        self.end = Some(came + length_of(frames));
        let skew = self.look(seen)?;
        let (applied, rate) = (skew.applied_ns(), skew.rate());
        let (begins, rate) = match self.way {
            Way::Played => (moved(came, applied)?, rate),
            Way::Recorded => (moved(came, -applied)?, -rate),
        };
        let paced = self.resample(&samples, 1.0 + rate).unwrap_or_else(|error| {
            tracing::debug!(%error, "sound is as long as it was");
            samples.iter().copied().map(quantise).collect()
        });
        let longer = ns_of(paced.len() / self.channels) - ns_of(frames);
        if let Some(skew) = &mut self.skew {
            skew.apply(match self.way {
                Way::Played => longer,
                Way::Recorded => -longer,
            });
        }
        if paced.is_empty() {
            return None;
        }
        let length = length_of(paced.len() / self.channels);
        let bytes: Vec<u8> = paced.into_iter().flat_map(i16::to_le_bytes).collect();
        let mut paced = gst::Buffer::from_mut_slice(bytes);
        let about = paced.make_mut();
        about.set_pts(begins);
        about.set_duration(length);
        if std::mem::take(&mut self.begins) {
            about.set_flags(gst::BufferFlags::DISCONT);
        }
        Some(paced)
    }

    /// None until the card has said what time it is.
    fn look(&mut self, seen: Option<(u64, i64)>) -> Option<&Skew> {
        let skew = match (&mut self.skew, self.way, seen) {
            (Some(skew), _, _) => skew,
            // It begins where it is due.
            (none, Way::Played, _) => none.insert(Skew::new(0.0)),
            (none, Way::Recorded, Some((_, ahead))) => none.insert(Skew::new(as_ns(ahead))),
            (_, Way::Recorded, None) => return None,
        };
        if let Some((now, ahead)) = seen
            && let Some(jump) = skew.see(now, ahead)
        {
            let ms = (jump.0 / 1e6).round();
            let card = match self.way {
                Way::Played => "loudspeaker",
                Way::Recorded => "microphone",
            };
            tracing::info!(card, ms, "a sound card was out of step and is put right");
            self.begins = true;
        }
        Some(skew)
    }

    fn resample(&mut self, samples: &[f32], ratio: f64) -> Result<Vec<i16>, Box<dyn Error>> {
        self.resampler.set_resample_ratio(ratio, true)?;
        let mut all = Vec::with_capacity(samples.len() + self.channels * 8);
        for piece in samples.chunks(MOST_FRAMES * self.channels) {
            let frames = piece.len() / self.channels;
            self.resampler.set_chunk_size(frames)?;
            let longest = self.resampler.output_frames_next();
            let mut given = vec![0.0; longest * self.channels];
            let taken = InterleavedSlice::new(piece, self.channels, frames)?;
            let mut out = InterleavedSlice::new_mut(&mut given, self.channels, longest)?;
            let (_, written) = self.resampler.process_into_buffer(&taken, &mut out, None)?;
            given.truncate(written * self.channels);
            all.extend(given.into_iter().map(quantise));
        }
        Ok(all)
    }
}

fn samples_of(buffer: &gst::Buffer) -> Option<Vec<f32>> {
    let bytes = buffer.map_readable().ok()?;
    let sample = |two: &[u8]| f32::from(i16::from_le_bytes([two[0], two[1]])) / FULL;
    Some(bytes.chunks_exact(2).map(sample).collect())
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a conversion of a float to an integer saturates"
)]
fn quantise(sample: f32) -> i16 {
    (sample * FULL).round() as i16
}

fn length_of(frames: usize) -> gst::ClockTime {
    let frames = u64::try_from(frames).unwrap_or(u64::MAX);
    let length = gst::ClockTime::SECOND.mul_div_round(frames, RATE.into());
    length.unwrap_or_default()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "nanoseconds of some days have their place in a double"
)]
fn ns_of(frames: usize) -> f64 {
    frames as f64 * 1e9 / f64::from(RATE)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "nanoseconds of some days have their place in a double"
)]
fn as_ns(ns: i64) -> f64 {
    ns as f64
}

/// None before the beginning of time.
#[expect(
    clippy::cast_possible_truncation,
    reason = "nanoseconds of some days have their place in an integer"
)]
fn moved(time: gst::ClockTime, by_ns: f64) -> Option<gst::ClockTime> {
    let by = by_ns.round() as i64;
    let moved = i64::try_from(time.nseconds()).ok()?.checked_add(by)?;
    u64::try_from(moved).ok().map(gst::ClockTime::from_nseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE: usize = 480;
    const PIECE_NS: i64 = 10_000_000;
    /// What the clock of a microphone says when ours begins, in nanoseconds.
    const BASE_NS: i64 = -5_000_000_000;

    /// A tone of 1 kHz on its way to a card, or from it, piece by piece.
    struct Tone {
        stream: Stream,
        pieces: i64,
        /// By how much the card's clock is faster, in millionths.
        ppm: i64,
        /// What the card has lost, in nanoseconds.
        lost_ns: i64,
        handed: Vec<Handed>,
        samples: Vec<i16>,
    }

    struct Handed {
        at_ns: i64,
        frames: usize,
        begins: bool,
    }

    impl Tone {
        fn new(way: Way, ppm: i64) -> Self {
            gst::init().unwrap();
            Self {
                stream: Stream::new(way).unwrap(),
                pieces: 1_000,
                ppm,
                lost_ns: 0,
                handed: Vec::new(),
                samples: Vec::new(),
            }
        }

        /// By how much the card is ahead at a time of ours, in nanoseconds.
        fn ahead_ns(&self, ours_ns: i64) -> i64 {
            let base = match self.stream.way {
                Way::Played => 0,
                Way::Recorded => BASE_NS,
            };
            base + ours_ns * self.ppm / 1_000_000 - self.lost_ns
        }

        /// What the next piece says of when it is: what is played is on our clock, and what is
        /// recorded on the card's.
        fn at_ns(&self) -> i64 {
            match self.stream.way {
                Way::Played => self.pieces * PIECE_NS,
                Way::Recorded => self.pieces * PIECE_NS + BASE_NS,
            }
        }

        fn pass(&mut self, pieces: i64) {
            for _ in 0..pieces {
                let at = gst::ClockTime::from_nseconds(self.at_ns().try_into().unwrap());
                let mut buffer = gst::Buffer::from_mut_slice(self.wave());
                buffer.make_mut().set_pts(at);
                self.pieces += 1;
                let ours = match self.stream.way {
                    Way::Played => self.pieces * PIECE_NS,
                    Way::Recorded => (self.at_ns() - BASE_NS) * 1_000_000 / (1_000_000 + self.ppm),
                };
                let seen = (ours.try_into().unwrap(), self.ahead_ns(ours));
                if let Some(paced) = self.stream.pass(&buffer, Some(seen)) {
                    self.take(&paced);
                }
            }
        }

        fn take(&mut self, paced: &gst::Buffer) {
            let bytes = paced.map_readable().unwrap();
            let frames = bytes.chunks_exact(2 * self.stream.channels);
            self.handed.push(Handed {
                at_ns: paced.pts().unwrap().nseconds().try_into().unwrap(),
                frames: frames.len(),
                begins: paced.flags().contains(gst::BufferFlags::DISCONT),
            });
            let samples = frames.map(|it| i16::from_le_bytes([it[0], it[1]]));
            self.samples.extend(samples);
        }

        #[expect(clippy::cast_possible_truncation, reason = "a tone of 16 bits")]
        fn wave(&self) -> Vec<u8> {
            let samples = (0..PIECE).flat_map(|at| {
                // It has a whole number of turns in each piece.
                let turns = f64::from(u32::try_from(at).unwrap()) / 48.0;
                let sample = (turns * std::f64::consts::TAU).sin() * 16_000.0;
                vec![sample.round() as i16; self.stream.channels]
            });
            samples.flat_map(i16::to_le_bytes).collect()
        }

        /// How many times something begins that does not follow, beside the first. What does not say
        /// so follows to the sample.
        fn breaks(&self) -> usize {
            let mut breaks = 0;
            for two in self.handed.windows(2) {
                let [before, after] = two else { continue };
                breaks += usize::from(after.begins);
                let length = ns_of(before.frames);
                let away = as_ns(after.at_ns - before.at_ns) - length;
                assert!(after.begins || away.abs() < 100.0, "{away} ns");
            }
            breaks
        }

        /// How far three samples are from those of a tone of 1 kHz at most, in steps of 16 bits.
        fn farthest_from_a_tone(&self) -> f64 {
            let turn = 2.0 * (std::f64::consts::TAU / 48.0).cos();
            let heard = self.samples.get(PIECE..).unwrap_or_default();
            let three = heard.windows(3);
            let off = three.map(|it| {
                let [a, b, c] = [it[0], it[1], it[2]].map(f64::from);
                (a - turn * b + c).abs()
            });
            off.fold(0.0, f64::max)
        }

        /// How far the last is from where it belongs, in milliseconds.
        fn apart_ms(&self) -> f64 {
            let last = self.handed.last().unwrap().at_ns;
            let came = self.at_ns() - PIECE_NS;
            let belongs = match self.stream.way {
                Way::Played => came + self.ahead_ns(came),
                Way::Recorded => {
                    (came - BASE_NS) * 1_000_000 / (1_000_000 + self.ppm) + self.lost_ns
                }
            };
            as_ns(last - belongs) / 1e6
        }
    }

    #[test]
    fn what_is_played_goes_along_with_the_card_and_nobody_hears_it() {
        let mut tone = Tone::new(Way::Played, 100);
        tone.pass(6_000);
        assert_eq!(tone.breaks(), 0);
        let off = tone.farthest_from_a_tone();
        assert!(off < 4.0, "{off}");
        let applied = tone.stream.skew.as_ref().unwrap().applied_ns();
        assert!(applied > 2e6, "{applied}");
        assert!(tone.apart_ms().abs() < 5.0, "{} ms", tone.apart_ms());
    }

    #[test]
    fn what_is_recorded_is_on_our_clock_and_nobody_hears_it() {
        let mut tone = Tone::new(Way::Recorded, -100);
        tone.pass(6_000);
        assert_eq!(tone.breaks(), 0);
        let off = tone.farthest_from_a_tone();
        assert!(off < 4.0, "{off}");
        assert!(tone.apart_ms().abs() < 5.0, "{} ms", tone.apart_ms());
    }

    #[test]
    fn what_a_card_has_lost_is_left_out_once() {
        let mut tone = Tone::new(Way::Played, 0);
        tone.pass(500);
        tone.lost_ns = 172_000_000;
        tone.pass(500);
        assert_eq!(tone.breaks(), 1);
        assert!(tone.apart_ms().abs() < 1.0, "{} ms", tone.apart_ms());
    }

    #[test]
    fn what_does_not_follow_begins_where_it_is_due() {
        for way in [Way::Played, Way::Recorded] {
            let mut tone = Tone::new(way, 0);
            tone.pass(500);
            tone.pieces += 7;
            tone.pass(500);
            assert_eq!(tone.breaks(), 1, "{way:?}");
            assert!(
                tone.apart_ms().abs() < 1.0,
                "{way:?}: {} ms",
                tone.apart_ms()
            );
        }
    }

    #[test]
    fn nothing_is_recorded_until_the_card_has_said_what_time_it_is() {
        gst::init().unwrap();
        let mut buffer = gst::Buffer::from_mut_slice(vec![0; PIECE * 2]);
        buffer.make_mut().set_pts(gst::ClockTime::ZERO);
        let mut stream = Stream::new(Way::Recorded).unwrap();
        assert!(stream.pass(&buffer, None).is_none());
        let seen = Some((10_000_000, BASE_NS));
        let recorded = stream.pass(&buffer, seen).unwrap();
        let since = gst::ClockTime::from_nseconds(BASE_NS.unsigned_abs());
        assert_eq!(recorded.pts(), Some(since));
    }
}
