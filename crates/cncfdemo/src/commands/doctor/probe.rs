//! A short-lived pod that tries from inside what a ready pod of the DNS says nothing about. It is removed in every case.
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, LogParams, PostParams};
use kube::{Client, ResourceExt as _};
use preflight::cluster::Probe;
use serde_json::json;

use super::Stop;
use crate::exit::Interrupted;

/// Takes what the image has: getent or nslookup; curl, nc or wget. Any answer of the API, a refusal too, is an answer, and so is
/// an accepted connection. nslookup is asked for the whole name first: of the search list's domains it tells one NXDOMAIN each, beside
/// an answer that is fine, and some know no search list at all. A cluster with another domain is found by the list.
const SCRIPT: &str = r#"
flat() { tr '\n\t' '  ' | cut -c1-300; }
has() { command -v "$1" >/dev/null 2>&1; }
host=$KUBERNETES_SERVICE_HOST port=$KUBERNETES_SERVICE_PORT
name() {
  if has getent; then getent hosts kubernetes.default.svc
  elif has nslookup; then
    said=
    for name in kubernetes.default.svc.cluster.local. kubernetes.default.svc; do
      found=$(nslookup $name 2>&1) && { echo "$found"; return 0; }
      said="$said $found"
    done
    echo "$said"; return 1
  else echo "the image has neither getent nor nslookup"; return 9; fi
}
api() {
  if has curl; then curl -skS -m 5 "https://$host:$port/version"
  elif has nc; then nc -w 5 "$host" "$port" </dev/null
  elif has wget; then wget -T 5 -qO- --no-check-certificate "https://$host:$port/version"
  else echo "the image has neither curl, nc nor wget"; return 9; fi
}
say() { out=$($2 2>&1); case $? in 0) s=ok;; 9) s=na;; *) s=no;; esac; echo "$1 $s $(echo "$out" | flat)"; }
say NAME name; say API api
"#;
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the pod, reads its log, removes it.
pub async fn run(client: &Client, image: &str, stop: &Stop) -> anyhow::Result<Probe> {
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let pod: Pod = serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"generateName": "cncfdemo-doctor-", "labels": {"app.kubernetes.io/managed-by": "cncfdemo-doctor"}},
        "spec": {
            "restartPolicy": "Never", "activeDeadlineSeconds": 60, "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": false,
            "containers": [{
                "name": "probe", "image": image, "command": ["/bin/sh", "-c", SCRIPT],
                "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
            }],
        },
    }))?;
    let name = match pods.create(&PostParams::default(), &pod).await {
        Ok(made) => made.name_any(),
        Err(e) => {
            return Ok(Probe {
                absent: format!("the pod could not be made: {e}"),
                ..Probe::default()
            });
        }
    };
    let seen = tokio::select! {
        seen = watch(&pods, &name) => Ok(seen),
        () = stop.wait() => Err(Interrupted),
    };
    let removed = pods
        .delete(
            &name,
            &DeleteParams {
                grace_period_seconds: Some(0),
                ..DeleteParams::default()
            },
        )
        .await;
    let seen = seen?;
    match removed {
        Ok(_) => Ok(seen),
        Err(kube::Error::Api(e)) if e.code == 404 => Ok(seen),
        Err(e) => Err(anyhow::anyhow!("failed to remove the pod {name}: {e}")),
    }
}

