//! What is known of single frames, and what encoding costs.
//!
//! Two ways in. [`begin`] and [`end`] stand before and behind each encoder, in every mode alike:
//! the processor time of the thread between them is what encoding costs there, and what an
//! encoder's own threads use besides is found by their name. The tracer sees frames pass at places
//! inside webrtcbin that nobody can put a probe on; it is only there where stages are measured,
//! because it looks at every push of every pad.

use std::{
    cell::Cell,
    collections::BTreeSet,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use gstreamer as gst;
use gstreamer::{glib, prelude::*};

use crate::{
    stamp::{now_ns, thread_ns},
    wire::{Passage, Place},
};

/// By this name the threads that an encoder starts for itself are known.
pub const ENCODING: &str = "encoding";

/// Passages that are kept until somebody asks: a minute of one peer.
const MOST: usize = 50_000;

static STAGES: AtomicBool = AtomicBool::new(false);
static ENCODING_NS: AtomicU64 = AtomicU64::new(0);
static ENCODED: AtomicU64 = AtomicU64::new(0);
static THREADS: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());
static PASSAGES: Mutex<Vec<Passage>> = Mutex::new(Vec::new());

thread_local! {
    static BEGUN: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Processor time of encoding, frames made, and the threads that encode among other things.
#[must_use]
pub fn encoding() -> (u64, u64, Vec<i32>) {
    let threads = THREADS.lock().unwrap_or_else(PoisonError::into_inner);
    (
        ENCODING_NS.load(Relaxed),
        ENCODED.load(Relaxed),
        threads.iter().copied().collect(),
    )
}

/// Notes a passage, where they are wanted.
pub fn pass(passage: Passage) {
    if STAGES.load(Relaxed) {
        let mut passages = PASSAGES.lock().unwrap_or_else(PoisonError::into_inner);
        if passages.len() < MOST {
            passages.push(passage);
        }
    }
}

/// What has passed since the last time.
#[must_use]
pub fn take() -> Vec<Passage> {
    std::mem::take(&mut PASSAGES.lock().unwrap_or_else(PoisonError::into_inner))
}

/// An encoder is about to be told what it gets: threads that it starts now have this name.
fn name_thread() {
    let thread = nix::unistd::gettid().as_raw();
    let mut threads = THREADS.lock().unwrap_or_else(PoisonError::into_inner);
    if threads.insert(thread) {
        // The one way to name a thread that others made. Threads inherit it.
        let _ = std::fs::write(format!("/proc/self/task/{thread}/comm"), ENCODING);
    }
}

fn begin(time: Option<gst::ClockTime>) {
    passing(Place::Encoder, time);
    BEGUN.set(Some(thread_ns()));
}

fn end(time: Option<gst::ClockTime>) {
    ENCODED.fetch_add(1, Relaxed);
    if let Some(begun) = BEGUN.take() {
        ENCODING_NS.fetch_add(thread_ns().saturating_sub(begun), Relaxed);
    }
    passing(Place::Encoded, time);
}

fn passing(place: Place, time: Option<gst::ClockTime>) {
    if let Some(time) = time {
        pass(Passage {
            place,
            frame: time.nseconds(),
            packets: 0,
            at_ns: now_ns(),
        });
    }
}

/// When a buffer is to be shown, which means the same in every pipeline. Its timestamp alone does
/// not: x264enc begins at a thousand hours, in a segment that says so.
fn running(pad: &gst::Pad, buffer: &gst::BufferRef) -> Option<gst::ClockTime> {
    let pts = buffer.pts()?;
    let event = pad.sticky_event::<gst::event::Segment>(0);
    let time = event.and_then(|event| {
        let segment = event.segment().downcast_ref::<gst::ClockTime>()?;
        segment.to_running_time(pts)
    });
    time.or(Some(pts))
}

/// Puts the marks around an encoder that somebody else made.
pub fn around(encoder: &gst::Element) {
    let Some((sink, source)) = encoder.static_pad("sink").zip(encoder.static_pad("src")) else {
        return;
    };
    let both = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    sink.add_probe(both, |pad, info| {
        match &info.data {
            Some(gst::PadProbeData::Buffer(buffer)) => begin(running(pad, buffer)),
            Some(gst::PadProbeData::Event(event)) if event.type_() == gst::EventType::Caps => {
                name_thread();
            }
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
    source.add_probe(gst::PadProbeType::BUFFER, |pad, info| {
        if let Some(gst::PadProbeData::Buffer(buffer)) = &info.data {
            end(running(pad, buffer));
        }
        gst::PadProbeReturn::Ok
    });
}

/// The text of an encoder with the marks in it, for whoever makes the encoder out of our sight.
#[must_use]
pub fn marked(launch: &str) -> String {
    format!("{MARK} last=false ! {} ! {MARK} last=true", launch.trim())
}

const MARK: &str = "roomdbenchmark";

/// Makes the marks known to GStreamer, and, where stages are wanted, has every push looked at.
pub fn register(stages: bool) -> Result<(), glib::BoolError> {
    gst::Element::register(None, MARK, gst::Rank::NONE, mark::Mark::static_type())?;
    if stages {
        STAGES.store(true, Relaxed);
        // It lives as long as the process.
        std::mem::forget(glib::Object::new::<tracer::Stages>());
    }
    Ok(())
}

mod mark {
    use std::sync::{
        LazyLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    };

    use gstreamer as gst;
    use gstreamer::{glib, prelude::*, subclass::prelude::*};
    use gstreamer_base as gst_base;
    use gstreamer_base::subclass::{BaseTransformMode, prelude::*};

    glib::wrapper! {
        pub struct Mark(ObjectSubclass<Inner>)
            @extends gst_base::BaseTransform, gst::Element, gst::Object;
    }

    #[derive(Default)]
    pub struct Inner {
        last: AtomicBool,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Inner {
        const NAME: &'static str = "RoomdBenchMark";
        type Type = Mark;
        type ParentType = gst_base::BaseTransform;
    }

    impl ObjectImpl for Inner {
        fn properties() -> &'static [glib::ParamSpec] {
            static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> =
                LazyLock::new(|| vec![glib::ParamSpecBoolean::builder("last").build()]);
            &PROPERTIES
        }

        fn set_property(&self, _: usize, value: &glib::Value, _: &glib::ParamSpec) {
            self.last.store(value.get().unwrap_or(false), Relaxed);
        }

        fn property(&self, _: usize, _: &glib::ParamSpec) -> glib::Value {
            self.last.load(Relaxed).to_value()
        }
    }

    impl GstObjectImpl for Inner {}

    impl ElementImpl for Inner {
        fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
            static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
                gst::subclass::ElementMetadata::new(
                    "Mark",
                    "Generic",
                    "Stands before or behind an encoder",
                    "roomd",
                )
            });
            Some(&METADATA)
        }

        fn pad_templates() -> &'static [gst::PadTemplate] {
            static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
                [
                    ("sink", gst::PadDirection::Sink),
                    ("src", gst::PadDirection::Src),
                ]
                .into_iter()
                .filter_map(|(name, direction)| {
                    let any = gst::Caps::new_any();
                    gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &any).ok()
                })
                .collect()
            });
            &TEMPLATES
        }
    }

    impl BaseTransformImpl for Inner {
        const MODE: BaseTransformMode = BaseTransformMode::AlwaysInPlace;
        const PASSTHROUGH_ON_SAME_CAPS: bool = true;
        const TRANSFORM_IP_ON_PASSTHROUGH: bool = true;

        fn sink_event(&self, event: gst::Event) -> bool {
            if event.type_() == gst::EventType::Caps && !self.last.load(Relaxed) {
                super::name_thread();
            }
            self.parent_sink_event(event)
        }

        fn transform_ip_passthrough(
            &self,
            buffer: &gst::Buffer,
        ) -> Result<gst::FlowSuccess, gst::FlowError> {
            let pad = self.obj().static_pad("sink");
            let time = pad.and_then(|pad| super::running(&pad, buffer));
            if self.last.load(Relaxed) {
                super::end(time);
            } else {
                super::begin(time);
            }
            Ok(gst::FlowSuccess::Ok)
        }
    }
}

