//! The engine's own processes: what `PROGRAM __runtime DIR` and `PROGRAM __engine DIR` do.
mod audit;
mod control;
mod dns_service;
mod fleet;
mod hooks;
mod line;
mod pages;
mod readiness;
mod watchdog;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use engine_api::ApiServer;
use engine_net::{AddressPlan, Catalog, ClusterNet, Dns, DnsConfig, HostPorts, NetPlan, ServiceProxy};
use kube::Client;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::signal::unix::{SignalKind, signal};

use self::fleet::{Fleet, Parts};
use crate::lock::Lock;
use crate::pki::{Pair, Pki};
use crate::{Error, Paths, Plan};

/// Runs the runtime daemon of the cluster in this folder. Must be called before the process has a second thread.
pub fn runtime_daemon(dir: &Path, program: PathBuf) -> Result<(), Error> {
    let paths = Paths::of_dir(dir)?;
    // A bootstrap that was killed may have started this one while `destroy` took the cluster down: `destroy` takes the
    // file away before it looks for processes, so either it finds this one or this one finds the file gone.
    if !paths.enabled().exists() {
        return Err(Error::NotFound(paths.name().to_owned()));
    }
    // Already a session leader when started from a shell's job; nothing is lost then.
    let _ = rustix::process::setsid();
    let engine_argv = vec![
        program.into_os_string(),
        "__engine".into(),
        paths.dir().into_os_string(),
    ];
    let mut config = engine_runtime::DaemonConfig::new(paths.dir(), engine_argv);
    config.system_cgroup = Some(format!(
        "{}/{}/system",
        engine_runtime::cgroup::GROUP,
        paths.name()
    ));
    engine_runtime::run(config).map_err(|e| Error::part("runtime daemon")(Box::new(e)))
}

/// Runs everything else until SIGTERM. Waits while another engine of this cluster lives.
pub fn engine(dir: &Path, program: PathBuf) -> Result<(), Error> {
    let paths = Paths::of_dir(dir)?;
    let _lock = Lock::wait(&paths.run().join("engine.lock"))?;
    readiness::forget(&paths)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("engine")
        .build()
        .map_err(|e| Error::part("async runtime")(Box::new(e)))?;
    let done = runtime.block_on(async {
        let engine = Engine::start(&paths, program).await?;
        let mut terminate =
            signal(SignalKind::terminate()).map_err(|e| Error::part("signals")(Box::new(e)))?;
        terminate.recv().await;
        tracing::info!("asked to end; containers go on");
        drop(engine);
        Ok(())
    });
    // Watches and connections that are still open are of no use any more.
    runtime.shutdown_timeout(Duration::from_millis(200));
    done
}

/// The parts of a running engine, in the order in which they are taken down.
struct Engine {
    _pages: tokio::task::JoinHandle<()>,
    _readiness: tokio::task::JoinHandle<()>,
    _watchdog: tokio::task::JoinHandle<()>,
    _control: tokio::task::JoinHandle<()>,
    _deadlines: tokio::task::JoinHandle<()>,
    _controllers: engine_control::Controllers,
    _host_ports: HostPorts,
    _dns: Dns,
    _proxy: ServiceProxy,
    _catalog: tokio::task::JoinHandle<()>,
    _servers: Vec<tokio::task::JoinHandle<()>>,
}

impl Engine {
    async fn start(paths: &Paths, program: PathBuf) -> Result<Engine, Error> {
        let plan = Plan::read(paths)?.ok_or_else(|| Error::NotFound(paths.name().to_owned()))?;
        let pki = Pki::ensure(paths, &plan)?;
        let addresses = plan.addresses()?;
        let net_plan = NetPlan {
            name: plan.name.clone(),
            run_dir: paths.run(),
            addresses,
        };
        let (net, api) = tokio::join!(
            ClusterNet::ensure(net_plan),
            build_api(paths, &plan, addresses, &pki)
        );
        let net = net.map_err(|e| Error::part("pod network")(Box::new(e)))?;
        let api = api?;
        let tls = server_tls(&pki)?;
        let servers = serve(&api, &net, &plan, &tls)?;

        let proxy_client = client(&api, "system:kube-proxy", "kube-proxy");
        let (catalog, catalog_task) = Catalog::watch(&proxy_client);
        dns_service::ensure(&proxy_client, addresses).await?;
        let proxy = ServiceProxy::start(net.clone(), catalog.clone());
        let dns_config = DnsConfig {
            upstreams: upstreams(),
            ..DnsConfig::default()
        };
        let dns = Dns::start(&net, catalog.clone(), dns_config)
            .map_err(|e| Error::part("cluster DNS")(Box::new(e)))?;
        let host_ports = HostPorts::start(
            catalog,
            client(&api, "system:service-controller", "service-controller"),
        );

        let controllers = controllers(paths, &plan, &api, &pki);
        let runtime = watchdog::connect(paths, &program).await?;
        let fleet = Fleet::start(Parts {
            paths: paths.clone(),
            plan,
            api: api.clone(),
            net: net.clone(),
            runtime: runtime.clone(),
            tls,
        })
        .await?;
        api.set_metrics_source(Arc::new(hooks::Metrics(fleet.reachable().clone())));
        api.set_network(Arc::new(hooks::Backbone(net)));
        api.set_node_streams(Arc::new(fleet.reachable().clone()));
        Ok(Engine {
            _pages: tokio::spawn(pages::let_go()),
            _readiness: readiness::report(paths.clone(), client(&api, "system:apiserver", "cncfdemo-engine")),
            _watchdog: watchdog::keep(paths.clone(), program, runtime),
            _deadlines: fleet.keep_deadlines(),
            _control: control::serve(paths, fleet)?,
            _controllers: controllers,
            _host_ports: host_ports,
            _dns: dns,
            _proxy: proxy,
            _catalog: catalog_task,
            _servers: servers,
        })
    }
}

