//! From a pipeline file to a bin with ghost pads.

mod connector;

use std::collections::BTreeMap;
use std::fs::{File as Node, OpenOptions};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;

use gstreamer as gst;
use gstreamer::prelude::*;

use crate::pipeline::{Assignment, BadSetting, File, Form, Kind, Misshapen, Optional, Size};
use connector::connector_number;

/// A pipeline file cannot be used on this machine, or not with these settings.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// Elements that the file names do not exist here.
    #[error("{kind} `{name}` needs {}", needs(.missing))]
    Missing {
        /// What the file stands for.
        kind: Kind,
        /// The file's name.
        name: String,
        /// The elements' factories.
        missing: Vec<String>,
    },
    /// The launch text is not what GStreamer understands.
    #[error("the launch text of {kind} `{name}` is wrong: {text}")]
    Text {
        /// What the file stands for.
        kind: Kind,
        /// The file's name.
        name: String,
        /// What GStreamer says.
        text: String,
    },
    /// The launch text has more or fewer open ends than its kind must have.
    #[error("the launch text of {kind} `{name}` must leave open {wanted}, but leaves {found}")]
    OpenEnds {
        /// What the file stands for.
        kind: Kind,
        /// The file's name.
        name: String,
        /// What should be open.
        wanted: &'static str,
        /// What is.
        found: String,
    },
    /// The configuration sets something that the file does not have, or leaves out what it needs.
    #[error("{kind} `{name}`: {}", sentences(.bad))]
    Settings {
        /// What the file stands for.
        kind: Kind,
        /// The file's name.
        name: String,
        /// All that does not fit.
        bad: Vec<BadSetting>,
    },
    /// A property that the file sets where it exists cannot have the value that the file gives.
    #[error("{kind} `{name}`, under `optional`: {text}")]
    Optional {
        /// What the file stands for.
        kind: Kind,
        /// The file's name.
        name: String,
        /// What is wrong and what would be right.
        text: String,
    },
    /// A setting is no property of its element, or cannot have this value.
    #[error("{kind} `{name}`, setting `{setting}`: {text}")]
    Value {
        /// What the file stands for.
        kind: Kind,
        /// The file's name.
        name: String,
        /// Which setting.
        setting: String,
        /// What is wrong and what would be right.
        text: String,
    },
}

/// Makes a bin of a pipeline file, with its settings applied and its open pads as ghost pads
/// `src` and `sink`. Opens no device but those that a setting says are to be opened.
pub fn launch(file: &File, settings: &BTreeMap<String, String>) -> Result<gst::Bin, LaunchError> {
    let assignments = file.assign(settings).map_err(|bad| LaunchError::Settings {
        kind: file.kind,
        name: file.name.clone(),
        bad,
    })?;
    check_elements(file)?;
    let bin = parse(file)?;
    for optional in &file.optional {
        set_optional(&bin, optional).map_err(|text| LaunchError::Optional {
            kind: file.kind,
            name: file.name.clone(),
            text,
        })?;
    }
    let wrong = |assignment: &Assignment, text| LaunchError::Value {
        kind: file.kind,
        name: file.name.clone(),
        setting: assignment.setting.clone(),
        text,
    };
    // What is opened goes first: what a connector is called is asked of its card.
    let (nodes, others): (Vec<_>, Vec<_>) = assignments
        .iter()
        .partition(|assignment| assignment.form == Form::Node);
    let mut opened = BTreeMap::new();
    for assignment in nodes {
        let node = assign_opened(&bin, assignment).map_err(|text| wrong(assignment, text))?;
        opened.insert(&assignment.element, node);
    }
    for assignment in others {
        let node = opened.get(&assignment.element).map(Arc::as_ref);
        assign(&bin, assignment, node).map_err(|text| wrong(assignment, text))?;
    }
    open_ends(file, &bin)?;
    Ok(bin)
}

/// The elements of a file that this machine does not have.
#[must_use]
pub fn missing_elements(file: &File) -> Vec<String> {
    file.elements
        .iter()
        .filter(|element| gst::ElementFactory::find(element).is_none())
        .cloned()
        .collect()
}

