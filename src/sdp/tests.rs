use proptest::prelude::*;

use super::*;

/// The shape of what Chromium 156 offers for one audio and one video transceiver.
fn chromium() -> String {
    let head = "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n\
        a=group:BUNDLE 0 1\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS 1b2c\r\n";
    let transport = format!(
        "c=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=ice-ufrag:lH3B\r\n\
         a=ice-pwd:0CF1Yz2Kd0Xr5s0Ck8f9aFwW\r\na=ice-options:trickle\r\n\
         a=fingerprint:sha-256 {}\r\na=setup:actpass\r\n",
        ["4A"; 32].join(":")
    );
    format!(
        "{head}m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126\r\n{transport}a=mid:0\r\n\
         a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n\
         a=extmap:3 {TRANSPORT_WIDE_CC}\r\na=sendrecv\r\na=msid:1b2c 77\r\na=rtcp-mux\r\n\
         a=rtcp-rsize\r\na=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 transport-cc\r\n\
         a=fmtp:111 minptime=10;useinbandfec=1\r\na=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\n\
         a=rtpmap:9 G722/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
         a=ssrc:3570614608 cname:4TOk42mSjXCkVIa6\r\na=ssrc:3570614608 msid:1b2c 77\r\n\
         m=video 9 UDP/TLS/RTP/SAVPF 96 97 103 104 107 108 109 114 115 116\r\n{transport}a=mid:1\r\n\
         a=extmap:14 urn:ietf:params:rtp-hdrext:toffset\r\na=extmap:3 {TRANSPORT_WIDE_CC}\r\n\
         a=sendrecv\r\na=msid:1b2c 88\r\na=rtcp-mux\r\na=rtcp-rsize\r\na=rtpmap:96 VP8/90000\r\n\
         a=rtcp-fb:96 goog-remb\r\na=rtcp-fb:96 transport-cc\r\na=rtcp-fb:96 ccm fir\r\n\
         a=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n\
         a=rtpmap:103 H264/90000\r\na=rtcp-fb:103 nack pli\r\n\
         a=fmtp:103 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f\r\n\
         a=rtpmap:104 rtx/90000\r\na=fmtp:104 apt=103\r\na=rtpmap:107 H264/90000\r\n\
         a=fmtp:107 level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42001f\r\n\
         a=rtpmap:108 rtx/90000\r\na=fmtp:108 apt=107\r\na=rtpmap:109 H264/90000\r\n\
         a=rtcp-fb:109 transport-cc\r\n\
         a=fmtp:109 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n\
         a=rtpmap:114 rtx/90000\r\na=fmtp:114 apt=109\r\na=rtpmap:115 H264/90000\r\n\
         a=fmtp:115 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=640c1f\r\n\
         a=rtpmap:116 ulpfec/90000\r\na=ssrc-group:FID 1 2\r\na=ssrc:1 cname:4TOk\r\n\
         a=ssrc:2 cname:4TOk\r\n"
    )
}

/// The shape of what Firefox 153 answers: session-level fingerprint, quoted mids, `*` feedback.
fn firefox() -> String {
    format!(
        "v=0\r\no=mozilla...THIS_IS_SDPARTA-99.0 6321 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n\
         a=fingerprint:sha-256 {}\r\na=group:BUNDLE audio0 video1\r\na=ice-options:trickle\r\n\
         a=msid-semantic:WMS *\r\n\
         m=audio 9 UDP/TLS/RTP/SAVPF 97\r\nc=IN IP4 0.0.0.0\r\na=recvonly\r\n\
         a=fmtp:97 maxplaybackrate=48000;stereo=1;useinbandfec=1\r\na=ice-pwd:6f1a3c0b9d8e7f6a5b4c3d2e1f0a9b8c\r\n\
         a=ice-ufrag:a1b2c3d4\r\na=mid:audio0\r\na=rtcp-mux\r\na=rtpmap:97 opus/48000/2\r\n\
         a=setup:active\r\na=ssrc:11 cname:{{0-0-0}}\r\n\
         m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=sendrecv\r\na=fmtp:96 max-fs=12288;max-fr=60\r\n\
         a=ice-pwd:6f1a3c0b9d8e7f6a5b4c3d2e1f0a9b8c\r\na=ice-ufrag:a1b2c3d4\r\na=mid:video1\r\n\
         a=rtcp-fb:* nack\r\na=rtcp-fb:96 nack pli\r\na=rtcp-mux\r\na=rtcp-rsize\r\n\
         a=rtpmap:96 VP8/90000\r\na=setup:active\r\na=ssrc:12 cname:{{0-0-0}}\r\n",
        ["0c"; 32].join(":")
    )
}

