//! From no connection to a membership, and back again when the connection is lost.
//!
//! Invariant: there is always a deadline, unless the room was left for good. Whatever the server
//! does or does not do, something is tried again.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::protocol::{
    Bye, Client, Ending, ErrorCode, Hello, Join, Keep, MemberId, Problem, Resume, Role, VERSION,
    Welcome,
};

use super::{
    Output, Settings,
    backoff::{Backoff, Chance},
    status::{self, State},
};

/// How long the driver may take to connect or to say that it cannot.
const DIAL: Duration = Duration::from_secs(20);

/// How long the server may take to answer `hello`, and then `join`.
const REPLY: Duration = Duration::from_secs(10);

/// The pauses between connections. The most is short, so that both ends of a link are back well
/// within the time for which a restarted server adopts links.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// A membership that lasted this long starts again with the shortest pause.
const HEALTHY: Duration = Duration::from_secs(10);

/// How often something is tried again that needs somebody to act: a PIN may have been changed.
const REFUSED: Duration = Duration::from_secs(30);

/// What the server may ask us to wait, whatever it says.
const LONGEST_RETRY: Duration = Duration::from_mins(5);

/// One connection after the other, and the session that outlives them.
pub(super) struct Session {
    stage: Stage,
    backoff: Backoff,
    resume: Option<Resume>,
    /// Who we are, by the latest `welcome`.
    pub(super) me: Option<MemberId>,
    /// This session has become a member, so a resumption is answered with a snapshot.
    member: bool,
    ping: Option<Ping>,
    refused: Option<(ErrorCode, &'static str)>,
}

#[derive(Clone, Copy)]
enum Stage {
    Resting { until: Option<Instant> },
    Dialling { until: Instant },
    Greeting { until: Instant },
    Joining { until: Instant },
    Refused { until: Instant },
    Joined { since: Instant },
    Left,
}

struct Ping {
    every: Duration,
    at: Instant,
    heard: Instant,
}

impl Session {
    pub(super) fn new(chance: Chance) -> Self {
        Self {
            stage: Stage::Resting { until: None },
            backoff: Backoff::new(PAUSE.0, PAUSE.1, chance),
            resume: None,
            me: None,
            member: false,
            ping: None,
            refused: None,
        }
    }

    /// We are a member, and what we say is heard.
    pub(super) fn joined(&self) -> bool {
        matches!(self.stage, Stage::Joined { .. })
    }

    pub(super) fn left(&self) -> bool {
        matches!(self.stage, Stage::Left)
    }

    /// There is no connection, nor an attempt at one.
    pub(super) fn resting(&self) -> bool {
        matches!(self.stage, Stage::Resting { .. })
    }

    fn connected_stage(&self) -> bool {
        matches!(
            self.stage,
            Stage::Greeting { .. }
                | Stage::Joining { .. }
                | Stage::Refused { .. }
                | Stage::Joined { .. }
        )
    }

    /// The driver has connected.
    pub(super) fn connected(
        &mut self,
        now: Instant,
        settings: &Settings,
        keep: Vec<Keep>,
        outputs: &mut VecDeque<Output>,
    ) {
        if !matches!(self.stage, Stage::Dialling { .. }) {
            return;
        }
        self.stage = Stage::Greeting { until: now + REPLY };
        outputs.push_back(Output::Send(Client::Hello(Box::new(Hello {
            v: vec![VERSION],
            node: settings.node.clone(),
            name: settings.name.clone(),
            kind: settings.kind,
            token: settings.token.clone(),
            resume: self.resume.clone(),
            keep,
            caps: settings.caps.clone(),
        }))));
    }

    /// The connection is gone, or could not be made.
    pub(super) fn disconnected(&mut self, now: Instant) {
        match self.stage {
            Stage::Resting { .. } | Stage::Left => {}
            // What was refused is not tried sooner because the server closes too.
            Stage::Refused { until } => self.rest(until),
            Stage::Joined { since } => {
                if since + HEALTHY <= now {
                    self.backoff.reset();
                }
                self.rest_a_while(now);
            }
            Stage::Dialling { .. } | Stage::Greeting { .. } | Stage::Joining { .. } => {
                self.rest_a_while(now);
            }
        }
    }

    /// Drops the connection from our side, to try another after a pause.
    pub(super) fn hang_up(&mut self, now: Instant, outputs: &mut VecDeque<Output>) {
        if self.connected_stage() || matches!(self.stage, Stage::Dialling { .. }) {
            outputs.push_back(Output::HangUp);
            self.disconnected(now);
        }
    }

