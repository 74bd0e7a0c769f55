//! What this device sends of itself: what was chosen for it, and what there is to send.
//!
//! A choice is kept in the state directory, so that who has muted a room finds it muted after a
//! power cut. What there is, the notices of the devices tell.
//! Invariant: where the choice cannot be read, both are off; nothing opens by accident.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tracing::warn;

use crate::{
    cli::Switch,
    media::Notice,
    privacy::Told,
    protocol::Media,
    system::state::{self, Readers},
};

/// The file in the state directory that remembers what was chosen.
const FILE: &str = "media.json";

/// Whether there is a device, as far as that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum There {
    /// It was found, or it is running.
    Yes,
    /// Not at present; one that is plugged in is found.
    No,
    /// The configuration wants none.
    Never,
}

/// What was chosen, as it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Chosen {
    microphone: bool,
    camera: bool,
    #[serde(default)]
    do_not_disturb: bool,
}

/// One of the two.
#[derive(Debug)]
struct One {
    on: bool,
    there: There,
    /// Who else has switched it off.
    by: Option<String>,
}

/// The microphone and the camera, as they are wanted and as they are.
#[derive(Debug)]
pub(super) struct Own {
    path: PathBuf,
    microphone: One,
    camera: One,
    /// Whether what is wanted may be, at present.
    allowed: bool,
    /// Whether the microphone may be, for nobody: its echo is measured.
    measuring: bool,
    /// What the members are told about that.
    told: Told,
    do_not_disturb: bool,
}

impl Own {
    /// What was chosen before, and what there is. Nothing may be open yet.
    pub(super) fn load(state_dir: &Path, there: &BTreeMap<Notice, There>) -> Self {
        let path = state_dir.join(FILE);
        let chosen = chosen(&path);
        let one = |on, what| One {
            on,
            there: there.get(&what).copied().unwrap_or(There::Yes),
            by: None,
        };
        Self {
            path,
            microphone: one(chosen.microphone, Notice::Microphone),
            camera: one(chosen.camera, Notice::Camera),
            allowed: false,
            measuring: false,
            told: Told::default(),
            do_not_disturb: chosen.do_not_disturb,
        }
    }

    /// Whether what is wanted may be from here on.
    pub(super) fn allow(&mut self, allowed: bool) {
        self.allowed = allowed;
    }

    /// Whether the microphone may be open from here on although nobody is there.
    pub(super) fn measure(&mut self, measuring: bool) {
        self.measuring = measuring;
    }

    /// What the members are told about that from here on.
    pub(super) fn tell(&mut self, told: Told) {
        self.told = told;
    }

    /// Whether nobody is to be disturbed.
    pub(super) fn is_do_not_disturb(&self) -> bool {
        self.do_not_disturb
    }

    /// Switches that.
    pub(super) fn do_not_disturb(&mut self, on: bool) {
        self.do_not_disturb = on;
    }

    /// Switches one of the two. `by` is who asked for it from outside.
    pub(super) fn switch(&mut self, which: Switch, on: bool, by: Option<String>) {
        let one = self.one_mut(which);
        if one.on != on {
            one.on = on;
            one.by = by.filter(|_| !on);
        }
    }

    /// Whether one of the two may be open.
    pub(super) fn is_on(&self, which: Switch) -> bool {
        self.one(which).on
    }

    /// What of the two is switched off.
    pub(super) fn off(&self) -> Vec<Switch> {
        let both = [Switch::Microphone, Switch::Camera];
        both.into_iter()
            .filter(|which| !self.is_on(*which))
            .collect()
    }

    /// Takes a notice of a device. Says whether it changes what there is.
    pub(super) fn noticed(&mut self, what: Notice, good: bool) -> bool {
        let one = match what {
            Notice::Microphone => &mut self.microphone,
            Notice::Camera => &mut self.camera,
            _ => return false,
        };
        let now = if good { There::Yes } else { There::No };
        let changes = one.there != There::Never && one.there != now;
        if changes {
            one.there = now;
        }
        changes
    }