async fn build_api(
    paths: &Paths,
    plan: &Plan,
    addresses: AddressPlan,
    pki: &Pki,
) -> Result<ApiServer, Error> {
    let config = engine_api::Config {
        store_dir: Some(paths.store()),
        service_cidr: addresses.services(),
        dns_ip: Some(addresses.dns_service()),
        service_account_keys: vec![pki.service_accounts.clone()],
        ca_pem: pki.ca.cert.clone(),
        front_proxy: Some(engine_api::FrontProxy {
            ca_pem: pki.front_proxy.0.cert.clone(),
            identity: identity(&pki.front_proxy.1),
        }),
        node_client: Some(identity(&pki.node_client)),
        advertise: Some((addresses.backbone(), 6443)),
        audit: Some(audit::to_file(paths)?),
        not_ready_toleration_seconds: plan.lifecycle.not_ready_toleration,
        unreachable_toleration_seconds: plan.lifecycle.unreachable_toleration,
        ..engine_api::Config::default()
    };
    config
        .build()
        .await
        .map_err(|e| Error::part("API server")(Box::new(e)))
}

fn identity(pair: &Pair) -> engine_api::ClientIdentity {
    engine_api::ClientIdentity {
        cert_pem: pair.cert.clone(),
        key_pem: pair.key.clone(),
    }
}

/// A client of one of the engine's own parts: trusted, since they are one process.
fn client(api: &ApiServer, user: &str, agent: &str) -> Client {
    api.client(
        user,
        &["system:masters", "system:authenticated"],
        &format!("{agent}/v1.36.2"),
    )
}

fn controllers(paths: &Paths, plan: &Plan, api: &ApiServer, pki: &Pki) -> engine_control::Controllers {
    let mut config = engine_control::Config::new(
        client(api, "system:kube-controller-manager", "kube-controller-manager"),
        client(api, "system:kube-scheduler", "kube-scheduler"),
        pki.ca.cert.clone(),
        paths.volumes(),
    );
    config.ca_key = Some(pki.ca.key.clone());
    let signer = api.clone();
    config.sign_secret_token = Some(Arc::new(move |wanted| {
        signer.secret_token(wanted.namespace, wanted.account, wanted.uid, wanted.secret)
    }));
    config.node_monitor_grace_seconds = plan.lifecycle.node_monitor_grace;
    let volumes = paths.volumes();
    config.remove_folder = Some(Arc::new(move |folder: PathBuf| {
        // Only what lies below the cluster's own folder of volumes, whatever a PersistentVolume says.
        if folder.starts_with(&volumes) && folder != volumes {
            if let Err(e) = fs::remove_dir_all(&folder) {
                tracing::warn!("failed to remove released volume {}: {e}", folder.display());
            }
        } else {
            tracing::warn!("released volume {} is not ours to remove", folder.display());
        }
    }));
    config.build()
}

/// Listens on the host's loopback and on the backbone.
fn serve(
    api: &ApiServer,
    net: &ClusterNet,
    plan: &Plan,
    tls: &Arc<rustls::ServerConfig>,
) -> Result<Vec<tokio::task::JoinHandle<()>>, Error> {
    let port = plan.api_port;
    let taken = |e: std::io::Error| Error::Part {
        part: "API server",
        reason: format!("failed to listen on 127.0.0.1:{port}: {e}"),
    };
    let host = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(taken)?;
    host.set_nonblocking(true).map_err(taken)?;
    let inside = SocketAddr::from((plan.addresses()?.backbone(), 6443));
    let inside = net
        .backbone()
        .bind_tcp(inside)
        .map_err(|e| Error::part("API server")(Box::new(e)))?;
    [host, inside]
        .into_iter()
        .map(|listener| {
            let listener = tokio::net::TcpListener::from_std(listener).map_err(taken)?;
            let (api, tls) = (api.clone(), tls.clone());
            Ok(tokio::spawn(async move {
                api.serve(listener, tls, std::future::pending()).await
            }))
        })
        .collect()
}

/// TLS with the cluster's serving certificate; clients may show a certificate of its authority.
fn server_tls(pki: &Pki) -> Result<Arc<rustls::ServerConfig>, Error> {
    let failed = |e: String| Error::Pki(e);
    let certificates = |pem: &str| {
        CertificateDer::pem_slice_iter(pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| failed(e.to_string()))
    };
    let mut roots = rustls::RootCertStore::empty();
    for certificate in certificates(&pki.ca.cert)? {
        roots.add(certificate).map_err(|e| failed(e.to_string()))?;
    }
    let verifier = rustls::server::WebPkiClientVerifier::builder(Arc::new(roots))
        .allow_unauthenticated()
        .build()
        .map_err(|e| failed(e.to_string()))?;
    let key = PrivateKeyDer::from_pem_slice(pki.server.key.as_bytes()).map_err(|e| failed(e.to_string()))?;
    let mut config = rustls::ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates(&pki.server.cert)?, key)
        .map_err(|e| failed(e.to_string()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The host's resolvers; the engine asks them from the host's own network, so a stub on loopback is fine.
fn upstreams() -> Vec<SocketAddr> {
    let text = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver")?.trim().parse().ok())
        .map(|ip: std::net::IpAddr| SocketAddr::new(ip, 53))
        .collect()
}
