use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use kube::Client;
use kube::api::{Api, DynamicObject};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::{WatchStreamExt as _, watcher};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::configmap::Entries;
use crate::wait::reached;
use crate::{Applier, Bundle, Error, Manifest, Readiness, Templates, Values, explain, parse, readiness};

/// The order in which a bundle's apps are deployed, from its `steps.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Steps {
    /// First to last.
    #[serde(rename = "step")]
    pub steps: Vec<Step>,
}

/// Some apps that are applied together and waited for together.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Short name, one word.
    pub name: String,
    /// What a person reads beside it.
    pub title: String,
    /// App folders of the bundle.
    #[serde(default)]
    pub apps: Vec<String>,
    /// The step is taken when each of these values, by its dotted path, is this.
    #[serde(default)]
    pub when: BTreeMap<String, Value>,
    /// Objects of the namespace that must not be there, as `apps/v1/Deployment/NAME`.
    #[serde(default)]
    pub absent: Vec<Absent>,
    /// An API (`group/version`) that makes this step unnecessary where somebody else serves it.
    pub unless_api: Option<String>,
    /// How long everything may take to become ready, in seconds.
    #[serde(default = "default_patience")]
    pub patience_seconds: u64,
}

fn default_patience() -> u64 {
    180
}

/// An object that must not be there.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct Absent(Manifest);

impl TryFrom<String> for Absent {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parts: Vec<&str> = text.rsplitn(3, '/').collect();
        let [name, kind, version] = parts.as_slice() else {
            return Err(format!(
                "`{text}` is not API version, kind and name with slashes between"
            ));
        };
        let object = serde_json::json!({"apiVersion": version, "kind": kind, "metadata": {"name": name}});
        Ok(Absent(Manifest {
            origin: "steps.toml".to_owned(),
            object,
        }))
    }
}

impl Steps {
    /// Reads `steps.toml`, checks that every app it names is in the bundle, and keeps the steps that these values ask for.
    pub fn read(bundle: &Bundle, values: &Values) -> Result<Steps, Error> {
        let failed = |reason: String| Error::Steps {
            origin: "steps.toml".to_owned(),
            reason,
        };
        let bytes = bundle
            .get("steps.toml")
            .ok_or_else(|| failed("the bundle has none".to_owned()))?;
        let text = std::str::from_utf8(bytes).map_err(|e| failed(e.to_string()))?;
        let mut steps: Steps =
            toml::from_str(text).map_err(|e| failed(e.to_string().trim_end().to_owned()))?;
        for app in steps.steps.iter().flat_map(|s| &s.apps) {
            if !bundle.folders().contains(&app.as_str()) {
                return Err(failed(format!(
                    "no folder `{app}`: there are {}",
                    bundle.folders().join(", ")
                )));
            }
        }
        for (path, _) in steps.steps.iter().flat_map(|s| &s.when) {
            if values.get(path).is_none() {
                return Err(failed(format!(
                    "`when` names the value `{path}`, which is not there"
                )));
            }
        }
        let taken = |step: &Step| {
            step.when
                .iter()
                .all(|(path, wanted)| values.get(path) == Some(wanted))
        };
        steps.steps.retain(taken);
        Ok(steps)
    }
}

/// What happens while steps run.
#[derive(Debug, Clone)]
pub enum Event {
    /// A step begins.
    Started {
        /// The step's name.
        step: String,
        /// Its title.
        title: String,
    },
    /// A step has waited for a while, and why.
    Waiting {
        /// The step's name.
        step: String,
        /// Seconds since it began.
        seconds: f64,
        /// The cluster's own words.
        reason: String,
    },
    /// A step is done.
    Done(StepTiming),
}

/// How long a step took.
#[derive(Debug, Clone, Serialize)]
pub struct StepTiming {
    /// The step's name.
    pub name: String,
    /// Its title.
    pub title: String,
    /// Seconds from the first step's beginning to this one's.
    pub begun_s: f64,
    /// Seconds until everything was applied.
    pub applied_s: f64,
    /// Seconds until everything was ready.
    pub ready_s: f64,
    /// Objects applied.
    pub objects: usize,
    /// What was waited for and what it came to, such as `redis 6/6`, `redis-init done`.
    pub reached: Vec<String>,
}

