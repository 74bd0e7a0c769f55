//! The sound: its bitrate, and what is done to it before.

use super::Judge;
use crate::config::{Audio, EchoCancel, Kbps, file, table::Given};

impl Judge<'_> {
    pub(super) fn audio(&mut self, audio: &file::Audio) -> Audio {
        let echo_cancel = self.take(
            "audio.echo-cancel",
            &audio.echo_cancel,
            EchoCancel::default(),
        );
        let off = echo_cancel == EchoCancel::Off;
        for (key, given) in [
            ("noise-suppression", &audio.noise_suppression),
            ("gain-control", &audio.gain_control),
        ] {
            if off {
                self.of_no_use(key, given);
            }
        }
        Audio {
            kbps: Kbps(self.take("audio.kbps", &audio.kbps, 32)),
            echo_cancel,
            noise_suppression: self.take("audio.noise-suppression", &audio.noise_suppression, !off),
            gain_control: self.take("audio.gain-control", &audio.gain_control, !off),
        }
    }

    /// Both are done by the canceller, and the second would make the echo louder without it.
    fn of_no_use(&mut self, key: &str, given: &Given<bool>) {
        if let Given::Right(at) = given
            && at.value
        {
            let what =
                format!("`audio.{key}` is done by the canceller, and `audio.echo-cancel` is off");
            let remedy = format!("write: echo-cancel = \"auto\", or leave `{key}` out");
            self.error(&at.span, what, "cannot be done", remedy);
        }
    }
}
