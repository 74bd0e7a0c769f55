use super::*;
use crate::pipeline::Kind;

const HD: Size = Size {
    width: 1920,
    height: 1080,
};

fn size(width: u32, height: u32) -> Size {
    Size { width, height }
}

/// No more than the size of the wall.
fn of_the_wall<'a>(wall: Size) -> WantedDisplay<'a> {
    WantedDisplay {
        card: None,
        connector: None,
        mode: None,
        wall,
    }
}

/// A connector as the kernel's files tell of it.
fn told(folder: &str, status: &str, modes: &str) -> Connector {
    let files = |file: &str| match file {
        "status" => format!("{status}\n"),
        "modes" => modes.to_owned(),
        _ => String::new(),
    };
    Connector::read(folder, files).unwrap()
}

#[test]
fn a_connector_is_what_the_kernel_says_of_it() {
    let files = |file: &str| match file {
        "status" => "connected\n".to_owned(),
        "modes" => "1920x1080\n1920x1080\n1920x1080i\n720x576\n1365x768\nrubbish\n4x\n".to_owned(),
        _ => panic!("{file}"),
    };
    assert_eq!(
        Connector::read("card1-HDMI-A-2", files),
        Some(Connector {
            name: "HDMI-A-2".to_owned(),
            card: "/dev/dri/card1".to_owned(),
            connected: true,
            modes: vec![HD, size(720, 576)],
        })
    );
    for other in [
        "card0",
        "renderD128",
        "version",
        "card-1",
        "cardinal-DP-1",
        "card0-Writeback-1",
    ] {
        assert_eq!(Connector::read(other, |_| String::new()), None, "{other}");
    }
    // No files at all: it was pulled out meanwhile.
    let gone = Connector::read("card0-DP-1", |_| String::new()).unwrap();
    assert!(!gone.connected && gone.modes.is_empty());
    // "unknown" is what some say of what they cannot tell: nothing can be shown there for sure.
    assert!(!told("card0-VGA-1", "unknown", "1024x768\n").connected);
}

#[test]
fn only_a_connector_with_a_screen_is_driven_and_a_built_in_one_first() {
    let none = [
        told("card0-HDMI-A-1", "disconnected", ""),
        told("card0-VGA-1", "unknown", "1024x768\n"),
    ];
    for nowhere in [&none[..], &[]] {
        let why = display(nowhere, of_the_wall(HD)).unwrap_err();
        assert_eq!(why.to_string(), "nothing is connected");
    }
    let two = [
        told("card1-HDMI-A-2", "connected", "1920x1080\n"),
        told("card1-HDMI-A-1", "disconnected", ""),
        told("card0-HDMI-A-9", "connected", "1920x1080\n"),
    ];
    let chosen = |all: &[Connector], card, connector| {
        let wanted = WantedDisplay {
            card,
            connector,
            ..of_the_wall(HD)
        };
        match display(all, wanted) {
            Ok(it) => format!("{} of {}", it.connector, it.card),
            Err(why) => why.to_string(),
        }
    };
    assert_eq!(chosen(&two, None, None), "HDMI-A-9 of /dev/dri/card0");
    let card1 = Some("/dev/dri/card1");
    assert_eq!(chosen(&two, card1, None), "HDMI-A-2 of /dev/dri/card1");
    let named = Some("HDMI-A-2");
    assert_eq!(chosen(&two, None, named), "HDMI-A-2 of /dev/dri/card1");
    assert_eq!(chosen(&two, card1, named), "HDMI-A-2 of /dev/dri/card1");
    let laptop = [two[0].clone(), told("card1-eDP-1", "connected", "")];
    assert_eq!(chosen(&laptop, None, None), "eDP-1 of /dev/dri/card1");
    let other = Some("HDMI-A-2");
    assert_eq!(chosen(&laptop, None, other), "HDMI-A-2 of /dev/dri/card1");
}

#[test]
fn where_a_connector_that_is_named_has_no_screen_it_is_said_where_there_are_some() {
    let why = |all: &[Connector], card, connector| {
        let wanted = WantedDisplay {
            card,
            connector,
            ..of_the_wall(HD)
        };
        display(all, wanted).unwrap_err().to_string()
    };
    let one_card = [
        told("card0-HDMI-A-1", "connected", "1920x1080\n"),
        told("card0-HDMI-A-2", "disconnected", ""),
    ];
    assert_eq!(
        why(&one_card, None, Some("HDMI-A-3")),
        "there is no HDMI-A-3; connected are: HDMI-A-1"
    );
    assert_eq!(
        why(&one_card, None, Some("HDMI-A-2")),
        "nothing is connected to HDMI-A-2; connected are: HDMI-A-1"
    );
    assert_eq!(
        why(&one_card, Some("/dev/dri/card1"), Some("HDMI-A-1")),
        "there is no HDMI-A-1 of /dev/dri/card1; connected are: HDMI-A-1"
    );
    let [first, mut second] = one_card;
    assert_eq!(
        why(&[second.clone()], None, Some("DP-1")),
        "there is no DP-1, and nothing is connected"
    );
    assert_eq!(
        why(&[second.clone()], None, Some("HDMI-A-2")),
        "nothing is connected to HDMI-A-2, nor elsewhere"
    );
    // The same name on two cards.
    (second.card, second.connected) = ("/dev/dri/card1".to_owned(), true);
    assert_eq!(
        why(&[first, second], Some("/dev/dri/card2"), None),
        "there is no /dev/dri/card2; connected are: HDMI-A-1 of /dev/dri/card0, HDMI-A-2 of \
         /dev/dri/card1"
    );
}

