//! Gathers what the wall shows: who is there, how to come in, and how the device is.

use std::{cell::Cell, collections::BTreeMap, path::Path, sync::Arc, time::Instant};

use tokio::sync::watch;

use super::{announce, clock, own::There, site::Site, standing::Standing};
use crate::{
    cli::Switch,
    config::{Config, Private, Server, Signalling},
    media::{self, Board, Notice, Speakers},
    net,
    privacy::{Code, Hours, Shown},
    protocol::{Generation, Media, RoomName},
    room::{LinkState, LinkStatus, Status},
    scene::{self, Call, Facts, Guest, Layout, Own, Part, Sight, Visit, Way},
};

/// systemd-timesyncd puts it there when it has set the clock. Without it the time may be that of
/// the factory, and is not shown.
const SYNCHRONISED: &str = "/run/systemd/timesync/synchronized";

/// What the microphone is while nobody is there and it is open.
const MEASURING: &str = "Microphone open: the echo is being measured";

/// What was last heard of each part: what is wrong with it, or that it is well.
pub(super) type News = BTreeMap<Notice, Option<String>>;

/// The way to the wall.
pub(super) struct Wall {
    board: Board,
    media: Arc<media::Media>,
    layout: Layout,
    /// The room's own picture is shown beside the others'.
    self_view: bool,
    /// What media were told of that last.
    viewed: Cell<Option<bool>>,
    /// How many wishes of those in the room were followed.
    followed: u64,
    found: BTreeMap<Notice, There>,
    news: watch::Receiver<News>,
    speakers: watch::Receiver<Speakers>,
    since: Instant,
}

impl Wall {
    /// What was found, and where the news come from.
    pub(super) fn new(
        (board, media): (Board, Arc<media::Media>),
        (layout, self_view): (Layout, bool),
        found: BTreeMap<Notice, There>,
        news: watch::Receiver<News>,
        speakers: watch::Receiver<Speakers>,
    ) -> Self {
        Self {
            board,
            media,
            layout,
            self_view,
            viewed: Cell::new(None),
            followed: 0,
            found,
            news,
            speakers,
            since: clock::now().at,
        }
    }

    /// For how long there has been something to show.
    fn minutes(&self) -> u32 {
        let minutes = (clock::now().at - self.since).as_secs() / 60;
        u32::try_from(minutes).unwrap_or(u32::MAX)
    }

    /// Shows those in a call as somebody in the room wants it, if that is news.
    pub(super) fn follow(&mut self, standing: &Standing) {
        if let Some((number, layout)) = standing.layout
            && number > self.followed
        {
            self.followed = number;
            self.layout = layout;
        }
    }

    /// Shows those in a call otherwise from here on, where something of it is said. Returns how.
    pub(super) fn arrange(
        &mut self,
        layout: Option<Layout>,
        self_view: Option<bool>,
    ) -> (Layout, bool) {
        self.layout = layout.unwrap_or(self.layout);
        self.self_view = self_view.unwrap_or(self.self_view);
        (self.layout, self.self_view)
    }

    /// This room, as those in it see it.
    fn own(&self, standing: &Standing) -> Own {
        let is_off = |which| standing.off.contains(&which);
        let found = |what| self.found.get(&what).copied().unwrap_or(There::Yes);
        let has = |what| found(what) != There::Never;
        Own {
            muted: is_off(Switch::Microphone) && has(Notice::Microphone),
            sight: if !has(Notice::Camera) {
                Sight::NoCamera
            } else if is_off(Switch::Camera) {
                Sight::CameraOff
            } else {
                Sight::Picture
            },
            is_shown: self.self_view && has(Notice::Camera),
        }
    }

