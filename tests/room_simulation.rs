//! Rooms, one hub and lossy wires in virtual time, with the invariants checked after every step.
//!
//! `ROOMD_SLOW_TESTS=1` plays many more histories, `ROOMD_SIMULATION_LOG=1` prints the transcript
//! of one that fails. What it can find, and what not, is in `docs/testing.md`.

#[path = "support/simulation/mod.rs"]
mod simulation;

use std::{collections::BTreeMap, time::Duration};

use proptest::{prelude::*, test_runner::RngSeed};
use roomd::protocol::Reason;

use simulation::{Links, Notice, Step, World};

proptest! {
    #![proptest_config(histories(24))]

    /// Whatever happens to nodes, server, sockets and media, everybody meets again.
    #[test]
    fn everybody_meets_again(seed: u64, count in 2..=6_usize, steps in history(step())) {
        let mut world = World::new(seed, count, count);
        begin(&mut world);
        play(&mut world, &steps);
        world.settle();
        world.stays_well(Duration::from_mins(1));
        world.end();
    }

    /// A wire that loses, doubles and reorders single frames makes nobody do anything wrong, and
    /// once it is a good wire, everybody meets again.
    #[test]
    fn an_evil_wire_harms_nobody(seed: u64, count in 2..=4_usize, steps in history(step())) {
        let mut world = World::new(seed, count, count);
        world.step(&Step::Evil(true));
        begin(&mut world);
        play(&mut world, &steps);
        world.settle();
        world.stays_well(Duration::from_mins(1));
        world.end();
    }

    /// Two rooms on one server know nothing of each other.
    #[test]
    fn rooms_are_apart(seed: u64, count in 3..=6_usize, steps in history(step())) {
        let mut world = World::new(seed, count, count / 2);
        begin(&mut world);
        play(&mut world, &steps);
        world.settle();
        world.end();
    }

    /// Lost sockets and restarted servers, in any number, rebuild no link that runs.
    #[test]
    fn signalling_touches_no_running_link(
        seed: u64,
        count in 2..=6_usize,
        steps in history(signalling_step()),
    ) {
        let mut world = World::new(seed, count, count);
        begin(&mut world);
        world.settle();
        let before = world.links();
        play(&mut world, &steps);
        world.settle();
        prop_assert_eq!(world.links(), before);
        world.end();
    }
}

#[test]
fn six_meet_and_stay() {
    let mut world = World::new(1, 6, 6);
    begin(&mut world);
    let took = world.settle();
    assert!(took < Duration::from_secs(25), "{took:?}");
    world.stays_well(Duration::from_mins(10));
    world.end();
}

#[test]
fn a_server_that_is_killed_and_comes_back_rebuilds_nothing() {
    for down_ms in [200, 1_000, 60_000, 300_000] {
        for seed in 0..4 {
            let mut world = World::new(seed, 4, 4);
            begin(&mut world);
            world.settle();
            let before = world.links();
            world.step(&Step::Restart {
                polite: seed % 2 == 0,
                down_ms,
            });
            world.step(&Step::Wait(down_ms));
            world.settle();
            world.stays_well(Duration::from_mins(2));
            assert_eq!(world.links(), before, "after {down_ms} ms");
        }
    }
}

#[test]
fn one_that_crashes_is_back_with_everybody_and_the_others_keep_their_links() {
    let mut world = World::new(3, 3, 3);
    begin(&mut world);
    world.settle();
    let before = world.links();
    world.step(&Step::Crash(2));
    world.step(&Step::Wait(2_000));
    world.step(&Step::Start(2));
    world.settle();
    let after = world.links();
    let between = |links: &BTreeMap<usize, Links>| {
        let theirs = links[&1].running.clone();
        let mut ours = links[&0].running.clone();
        ours.retain(|link, _| theirs.contains_key(link));
        ours
    };
    assert_eq!(between(&before).len(), 1);
    assert_eq!(between(&before), between(&after));
    world.end();
}

