//! Every namespace has a ServiceAccount `default` and the cluster's certificate authority as ConfigMap `kube-root-ca.crt`
//! (pkg/controller/serviceaccount, pkg/controller/certificates/rootcacertpublisher).

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tokio::task::JoinSet;

use crate::Error;
use crate::context::{Context, ROOT_CA_NAME};
use crate::meta::{Key, Meta};
use crate::queue::{Outcome, Queue, run};

pub(crate) fn start(context: &Arc<Context>, tasks: &mut JoinSet<()>) {
    let queue = Queue::new();
    let q = Arc::clone(&queue);
    context.namespaces.on_change(move |change| {
        if let Some(namespace) = change.new.filter(|n| !n.deleting()) {
            q.add(namespace.name().to_owned());
        }
    });
    let q = Arc::clone(&queue);
    context.service_accounts.on_change(move |change| {
        if let (Some(old), None) = (change.old, change.new) {
            q.add(old.ns().to_owned());
        }
    });
    let q = Arc::clone(&queue);
    context.root_cas.on_change(move |change| {
        if let Some(map) = change.any() {
            q.add(map.ns().to_owned());
        }
    });
    let context = Arc::clone(context);
    run(tasks, "serviceaccount", &queue, 4, move |namespace| {
        sync(Arc::clone(&context), namespace)
    });
}

async fn sync(context: Arc<Context>, namespace: String) -> Outcome {
    if context
        .namespaces
        .get(&Key::new("", &namespace))
        .is_none_or(|n| n.deleting())
    {
        return Ok(None);
    }
    let meta = |name: &str| ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(namespace.clone()),
        ..ObjectMeta::default()
    };
    if context
        .service_accounts
        .get(&Key::new(&namespace, "default"))
        .is_none()
    {
        let account = ServiceAccount {
            metadata: meta("default"),
            ..ServiceAccount::default()
        };
        tolerate(context.service_accounts.create(&account).await)?;
    }
    let data = BTreeMap::from([("ca.crt".to_owned(), context.config.root_ca.clone())]);
    let description = (
        "kubernetes.io/description".to_owned(),
        "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service \
         IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters."
            .to_owned(),
    );
    match context.root_cas.get(&Key::new(&namespace, ROOT_CA_NAME)) {
        None => {
            let mut map = ConfigMap {
                metadata: meta(ROOT_CA_NAME),
                data: Some(data),
                ..ConfigMap::default()
            };
            map.metadata.annotations = Some([description].into());
            tolerate(context.root_cas.create(&map).await)?;
        }
        Some(found) if found.data.as_ref() != Some(&data) => {
            let mut map = (*found).clone();
            map.data = Some(data);
            map.metadata
                .annotations
                .get_or_insert_default()
                .extend([description]);
            context.root_cas.update(&found, &map).await?;
        }
        Some(_) => {}
    }
    Ok(None)
}

fn tolerate<T>(result: Result<T, Error>) -> Result<(), Error> {
    match result {
        Ok(_) => Ok(()),
        Err(error) if error.is_exists() || error.is_namespace_terminating() => Ok(()),
        Err(error) => Err(error),
    }
}
