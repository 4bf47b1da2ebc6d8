//! Questions about pods that several controllers ask.

use std::cmp::Ordering;
use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodCondition};

use crate::meta::Meta;

pub(crate) fn phase(pod: &Pod) -> &str {
    pod.status
        .as_ref()
        .and_then(|s| s.phase.as_deref())
        .unwrap_or("Pending")
}

pub(crate) fn is_terminal(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

/// Neither finished nor on its way out.
pub(crate) fn is_active(pod: &Pod) -> bool {
    !is_terminal(pod) && !pod.deleting()
}

pub(crate) fn is_terminating(pod: &Pod) -> bool {
    !is_terminal(pod) && pod.deleting()
}

pub(crate) fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    pod.status
        .as_ref()?
        .conditions
        .as_ref()?
        .iter()
        .find(|c| c.type_ == kind)
}

pub(crate) fn is_ready(pod: &Pod) -> bool {
    condition(pod, "Ready").is_some_and(|c| c.status == "True")
}

fn ready_since(pod: &Pod) -> Option<Timestamp> {
    let ready = condition(pod, "Ready").filter(|c| c.status == "True")?;
    Some(
        ready
            .last_transition_time
            .as_ref()
            .map_or(Timestamp::UNIX_EPOCH, |t| t.0),
    )
}

/// Ready for at least `min_ready_seconds`.
pub(crate) fn is_available(pod: &Pod, min_ready_seconds: i32, now: Timestamp) -> bool {
    available_in(pod, min_ready_seconds, now) == Some(SignedDuration::ZERO)
}

/// How long until a ready pod counts as available; `None` while it is not ready.
pub(crate) fn available_in(pod: &Pod, min_ready_seconds: i32, now: Timestamp) -> Option<SignedDuration> {
    let since = ready_since(pod)?;
    let due = since + SignedDuration::from_secs(i64::from(min_ready_seconds));
    Some(if min_ready_seconds == 0 || due <= now {
        SignedDuration::ZERO
    } else {
        due.duration_since(now)
    })
}

pub(crate) fn node_name(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref().filter(|n| !n.is_empty())
}

pub(crate) fn priority(pod: &Pod) -> i32 {
    pod.spec.as_ref().and_then(|s| s.priority).unwrap_or(0)
}

/// Highest restart count of a pod's containers.
fn restarts(pod: &Pod) -> i32 {
    let statuses = pod
        .status
        .as_ref()
        .and_then(|s| s.container_statuses.as_deref())
        .unwrap_or_default();
    statuses.iter().map(|c| c.restart_count).max().unwrap_or(0)
}

/// Orders pods so that those to delete first come first (pkg/controller/controller_utils.go, ActivePodsWithRanks).
/// `rank` counts, per node, the active pods of related sets: the fuller node loses first.
pub(crate) fn deletion_order(a: &Pod, b: &Pod, rank: &HashMap<String, usize>, now: Timestamp) -> Ordering {
    let assigned = |p: &Pod| node_name(p).is_some();
    let phase_order = |p: &Pod| match phase(p) {
        "Pending" => 0,
        "Unknown" => 1,
        _ => 2,
    };
    let cost = |p: &Pod| {
        p.annotation("controller.kubernetes.io/pod-deletion-cost")
            .and_then(|c| c.parse::<i32>().ok())
            .unwrap_or(0)
    };
    let node_rank = |p: &Pod| node_name(p).and_then(|n| rank.get(n)).copied().unwrap_or(0);
    // Ages are compared on a logarithmic scale, so that pods of about the same age are chosen among by uid.
    let magnitude = |since: Timestamp| {
        let seconds = now.duration_since(since).as_secs().max(0);
        if seconds <= 0 {
            -1
        } else {
            i64::from(seconds.ilog2())
        }
    };
    assigned(a)
        .cmp(&assigned(b))
        .then_with(|| phase_order(a).cmp(&phase_order(b)))
        .then_with(|| is_ready(a).cmp(&is_ready(b)))
        .then_with(|| cost(a).cmp(&cost(b)))
        .then_with(|| node_rank(b).cmp(&node_rank(a)))
        .then_with(|| match (ready_since(a), ready_since(b)) {
            (Some(x), Some(y)) if x != y => match magnitude(x).cmp(&magnitude(y)) {
                Ordering::Equal => a.uid().cmp(b.uid()),
                other => other,
            },
            _ => Ordering::Equal,
        })
        .then_with(|| restarts(b).cmp(&restarts(a)))
        .then_with(|| match magnitude(a.created()).cmp(&magnitude(b.created())) {
            Ordering::Equal if a.created() != b.created() => a.uid().cmp(b.uid()),
            other => other,
        })
        .then_with(|| a.uid().cmp(b.uid()))
}

/// Sets a condition; the transition time moves only when the status does. Returns whether anything changed.
pub(crate) fn set_condition(conditions: &mut Vec<PodCondition>, mut new: PodCondition) -> bool {
    match conditions.iter_mut().find(|c| c.type_ == new.type_) {
        Some(old) => {
            if old.status == new.status {
                new.last_transition_time.clone_from(&old.last_transition_time);
            }
            let changed = *old != new;
            *old = new;
            changed
        }
        None => {
            conditions.push(new);
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::{PodSpec, PodStatus};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    fn pod(name: &str, node: Option<&str>, ready: Option<i64>) -> Pod {
        let mut pod = Pod::default();
        pod.metadata.name = Some(name.into());
        pod.metadata.uid = Some(name.into());
        pod.metadata.creation_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        pod.spec = Some(PodSpec {
            node_name: node.map(str::to_owned),
            ..Default::default()
        });
        pod.status = Some(PodStatus {
            phase: Some(if node.is_some() { "Running" } else { "Pending" }.into()),
            conditions: ready.map(|at| {
                vec![PodCondition {
                    type_: "Ready".into(),
                    status: "True".into(),
                    last_transition_time: Some(Time(Timestamp::from_second(at).unwrap())),
                    ..Default::default()
                }]
            }),
            ..Default::default()
        });
        pod
    }

    #[test]
    fn who_goes_first() {
        let now = Timestamp::from_second(100_000).unwrap();
        let unassigned = pod("u", None, None);
        let not_ready = pod("n", Some("a"), None);
        let old = pod("o", Some("a"), Some(10));
        let young = pod("y", Some("b"), Some(99_000));
        let crowded = pod("c", Some("full"), Some(10));
        let mut pods = [&old, &young, &not_ready, &unassigned, &crowded];
        let rank = HashMap::from([("full".to_owned(), 3), ("a".to_owned(), 1), ("b".to_owned(), 1)]);
        pods.sort_by(|a, b| deletion_order(a, b, &rank, now));
        let names: Vec<&str> = pods.iter().map(|p| p.name()).collect();
        assert_eq!(names, ["u", "n", "c", "y", "o"]);
    }

    #[test]
    fn availability_takes_time() {
        let now = Timestamp::from_second(1000).unwrap();
        let p = pod("p", Some("a"), Some(995));
        assert!(is_available(&p, 0, now));
        assert!(!is_available(&p, 10, now));
        assert_eq!(available_in(&p, 10, now), Some(SignedDuration::from_secs(5)));
        assert_eq!(available_in(&pod("q", Some("a"), None), 10, now), None);
    }
}
