//! What the demo's Redis Cluster says of itself, by `redis-cli` in its own pods.
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::{join_all, try_join_all};
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, AttachParams, AttachedProcess, ListParams};
use results::{Happening, What};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::task::JoinHandle;

use crate::{Error, victim};

/// So long replicas may take to follow their masters again: a killed one is back within seconds.
const PATIENCE: Duration = Duration::from_secs(90);

/// Names of the pods among these that lead a shard.
pub(crate) async fn masters(client: &Client, namespace: &str, pods: &[Pod]) -> Result<Vec<String>, Error> {
    let asked = pods.iter().map(|pod| {
        let name = pod.metadata.name.clone().unwrap_or_default();
        if_master(client.clone(), namespace.to_owned(), name)
    });
    let answers = try_join_all(asked.collect::<Vec<_>>()).await?;
    let masters: Vec<String> = answers.into_iter().flatten().collect();
    if masters.is_empty() {
        return Err(Error::NoVictim(format!(
            "no pod in namespace {namespace} says that it leads a shard"
        )));
    }
    Ok(masters)
}

/// The pod's name again, if it says that it leads.
async fn if_master(client: Client, namespace: String, pod: String) -> Result<Option<String>, Error> {
    let role = ask(&client, &namespace, &pod, &["redis-cli", "role"]).await?;
    Ok((role.lines().next() == Some("master")).then_some(pod))
}

/// Waits until every replica follows its master and all slots are served. A second master that is killed before that leaves its
/// slots down for minutes.
pub(crate) async fn at_rest(client: &Client, namespace: &str, labels: &str) -> Result<(), Error> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let begun = Instant::now();
    loop {
        let listed = pods
            .list(&ListParams::default().labels(labels))
            .await
            .map_err(Error::api(format!("list the pods of namespace {namespace}")))?;
        let asked = listed
            .iter()
            .map(|pod| trouble(client.clone(), namespace.to_owned(), pod.clone()));
        let answers = join_all(asked.collect::<Vec<_>>()).await;
        let troubles: Vec<String> = answers.into_iter().flatten().collect();
        let Some(trouble) = troubles.first() else {
            return Ok(());
        };
        if begun.elapsed() > PATIENCE {
            return Err(Error::Store(format!(
                "has not come to rest within {} s: {trouble}",
                PATIENCE.as_secs()
            )));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Why this member of the store is not at rest.
async fn trouble(client: Client, namespace: String, pod: Pod) -> Option<String> {
    let name = pod.metadata.name.clone().unwrap_or_default();
    if !victim::is_ready(&pod) {
        return Some(format!("pod/{name} is not Ready"));
    }
    let command = [
        "/bin/sh",
        "-c",
        "redis-cli info replication; redis-cli cluster info",
    ];
    match ask(&client, &namespace, &name, &command).await {
        Ok(info) => unrest(&info).map(|what| format!("pod/{name}: {what}")),
        Err(e) => Some(e.to_string()),
    }
}

/// Why a member is not at rest, from its `info replication` and `cluster info`.
fn unrest(info: &str) -> Option<&'static str> {
    let says = |line: &str| info.lines().any(|l| l.trim_end() == line);
    if !says("cluster_state:ok") {
        Some("not all slots are served")
    } else if says("role:slave") && !says("master_link_status:up") {
        Some("it does not follow its master yet")
    } else if says("role:master") && says("connected_slaves:0") {
        Some("no replica follows it yet")
    } else {
        None
    }
}

async fn ask(client: &Client, namespace: &str, pod: &str, command: &[&str]) -> Result<String, Error> {
    let mut process = exec(client, namespace, pod, command).await?;
    let mut text = String::new();
    if let Some(mut stdout) = process.stdout() {
        stdout
            .read_to_string(&mut text)
            .await
            .map_err(|e| Error::Store(format!("cannot be asked in pod/{pod}: {e}")))?;
    }
    Ok(text)
}

async fn exec(
    client: &Client,
    namespace: &str,
    pod: &str,
    command: &[&str],
) -> Result<AttachedProcess, Error> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let parameters = AttachParams::default().stderr(false);
    pods.exec(pod, command.to_vec(), &parameters)
        .await
        .map_err(Error::api(format!("run {} in pod {namespace}/{pod}", command[0])))
}

