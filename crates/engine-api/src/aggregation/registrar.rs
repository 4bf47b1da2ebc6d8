//! Follows the APIServices that point to services: who serves what, and whether it can be reached (kube-aggregator
//! `pkg/controllers/status/remote`, and its discovery manager, which asks for the same documents).
//!
//! Changes of an APIService, its Service or that one's EndpointSlices are acted upon as they come. A clock runs only for what
//! nobody announces: a server that stops or begins to answer.
use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::BytesMut;
use engine_store::{Event, Precondition, Store, Watch, WriteError};
use http::Request;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

use super::{GroupVersion, Remote, dial, proxy};
use crate::{
    answer::Body,
    api::Api,
    json::{list, number, set, text},
    keys, time,
    user::User,
};

/// How often a server is asked when nothing has changed (the resync of upstream's informers).
const AGAIN: Duration = Duration::from_secs(30);
/// The first pause after a failure; it doubles up to [`AGAIN`].
const PAUSE: Duration = Duration::from_millis(100);
/// How long one check may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The largest discovery document that is read.
const MAX_DOCUMENT: usize = 4 * 1024 * 1024;
const PREFIX: &str = "apiservices.apiregistration.k8s.io/";

/// What is known of one APIService between checks.
struct Followed {
    served: GroupVersion,
    due: Option<Instant>,
    failures: u32,
    running: bool,
    changed: bool,
}

/// What a check found.
struct Finding {
    name: String,
    status: &'static str,
    reason: &'static str,
    message: String,
    resources: Option<Vec<Value>>,
    openapi: Option<String>,
}

/// Runs as long as the server lives.
pub async fn run(api: Weak<Api>) {
    while let Some(watches) = api.upgrade().and_then(|api| Watches::start(&api.store)) {
        Registrar {
            api: api.clone(),
            followed: HashMap::new(),
            checks: JoinSet::new(),
        }
        .follow(watches)
        .await;
        // A watch that fell behind: look at everything again.
    }
}

struct Watches {
    api_services: Watch,
    services: Watch,
    slices: Watch,
}

impl Watches {
    fn start(store: &Store) -> Option<Self> {
        let now = store.revision();
        let watch = |prefix: &str| store.watch(prefix, now).ok();
        Some(Self {
            api_services: watch(PREFIX)?,
            services: watch("services/")?,
            slices: watch("endpointslices.discovery.k8s.io/")?,
        })
    }
}

struct Registrar {
    api: Weak<Api>,
    followed: HashMap<String, Followed>,
    checks: JoinSet<Finding>,
}

