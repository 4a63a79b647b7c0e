//! Alarms in virtual time.

use super::*;

const HOLD: HoldTimes = HoldTimes {
    raise_after: Duration::from_secs(10),
    clear_after: Duration::from_secs(30),
};

struct World {
    alarms: Alarms,
    start: Instant,
    /// Seconds.
    now: u64,
    silenced: bool,
}

impl World {
    fn new() -> Self {
        Self {
            alarms: Alarms::default(),
            start: Instant::now(),
            now: 0,
            silenced: false,
        }
    }

    /// Runs that many seconds with these conditions in each. Returns the changes with their seconds.
    fn run(&mut self, seconds: u64, conditions: &[Condition]) -> Vec<(u64, &'static str, u64)> {
        let mut told = Vec::new();
        for _ in 0..seconds {
            let passed = Duration::from_secs(self.now);
            let (now, time) = (self.start + passed, SystemTime::UNIX_EPOCH + passed);
            let silenced = self.silenced;
            let changes = self
                .alarms
                .update(conditions.to_vec(), |_| silenced, HOLD, now, time);
            told.extend(changes.into_iter().map(|change| match change {
                Change::Raised(alarm) => (self.now, "raised", alarm.count),
                Change::Cleared(alarm) => (self.now, "cleared", alarm.count),
            }));
            self.now += 1;
        }
        told
    }
}

fn lost(stream: &str) -> Condition {
    condition(stream, FaultKind::SourceLost, Level::Bad, None)
}

fn condition(stream: &str, kind: FaultKind, level: Level, party: Option<&str>) -> Condition {
    let fault = serde_json::json!({
        "kind": kind, "level": level, "fault": "source", "party": party, "sentence": "it is so", "evidence": [], "viewers": [],
    });
    let fault: StreamFault = serde_json::from_value(fault).unwrap();
    Condition::of_stream(&StreamName::new(stream), &fault).unwrap()
}

#[test]
fn a_condition_that_lasts_is_raised_and_cleared_when_it_has_been_gone() {
    let mut world = World::new();
    assert_eq!(world.run(10, &[lost("a")]), []);
    assert_eq!(world.run(20, &[lost("a")]), [(10, "raised", 1)]);
    let raised = world.alarms.active().pop().unwrap();
    assert_eq!(
        (raised.state, raised.severity),
        (AlarmState::Active, Severity::Critical)
    );
    assert_eq!(
        world.alarms.counts(),
        AlarmCounts {
            critical: 1,
            warning: 0,
            unacknowledged: 1
        }
    );
    assert_eq!(world.run(60, &[]), [(60, "cleared", 1)]);
    assert!(world.alarms.active().is_empty());
    let kept = world.alarms.all().pop().unwrap();
    assert_eq!((kept.state, &kept.id), (AlarmState::Cleared, &raised.id));
    // The same one again.
    assert_eq!(world.run(11, &[lost("a")]), [(100, "raised", 2)]);
    let again = world.alarms.all();
    assert_eq!(
        (again.len(), &again[0].id, again[0].first),
        (1, &raised.id, raised.first)
    );
}

#[test]
fn what_passes_by_itself_is_no_alarm() {
    let mut world = World::new();
    assert_eq!(world.run(9, &[lost("a")]), []);
    assert_eq!(world.run(60, &[]), []);
    assert!(world.alarms.all().is_empty() && world.alarms.entries.is_empty());
    // One error counts in the verdict for a minute.
    let error = condition("a", FaultKind::SourceErrors, Level::Bad, None);
    assert_eq!(world.run(60, std::slice::from_ref(&error)), []);
    assert_eq!(world.run(60, &[]), []);
    assert_eq!(world.run(71, std::slice::from_ref(&error)), [(259, "raised", 1)]);
}

