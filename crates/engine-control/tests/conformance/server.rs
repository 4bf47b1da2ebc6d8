use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine_control::Controllers;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, Patch, PatchParams, PostParams};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::json;
use tokio::runtime::Runtime;

/// The API server with its controllers on a port of loopback, until it is dropped.
pub struct Server {
    kubeconfig: PathBuf,
    _controllers: Controllers,
    _runtime: Runtime,
    _folder: tempfile::TempDir,
}

impl Server {
    pub fn start() -> Server {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        let controllers = runtime.block_on(serve(&kubeconfig, folder.path()));
        Server {
            kubeconfig,
            _controllers: controllers,
            _runtime: runtime,
            _folder: folder,
        }
    }

    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }
}

async fn serve(kubeconfig: &Path, folder: &Path) -> Controllers {
    let pki = Pki::new();
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .unwrap();
    let port = listener.local_addr().unwrap().port();
    let api = engine_api::Config {
        service_account_keys: vec![KeyPair::generate().unwrap().serialize_pem()],
        ca_pem: pki.ca.as_ref().pem(),
        advertise: Some((Ipv4Addr::new(10, 0, 0, 1), port)),
        ..Default::default()
    }
    .build()
    .await
    .unwrap();
    let mut config = engine_control::Config::new(
        api.client(
            "system:kube-controller-manager",
            &["system:masters"],
            "kube-controller-manager/1",
        ),
        api.client("system:kube-scheduler", &["system:masters"], "kube-scheduler/1"),
        pki.ca.as_ref().pem(),
        folder.join("volumes"),
    );
    // Nobody renews the node's lease.
    config.node_monitor_grace_seconds = 24 * 3600;
    config.ca_key = Some(pki.ca.key().serialize_pem());
    let signer = api.clone();
    config.sign_secret_token = Some(Arc::new(move |wanted| {
        signer.secret_token(wanted.namespace, wanted.account, wanted.uid, wanted.secret)
    }));
    let controllers = config.build();
    node(&api.client("kubernetes-admin", &["system:masters"], "kubelet/1")).await;
    std::fs::write(kubeconfig, pki.kubeconfig(port)).unwrap();
    let tls = Arc::new(pki.server());
    tokio::spawn(async move { api.serve(listener, tls, std::future::pending()).await });
    controllers
}

/// A node that says it is Ready and never runs anything.
async fn node(client: &kube::Client) {
    let nodes: Api<Node> = Api::all(client.clone());
    let node = json!({"metadata": {"name": "node-1", "labels": {"kubernetes.io/hostname": "node-1"}}});
    let node = serde_json::from_value(node).unwrap();
    nodes.create(&PostParams::default(), &node).await.unwrap();
    let resources = json!({"cpu": "2", "memory": "8Gi", "pods": "110"});
    let conditions = json!([{"type": "Ready", "status": "True", "reason": "KubeletReady"}]);
    let status =
        json!({"status": {"capacity": resources, "allocatable": resources, "conditions": conditions}});
    nodes
        .patch_status("node-1", &PatchParams::default(), &Patch::Merge(&status))
        .await
        .unwrap();
}

struct Pki {
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    fn new() -> Pki {
        let mut parameters = CertificateParams::new(Vec::<String>::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters
            .distinguished_name
            .push(DnType::CommonName, "kubernetes");
        let ca = CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap();
        Pki { ca }
    }

    fn server(&self) -> rustls::ServerConfig {
        let key = KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate = CertificateParams::new(names)
            .unwrap()
            .signed_by(&key, &self.ca)
            .unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.ca.as_ref().der().clone()).unwrap();
        let verifier = rustls::server::WebPkiClientVerifier::builder(Arc::new(roots))
            .allow_unauthenticated()
            .build()
            .unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
        let mut tls = rustls::ServerConfig::builder()
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        tls
    }

    /// As `kubernetes-admin` in `system:masters`.
    fn kubeconfig(&self, port: u16) -> String {
        let key = KeyPair::generate().unwrap();
        let mut admin = CertificateParams::new(Vec::<String>::new()).unwrap();
        let name = &mut admin.distinguished_name;
        name.push(DnType::CommonName, "kubernetes-admin");
        name.push(DnType::OrganizationName, "system:masters");
        admin.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let admin = admin.signed_by(&key, &self.ca).unwrap();
        let encoded = |pem: String| STANDARD.encode(pem);
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "case",
            "clusters": [{"name": "case", "cluster": {"server": format!("https://127.0.0.1:{port}"),
                "certificate-authority-data": encoded(self.ca.as_ref().pem())}}],
            "users": [{"name": "case", "user": {"client-certificate-data": encoded(admin.pem()),
                "client-key-data": encoded(key.serialize_pem())}}],
            "contexts": [{"name": "case", "context": {"cluster": "case", "user": "case"}}],
        });
        kubeconfig.to_string()
    }
}
