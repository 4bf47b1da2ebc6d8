//! `cncfdemo stop`: take the demo down and keep the cluster.
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams};
use kube::runtime::wait::{await_condition, conditions};
use serde_json::json;

use crate::cli::Stop;
use crate::printer::Printer;
use crate::settings::Settings;
use crate::{cluster, images};

/// Deletes the demo's namespace and what it has outside of it, and waits until it is gone.
pub async fn run(args: &Stop, settings: &Settings, printer: &Printer) -> anyhow::Result<()> {
    let client = cluster::client(settings).await?;
    let bundle = crate::apps::bundle(None)?;
    let mut values = crate::apps::values(&bundle, None, &[])?;
    values.insert("namespace", args.namespace.as_str().into());
    // What is taken down has images, but nobody needs to know which.
    images::stand_in(&mut values);
    deploy::teardown(&client, &bundle, &args.namespace, &values).await?;
    let namespaces: Api<Namespace> = Api::all(client);
    if let Some(namespace) = namespaces.get_opt(&args.namespace).await? {
        let uid = namespace.metadata.uid.unwrap_or_default();
        if namespace.metadata.deletion_timestamp.is_none() {
            namespaces
                .delete(&args.namespace, &DeleteParams::default())
                .await?;
        }
        await_condition(namespaces, &args.namespace, conditions::is_deleted(&uid)).await?;
    }
    let cluster = match settings.context {
        None => "the cluster stays (cncfdemo destroy takes it down)",
        Some(_) => "the cluster is as it was",
    };
    printer.text(format!(
        "the demo in namespace {} is gone; {cluster}",
        args.namespace
    ));
    printer.data(&json!({"stopped": args.namespace}));
    Ok(())
}