    /// Something came; whatever it was, the connection lives.
    pub(super) fn heard(&mut self, now: Instant) {
        if let Some(ping) = &mut self.ping {
            ping.heard = now;
        }
    }

    /// Takes `welcome`. Tells whether it was one that we waited for.
    pub(super) fn welcome(
        &mut self,
        now: Instant,
        welcome: &Welcome,
        settings: &Settings,
        outputs: &mut VecDeque<Output>,
    ) -> bool {
        if !matches!(self.stage, Stage::Greeting { .. }) {
            return false;
        }
        if welcome.v != VERSION {
            self.refuse(now, ErrorCode::Version, REFUSED, outputs);
            self.hang_up(now, outputs);
            return false;
        }
        self.resume = Some(Resume {
            session: welcome.session.clone(),
            secret: welcome.secret.clone(),
        });
        self.me = Some(welcome.member.clone());
        self.ping = (welcome.ping_ms > 0).then(|| {
            let every = Duration::from_millis(welcome.ping_ms.clamp(1_000, 600_000));
            Ping {
                every,
                at: now + every,
                heard: now,
            }
        });
        if !welcome.resumed {
            self.member = false;
        }
        if self.member {
            self.stage = Stage::Joining { until: now + REPLY };
        } else {
            self.join(now, settings, outputs);
        }
        true
    }

    fn join(&mut self, now: Instant, settings: &Settings, outputs: &mut VecDeque<Output>) {
        self.stage = Stage::Joining { until: now + REPLY };
        outputs.push_back(Output::Send(Client::Join(Join {
            room: settings.room.clone(),
            pin: settings.pin.clone(),
            role: Role::Peer,
            media: settings.media,
            here: false,
            recording: settings.recording,
            of: None,
        })));
    }

    /// Takes the arrival of a snapshot. Tells whether it is for us to believe.
    pub(super) fn snapshot(&mut self, now: Instant) -> bool {
        match self.stage {
            Stage::Joining { .. } => {
                self.stage = Stage::Joined { since: now };
                self.member = true;
                self.refused = None;
                true
            }
            Stage::Joined { .. } => true,
            Stage::Resting { .. }
            | Stage::Dialling { .. }
            | Stage::Greeting { .. }
            | Stage::Refused { .. }
            | Stage::Left => false,
        }
    }

    /// Takes what the server refused, as far as it concerns the membership.
    pub(super) fn error(
        &mut self,
        now: Instant,
        problem: &Problem,
        settings: &Settings,
        outputs: &mut VecDeque<Output>,
    ) {
        let retry = problem.retry_ms.map(Duration::from_millis);
        let retry = retry.map(|retry| retry.min(LONGEST_RETRY));
        let entering = matches!(
            self.stage,
            Stage::Greeting { .. } | Stage::Joining { .. } | Stage::Refused { .. }
        );
        match problem.code {
            ErrorCode::BadPin
            | ErrorCode::NeedPin
            | ErrorCode::BadToken
            | ErrorCode::NoRoom
            | ErrorCode::Version
            | ErrorCode::BadJson
            | ErrorCode::BadType
            | ErrorCode::BadField
            | ErrorCode::TooBig
                if entering =>
            {
                let retry = retry.map_or(REFUSED, |retry| retry.max(REFUSED));
                self.refuse(now, problem.code, retry, outputs);
            }
            ErrorCode::PinWait | ErrorCode::RoomFull | ErrorCode::ServerFull if entering => {
                self.refuse(now, problem.code, retry.unwrap_or(PAUSE.1), outputs);
            }
            ErrorCode::NotJoined if self.joined() => self.join(now, settings, outputs),
            _ => {}
        }
        if problem.fatal {
            self.hang_up(now, outputs);
        }
    }

    fn refuse(
        &mut self,
        now: Instant,
        code: ErrorCode,
        retry: Duration,
        outputs: &mut VecDeque<Output>,
    ) {
        let text = status::refusal(code);
        if self.refused != Some((code, text)) {
            self.refused = Some((code, text));
            outputs.push_back(Output::Refused {
                code,
                text: text.to_owned(),
            });
        }
        self.stage = Stage::Refused {
            // Later than asked, never sooner, and not all at once.
            until: now + retry + self.backoff.around(PAUSE.0),
        };
    }