/// The Debian package that brings an element, where we know it.
#[must_use]
pub fn debian_package(element: &str) -> Option<&'static str> {
    const PACKAGES: &[(&str, &[&str])] = &[
        ("gstreamer1.0-alsa", &["alsasrc", "alsasink"]),
        ("gstreamer1.0-libav", &["avdec_h264", "avenc_aac"]),
        ("gstreamer1.0-nice", &["nicesrc", "nicesink"]),
        ("gstreamer1.0-pipewire", &["pipewiresrc", "pipewiresink"]),
        ("libcamera-v4l2", &["libcamerasrc"]),
        (
            "gstreamer1.0-plugins-bad",
            &[
                "h264parse",
                "kmssink",
                "openh264enc",
                "openh264dec",
                "v4l2slh264dec",
                "vah264enc",
                "vah264lpenc",
                "waylandsink",
                "webrtcbin",
                "webrtcdsp",
                "webrtcechoprobe",
                "y4mdec",
                "nvh264enc",
                "qsvh264enc",
            ],
        ),
        (
            "gstreamer1.0-plugins-base",
            &[
                "appsink",
                "appsrc",
                "audioconvert",
                "audiomixer",
                "audioresample",
                "audiotestsrc",
                "compositor",
                "decodebin",
                "opusdec",
                "opusenc",
                "videoconvert",
                "videoconvertscale",
                "videorate",
                "videoscale",
                "videotestsrc",
            ],
        ),
        (
            "gstreamer1.0-plugins-good",
            &[
                "imagefreeze",
                "jpegdec",
                "jpegenc",
                "multifilesink",
                "pngenc",
                "pulsesink",
                "pulsesrc",
                "v4l2h264enc",
                "v4l2src",
                "vp8dec",
                "vp8enc",
                "wavenc",
            ],
        ),
        ("gstreamer1.0-plugins-ugly", &["x264enc"]),
        (
            "gstreamer1.0-x",
            &["textoverlay", "ximagesink", "xvimagesink"],
        ),
    ];
    PACKAGES
        .iter()
        .find(|(_, elements)| elements.contains(&element))
        .map(|(package, _)| *package)
}

fn check_elements(file: &File) -> Result<(), LaunchError> {
    let missing = missing_elements(file);
    if missing.is_empty() {
        return Ok(());
    }
    Err(LaunchError::Missing {
        kind: file.kind,
        name: file.name.clone(),
        missing,
    })
}

fn parse(file: &File) -> Result<gst::Bin, LaunchError> {
    let mut context = gst::ParseContext::new();
    // We make the ghost pads: the parser takes an element that waits for a pad of decodebin
    // for an open end.
    let parsed = gst::parse::bin_from_description_full(
        &file.launch,
        false,
        Some(&mut context),
        gst::ParseFlags::FATAL_ERRORS,
    );
    match parsed.map(gst::Element::downcast::<gst::Bin>) {
        Ok(Ok(bin)) => Ok(bin),
        Ok(Err(_)) => Err(wrong_text(file, "it yields no bin".to_owned())),
        Err(_) if !context.missing_elements().is_empty() => Err(LaunchError::Missing {
            kind: file.kind,
            name: file.name.clone(),
            missing: context.missing_elements(),
        }),
        Err(error) => Err(wrong_text(file, error.message().to_owned())),
    }
}

fn wrong_text(file: &File, text: String) -> LaunchError {
    LaunchError::Text {
        kind: file.kind,
        name: file.name.clone(),
        text,
    }
}

/// Sets one property. Everything that GObject would only warn of, or clamp, is an error. `node` is
/// what was opened for the same element.
fn assign(bin: &gst::Bin, assignment: &Assignment, node: Option<&Node>) -> Result<(), String> {
    let Assignment {
        element: name,
        property,
        value,
        form,
        ..
    } = assignment;
    let element = element_of(bin, name)?;
    let value = match form {
        Form::Value | Form::Node => value.clone(),
        Form::Size => caps_of(value)?,
        Form::Connector => {
            let node = node.ok_or("no device of this element is opened")?;
            connector_number(node, value)?.to_string()
        }
    };
    set_property(&element, property, &value)
}

