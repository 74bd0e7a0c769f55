//! Measures the echo when it is asked to, on a thread of its own, and remembers what it found.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio::sync::{Notify, oneshot};
use tracing::{info, warn};

use super::{calibration::Calibrations, engine::Echo, standing::Calibrating};
use crate::media::{
    Command, Media,
    echo::{CalibrateError, EchoPath, Step, calibrate},
};

/// Measuring, or ready for it.
pub(super) struct Calibrate {
    echo: Echo,
    media: Arc<Media>,
    progress: Arc<Mutex<Progress>>,
    ended: Arc<Notify>,
}

#[derive(Debug, Default)]
enum Progress {
    /// It was never asked for.
    #[default]
    Never,
    Running(Step),
    /// What came of it, for programs.
    Over(Value),
}

impl Calibrate {
    pub(super) fn new(echo: Echo, media: Arc<Media>) -> Self {
        Self {
            echo,
            media,
            progress: Arc::default(),
            ended: Arc::default(),
        }
    }

    /// Does what is asked. `alone` says that nobody else is in the room, `closed` why the microphone
    /// may not be opened. Says whether it has begun to measure. Nobody waits for the disk here.
    pub(super) fn ask(
        &self,
        what: Calibrating,
        alone: bool,
        closed: Option<&str>,
        answer: oneshot::Sender<Value>,
    ) -> bool {
        let told = match what {
            Calibrating::Begin { now } => self.begin(now || alone, closed),
            Calibrating::Progress => lock(&self.progress).told(),
            Calibrating::Forget => {
                self.forget(answer);
                return false;
            }
        };
        let begun = matches!(what, Calibrating::Begin { .. }) && told.get("error").is_none();
        // Whoever asked may have gone.
        let _ = answer.send(told);
        begun
    }

    /// Waits until it is measured no longer, and another time has not begun.
    pub(super) async fn ended(&self) {
        loop {
            self.ended.notified().await;
            if !matches!(*lock(&self.progress), Progress::Running(_)) {
                return;
            }
        }
    }

    fn forget(&self, answer: oneshot::Sender<Value>) {
        self.echo.path.set_delay(None);
        let calibrations = self.echo.calibrations.clone();
        tokio::task::spawn_blocking(move || {
            let _ = answer.send(match calibrations.forget() {
                Ok(()) => calibrations.status(),
                Err(error) => json!({ "error": format!("it cannot be forgotten: {error}") }),
            });
        });
    }

    /// What is known.
    pub(super) fn status(&self) -> Value {
        self.echo.calibrations.status()
    }

    fn begin(&self, may_disturb: bool, closed: Option<&str>) -> Value {
        if let Some(error) = closed {
            return json!({ "error": error });
        }
        // Before anything opens for it.
        if !self.echo.path.is_played() {
            return json!({ "error": CalibrateError::NoSpeaker.to_string() });
        }
        if !may_disturb {
            let error = "somebody is in the room; with --now it is measured all the same: the room \
                         hears the signal, and the members nothing of the room for twelve seconds";
            return json!({ "error": error });
        }
        {
            let mut progress = lock(&self.progress);
            if matches!(*progress, Progress::Running(_)) {
                return json!({ "error": "it is being measured already" });
            }
            *progress = Progress::Running(Step::Opening);
        }
        let (echo, media) = (self.echo.clone(), self.media.clone());
        let progress = self.progress.clone();
        let thread = std::thread::Builder::new().name("calibrate".to_owned());
        let ended = Arc::clone(&self.ended);
        let begun = thread.spawn(move || {
            // The last to be dropped.
            let _ending = Ending {
                progress: Arc::clone(&progress),
                ended,
            };
            let listening = Listening::new(|listening| {
                media.command(Command::Listen(listening));
            });
            let told = measure(&echo.path, &echo.calibrations, &progress);
            drop(listening);
            *lock(&progress) = Progress::Over(told);
        });
        if let Err(error) = begun {
            *lock(&self.progress) = Progress::Never;
            return json!({ "error": format!("there is no thread to measure with: {error}") });
        }
        lock(&self.progress).told()
    }
}

