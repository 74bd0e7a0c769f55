use std::sync::mpsc;

use super::*;

/// RTP in a pad that nobody has taken, as webrtcbin adds them.
struct Sender {
    pipeline: gst::Pipeline,
    pad: gst::Pad,
    block: Option<gst::PadProbeId>,
    /// One for each packet that reached the pad.
    packets: mpsc::Receiver<()>,
}

impl Sender {
    fn new(media: &str) -> Self {
        gst::init().unwrap();
        let text = format!("{media} ! identity name=end");
        let pipeline = gst::parse::launch(&text)
            .unwrap()
            .downcast::<gst::Pipeline>()
            .unwrap();
        let end = pipeline.by_name("end").unwrap();
        let pad = end.static_pad("src").unwrap();
        let block = pad.add_probe(
            gst::PadProbeType::BLOCK | gst::PadProbeType::BUFFER,
            |_, _| gst::PadProbeReturn::Ok,
        );
        let (packet, packets) = mpsc::channel();
        let sink = end.static_pad("sink").unwrap();
        sink.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            let _ = packet.send(());
            gst::PadProbeReturn::Ok
        });
        pipeline.set_state(gst::State::Playing).unwrap();
        // Events pass, and the first buffer waits.
        while pad.current_caps().is_none() {
            std::thread::yield_now();
        }
        Self {
            pipeline,
            pad,
            block,
            packets,
        }
    }

    fn give_to(&mut self, receiver: &Receiver) {
        receiver.take(&self.pad).unwrap();
        self.pad.remove_probe(self.block.take().unwrap());
    }

    fn wait_for_packets(&self, count: usize) {
        for _ in 0..count {
            self.packets
                .recv_timeout(std::time::Duration::from_secs(20))
                .unwrap();
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

#[test]
fn nothing_is_decoded_before_the_gate_is_open() {
    let tone = "audiotestsrc is-live=true ! opusenc ! rtpopuspay";
    let pictures = "videotestsrc is-live=true ! video/x-raw,width=64,height=64,framerate=30/1 ! \
                    vp8enc deadline=1 keyframe-max-dist=5 ! rtpvp8pay";
    for media in [tone, pictures] {
        let mut sender = Sender::new(media);
        let gate = Gate::default();
        let arrivals = Arc::new(Arrivals::default());
        let receiver = Receiver::new(
            &sender.pipeline,
            gate.clone(),
            arrivals.clone(),
            Outlets::default(),
            Wait::LONG,
        );
        sender.give_to(&receiver);
        let decoded = || arrivals.sounds.load(Relaxed) + arrivals.pictures.load(Relaxed);
        sender.wait_for_packets(20);
        assert_eq!(decoded(), 0);
        gate.open();
        while decoded() < 5 {
            sender.wait_for_packets(1);
        }
        gate.close();
        sender.wait_for_packets(5);
        let then = decoded();
        sender.wait_for_packets(20);
        assert_eq!(decoded(), then);
    }
}

/// A sender that begins anew under other numbers again and again.
#[test]
fn streams_that_are_over_make_room_for_new_ones_and_those_that_are_not_stay() {
    gst::init().unwrap();
    let each = |number: usize| {
        format!("audiotestsrc is-live=true ! opusenc ! rtpopuspay ! identity name=end{number} ")
    };
    let text: String = (0..MOST_STREAMS + 3).map(each).collect();
    let pipeline = gst::parse::launch(&text).unwrap();
    let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
    let pads: Vec<_> = (0..MOST_STREAMS + 3)
        .map(|number| {
            let end = pipeline.by_name(&format!("end{number}")).unwrap();
            let pad = end.static_pad("src").unwrap();
            let blocked = gst::PadProbeType::BLOCK | gst::PadProbeType::BUFFER;
            let block = pad.add_probe(blocked, |_, _| gst::PadProbeReturn::Ok);
            (pad, block)
        })
        .collect();
    pipeline.set_state(gst::State::Playing).unwrap();
    let arrivals = Arc::new(Arrivals::default());
    let outlets = Outlets::default();
    let receiver = Receiver::new(
        &pipeline,
        Gate::opened(),
        arrivals.clone(),
        outlets,
        Wait::LONG,
    );
    let decoders = || {
        let all = pipeline.iterate_recurse().into_iter().flatten();
        all.filter(|it| it.factory().is_some_and(|it| it.name() == "opusdec"))
            .count()
    };
    let mut pads = pads.into_iter().map(|(pad, block)| {
        while pad.current_caps().is_none() {
            std::thread::yield_now();
        }
        (pad, block.unwrap())
    });
    let sends_on = |pad: &gst::Pad| {
        let (packet, packets) = mpsc::channel();
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            let _ = packet.send(());
            gst::PadProbeReturn::Ok
        });
        for _ in 0..20 {
            packets
                .recv_timeout(std::time::Duration::from_secs(20))
                .unwrap();
        }
    };
    let mut first = None;
    for (pad, block) in pads.by_ref().take(MOST_STREAMS) {
        receiver.take(&pad).unwrap();
        pad.remove_probe(block);
        sends_on(&pad);
        first.get_or_insert(pad);
    }
    assert_eq!(decoders(), MOST_STREAMS);
    // All of them send.
    let (pad, block) = pads.next().unwrap();
    receiver.take(&pad).unwrap();
    pad.remove_probe(block);
    sends_on(&pad);
    assert_eq!(decoders(), MOST_STREAMS, "one more is not decoded");

    // Later none of them has sent for long.
    let first = first.unwrap();
    let later = engine::now() + OVER + OVER;
    for (pad, block) in pads {
        let before = arrivals.sounds.load(Relaxed);
        receiver.take_at(later, &pad).unwrap();
        pad.remove_probe(block);
        sends_on(&pad);
        assert_eq!(decoders(), MOST_STREAMS);
        assert!(arrivals.sounds.load(Relaxed) > before);
    }
    // One that was given up has not stopped its sender.
    sends_on(&first);
    pipeline.set_state(gst::State::Null).unwrap();
}