/// Opens a device node and gives the property its descriptor. The node is open for as long as the
/// element is there.
fn assign_opened(bin: &gst::Bin, assignment: &Assignment) -> Result<Arc<Node>, String> {
    let (property, path) = (&assignment.property, &assignment.value);
    let element = element_of(bin, &assignment.element)?;
    let node = OpenOptions::new().read(true).write(true).open(path);
    let node = node.map_err(|error| format!("{path} cannot be opened: {error}"))?;
    set_property(&element, property, &node.as_raw_fd().to_string())?;
    let node = Arc::new(node);
    let held = Arc::clone(&node);
    // Nobody sends such a signal, and what would take it goes when the element goes.
    element.connect_notify(Some(property.as_str()), move |_, _| {
        let _ = &held;
    });
    Ok(node)
}

fn element_of(bin: &gst::Bin, name: &str) -> Result<gst::Element, String> {
    bin.by_name(name)
        .ok_or_else(|| format!("the launch text has no element named `{name}`"))
}

/// Pictures of one size, whose pixels are square.
fn caps_of(size: &str) -> Result<String, String> {
    let size: Size = size.parse().map_err(|wrong: Misshapen| wrong.to_string())?;
    let Size { width, height } = size;
    Ok(format!(
        "video/x-raw,width={width},height={height},pixel-aspect-ratio=1/1"
    ))
}

/// Sets a property that may not exist in this version.
fn set_optional(bin: &gst::Bin, optional: &Optional) -> Result<(), String> {
    let element = element_of(bin, &optional.element)?;
    if element.find_property(&optional.property).is_none() {
        return Ok(());
    }
    set_property(&element, &optional.property, &optional.value)
}

/// Sets a property from text, as `gst-launch-1.0` would read it, but refuses what that clamps.
pub fn set_property(element: &gst::Element, property: &str, value: &str) -> Result<(), String> {
    let factory = element.factory().map_or_else(
        || "element".to_owned(),
        |factory| factory.name().to_string(),
    );
    let spec = element
        .find_property(property)
        .ok_or_else(|| format!("{factory} has no property `{property}`"))?;
    let flags = spec.flags();
    if !flags.contains(glib::ParamFlags::WRITABLE)
        || flags.contains(glib::ParamFlags::CONSTRUCT_ONLY)
    {
        return Err(format!("`{property}` of {factory} cannot be set"));
    }
    if spec.value_type() == glib::Type::STRING {
        // As it is: quotes and backslashes in a path or a name mean themselves.
        element.set_property(property, value);
        return Ok(());
    }
    let parsed = glib::Value::deserialize_with_pspec(value, &spec).map_err(|_| {
        format!(
            "`{property}` of {factory} cannot be `{value}`{}",
            hint(&spec)
        )
    })?;
    if is_out_of_range(&spec, &parsed) {
        return Err(format!(
            "`{property}` of {factory} cannot be `{value}`: it is out of range{}",
            hint(&spec)
        ));
    }
    element.set_property_from_value(property, &parsed);
    Ok(())
}

/// `GObject` would clamp such a value and say nothing.
fn is_out_of_range(spec: &glib::ParamSpec, value: &glib::Value) -> bool {
    macro_rules! outside {
        ($($spec:ty: $number:ty),*) => {
            $(if let (Some(spec), Ok(number)) = (spec.downcast_ref::<$spec>(), value.get::<$number>()) {
                return number < spec.minimum() || number > spec.maximum();
            })*
        };
    }
    outside!(
        glib::ParamSpecInt: i32,
        glib::ParamSpecUInt: u32,
        glib::ParamSpecInt64: i64,
        glib::ParamSpecUInt64: u64,
        glib::ParamSpecFloat: f32,
        glib::ParamSpecDouble: f64
    );
    false
}

/// What a property may be, where it is easily said.
fn hint(spec: &glib::ParamSpec) -> String {
    if let Some(class) = glib::EnumClass::with_type(spec.value_type()) {
        let nicks: Vec<_> = class.values().iter().map(glib::EnumValue::nick).collect();
        return format!("; use one of {}", nicks.join(", "));
    }
    if spec.value_type() == glib::Type::BOOL {
        return "; use true or false".to_owned();
    }
    macro_rules! range {
        ($($spec:ty),*) => {
            $(if let Some(range) = spec.downcast_ref::<$spec>() {
                return format!("; use {} to {}", range.minimum(), range.maximum());
            })*
        };
    }
    range!(
        glib::ParamSpecInt,
        glib::ParamSpecUInt,
        glib::ParamSpecInt64,
        glib::ParamSpecUInt64,
        glib::ParamSpecFloat,
        glib::ParamSpecDouble
    );
    String::new()
}