/// Renders one app's manifests, and the ConfigMap `APP-config` of the files in its `config/` folder if it has one.
/// Templates end in `.j2`, manifests in `.yaml`; configuration files ending in `.j2` are rendered too.
pub fn render_app(
    bundle: &Bundle,
    app: &str,
    namespace: &str,
    values: &Values,
) -> Result<Vec<Manifest>, Error> {
    let templates = Templates::default();
    let text = |path: &str, bytes: &[u8]| {
        let text = std::str::from_utf8(bytes).map_err(|e| Error::Manifest {
            origin: path.to_owned(),
            reason: e.to_string(),
        })?;
        if path.ends_with(".j2") {
            templates.render(path, text, values)
        } else {
            Ok(text.to_owned())
        }
    };
    let mut manifests = Vec::new();
    let mut config = Entries::default();
    let mut has_config = false;
    for (path, bytes) in bundle.below(app) {
        let below = path.strip_prefix(app).unwrap_or(path).trim_start_matches('/');
        if let Some(file) = below.strip_prefix("config/") {
            let is_template = file.ends_with(".j2");
            let content = if is_template {
                text(path, bytes)?.into_bytes()
            } else {
                bytes.to_vec()
            };
            config.add(file.strip_suffix(".j2").unwrap_or(file), content)?;
            has_config = true;
        } else if !below.contains('/') && (below.ends_with(".yaml") || below.ends_with(".yaml.j2")) {
            manifests.extend(parse(path, &text(path, bytes)?)?);
        }
    }
    if has_config {
        let mut object = config.into_object(&format!("{app}-config"), Some(namespace));
        object["metadata"]["labels"] = serde_json::json!({
            "app.kubernetes.io/name": app, "app.kubernetes.io/part-of": "cncfdemo",
        });
        mark(&mut manifests, &object);
        manifests.insert(
            0,
            Manifest {
                origin: format!("{app}/config/"),
                object,
            },
        );
    }
    Ok(manifests)
}

/// Marks the Deployments that mount a ConfigMap with what is in it: their programs read it once, when they begin. A StatefulSet's
/// members stay, whose restart costs more than a setting is worth.
fn mark(manifests: &mut [Manifest], config: &Value) {
    let name = &config["metadata"]["name"];
    let content = format!("{}{}", config["data"], config["binaryData"]);
    let digest = format!("{:x}", Sha256::digest(content));
    for manifest in manifests.iter_mut().filter(|m| m.kind() == "Deployment") {
        let template = &mut manifest.object["spec"]["template"];
        let volumes = template["spec"]["volumes"].as_array();
        if volumes
            .into_iter()
            .flatten()
            .any(|v| v["configMap"]["name"] == *name)
        {
            template["metadata"]["annotations"]["cncfdemo.io/config"] = digest.as_str().into();
        }
    }
}

/// Renders everything first, so that a mistake shows before anything is changed; then applies step after step, each one
/// waited for until all of it is ready. Safe to run again.
pub async fn run(
    client: &Client,
    bundle: &Bundle,
    namespace: &str,
    values: &Values,
    on_event: &(dyn Fn(Event) + Sync),
) -> Result<Vec<StepTiming>, Error> {
    let steps = Steps::read(bundle, values)?;
    let mut rendered = Vec::new();
    for step in &steps.steps {
        let mut manifests = Vec::new();
        for app in &step.apps {
            manifests.extend(render_app(bundle, app, namespace, values)?);
        }
        rendered.push((step, manifests));
    }
    let begun = Instant::now();
    let applier = Applier::new(client.clone(), namespace, false);
    let mut timings = Vec::new();
    for (step, manifests) in rendered {
        if is_unnecessary(client, &applier, step, &manifests).await? {
            continue;
        }
        on_event(Event::Started {
            step: step.name.clone(),
            title: step.title.clone(),
        });
        let step_begun = Instant::now();
        let absent: Vec<Manifest> = step.absent.iter().map(|a| a.0.clone()).collect();
        for result in applier.delete(&absent).await {
            result?;
        }
        for result in applier.apply(&manifests).await {
            result?;
        }
        let applied_s = step_begun.elapsed().as_secs_f64();
        let reached = wait_all(client, step, namespace, &manifests, on_event).await?;
        let timing = StepTiming {
            name: step.name.clone(),
            title: step.title.clone(),
            begun_s: (step_begun - begun).as_secs_f64(),
            applied_s,
            ready_s: step_begun.elapsed().as_secs_f64(),
            objects: manifests.len(),
            reached,
        };
        on_event(Event::Done(timing.clone()));
        timings.push(timing);
    }
    Ok(timings)
}