#[test]
fn an_offer_of_chromium_is_understood() {
    let offer = Description::parse(&chromium(), Side::Offer).unwrap();
    assert_eq!(
        (offer.audio.mid.as_str(), offer.video.mid.as_str()),
        ("0", "1")
    );
    assert_eq!(offer.setup, Setup::ActPass);
    assert_eq!(offer.fingerprints.len(), 1);
    assert_eq!(offer.audio.transport_cc, Some(3));
    assert_eq!(offer.video.direction, Direction::SendRecv);
    assert_eq!(offer.video.sources.len(), 2);

    let choice = offer.choose(&[Codec::H264, Codec::Vp8]).unwrap();
    assert_eq!(choice.audio.payload, 111);
    assert_eq!(choice.audio.feedback, [Feedback::TransportCc].into());
    let video = choice.video;
    assert_eq!(
        (video.payload, video.retransmission),
        (109, Some(114)),
        "42e01f in mode 1"
    );

    let vp8 = offer.choose(&[Codec::Vp8]).unwrap().video;
    assert_eq!((vp8.payload, vp8.retransmission), (96, Some(97)));
    assert_eq!(vp8.feedback.len(), 4, "and nothing of goog-remb");
}

#[test]
fn an_answer_of_firefox_is_understood() {
    let answer = Description::parse(&firefox(), Side::Answer).unwrap();
    assert_eq!(answer.setup, Setup::Active);
    assert_eq!(answer.audio.direction, Direction::RecvOnly);
    let choice = answer
        .choose_payloads((Codec::Opus, 97), (Codec::Vp8, 96))
        .unwrap();
    assert_eq!(
        choice.video.feedback,
        [Feedback::Nack, Feedback::NackPli].into()
    );
    assert_eq!(
        answer.choose_payloads((Codec::Opus, 97), (Codec::Vp8, 100)),
        Err(Refused::Codec(Medium::Video)),
        "another payload type than we offered"
    );
}

#[test]
fn plain_baseline_is_taken_where_there_is_nothing_better() {
    let text = chromium().replace("42e01f", "4d001f");
    let offer = Description::parse(&text, Side::Offer).unwrap();
    assert_eq!(offer.choose(&[Codec::H264]).unwrap().video.payload, 103);
    let text = text.replace(
        "packetization-mode=1;profile-level-id=42001f",
        "profile-level-id=42001f",
    );
    let offer = Description::parse(&text, Side::Offer).unwrap();
    assert_eq!(
        offer.choose(&[Codec::H264]),
        Err(Refused::Codec(Medium::Video))
    );
}

#[test]
fn the_reduced_description_says_the_same_and_no_more() {
    for (text, side, codec) in [
        (chromium(), Side::Offer, Codec::H264),
        (chromium(), Side::Offer, Codec::Vp8),
        (firefox(), Side::Answer, Codec::Vp8),
    ] {
        let full = Description::parse(&text, side).unwrap();
        let choice = full.choose(&[codec]).unwrap();
        let reduced = full.reduce(&choice);
        let again = Description::parse(&reduced, side).unwrap();
        assert_eq!(again.audio.formats, std::slice::from_ref(&choice.audio));
        assert_eq!(again.video.formats, std::slice::from_ref(&choice.video));
        assert_eq!(again.fingerprints, full.fingerprints);
        assert_eq!(again.setup, full.setup);
        assert_eq!(again.video.direction, full.video.direction);
        assert_eq!(again.video.sources, full.video.sources);
        assert_eq!(again.reduce(&choice), reduced);
        for foreign in [
            "goog-remb",
            "red/",
            "msid",
            "useinbandfec",
            "toffset",
            "640c1f",
        ] {
            assert!(!reduced.contains(foreign), "{foreign}");
        }
    }
}

