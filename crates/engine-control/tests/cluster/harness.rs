use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use engine_control::{Config, Controllers};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::core::{ApiResource, DynamicObject};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

pub struct Cluster {
    pub client: Client,
    kubelet: JoinHandle<()>,
    beats: Vec<JoinHandle<()>>,
    _controllers: Controllers,
    pub api_server: engine_api::ApiServer,
    pub removed: Arc<std::sync::Mutex<Vec<std::path::PathBuf>>>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.kubelet.abort();
        self.beats.iter().for_each(JoinHandle::abort);
    }
}

/// How long anything may take; a bound for broken code, not a measure.
const PATIENCE: Duration = Duration::from_secs(60);

impl Cluster {
    pub async fn start() -> Self {
        Self::with_nodes(&[("node-1", "4")]).await
    }

    pub async fn with_nodes(nodes: &[(&str, &str)]) -> Self {
        // However long a test takes, its nodes are not lost on the way.
        Self::with(nodes, 3600, &[]).await
    }

    /// With nodes that count as lost after some seconds of silence, but for those that go on renewing their leases.
    pub async fn with(nodes: &[(&str, &str)], grace_seconds: u32, beating: &[&str]) -> Self {
        // RUST_LOG=engine_control=debug shows what the controllers complain about.
        let _ = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_test_writer()
            .try_init();
        let api = engine_api::Config {
            service_account_keys: vec![rcgen::KeyPair::generate().unwrap().serialize_pem()],
            ..Default::default()
        }
        .build()
        .await
        .unwrap();
        let admin = api.client("kubernetes-admin", &["system:masters"], "test/1");
        let removed = Arc::new(std::sync::Mutex::new(Vec::new()));
        let heard = Arc::clone(&removed);
        let mut config = Config::new(
            api.client(
                "system:kube-controller-manager",
                &["system:masters"],
                "kube-controller-manager/1",
            ),
            api.client("system:kube-scheduler", &["system:masters"], "kube-scheduler/1"),
            "-----CA-----".into(),
            "/var/lib/test/volumes".into(),
        );
        config.remove_folder = Some(Arc::new(move |path| heard.lock().unwrap().push(path)));
        config.node_monitor_grace_seconds = grace_seconds;
        config.autoscaler_period = Duration::from_millis(100);
        config.namespace_grace = Duration::ZERO;
        let controllers = config.build();
        let kubelet_client = api.client("kubernetes-admin", &["system:masters"], "kubelet/1");
        let mut cluster = Self {
            client: admin,
            kubelet: tokio::spawn(kubelet(kubelet_client)),
            beats: Vec::new(),
            _controllers: controllers,
            api_server: api,
            removed,
        };
        for (name, cpu) in nodes {
            // Before the node, whose grace begins when it is first seen.
            if beating.contains(name) {
                let beat = cluster.keep_alive(name);
                cluster.beats.push(beat);
            }
            cluster.add_node(name, cpu).await;
        }
        for (name, _) in nodes {
            // A new one has a taint until the node controller has seen it ready; one that is lost has others.
            let welcome = |n: &Value| {
                let taints = n["spec"]["taints"].as_array().map_or(&[][..], Vec::as_slice);
                taints.iter().all(|t| t["key"] != "node.kubernetes.io/not-ready")
            };
            cluster.until(name, "v1/Node", "", name, welcome).await;
        }
        for name in ["default", "t"] {
            let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
            if namespaces.get_opt(name).await.unwrap().is_none() {
                let object = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
                namespaces.create(&PostParams::default(), &object).await.unwrap();
            }
            cluster
                .until(
                    &format!("service account of {name}"),
                    "v1/ServiceAccount",
                    name,
                    "default",
                    |a| !a.is_null(),
                )
                .await;
        }
        cluster
    }

