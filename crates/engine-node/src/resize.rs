//! From what a pod was promised to what its cgroups say: which of its containers differ, and in which order limits are written
//! (pkg/kubelet/kuberuntime/kuberuntime_manager.go, computePodResizeAction and doPodResizeAction). Pure.
use engine_runtime::proto::Limits;
use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};

use crate::allocation::{Kept, in_force};
use crate::model::{Role, Unit, specs};
use crate::resources;

/// What can be resized of a container: limits and requests of CPU in thousandths and memory in bytes, 0 for none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Needs {
    memory: [i64; 2],
    cpu: [i64; 2],
}

impl Needs {
    fn of(resources: Option<&ResourceRequirements>) -> Self {
        let both = |name: &str| {
            let (limit, request) = (
                resources::limit(resources, name),
                resources::request(resources, name),
            );
            [limit.unwrap_or(0), request.unwrap_or(0)]
        };
        Self {
            memory: both("memory"),
            cpu: both("cpu"),
        }
    }
}

/// A running container that has not what it was promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// Index of its unit.
    pub index: usize,
    /// It has to be started again for it.
    pub restart: bool,
}

/// Containers that run with something else than they were promised. `all`: every one that runs counts as such.
pub fn changes(pod: &Pod, units: &[Unit], kept: &Kept, all: bool) -> Vec<Change> {
    let specs = specs(pod).zip(units).enumerate();
    let running = specs.filter(|(_, ((_, role), unit))| *role != Role::Ephemeral && unit.is_running());
    running
        .filter_map(|(index, ((container, _), _))| {
            let wanted = Needs::of(Some(&in_force(pod, &container.name)));
            let now = Needs::of(kept.actuated.containers.get(&container.name));
            let differs = all || wanted != now;
            differs.then(|| Change {
                index,
                restart: restarts(container, "cpu", wanted.cpu != now.cpu)
                    || restarts(container, "memory", wanted.memory != now.memory),
            })
        })
        .collect()
}

fn restarts(container: &Container, resource: &str, differs: bool) -> bool {
    let policies = container.resize_policy.iter().flatten();
    let policy = policies
        .into_iter()
        .find(|policy| policy.resource_name == resource);
    differs && policy.is_some_and(|policy| policy.restart_policy == "RestartContainer")
}

/// Whether something runs with other resources than it was promised, as status tells of it (IsPodResizeInProgress).
pub fn is_in_progress(pod: &Pod, units: &[Unit], kept: &Kept) -> bool {
    let whole = &kept.allocated.pod;
    if whole.is_some() && Needs::of(whole.as_ref()) != Needs::of(kept.actuated.pod.as_ref()) {
        return true;
    }
    changes(pod, units, kept, false)
        .iter()
        .any(|change| units[change.index].role != Role::Init)
}

/// Whether the pod's cgroup has other limits than it was promised. What has no limit keeps the one it has.
pub fn is_stale(wanted: &Limits, now: &Limits) -> bool {
    fn differs<T: PartialEq>(wanted: Option<&T>, now: Option<&T>) -> bool {
        wanted.is_some() && wanted != now
    }
    differs(wanted.cpu_shares.as_ref(), now.cpu_shares.as_ref())
        || differs(wanted.cpu_quota.as_ref(), now.cpu_quota.as_ref())
        || differs(wanted.memory.as_ref(), now.memory.as_ref())
}

/// The two that are written one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// First.
    Memory,
    /// Second.
    Cpu,
}

/// Whose limits are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The pod's cgroup.
    Pod,
    /// The container with this place in the list.
    Container(usize),
}

