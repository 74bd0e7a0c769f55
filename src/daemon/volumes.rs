//! How loud each member is played here, for as long as it stays: over every generation of its link,
//! and over a new link.

use std::collections::BTreeMap;

use crate::protocol::MemberId;

/// As it arrives, in percent.
pub(super) const FULL: u8 = 100;
/// What one touch changes, in percent.
const STEP: u8 = 10;
/// Fainter than this nobody gets by touches: who is silent should be muted, where that is told.
const FAINTEST: u8 = 20;

/// The members that are not played as they arrive, in percent.
#[derive(Debug, Default)]
pub(super) struct Volumes(BTreeMap<MemberId, u8>);

impl Volumes {
    /// Sets the volume of those whom `of` means among `members`, or of all of them, and says whom.
    ///
    /// It means the one with that id, or else everybody of that name: people cannot tell them apart
    /// either.
    pub(super) fn set<'a>(
        &mut self,
        of: Option<&str>,
        percent: u8,
        members: impl Iterator<Item = (&'a MemberId, &'a str)>,
    ) -> Result<Vec<(MemberId, String)>, String> {
        let members: Vec<_> = members.collect();
        if members.is_empty() {
            return Err("nobody else is here".to_owned());
        }
        let is_id = members.iter().any(|(id, _)| of == Some(id.as_str()));
        let meant: Vec<_> = members
            .iter()
            .filter(|(id, name)| match of {
                None => true,
                Some(of) if is_id => id.as_str() == of,
                Some(of) => name.to_lowercase() == of.to_lowercase(),
            })
            .map(|(id, name)| ((*id).clone(), (*name).to_owned()))
            .collect();
        if meant.is_empty() {
            let names: Vec<_> = members.iter().map(|(_, name)| *name).collect();
            let of = of.unwrap_or_default();
            return Err(format!(
                "nobody here is called `{of}`; here is {}",
                names.join(", ")
            ));
        }
        for (id, _) in &meant {
            if percent == FULL {
                self.0.remove(id);
            } else {
                self.0.insert(id.clone(), percent);
            }
        }
        Ok(meant)
    }

    /// Has these played a step louder or fainter than now. One that was set fainter than touches make
    /// it stays as it is.
    pub(super) fn turn<'a>(&mut self, louder: bool, members: impl Iterator<Item = &'a MemberId>) {
        for member in members {
            let now = self.of(member).unwrap_or(FULL);
            let next = if louder {
                now.saturating_add(STEP).min(FULL)
            } else {
                now.saturating_sub(STEP).max(FAINTEST.min(now))
            };
            if next == FULL {
                self.0.remove(member);
            } else {
                self.0.insert(member.clone(), next);
            }
        }
    }

    /// How loud a member is played, where that is not as it arrives.
    pub(super) fn of(&self, member: &MemberId) -> Option<u8> {
        self.0.get(member).copied()
    }

    /// A member has left.
    pub(super) fn forget(&mut self, member: &MemberId) {
        self.0.remove(member);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn touches_make_all_fainter_and_never_silent() {
        let id = |number| MemberId::from_random([number; 16]);
        let all = [id(1), id(2)];
        let mut volumes = Volumes::default();
        volumes.0.insert(id(2), 5);
        volumes.turn(false, all.iter());
        assert_eq!(
            (volumes.of(&id(1)), volumes.of(&id(2))),
            (Some(90), Some(5))
        );
        for _ in 0..20 {
            volumes.turn(false, all.iter());
        }
        assert_eq!(
            (volumes.of(&id(1)), volumes.of(&id(2))),
            (Some(20), Some(5))
        );
        for _ in 0..20 {
            volumes.turn(true, all.iter());
        }
        assert_eq!((volumes.of(&id(1)), volumes.of(&id(2))), (None, None));
    }

    struct Room {
        members: Vec<(MemberId, &'static str)>,
        volumes: Volumes,
    }

    impl Room {
        fn new() -> Self {
            let id = |number| MemberId::from_random([number; 16]);
            Self {
                members: vec![
                    (id(1), "Ann"),
                    (id(2), "Bob"),
                    (id(3), "ann"),
                    (id(4), "Ömer"),
                ],
                volumes: Volumes::default(),
            }
        }

        fn set(&mut self, of: Option<&str>, percent: u8) -> Result<Vec<String>, String> {
            let members = self.members.iter().map(|(id, name)| (id, *name));
            let set = self.volumes.set(of, percent, members)?;
            Ok(set.into_iter().map(|(_, name)| name).collect())
        }

        fn percent(&self) -> Vec<u8> {
            let each = self.members.iter();
            each.map(|(id, _)| self.volumes.of(id).unwrap_or(FULL))
                .collect()
        }
    }

    #[test]
    fn a_name_an_id_or_all() {
        let mut room = Room::new();
        assert_eq!(room.set(Some("Bob"), 40).unwrap(), ["Bob"]);
        assert_eq!(room.percent(), [100, 40, 100, 100]);
        assert_eq!(room.set(Some("ANN"), 10).unwrap(), ["Ann", "ann"]);
        assert_eq!(room.set(Some("ömer"), 0).unwrap(), ["Ömer"]);
        assert_eq!(room.percent(), [10, 40, 10, 0]);
        let id = room.members[2].0.to_string();
        assert_eq!(room.set(Some(&id), 70).unwrap(), ["ann"]);
        assert_eq!(room.percent(), [10, 40, 70, 0]);
        assert_eq!(room.set(None, 100).unwrap().len(), 4);
        assert_eq!(room.percent(), [100; 4]);
        assert!(room.volumes.0.is_empty(), "nothing is kept of them");
    }

    #[test]
    fn nobody_is_meant_by_accident() {
        let mut room = Room::new();
        let error = room.set(Some("An"), 10).unwrap_err();
        assert_eq!(
            error,
            "nobody here is called `An`; here is Ann, Bob, ann, Ömer"
        );
        assert_eq!(room.percent(), [100; 4]);
        room.members.clear();
        assert_eq!(room.set(None, 10).unwrap_err(), "nobody else is here");
    }

    #[test]
    fn who_leaves_and_comes_back_is_played_as_it_arrives() {
        let mut room = Room::new();
        room.set(Some("Bob"), 40).unwrap();
        let bob = room.members[1].0.clone();
        room.volumes.forget(&bob);
        assert_eq!(room.percent(), [100; 4]);
    }
}
