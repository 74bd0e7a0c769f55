//! A kiosk from its boot: a machine of QEMU with a screen, a camera and a sound card that are drivers
//! alone, and roomd on it as the service that `make install` makes. What is on the glass is asked of
//! QEMU, which knows nothing of roomd.
//!
//! `make kiosk` makes the machine's disk and runs this; see docs/decisions/036.
#![cfg(feature = "media")]
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]
#![expect(
    clippy::disallowed_methods,
    reason = "what is tested is real, and so is its time"
)]

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use serde_json::{Value, json};

/// For each thing that is waited for. A machine of software on a busy one is slow.
const PATIENCE: Duration = Duration::from_mins(2);

/// How often it is looked whether something has become so.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// The largest mode of QEMU's screen that is not above the wall of `tests/kiosk/roomd.toml`.
const SIZE: (usize, usize) = (640, 480);

/// What the code on the wall says: the address that QEMU gives, and the PIN of that file.
const CODE: &str = "https://10.0.2.15/#pin=482911&here";

/// A picture, three bytes a pixel.
struct Picture {
    size: (usize, usize),
    rgb: Vec<u8>,
}

impl Picture {
    fn decode(png: &Path) -> Self {
        let text = format!(
            "filesrc location={} ! pngdec ! videoconvert ! video/x-raw,format=RGB ! \
             appsink name=out sync=false",
            png.display()
        );
        let pipeline = gst::parse::launch(&text).unwrap();
        let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
        let out = pipeline.by_name("out").unwrap();
        let out = out.downcast::<gst_app::AppSink>().unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        let sample = out.try_pull_sample(gst::ClockTime::from_seconds(20));
        pipeline.set_state(gst::State::Null).unwrap();
        let sample = sample.expect("a PNG");
        let about = sample.caps().unwrap().structure(0).unwrap();
        let side = |name| usize::try_from(about.get::<i32>(name).unwrap()).unwrap();
        let (width, height) = (side("width"), side("height"));
        let map = sample.buffer().unwrap().map_readable().unwrap();
        let rows = map.chunks((width * 3).next_multiple_of(4));
        Self {
            size: (width, height),
            rgb: rows.flat_map(|row| row[..width * 3].to_vec()).collect(),
        }
    }

    /// How far each colour of each pixel is from another picture's, on average.
    fn distance(&self, other: &Self) -> f64 {
        if self.size != other.size {
            return 255.0;
        }
        let each = self.rgb.iter().zip(&other.rgb);
        let all: u64 = each.map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        f64::from(u32::try_from(all / (self.rgb.len() as u64 / 1000)).unwrap()) / 1000.0
    }

    /// How far apart red, green and blue are in a rectangle, on average. The wall has no colours of
    /// its own worth mentioning.
    fn colour(&self, [x, y, width, height]: [usize; 4]) -> u64 {
        let pixels = (y..y + height).flat_map(|y| {
            let from = (y * self.size.0 + x) * 3;
            self.rgb[from..from + width * 3].chunks_exact(3)
        });
        let spread = |pixel: &[u8]| pixel.iter().max().unwrap() - pixel.iter().min().unwrap();
        let all: u64 = pixels.map(|pixel| u64::from(spread(pixel))).sum();
        all / (width * height) as u64
    }
}

/// What the code in a picture says, as a phone would read it.
fn read_code(png: &Path) -> Option<String> {
    let text = format!(
        "filesrc location={} ! pngdec ! videoconvert ! zbar ! fakesink",
        png.display()
    );
    let pipeline = gst::parse::launch(&text).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    let mut said = None;
    for message in bus.iter_timed(gst::ClockTime::from_seconds(20)) {
        match message.view() {
            gst::MessageView::Element(element) => {
                let structure = element.structure().unwrap();
                if structure.name() == "barcode" {
                    said = structure.get::<String>("symbol").ok();
                }
            }
            gst::MessageView::Eos(_) => break,
            gst::MessageView::Error(error) => panic!("{}", error.error()),
            _ => {}
        }
    }
    pipeline.set_state(gst::State::Null).unwrap();
    said
}