#[test]
fn flapping_is_one_alarm_with_a_count() {
    let mut world = World::new();
    let mut told = Vec::new();
    for _ in 0..50 {
        told.extend(world.run(3, &[lost("a")]));
        told.extend(world.run(5, &[]));
    }
    assert_eq!(told, [(16, "raised", 3)]);
    assert_eq!(world.alarms.active()[0].count, 50);
    assert_eq!(world.run(60, &[]).len(), 1);
}

#[test]
fn what_is_silenced_raises_nothing_and_ends_what_is_there() {
    let mut world = World::new();
    world.run(11, &[lost("a")]);
    world.silenced = true;
    assert_eq!(world.run(1, &[lost("a")]), [(11, "cleared", 1)]);
    assert_eq!(world.run(100, &[lost("a")]), []);
    world.silenced = false;
    assert_eq!(world.run(11, &[lost("a")]), [(122, "raised", 2)]);
}

#[test]
fn parties_and_streams_have_alarms_of_their_own() {
    let mut world = World::new();
    let down = |stream, party| condition(stream, FaultKind::OutputDown, Level::Bad, Some(party));
    let viewer = condition("a", FaultKind::ViewerLink, Level::Bad, None);
    let all = [down("a", "x"), down("a", "y"), down("b", "x"), viewer];
    assert_eq!(world.run(11, &all).len(), 3);
    assert_eq!(world.run(60, &all).len(), 1);
    let active = world.alarms.active();
    let ids: std::collections::HashSet<_> = active.iter().map(|alarm| &alarm.id).collect();
    assert_eq!(ids.len(), 4);
    // The link of a single viewer only raises a warning.
    assert_eq!(active[3].severity, Severity::Warning);
    // Several streams report the same condition of the gateway.
    let stalled = || condition("a", FaultKind::GatewayStalled, Level::Bad, None);
    assert_eq!(stalled().key.stream, None);
}

#[test]
fn an_alarm_is_acknowledged_until_it_ends() {
    let mut world = World::new();
    world.run(11, &[lost("a")]);
    let by = || Acknowledged {
        by: "night shift".to_owned(),
        time: SystemTime::UNIX_EPOCH,
        note: "called the venue".to_owned(),
    };
    let id = world.alarms.active()[0].id.clone();
    assert_eq!(world.alarms.acknowledge("a-0", by()), Err(NotActive::Unknown));
    assert_eq!(
        world.alarms.acknowledge(&id, by()).unwrap().acknowledged,
        Some(by())
    );
    world.run(20, &[lost("a")]);
    assert_eq!(world.alarms.active()[0].acknowledged, Some(by()));
    assert_eq!(world.alarms.counts().unacknowledged, 0);
    world.run(40, &[]);
    assert_eq!(world.alarms.acknowledge(&id, by()), Err(NotActive::Cleared));
    world.run(11, &[lost("a")]);
    assert_eq!(world.alarms.active()[0].acknowledged, None);
}

#[test]
fn names_of_peers_do_not_size_it() {
    let mut world = World::new();
    let many: Vec<_> = (0..MOST + 100).map(|number| lost(&number.to_string())).collect();
    assert_eq!(world.run(11, &many).len(), MOST);
    assert_eq!((world.alarms.entries.len(), world.alarms.left_out()), (MOST, 100));
    world.run(40, &[]);
    assert_eq!(world.alarms.all().len(), HISTORY);
    let long = condition(
        "a",
        FaultKind::OutputDown,
        Level::Bad,
        Some(&"x\u{1b}".repeat(5000)),
    );
    let party = long.key.party.unwrap();
    assert!(party.chars().count() < 2 * TEXT * 8 && !party.contains('\u{1b}'));
}

#[test]
fn kinds_are_words() {
    assert_eq!(AlarmKind::Stream(FaultKind::NeverCameUp).word(), "never_came_up");
    assert_eq!(
        AlarmKind::Gateway(GatewayKind::ReloadRefused).word(),
        "reload_refused"
    );
}
