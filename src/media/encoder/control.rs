//! The ways to drive an encoder that its file names.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use glib::subclass::SignalId;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_video as gst_video;

use crate::{
    media::set_property,
    pipeline::{Bitrate, EncoderTraits, Keyframe},
};

/// What came of a new bitrate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "an encoder that needs a restart goes on at the old bitrate"]
pub enum Change {
    /// The encoder goes on at the new one.
    Done,
    /// Its file says that it takes a bitrate at its start only.
    NeedsRestart,
}

/// An encoder cannot be driven in the way that its file says.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// No bitrate can be set.
    #[error("its bitrate cannot be set: {0}")]
    Bitrate(String),
    /// No keyframe can be forced.
    #[error("a keyframe cannot be forced: {0}")]
    Keyframe(String),
}

/// The controls of one encoder.
///
/// One caller at a time: two that change the same structure would lose one of the changes.
pub struct Control {
    bitrate: Bitrate,
    bitrate_of: gst::Element,
    keyframe: Way,
    /// Where the encoded frames leave the bin.
    end: gst::Pad,
    /// A frame has left.
    began: Arc<AtomicBool>,
}

/// How a keyframe is forced, with the element found.
enum Way {
    Event,
    Property {
        element: gst::Element,
        property: String,
        field: Option<String>,
        value: String,
    },
    Signal {
        element: gst::Element,
        signal: String,
    },
}

impl Control {
    /// Finds in `bin` what the file names, and sets the bitrate to begin with, in kbit/s.
    pub fn new(bin: &gst::Bin, traits: &EncoderTraits, kbps: u32) -> Result<Self, ControlError> {
        let bitrate = traits.bitrate.clone();
        let bitrate_of = named(bin, &bitrate.element).map_err(ControlError::Bitrate)?;
        let keyframe = Way::find(bin, &traits.keyframe).map_err(ControlError::Keyframe)?;
        let end = bin.static_pad("src").ok_or_else(|| {
            ControlError::Keyframe("the encoder has no open source pad".to_owned())
        })?;
        let began = Arc::new(AtomicBool::new(false));
        let seen = began.clone();
        let frames = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
        end.add_probe(frames, move |_, _| {
            seen.store(true, Relaxed);
            gst::PadProbeReturn::Remove
        });
        let control = Self {
            bitrate,
            bitrate_of,
            keyframe,
            end,
            began,
        };
        control.write_bitrate(kbps)?;
        Ok(control)
    }

    /// Whether the bitrate can be changed while the encoder runs.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.bitrate.live
    }

    /// Changes the bitrate to this many kbit/s.
    pub fn set_kbps(&self, kbps: u32) -> Result<Change, ControlError> {
        if !self.bitrate.live {
            return Ok(Change::NeedsRestart);
        }
        self.write_bitrate(kbps)?;
        Ok(Change::Done)
    }

    fn write_bitrate(&self, kbps: u32) -> Result<(), ControlError> {
        let (element, property) = (&self.bitrate_of, &self.bitrate.property);
        let value = self.bitrate.value(kbps);
        match &self.bitrate.field {
            None => set_property(element, property, &value.to_string()),
            Some(field) => i32::try_from(value)
                .map_err(|_| format!("{value} does not fit into `{field}`"))
                .and_then(|value| {
                    // What forces a keyframe is obeyed as often as the structure is set.
                    set_field(element, property, field, value, self.keyframe.trigger())
                }),
        }
        .map_err(ControlError::Bitrate)
    }

    /// Makes the next frame a keyframe.
    ///
    /// Before the first frame has left there is nothing to do: it will be one anyway, and some
    /// encoders fail when they are asked before it.
    pub fn force_keyframe(&self) {
        let done = match &self.keyframe {
            Way::Event => {
                let event = gst_video::UpstreamForceKeyUnitEvent::builder()
                    .all_headers(true)
                    .build();
                // Refused where the encoder has not seen a frame, which is as well.
                let _ = self.end.send_event(event);
                Ok(())
            }
            _ if !self.began.load(Relaxed) => Ok(()),
            Way::Property {
                element,
                property,
                field: Some(field),
                value,
            } => match value.parse() {
                Ok(value) => set_field(element, property, field, value, None),
                Err(_) => Err(format!("`{value}` is no whole number")),
            },
            Way::Property {
                element,
                property,
                field: None,
                value,
            } => set_property(element, property, value),
            Way::Signal { element, signal } => {
                element.emit_by_name_with_values(signal, &[]);
                Ok(())
            }
        };
        if let Err(error) = done {
            tracing::warn!(error, "a keyframe cannot be forced");
        }
    }
}

impl Way {
    fn find(bin: &gst::Bin, keyframe: &Keyframe) -> Result<Self, String> {
        Ok(match keyframe {
            Keyframe::Event => Self::Event,
            Keyframe::Property {
                element,
                property,
                field,
                value,
            } => {
                let element = named(bin, element)?;
                if element.find_property(property).is_none() {
                    return Err(format!("{} has no property `{property}`", element.name()));
                }
                Self::Property {
                    element,
                    property: property.clone(),
                    field: field.clone(),
                    value: value.clone(),
                }
            }
            Keyframe::Signal { element, signal } => {
                let element = named(bin, element)?;
                let known = SignalId::lookup(signal, element.type_()).map(|id| id.query());
                // Emitting one that does not exist, or without what it takes, would be a panic.
                if known.is_none_or(|known| known.n_params() != 0) {
                    let name = element.name();
                    return Err(format!(
                        "{name} has no signal `{signal}` that takes nothing"
                    ));
                }
                Self::Signal {
                    element,
                    signal: signal.clone(),
                }
            }
        })
    }

    /// The field that forces a keyframe as often as its structure is set.
    fn trigger(&self) -> Option<&str> {
        match self {
            Self::Property { field, .. } => field.as_deref(),
            Self::Event | Self::Signal { .. } => None,
        }
    }
}

fn named(bin: &gst::Bin, name: &str) -> Result<gst::Element, String> {
    bin.by_name(name)
        .ok_or_else(|| format!("there is no element `{name}`"))
}

/// Sets one field of a property that is a structure, and the property with it. The other fields
/// stay, but for `without`.
fn set_field(
    element: &gst::Element,
    property: &str,
    field: &str,
    value: i32,
    without: Option<&str>,
) -> Result<(), String> {
    let is_structure = element
        .find_property(property)
        .is_some_and(|spec| spec.value_type() == gst::Structure::static_type());
    if !is_structure {
        let name = element.name();
        return Err(format!(
            "{name} has no property `{property}` that is a structure"
        ));
    }
    let mut structure = element
        .property::<Option<gst::Structure>>(property)
        .unwrap_or_else(|| gst::Structure::new_empty("controls"));
    if let Some(without) = without {
        structure.remove_field(without);
    }
    structure.set(field, value);
    element.set_property(property, structure);
    Ok(())
}

#[cfg(test)]
mod tests;
