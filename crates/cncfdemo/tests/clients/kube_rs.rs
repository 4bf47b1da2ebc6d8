//! kube-rs' runtime over TLS: watchers and their stores across the death of the engine, a controller with finalizers and children.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::finalizer::{Event, finalizer};
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, Resource as _, ResourceExt as _};
use serde_json::json;
use testkit::{Cluster, State, eventually, machine};

fn map(name: &str, label: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name, "labels": {"role": label}}}))
        .expect("a ConfigMap")
}

fn names(store: &Store<ConfigMap>) -> Vec<String> {
    let mut names: Vec<String> = store.state().iter().map(|o| o.name_any()).collect();
    names.sort_unstable();
    names
}

fn says(what: &str, store: &Store<ConfigMap>, expected: &[&str]) {
    eventually(what, || {
        let now = names(store);
        (now == expected)
            .then_some(())
            .ok_or_else(|| format!("the store has {now:?}"))
    });
}

#[test]
fn stores_follow_across_the_death_of_the_engine() {
    if testkit::skipped_without_root("kube-rs' watchers") {
        return;
    }
    let _machine = machine::shared();
    let cluster = Cluster::new(&State::shared(), "stores");
    cluster.bootstrap();
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client(), "default");
    let make = |name: &str, label: &str| {
        cluster
            .wait(
                "a ConfigMap",
                maps.create(&PostParams::default(), &map(name, label)),
            )
            .unwrap();
    };
    make("first", "seen");
    make("other", "unseen");
    let selected = watcher::Config::default().labels("role=seen");
    let stores: Vec<(Store<ConfigMap>, _)> = [
        selected.clone(),
        selected.clone().page_size(1),
        selected.streaming_lists(),
        watcher::Config::default().fields("metadata.name=first"),
    ]
    .into_iter()
    .map(|config| {
        let (store, writer) = reflector::store();
        let events = reflector::reflector(writer, watcher(maps.clone(), config).default_backoff());
        let followed = cluster.spawn(events.for_each(|_| std::future::ready(())));
        (store, followed)
    })
    .collect();
    let all = |what: &str, expected: &[&str], alone: &[&str]| {
        for (store, _) in &stores[..3] {
            says(what, store, expected);
        }
        says(what, &stores[3].0, alone);
    };
    all("what was there", &["first"], &["first"]);
    make("second", "seen");
    all("what came", &["first", "second"], &["first"]);

    let engine = cluster.engine();
    testkit::kill(engine);
    cluster.new_engine(engine);
    make("third", "seen");
    cluster
        .wait("it goes", maps.delete("first", &DeleteParams::default()))
        .unwrap();
    let left = json!({"metadata": {"labels": {"role": "unseen"}}});
    cluster
        .wait(
            "it leaves",
            maps.patch("second", &PatchParams::default(), &Patch::Merge(left)),
        )
        .unwrap();
    all("what happened after the engine's death", &["third"], &[]);
    for (_, followed) in stores {
        followed.abort();
    }
}

/// What the controller below works with.
struct Context {
    client: Client,
    cleaned: AtomicUsize,
}

/// A parent has a Secret of its own name, and gives it up by a finalizer.
async fn reconcile(
    parent: Arc<ConfigMap>,
    context: Arc<Context>,
) -> Result<Action, kube::runtime::finalizer::Error<kube::Error>> {
    let parents: Api<ConfigMap> = Api::namespaced(context.client.clone(), "default");
    finalizer(&parents, "cncfdemo.test/parent", parent, |event| async {
        match event {
            Event::Apply(parent) => {
                let secrets: Api<Secret> = Api::namespaced(context.client.clone(), "default");
                let child = json!({
                    "apiVersion": "v1", "kind": "Secret",
                    "metadata": {"name": parent.name_any(), "ownerReferences": [parent.controller_owner_ref(&())]},
                    "stringData": {"of": parent.name_any()},
                });
                let by = PatchParams::apply("parent-controller").force();
                secrets.patch(&parent.name_any(), &by, &Patch::Apply(child)).await?;
            }
            Event::Cleanup(_) => {
                context.cleaned.fetch_add(1, Ordering::SeqCst);
            }
        }
        Ok(Action::await_change())
    })
    .await
}

#[test]
fn a_controller_keeps_children_and_cleans_up() {
    if testkit::skipped_without_root("kube-rs' controller") {
        return;
    }
    let _machine = machine::shared();
    let cluster = Cluster::new(&State::shared(), "controller");
    cluster.bootstrap();
    let client = cluster.client();
    let parents: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    let secrets: Api<Secret> = Api::namespaced(client.clone(), "default");
    let context = Arc::new(Context {
        client,
        cleaned: AtomicUsize::new(0),
    });
    let controller = Controller::new(parents.clone(), watcher::Config::default().labels("role=parent"))
        .owns(secrets.clone(), watcher::Config::default())
        .run(
            reconcile,
            |_, _, _| Action::requeue(Duration::from_millis(100)),
            context.clone(),
        );
    let running = cluster.spawn(controller.for_each(|_| std::future::ready(())));

    let parent = cluster
        .wait(
            "a parent",
            parents.create(&PostParams::default(), &map("parent", "parent")),
        )
        .unwrap();
    let child = |than: Option<&str>| {
        eventually("a child", || {
            let found = cluster
                .wait("the child", secrets.get_opt("parent"))
                .map_err(|e| format!("{e:?}"))?;
            let other = found.filter(|c| c.uid().as_deref() != than);
            other.ok_or_else(|| "there is none".to_owned())
        })
    };
    let first = child(None);
    assert_eq!(first.owner_references()[0].uid, parent.uid().unwrap());
    let kept = cluster.wait("the parent", parents.get("parent")).unwrap();
    assert_eq!(kept.finalizers(), ["cncfdemo.test/parent"]);
    cluster
        .wait(
            "the child goes",
            secrets.delete("parent", &DeleteParams::default()),
        )
        .unwrap();
    let second = child(first.uid().as_deref());

    cluster
        .wait(
            "the parent goes",
            parents.delete("parent", &DeleteParams::foreground()),
        )
        .unwrap();
    eventually("both are gone", || {
        let (parent, child) = cluster.wait("what is left", async {
            (parents.get_opt("parent").await, secrets.get_opt("parent").await)
        });
        let left = (
            parent.map_err(|e| e.to_string())?,
            child.map_err(|e| e.to_string())?,
        );
        (left == (None, None))
            .then_some(())
            .ok_or_else(|| format!("{left:?}, the second child was {second:?}"))
    });
    // At least once is what kube-rs promises: the child's going wakes the controller again, which may still hold the parent
    // as it was before its finalizer went (kube-runtime 5, `finalizer`: clean-up has to be idempotent).
    assert!(
        context.cleaned.load(Ordering::SeqCst) >= 1,
        "the finalizer never ran"
    );
    running.abort();
}
