//! What is granted, what waits, in which order; and that no sequence of resizes promises more than the node has.
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::granted::Granted;
use super::ledger::{Kept, Ledger};
use crate::downward::Facts;
use crate::resources;

fn ledger() -> Ledger {
    let facts = Facts {
        cpu_milli: 4000,
        memory: 4 << 30,
        storage: 1 << 30,
        ..Facts::default()
    };
    Ledger::new(&facts, 5)
}

fn pod(generation: i64, cpu: &str, more: Value) -> Arc<Pod> {
    let own = json!({"requests": {"cpu": cpu, "memory": "256Mi"}, "limits": {"memory": "256Mi"}});
    let mut spec = json!({"containers": [{"name": "c", "resources": own}]});
    if let (Value::Object(spec), Value::Object(more)) = (&mut spec, more) {
        spec.extend(more);
    }
    let pod = json!({"metadata": {"name": "p", "generation": generation}, "spec": spec});
    Arc::new(serde_json::from_value(pod).unwrap())
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// Who was told what, in order.
fn retried(ledger: &mut Ledger, now: i64) -> Vec<String> {
    let verdicts = ledger.retry(at(now)).into_iter();
    verdicts
        .map(|v| format!("{} {}", v.uid, v.said.map_or("", |said| said.reason)))
        .collect()
}

fn allocated(ledger: &Ledger, uid: &str) -> String {
    let kept = ledger.kept(uid).unwrap();
    kept.allocated.containers["c"].requests.as_ref().unwrap()["cpu"]
        .0
        .clone()
}

/// As the worker does when cgroups are written.
fn actuate(ledger: &mut Ledger, uid: &str) -> bool {
    ledger.note(uid, |kept| kept.actuated = kept.allocated.clone())
}

#[test]
fn what_fits_is_granted_and_what_does_not_waits() {
    let mut ledger = ledger();
    ledger.add("a", &pod(1, "1", json!({})), None);
    ledger.add("b", &pod(1, "2", json!({})), None);
    assert!(ledger.update("a", &pod(2, "2", json!({}))));
    assert_eq!(retried(&mut ledger, 1), ["a ResizeStarted"]);
    assert_eq!(allocated(&ledger, "a"), "2");
    let (pending, progress) = ledger.conditions("a");
    assert_eq!((pending, progress.map(|p| p.generation)), (None, Some(2)));
    assert!(ledger.update("b", &pod(2, "3", json!({}))));
    let verdicts = ledger.retry(at(2));
    assert!(!verdicts[0].granted);
    let said = verdicts[0].said.clone().unwrap();
    assert!(said.warning && said.reason == "ResizeDeferred");
    assert_eq!(
        said.message,
        "Pod resize OutOfcpu: {\"containers\":[{\"name\":\"c\",\"resources\":{\"limits\":{\"memory\":\"256Mi\"},\"requests\":{\"cpu\":\"3\",\
         \"memory\":\"256Mi\"}}}],\"generation\":2,\"error\":\"Node didn't have enough resource: cpu, requested: 3000, used: 2000, \
         capacity: 4000\"}"
    );
    let pending = ledger.conditions("b").0.unwrap();
    assert_eq!((pending.reason.as_str(), pending.since), ("Deferred", at(2)));
    assert_eq!(
        pending.message,
        "Node didn't have enough resource: cpu, requested: 3000, used: 2000, capacity: 4000"
    );
    assert_eq!(allocated(&ledger, "b"), "2");
    assert_eq!(retried(&mut ledger, 3), [""; 0], "nothing is new");
    // The other becomes smaller: what it had is free only when its cgroup says so.
    assert!(!actuate(&mut ledger, "a"));
    assert!(ledger.update("a", &pod(3, "1", json!({}))));
    assert_eq!(retried(&mut ledger, 4), ["a ResizeStarted"]);
    assert_eq!(allocated(&ledger, "b"), "2");
    assert!(actuate(&mut ledger, "a"));
    assert_eq!(retried(&mut ledger, 5), ["b ResizeStarted"]);
    assert_eq!(ledger.conditions("b").0, None);
}

#[test]
fn who_goes_makes_room() {
    for end in [Ledger::end, Ledger::remove] {
        let mut ledger = ledger();
        ledger.add("a", &pod(1, "2", json!({})), None);
        ledger.add("b", &pod(1, "1", json!({})), None);
        assert!(!end(&mut ledger, "nobody"));
        ledger.update("b", &pod(2, "4", json!({})));
        assert_eq!(retried(&mut ledger, 1), ["b ResizeDeferred"]);
        assert!(end(&mut ledger, "a"));
        assert_eq!(retried(&mut ledger, 2), ["b ResizeStarted"]);
    }
}

#[test]
fn what_is_taken_back_waits_no_longer() {
    let mut ledger = ledger();
    ledger.add("a", &pod(1, "1", json!({})), None);
    ledger.update("a", &pod(2, "8", json!({})));
    assert_eq!(retried(&mut ledger, 1), ["a ResizeDeferred"]);
    // Another wish that does not fit is told of again, and waits no less long.
    ledger.update("a", &pod(3, "9", json!({})));
    assert_eq!(retried(&mut ledger, 2), ["a ResizeDeferred"]);
    let pending = ledger.conditions("a").0.unwrap();
    assert_eq!((pending.since, pending.generation), (at(1), 3));
    assert!(!ledger.update("a", &pod(4, "1", json!({}))));
    assert_eq!(ledger.conditions("a").0, None);
    assert_eq!(retried(&mut ledger, 3), [""; 0]);
}

#[test]
fn the_most_urgent_comes_first() {
    let mut ledger = ledger();
    let both = json!({"cpu": "500m", "memory": "512Mi"});
    let guaranteed = json!({"requests": both, "limits": both});
    let more = json!({"cpu": "1", "memory": "512Mi"});
    let grown = json!({"requests": more, "limits": more});
    let of = |generation, own: &Value| -> Arc<Pod> {
        let spec = json!({"containers": [{"name": "c", "resources": own}]});
        Arc::new(
            serde_json::from_value(json!({"metadata": {"generation": generation}, "spec": spec})).unwrap(),
        )
    };
    ledger.add("old", &pod(1, "500m", json!({})), None);
    ledger.add("new", &pod(1, "500m", json!({})), None);
    ledger.add("guaranteed", &of(1, &guaranteed), None);
    ledger.add("urgent", &pod(1, "500m", json!({"priority": 7})), None);
    ledger.add("less", &pod(1, "500m", json!({})), None);
    // All but the last grow beyond what there is, one after the other.
    for (second, uid) in ["old", "new", "urgent"].into_iter().enumerate() {
        let more = if uid == "urgent" {
            json!({"priority": 7})
        } else {
            json!({})
        };
        ledger.update(uid, &pod(2, "5", more));
        retried(&mut ledger, second as i64 + 1);
    }
    ledger.update("guaranteed", &of(2, &grown));
    ledger.update("less", &pod(2, "100m", json!({})));
    for uid in ["old", "new", "urgent"] {
        let more = if uid == "urgent" {
            json!({"priority": 7})
        } else {
            json!({})
        };
        ledger.update(uid, &pod(3, "600m", more));
    }
    assert_eq!(
        retried(&mut ledger, 9),
        [
            "less ResizeStarted",
            "urgent ResizeStarted",
            "guaranteed ResizeStarted",
            "old ResizeStarted",
            "new ResizeStarted"
        ]
    );
}

#[test]
fn a_new_agent_goes_on_where_the_last_one_was() {
    let mut ledger = ledger();
    let kept = Kept {
        allocated: Granted::of(&pod(1, "1", json!({}))),
        actuated: Granted::of(&pod(1, "1", json!({}))),
        ..Kept::default()
    };
    let mut wants = (*pod(2, "8", json!({}))).clone();
    let condition = json!({"type": "PodResizePending", "status": "True", "reason": "Deferred", "message": "m",
        "observedGeneration": 2, "lastTransitionTime": "1970-01-01T00:00:09Z"});
    wants.status = serde_json::from_value(json!({"conditions": [condition]})).unwrap();
    ledger.add("a", &Arc::new(wants.clone()), Some(kept.clone()));
    assert_eq!(ledger.conditions("a").0.unwrap().since, at(9));
    assert_eq!(allocated(&ledger, "a"), "1");
    assert_eq!(
        retried(&mut ledger, 10),
        ["a "],
        "the same refusal is no news, its words are"
    );
    // Nobody tells of a wait that is over.
    let same = Kept {
        allocated: Granted::of(&wants),
        ..kept
    };
    ledger.add("b", &Arc::new(wants), Some(same));
    assert_eq!(ledger.conditions("b").0, None);
}

#[test]
fn progress_keeps_its_generation_and_what_went_wrong() {
    let mut ledger = ledger();
    ledger.add("a", &pod(1, "1", json!({})), None);
    ledger.update("a", &pod(2, "2", json!({})));
    ledger.retry(at(1));
    assert_eq!(ledger.progress("a", "", "", at(2)), (false, 2));
    assert_eq!(ledger.progress("a", "Error", "m", at(3)), (true, 2));
    assert_eq!(ledger.progress("a", "", "", at(4)), (false, 2));
    assert_eq!(ledger.progress("a", "Error", "m", at(5)), (false, 2));
    assert_eq!(ledger.conditions("a").1.unwrap().reason, "Error");
    assert_eq!(ledger.done("a"), Some(2));
    assert_eq!(ledger.done("a"), None);
}

#[test]
fn what_a_new_pod_lacks() {
    let mut ledger = ledger();
    ledger.add("a", &pod(1, "3", json!({})), None);
    let told = |ledger: &Ledger, pod: &Pod| ledger.misfit("new", pod);
    assert_eq!(told(&ledger, &pod(1, "1", json!({}))), None);
    assert_eq!(
        told(&ledger, &pod(1, "1500m", json!({}))),
        Some((
            "OutOfcpu".into(),
            "Node didn't have enough resource: cpu, requested: 1500, used: 3000, capacity: 4000".into()
        ))
    );
    for uid in ["b", "c", "d", "e"] {
        ledger.add(uid, &Arc::default(), None);
    }
    assert_eq!(
        told(&ledger, &Pod::default()),
        Some((
            "OutOfpods".into(),
            "Node didn't have enough resource: pods, requested: 1, used: 5, capacity: 5".into()
        ))
    );
}

/// Any sequence of wishes, writes and ends (a fixed one, from a small generator): what is promised and in force never is more than there is,
/// and nobody who would fit waits.
#[test]
fn never_more_than_there_is() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut dice = move |sides: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % sides
    };
    let uids = ["a", "b", "c", "d"];
    let mut ledger = ledger();
    let mut alive = [false; 4];
    for step in 0..4000 {
        let which = dice(4) as usize;
        let uid = uids[which];
        let wanted = pod(step, &format!("{}00m", 1 + dice(45)), json!({}));
        match (alive[which], dice(8)) {
            (false, _) if ledger.misfit(uid, &wanted).is_none() => {
                ledger.add(uid, &wanted, None);
                alive[which] = true;
            }
            (true, 0) => {
                ledger.remove(uid);
                alive[which] = false;
            }
            (true, 1..=3) => drop(actuate(&mut ledger, uid)),
            (true, _) => drop(ledger.update(uid, &wanted)),
            _ => {}
        }
        ledger.retry(at(step));
        let cpu = |granted: &Granted| resources::request(granted.containers.get("c"), "cpu").unwrap_or(0);
        let used = |uid: &str| {
            let kept = ledger.kept(uid);
            kept.map_or(0, |kept| cpu(&kept.allocated).max(cpu(&kept.actuated)))
        };
        let total: i64 = uids.iter().map(|uid| used(uid)).sum();
        assert!(total <= 4000, "step {step}: {total}");
    }
}

#[test]
fn a_port_of_the_node_is_had_by_one_pod() {
    let mut ledger = ledger();
    let with = |ip: &str, protocol: &str, port: i32| {
        let port = json!({"containerPort": 80, "hostPort": port, "hostIP": ip, "protocol": protocol});
        pod(1, "1m", json!({"containers": [{"name": "c", "ports": [port]}]}))
    };
    ledger.add("a", &with("127.0.0.1", "TCP", 8080), None);
    let refused = |ledger: &Ledger, pod: &Pod| ledger.misfit("b", pod).map(|(reason, _)| reason);
    for (ip, protocol, port, clashes) in [
        ("127.0.0.1", "TCP", 8080, true),
        ("", "TCP", 8080, true),
        ("127.0.0.2", "TCP", 8080, false),
        ("", "UDP", 8080, false),
        ("", "TCP", 8081, false),
    ] {
        let reason = refused(&ledger, &with(ip, protocol, port));
        assert_eq!(
            reason.as_deref(),
            clashes.then_some("NodePorts"),
            "{ip} {protocol} {port}"
        );
    }
    ledger.end("a");
    assert_eq!(refused(&ledger, &with("", "TCP", 8080)), None);
}