/// A machine with a shell at the end of a cable, and a monitor of its hardware.
struct Machine {
    dir: tempfile::TempDir,
    qemu: Child,
    cable: BufReader<UnixStream>,
    monitor: BufReader<UnixStream>,
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

impl Machine {
    /// Boots what is in a folder. Its disk stays as it is; what is written is thrown away.
    fn boot(from: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = |name: &str| {
            let path = dir.path().join(name);
            (UnixListener::bind(&path).unwrap(), path)
        };
        let (cable, cable_path) = socket("cable");
        let (monitor, monitor_path) = socket("monitor");
        let file = |name: &str| from.join(name).display().to_string();
        let chardev = |id: &str, path: &Path| format!("socket,id={id},path={}", path.display());
        let disk = format!(
            "file={},format=raw,if=none,id=disk,cache=unsafe,snapshot=on",
            file("disk")
        );
        let mut qemu = Command::new("qemu-system-x86_64")
            .args(["-nodefaults", "-no-user-config", "-no-reboot"])
            .args([
                "-machine",
                "q35",
                "-accel",
                "tcg,thread=multi",
                "-cpu",
                "max",
            ])
            .args(["-smp", "2", "-m", "1536", "-display", "none"])
            .args(["-kernel", &file("kernel"), "-initrd", &file("initrd")])
            .args([
                "-append",
                "root=/dev/vda rw console=ttyS0 quiet net.ifnames=0",
            ])
            .args(["-drive", &disk, "-device", "virtio-blk-pci,drive=disk"])
            .args(["-device", "virtio-gpu-pci,id=graphics,max_outputs=2"])
            .args(["-device", "virtio-rng-pci"])
            .args(["-netdev", "user,id=net,restrict=on"])
            .args(["-device", "virtio-net-pci,netdev=net"])
            .args(["-device", "virtio-serial-pci"])
            .args(["-chardev", &chardev("cable", &cable_path)])
            .args(["-device", "virtserialport,chardev=cable,name=cable"])
            .args(["-chardev", &chardev("monitor", &monitor_path)])
            .args(["-mon", "chardev=monitor,mode=control"])
            .args([
                "-serial",
                &format!("file:{}", dir.path().join("console").display()),
            ])
            .env("TMPDIR", dir.path())
            .stdin(Stdio::null())
            .spawn()
            .expect("qemu-system-x86_64 is installed by make kiosk");
        let mut plugged = |socket: UnixListener| {
            let stream = plugged_in(&socket, &mut qemu);
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            BufReader::new(stream)
        };
        let mut machine = Self {
            cable: plugged(cable),
            monitor: plugged(monitor),
            dir,
            qemu,
        };
        machine.ask_monitor("qmp_capabilities", &json!({}));
        machine
    }

    /// Has the monitor do something (QEMU's QMP).
    fn ask_monitor(&mut self, execute: &str, arguments: &Value) {
        let ask = json!({ "execute": execute, "arguments": arguments });
        writeln!(self.monitor.get_mut(), "{ask}").unwrap();
        loop {
            let mut line = String::new();
            self.monitor.read_line(&mut line).unwrap();
            let said: Value = serde_json::from_str(&line).unwrap();
            assert!(said["error"].is_null(), "{execute}: {said}");
            if !said["return"].is_null() {
                return;
            }
        }
    }

    /// What is on the glass of a screen, as a PNG. QEMU counts them from 0 on.
    fn glass(&mut self, screen: usize) -> PathBuf {
        let path = self.dir.path().join("glass.png");
        let (device, head) = ("graphics", screen);
        let arguments =
            json!({ "filename": path, "format": "png", "device": device, "head": head });
        self.ask_monitor("screendump", &arguments);
        path
    }

    /// Has the machine's shell do something. Says whether it succeeded, and what it printed.
    fn try_sh(&mut self, command: &str) -> (bool, String) {
        let typed = format!("{{ {command}\n}} </dev/null 2>&1; printf '\\nEND %s\\n' $?\n");
        self.cable.get_mut().write_all(typed.as_bytes()).unwrap();
        let mut said = String::new();
        loop {
            let mut line = String::new();
            let read = self.cable.read_line(&mut line);
            assert!(read.unwrap() > 0, "the machine is gone, at: {command}");
            if let Some(code) = line.strip_prefix("END ") {
                return (code.trim() == "0", said.trim().to_owned());
            }
            said += &line;
        }
    }

    fn sh(&mut self, command: &str) -> String {
        let (is_well, said) = self.try_sh(command);
        assert!(is_well, "{command}:\n{said}");
        said
    }

    /// What roomd says of itself.
    fn status(&mut self) -> Value {
        let (is_well, said) = self.try_sh("roomd status --json");
        if !is_well {
            return Value::Null;
        }
        serde_json::from_str(&said).unwrap()
    }