/// Gives the bin the ghost pads of its kind.
fn open_ends(file: &File, bin: &gst::Bin) -> Result<(), LaunchError> {
    let (sinks, sources, wanted) = match file.kind {
        Kind::Camera | Kind::Microphone => (0, 1, "one source pad"),
        Kind::Encoder => (1, 1, "one sink pad and one source pad"),
        Kind::Speaker | Kind::Screen => (1, 0, "one sink pad"),
    };
    let wrong = |found: String| LaunchError::OpenEnds {
        kind: file.kind,
        name: file.name.clone(),
        wanted,
        found,
    };
    for (direction, count, name) in [
        (gst::PadDirection::Sink, sinks, "sink"),
        (gst::PadDirection::Src, sources, "src"),
    ] {
        if count == 0 {
            // An element behind decodebin looks open at its sink until there is data.
            continue;
        }
        let open = open_pads(bin, direction);
        let [pad] = open.as_slice() else {
            return Err(wrong(match open.as_slice() {
                [] => format!("no {name} pad"),
                pads => pads
                    .iter()
                    .map(|pad| pad.path_string().to_string())
                    .collect::<Vec<_>>()
                    .join(" and "),
            }));
        };
        let ghost = gst::GhostPad::builder_with_target(pad)
            .map_err(|error| wrong(error.to_string()))?
            .name(name)
            .build();
        bin.add_pad(&ghost)
            .map_err(|error| wrong(error.to_string()))?;
    }
    match open_pads(bin, gst::PadDirection::Src).first() {
        Some(pad) if sources == 0 => Err(wrong(format!("the source pad `{}`", pad.name()))),
        _ => Ok(()),
    }
}

/// The pads that the launch text has linked to nothing. What the elements have inside is theirs.
fn open_pads(bin: &gst::Bin, direction: gst::PadDirection) -> Vec<gst::Pad> {
    bin.children()
        .iter()
        .flat_map(ElementExtManual::pads)
        .filter(|pad| pad.direction() == direction && !pad.is_linked())
        .collect()
}

fn needs(missing: &[String]) -> String {
    let each = missing.iter().map(|element| match debian_package(element) {
        Some(package) => format!("the element `{element}` (Debian package {package})"),
        None => format!("the element `{element}`"),
    });
    format!(
        "{}, which this machine does not have",
        each.collect::<Vec<_>>().join(" and ")
    )
}

fn sentences(bad: &[BadSetting]) -> String {
    bad.iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    #[test]
    fn a_node_is_open_for_as_long_as_the_element_that_uses_it() {
        gst::init().unwrap();
        let text = r#"
            summary = "what is read of a file"
            elements = ["fdsrc"]
            launch = "fdsrc name=in ! capsfilter caps=audio/x-raw"
            [settings.device]
            element = "in"
            property = "fd"
            form = "node"
            help = "the file"
        "#;
        let file = File::parse(Kind::Microphone, "fd", Path::new("fd.toml"), text).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let node = dir.path().join("node");
        fs::write(&node, "").unwrap();
        let given = |path: &Path| {
            let path = path.to_str().unwrap().to_owned();
            BTreeMap::from([("device".to_owned(), path)])
        };
        let holds = || {
            let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
            let mut open = open.filter_map(|entry| fs::read_link(entry.path()).ok());
            open.any(|path| path == node)
        };
        let bin = launch(&file, &given(&node)).unwrap();
        let fd: i32 = bin.by_name("in").unwrap().property("fd");
        let link = fs::read_link(format!("/proc/self/fd/{fd}"));
        assert_eq!(link.unwrap(), node);
        drop(bin);
        assert!(!holds(), "nobody uses it any more");

        let gone = dir.path().join("gone");
        let error = launch(&file, &given(&gone)).unwrap_err().to_string();
        assert!(error.contains("cannot be opened: No such file"), "{error}");
    }
}
