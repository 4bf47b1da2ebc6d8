//! What to do next with the containers of a pod: which to start, which to kill, whether the pod is finished. Pure; the worker
//! carries it out (pkg/kubelet/kuberuntime, computePodActions and computeInitContainerActions).
use k8s_openapi::api::core::v1::{Container, Pod};

use crate::model::{KillReason, Role, Unit, is_ephemeral, specs};

/// Decisions; indices are those of [`crate::model::units`].
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// To be started, in this order.
    pub start: Vec<usize>,
    /// To be killed, with why and whether it will be started again.
    pub kill: Vec<(usize, KillReason, bool)>,
    /// Nothing is left to run: kill what still does (sidecars).
    pub finish: bool,
}

/// What the first rule that holds for an exit code does (FindMatchingContainerRestartRule in pkg/api/v1/pod/util.go).
fn rule(container: &Container, code: i32) -> Option<&str> {
    let mut rules = container.restart_policy_rules.iter().flatten();
    let found = rules.find(|rule| {
        rule.exit_codes.as_ref().is_some_and(|codes| {
            let listed = codes.values.iter().flatten().any(|value| *value == code);
            (codes.operator == "In" && listed) || (codes.operator == "NotIn" && !listed)
        })
    });
    found.map(|rule| rule.action.as_str())
}

/// Action of a rule that begins the whole pod anew.
const RESTART_ALL: &str = "RestartAllContainers";

/// Whether an exit begins the whole pod anew (ShouldAllContainersRestart).
pub fn restarts_all(container: &Container, code: i32) -> bool {
    rule(container, code) == Some(RESTART_ALL)
}

/// Whether any exit could begin the whole pod anew (AllContainersCouldRestart).
pub fn could_restart_all(pod: &Pod) -> bool {
    specs(pod).any(|(container, _)| {
        let mut rules = container.restart_policy_rules.iter().flatten();
        rules.any(|rule| rule.action == RESTART_ALL)
    })
}

/// Whether an ended container is started again; an ephemeral one never is.
pub fn restarts(container: &Container, pod: &Pod, code: i32) -> bool {
    if is_ephemeral(container) {
        return false;
    }
    if matches!(rule(container, code), Some("Restart" | RESTART_ALL)) {
        return true;
    }
    let policy = container
        .restart_policy
        .as_deref()
        .or(pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref()))
        .unwrap_or("Always");
    match policy {
        "Never" => false,
        "OnFailure" => code != 0,
        _ => true,
    }
}

/// Whether a container that does not run should be started (ShouldContainerBeRestarted).
pub fn wants_start(container: &Container, pod: &Pod, unit: &Unit) -> bool {
    if pod.metadata.deletion_timestamp.is_some() || unit.is_running() {
        return false;
    }
    unit.replaced || unit.exit_code().is_none_or(|code| restarts(container, pod, code))
}

/// Decides what to do next.
pub fn plan(pod: &Pod, units: &[Unit]) -> Plan {
    let mut plan = Plan::default();
    let containers: Vec<(&Container, Role)> = specs(pod).collect();
    // Whatever the others do, and once only.
    if pod.metadata.deletion_timestamp.is_none() {
        let ephemeral = (0..containers.len()).filter(|index| containers[*index].1 == Role::Ephemeral);
        plan.start
            .extend(ephemeral.filter(|index| units[*index].current.is_none()));
    }
    let initialized = init(pod, units, &containers, &mut plan);
    if plan.finish || !initialized {
        return plan;
    }
    let mut keep = 0;
    for (index, (container, role)) in containers.iter().enumerate() {
        if *role != Role::Main {
            continue;
        }
        let unit = &units[index];
        if !unit.is_running() {
            if wants_start(container, pod, unit) {
                plan.start.push(index);
                keep += 1;
            }
            continue;
        }
        let Some(reason) = unit.unhealthy else {
            keep += 1;
            continue;
        };
        let policy = container
            .restart_policy
            .as_deref()
            .or(pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref()));
        let again = policy != Some("Never");
        keep += usize::from(again);
        plan.kill.push((index, reason, again));
    }
    if keep == 0 {
        plan.finish = true;
        plan.start.clear();
        plan.kill.clear();
    }
    plan
}