    /// Waits until something is so, and says it.
    fn until(&mut self, what: &str, mut is_so: impl FnMut(&mut Self) -> bool) {
        let begun = Instant::now();
        while !is_so(self) {
            if begun.elapsed() > PATIENCE {
                let log = self.try_sh("journalctl -b --no-pager -u roomd -u guest | tail -n 40");
                let status = self.status();
                let console = std::fs::read_to_string(self.dir.path().join("console"));
                panic!("never: {what}\n{}\n{status:#}\n{}", log.1, console.unwrap());
            }
            std::thread::park_timeout(LOOK_EVERY);
        }
        println!("{:6.1} s  {what}", begun.elapsed().as_secs_f64());
    }

    /// How often the service has said this.
    fn times_said(&mut self, words: &str) -> usize {
        let log = self.sh("journalctl --no-pager -o cat -u roomd");
        log.lines().filter(|line| line.contains(words)).count()
    }

    /// Waits until the waiting picture is on the glass: the code can be read there, and all of it is
    /// what roomd itself says that the wall shows.
    fn waiting_picture(&mut self, when: &str) {
        self.waiting_picture_on(0, SIZE, when);
    }

    /// The same on one of the screens, in the mode that has this size.
    fn waiting_picture_on(&mut self, screen: usize, size: (usize, usize), when: &str) {
        self.until(
            &format!("the waiting picture is on the glass {when}"),
            |it| {
                let glass = it.glass(screen);
                if read_code(&glass).as_deref() != Some(CODE) {
                    return false;
                }
                let seen = Picture::decode(&glass);
                assert_eq!(
                    seen.size, size,
                    "the mode that was chosen is the one that is set"
                );
                let path = it.dir.path().join("wall.png");
                let shown = it.sh("roomd snapshot - | base64 -w0");
                let shown = base64::engine::general_purpose::STANDARD.decode(shown);
                std::fs::write(&path, shown.unwrap()).unwrap();
                // Both are converted from the same picture, by two converters that round.
                seen.distance(&Picture::decode(&path)) < 1.5
            },
        );
    }

    /// Waits until the visitor's test pattern is on the glass, where the wall says.
    fn visitor_is_seen(&mut self, when: &str) {
        self.until(&format!("the visitor is on the glass {when}"), |it| {
            let status = it.status();
            let tile = &status["screen"]["tiles"][0];
            let side = |name| usize::try_from(tile[name].as_u64()?).ok();
            let place = ["x", "y", "width", "height"].map(side);
            let [Some(x), Some(y), Some(width), Some(height)] = place else {
                return false;
            };
            let path = it.glass(0);
            let seen = Picture::decode(&path);
            // Away from the borders and the name.
            let middle = [x + width / 4, y + height / 4, width / 2, height / 4];
            seen.size == SIZE && seen.colour(middle) > 60
        });
    }

    /// Saves what is on the glass to be looked at, where `ROOMD_KIOSK_SHOT` says so.
    fn keeps_the_glass(&mut self) {
        let glass = self.glass(0);
        if let Some(shot) = std::env::var_os("ROOMD_KIOSK_SHOT") {
            std::fs::copy(glass, shot).unwrap();
        }
    }