/// Which limits are written, in this order. A container never has more than its pod: where the pod's limits rise they are written first, and
/// where they fall last; of containers those with less come first. `now` is what the kernel has, `wanted` what it shall have, of the
/// pod and of its containers.
pub fn writes(
    resource: Resource,
    pod: (&Limits, &Limits),
    containers: &[(Limits, Limits)],
) -> Vec<(Target, Limits)> {
    let (now, wanted) = pod;
    let shares = |limits: &Limits| Limits {
        cpu_shares: limits.cpu_shares,
        ..Limits::default()
    };
    let bound = |limits: &Limits| match resource {
        Resource::Memory => Limits {
            memory: limits.memory,
            ..Limits::default()
        },
        Resource::Cpu => Limits {
            cpu_quota: limits.cpu_quota,
            cpu_period: limits.cpu_period,
            ..Limits::default()
        },
    };
    let amount = |limits: &Limits| match resource {
        Resource::Memory => limits
            .memory
            .map(|bytes| if bytes < 0 { i64::MAX } else { bytes }),
        Resource::Cpu => limits.cpu_quota,
    };
    // The two of a pod: whether it rises or falls, and what is written then. Memory without a limit falls to one, and CPU rises, as by upstream's
    // figures.
    let mut steps = vec![(
        amount(wanted).map(|to| to.cmp(&amount(now).unwrap_or(-1))),
        bound(wanted),
    )];
    if resource == Resource::Cpu {
        let compared = wanted.cpu_shares.map(|to| to.cmp(&now.cpu_shares.unwrap_or(0)));
        steps.push((compared, shares(wanted)));
    }
    let when = |direction| {
        let due = steps
            .iter()
            .filter(move |(compared, _)| *compared == Some(direction));
        due.map(|(_, limits)| (Target::Pod, limits.clone()))
    };
    let mut all: Vec<(Target, Limits)> = when(std::cmp::Ordering::Greater).collect();
    let falls = |(now, wanted): &(Limits, Limits)| {
        let before = amount(now).filter(|amount| *amount >= 0);
        amount(wanted).is_some_and(|to| before.is_none_or(|before| to < before))
    };
    let mut order: Vec<usize> = (0..containers.len()).collect();
    order.sort_by_key(|index| !falls(&containers[*index]));
    all.extend(order.into_iter().map(|index| {
        let wanted = &containers[index].1;
        let limits = Limits {
            cpu_shares: wanted.cpu_shares.filter(|_| resource == Resource::Cpu),
            ..bound(wanted)
        };
        (Target::Container(index), limits)
    }));
    let down: Vec<_> = when(std::cmp::Ordering::Less).collect();
    // Requests before limits on the way down.
    all.extend(down.into_iter().rev());
    all.retain(|(_, limits)| *limits != Limits::default());
    all
}