mod tracer {
    use gstreamer as gst;
    use gstreamer::{glib, prelude::*, subclass::prelude::*};

    use crate::{
        stamp::now_ns,
        wire::{Passage, Place},
    };

    glib::wrapper! {
        pub struct Stages(ObjectSubclass<Inner>) @extends gst::Tracer, gst::Object;
    }

    #[derive(Default)]
    pub struct Inner;

    #[glib::object_subclass]
    impl ObjectSubclass for Inner {
        const NAME: &'static str = "RoomdBenchStages";
        type Type = Stages;
        type ParentType = gst::Tracer;
    }

    impl ObjectImpl for Inner {
        fn constructed(&self) {
            self.parent_constructed();
            self.register_hook(TracerHook::PadPushPre);
            self.register_hook(TracerHook::PadPushListPre);
        }
    }

    impl GstObjectImpl for Inner {}

    impl TracerImpl for Inner {
        fn pad_push_pre(&self, _: u64, pad: &gst::Pad, buffer: &gst::Buffer) {
            if let Some(place) = place(pad) {
                note(place, pad, buffer);
            }
        }

        fn pad_push_list_pre(&self, _: u64, pad: &gst::Pad, list: &gst::BufferList) {
            if let Some(place) = place(pad) {
                list.iter_owned()
                    .for_each(|buffer| note(place, pad, &buffer));
            }
        }
    }

    /// What a push from this pad means.
    fn place(pad: &gst::Pad) -> Option<Place> {
        let factory = |pad: &gst::Pad| {
            let factory = pad.parent_element()?.factory()?;
            Some(factory.name())
        };
        match factory(pad).as_deref() {
            Some("rtpvp8pay" | "rtph264pay") => Some(Place::Paid),
            Some("nicesrc") => Some(Place::In),
            Some("rtpjitterbuffer") => Some(Place::Ordered),
            Some("rtpvp8depay" | "rtph264depay") => Some(Place::Whole),
            // Whoever pushes into it: there are many bins around.
            _ => (factory(&pad.peer()?)?.as_str() == "nicesink").then_some(Place::Out),
        }
    }

    fn note(place: Place, pad: &gst::Pad, buffer: &gst::BufferRef) {
        let frame = super::running(pad, buffer).map_or(0, gst::ClockTime::nseconds);
        let packets = if place == Place::Whole {
            0
        } else {
            let mut header = [0; 12];
            if buffer.copy_to_slice(0, &mut header).is_err() {
                return;
            }
            // The last packet of a picture has the marker; RTCP, STUN and DTLS begin otherwise.
            if header[0] >> 6 != 2 || header[1] & 0x80 == 0 || (192..=223).contains(&header[1]) {
                return;
            }
            let word = |at: usize| {
                u64::from(u32::from_be_bytes([
                    header[at],
                    header[at + 1],
                    header[at + 2],
                    header[at + 3],
                ]))
            };
            word(8) << 32 | word(4)
        };
        super::pass(Passage {
            place,
            frame,
            packets,
            at_ns: now_ns(),
        });
    }
}