    /// Waits until there is something to show that nobody else tells of: somebody speaks.
    pub(super) async fn stirred(&mut self) {
        if self.speakers.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Has media bring the room's own picture to the wall, or not, until they have taken it.
    fn view(&self) {
        if self.viewed.get() != Some(self.self_view)
            && self.media.command(media::Command::SelfView(self.self_view))
        {
            self.viewed.set(Some(self.self_view));
        }
    }

    /// Looks at everything and has it shown, where it has changed.
    pub(super) fn show(&self, config: &Config, site: Option<&Site>, standing: &Standing) {
        self.view();
        let way = way(config, site);
        let now = media::local_time();
        let clock = now.filter(|_| Path::new(SYNCHRONISED).exists());
        // Whoever writes them does not wait for what follows.
        let news = self.news.borrow().clone();
        let speakers = self.speakers.borrow().clone();
        let network = match &config.signalling {
            Signalling::Own(_) if way.is_none() => {
                wrong("No network: plug in the cable or join a Wi-Fi")
            }
            Signalling::Remote(_) if !standing.joined => {
                wrong("The server does not answer: roomd status says more")
            }
            _ => connected(&news, config.wall.network.as_deref()),
        };
        let devices = [
            (Notice::Camera, "camera"),
            (Notice::Microphone, "microphone"),
            (Notice::Speaker, "speaker"),
        ];
        let parts = devices.into_iter().map(|(what, name)| {
            let found = self.found.get(&what).copied().unwrap_or(There::Yes);
            let off = match what {
                Notice::Microphone => Some((Switch::Microphone, "Microphone muted")),
                Notice::Camera => Some((Switch::Camera, "Camera off")),
                _ => None,
            };
            let off = off.filter(|(which, _)| standing.off.contains(which));
            if what == Notice::Microphone && standing.shown == Shown::Measuring {
                // What is wrong is said whatever else there is no room for.
                return wrong(MEASURING);
            }
            match off.filter(|_| found != There::Never) {
                Some((_, words)) => well(words),
                None => part(name, found, news.get(&what)),
            }
        });
        self.board.show(Facts {
            room: config.name.clone(),
            way,
            parts: parts
                .chain([network])
                .chain(
                    standing
                        .do_not_disturb
                        .then(|| well("Do not disturb: whoever comes waits at the door")),
                )
                .collect(),
            clock,
            minutes: self.minutes(),
            is_dim: is_dim(config.wall.dim, now),
            visit: match &standing.shown {
                Shown::Visit {
                    visitors,
                    hold,
                    code,
                    is_spent,
                } => {
                    let those = |here| visitors.iter().filter(move |it| it.here == here);
                    let names = |here| those(here).map(|it| it.name.clone()).collect();
                    Some(Visit {
                        names: names(false),
                        here: names(true),
                        hold: *hold,
                        code: code.as_ref().map(Code::expose),
                        is_spent: *is_spent,
                    })
                }
                Shown::Alone | Shown::Measuring | Shown::Call { .. } => None,
            },
            call: Call {
                guests: standing.guests.clone(),
                layout: self.layout,
                speaking: speakers.now,
                spoke: speakers.order,
                is_recorded: standing.recording,
                idle: standing.shown == Shown::Call { idle: true },
                own: self.own(standing),
            },
        });
    }
}

/// Whether it is night here, by the clock that quiet hours go by, right or not.
fn is_dim(hours: Option<Hours>, clock: Option<(u8, u8)>) -> bool {
    let at = clock.map(|(hour, minute)| u16::from(hour) * 60 + u16::from(minute));
    hours.zip(at).is_some_and(|(hours, at)| hours.contain(at))
}

/// Who is there: everybody to whom there is a link, with what is to be seen of them.
pub(super) fn guests(status: &Status) -> Vec<Guest> {
    let guest = |link: &LinkStatus| {
        let member = status.members.iter().find(|it| it.member == link.peer);
        let media = member.map(|it| it.media).unwrap_or_default();
        Guest {
            link: link.link.clone(),
            name: link.name.clone(),
            hue: scene::hue(link.peer.as_str()),
            muted: !media.audio,
            here: member.is_some_and(|it| it.here),
            sight: sight(link, media),
            is_share: member.is_some_and(|it| it.screen),
        }
    };
    status.links.iter().map(guest).collect()
}

fn sight(link: &LinkStatus, media: Media) -> Sight {
    match link.state {
        LinkState::Connected | LinkState::Kept if media.no_camera => Sight::NoCamera,
        LinkState::Connected | LinkState::Kept if !media.video => Sight::CameraOff,
        LinkState::Connected | LinkState::Kept if link.paused.is_some() => Sight::Paused,
        LinkState::Connected | LinkState::Kept => Sight::Picture,
        LinkState::NoRoute => Sight::NoWay,
        LinkState::Impostor => Sight::NotSafe,
        LinkState::Describing
        | LinkState::AwaitingOffer
        | LinkState::AwaitingAnswer
        | LinkState::Connecting
            if link.generation == Generation::FIRST =>
        {
            Sight::Joining
        }
        _ => Sight::Reconnecting,
    }
}

/// How to come in: to this device, or to the server that it is a member of.
fn way(config: &Config, site: Option<&Site>) -> Option<Way> {
    match (&config.signalling, site) {
        (Signalling::Own(server), Some(site)) => {
            let name = server.names.first().map(String::as_str);
            let reachable = net::addresses::reachable().unwrap_or_default();
            let address = announce::best(site.address(), name, &reachable)?;
            let room = among_others(server, &config.room.name);
            Some(to(&address, room, Some(site.pin())))
        }
        (Signalling::Own(_), None) => None,
        (Signalling::Remote(remote), _) => {
            let url = &remote.url;
            let host = if url.host.contains(':') {
                format!("[{}]", url.host)
            } else {
                url.host.clone()
            };
            let address = announce::url(&host, url.port);
            let pin = config.room.pin.as_ref().map(Private::expose);
            Some(to(&address, Some(&config.room.name), pin))
        }
    }
}

/// The room's name, where the page would ask for one.
fn among_others<'a>(server: &Server, own: &'a RoomName) -> Option<&'a RoomName> {
    server.rooms.iter().any(|room| room != own).then_some(own)
}

