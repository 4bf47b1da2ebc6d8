//! Which applications `start` deploys, and what has to hold before it can.
use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use deploy::Values;
use image::PullOptions;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::Client;
use kube::api::{Api, ListParams};
use preflight::{Level, Profile, Wanted};

use crate::cli::Start;
use crate::exit::Hinted;
use crate::images;
use crate::printer::Printer;
use crate::settings::Settings;

/// Images that no Debian package is, by their names in values.
const COUNTLY: [&str; 4] = ["mongo", "nginx", "countly-api", "countly-frontend"];
const GRAFANA: [&str; 1] = ["grafana"];
/// The annotation of the class that claims without one get.
const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";
/// Bytes of the key that MongoDB's members prove themselves with; its limit is 1024 characters of base64.
const KEY: usize = 96;

/// Puts what the command line chooses into the values.
pub fn choose(args: &Start, values: &mut Values) {
    if let Some(app) = args.app {
        values.insert("app", app.name().into());
        // Who can pull Countly can pull Grafana.
        if app.name() == "countly" {
            values.insert("grafana.enabled", true.into());
        }
    }
    if let Some(work) = args.background {
        values.insert("background.work", work.name().into());
    }
}

/// The application's name, which is also that of its Service.
pub fn app(values: &Values) -> String {
    let app = values.get("app").and_then(|v| v.as_str());
    app.unwrap_or("tally").to_owned()
}

/// Fails, before anything is changed, when the machine lacks what the applications need. Another cluster's nodes are not here to be asked:
/// what they lack is said by the cluster while its pods are waited for.
pub async fn check(values: &Values, settings: &Settings, printer: &Printer) -> anyhow::Result<()> {
    if settings.context.is_some() {
        return storage(values, settings).await;
    }
    if app(values) == "countly" {
        avx(settings).await?;
    }
    let mut names = Vec::new();
    if app(values) == "countly" {
        names.extend(COUNTLY);
    }
    if values.get("grafana.enabled") == Some(&true.into()) {
        names.extend(GRAFANA);
    }
    let image = |name: &&str| Some(values.get(&format!("images.{name}"))?.as_str()?.to_owned());
    let wanted: Vec<String> = names.iter().filter_map(image).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let step = printer.step("registries", "images that are pulled");
    let begun = std::time::Instant::now();
    let store = images::store(settings)?;
    // As the engine's nodes pull.
    let options = PullOptions::default();
    for image in &wanted {
        store.reach(image, &options).await.map_err(|e| Hinted {
            message: format!("{e}: nothing was changed"),
            hint: "start without --app countly (and grafana.enabled) needs no registry; images.NAME in a values file names another one"
                .to_owned(),
        })?;
    }
    step.done(begun.elapsed(), &format!("{} images can be pulled", wanted.len()));
    Ok(())
}

/// Another cluster may have no StorageClass that the store's claims get by default: they would wait for ever.
async fn storage(values: &Values, settings: &Settings) -> anyhow::Result<()> {
    let named = values
        .get("redis.storage_class")
        .and_then(|v| v.as_str())
        .is_some_and(|name| !name.is_empty());
    if named || app(values) != "tally" {
        return Ok(());
    }
    let classes: Api<StorageClass> = Api::all(crate::cluster::client(settings).await?);
    // Who may not list them may still be served by them.
    let Ok(classes) = classes.list(&ListParams::default()).await else {
        return Ok(());
    };
    let is_default = |class: &StorageClass| {
        let annotations = class.metadata.annotations.as_ref();
        annotations.is_some_and(|a| a.get(DEFAULT_CLASS).is_some_and(|v| v == "true"))
    };
    if classes.iter().any(is_default) {
        return Ok(());
    }
    let names: Vec<String> = classes.into_iter().filter_map(|c| c.metadata.name).collect();
    Err(Hinted {
        message: "the cluster has no default StorageClass for the store's claims: nothing was changed"
            .to_owned(),
        hint: match names.as_slice() {
            [] => "it has none at all: install one, or a provisioner that brings one".to_owned(),
            names => format!(
                "--set redis.storage_class=NAME uses one of its own: {}",
                names.join(", ")
            ),
        },
    }
    .into())
}

/// The doctor's check of the processor.
async fn avx(settings: &Settings) -> anyhow::Result<()> {
    let look = host::Collect {
        state_dir: settings.state.clone(),
        local_engine: false,
    };
    let facts = tokio::task::spawn_blocking(move || host::collect(&look)).await?;
    let wanted = Wanted::new(Profile::Mongodb, jiff::Timestamp::now().as_second());
    let findings = preflight::judge(&facts, &wanted);
    match findings
        .into_iter()
        .find(|f| f.id == "mongodb-avx" && f.level == Level::Fail)
    {
        Some(finding) => Err(Hinted {
            message: format!("MongoDB cannot run here: {}", finding.seen),
            hint: finding.fix,
        }
        .into()),
        None => Ok(()),
    }
}

/// The key that the cluster's MongoDB has, or a new one: a key that changed would lock members out of their set.
pub async fn keep_key(client: &Client, namespace: &str, values: &mut Values) -> anyhow::Result<()> {
    let given = values
        .get("mongodb.key")
        .and_then(|v| v.as_str())
        .is_some_and(|k| !k.is_empty());
    if given || app(values) != "countly" {
        return Ok(());
    }
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let there = secrets
        .get_opt("mongodb")
        .await?
        .and_then(|s| s.data?.remove("key"));
    let key = match there {
        Some(bytes) => String::from_utf8(bytes.0)?,
        None => {
            let mut bytes = [0; KEY];
            std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
            STANDARD.encode(bytes)
        }
    };
    values.insert("mongodb.key", key.into());
    Ok(())
}

/// A store that was made larger stays so: its further members may be all that has some of the slots.
pub async fn keep_shards(
    client: &Client,
    args: &Start,
    values: &mut Values,
    printer: &Printer,
) -> anyhow::Result<()> {
    let number = |values: &Values, path: &str| values.get(path).and_then(serde_json::Value::as_u64);
    let (Some(asked), Some(replicas)) = (
        number(values, "redis.shards"),
        number(values, "redis.replicas_per_shard"),
    ) else {
        return Ok(());
    };
    let sets: Api<StatefulSet> = Api::namespaced(client.clone(), &args.namespace);
    let members = sets
        .get_opt("redis")
        .await?
        .and_then(|set| set.spec?.replicas)
        .unwrap_or(0);
    let there = u64::try_from(members)? / (1 + replicas);
    if there <= asked {
        return Ok(());
    }
    if args.set.iter().any(|set| set.starts_with("redis.shards=")) {
        return Err(Hinted {
            message: format!(
                "the store has {there} shards and {asked} are asked for: shards are not taken away"
            ),
            hint: format!("--set redis.shards={there}, or none"),
        }
        .into());
    }
    printer.note(format!("store      keeps its {there} shards"));
    values.insert("redis.shards", there.into());
    Ok(())
}