impl Registrar {
    async fn follow(mut self, mut watches: Watches) {
        self.read();
        loop {
            self.start_due();
            let next = self.followed.values().filter_map(|f| f.due).min();
            let timer = async {
                match next {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                event = watches.api_services.next() => match event {
                    Some(Ok(_)) => self.read(),
                    _ => return,
                },
                event = watches.services.next() => match event {
                    Some(Ok(event)) => self.touched(&event, "/metadata/name"),
                    _ => return,
                },
                event = watches.slices.next() => match event {
                    Some(Ok(event)) => self.touched(&event, "/metadata/labels/kubernetes.io~1service-name"),
                    _ => return,
                },
                Some(checked) = self.checks.join_next() => match checked {
                    Ok(finding) => self.found(finding).await,
                    Err(error) => tracing::error!(%error, "a check of an APIService failed"),
                },
                () = timer => {}
            }
        }
    }

    /// Takes in which APIServices there are now.
    fn read(&mut self) {
        let Some(api) = self.api.upgrade() else { return };
        let mut present: HashMap<GroupVersion, String> = HashMap::new();
        for stored in api.store.list(PREFIX).items {
            let object = &stored.value();
            if !object["spec"]["service"].is_object() || object["metadata"]["deletionTimestamp"].is_string() {
                continue;
            }
            let name = text(object, "/metadata/name").to_owned();
            let served = (
                text(object, "/spec/group").to_owned(),
                text(object, "/spec/version").to_owned(),
            );
            present.insert(served.clone(), name.clone());
            let known = api.remotes.get(&served.0, &served.1);
            let same = known.as_ref().is_some_and(|remote| remote.spec == object["spec"]);
            if same && self.followed.contains_key(&name) {
                continue;
            }
            // What was served before goes on being served until the check of the new spec says otherwise.
            let mut remote = known.map_or_else(
                || Remote {
                    available: condition(object).is_some_and(|c| c["status"] == "True"),
                    ..Remote::default()
                },
                |known| Remote::clone(&known),
            );
            remote.spec = object["spec"].clone();
            remote.priority = (
                number(object, "/spec/groupPriorityMinimum").unwrap_or_default(),
                number(object, "/spec/versionPriority").unwrap_or_default(),
            );
            api.remotes.change(|all| {
                all.insert(served.clone(), Arc::new(remote));
            });
            let followed = Followed {
                served,
                due: None,
                failures: 0,
                running: self.followed.get(&name).is_some_and(|f| f.running),
                changed: true,
            };
            self.followed.insert(name, followed);
        }
        self.followed
            .retain(|_, followed| present.contains_key(&followed.served));
        api.remotes
            .change(|all| all.retain(|served, _| present.contains_key(served)));
    }

    /// A Service or a slice has changed: its APIServices are looked at.
    fn touched(&mut self, event: &Event, service: &str) {
        if self.followed.is_empty() {
            return;
        }
        let Some(api) = self.api.upgrade() else { return };
        let object = &event.object.value();
        let (namespace, name) = (text(object, "/metadata/namespace"), text(object, service));
        for followed in self.followed.values_mut() {
            let remote = api.remotes.get(&followed.served.0, &followed.served.1);
            if remote.is_some_and(|r| {
                let (its_namespace, its_name, _) = dial::service(&r.spec);
                (its_namespace, its_name) == (namespace, name)
            }) {
                followed.changed = true;
            }
        }
    }

    fn start_due(&mut self) {
        let now = Instant::now();
        for (name, followed) in &mut self.followed {
            let due = followed.changed || followed.due.is_some_and(|at| at <= now);
            if followed.running || !due {
                continue;
            }
            (followed.running, followed.changed, followed.due) = (true, false, None);
            let (api, name, served) = (self.api.clone(), name.clone(), followed.served.clone());
            self.checks.spawn(async move {
                let checked = match api.upgrade() {
                    Some(api) => check(&api, &served).await,
                    None => Err(("False", "ServiceAccessError", "the server is ending".to_owned())),
                };
                match checked {
                    Ok((resources, openapi)) => Finding {
                        name,
                        status: "True",
                        reason: "Passed",
                        message: "all checks passed".to_owned(),
                        resources: Some(resources),
                        openapi,
                    },
                    Err((status, reason, message)) => Finding {
                        name,
                        status,
                        reason,
                        message,
                        resources: None,
                        openapi: None,
                    },
                }
            });
        }
    }

    async fn found(&mut self, finding: Finding) {
        let Some(followed) = self.followed.get_mut(&finding.name) else {
            return;
        };
        followed.running = false;
        let passed = finding.status == "True";
        followed.failures = if passed { 0 } else { followed.failures + 1 };
        let pause = if passed || finding.reason != "FailedDiscoveryCheck" {
            AGAIN
        } else {
            AGAIN.min(PAUSE * 2_u32.pow(followed.failures.min(10)))
        };
        followed.due = Some(Instant::now() + pause);
        let served = followed.served.clone();
        let Some(api) = self.api.upgrade() else { return };
        api.remotes.change(|all| {
            if let Some(remote) = all.get_mut(&served) {
                let remote = Arc::make_mut(remote);
                remote.available = passed;
                if let Some(resources) = &finding.resources {
                    remote.resources.clone_from(resources);
                    remote.openapi.clone_from(&finding.openapi);
                }
            }
        });
        if let Err(error) = write(&api, &finding).await {
            tracing::warn!(name = finding.name, %error, "the state of an APIService is not written");
            followed.due = Some(Instant::now() + PAUSE);
        }
    }
}

fn condition(object: &Value) -> Option<&Value> {
    list(object, "/status/conditions")
        .iter()
        .find(|c| c["type"] == "Available")
}

type Documents = (Vec<Value>, Option<String>);
type Problem = (&'static str, &'static str, String);

async fn check(api: &Api, (group, version): &GroupVersion) -> Result<Documents, Problem> {
    let Some(remote) = api.remotes.get(group, version) else {
        return Err((
            "Unknown",
            "ServiceAccessError",
            "the APIService is gone".to_owned(),
        ));
    };
    let (namespace, name, port) = dial::service(&remote.spec);
    let no = |reason: &'static str, message: String| Err(("False", reason, message));
    let Some(service) = api.store.get(&keys::core("services", namespace, name)) else {
        return no(
            "ServiceNotFound",
            format!("service/{name} in {namespace:?} is not present"),
        );
    };
    let service = service.value();
    let Some(found) = list(&service, "/spec/ports")
        .iter()
        .find(|p| p["port"].as_i64() == Some(port))
    else {
        let message = format!("service/{name} in {namespace:?} is not listening on port {port}");
        return no("ServicePortError", message);
    };
    if api.slices_of(namespace, name).is_empty() {
        let message = format!("cannot find endpointslices for service/{name} in {namespace:?}");
        return no("EndpointsNotFound", message);
    }
    let port_name = text(found, "/name");
    if api.endpoint_addresses(namespace, name, port_name).is_empty() {
        let message = format!(
            "endpointslices for service/{name} in {namespace:?} have no addresses with port name {port_name:?}"
        );
        return no("MissingEndpoints", message);
    }
    match timeout(PATIENCE, documents(api, &remote, group, version)).await {
        Ok(Ok(documents)) => Ok(documents),
        Ok(Err(message)) => no("FailedDiscoveryCheck", message),
        Err(_) => no(
            "FailedDiscoveryCheck",
            format!("timed out waiting for https://{name}.{namespace}.svc:{port}/apis/{group}/{version}"),
        ),
    }
}

async fn documents(api: &Api, remote: &Remote, group: &str, version: &str) -> Result<Documents, String> {
    let path = format!("/apis/{group}/{version}");
    let (namespace, name, port) = dial::service(&remote.spec);
    let url = format!("https://{name}.{namespace}.svc:{port}{path}");
    let (code, body) = fetch(api, remote, &path)
        .await
        .map_err(|e| format!("failing or missing response from {url}: {e}"))?;
    if !(200..300).contains(&code) {
        return Err(format!(
            "failing or missing response from {url}: bad status from {url}: {code}"
        ));
    }
    let resources = list(&body, "/resources").to_vec();
    // A server without OpenAPI is fine: nothing can be explained of it then.
    let index = fetch(api, remote, "/openapi/v3").await.ok();
    let openapi = index.and_then(|(_, index)| {
        let entry = &index["paths"][format!("apis/{group}/{version}")];
        entry["serverRelativeURL"].as_str().map(str::to_owned)
    });
    Ok((resources, openapi))
}

async fn fetch(api: &Api, remote: &Remote, path: &str) -> Result<(u16, Value), String> {
    let mut request: Request<Body> = dial::get(path)?;
    proxy::set_user(
        request.headers_mut(),
        &User {
            name: "system:kube-aggregator".to_owned(),
            groups: vec!["system:masters".to_owned()],
            ..User::default()
        },
    );
    let response = api.ask_remote(remote, request).await?;
    let code = response.status().as_u16();
    let mut body = response.into_body();
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(|e| e.to_string())?.into_data() {
            read.extend_from_slice(&data);
        }
        if read.len() > MAX_DOCUMENT {
            return Err(format!("a document of more than {MAX_DOCUMENT} bytes"));
        }
    }
    Ok((code, serde_json::from_slice(&read).unwrap_or(Value::Null)))
}