/// Init containers: true when the regular ones may run.
fn init(pod: &Pod, units: &[Unit], containers: &[(&Container, Role)], plan: &mut Plan) -> bool {
    let count = containers
        .iter()
        .take_while(|(_, role)| matches!(role, Role::Init | Role::Sidecar))
        .count();
    if count == 0 {
        return true;
    }
    // A regular container that runs means that initialisation is over; only sidecars are kept alive then.
    let over = units[count..]
        .iter()
        .any(|unit| unit.role == Role::Main && unit.current.is_some());
    for index in 0..count {
        let (container, role) = containers[index];
        let unit = &units[index];
        match role {
            Role::Init if over => {}
            Role::Sidecar => {
                if unit.is_running() {
                    plan.kill
                        .extend(unit.unhealthy.map(|reason| (index, reason, true)));
                } else {
                    plan.start.push(index);
                }
                let initialised = unit.is_running() && unit.started;
                if !over && !initialised {
                    return false;
                }
            }
            _ => match unit.exit_code() {
                Some(0) => {}
                Some(code) if !restarts(container, pod, code) => {
                    plan.finish = true;
                    plan.start.clear();
                    return false;
                }
                _ => {
                    if !unit.is_running() {
                        plan.start.push(index);
                    }
                    return false;
                }
            },
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Instance, State, Terminated, units};
    use jiff::Timestamp;

    fn pod(spec: serde_json::Value) -> Pod {
        serde_json::from_value(serde_json::json!({"metadata": {"name": "p"}, "spec": spec})).unwrap()
    }

    fn instance(state: State) -> Instance {
        Instance {
            attempt: 0,
            id: String::new(),
            state,
            image: String::new(),
            image_id: String::new(),
            user: None,
            exited: tokio_util::sync::CancellationToken::new(),
        }
    }

    fn run(unit: &mut Unit) {
        unit.current = Some(instance(State::Running {
            started_at: Timestamp::UNIX_EPOCH,
        }));
        unit.started = true;
    }

    fn exit(unit: &mut Unit, code: i32) {
        unit.current = Some(instance(State::Exited(Terminated {
            code,
            signal: None,
            reason: String::new(),
            message: String::new(),
            started_at: Timestamp::UNIX_EPOCH,
            finished_at: Timestamp::UNIX_EPOCH,
            container_id: String::new(),
        })));
    }

    #[test]
    fn init_containers_run_one_by_one_and_failures_follow_the_policy() {
        let spec = |policy: &str| {
            pod(serde_json::json!({"restartPolicy": policy,
                "initContainers": [{"name": "one"}, {"name": "two"}], "containers": [{"name": "main"}]}))
        };
        let on_failure = spec("OnFailure");
        let mut all = units(&on_failure);
        assert_eq!(plan(&on_failure, &all).start, [0]);
        run(&mut all[0]);
        assert_eq!(plan(&on_failure, &all), Plan::default());
        exit(&mut all[0], 0);
        assert_eq!(plan(&on_failure, &all).start, [1]);
        exit(&mut all[1], 1);
        assert_eq!(plan(&on_failure, &all).start, [1]);
        assert!(plan(&spec("Never"), &all).finish);
        exit(&mut all[1], 0);
        assert_eq!(plan(&on_failure, &all).start, [2]);
        exit(&mut all[2], 3);
        assert_eq!(plan(&on_failure, &all).start, [2]);
        assert!(plan(&spec("Never"), &all).finish);
        exit(&mut all[2], 0);
        assert!(plan(&on_failure, &all).finish);
        assert_eq!(plan(&spec("Always"), &all).start, [2]);
    }

    #[test]
    fn sidecars_gate_by_their_startup_and_end_with_the_pod() {
        let pod = pod(serde_json::json!({"restartPolicy": "Never",
            "initContainers": [{"name": "side", "restartPolicy": "Always"}, {"name": "init"}], "containers": [{"name": "main"}]}));
        let mut all = units(&pod);
        assert_eq!(plan(&pod, &all).start, [0]);
        run(&mut all[0]);
        all[0].started = false;
        assert_eq!(plan(&pod, &all), Plan::default());
        all[0].started = true;
        assert_eq!(plan(&pod, &all).start, [1]);
        exit(&mut all[1], 0);
        assert_eq!(plan(&pod, &all).start, [2]);
        run(&mut all[2]);
        // A sidecar that died is started again although the policy is Never, and does not stop the others.
        exit(&mut all[0], 1);
        assert_eq!(plan(&pod, &all).start, [0]);
        exit(&mut all[2], 0);
        let end = plan(&pod, &all);
        assert!(end.finish && end.start.is_empty());
    }

    #[test]
    fn unhealthy_containers_are_killed_and_restarted_by_policy() {
        let always = pod(serde_json::json!({"containers": [{"name": "a"}, {"name": "b"}]}));
        let mut all = units(&always);
        assert_eq!(plan(&always, &all).start, [0, 1]);
        run(&mut all[0]);
        run(&mut all[1]);
        all[1].unhealthy = Some(KillReason::Liveness);
        assert_eq!(plan(&always, &all).kill, [(1, KillReason::Liveness, true)]);
        let never =
            pod(serde_json::json!({"restartPolicy": "Never", "containers": [{"name": "a"}, {"name": "b"}]}));
        assert_eq!(plan(&never, &all).kill, [(1, KillReason::Liveness, false)]);
        // With none left to keep it is the pod that ends.
        exit(&mut all[0], 0);
        let end = plan(&never, &all);
        assert!(end.finish && end.kill.is_empty());
    }

    #[test]
    fn ephemeral_containers_start_once_whatever_the_others_do() {
        let pod = crate::model::own_form(pod(serde_json::json!({"restartPolicy": "Never",
            "initContainers": [{"name": "init"}], "containers": [{"name": "main"}],
            "ephemeralContainers": [{"name": "debug", "targetContainerName": "main"}]})));
        let mut all = units(&pod);
        assert_eq!(plan(&pod, &all).start, [2, 0]);
        run(&mut all[0]);
        exit(&mut all[2], 1);
        assert_eq!(plan(&pod, &all).start, [0; 0]);
        exit(&mut all[0], 0);
        assert_eq!(
            plan(&pod, &all).start,
            [1],
            "the init containers are over, not skipped"
        );
        exit(&mut all[1], 0);
        assert!(plan(&pod, &all).finish);
        let debug = specs(&pod).nth(2).unwrap().0;
        assert!(
            !wants_start(debug, &pod, &all[2]),
            "that none ever starts again is seen in its status"
        );
    }

    #[test]
    fn rules_override_the_policy() {
        let pod = pod(
            serde_json::json!({"restartPolicy": "Never", "containers": [{"name": "a", "restartPolicy": "Never",
            "restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]}]}),
        );
        let container = &pod.spec.as_ref().unwrap().containers[0];
        assert!(restarts(container, &pod, 42) && !restarts_all(container, 42));
        assert!(!restarts(container, &pod, 1) && !could_restart_all(&pod));
    }

    #[test]
    fn the_first_rule_that_holds_decides() {
        let codes = |operator: &str, code| serde_json::json!({"operator": operator, "values": [code]});
        let pod = pod(
            serde_json::json!({"restartPolicy": "Never", "containers": [{"name": "a", "restartPolicyRules": [
            {"action": "Restart", "exitCodes": codes("In", 1)},
            {"action": "RestartAllContainers", "exitCodes": codes("NotIn", 2)}]}]}),
        );
        let container = &pod.spec.as_ref().unwrap().containers[0];
        assert!(could_restart_all(&pod));
        assert!(restarts(container, &pod, 1) && !restarts_all(container, 1));
        assert!(restarts(container, &pod, 3) && restarts_all(container, 3));
        assert!(!restarts(container, &pod, 2));
    }
}