/// Deletes what [`run`] applies, last step first. Namespaces go last.
pub async fn teardown(
    client: &Client,
    bundle: &Bundle,
    namespace: &str,
    values: &Values,
) -> Result<usize, Error> {
    let applier = Applier::new(client.clone(), namespace, false);
    let mut count = 0;
    for step in Steps::read(bundle, values)?.steps.iter().rev() {
        for app in &step.apps {
            let mut manifests = render_app(bundle, app, namespace, values)?;
            if step.unless_api.is_some() {
                manifests = owned(&applier, manifests).await?;
            }
            count += manifests.len();
            for result in applier.delete(&manifests).await {
                result?;
            }
        }
    }
    Ok(count)
}

/// Whether somebody else serves the API that a step would bring.
async fn is_unnecessary(
    client: &Client,
    applier: &Applier,
    step: &Step,
    manifests: &[Manifest],
) -> Result<bool, Error> {
    let Some(api) = &step.unless_api else {
        return Ok(false);
    };
    let groups = client
        .list_api_groups()
        .await
        .map_err(Error::api("ask for the API groups"))?;
    let mut versions = groups.groups.iter().flat_map(|group| &group.versions);
    if versions.all(|version| version.group_version != *api) {
        return Ok(false);
    }
    // Served, but perhaps because of an earlier run of this step.
    Ok(owned(applier, manifests.to_vec()).await?.is_empty())
}

/// The manifests whose objects are there and are ours.
async fn owned(applier: &Applier, manifests: Vec<Manifest>) -> Result<Vec<Manifest>, Error> {
    let mut ours = Vec::new();
    for manifest in manifests {
        if applier.owns(&manifest).await? {
            ours.push(manifest);
        }
    }
    Ok(ours)
}

async fn wait_all(
    client: &Client,
    step: &Step,
    namespace: &str,
    manifests: &[Manifest],
    on_event: &(dyn Fn(Event) + Sync),
) -> Result<Vec<String>, Error> {
    let waits = manifests
        .iter()
        .filter(|m| matches!(m.kind(), "Deployment" | "StatefulSet" | "DaemonSet" | "Job"))
        .map(|m| wait_one(client, step, m.namespace().unwrap_or(namespace), m, on_event));
    try_join_all(waits).await
}

/// Follows one workload by a watch until it is ready, has failed, or the step's patience is over. After three seconds it
/// tells what it waits for, and again whenever that changes. Returns its name and what it came to.
async fn wait_one(
    client: &Client,
    step: &Step,
    namespace: &str,
    manifest: &Manifest,
    on_event: &(dyn Fn(Event) + Sync),
) -> Result<String, Error> {
    use futures::StreamExt as _;
    let (group, version) = manifest
        .api_version()
        .split_once('/')
        .unwrap_or(("", manifest.api_version()));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, manifest.kind()));
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let config = watcher::Config::default().fields(&format!("metadata.name={}", manifest.name()));
    let mut objects = std::pin::pin!(watcher(api, config).default_backoff().applied_objects());
    let begun = Instant::now();
    let patience = Duration::from_secs(step.patience_seconds);
    let not_ready = |reason: String| Error::NotReady {
        step: step.name.clone(),
        object: format!("{}/{}", manifest.kind().to_lowercase(), manifest.name()),
        reason,
    };
    let mut last = String::from("has not appeared");
    let mut told = String::new();
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            next = objects.next() => match next {
                Some(Ok(object)) => {
                    let mut value = serde_json::to_value(&object).unwrap_or_default();
                    value["kind"] = manifest.kind().into();
                    match readiness(&value) {
                        Readiness::Ready => return Ok(format!("{} {}", manifest.name(), reached(&value))),
                        Readiness::Failed(reason) => return Err(not_ready(format!("failed: {reason}"))),
                        Readiness::Waiting(reason) => last = reason,
                    }
                }
                // The watcher backs off and reconnects by itself; patience is what ends it.
                Some(Err(e)) => last = format!("cannot be watched: {e}"),
                None => return Err(not_ready("can no longer be watched".to_owned())),
            },
            _ = tick.tick() => {
                let over = begun.elapsed() > patience;
                if begun.elapsed() < Duration::from_secs(3) && !over {
                    continue;
                }
                let why = explain(client, namespace, &selector(manifest)).await.ok().flatten();
                let reason = why.unwrap_or_else(|| format!("{}/{}: {last}", manifest.kind().to_lowercase(), manifest.name()));
                if over {
                    return Err(not_ready(format!("is not ready after {} s: {reason}", patience.as_secs())));
                }
                if reason != told {
                    told.clone_from(&reason);
                    on_event(Event::Waiting { step: step.name.clone(), seconds: begun.elapsed().as_secs_f64(), reason });
                }
            }
        }
    }
}

