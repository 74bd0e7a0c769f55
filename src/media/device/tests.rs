use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::str::FromStr;

use gstreamer as gst;

use super::{
    Size, Survey, alsa, card_in, connectors, find_display, is_camera, keep, kept, lasting_names,
    modes, sound, stable_name,
};
use crate::pipeline::Kept;

#[test]
fn a_codec_is_no_camera() {
    let cases = [
        ("a USB camera", 0x0420_0001, "uvcvideo", true),
        ("its metadata", 0x04a0_0000, "uvcvideo", false),
        ("a codec in two halves", 0x0420_4000, "bcm2835-codec", false),
        ("a codec in one", 0x0420_8000, "some-codec", false),
        ("an ISP of a board", 0x0420_0001, "bcm2835-isp", false),
        (
            "a sensor that needs libcamera",
            0x0420_0001,
            "unicam",
            false,
        ),
        (
            "the input of a loopback",
            0x0520_0003,
            "v4l2 loopback",
            false,
        ),
        ("a multi-planar camera", 0x0420_1000, "some-camera", true),
    ];
    for (what, caps, driver, camera) in cases {
        assert_eq!(is_camera(caps, driver), camera, "{what}");
    }
}

#[test]
fn modes_come_from_fixed_listed_and_ranged_caps() {
    gst::init().unwrap();
    let caps = gst::Caps::from_str(
        "video/x-raw,format=YUY2,width=640,height=480,framerate={15/1,30/1,15/2}; \
         video/x-raw,format=YUY2,width=640,height=480,framerate=5/1; \
         video/x-raw(memory:DMABuf),format=NV12,width=640,height=480,framerate=30/1; \
         video/x-bayer,format=rggb,width=640,height=480,framerate=30/1; \
         video/x-h264,width=640,height=480,framerate=30/1; \
         image/jpeg,width=[16,1280],height=[16,720],framerate=[1/1,30/1]",
    )
    .unwrap();
    let told: Vec<_> = modes(&caps)
        .iter()
        .map(|mode| {
            let rates: Vec<_> = mode.rates.iter().map(ToString::to_string).collect();
            format!(
                "{:?} {}x{} {}",
                mode.format,
                mode.width,
                mode.height,
                rates.join(" ")
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "Raw(\"YUY2\") 640x480 30 15 7.50 5",
            "Jpeg 640x360 30 25 15 10 5",
            "Jpeg 640x480 30 25 15 10 5",
            "Jpeg 1280x720 30 25 15 10 5",
        ]
    );
}

#[test]
fn a_camera_is_named_by_what_outlives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let node = dir.path().join("video2");
    fs::write(&node, "").unwrap();
    for folder in ["by-id", "by-path"] {
        fs::create_dir(dir.path().join(folder)).unwrap();
        symlink(&node, dir.path().join(folder).join("usb-1-video-index0")).unwrap();
    }
    let links = lasting_names(dir.path());
    let node = fs::canonicalize(node).unwrap();
    let node = node.to_str().unwrap();
    assert!(stable_name(node, &links, false).ends_with("/by-id/usb-1-video-index0"));
    assert!(stable_name(node, &links, true).ends_with("/by-path/usb-1-video-index0"));
    assert_eq!(stable_name("/dev/video9", &links, false), "/dev/video9");
}

#[test]
fn sound_cards_have_lasting_names() {
    let cards = " 0 [PCH            ]: HDA-Intel - HDA Intel PCH
                      HDA Intel PCH at 0xf7210000 irq 31
 1 [Jabra          ]: USB-Audio - Jabra SPEAK 510 USB
                      Jabra SPEAK 510 USB at usb-0000:00:14.0-3, full speed
";
    let pcm = "00-00: ALC269VC Analog : ALC269VC Analog : playback 1 : capture 1
00-03: HDMI 0 : HDMI 0 : playback 1
01-00: USB Audio : USB Audio : playback 1 : capture 1
07-00: gone : gone : playback 1
nonsense
";
    let told: Vec<_> = alsa::sound(cards, pcm)
        .iter()
        .map(|it| {
            format!(
                "{} {} {} {} {}",
                it.device, it.name, it.driver, it.captures, it.plays
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "plughw:CARD=PCH,DEV=0 HDA Intel PCH HDA-Intel true true",
            "plughw:CARD=PCH,DEV=3 HDA Intel PCH, HDMI 0 HDA-Intel false true",
            "plughw:CARD=Jabra,DEV=0 Jabra SPEAK 510 USB USB-Audio true true",
        ]
    );
    assert_eq!(sound(Path::new("/nowhere")), []);
}

#[test]
fn the_card_behind_a_device_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let cards = " 0 [PCH            ]: HDA-Intel - HDA Intel PCH
                      HDA Intel PCH at 0xf7210000 irq 31
 1 [USB            ]: USB-Audio - Jabra SPEAK 510 USB
                      Jabra SPEAK 510 USB at usb-0000:00:14.0-3, full speed
";
    fs::write(dir.path().join("cards"), cards).unwrap();
    fs::create_dir(dir.path().join("card1")).unwrap();
    fs::write(dir.path().join("card1/usbid"), "0b0e:0422\n").unwrap();
    symlink("card1", dir.path().join("USB")).unwrap();
    let told = |device: &str| card_in(dir.path(), device).map(|it| (it.name, it.usb));
    let jabra = Some(("Jabra SPEAK 510 USB".to_owned(), Some((0x0b0e, 0x0422))));
    for device in [
        "plughw:CARD=USB,DEV=0",
        "hw:DEV=0,CARD=USB",
        "plughw:USB",
        "hw:1,0",
    ] {
        assert_eq!(told(device), jabra, "{device}");
    }
    let board = Some(("HDA Intel PCH".to_owned(), None));
    assert_eq!(told("hw:CARD=PCH,DEV=3"), board);
    for device in ["default", "pulse", "hw:", "hw:CARD=Gone,DEV=0", "hw:7,0"] {
        assert_eq!(told(device), None, "{device}");
    }
}