/// Writes the condition when it has changed.
async fn write(api: &Api, finding: &Finding) -> Result<(), WriteError> {
    let key = format!("{PREFIX}{}", finding.name);
    let Ok(kind) = super::local::api_services() else {
        return Ok(());
    };
    loop {
        let Some(stored) = api.store.get(&key) else {
            return Ok(());
        };
        let mut value = Value::clone(&stored.value());
        let mut conditions = list(&value, "/status/conditions").to_vec();
        let old = conditions.iter().position(|c| c["type"] == "Available");
        let mut since = Value::from(time::now());
        if let Some(index) = old {
            let old = &conditions[index];
            if old["status"] == finding.status {
                since = old["lastTransitionTime"].clone();
            }
        }
        let condition = json!({"type": "Available", "status": finding.status, "lastTransitionTime": since,
            "reason": finding.reason, "message": finding.message});
        match old {
            Some(index) if conditions[index] == condition => return Ok(()),
            Some(index) => conditions[index] = condition,
            None => conditions.push(condition),
        }
        set(&mut value, &["status", "conditions"], conditions);
        match api
            .write(kind, &key, value, Precondition::Revision(stored.revision))
            .await
        {
            Err(WriteError::Conflict { .. } | WriteError::NotFound { .. }) => {}
            other => return other.map(drop),
        }
    }
}