#[test]
fn a_blocked_path_ends_in_no_route_and_opens_again_by_itself() {
    let mut world = World::new(5, 2, 2);
    begin(&mut world);
    world.settle();
    world.step(&Step::Block(0, 1));
    world.step(&Step::Wait(180_000));
    let words = &world.status(0).expect("it runs").links[0].words;
    assert!(words.starts_with("no route"), "{words}");
    world.step(&Step::Unblock(0, 1));
    let took = world.settle();
    assert!(took < Duration::from_mins(1), "{took:?}");
    world.end();
}

#[test]
fn the_same_seed_plays_the_same_history() {
    let transcript = || {
        let mut world = World::new(11, 4, 4);
        begin(&mut world);
        world.step(&Step::Wait(5_000));
        world.step(&Step::Drop(1, Notice::Both));
        world.settle();
        world.transcript(1_000)
    };
    assert_eq!(transcript(), transcript());
}

fn begin(world: &mut World) {
    for n in 0..world.nodes.len() {
        world.step(&Step::Start(n));
    }
}

fn play(world: &mut World, steps: &[(Step, u64)]) {
    for (step, then) in steps {
        world.step(step);
        world.step(&Step::Wait(*then));
    }
}

/// Steps, and the milliseconds after each: mostly short, so that disturbances meet.
fn history(step: impl Strategy<Value = Step>) -> impl Strategy<Value = Vec<(Step, u64)>> {
    let pause = prop_oneof![
        4 => 0..300_u64,
        3 => 300..5_000_u64,
        1 => 5_000..60_000_u64,
    ];
    prop::collection::vec((step, pause), 1..24)
}

fn step() -> impl Strategy<Value = Step> {
    let node = 0..6_usize;
    prop_oneof![
        4 => node.clone().prop_map(Step::Start),
        2 => node.clone().prop_map(Step::Leave),
        2 => node.clone().prop_map(Step::Crash),
        4 => (node.clone(), notice()).prop_map(|(n, notice)| Step::Drop(n, notice)),
        2 => restart(),
        2 => (node.clone(), reason()).prop_map(|(n, why)| Step::Fail(n, why)),
        1 => node.clone().prop_map(Step::Darken),
        1 => (node.clone(), node.clone()).prop_map(|(a, b)| Step::Block(a, b)),
        1 => (node.clone(), node.clone()).prop_map(|(a, b)| Step::Unblock(a, b)),
        1 => node.prop_map(Step::Mute),
        1 => any::<bool>().prop_map(Step::Moody),
    ]
}

/// What a running link must outlive. A node that notices late may outlast its grace; that is
/// another matter.
fn signalling_step() -> impl Strategy<Value = Step> {
    let quick = prop_oneof![Just(Notice::Both), Just(Notice::Node)];
    prop_oneof![
        3 => (0..6_usize, quick).prop_map(|(n, notice)| Step::Drop(n, notice)),
        1 => restart(),
        1 => (0..6_usize).prop_map(Step::Mute),
    ]
}

fn restart() -> impl Strategy<Value = Step> {
    (any::<bool>(), prop_oneof![0..1_000_u64, 1_000..90_000_u64])
        .prop_map(|(polite, down_ms)| Step::Restart { polite, down_ms })
}

fn notice() -> impl Strategy<Value = Notice> {
    prop_oneof![Just(Notice::Both), Just(Notice::Node), Just(Notice::Server)]
}

fn reason() -> impl Strategy<Value = Reason> {
    prop_oneof![
        Just(Reason::Path),
        Just(Reason::Failed),
        Just(Reason::Fingerprint),
        Just(Reason::Description)
    ]
}

/// A few by default, and two hundred times as many on demand.
fn histories(cases: u32) -> ProptestConfig {
    let slow = std::env::var_os("ROOMD_SLOW_TESTS").is_some();
    ProptestConfig {
        cases: if slow { cases * 200 } else { cases },
        // What was found once becomes a directed test instead of a file of seeds.
        failure_persistence: None,
        // The same histories in every ordinary run, others in each long one.
        rng_seed: if slow {
            RngSeed::Random
        } else {
            RngSeed::Fixed(1)
        },
        max_shrink_iters: 400,
        ..ProptestConfig::default()
    }
}