#[test]
fn the_mode_is_the_wanted_one_or_the_largest_below_it_and_that_is_said() {
    let at = |modes: &str, wanted| {
        let connector = told("card0-DP-1", "connected", modes);
        let display = display(&[connector], of_the_wall(wanted)).unwrap();
        (display.size, display.to_string())
    };
    assert_eq!(
        at("3840x2160\n1920x1080\n1280x720\n", HD),
        (Some(HD), "DP-1 at 1920x1080".to_owned())
    );
    assert_eq!(
        at("1280x800\n1366x768\n1024x768\n640x480\n", HD),
        (
            Some(size(1366, 768)),
            "DP-1 at 1366x768, because it has no 1920x1080".to_owned()
        )
    );
    // 1920x1200 is larger in one direction, and would be cut off.
    assert_eq!(
        at("1920x1200\n1600x1200\n1280x1024\n", HD).0,
        Some(size(1280, 1024))
    );
    // All are too large: the smallest shows all of it, with borders.
    assert_eq!(
        at("3840x2160\n2560x1440\n", HD).0,
        Some(size(2560, 1440)),
        "the smallest of those that there are"
    );
    // An upright screen.
    assert_eq!(
        at("1080x1920\n720x1280\n480x640\n", HD).0,
        Some(size(480, 640)),
        "all of the wall is shown, whatever that leaves free"
    );
    assert_eq!(
        at("", HD),
        (None, "DP-1, whose modes are not known yet".to_owned())
    );
}

#[test]
fn a_file_is_told_what_it_has_a_setting_for() {
    let text = r#"
        summary = "a screen"
        elements = ["kmssink"]
        launch = "capsfilter name=mode ! kmssink name=screen"
        [settings.device]
        element = "screen"
        property = "fd"
        form = "node"
        help = "the card"
        [settings.connector]
        element = "screen"
        property = "connector-id"
        form = "connector"
        help = "the connector"
        [settings.mode]
        element = "mode"
        property = "caps"
        form = "size"
        help = "the mode"
    "#;
    let path = std::path::Path::new("kms.toml");
    let file = File::parse(Kind::Screen, "kms", path, text).unwrap();
    let mut connector = told("card3-DP-1", "connected", "1920x1080\n");
    let settings = |connector: &Connector| {
        let all = std::slice::from_ref(connector);
        let display = display(all, of_the_wall(HD)).unwrap();
        display.settings(&file).into_iter().collect::<Vec<_>>()
    };
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        settings(&connector),
        [
            pair("connector", "DP-1"),
            pair("device", "/dev/dri/card3"),
            pair("mode", "1920x1080"),
        ]
    );
    connector.modes.clear();
    assert_eq!(
        settings(&connector),
        [pair("connector", "DP-1"), pair("device", "/dev/dri/card3"),]
    );
}

#[test]
fn a_mode_that_is_named_goes_before_the_size_of_the_wall() {
    let connector = told("card0-DP-1", "connected", "1920x1080\n1280x720\n640x480\n");
    let at = |connector: &Connector, mode| {
        let wanted = WantedDisplay {
            mode: Some(mode),
            ..of_the_wall(HD)
        };
        let display = display(std::slice::from_ref(connector), wanted).unwrap();
        (display.size, display.lacks_its_mode(), display.to_string())
    };
    let small = size(1280, 720);
    let said = "DP-1 at 1280x720".to_owned();
    assert_eq!(at(&connector, small), (Some(small), false, said));
    let said = "DP-1 at 640x480, because it has no 1024x768; it has 1920x1080, 1280x720, 640x480";
    assert_eq!(
        at(&connector, size(1024, 768)),
        (Some(size(640, 480)), true, said.to_owned())
    );
    // Nobody has asked the screen yet.
    let unasked = told("card0-DP-1", "connected", "");
    let said = "DP-1, whose modes are not known yet".to_owned();
    assert_eq!(at(&unasked, small), (None, false, said));
}