/// Has the microphone open until it is dropped, also where what is done meanwhile panics.
struct Listening<F: Fn(bool)>(F);

impl<F: Fn(bool)> Listening<F> {
    fn new(order: F) -> Self {
        order(true);
        Self(order)
    }
}

impl<F: Fn(bool)> Drop for Listening<F> {
    fn drop(&mut self) {
        (self.0)(false);
    }
}

/// Says that it is over when it is dropped, also where measuring panicked.
struct Ending {
    progress: Arc<Mutex<Progress>>,
    ended: Arc<Notify>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        {
            let mut progress = lock(&self.progress);
            if matches!(*progress, Progress::Running(_)) {
                *progress = Progress::Over(json!({ "failed": "measuring broke off; see the log" }));
            }
        }
        self.ended.notify_one();
    }
}

fn measure(path: &EchoPath, calibrations: &Calibrations, progress: &Mutex<Progress>) -> Value {
    let tell = |step| *lock(progress) = Progress::Running(step);
    let measured = match calibrate(path, tell) {
        Ok(measured) => measured,
        Err(error) => {
            warn!(%error, "the echo was not measured");
            return json!({ "failed": error.to_string() });
        }
    };
    let (delay, kept) = calibrations.keep(&measured);
    // What runs goes on with it.
    path.set_delay(Some(delay));
    info!(
        delay_ms = measured.delay_ms,
        level_db = measured.level_db,
        drift_ppm = measured.drift_ppm,
        "the echo was measured"
    );
    let warnings: Vec<String> = measured.warnings.iter().map(ToString::to_string).collect();
    for warning in &warnings {
        warn!("the echo is {warning}");
    }
    let mut told = json!({
        "delay_ms": rounded(measured.delay_ms),
        "level_db": rounded(measured.level_db),
        "drift_ppm": measured.drift_ppm.map(rounded),
        "warnings": warnings,
        "pair": calibrations.status(),
    });
    if let Err(error) = kept {
        warn!(%error, "what was measured of the echo cannot be kept over a restart");
        told["not_kept"] = json!(error.to_string());
    }
    told
}

/// To a tenth; more of it was not measured.
fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

impl Progress {
    fn told(&self) -> Value {
        match self {
            Self::Never => json!({ "state": "never" }),
            Self::Running(step) => {
                let (name, turn, turns) = match step {
                    Step::Opening => ("opening", 0, 0),
                    Step::Playing(turn, turns) => ("playing", *turn, *turns),
                    Step::Comparing => ("comparing", 0, 0),
                };
                json!({ "state": "running", "step": name, "turn": turn, "turns": turns })
            }
            Self::Over(told) => json!({ "state": "over", "told": told }),
        }
    }
}

fn lock(progress: &Mutex<Progress>) -> MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, panic};

    use super::*;

    #[test]
    fn a_panic_does_not_leave_the_microphone_open() {
        let orders = RefCell::new(Vec::new());
        let panicked = panic::catch_unwind(panic::AssertUnwindSafe(|| {
            let _listening = Listening::new(|order| orders.borrow_mut().push(order));
            assert_eq!(*orders.borrow(), [true]);
            panic::resume_unwind(Box::new(()));
        }));
        assert!(panicked.is_err());
        assert_eq!(orders.into_inner(), [true, false]);
    }

    #[test]
    fn a_panic_is_an_end_like_any_other() {
        let progress = Arc::new(Mutex::new(Progress::Running(Step::Comparing)));
        let ended = Arc::new(Notify::new());
        let ending = Ending {
            progress: Arc::clone(&progress),
            ended: Arc::clone(&ended),
        };
        let panicked = panic::catch_unwind(panic::AssertUnwindSafe(move || {
            let _ending = ending;
            panic::resume_unwind(Box::new(()));
        }));
        assert!(panicked.is_err());
        assert!(matches!(&*lock(&progress), Progress::Over(told) if told["failed"].is_string()));
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(ended.notified());
    }
}