/// What is needed travels in the fragment, which never leaves the browser. Who reads it off the wall
/// sits in front of the loudspeaker, so the link says `here`; the one that a page copies does not.
fn to(address: &str, room: Option<&RoomName>, pin: Option<&str>) -> Way {
    let room_said = room.map(|room| format!("room={room}"));
    let pin_said = pin.map(|pin| format!("pin={pin}"));
    let said = room_said.into_iter().chain(pin_said);
    let said: Vec<String> = said.chain(["here".to_owned()]).collect();
    let link = format!("{address}#{}", said.join("&"));
    Way {
        address: address.trim_end_matches('/').to_owned(),
        link,
        pin: pin.map(str::to_owned),
        beside: room
            .map(|room| format!("Room {room}"))
            .into_iter()
            .collect(),
    }
}

fn part(name: &str, found: There, news: Option<&Option<String>>) -> Part {
    let missing = || wrong(&format!("No {name}: plug one in"));
    match (news, found) {
        (_, There::Never) => well(&format!("No {name}")),
        (Some(Some(why)), _) if why.ends_with("nothing is connected") => missing(),
        (Some(Some(_)), _) => wrong(&format!(
            "The {name} does not work: unplug it and plug it in again"
        )),
        (None, There::No) => missing(),
        (Some(None), _) | (None, There::Yes) => {
            let mut letters = name.chars();
            let first = letters.next().map(|first| first.to_ascii_uppercase());
            let words: String = first.into_iter().chain(letters).collect();
            well(&format!("{words} ready"))
        }
    }
}

fn connected(news: &News, network: Option<&str>) -> Part {
    let is_wrong = |what| matches!(news.get(&what), Some(Some(_)));
    if is_wrong(Notice::NoRelay) || is_wrong(Notice::IceServer) {
        wrong("People elsewhere may not get through: roomd status says more")
    } else {
        well(&network.map_or_else(
            || "Network ready".to_owned(),
            |name| format!("Network: {name}"),
        ))
    }
}

fn well(words: &str) -> Part {
    Part {
        words: words.to_owned(),
        wrong: false,
    }
}