/// Watches who leads the store's shards, as its members see it.
pub struct StoreWatch {
    seen: Arc<Mutex<Vec<Happening>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl StoreWatch {
    /// Asks two members five times a second, from inside their pods: one may be the next victim. `None` where there is no store.
    pub async fn start(
        client: &Client,
        namespace: &str,
        app: &str,
        begun: Instant,
    ) -> Result<Option<StoreWatch>, Error> {
        let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
        let listed = pods
            .list(&ListParams::default().labels(&format!("app.kubernetes.io/name={app}")))
            .await
            .map_err(Error::api(format!("list the pods of {app}")))?;
        let by_address: BTreeMap<String, String> = listed
            .iter()
            .filter_map(|pod| Some((pod.status.as_ref()?.pod_ip.clone()?, pod.metadata.name.clone()?)))
            .collect();
        let seen: Arc<Mutex<Vec<Happening>>> = Arc::default();
        let told: Arc<Mutex<BTreeMap<String, bool>>> = Arc::default();
        let mut tasks = Vec::new();
        for pod in listed.iter().filter(|p| victim::is_ready(p)).take(2) {
            let name = pod.metadata.name.clone().unwrap_or_default();
            let follow = Follow {
                app: app.to_owned(),
                by_address: by_address.clone(),
                begun,
                seen: Arc::clone(&seen),
                told: Arc::clone(&told),
            };
            let (client, namespace) = (client.clone(), namespace.to_owned());
            tasks.push(tokio::spawn(async move {
                follow.run(&client, &namespace, &name).await
            }));
        }
        Ok((!tasks.is_empty()).then_some(StoreWatch { seen, tasks }))
    }

    /// What was seen.
    pub fn finish(self) -> Vec<Happening> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *seen)
    }
}

impl Drop for StoreWatch {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

struct Follow {
    app: String,
    by_address: BTreeMap<String, String>,
    begun: Instant,
    seen: Arc<Mutex<Vec<Happening>>>,
    /// Who was last said to lead, by all that are asked.
    told: Arc<Mutex<BTreeMap<String, bool>>>,
}

impl Follow {
    async fn run(&self, client: &Client, namespace: &str, pod: &str) {
        // The shell's loop ends with its stdout.
        let script = "while redis-cli --no-auth-warning cluster nodes; do echo .; sleep 0.2; done";
        loop {
            if let Ok(mut process) = exec(client, namespace, pod, &["/bin/sh", "-c", script]).await
                && let Some(stdout) = process.stdout()
            {
                let mut lines = BufReader::new(stdout).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    self.line(&line);
                }
            }
            // The member was a victim; it comes back.
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    fn line(&self, line: &str) {
        let Some((address, master)) = leads(line) else {
            return;
        };
        let name = self
            .by_address
            .get(address)
            .cloned()
            .unwrap_or_else(|| address.to_owned());
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.insert(name.clone(), master) == Some(master) {
            return;
        }
        let what = if master {
            What::StoreMaster
        } else {
            What::StoreReplica
        };
        // Who led before the load is no news of it.
        let t = self.begun.elapsed().as_secs_f64();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let first = !seen.iter().any(|h| h.object == format!("pod/{name}"));
        seen.push(Happening {
            t: if first { t.min(-0.001) } else { t },
            what,
            object: format!("pod/{name}"),
            app: Some(self.app.clone()),
            detail: String::new(),
            value: None,
        });
    }
}

/// Address of a member and whether it leads and serves, from a line of `cluster nodes`: id, address:port@bus, flags, master, ping,
/// pong, epoch, link, slots. One that failed leads nobody.
fn leads(line: &str) -> Option<(&str, bool)> {
    let mut fields = line.split_whitespace();
    let (address, flags) = (fields.nth(1)?, fields.next()?);
    let address = address.split(':').next()?;
    let has_slots = fields.nth(5).is_some();
    let flags: Vec<&str> = flags.split(',').collect();
    Some((
        address,
        flags.contains(&"master") && has_slots && !flags.contains(&"fail"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_leads_is_read_from_the_members_own_words() {
        let line = "07c3 10.64.1.9:6379@16379,redis-1 myself,master - 0 1 2 connected 0-5460\n";
        assert_eq!(leads(line), Some(("10.64.1.9", true)));
        let failed = "07c3 10.64.1.9:6379@16379 master,fail - 0 1 2 disconnected 0-5460";
        assert_eq!(leads(failed), Some(("10.64.1.9", false)));
        let replica = "0 10.64.1.8:6379@16379 slave 07c3 0 1 2 connected";
        assert_eq!(leads(replica), Some(("10.64.1.8", false)));
        assert_eq!((leads("."), leads("")), (None, None));
    }

    #[test]
    fn the_store_is_at_rest_when_slots_are_served_and_replicas_follow() {
        let ok = "cluster_state:ok\r\n";
        assert_eq!(
            unrest(&format!("role:slave\r\nmaster_link_status:up\r\n{ok}")),
            None
        );
        assert!(unrest(&format!("role:slave\r\nmaster_link_status:down\r\n{ok}")).is_some());
        assert!(unrest(&format!("role:master\r\nconnected_slaves:0\r\n{ok}")).is_some());
        assert!(unrest("role:master\r\nconnected_slaves:1\r\ncluster_state:fail\r\n").is_some());
    }
}