#[test]
fn what_nobody_knows_is_taken_all_the_same() {
    let mut sender = Sender::new("audiotestsrc is-live=true ! alawenc ! rtppcmapay");
    let receiver = Receiver::new(
        &sender.pipeline,
        Gate::default(),
        Arc::default(),
        Outlets::default(),
        Wait::LONG,
    );
    sender.give_to(&receiver);
    // An unlinked pad would have stopped it after the first.
    sender.wait_for_packets(20);
}

/// What holds packets of sound is told how long they are waited for, at first and as that changes.
#[test]
fn a_jitter_buffer_holds_sound_for_as_long_as_it_is_waited_for() {
    let mut sender = Sender::new(
        "audiotestsrc is-live=true ! opusenc ! rtpopuspay ssrc=77 ! \
         rtpjitterbuffer name=buffer latency=120 ! identity",
    );
    let buffer = sender.pipeline.by_name("buffer").unwrap();
    let outlets = Outlets::default();
    let arrivals = Arc::new(Arrivals::default());
    let receiver = Receiver::new(
        &sender.pipeline,
        Gate::opened(),
        arrivals.clone(),
        outlets.clone(),
        Wait::FOLLOWING,
    );
    receiver.buffered(77, &buffer);
    sender.give_to(&receiver);
    let held = || buffer.property::<u32>("latency");
    assert_eq!(held(), 120, "no less than the jitter of a network");
    assert_eq!(outlets.shift.applied(), gst::ClockTime::from_mseconds(100));
    // Looks of which each has something new.
    let mut now = engine::now();
    let mut look = || {
        let known = arrivals.sounds.load(Relaxed);
        while arrivals.sounds.load(Relaxed) < known + 2 {
            sender.wait_for_packets(1);
        }
        now += Duration::from_secs(1);
        receiver.keep_up(now);
    };
    outlets.shift.put_off(gst::ClockTime::from_mseconds(190));
    look();
    // 45 ms for everybody and 190 alone, less a piece of 20 ms and the turns of threads.
    assert_eq!(held(), 205);
    for _ in 0..40 {
        look();
    }
    let waits = outlets.shift.applied();
    assert!(waits < gst::ClockTime::from_mseconds(100), "{waits}");
    assert_eq!(held(), 120);
}