#[test]
fn the_sockets_of_a_graphics_card_are_found_and_the_card_by_any_of_its_names() {
    let dir = tempfile::tempdir().unwrap();
    let drm = dir.path().join("drm");
    for (name, status, modes) in [
        ("card1-HDMI-A-2", "connected", "1280x720\n640x480\n"),
        ("card1-HDMI-A-1", "disconnected", ""),
        ("card0-DP-1", "connected", "1024x768\n"),
    ] {
        let folder = drm.join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("status"), format!("{status}\n")).unwrap();
        fs::write(folder.join("modes"), modes).unwrap();
    }
    for other in ["card0", "card1", "renderD128"] {
        fs::create_dir(drm.join(other)).unwrap();
    }
    fs::write(drm.join("version"), "drm 1.1.0 20060810\n").unwrap();
    let survey = Survey {
        connectors: connectors(&drm),
        ..Survey::default()
    };
    let names: Vec<_> = survey
        .connectors
        .iter()
        .map(|it| (it.card.as_str(), it.name.as_str(), it.connected))
        .collect();
    assert_eq!(
        names,
        [
            ("/dev/dri/card0", "DP-1", true),
            ("/dev/dri/card1", "HDMI-A-1", false),
            ("/dev/dri/card1", "HDMI-A-2", true),
        ]
    );
    assert_eq!(connectors(&dir.path().join("nothing")), []);

    let wall = Size {
        width: 1280,
        height: 720,
    };
    let found = |device: Option<&str>| {
        let setting = device.map(|device| ("device".to_owned(), device.to_owned()));
        let found = find_display(&survey, &setting.into_iter().collect(), wall);
        found.map_or_else(|why| why.to_string(), |it| it.to_string())
    };
    let first = "DP-1 at 1024x768, because it has no 1280x720";
    assert_eq!(found(None), first);
    assert_eq!(found(Some("/dev/dri/card1")), "HDMI-A-2 at 1280x720");
    let where_else = "connected are: DP-1 of /dev/dri/card0, HDMI-A-2 of /dev/dri/card1";
    let why = format!("there is no /dev/dri/card2; {where_else}");
    assert_eq!(found(Some("/dev/dri/card2")), why);
    // What udev calls it leads there, as long as it is there.
    let link = dir.path().join("platform-gpu-card");
    std::os::unix::fs::symlink("/dev/null", &link).unwrap();
    let why = format!("there is no /dev/null; {where_else}");
    assert_eq!(found(link.to_str()), why, "it is another device");

    let settings = BTreeMap::from([
        ("connector".to_owned(), "HDMI-A-2".to_owned()),
        ("mode".to_owned(), "640x480".to_owned()),
    ]);
    let found = find_display(&survey, &settings, wall).unwrap();
    assert_eq!(
        (found.connector.as_str(), found.wanted),
        (
            "HDMI-A-2",
            Size {
                width: 640,
                height: 480
            }
        )
    );
}

#[test]
fn a_choice_is_remembered() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(kept(dir.path()), Kept::default());
    let chosen = Kept {
        camera: Some("/dev/v4l/by-id/it".to_owned()),
        ..Kept::default()
    };
    keep(dir.path(), &chosen).unwrap();
    assert_eq!(kept(dir.path()), chosen);
    fs::write(dir.path().join("devices.json"), "broken").unwrap();
    assert_eq!(kept(dir.path()), Kept::default());
}