    /// What may be open: where there is none, what stands in for it is, so that one that is
    /// plugged in is found.
    pub(super) fn open(&self) -> Media {
        Media {
            audio: (self.allowed || self.measuring) && self.microphone.on,
            video: self.allowed && self.camera.on,
            ..Media::default()
        }
    }

    /// What the members are told. Silence is no sound; the picture that says "no camera" is one.
    pub(super) fn told(&self) -> Media {
        let [no_microphone, no_camera] =
            [&self.microphone, &self.camera].map(|one| one.there != There::Yes);
        Media {
            audio: self.allowed && self.microphone.on && !no_microphone,
            video: self.allowed && self.camera.on,
            no_microphone,
            no_camera,
            hold: self.told.hold,
            tries: self.told.tries,
        }
    }

    /// One of the two for `roomd status`.
    pub(super) fn status(&self, which: Switch) -> Value {
        let one = self.one(which);
        let mut status = json!({ "on": one.on, "there": one.there == There::Yes });
        if let Some(by) = &one.by {
            status["by"] = json!(by);
        }
        status
    }

    /// Remembers what is chosen. A power cut leaves either the old file or the new one.
    pub(super) fn keep(&self) -> io::Result<()> {
        let chosen = Chosen {
            microphone: self.microphone.on,
            camera: self.camera.on,
            do_not_disturb: self.do_not_disturb,
        };
        let text = serde_json::to_vec(&chosen)?;
        state::write(&self.path, &text, Readers::Usual)
    }

    fn one(&self, which: Switch) -> &One {
        match which {
            Switch::Microphone => &self.microphone,
            Switch::Camera => &self.camera,
        }
    }

    fn one_mut(&mut self, which: Switch) -> &mut One {
        match which {
            Switch::Microphone => &mut self.microphone,
            Switch::Camera => &mut self.camera,
        }
    }
}