    pub async fn add_node(&self, name: &str, cpu: &str) {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let node = serde_json::from_value(
            json!({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}}),
        )
        .unwrap();
        nodes.create(&PostParams::default(), &node).await.unwrap();
        let resources = json!({"cpu": cpu, "memory": "8Gi", "pods": "110"});
        let status = json!({"status": {"capacity": resources, "allocatable": resources, "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]}});
        nodes
            .patch_status(name, &PatchParams::default(), &Patch::Merge(&status))
            .await
            .unwrap();
    }

    /// Renews a node's lease, as its kubelet would.
    fn keep_alive(&self, node: &str) -> JoinHandle<()> {
        let (leases, node) = (
            self.api("coordination.k8s.io/v1/Lease", "kube-node-lease"),
            node.to_owned(),
        );
        tokio::spawn(async move {
            let lease = serde_json::from_value(json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": node}, "spec": {"holderIdentity": node}})).unwrap();
            leases.create(&PostParams::default(), &lease).await.unwrap();
            loop {
                let patch = json!({"spec": {"renewTime": k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime(jiff::Timestamp::now())}});
                leases
                    .patch(&node, &PatchParams::default(), &Patch::Merge(&patch))
                    .await
                    .unwrap();
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        })
    }

    pub fn api(&self, kind: &str, namespace: &str) -> Api<DynamicObject> {
        let (version, kind) = kind.rsplit_once('/').unwrap();
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let gvk = kube::core::GroupVersionKind::gvk(group, version, kind);
        let resource = ApiResource::from_gvk(&gvk);
        if namespace.is_empty() {
            Api::all_with(self.client.clone(), &resource)
        } else {
            Api::namespaced_with(self.client.clone(), namespace, &resource)
        }
    }

    pub async fn create(&self, object: Value) -> Value {
        let kind = format!(
            "{}/{}",
            object["apiVersion"].as_str().unwrap(),
            object["kind"].as_str().unwrap()
        );
        let cluster_scoped = matches!(
            object["kind"].as_str().unwrap(),
            "StorageClass"
                | "PriorityClass"
                | "PersistentVolume"
                | "Namespace"
                | "VolumeAttributesClass"
                | "CSINode"
                | "ServiceCIDR"
        );
        let api = self.api(&kind, if cluster_scoped { "" } else { "t" });
        let object = serde_json::from_value(object).unwrap();
        to_value(&api.create(&PostParams::default(), &object).await.unwrap())
    }

    pub async fn get(&self, kind: &str, name: &str) -> Value {
        self.api(kind, "t")
            .get_opt(name)
            .await
            .unwrap()
            .map_or(Value::Null, |o| to_value(&o))
    }

    pub async fn list(&self, kind: &str) -> Vec<Value> {
        self.api(kind, "t")
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .iter()
            .map(to_value)
            .collect()
    }

    pub async fn patch(&self, kind: &str, name: &str, patch: Value) -> Value {
        to_value(
            &self
                .api(kind, "t")
                .patch(name, &PatchParams::default(), &Patch::Merge(&patch))
                .await
                .unwrap(),
        )
    }

    pub async fn delete(&self, kind: &str, name: &str, dp: DeleteParams) {
        self.api(kind, "t").delete(name, &dp).await.unwrap();
    }

    /// Waits until an object satisfies; null stands for one that is not there.
    pub async fn until(
        &self,
        what: &str,
        kind: &str,
        namespace: &str,
        name: &str,
        holds: impl Fn(&Value) -> bool,
    ) -> Value {
        let start = Instant::now();
        loop {
            let value = self
                .api(kind, namespace)
                .get_opt(name)
                .await
                .unwrap()
                .map_or(Value::Null, |o| to_value(&o));
            if holds(&value) {
                return value;
            }
            assert!(start.elapsed() < PATIENCE, "{what}: gave up with {value:#}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub async fn becomes(&self, kind: &str, name: &str, holds: impl Fn(&Value) -> bool) -> Value {
        self.until(name, kind, "t", name, holds).await
    }

    /// Waits until the list satisfies.
    pub async fn list_becomes(&self, kind: &str, holds: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let start = Instant::now();
        loop {
            let items = self.list(kind).await;
            if holds(&items) {
                return items;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "{kind}: gave up with {:#}",
                Value::Array(items)
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Events about an object, as "Type Reason message"; those about what has no namespace are in `default`.
    pub async fn events(&self, name: &str) -> Vec<String> {
        let mut all = self.list("v1/Event").await;
        let elsewhere = self.api("v1/Event", "default");
        let elsewhere = elsewhere.list(&ListParams::default()).await.unwrap();
        all.extend(elsewhere.items.iter().map(to_value));
        let about = all.iter().filter(|e| e["involvedObject"]["name"] == name);
        about
            .map(|e| {
                format!(
                    "{} {} {}",
                    text(&e["type"]),
                    text(&e["reason"]),
                    text(&e["message"])
                )
            })
            .collect()
    }

    pub async fn event_comes(&self, name: &str, wanted: &str) {
        self.event(name, wanted, |e| e == wanted).await;
    }

    /// Waits for an event that begins so: events are written by a task of their own, after what they tell of.
    pub async fn event_begins(&self, name: &str, wanted: &str) -> String {
        self.event(name, wanted, |e| e.starts_with(wanted)).await
    }

    async fn event(&self, name: &str, wanted: &str, holds: impl Fn(&str) -> bool) -> String {
        let start = Instant::now();
        loop {
            let events = self.events(name).await;
            if let Some(event) = events.iter().find(|e| holds(e)) {
                return event.clone();
            }
            assert!(
                start.elapsed() < PATIENCE,
                "no event {wanted:?} among {events:#?}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn to_value(object: &DynamicObject) -> Value {
    let mut value = serde_json::to_value(object).unwrap();
    value["metadata"].as_object_mut().unwrap().remove("managedFields");
    value
}

pub fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"]
        .as_array()?
        .iter()
        .find(|c| c["type"] == kind)
}

pub fn is_true(object: &Value, kind: &str) -> bool {
    condition(object, kind).is_some_and(|c| c["status"] == "True")
}

pub fn pod_spec(command: &str) -> Value {
    json!({"terminationGracePeriodSeconds": 0, "containers": [{"name": "c", "image": "i", "command": [command], "ports": [{"name": "http", "containerPort": 8080}]}]})
}

static ADDRESSES: AtomicU32 = AtomicU32::new(1);

async fn kubelet(client: Client) {
    let pods: Api<Pod> = Api::all(client.clone());
    let mut version = "0".to_owned();
    loop {
        if version == "0" {
            let list = pods.list(&ListParams::default()).await.unwrap();
            version = list.metadata.resource_version.clone().unwrap();
            for pod in list.items {
                act(&client, pod).await;
            }
        }
        let Ok(events) = pods.watch(&WatchParams::default(), &version).await else {
            version = "0".into();
            continue;
        };
        let mut events = events.boxed();
        while let Some(event) = events.next().await {
            match event {
                Ok(WatchEvent::Added(pod) | WatchEvent::Modified(pod)) => {
                    version = pod.resource_version().unwrap();
                    let client = client.clone();
                    tokio::spawn(async move { act(&client, pod).await });
                }
                Ok(WatchEvent::Error(_)) | Err(_) => version = "0".into(),
                Ok(_) => {}
            }
        }
    }
}

async fn act(client: &Client, pod: Pod) {
    let api: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap());
    let spec = pod.spec.clone().unwrap();
    let Some(_) = spec.node_name else { return };
    let name = pod.name_any();
    let phase = pod
        .status
        .as_ref()
        .and_then(|s| s.phase.clone())
        .unwrap_or_default();
    if pod.metadata.deletion_timestamp.is_some() {
        let _ = api.delete(&name, &DeleteParams::default().grace_period(0)).await;
        return;
    }
    if phase != "Pending" {
        return;
    }
    let command = spec.containers[0]
        .command
        .clone()
        .and_then(|c| c.into_iter().next())
        .unwrap_or_default();
    if command == "never" {
        return;
    }
    let now = jiff::Timestamp::now();
    let now = jiff::Timestamp::from_second(now.as_second()).unwrap();
    let n = ADDRESSES.fetch_add(1, Ordering::Relaxed);
    let ip = format!("10.64.{}.{}", n / 250, n % 250 + 1);
    let over = match command.as_str() {
        "true" => Some(("Succeeded", 0)),
        "false" => Some(("Failed", 1)),
        _ => None,
    };
    let (phase, state) = match over {
        Some((phase, code)) => (
            phase,
            json!({"terminated": {"exitCode": code, "finishedAt": now}}),
        ),
        None => ("Running", json!({"running": {"startedAt": now}})),
    };
    let ready = over.is_none();
    let ready_text = if ready { "True" } else { "False" };
    // Not when somebody has written since, a test for one: what they wrote is told, too.
    let patch = json!({"metadata": {"uid": pod.uid(), "resourceVersion": pod.resource_version()}, "status": {"phase": phase, "podIP": ip, "podIPs": [{"ip": ip}], "startTime": now,
        "conditions": [{"type": "Ready", "status": ready_text, "lastTransitionTime": now}],
        "containerStatuses": [{"name": spec.containers[0].name, "image": "i", "imageID": "", "ready": ready, "restartCount": 0, "state": state}]}});
    let _ = api
        .patch_status(&name, &PatchParams::default(), &Patch::Strategic(&patch))
        .await;
}