#[test]
fn what_we_do_not_negotiate_is_refused() {
    let why = |text: &str| Description::parse(text, Side::Offer).unwrap_err();
    let with = |from: &str, to: &str| {
        assert!(chromium().contains(from), "{from}");
        why(&chromium().replace(from, to))
    };
    let of = |medium, what| Refused::Section { medium, what };

    assert_eq!(why(""), Refused::Syntax(1));
    assert_eq!(why("o=-\r\nv=0"), Refused::Syntax(1));
    assert_eq!(why("v=0\r\nnonsense"), Refused::Syntax(2));
    assert_eq!(why("v=0\r\na=x\u{0}"), Refused::Syntax(2));
    assert_eq!(why("v=0"), Refused::Sections);
    assert_eq!(
        why(&format!("v=0{}", " ".repeat(LARGEST))),
        Refused::TooLong
    );
    assert_eq!(with("m=audio", "m=video"), Refused::Sections);
    assert_eq!(with("m=video", "m=application"), Refused::Sections);
    let third = format!("{}m=video 9 UDP/TLS/RTP/SAVPF 96\r\n", chromium());
    assert_eq!(why(&third), Refused::Sections);
    assert_eq!(with("BUNDLE 0 1", "BUNDLE 0"), Refused::Bundle);
    assert_eq!(with("BUNDLE 0 1", "BUNDLE 1 0"), Refused::Bundle);
    assert_eq!(
        with("m=video 9", "m=video 0"),
        Refused::Rejected(Medium::Video)
    );
    assert_eq!(
        with("a=sendrecv", "a=inactive"),
        of(Medium::Audio, "is inactive")
    );
    assert_eq!(
        with("a=rtcp-mux", "a=x"),
        of(Medium::Audio, "has no rtcp-mux")
    );
    assert_eq!(
        with("a=mid:0", "a=mid:0 "),
        of(Medium::Audio, "has no usable mid")
    );
    assert_eq!(
        with("UDP/TLS/RTP/SAVPF 96", "RTP/AVP 96"),
        of(Medium::Video, "is not over UDP/TLS/RTP/SAVPF")
    );
    assert_eq!(
        with("a=fingerprint:sha-256", "a=fingerprint:sha-1"),
        of(Medium::Audio, "has no fingerprint of SHA-256 or better")
    );
    assert_eq!(
        with("4A:4A:", "4A:4G:"),
        of(Medium::Audio, "has a garbled fingerprint")
    );
    assert_eq!(
        with("a=setup:actpass", "a=setup:holdconn"),
        of(Medium::Audio, "has no usable setup")
    );
    assert_eq!(
        with("a=ice-pwd:0", "a=ice-pwd:\""),
        of(Medium::Audio, "has no usable ice-pwd")
    );
    assert_eq!(
        Description::parse(&chromium(), Side::Answer).unwrap_err(),
        of(Medium::Audio, "has no usable setup"),
        "an answer must have decided"
    );
    // A second certificate in one bundle.
    let text = chromium();
    let (first, second) = text.split_at(text.find("m=video").unwrap());
    assert_eq!(
        why(&(first.to_owned() + &second.replacen("4A:", "4B:", 1))),
        of(
            Medium::Video,
            "has another transport than the audio section"
        )
    );
    // One payload type for two things.
    let offer = Description::parse(&text.replace("111", "97"), Side::Offer).unwrap();
    assert!(offer.choose(&[Codec::Vp8]).is_err());
    assert!(offer.choose(&[Codec::H264]).is_ok());
}

#[test]
fn several_fingerprints_are_all_kept() {
    let one = format!("a=fingerprint:sha-256 {}\r\n", ["4A"; 32].join(":"));
    let more = format!(
        "{one}a=fingerprint:sha-512 {}\r\na=fingerprint:sha-1 00\r\n",
        ["77"; 64].join(":")
    );
    let offer = Description::parse(&chromium().replace(&one, &more), Side::Offer).unwrap();
    assert_eq!(offer.fingerprints.len(), 2);
    assert_eq!(offer.fingerprints[1].hash, Hash::Sha512);
}

#[test]
fn nothing_private_is_left_after_redacting() {
    let text = chromium() + "a=candidate:1 1 udp 1 192.0.2.1 5 typ host\r\n";
    let shown = redact(&text);
    for private in [
        "192.0.2.1",
        "4A:4A",
        "0CF1Yz2",
        "lH3B",
        "4TOk",
        "1b2c",
        "3570614608",
    ] {
        assert!(!shown.contains(private), "{private}");
    }
    assert!(shown.contains("a=rtpmap:96 VP8/90000"));
    assert!(shown.contains("a=candidate:[private]"));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,400}") {
        let _ = Description::parse(&text, Side::Offer);
        let _ = redact(&text);
        let _ = text.parse::<Candidate>();
        let _ = text.parse::<Fingerprint>();
    }

    /// Lines dropped, doubled, swapped and cut: whatever is still accepted reduces to something
    /// that is accepted again and says the same.
    #[test]
    fn a_mangled_description_is_refused_or_sound(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..5u8), 0..8)
    ) {
        let text = chromium();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        for (one, other, what) in edits {
            if lines.is_empty() { break; }
            let (one, other) = (one.index(lines.len()), other.index(lines.len()));
            match what {
                0 => { lines.remove(one); }
                1 => { let line = lines[one].clone(); lines.insert(other, line); }
                2 => lines.swap(one, other),
                3 => { let cut = lines[one].len() / 2; if lines[one].is_char_boundary(cut) { lines[one].truncate(cut); } }
                _ => { let line = lines[other].clone(); lines[one].push_str(&line); }
            }
        }
        let text = lines.join("\r\n");
        if let Ok(full) = Description::parse(&text, Side::Offer)
            && let Ok(choice) = full.choose(&[Codec::Vp8, Codec::H264])
        {
            let reduced = full.reduce(&choice);
            let again = Description::parse(&reduced, Side::Offer).expect(&reduced);
            prop_assert_eq!(again.reduce(&choice), reduced);
        }
    }
}

#[test]
fn the_level_is_that_of_the_picture() {
    assert_eq!(profile_level_id(320, 180, 15), "42e01f");
    assert_eq!(profile_level_id(1280, 720, 30), "42e01f");
    assert_eq!(profile_level_id(1280, 720, 60), "42e020");
    assert_eq!(profile_level_id(1920, 1080, 30), "42e028");
    assert_eq!(profile_level_id(1080, 1920, 60), "42e02a");
    assert_eq!(profile_level_id(3840, 2160, 30), "42e033");
    assert_eq!(profile_level_id(7680, 4320, 60), "42e034");
}