async fn watch(pods: &Api<Pod>, name: &str) -> Probe {
    let absent = |absent: String| Probe {
        absent,
        ..Probe::default()
    };
    let done = async {
        loop {
            match pods.get(name).await {
                Ok(pod) => {
                    let phase = pod
                        .status
                        .as_ref()
                        .and_then(|s| s.phase.clone())
                        .unwrap_or_default();
                    if phase == "Succeeded" || phase == "Failed" {
                        return Ok(());
                    }
                    let waiting = pod
                        .status
                        .and_then(|s| s.container_statuses)
                        .unwrap_or_default()
                        .into_iter()
                        .find_map(|c| c.state?.waiting?.reason);
                    if let Some(reason) = waiting.filter(|r| r.contains("Image")) {
                        return Err(format!("the probe's image cannot be used: {reason}"));
                    }
                }
                Err(e) => return Err(format!("the pod cannot be watched: {e}")),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    match tokio::time::timeout(PATIENCE, done).await {
        Err(_) => return absent("the pod did not run within a minute".to_owned()),
        Ok(Err(reason)) => return absent(reason),
        Ok(Ok(())) => {}
    }
    match pods.logs(name, &LogParams::default()).await {
        Err(e) => absent(format!("the pod's log cannot be read: {e}")),
        Ok(log) => read(&log),
    }
}

fn read(log: &str) -> Probe {
    let line = |what: &str| {
        let rest = log
            .lines()
            .find_map(|l| l.strip_prefix(what))
            .unwrap_or(" no the pod said nothing of it")
            .trim_start();
        (
            rest.starts_with("ok"),
            rest.get(3..).unwrap_or_default().trim().to_owned(),
        )
    };
    if let Some(why) = log
        .lines()
        .find_map(|l| l.strip_prefix("NAME na ").or_else(|| l.strip_prefix("API na ")))
    {
        return Probe {
            absent: why.trim().to_owned(),
            ..Probe::default()
        };
    }
    let ((name_resolved, name), (api_reached, api)) = (line("NAME"), line("API"));
    let api = if api_reached && api.is_empty() {
        "the connection was accepted".to_owned()
    } else {
        api
    };
    Probe {
        name,
        name_resolved,
        api,
        api_reached,
        ..Probe::default()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::path::Path;
    use std::process::Command;
    use std::sync::{Mutex, PoisonError};

    use super::{Probe, SCRIPT, read};

    #[test]
    fn the_pods_words_are_understood() {
        let probe = read("NAME ok 10.96.0.1 kubernetes.default.svc\nAPI no wget: timed out\n");
        assert!(probe.name_resolved && !probe.api_reached);
        assert_eq!(probe.api, "wget: timed out");
        assert!(!read("").name_resolved);
        assert_eq!(read("NAME na no tool\nAPI ok \n").absent, "no tool");
    }

    /// What the script says in an image with an nslookup that does this, and an nc that connects.
    fn said(nslookup: &str) -> Probe {
        // One test at a time: a program that somebody's child still holds open for writing cannot be run.
        static ONE: Mutex<()> = Mutex::new(());
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let image = tempfile::tempdir().unwrap();
        let at = |name: &str| image.path().join(name);
        for (name, script) in [("nslookup", nslookup), ("nc", "exit 0")] {
            fs::write(at(name), format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(at(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        for name in ["tr", "cut"] {
            let real = ["/usr/bin", "/bin"].map(|dir| Path::new(dir).join(name));
            symlink(real.iter().find(|p| p.exists()).unwrap(), at(name)).unwrap();
        }
        let output = Command::new("/bin/sh")
            .args(["-c", SCRIPT])
            .env_clear()
            .env("PATH", image.path())
            .output()
            .unwrap();
        read(&String::from_utf8_lossy(&output.stdout))
    }

    /// As busybox' nslookup does it.
    #[test]
    fn an_answer_is_told_without_what_the_search_list_did_not_find() {
        let searched = "** server can't find kubernetes.default.svc.default.svc.cluster.local: NXDOMAIN";
        let probe = said(&format!(
            "[ $1 = kubernetes.default.svc ] && echo \"{searched}\"; echo Address: 10.96.0.1"
        ));
        assert!(probe.name_resolved && probe.api_reached);
        assert_eq!(probe.name, "Address: 10.96.0.1");
    }

    #[test]
    fn a_cluster_of_another_domain_is_found_and_a_broken_one_is_not() {
        let probe = said("[ $1 = kubernetes.default.svc ] || { echo NXDOMAIN; exit 1; }; echo 10.96.0.1");
        assert!(probe.name_resolved);
        assert_eq!(probe.name, "10.96.0.1");
        let probe = said("echo \"$1: timed out\"; exit 1");
        assert!(!probe.name_resolved);
        assert_eq!(
            probe.name,
            "kubernetes.default.svc.cluster.local.: timed out kubernetes.default.svc: timed out"
        );
    }
}
