//! Statuses, case by case.
use super::*;
use crate::model::{Instance, State, Waiting, units};

fn pod(spec: serde_json::Value) -> Pod {
    serde_json::from_value(serde_json::json!({"metadata": {"name": "p", "generation": 1}, "spec": spec}))
        .unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn status(pod: &Pod, units: &[Unit], terminal: bool) -> PodStatus {
    let old = PodStatus::default();
    resized(pod, units, terminal, None, &old)
}

fn resized(pod: &Pod, units: &[Unit], terminal: bool, kept: Option<&Kept>, old: &PodStatus) -> PodStatus {
    generate(
        pod,
        &Inputs {
            units,
            sandbox_ready: !terminal,
            terminal,
            pod_ip: "10.64.1.2".parse().ok(),
            host_ip: "10.160.0.11".parse().unwrap(),
            start_time: at(100),
            evicted: None,
            whole: &crate::resources::whole(pod),
            kept,
            resize: Vec::new(),
            rejected: false,
            restarting: false,
            old,
            now: at(101),
        },
    )
}

fn set(unit: &mut Unit, attempt: u32, code: Option<i32>) {
    let state = match code {
        None => State::Running { started_at: at(100) },
        Some(code) => State::Exited(Terminated {
            code,
            signal: None,
            reason: if code == 0 { "Completed" } else { "Error" }.into(),
            message: String::new(),
            started_at: at(100),
            finished_at: at(101),
            container_id: String::new(),
        }),
    };
    unit.current = Some(Instance {
        attempt,
        id: format!("uid.{}.{attempt}", unit.name),
        state,
        image: "demo.local/busybox:1".into(),
        image_id: "sha256:abc".into(),
        user: None,
        exited: tokio_util::sync::CancellationToken::new(),
    });
    unit.started = code.is_none();
    unit.ready = code.is_none();
}

fn shown(status: &PodStatus) -> String {
    let conditions = status.conditions.as_ref().unwrap();
    conditions
        .iter()
        .map(|condition| format!("{}={}", condition.type_, condition.status))
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn a_finished_job_pod_is_as_in_conformance_case_11() {
    let pod = pod(serde_json::json!({"restartPolicy": "OnFailure",
        "initContainers": [{"name": "one"}, {"name": "two"}], "containers": [{"name": "main"}]}));
    let mut all = units(&pod);
    let fresh = status(&pod, &all, false);
    assert_eq!(fresh.phase.as_deref(), Some("Pending"));
    let waiting = fresh.container_statuses.unwrap()[0]
        .state
        .clone()
        .unwrap()
        .waiting
        .unwrap();
    assert_eq!(waiting.reason.as_deref(), Some("PodInitializing"));
    for (unit, attempt) in all.iter_mut().zip([0, 1, 0]) {
        set(unit, attempt, Some(0));
    }
    let done = status(&pod, &all, true);
    assert_eq!(done.phase.as_deref(), Some("Succeeded"));
    assert_eq!(
        shown(&done),
        "PodReadyToStartContainers=False Initialized=True Ready=False ContainersReady=False PodScheduled=True"
    );
    assert_eq!(done.init_container_statuses.unwrap()[1].restart_count, 1);
}

/// As a kubelet 1.36 writes it: the promise beside what is in force, for each container and the pod.
#[test]
fn a_resize_shows_both_ends() {
    let pod = |cpu: &str, memory: &str| {
        let own = serde_json::json!({"requests": {"cpu": cpu, "memory": memory}, "limits": {"cpu": "2", "memory": memory}});
        pod(
            serde_json::json!({"restartPolicy": "OnFailure", "containers": [{"name": "c", "resources": own}]}),
        )
    };
    let (before, after) = (pod("300m", "64Mi"), pod("500m", "128Mi"));
    let kept = Kept {
        allocated: crate::allocation::Granted::of(&after),
        actuated: crate::allocation::Granted::in_force(&before),
        group: crate::resources::pod_limits(&before, None),
        unsettled: false,
    };
    let mut all = units(&after);
    set(&mut all[0], 0, None);
    let old = PodStatus::default();
    let shown = serde_json::to_value(resized(&after, &all, false, Some(&kept), &old)).unwrap();
    let in_force = serde_json::json!({"requests": {"cpu": "300m", "memory": "64Mi"}, "limits": {"cpu": "2", "memory": "64Mi"}});
    let promised = serde_json::json!({"cpu": "500m", "memory": "128Mi"});
    let container = &shown["containerStatuses"][0];
    assert_eq!(container["resources"], in_force);
    assert_eq!(container["allocatedResources"], promised);
    assert_eq!(shown["allocatedResources"], promised);
    let group = serde_json::json!({"requests": {"cpu": "300m", "memory": "128Mi"}, "limits": {"cpu": "2", "memory": "64Mi"}});
    assert_eq!(
        shown["resources"], group,
        "the pod's cgroup knows no request of memory"
    );
    // A container that ends for its resize is not the end of its pod.
    set(&mut all[0], 0, Some(0));
    assert_eq!(
        resized(&after, &all, false, Some(&kept), &old).phase.as_deref(),
        Some("Succeeded")
    );
    all[0].replaced = true;
    let between = resized(&after, &all, false, Some(&kept), &old);
    assert_eq!(between.phase.as_deref(), Some("Running"));
    let shown = serde_json::to_value(&between.container_statuses).unwrap();
    assert_eq!(shown[0]["resources"]["requests"], promised);
}

#[test]
fn a_pod_that_asks_for_nothing_has_nothing() {
    let pod = pod(serde_json::json!({"containers": [{"name": "c"}]}));
    let kept = Kept {
        group: crate::resources::pod_limits(&pod, None),
        ..Kept::default()
    };
    let mut all = units(&pod);
    set(&mut all[0], 0, None);
    let shown = resized(&pod, &all, false, Some(&kept), &PodStatus::default());
    assert_eq!(
        serde_json::to_value(&shown.resources).unwrap(),
        serde_json::json!({})
    );
    assert_eq!(shown.allocated_resources, None);
}

fn state(status: &ContainerStatus) -> String {
    serde_json::to_value(status.state.as_ref().unwrap())
        .unwrap()
        .to_string()
}

fn evicted(pod: &Pod, units: &[Unit], old: &PodStatus, rejected: bool, restarting: bool) -> PodStatus {
    let inputs = Inputs {
        units,
        sandbox_ready: true,
        terminal: false,
        pod_ip: None,
        host_ip: "10.160.0.11".parse().unwrap(),
        start_time: at(100),
        evicted: (!restarting).then_some(("SysctlForbidden", "no")),
        whole: &crate::resources::whole(pod),
        kept: None,
        resize: Vec::new(),
        rejected,
        restarting,
        old,
        now: at(101),
    };
    generate(pod, &inputs)
}

#[test]
fn init_containers_behind_the_one_that_failed_never_ran() {
    let pod = pod(serde_json::json!({"restartPolicy": "Never",
        "initContainers": [{"name": "one"}, {"name": "two"}, {"name": "three"}], "containers": [{"name": "main"}]}));
    let mut all = units(&pod);
    set(&mut all[1], 0, Some(7));
    let failed = status(&pod, &all, true);
    assert_eq!(failed.phase.as_deref(), Some("Failed"));
    let init = failed.init_container_statuses.unwrap();
    assert!(state(&init[0]).contains("ContainerStatusUnknown"));
    assert!(state(&init[2]).contains("PodInitializing"));
    assert!(state(&failed.container_statuses.unwrap()[0]).contains("PodInitializing"));
}

#[test]
fn a_pod_is_not_over_while_a_container_runs() {
    let pod = pod(serde_json::json!({"containers": [{"name": "c"}]}));
    let mut all = units(&pod);
    set(&mut all[0], 0, None);
    let old = PodStatus {
        phase: Some("Running".into()),
        ..PodStatus::default()
    };
    let held = evicted(&pod, &all, &old, false, false);
    assert_eq!(
        (held.phase.as_deref(), held.reason.as_deref()),
        (Some("Running"), None)
    );
    set(&mut all[0], 0, Some(0));
    let over = evicted(&pod, &all, &held, false, false);
    assert_eq!(
        (over.phase.as_deref(), over.message.as_deref()),
        (Some("Failed"), Some("no"))
    );
    assert!(over.conditions.is_some());
}

#[test]
fn of_a_pod_that_was_refused_only_that_is_told() {
    let pod = pod(serde_json::json!({"containers": [{"name": "c"}]}));
    let told = evicted(&pod, &units(&pod), &PodStatus::default(), true, false);
    assert_eq!(told.phase.as_deref(), Some("Failed"));
    assert_eq!(
        (told.conditions, told.container_statuses, told.host_ip),
        (None, None, None)
    );
}

#[test]
fn a_pod_that_begins_anew_stays_initialised_and_running() {
    let pod = pod(
        serde_json::json!({"restartPolicy": "Never", "initContainers": [{"name": "i"}], "containers": [
        {"name": "c", "restartPolicyRules": [{"action": "RestartAllContainers",
            "exitCodes": {"operator": "In", "values": [42]}}]}]}),
    );
    let mut all = units(&pod);
    set(&mut all[0], 0, Some(0));
    set(&mut all[1], 0, Some(42));
    let before = status(&pod, &all, false);
    for unit in &mut all {
        let end = unit.current.take().and_then(|i| i.terminated().cloned());
        unit.base = 1;
        unit.previous = end.map(|end| Terminated {
            code: 137,
            reason: ANEW.into(),
            ..end
        });
        unit.waiting = Some(Waiting {
            reason: ANEW.into(),
            message: TAKEN_AWAY.into(),
        });
    }
    let anew = evicted(&pod, &all, &before, false, true);
    assert_eq!(anew.phase.as_deref(), Some("Running"));
    assert!(shown(&anew).contains("Initialized=True"));
    assert!(shown(&anew).ends_with("AllContainersRestarting=True"));
    assert_eq!(anew.container_statuses.as_ref().unwrap()[0].restart_count, 1);
    assert!(state(&anew.init_container_statuses.unwrap()[0]).contains(ANEW));
}

#[test]
fn crash_loops_show_what_ended_last() {
    let pod = pod(serde_json::json!({"containers": [{"name": "c"}]}));
    let mut all = units(&pod);
    set(&mut all[0], 1, Some(7));
    all[0].waiting = Some(Waiting {
        reason: "CrashLoopBackOff".into(),
        message: "back-off 10s".into(),
    });
    let status = status(&pod, &all, false);
    assert_eq!(status.phase.as_deref(), Some("Running"));
    let container = &status.container_statuses.unwrap()[0];
    assert_eq!(
        container
            .state
            .as_ref()
            .unwrap()
            .waiting
            .as_ref()
            .unwrap()
            .reason
            .as_deref(),
        Some("CrashLoopBackOff")
    );
    assert_eq!(
        container
            .last_state
            .as_ref()
            .unwrap()
            .terminated
            .as_ref()
            .unwrap()
            .exit_code,
        7
    );
    assert_eq!(container.restart_count, 1);
}

#[test]
fn readiness_and_gates() {
    let pod = pod(
        serde_json::json!({"containers": [{"name": "b"}, {"name": "a"}], "readinessGates": [{"conditionType": "x/y"}]}),
    );
    let mut all = units(&pod);
    set(&mut all[0], 0, None);
    set(&mut all[1], 0, None);
    all[1].ready = false;
    let one = status(&pod, &all, false);
    assert_eq!(one.phase.as_deref(), Some("Running"));
    let ready = one
        .conditions
        .as_ref()
        .unwrap()
        .iter()
        .find(|c| c.type_ == "Ready")
        .unwrap();
    assert_eq!(
        ready.message.as_deref(),
        Some("containers with unready status: [a]")
    );
    assert_eq!(one.container_statuses.as_ref().unwrap()[0].name, "a");
    all[1].ready = true;
    let two = status(&pod, &all, false);
    assert_eq!(
        shown(&two),
        "PodReadyToStartContainers=True Initialized=True Ready=False ContainersReady=True PodScheduled=True"
    );
}

#[test]
fn failures_by_policy() {
    let never = pod(serde_json::json!({"restartPolicy": "Never", "containers": [{"name": "c"}]}));
    let mut all = units(&never);
    set(&mut all[0], 0, Some(3));
    assert_eq!(status(&never, &all, true).phase.as_deref(), Some("Failed"));
    let init = pod(
        serde_json::json!({"restartPolicy": "Never", "initContainers": [{"name": "i"}], "containers": [{"name": "c"}]}),
    );
    let mut some = units(&init);
    set(&mut some[0], 0, Some(9));
    let failed = status(&init, &some, true);
    assert_eq!(failed.phase.as_deref(), Some("Failed"));
    let state = failed.container_statuses.unwrap()[0].state.clone().unwrap();
    assert_eq!(state.waiting.unwrap().reason.as_deref(), Some("PodInitializing"));
    let always = pod(serde_json::json!({"containers": [{"name": "c"}]}));
    assert_eq!(status(&always, &all, false).phase.as_deref(), Some("Running"));
    // Deleted while running: terminal although the policy would restart it.
    assert_eq!(status(&always, &all, true).phase.as_deref(), Some("Failed"));
}

#[test]
fn all_containers_share_what_may_be_said() {
    let pod = pod(
        serde_json::json!({"restartPolicy": "Never", "containers": [{"name": "a"}, {"name": "b"}, {"name": "c"}, {"name": "d"}]}),
    );
    let mut all = units(&pod);
    for (index, unit) in all.iter_mut().enumerate() {
        set(unit, 0, Some(0));
        if let Some(Instance {
            state: State::Exited(end),
            ..
        }) = &mut unit.current
        {
            // The last of the bytes that there is room for is half of a letter in one of them.
            end.message = [
                "x".repeat(4096),
                format!("x{}", "é".repeat(2000)),
                "short".into(),
                String::new(),
            ][index]
                .clone();
        }
    }
    let status = status(&pod, &all, true);
    let said = status
        .container_statuses
        .unwrap()
        .into_iter()
        .map(|s| s.state.unwrap().terminated.unwrap().message);
    let lengths: Vec<Option<usize>> = said.map(|m| m.map(|m| m.len())).collect();
    assert_eq!(lengths, [Some(3072), Some(3071), Some(5), None]);
}
