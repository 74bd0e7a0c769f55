//! Meetings begin and end, and only those who are no guests stay.

use std::time::Duration;

use super::play::{Play, enter, hello, settings};
use crate::{
    hub::{Meeting, OVER_AFTER},
    protocol::{Client, Ending, Kind},
};

/// The device is in its room, and a meeting is watched.
struct Watched {
    play: Play,
    meeting: Meeting,
}

impl Watched {
    fn new() -> Self {
        let mut play = Play::new(settings());
        play.open_trusted("atrium");
        play.say("atrium", hello("atrium", Kind::Device));
        play.say("atrium", Client::Join(enter()));
        Self {
            play,
            meeting: Meeting::default(),
        }
    }

    /// Something happens. Says whether a meeting has ended with it.
    fn then(&mut self, act: impl FnOnce(&mut Play)) -> bool {
        act(&mut self.play);
        let guests = self.play.hub.guests();
        self.meeting.handle(self.play.now.at, guests);
        self.meeting.poll()
    }

    /// Time goes by, with a look at every deadline of both.
    fn wait(&mut self, span: Duration) -> bool {
        let end = self.play.now.at + span;
        let mut over = false;
        while self.play.now.at < end {
            let due = [self.play.hub.deadline(), self.meeting.deadline()];
            let next = due.into_iter().flatten().min().unwrap_or(end).min(end);
            let pause = next - self.play.now.at;
            over |= self.then(|play| play.wait(pause.as_secs_f64()));
        }
        over
    }
}

const SECOND: Duration = Duration::from_secs(1);
/// One second more would be too long.
const ALMOST: Duration = OVER_AFTER.saturating_sub(SECOND);

#[test]
fn a_meeting_is_over_when_nobody_was_there_for_five_minutes() {
    let mut it = Watched::new();
    assert!(!it.wait(OVER_AFTER * 10), "there was none");
    assert!(!it.then(|play| play.join("ann")));
    assert!(!it.wait(OVER_AFTER * 10), "it goes on");
    assert!(!it.then(|play| play.say("ann", Client::Leave {})));
    assert!(!it.wait(ALMOST));
    assert!(it.wait(SECOND * 2));
    assert!(!it.wait(OVER_AFTER * 10), "it ends once");
    assert_eq!(it.meeting.deadline(), None);

    it.then(|play| play.join("bob"));
    it.then(|play| play.say("bob", Client::Leave {}));
    assert!(it.wait(OVER_AFTER + SECOND), "so does the next");
}

#[test]
fn who_comes_back_in_time_goes_on_with_the_meeting() {
    let mut it = Watched::new();
    it.then(|play| play.join("ann"));
    it.then(|play| play.say("ann", Client::Leave {}));
    assert!(!it.wait(ALMOST));
    it.then(|play| play.join("bob"));
    assert!(!it.wait(OVER_AFTER * 2));
    it.then(|play| {
        play.say(
            "bob",
            Client::Bye(crate::protocol::Bye {
                why: Ending::Left,
                retry_ms: None,
            }),
        );
    });
    assert!(!it.wait(ALMOST), "the five minutes begin anew");
    assert!(it.wait(SECOND * 2));
}

#[test]
fn who_is_away_and_may_resume_is_there() {
    let mut it = Watched::new();
    it.then(|play| play.join("ann"));
    let grace = settings().grace;
    it.then(|play| play.lose("ann"));
    assert_eq!(it.play.hub.guests(), 1);
    assert!(!it.wait(grace + ALMOST));
    assert!(it.wait(SECOND * 2), "five minutes after it was given up");
}

#[test]
fn the_device_itself_is_no_guest() {
    let mut it = Watched::new();
    assert_eq!(it.play.hub.guests(), 0);
    it.then(|play| play.join("ann"));
    it.then(|play| play.join_as("foyer", Kind::Device));
    assert_eq!(it.play.hub.guests(), 2, "a device elsewhere is one");
}