/// What is below its own use: the pod, or containers by name, with the limit (validateMemoryResizeAction). Messages are upstream's, which tell of
/// the pod's use also where a container's is meant.
pub fn memory_refusal(
    pod: (&Limits, &Limits),
    pod_usage: u64,
    containers: &[(&str, Limits, Limits, u64)],
) -> Option<String> {
    let falls = |now: &Limits, wanted: &Limits| {
        let to = wanted.memory?;
        let now = now.memory.filter(|now| *now >= 0);
        now.is_none_or(|now| to < now).then_some(to)
    };
    let below = |limit: i64, usage: u64| i64::try_from(usage).unwrap_or(i64::MAX) >= limit;
    let mut errors = Vec::new();
    if let Some(limit) = falls(pod.0, pod.1).filter(|limit| below(*limit, pod_usage)) {
        errors.push(format!(
            "attempting to set pod memory limit ({limit}) below current usage ({pod_usage})"
        ));
    }
    for (name, now, wanted, usage) in containers {
        if let Some(limit) = falls(now, wanted).filter(|limit| below(*limit, *usage)) {
            errors.push(format!(
                "attempting to set container \"{name}\" memory limit ({limit}) below current usage ({pod_usage})"
            ));
        }
    }
    let text = match errors.as_slice() {
        [] => return None,
        [one] => one.clone(),
        several => format!("[{}]", several.join(", ")),
    };
    Some(format!("cannot decrease memory limits: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocation::Granted;
    use crate::model::{Instance, State, units};
    use serde_json::json;

    fn running(pod: &Pod) -> Vec<Unit> {
        let mut all = units(pod);
        for unit in &mut all {
            unit.current = Some(Instance {
                attempt: 0,
                id: String::new(),
                state: State::Running {
                    started_at: jiff::Timestamp::UNIX_EPOCH,
                },
                image: String::new(),
                image_id: String::new(),
                user: None,
                exited: tokio_util::sync::CancellationToken::new(),
            });
        }
        all
    }

    fn pod(cpu: &str, memory: &str, policy: serde_json::Value) -> Pod {
        let own = json!({"limits": {"cpu": cpu, "memory": memory}});
        let spec =
            json!({"containers": [{"name": "c", "resources": own, "resizePolicy": policy}, {"name": "d"}]});
        serde_json::from_value(json!({"spec": spec})).unwrap()
    }

    fn kept(pod: &Pod) -> Kept {
        Kept {
            allocated: Granted::of(pod),
            actuated: Granted::in_force(pod),
            group: resources::pod_limits(pod, None),
            unsettled: false,
        }
    }

    #[test]
    fn the_policy_of_what_changes_decides() {
        let policy = json!([{"resourceName": "memory", "restartPolicy": "RestartContainer"}]);
        let before = pod("1", "1Gi", policy.clone());
        let (units, kept) = (running(&before), kept(&before));
        let of = |pod: &Pod| changes(pod, &units, &kept, false);
        let change = |restart| vec![Change { index: 0, restart }];
        assert_eq!(of(&before), []);
        assert_eq!(of(&pod("2", "1Gi", policy.clone())), change(false));
        assert_eq!(of(&pod("2", "2Gi", policy.clone())), change(true));
        assert_eq!(of(&pod("2", "2Gi", json!(null))), change(false));
        assert_eq!(changes(&before, &units, &kept, true).len(), 2);
        assert!(is_in_progress(&pod("2", "1Gi", policy.clone()), &units, &kept));
        assert!(!is_in_progress(&before, &units, &kept));
        // What does not run is right when it is started.
        let idle = crate::model::units(&before);
        assert_eq!(changes(&pod("2", "1Gi", policy), &idle, &kept, false), []);
    }

    fn limits(cpu: i64, memory: i64) -> Limits {
        Limits {
            cpu_shares: Some(cpu as u64 * 10),
            cpu_quota: Some(cpu),
            cpu_period: Some(100_000),
            memory: Some(memory),
            pids: None,
        }
    }

    fn targets(resource: Resource, pod: (i64, i64), containers: &[(i64, i64)]) -> Vec<Target> {
        let containers: Vec<_> = containers
            .iter()
            .map(|(now, wanted)| (limits(*now, *now), limits(*wanted, *wanted)))
            .collect();
        let (now, wanted) = (limits(pod.0, pod.0), limits(pod.1, pod.1));
        let all = writes(resource, (&now, &wanted), &containers);
        all.into_iter().map(|(target, _)| target).collect()
    }

    #[test]
    fn a_container_never_has_more_than_its_pod() {
        use Target::{Container, Pod};
        assert_eq!(targets(Resource::Memory, (1, 2), &[(1, 2)]), [Pod, Container(0)]);
        assert_eq!(targets(Resource::Memory, (2, 1), &[(2, 1)]), [Container(0), Pod]);
        assert_eq!(
            targets(Resource::Memory, (3, 3), &[(1, 2), (2, 1)]),
            [Container(1), Container(0)],
            "what falls makes room for what rises"
        );
        assert_eq!(
            targets(Resource::Cpu, (1, 2), &[(1, 2)]),
            [Pod, Pod, Container(0)]
        );
        assert_eq!(
            targets(Resource::Cpu, (2, 1), &[(2, 1)]),
            [Container(0), Pod, Pod]
        );
        // Without a limit of the pod's, its shares alone.
        let bare = Limits {
            cpu_shares: Some(50),
            ..Limits::default()
        };
        let all = writes(Resource::Cpu, (&limits(1, 1), &bare), &[]);
        assert_eq!(all, [(Pod, bare.clone())]);
        assert_eq!(writes(Resource::Memory, (&limits(1, 1), &bare), &[]), []);
        assert!(is_stale(&bare, &limits(1, 1)) && !is_stale(&bare, &limits(5, 1)));
    }

    #[test]
    fn limits_do_not_fall_below_use() {
        let refusal = |now: i64, wanted: i64, usage: u64| {
            let (now, wanted) = (limits(1, now), limits(1, wanted));
            memory_refusal(
                (&now, &wanted),
                usage,
                &[("c", now.clone(), wanted.clone(), usage)],
            )
        };
        assert_eq!(refusal(100, 50, 49), None);
        assert_eq!(refusal(50, 100, 200), None, "it rises");
        assert_eq!(
            refusal(100, 50, 50).as_deref(),
            Some(
                "cannot decrease memory limits: [attempting to set pod memory limit (50) below current usage (50), attempting to set \
                 container \"c\" memory limit (50) below current usage (50)]"
            )
        );
        assert!(refusal(-1, 50, 60).is_some(), "a limit where there was none");
        let (now, wanted) = (limits(1, 100), limits(1, 50));
        let other = memory_refusal(
            (&Limits::default(), &Limits::default()),
            70,
            &[("c", now, wanted, 60)],
        );
        assert_eq!(
            other.as_deref(),
            Some(
                "cannot decrease memory limits: attempting to set container \"c\" memory limit (50) below current usage (70)"
            )
        );
    }
}