fn chosen(path: &Path) -> Chosen {
    let both = |on| Chosen {
        microphone: on,
        camera: on,
        do_not_disturb: false,
    };
    let read = fs::read(path).and_then(|bytes| Ok(serde_json::from_slice(&bytes)?));
    match read {
        Ok(chosen) => chosen,
        Err(error) if error.kind() == io::ErrorKind::NotFound => both(true),
        Err(error) => {
            warn!(
                %error,
                "it cannot be read whether the room was muted, so microphone and camera stay off; \
                 see roomd unmute and roomd camera on"
            );
            both(false)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Hold;

    fn both(microphone: There, camera: There) -> BTreeMap<Notice, There> {
        BTreeMap::from([(Notice::Microphone, microphone), (Notice::Camera, camera)])
    }

    fn own(place: &Path) -> Own {
        load(place, There::Yes, There::Yes)
    }

    /// Of a room with somebody in it.
    fn load(place: &Path, microphone: There, camera: There) -> Own {
        let mut own = Own::load(place, &both(microphone, camera));
        own.allow(true);
        own
    }

    fn flags(media: Media) -> [bool; 4] {
        let Media {
            audio,
            video,
            no_microphone,
            no_camera,
            hold: _,
            tries: _,
        } = media;
        [audio, video, no_microphone, no_camera]
    }

    #[test]
    fn what_was_chosen_outlives_the_process() {
        let place = tempfile::tempdir().unwrap();
        let mut first = own(place.path());
        assert_eq!(flags(first.told()), [true, true, false, false]);
        first.switch(Switch::Microphone, false, None);
        first.keep().unwrap();
        let mut second = own(place.path());
        assert_eq!(flags(second.told()), [false, true, false, false]);
        assert_eq!(second.open(), second.told());
        second.switch(Switch::Microphone, true, None);
        second.switch(Switch::Camera, false, None);
        second.keep().unwrap();
        assert_eq!(flags(own(place.path()).told()), [true, false, false, false]);
    }

    #[test]
    fn nothing_is_open_that_is_not_allowed_and_nothing_that_is_not_wanted() {
        let place = tempfile::tempdir().unwrap();
        let mut own = Own::load(place.path(), &both(There::Yes, There::Yes));
        own.tell(Told {
            hold: Some(Hold::Announcing),
            tries: None,
        });
        assert_eq!(flags(own.open()), [false; 4], "not before anybody said so");
        assert_eq!(flags(own.told()), [false; 4]);
        assert_eq!(own.told().hold, Some(Hold::Announcing));
        own.switch(Switch::Camera, false, None);
        own.tell(Told::default());
        own.allow(true);
        assert_eq!(flags(own.open()), [true, false, false, false]);
        assert_eq!(own.told(), own.open());
        own.allow(false);
        assert_eq!(flags(own.open()), [false; 4]);
        assert_eq!(
            own.status(Switch::Microphone),
            json!({ "on": true, "there": true }),
            "it is wanted all the same"
        );
        own.measure(true);
        assert_eq!(flags(own.open()), [true, false, false, false]);
        assert_eq!(flags(own.told()), [false; 4], "it is for nobody");
        own.switch(Switch::Microphone, false, None);
        assert_eq!(flags(own.open()), [false; 4], "muted is muted");
    }

    #[test]
    fn do_not_disturb_outlives_the_process() {
        let place = tempfile::tempdir().unwrap();
        fs::write(
            place.path().join(FILE),
            r#"{"microphone":true,"camera":false}"#,
        )
        .unwrap();
        let mut first = own(place.path());
        assert!(!first.is_do_not_disturb(), "a file of before");
        assert!(!first.is_on(Switch::Camera));
        first.do_not_disturb(true);
        first.keep().unwrap();
        assert!(own(place.path()).is_do_not_disturb());
    }

    #[test]
    fn a_choice_that_cannot_be_read_opens_nothing() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join(FILE), "{\"microphone\":tr").unwrap();
        let mut own = own(place.path());
        assert_eq!(flags(own.open()), [false, false, false, false]);
        own.switch(Switch::Camera, true, None);
        own.keep().unwrap();
        let again = load(place.path(), There::Yes, There::Yes);
        assert_eq!(flags(again.open()), [false, true, false, false]);
    }

    #[test]
    fn nobody_is_told_of_a_device_that_is_not_there() {
        let place = tempfile::tempdir().unwrap();
        let mut own = load(place.path(), There::No, There::No);
        assert_eq!(flags(own.told()), [false, true, true, true]);
        assert_eq!(
            flags(own.open()),
            [true, true, false, false],
            "they are looked for all the same"
        );
        assert!(own.noticed(Notice::Microphone, true));
        assert!(!own.noticed(Notice::Microphone, true), "no news");
        assert!(own.noticed(Notice::Camera, true));
        assert_eq!(flags(own.told()), [true, true, false, false]);
        assert!(own.noticed(Notice::Camera, false));
        assert!(!own.noticed(Notice::Screen, false));
        assert_eq!(flags(own.told()), [true, true, false, true]);
        // Plugged in while it is muted.
        own.noticed(Notice::Microphone, false);
        own.switch(Switch::Microphone, false, None);
        own.noticed(Notice::Microphone, true);
        assert_eq!(flags(own.told()), [false, true, false, true]);
    }

    #[test]
    fn what_stands_in_by_configuration_is_never_a_device() {
        let place = tempfile::tempdir().unwrap();
        let mut own = load(place.path(), There::Yes, There::Never);
        assert!(!own.noticed(Notice::Camera, true), "the slate runs");
        assert_eq!(flags(own.told()), [true, true, false, true]);
    }

    #[test]
    fn it_is_known_who_has_switched_it_off() {
        let place = tempfile::tempdir().unwrap();
        let mut own = own(place.path());
        own.switch(Switch::Microphone, false, Some("Ann".into()));
        own.switch(Switch::Microphone, false, Some("Bob".into()));
        let status = own.status(Switch::Microphone);
        assert_eq!(
            status,
            json!({ "on": false, "there": true, "by": "Ann" }),
            "it was muted when Bob asked"
        );
        own.switch(Switch::Microphone, true, None);
        let status = own.status(Switch::Microphone);
        assert_eq!(status, json!({ "on": true, "there": true }));
    }
}