    /// The server ends the session or the connection. Tells whether the membership is over, so
    /// that nothing of it may go on.
    pub(super) fn bye(&mut self, now: Instant, bye: &Bye, outputs: &mut VecDeque<Output>) -> bool {
        if !self.connected_stage() {
            return false;
        }
        let retry = bye.retry_ms.map(Duration::from_millis);
        let retry = retry.map(|retry| retry.min(LONGEST_RETRY));
        self.hang_up(now, outputs);
        let over = matches!(bye.why, Ending::Replaced | Ending::Removed);
        if over {
            // Coming back at once would throw the other one out, which would come back at once.
            self.forget();
            let text = match bye.why {
                Ending::Replaced => "another program with this device's identity has joined",
                _ => "this device was removed from the room",
            };
            self.refused = Some((ErrorCode::Other, text));
            outputs.push_back(Output::Refused {
                code: ErrorCode::Other,
                text: text.to_owned(),
            });
        }
        let retry = retry.or(over.then_some(REFUSED));
        if let (Some(retry), Stage::Resting { until: Some(until) }) = (retry, self.stage) {
            self.rest(until + retry);
        }
        over
    }

    /// Leaves for good.
    pub(super) fn leave(&mut self, outputs: &mut VecDeque<Output>) {
        if self.left() {
            return;
        }
        if self.connected_stage() {
            outputs.push_back(Output::Send(Client::Bye(Bye {
                why: Ending::Left,
                retry_ms: None,
            })));
            outputs.push_back(Output::HangUp);
        } else if matches!(self.stage, Stage::Dialling { .. }) {
            outputs.push_back(Output::HangUp);
        }
        self.forget();
        self.stage = Stage::Left;
    }

    /// When [`Self::due`] has something to do, if nothing happens before.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        let stage = match self.stage {
            Stage::Resting { until } => Some(until.unwrap_or(now)),
            Stage::Dialling { until }
            | Stage::Greeting { until }
            | Stage::Joining { until }
            | Stage::Refused { until } => Some(until),
            Stage::Joined { .. } | Stage::Left => None,
        };
        let ping = self.ping.as_ref().filter(|_| self.connected_stage());
        let ping = ping.map(|ping| ping.at.min(ping.dead_at()));
        [stage, ping].into_iter().flatten().min()
    }

    /// Does what is due.
    pub(super) fn due(
        &mut self,
        now: Instant,
        settings: &Settings,
        outputs: &mut VecDeque<Output>,
    ) {
        match self.stage {
            Stage::Resting { until } if until.is_none_or(|until| until <= now) => {
                self.stage = Stage::Dialling { until: now + DIAL };
                outputs.push_back(Output::Dial);
            }
            Stage::Dialling { until } | Stage::Greeting { until } if until <= now => {
                self.hang_up(now, outputs);
            }
            Stage::Joining { until } if until <= now => {
                // Perhaps it is this session that the server cannot cope with.
                self.forget();
                self.hang_up(now, outputs);
            }
            Stage::Refused { until } if until <= now => self.join(now, settings, outputs),
            _ => {}
        }
        if self.connected_stage()
            && let Some(ping) = &mut self.ping
        {
            if ping.dead_at() <= now {
                self.hang_up(now, outputs);
            } else if ping.at <= now {
                ping.at = now + ping.every;
                outputs.push_back(Output::Send(Client::Ping {}));
            }
        }
    }

    pub(super) fn state(&self) -> (State, String, Option<ErrorCode>) {
        let (state, words) = match self.stage {
            Stage::Resting { .. } => (State::Resting, "not connected; trying again soon"),
            Stage::Dialling { .. } => (State::Dialling, "connecting to the server"),
            Stage::Greeting { .. } | Stage::Joining { .. } => {
                (State::Joining, "connected; joining the room")
            }
            Stage::Refused { .. } => (State::Refused, "refused"),
            Stage::Joined { .. } => (State::Joined, "in the room"),
            Stage::Left => (State::Left, "left"),
        };
        match self.refused {
            Some((code, text)) if state != State::Left => {
                (state, format!("{words}: {text}"), Some(code))
            }
            _ => (state, words.to_owned(), None),
        }
    }

    fn forget(&mut self) {
        self.resume = None;
        self.member = false;
    }

    fn rest_a_while(&mut self, now: Instant) {
        let pause = self.backoff.next();
        self.rest(now + pause);
    }

    fn rest(&mut self, until: Instant) {
        self.ping = None;
        self.stage = Stage::Resting { until: Some(until) };
    }
}

impl Ping {
    /// Two pings unanswered, and a little more.
    fn dead_at(&self) -> Instant {
        self.heard + self.every * 2 + Duration::from_secs(5)
    }
}
