//! The API server alone, for trying clients on it: `cargo run -p engine-api --example apiserver -- [PORT] [KUBECONFIG]`.
//!
//! TLS on loopback with certificates made on the spot; writes a kubeconfig and prints its path. There are no controllers here:
//! a small task stands in for the one that makes `default` service accounts and `kube-root-ca.crt`, and another empties
//! namespaces that are deleted.
#![allow(clippy::print_stdout, clippy::unwrap_used)]
use std::{net::Ipv4Addr, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use futures::TryStreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, PostParams},
    runtime::{WatchStreamExt, watcher},
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    PKCS_ECDSA_P256_SHA256,
};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let port: u16 = args.next().map_or(Ok(16443), |p| p.parse())?;
    let path = args
        .next()
        .unwrap_or_else(|| "/tmp/apiserver.kubeconfig".to_owned());
    let _ = rustls::crypto::ring::default_provider().install_default();

    let mut ca = CertificateParams::new(Vec::<String>::new())?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.distinguished_name.push(DnType::CommonName, "kubernetes");
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate()?)?;
    let server_key = KeyPair::generate()?;
    let server = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?
        .signed_by(&server_key, &ca)?;
    let admin_key = KeyPair::generate()?;
    let mut admin = CertificateParams::new(Vec::<String>::new())?;
    admin
        .distinguished_name
        .push(DnType::CommonName, "kubernetes-admin");
    admin
        .distinguished_name
        .push(DnType::OrganizationName, "system:masters");
    admin.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let admin = admin.signed_by(&admin_key, &ca)?;

    let mut roots = rustls::RootCertStore::empty();
    roots.add(ca.as_ref().der().clone())?;
    let verifier = rustls::server::WebPkiClientVerifier::builder(Arc::new(roots))
        .allow_unauthenticated()
        .build()?;
    let mut tls = rustls::ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![server.der().clone()],
            PrivateKeyDer::from_pem_slice(server_key.serialize_pem().as_bytes())?,
        )?;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];

    let token_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let api = engine_api::Config {
        service_account_keys: vec![token_key.serialize_pem()],
        ca_pem: ca.as_ref().pem(),
        advertise: Some((Ipv4Addr::LOCALHOST, port)),
        store_dir: std::env::var_os("STORE").map(Into::into),
        ..engine_api::Config::default()
    }
    .build()
    .await?;
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "x",
        "clusters": [{"name": "x", "cluster": {"server": format!("https://127.0.0.1:{port}"),
            "certificate-authority-data": STANDARD.encode(ca.as_ref().pem())}}],
        "users": [{"name": "x", "user": {"client-certificate-data": STANDARD.encode(admin.pem()),
            "client-key-data": STANDARD.encode(admin_key.serialize_pem())}}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
    });
    std::fs::write(&path, kubeconfig.to_string())?;
    let client = api.client(
        "system:kube-controller-manager",
        &["system:masters"],
        "kube-controller-manager/example",
    );
    tokio::spawn(namespaces(client, ca.as_ref().pem()));
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    println!("kubectl --kubeconfig {path}");
    api.serve(listener, Arc::new(tls), async {
        let _ = tokio::signal::ctrl_c().await;
    })
    .await;
    Ok(())
}

/// What the namespace and service-account controllers do, in small.
async fn namespaces(client: Client, ca: String) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let all: Api<Namespace> = Api::all(client.clone());
    let mut events = std::pin::pin!(watcher(all.clone(), watcher::Config::default()).touched_objects());
    while let Some(mut namespace) = events.try_next().await? {
        let name = namespace.name_any();
        if namespace.metadata.deletion_timestamp.is_none() {
            let account: ServiceAccount = serde_json::from_value(json!({"metadata": {"name": "default"}}))?;
            let _ = Api::namespaced(client.clone(), &name)
                .create(&PostParams::default(), &account)
                .await;
            let map: ConfigMap = serde_json::from_value(
                json!({"metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": ca}}),
            )?;
            let _ = Api::namespaced(client.clone(), &name)
                .create(&PostParams::default(), &map)
                .await;
            continue;
        }
        let kinds = client.list_api_groups().await?;
        let _ = kinds;
        for (group, plural) in [
            ("", "pods"),
            ("", "configmaps"),
            ("", "secrets"),
            ("", "services"),
            ("", "serviceaccounts"),
            ("apps", "deployments"),
            ("apps", "replicasets"),
            ("batch", "jobs"),
            ("batch", "cronjobs"),
            ("", "resourcequotas"),
        ] {
            let resource = kube::api::ApiResource {
                group: group.to_owned(),
                version: "v1".to_owned(),
                api_version: if group.is_empty() {
                    "v1".to_owned()
                } else {
                    format!("{group}/v1")
                },
                kind: String::new(),
                plural: plural.to_owned(),
            };
            let api: Api<kube::api::DynamicObject> = Api::namespaced_with(client.clone(), &name, &resource);
            let _ = api
                .delete_collection(&DeleteParams::default(), &kube::api::ListParams::default())
                .await;
        }
        if let Some(spec) = &mut namespace.spec {
            spec.finalizers = None;
        }
        let body = serde_json::to_vec(&namespace)?;
        let request = http::Request::put(format!("/api/v1/namespaces/{name}/finalize"))
            .header("content-type", "application/json")
            .body(body)?;
        let _ = client.request::<serde_json::Value>(request).await;
    }
    Ok(())
}
