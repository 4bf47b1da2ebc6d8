use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use results::What;

use super::{News, app};
use crate::inject::pod_name;

/// How often containers were restarted.
pub(crate) fn restarts(pod: &Pod) -> i32 {
    containers(pod).iter().map(|c| c.restart_count).sum()
}

fn containers(pod: &Pod) -> &[ContainerStatus] {
    pod.status
        .as_ref()
        .and_then(|s| s.container_statuses.as_deref())
        .unwrap_or_default()
}

fn condition(pod: &Pod, kind: &str) -> bool {
    let conditions = pod.status.as_ref().and_then(|s| s.conditions.as_deref());
    conditions
        .unwrap_or_default()
        .iter()
        .any(|c| c.type_ == kind && c.status == "True")
}

fn node(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}

fn running(container: &ContainerStatus) -> Option<&str> {
    container.state.as_ref()?.running.as_ref()?;
    container.container_id.as_deref()
}

/// The end of a container's last life, and which life that was.
fn death(container: &ContainerStatus) -> Option<(&str, String)> {
    let ended = container.state.as_ref().and_then(|s| s.terminated.as_ref());
    let ended = ended.or_else(|| container.last_state.as_ref().and_then(|s| s.terminated.as_ref()))?;
    let reason = ended.reason.as_deref().unwrap_or("ended");
    let id = ended.container_id.as_deref().unwrap_or_default();
    Some((
        id,
        format!("{}: {reason}, exit code {}", container.name, ended.exit_code),
    ))
}

/// What has become of a pod.
pub(super) fn news(old: Option<&Pod>, new: Option<&Pod>) -> Vec<News> {
    let (Some(pod), Some(now)) = (new.or(old), new) else {
        return old.map_or_else(Vec::new, |old| {
            vec![News::of(What::PodGone, pod_name(old), app(old))]
        });
    };
    let tell = |what| News::of(what, pod_name(pod), app(pod));
    let mut news = Vec::new();
    if old.is_none() {
        news.push(tell(What::PodCreated));
    }
    if let (Some(node), None) = (node(now), old.and_then(node)) {
        news.push(tell(What::PodScheduled).detail(node));
    }
    let mut started = false;
    let before = |name: &str| old.and_then(|o| containers(o).iter().find(|c| c.name == name));
    for container in containers(now) {
        let was = before(&container.name);
        if let Some((life, how)) = death(container)
            && was.and_then(death).is_none_or(|(before, _)| before != life)
        {
            news.push(tell(What::PodDied).detail(how));
        }
        if let Some(id) = running(container)
            && was.and_then(running) != Some(id)
        {
            started = true;
            news.push(tell(What::PodStarted).detail(&container.name));
        }
    }
    let (was_ready, is_ready) = (
        old.is_some_and(|o| condition(o, "Ready")),
        condition(now, "Ready"),
    );
    // Where nothing probes a container, it is Ready when it has started again, and nobody has seen that it was not.
    if is_ready && (!was_ready || started) {
        news.push(tell(What::PodReady));
    } else if was_ready && !is_ready {
        news.push(tell(What::PodUnready));
    }
    if now.metadata.deletion_timestamp.is_some()
        && old.is_none_or(|o| o.metadata.deletion_timestamp.is_none())
    {
        let evicted = condition(now, "DisruptionTarget");
        news.push(tell(if evicted {
            What::PodEvicted
        } else {
            What::PodDeleted
        }));
    }
    news
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(status: Value, node: Option<&str>) -> Pod {
        let pod = json!({
            "metadata": {"name": "a", "labels": {"app.kubernetes.io/name": "tally"}},
            "spec": {"containers": [], "nodeName": node}, "status": status,
        });
        serde_json::from_value(pod).expect("a pod")
    }

    fn up(id: &str, restarts: i32, last: &Value, ready: &str) -> Value {
        json!({
            "conditions": [{"type": "Ready", "status": ready}],
            "containerStatuses": [{"name": "c", "image": "", "imageID": "", "ready": true, "restartCount": restarts,
                "containerID": id, "state": {"running": {}}, "lastState": last}],
        })
    }

    fn kinds(old: Option<&Pod>, new: Option<&Pod>) -> Vec<What> {
        news(old, new).iter().map(|n| n.what).collect()
    }

    #[test]
    fn a_pods_life_from_creation_to_its_end() {
        let fresh = pod(json!({}), None);
        let bound = pod(json!({}), Some("n1"));
        let one = pod(up("x://1", 0, &json!({}), "True"), Some("n1"));
        assert_eq!(kinds(None, Some(&fresh)), [What::PodCreated]);
        assert_eq!(kinds(Some(&fresh), Some(&bound)), [What::PodScheduled]);
        assert_eq!(
            kinds(Some(&bound), Some(&one)),
            [What::PodStarted, What::PodReady]
        );
        assert_eq!(kinds(Some(&one), Some(&one)), []);
        let killed = json!({"terminated": {"exitCode": 137, "reason": "Error", "containerID": "x://1"}});
        let two = pod(up("x://2", 1, &killed, "False"), Some("n1"));
        let told = news(Some(&one), Some(&two));
        let what: Vec<What> = told.iter().map(|n| n.what).collect();
        assert_eq!(what, [What::PodDied, What::PodStarted, What::PodUnready]);
        assert_eq!(told[0].detail, "c: Error, exit code 137");
        // Its first death is told once.
        let ready = pod(up("x://2", 1, &killed, "True"), Some("n1"));
        assert_eq!(kinds(Some(&two), Some(&ready)), [What::PodReady]);
        assert_eq!(kinds(Some(&ready), None), [What::PodGone]);
    }

    #[test]
    fn who_has_to_leave_because_of_its_node_is_evicted_and_others_are_deleted() {
        let before = pod(json!({}), Some("n1"));
        let mut going = before.clone();
        let time = serde_json::from_value(json!("2026-11-26T11:00:00Z")).expect("a time");
        going.metadata.deletion_timestamp = Some(time);
        assert_eq!(kinds(Some(&before), Some(&going)), [What::PodDeleted]);
        let status = json!({"conditions": [{"type": "DisruptionTarget", "status": "True"}]});
        going.status = serde_json::from_value(status).expect("a status");
        assert_eq!(kinds(Some(&before), Some(&going)), [What::PodEvicted]);
    }
}
