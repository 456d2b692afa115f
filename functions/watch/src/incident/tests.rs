use super::*;

const TO: &str = "email:data@example.com";

/// A pseudo-random number generator with a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, max: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % max
    }
}

fn finding(since: Timestamp) -> Finding {
    Finding {
        pipeline: Some("orders".into()),
        step: Some(StepId::Load("postgres-orders".into())),
        incident_kind: IncidentKind::Failed,
        qualifier: None,
        since,
        count: 1,
        what: "the server is gone".into(),
        kind: Some(ErrorKind::Retry),
        hint: None,
        scheduled_time: None,
        run_id: None,
        facts: Vec::new(),
        is_tried_again: true,
    }
}

/// An incident with one recipient, and the notifications that the recipient has received.
struct SimulatedIncident {
    incident: Incident,
    now: Timestamp,
    received: Vec<(u64, State)>,
    /// For each notification, how long the incident had been steady.
    steady_for: Vec<SignedDuration>,
}

impl SimulatedIncident {
    fn new() -> SimulatedIncident {
        let now: Timestamp = "2026-03-03T08:00:00Z".parse().unwrap();
        let mut incident = Incident::open(finding(now), Severity::Critical, now);
        incident.add_recipients(&[TO.to_owned()]);
        SimulatedIncident { incident, now, received: Vec::new(), steady_for: Vec::new() }
    }

    fn tick(&mut self, is_wrong: bool, is_up: bool) {
        match is_wrong {
            true => self.incident.update(finding(self.now), Severity::Critical, self.now),
            false => self.incident.resolve(self.now),
        }
        self.incident.add_recipients(&[TO.to_owned()]);
        let Some(state) = self.incident.pending_notification(TO, self.now) else { return };
        if !self.incident.may_send(TO, self.now) {
            return;
        }
        self.incident.claim(TO, self.now);
        assert!(!self.incident.may_send(TO, self.now), "two would send");
        let sent = if is_up { Ok(state) } else { Err("down".to_owned()) };
        self.incident.record_delivery(TO, &sent, self.now);
        if is_up {
            self.received.push((self.incident.opening, state));
            let turned = self.incident.resolved_at.unwrap_or(self.incident.opened_at);
            self.steady_for.push(self.now.duration_since(turned));
        }
    }
}

/// With random problems and failures of the channel: no notification is sent twice, flapping is reported once, and the last notification is
/// the final state.
#[test]
fn last_notification_is_the_final_state() {
    let mut flappings = 0;
    for seed in 0..2_000 {
        let (mut dice, mut simulation) = (Dice(seed), SimulatedIncident::new());
        let (turns_in, down_in) = (1 + dice.below(30), 1 + dice.below(4));
        let mut is_wrong = true;
        simulation.tick(is_wrong, false);
        for _ in 0..60 {
            simulation.now += SignedDuration::from_mins(5 + 5 * dice.below(12) as i64);
            if dice.below(turns_in) == 0 {
                is_wrong = !is_wrong;
            }
            let is_up = down_in == 1 || dice.below(down_in) > 0;
            simulation.tick(is_wrong, is_up);
        }
        for _ in 0..100 {
            simulation.now += SignedDuration::from_mins(5);
            simulation.tick(is_wrong, true);
        }
        let incident = &simulation.incident;
        assert_eq!(incident.pending_notification(TO, simulation.now), None, "seed {seed}: {incident:#?}");
        assert_eq!(incident.is_at_rest(simulation.now), !is_wrong, "seed {seed}");
        let expected = if is_wrong { NotificationState::Opened } else { NotificationState::Resolved };
        assert_eq!(incident.notifications[TO].state, expected, "seed {seed}");
        for (nth, one) in simulation.received.iter().enumerate() {
            assert!(
                !simulation.received[nth + 1..].contains(one),
                "seed {seed}: twice {one:?} in {:?}",
                simulation.received
            );
        }
        for (two, steady_for) in simulation.received.windows(2).zip(&simulation.steady_for[1..]) {
            let (before, after) = (two[0], two[1]);
            assert!(before.1 != State::Resolved || before.0 < after.0, "seed {seed}: {:?}", simulation.received);
            // After a flapping notification there is none until the incident is steady; later openings are reported again.
            let is_steady = *steady_for >= STEADY_AFTER || before.0 < after.0;
            assert!(before.1 != State::Flapping || is_steady, "seed {seed}: {:?}", simulation.received);
        }
        flappings += usize::from(simulation.received.iter().any(|(_, state)| *state == State::Flapping));
    }
    assert!(flappings > 100, "{flappings}");
}

#[test]
fn claim_expires_if_sending_never_ends() {
    let mut simulation = SimulatedIncident::new();
    simulation.incident.add_recipients(&[TO.to_owned()]);
    simulation.incident.claim(TO, simulation.now);
    simulation.tick(true, true);
    assert_eq!(simulation.received, []);
    simulation.now += SignedDuration::from_mins(5);
    simulation.tick(true, true);
    assert_eq!(simulation.received, [(1, State::Opened)]);
}

#[test]
fn each_cause_has_its_own_key() {
    let base = finding(Timestamp::UNIX_EPOCH);
    assert_eq!(base.key(), "orders.load_postgres-orders.failed");
    let others = [
        base.clone(),
        Finding { step: Some(StepId::Clean), ..base.clone() },
        Finding { step: None, ..base.clone() },
        Finding { incident_kind: IncidentKind::Behind, ..base.clone() },
        Finding { pipeline: None, ..base.clone() },
        Finding { qualifier: Some("log".into()), ..base.clone() },
    ];
    let keys: std::collections::BTreeSet<String> = others.iter().map(Finding::key).collect();
    assert_eq!(keys.len(), others.len());
    // details of the current occurrence are not part of the key
    let later = Finding { count: 9, what: "other".into(), run_id: Some("1".into()), kind: None, ..base.clone() };
    assert_eq!(later.key(), base.key());
}

#[test]
fn incident_survives_serialization() {
    let mut simulation = SimulatedIncident::new();
    simulation.tick(true, false);
    let json = serde_json::to_vec(&simulation.incident).unwrap();
    assert_eq!(serde_json::from_slice::<Incident>(&json).unwrap(), simulation.incident);
}