fn wrong(words: &str) -> Part {
    Part {
        words: words.to_owned(),
        wrong: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{LinkId, Pause};

    #[test]
    fn the_link_carries_what_the_page_would_ask_for() {
        let room: RoomName = "lobby".parse().unwrap();
        let way = to("https://192.0.2.7:8443/", None, Some("123456"));
        assert_eq!(way.address, "https://192.0.2.7:8443");
        assert_eq!(way.link, "https://192.0.2.7:8443/#pin=123456&here");
        assert!(way.beside.is_empty());
        let way = to("https://meet.example.org/", Some(&room), Some("1234"));
        assert_eq!(
            way.link,
            "https://meet.example.org/#room=lobby&pin=1234&here"
        );
        assert_eq!(way.beside, ["Room lobby"]);
        let way = to("https://meet.example.org/", None, None);
        assert_eq!(way.link, "https://meet.example.org/#here");
    }

    #[test]
    fn what_is_to_be_seen_of_somebody_is_what_the_room_knows() {
        let link = |state, generation| LinkStatus {
            link: LinkId::from_random([1; 16]),
            peer: "n-anna-at-home".parse().unwrap(),
            name: "Anna".to_owned(),
            generation,
            offerer: true,
            state,
            why: None,
            words: String::new(),
            sends: true,
            shown: None,
            showing: None,
            paused: None,
            pausing: None,
            waiting_candidates: 0,
        };
        let first = Generation::FIRST;
        let later = first.next();
        let all = Media::default();
        let seen = |state, generation, media| sight(&link(state, generation), media);
        assert_eq!(seen(LinkState::Connecting, first, all), Sight::Joining);
        assert_eq!(seen(LinkState::Connecting, later, all), Sight::Reconnecting);
        assert_eq!(seen(LinkState::Connected, later, all), Sight::Picture);
        assert_eq!(seen(LinkState::Kept, first, all), Sight::Picture);
        assert_eq!(seen(LinkState::Silent, first, all), Sight::Reconnecting);
        assert_eq!(seen(LinkState::NoRoute, later, all), Sight::NoWay);
        assert_eq!(seen(LinkState::Impostor, first, all), Sight::NotSafe);
        let off = Media {
            video: false,
            ..all
        };
        assert_eq!(seen(LinkState::Connected, first, off), Sight::CameraOff);
        assert_eq!(seen(LinkState::Dark, first, off), Sight::Reconnecting);
        let none = Media {
            no_camera: true,
            ..all
        };
        assert_eq!(seen(LinkState::Connected, first, none), Sight::NoCamera);
        let mut slow = link(LinkState::Connected, first);
        slow.paused = Some(Pause::Network);
        assert_eq!(sight(&slow, all), Sight::Paused);
    }

    #[test]
    fn it_is_dim_by_night_and_where_the_time_is_known() {
        let night = "20:00-07:00".parse().ok();
        assert!(is_dim(night, Some((23, 0))) && is_dim(night, Some((6, 59))));
        assert!(!is_dim(night, Some((7, 0))) && !is_dim(night, None));
        assert!(!is_dim(None, Some((23, 0))));
    }

    #[test]
    fn a_part_is_told_in_words_with_what_to_do() {
        let said = |found, news: &[Option<&str>]| {
            let news = news.first().map(|why| why.map(str::to_owned));
            let part = part("camera", found, news.as_ref());
            (part.words, part.wrong)
        };
        let ready = ("Camera ready".to_owned(), false);
        let missing = ("No camera: plug one in".to_owned(), true);
        assert_eq!(said(There::Yes, &[]), ready);
        assert_eq!(said(There::No, &[]), missing);
        // One that was plugged in later.
        assert_eq!(said(There::No, &[None]), ready);
        let gone = &[Some("no camera: nothing is connected")];
        assert_eq!(said(There::Yes, gone), missing);
        assert!(said(There::Yes, &[Some("no camera: it ended")]).1);
        assert_eq!(said(There::Never, gone), ("No camera".to_owned(), false));
    }
}