/// The label selector of a workload's pods.
fn selector(manifest: &Manifest) -> String {
    if manifest.kind() == "Job" {
        return format!("job-name={}", manifest.name());
    }
    let labels = manifest
        .object
        .pointer("/spec/selector/matchLabels")
        .and_then(Value::as_object);
    let pairs = labels
        .into_iter()
        .flatten()
        .filter_map(|(k, v)| Some(format!("{k}={}", v.as_str()?)));
    pairs.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::File;

    fn bundle() -> Bundle {
        let file = |path: &str, text: &str| File {
            path: path.to_owned(),
            bytes: text.as_bytes().to_vec(),
        };
        Bundle::new([
            file(
                "steps.toml",
                "[[step]]\nname = 'a'\ntitle = 'A'\napps = ['web']\n",
            ),
            file(
                "web/10-web.yaml.j2",
                "apiVersion: v1\nkind: Service\nmetadata: {name: {{ name }}}\n",
            ),
            file("web/config/site.conf.j2", "port {{ port }}\n"),
            file("web/config/raw.bin", "x"),
            file("web/image.toml", "nothing for the cluster"),
        ])
    }

    #[test]
    fn a_changed_configuration_changes_the_deployments_that_mount_it() {
        let deployment = |name: &str, config: &str| Manifest {
            origin: String::new(),
            object: serde_json::json!({"kind": "Deployment", "metadata": {"name": name}, "spec": {"template": {"spec": {
                "volumes": [{"name": "c", "configMap": {"name": config}}]}}}}),
        };
        let config =
            |text: &str| serde_json::json!({"metadata": {"name": "web-config"}, "data": {"a": text}});
        let marked = |text: &str| {
            let mut manifests = [
                deployment("web", "web-config"),
                deployment("other", "other-config"),
            ];
            mark(&mut manifests, &config(text));
            manifests.map(|m| {
                m.object["spec"]["template"]["metadata"]["annotations"]["cncfdemo.io/config"].clone()
            })
        };
        let ([one, other], [two, _]) = (marked("1"), marked("2"));
        assert!(
            one.is_string() && one != two && other.is_null(),
            "{one} {two} {other}"
        );
    }

    #[test]
    fn configuration_files_are_found_and_become_a_config_map() {
        let mut values = Values::new();
        values.merge_toml("v", "name = 'web'\nport = 80\n").unwrap();
        let rendered = render_app(&bundle(), "web", "ns", &values).unwrap();
        assert_eq!(
            rendered.iter().map(Manifest::kind).collect::<Vec<_>>(),
            ["ConfigMap", "Service"]
        );
        assert_eq!(rendered[0].name(), "web-config");
        assert_eq!(
            rendered[0].object["data"],
            serde_json::json!({"site.conf": "port 80\n", "raw.bin": "x"})
        );
        assert_eq!(rendered[1].name(), "web");
    }

    #[test]
    fn a_step_that_names_no_folder_or_no_object_is_refused() {
        let values = Values::new();
        assert!(Steps::read(&bundle(), &values).is_ok());
        for (step, says) in [
            ("apps=['nope']", "no folder `nope`"),
            ("absent=['Deployment']", "is not API version, kind and name"),
            ("when={ 'a.b' = 1 }", "names the value `a.b`"),
        ] {
            let broken = steps(&format!("[[step]]\nname='a'\ntitle='A'\n{step}\n"));
            let error = Steps::read(&broken, &values).unwrap_err().to_string();
            assert!(error.contains(says), "{step}: {error}");
        }
    }

    #[test]
    fn values_choose_steps() {
        let bundle = steps(
            "[[step]]\nname='on'\ntitle='A'\nwhen={ 'work.kind' = 'a' }\n[[step]]\nname='off'\ntitle='B'\nwhen={ 'work.kind' = 'none' }\nabsent=['apps/v1/Deployment/work', 'v1/Service/work']\n",
        );
        let mut values = Values::new();
        let mut names = |kind: &str| {
            values.insert("work.kind", kind.into());
            let steps = Steps::read(&bundle, &values).unwrap().steps;
            steps
                .iter()
                .map(|s| {
                    (
                        s.name.clone(),
                        s.absent.iter().map(|a| a.0.api_version().to_owned()).collect(),
                    )
                })
                .collect::<Vec<(String, Vec<String>)>>()
        };
        assert_eq!(names("a"), [("on".to_owned(), vec![])]);
        assert_eq!(
            names("none"),
            [("off".to_owned(), vec!["apps/v1".to_owned(), "v1".to_owned()])]
        );
        assert_eq!(names("b"), []);
    }

    fn steps(text: &str) -> Bundle {
        Bundle::new([File {
            path: "steps.toml".into(),
            bytes: text.as_bytes().to_vec(),
        }])
    }
}