    /// Pulls the screen out, or plugs it in again.
    fn plug(&mut self, is_in: bool) {
        let word = if is_in { "detect" } else { "off" };
        self.sh(&format!(
            "echo {word} >/sys/class/drm/card0-Virtual-1/status"
        ));
    }
}

fn troubles(status: &Value) -> Vec<&str> {
    let all = status["troubles"].as_array().into_iter().flatten();
    all.filter_map(Value::as_str).collect()
}

#[test]
#[ignore = "boots a machine that make kiosk makes"]
fn a_kiosk_shows_hears_and_sees_whatever_is_unplugged() {
    gst::init().unwrap();
    let from = std::env::var_os("ROOMD_KIOSK").expect("ROOMD_KIOSK; run this by: make kiosk");
    let it = &mut Machine::boot(Path::new(&from));
    for step in [
        starts,
        is_what_was_found,
        is_visited,
        loses_the_screen,
        loses_the_camera,
        loses_the_sound_card,
        is_left,
        starts_without_a_screen,
        is_told_which_screen,
        ends,
    ] {
        step(it);
    }
}

/// It starts, as its own user, beside a console on the same screen.
fn starts(it: &mut Machine) {
    it.until("the machine is up", |it| {
        let (_, state) = it.try_sh("systemctl is-system-running");
        assert_ne!(state, "degraded", "{}", it.sh("systemctl --failed"));
        state == "running"
    });
    let about = it.sh("systemctl show roomd -p ActiveState -p User | sort");
    assert_eq!(about, "ActiveState=active\nUser=roomd");
    it.sh("systemctl is-active getty@tty1");
    it.waiting_picture("after the start");
    let holders = it.sh("ls -l /proc/$(systemctl show roomd -p MainPID --value)/fd");
    assert!(holders.contains("/dev/dri/card0"), "{holders}");
}

/// What it found.
fn is_what_was_found(it: &mut Machine) {
    let status = it.status();
    assert_eq!(
        status["screen"]["device"]["words"],
        "Virtual-1 at 640x480, because it has no 854x480"
    );
    assert_eq!(troubles(&status), [""; 0]);
    let words = "the screen is Virtual-1 at 640x480, because it has no 854x480";
    assert_eq!(it.times_said(words), 1);
    let devices = it.sh("runuser -u roomd -- roomd devices");
    for found in ["vivid", "Loopback", "Virtual-1  (/dev/dri/card0): a screen"] {
        assert!(devices.contains(found), "{found} in\n{devices}");
    }
}

/// Somebody visits.
fn is_visited(it: &mut Machine) {
    it.sh(
        "systemd-run -q --unit=guest -p StateDirectory=guest -p RuntimeDirectory=guest \
         -p CacheDirectory=guest -E GST_REGISTRY=/var/cache/roomd/registry.bin \
         roomd run --config /etc/roomd/guest.toml",
    );
    it.visitor_is_seen("after they came");
    for device in ["camera", "microphone", "speaker"] {
        let words = format!("the {device} runs");
        it.until(&words, |it| it.times_said(&words) > 0);
    }
    it.until("our camera's pictures go to the visitor", |it| {
        sent(&it.status()).is_some_and(|sent| sent > 20)
    });
    let warnings = it.sh("journalctl --no-pager -o cat -u roomd -p warning");
    assert!(
        warnings.is_empty() || warnings == "-- No entries --",
        "{warnings}"
    );
    it.keeps_the_glass();
}

/// The screen is unplugged during the call, and plugged in again.
fn loses_the_screen(it: &mut Machine) {
    it.plug(false);
    it.until("roomd says that the screen is gone", |it| {
        let status = it.status();
        status["screen"]["device"].is_null()
            && troubles(&status) == ["no screen: nothing is connected"]
    });
    let before = sent(&it.status());
    it.until("the call goes on without a screen", |it| {
        sent(&it.status()) > before
    });
    it.plug(true);
    it.visitor_is_seen("on the screen that was plugged in again");
    it.until("nothing is wrong any more", |it| {
        troubles(&it.status()).is_empty()
    });
}

/// The camera is unplugged while it is seen, and plugged in again; the second time with its driver.
///
/// It is taken from its driver, which is what the kernel does with one that is pulled out. The
/// driver's own way (its control `disconnect`) gives the camera back only where nobody else happens
/// to open or close it at the same moment.
fn loses_the_camera(it: &mut Machine) {
    let driver = "/sys/bus/platform/drivers/vivid";
    let plug_in = format!("echo vivid.0 >{driver}/bind");
    for (time, plug_in) in [("once", plug_in.as_str()), ("twice", "modprobe vivid")] {
        let lost = it.times_said("no camera: ");
        it.sh(&format!("echo vivid.0 >{driver}/unbind"));
        it.until(
            &format!("roomd says that the camera is gone, {time}"),
            |it| it.status()["camera"]["there"] == false && it.times_said("no camera: ") > lost,
        );
        let before = sent(&it.status());
        it.until("the visitor is sent a picture that says so", |it| {
            sent(&it.status()) > before
        });
        if plug_in == "modprobe vivid" {
            it.until("roomd has let go of it", |it| it.try_sh("rmmod vivid").0);
        }
        let runs = it.times_said("the camera runs");
        it.sh(plug_in);
        it.until(&format!("the camera is back, {time}"), |it| {
            it.status()["camera"]["there"] == true && it.times_said("the camera runs") > runs
        });
    }
}

/// Another program holds the sound card.
fn loses_the_sound_card(it: &mut Machine) {
    let runs = it.times_said("the microphone runs");
    it.sh("roomd mute");
    it.sh(
        "systemd-run -q --unit=taker arecord -q -D hw:CARD=kiosk,DEV=0,SUBDEV=0 -f S16_LE -r 48000 \
         -c 2 /dev/null",
    );
    it.until("another program has the sound card", |it| {
        it.sh("cat /proc/asound/card*/pcm0c/sub0/status")
            .contains("RUNNING")
    });
    it.sh("systemd-run -q --unit=taker2 arecord -q -D hw:CARD=kiosk,DEV=0,SUBDEV=1 -f S16_LE -r 48000 \
         -c 2 /dev/null");
    it.until("and the other half of it", |it| {
        it.sh("cat /proc/asound/card*/pcm0c/sub1/status")
            .contains("RUNNING")
    });
    it.sh("roomd unmute");
    it.until("roomd says that there is no microphone", |it| {
        it.status()["microphone"]["there"] == false
    });
    it.until("and why", |it| {
        troubles(&it.status())
            .iter()
            .any(|it| it.starts_with("no microphone: "))
    });
    it.sh("systemctl stop taker taker2");
    it.until("the microphone is back", |it| {
        it.status()["microphone"]["there"] == true
            && it.times_said("the microphone runs") > runs
            && troubles(&it.status()).is_empty()
    });
}

/// They leave.
fn is_left(it: &mut Machine) {
    it.sh("systemctl stop guest");
    it.waiting_picture("after they left");
}

/// It starts without a screen, which comes later, and while another program has it.
fn starts_without_a_screen(it: &mut Machine) {
    it.plug(false);
    it.sh("systemctl restart roomd");
    it.until("roomd is there without a screen", |it| {
        let status = it.status();
        status["screen"]["device"].is_null()
            && troubles(&status) == ["no screen: nothing is connected"]
    });
    it.sh(
        "systemd-run -q --unit=other sh -c 'exec 9<>/dev/dri/card0; echo it is mine; sleep infinity'",
    );
    it.until("another program has the graphics card", |it| {
        it.sh("journalctl --no-pager -o cat -u other")
            .contains("it is mine")
    });
    it.plug(true);
    it.until("roomd says why it cannot show anything", |it| {
        let status = it.status();
        let troubles = troubles(&status);
        let why = troubles
            .first()
            .and_then(|it| it.strip_prefix("no screen: "));
        why.is_some_and(|why| why != "nothing is connected")
    });
    it.sh("systemctl stop other");
    it.waiting_picture("when the graphics card is free");
}

/// A configuration names the connector and the mode; first one that there is not, and then a second
/// screen, at a size that the wall does not have.
fn is_told_which_screen(it: &mut Machine) {
    let screen = |connector: &str, mode: &str| {
        format!(
            "sed -i '/^\\[screen]/,$d' /etc/roomd/roomd.toml && printf '[screen]\\npipeline = \
             \"kms\"\\nsettings = {{ connector = \"{connector}\", mode = \"{mode}\" }}\\n' \
             >>/etc/roomd/roomd.toml && systemctl restart roomd"
        )
    };
    it.sh(&screen("Virtual-3", "800x600"));
    it.until("a connector that there is not is said", |it| {
        troubles(&it.status()) == ["no screen: there is no Virtual-3; connected are: Virtual-1"]
    });
    it.sh("echo on >/sys/class/drm/card0-Virtual-2/status");
    it.sh(&screen("Virtual-2", "800x600"));
    it.waiting_picture_on(1, (800, 600), "of the screen that is named");
    let status = it.status();
    assert_eq!(status["display"]["words"], "Virtual-2 at 800x600");
    it.sh(&screen("Virtual-2", "1000x600"));
    it.waiting_picture_on(1, (800, 600), "of a screen without the mode that is named");
    let status = it.status();
    let words = status["display"]["words"].as_str().unwrap();
    let begins = "Virtual-2 at 800x600, because it has no 1000x600; it has ";
    assert!(
        words.starts_with(begins) && words.contains("640x480"),
        "{words}"
    );
    let warned = it.sh("journalctl --no-pager -o cat -u roomd -p warning");
    assert!(warned.contains(words), "{warned}");
}

/// It never failed, and ends as it should.
fn ends(it: &mut Machine) {
    it.sh("systemctl stop roomd");
    let about = it.sh("systemctl show roomd -p Result -p NRestarts | sort");
    assert_eq!(about, "NRestarts=0\nResult=success");
}

/// The other end of a socket that QEMU opens at its start.
fn plugged_in(socket: &UnixListener, qemu: &mut Child) -> UnixStream {
    socket.set_nonblocking(true).unwrap();
    let begun = Instant::now();
    loop {
        match socket.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).unwrap();
                return stream;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("{error}"),
        }
        let ended = qemu.try_wait().unwrap();
        assert!(ended.is_none(), "qemu ended: {ended:?}");
        assert!(begun.elapsed() < PATIENCE, "qemu does not open its sockets");
        std::thread::park_timeout(LOOK_EVERY);
    }
}

/// How many of our pictures the visitor was sent.
fn sent(status: &Value) -> Option<u64> {
    let links = status["media"]["links"].as_object();
    let mut links = links.into_iter().flat_map(|links| links.values());
    links.next()?["video_out"]["delivered"].as_u64()
}
