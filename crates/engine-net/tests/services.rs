//! Services on a real kernel: every path by which a client reaches an endpoint. Needs root; says so and passes without.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;

use std::{
    collections::BTreeMap,
    io::{self, ErrorKind, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use common::{Cluster, PATIENCE};
use engine_net::{Catalog, Namespace, PodNet, ServiceProxy};
use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use serde_json::json;

/// A pod that tells, over TCP and UDP at port 8080, who it is and whom it sees.
struct Server {
    pod: PodNet,
    space: Namespace,
    node: u8,
}

impl Server {
    async fn start(cluster: &Cluster, node: u8, name: &str) -> Self {
        let pod = cluster.node(node).attach_pod(name).await.unwrap();
        let space = pod.namespace().unwrap();
        let any = SocketAddr::from(([0, 0, 0, 0], 8080));
        let tcp: TcpListener = space.bind_tcp(any).unwrap();
        tcp.set_nonblocking(false).unwrap();
        let udp: UdpSocket = space.bind_udp(any).unwrap();
        udp.set_nonblocking(false).unwrap();
        let (own, also) = (name.to_owned(), name.to_owned());
        std::thread::spawn(move || {
            while let Ok((mut stream, peer)) = tcp.accept() {
                let _ = write!(stream, "{own} {}", peer.ip());
            }
        });
        std::thread::spawn(move || {
            let mut buffer = [0; 64];
            while let Ok((_, peer)) = udp.recv_from(&mut buffer) {
                let _ = udp.send_to(format!("{also} {}", peer.ip()).as_bytes(), peer);
            }
        });
        Self { pod, space, node }
    }
}

fn tcp(from: Option<&Namespace>, to: (Ipv4Addr, u16)) -> io::Result<String> {
    tcp_within(PATIENCE, from, to)
}

/// Asks where there should be no answer: a refusal comes at once, also on a slow machine, and silence is not waited for longer.
fn in_vain(from: Option<&Namespace>, to: (Ipv4Addr, u16)) -> io::Result<String> {
    tcp_within(Duration::from_secs(1), from, to)
}

fn tcp_within(patience: Duration, from: Option<&Namespace>, to: (Ipv4Addr, u16)) -> io::Result<String> {
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&SocketAddr::from(to), patience)?;
        stream.set_read_timeout(Some(patience))?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    from.map_or_else(ask, |space| space.run(ask).unwrap())
}

fn udp_socket(from: &Namespace, to: (Ipv4Addr, u16)) -> UdpSocket {
    let socket = from.bind_udp(SocketAddr::from(([0, 0, 0, 0], 0))).unwrap();
    socket.set_nonblocking(false).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(SocketAddr::from(to)).unwrap();
    socket
}

fn udp(socket: &UdpSocket) -> io::Result<String> {
    socket.send(b"?")?;
    let mut buffer = [0; 64];
    let length = socket.recv(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

fn service(name: &str, spec: serde_json::Value) -> Service {
    serde_json::from_value(json!({"metadata": {"name": name, "namespace": "ns"}, "spec": spec})).unwrap()
}

fn slice(service: &str, servers: &[&Server]) -> EndpointSlice {
    let endpoints: Vec<_> = servers
        .iter()
        .map(|server| {
            json!({
                "addresses": [server.pod.ip.to_string()],
                "conditions": {"ready": true},
                "nodeName": format!("node-{}", server.node),
            })
        })
        .collect();
    serde_json::from_value(json!({
        "metadata": {"name": format!("{service}-1"), "namespace": "ns", "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [{"name": "t", "port": 8080}, {"name": "u", "port": 8080, "protocol": "UDP"}],
    }))
    .unwrap()
}

/// Catalog and proxy; changes wait until they are programmed.
struct Proxy {
    catalog: Arc<Catalog>,
    proxy: ServiceProxy,
}

impl Proxy {
    async fn start(cluster: &Cluster) -> Self {
        let catalog = Arc::new(Catalog::default());
        catalog.set_synced();
        let proxy = ServiceProxy::start(cluster.net.clone(), catalog.clone());
        tokio::time::timeout(PATIENCE, proxy.ready())
            .await
            .expect("the first rules");
        Self { catalog, proxy }
    }

    async fn apply(&self, change: impl FnOnce(&Catalog)) {
        let mut rounds = self.proxy.rounds();
        rounds.borrow_and_update();
        change(&self.catalog);
        programmed(&mut rounds).await;
        // That round may have begun in the midst of the change. The next one has not, and there is one when something changes.
        let number = *rounds.borrow();
        let marker = json!({"clusterIP": "None", "ports": [{"name": "t", "port": 1 + number % 1000}]});
        self.catalog.apply_service(&service("marker", marker));
        programmed(&mut rounds).await;
    }
}

async fn programmed(rounds: &mut tokio::sync::watch::Receiver<u64>) {
    tokio::time::timeout(PATIENCE, rounds.changed())
        .await
        .expect("programmed")
        .unwrap();
}

fn is_refused(outcome: &io::Result<String>) -> bool {
    matches!(outcome, Err(error) if error.kind() == ErrorKind::ConnectionRefused)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_path_reaches_every_endpoint() {
    let Some(cluster) = Cluster::new("paths", 2).await else {
        return;
    };
    let plan = cluster.net.plan().addresses;
    let [_, second, ..] = plan.services().network().octets();
    let vip = Ipv4Addr::new(10, second, 0, 7);
    let proxy = Proxy::start(&cluster).await;
    let a = Server::start(&cluster, 1, "a").await;
    let b = Server::start(&cluster, 1, "b").await;
    let c = Server::start(&cluster, 2, "c").await;
    let spec = json!({"type": "NodePort", "clusterIP": vip.to_string(), "externalIPs": ["10.255.255.9"], "ports": [
        {"name": "t", "port": 80, "nodePort": 30080}, {"name": "u", "port": 53, "protocol": "UDP", "nodePort": 30053}]});
    proxy
        .apply(|catalog| catalog.apply_service(&service("web", spec.clone())))
        .await;

    // No endpoints: refused at once, wherever it is asked from.
    let (host, backbone) = (None, Some(cluster.net.backbone()));
    let (node1, node2) = (cluster.node(1), cluster.node(2));
    for from in [
        host,
        backbone,
        Some(node1.namespace()),
        Some(&a.space),
        Some(&c.space),
    ] {
        for to in [
            (vip, 80),
            (node1.address(), 30080),
            (plan.backbone(), 30080),
            (vip, 9999),
        ] {
            let outcome = in_vain(from, to);
            assert!(is_refused(&outcome), "{to:?}: {outcome:?}");
        }
    }
    let outcome = udp(&udp_socket(&a.space, (vip, 53)));
    assert!(is_refused(&outcome), "{outcome:?}");

    proxy
        .apply(|catalog| catalog.apply_slice(&slice("web", &[&a, &b, &c])))
        .await;
    let all = ["a", "b", "c"];
    let clients: [(&str, Option<&Namespace>, String); 7] = [
        ("host", host, plan.host().to_string()),
        ("backbone", backbone, plan.backbone().to_string()),
        ("node 1", Some(node1.namespace()), node1.address().to_string()),
        ("node 2", Some(node2.namespace()), node2.address().to_string()),
        ("pod a", Some(&a.space), a.pod.ip.to_string()),
        ("pod b", Some(&b.space), b.pod.ip.to_string()),
        ("pod c", Some(&c.space), c.pod.ip.to_string()),
    ];
    let targets = [
        ("ClusterIP", (vip, 80), (vip, 53)),
        ("node 1", (node1.address(), 30080), (node1.address(), 30053)),
        ("node 2", (node2.address(), 30080), (node2.address(), 30053)),
        ("backbone", (plan.backbone(), 30080), (plan.backbone(), 30053)),
    ];
    let mut asked = 0;
    for (who, from, address) in &clients {
        for (target, to, to_udp) in targets {
            let mut seen: BTreeMap<String, usize> = BTreeMap::new();
            for _ in 0..60 {
                let answer = tcp(*from, to).unwrap_or_else(|error| panic!("{who} to {target}: {error}"));
                let (server, client) = answer.split_once(' ').unwrap();
                *seen.entry(server.to_owned()).or_default() += 1;
                let itself = who.strip_prefix("pod ") == Some(server);
                if target == "ClusterIP" && !itself {
                    assert_eq!(client, address, "{who} keeps its address");
                }
                asked += 1;
            }
            assert_eq!(
                seen.keys().map(String::as_str).collect::<Vec<_>>(),
                all,
                "{who} to {target}: {seen:?}"
            );
            if let Some(from) = from {
                for _ in 0..10 {
                    let answer = udp(&udp_socket(from, to_udp));
                    assert!(answer.is_ok(), "{who} to {target} by UDP: {answer:?}");
                    asked += 1;
                }
            }
        }
    }
    let answer = tcp(Some(&a.space), (Ipv4Addr::new(10, 255, 255, 9), 80));
    assert!(answer.is_ok(), "{answer:?}");
    eprintln!("{asked} requests answered");

    // A UDP flow to an endpoint that is gone moves to one that lives.
    let flow = udp_socket(&a.space, (vip, 53));
    let first = udp(&flow).unwrap();
    let rest: Vec<&Server> = [&a, &b, &c]
        .into_iter()
        .filter(|server| !first.starts_with(&server.pod.uid))
        .collect();
    assert_eq!(first, udp(&flow).unwrap(), "a flow stays");
    proxy
        .apply(|catalog| catalog.apply_slice(&slice("web", &rest)))
        .await;
    let second = udp(&flow).unwrap();
    assert_ne!(first.split(' ').next(), second.split(' ').next());

    // A new engine's proxy takes over without a gap.
    drop(proxy.proxy);
    assert!(tcp(None, (vip, 80)).is_ok());
    let catalog = proxy.catalog;
    let taken = ServiceProxy::start(cluster.again().await, catalog.clone());
    taken.ready().await;
    let proxy = Proxy {
        catalog,
        proxy: taken,
    };
    assert!(tcp(None, (vip, 80)).is_ok());

    // Gone is gone.
    proxy.apply(|catalog| catalog.delete_service("ns", "web")).await;
    assert!(is_refused(&in_vain(None, (vip, 80))));
}

#[tokio::test(flavor = "multi_thread")]
async fn affinity_and_local_policies() {
    let Some(cluster) = Cluster::new("policies", 2).await else {
        return;
    };
    let plan = cluster.net.plan().addresses;
    let [_, second, ..] = plan.services().network().octets();
    let vip = |last| Ipv4Addr::new(10, second, 1, last);
    let proxy = Proxy::start(&cluster).await;
    let a = Server::start(&cluster, 1, "a").await;
    let b = Server::start(&cluster, 1, "b").await;
    let c = Server::start(&cluster, 2, "c").await;
    let ports = json!([{"name": "t", "port": 80}]);
    proxy
        .apply(|catalog| {
            let spec = json!({"clusterIP": vip(1).to_string(), "sessionAffinity": "ClientIP", "ports": ports});
            catalog.apply_service(&service("sticky", spec));
            let spec = json!({"clusterIP": vip(2).to_string(), "internalTrafficPolicy": "Local", "ports": ports});
            catalog.apply_service(&service("near", spec));
            let spec = json!({"clusterIP": vip(3).to_string(), "type": "NodePort", "externalTrafficPolicy": "Local",
                "ports": [{"name": "t", "port": 80, "nodePort": 31000}]});
            catalog.apply_service(&service("seen", spec));
            catalog.apply_slice(&slice("sticky", &[&a, &b, &c]));
            catalog.apply_slice(&slice("near", &[&a, &b]));
            catalog.apply_slice(&slice("seen", &[&a]));
        })
        .await;
    let server = |answer: io::Result<String>| answer.unwrap().split(' ').next().unwrap().to_owned();

    for from in [None, Some(&a.space), Some(&b.space), Some(&c.space)] {
        let first = server(tcp(from, (vip(1), 80)));
        for _ in 0..30 {
            assert_eq!(server(tcp(from, (vip(1), 80))), first);
        }
    }
    let kept = server(tcp(None, (vip(1), 80)));
    let rest: Vec<&Server> = [&a, &b, &c]
        .into_iter()
        .filter(|server| server.pod.uid != kept)
        .collect();
    proxy
        .apply(|catalog| catalog.apply_slice(&slice("sticky", &rest)))
        .await;
    let moved = server(tcp(None, (vip(1), 80)));
    assert_ne!(moved, kept);
    for _ in 0..30 {
        assert_eq!(server(tcp(None, (vip(1), 80))), moved, "sticks to the new one");
    }

    for _ in 0..20 {
        assert!(["a", "b"].contains(&server(tcp(Some(&a.space), (vip(2), 80))).as_str()));
    }
    let far = in_vain(Some(&c.space), (vip(2), 80));
    assert!(
        matches!(&far, Err(error) if error.kind() == ErrorKind::TimedOut),
        "{far:?}"
    );

    // From outside: the client's address is kept on the node that has an endpoint, the other one is silent.
    let (one, two) = (cluster.node(1).address(), cluster.node(2).address());
    assert_eq!(tcp(None, (one, 31000)).unwrap(), format!("a {}", plan.host()));
    assert!(in_vain(None, (two, 31000)).is_err());
    assert_eq!(
        server(tcp(Some(&c.space), (two, 31000))),
        "a",
        "pods are not outside"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_never_seen_half_made() {
    let Some(cluster) = Cluster::new("atomic", 2).await else {
        return;
    };
    let [_, second, ..] = cluster.net.plan().addresses.services().network().octets();
    let vip = Ipv4Addr::new(10, second, 2, 1);
    let proxy = Proxy::start(&cluster).await;
    let a = Server::start(&cluster, 1, "a").await;
    let b = Server::start(&cluster, 1, "b").await;
    let c = Server::start(&cluster, 2, "c").await;
    let spec = json!({"clusterIP": vip.to_string(), "ports": [{"name": "t", "port": 80}]});
    proxy
        .apply(|catalog| {
            catalog.apply_slice(&slice("busy", &[&a]));
            catalog.apply_service(&service("busy", spec));
        })
        .await;
    let stop = Arc::new(AtomicBool::new(false));
    let answered: Arc<[AtomicU32; 3]> = Arc::default();
    let clients: Vec<_> = [None, Some(b.space.clone()), Some(c.space.clone())]
        .into_iter()
        .enumerate()
        .map(|(number, from)| {
            let (stop, answered) = (stop.clone(), answered.clone());
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    tcp(from.as_ref(), (vip, 80)).unwrap();
                    answered[number].fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let sets: [&[&Server]; 5] = [&[&a], &[&a, &b, &c], &[&b], &[&c, &a], &[&c]];
    // Every client has had its turn often, in however many rounds.
    let begun = Instant::now();
    let enough = || answered.iter().all(|count| count.load(Ordering::Relaxed) > 50);
    let mut round = 0;
    while round < 200 || !enough() {
        round += 1;
        proxy
            .apply(|catalog| catalog.apply_slice(&slice("busy", sets[round % sets.len()])))
            .await;
        let ended = clients.iter().any(std::thread::JoinHandle::is_finished);
        if ended || (round >= 200 && begun.elapsed() > PATIENCE) {
            break;
        }
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().unwrap();
    }
    eprintln!("answered during {round} changes: {answered:?}");
    assert!(enough(), "{answered:?}");
    if std::env::var_os("SHOW_RULES").is_some() {
        let space = cluster.node(1).namespace().path().display().to_string();
        eprintln!(
            "{}",
            common::run(&format!("nsenter --net={space} nft list ruleset"))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_services() {
    let Some(cluster) = Cluster::new("thousand", 2).await else {
        return;
    };
    let [_, second, ..] = cluster.net.plan().addresses.services().network().octets();
    let proxy = Proxy::start(&cluster).await;
    let a = Server::start(&cluster, 1, "a").await;
    let b = Server::start(&cluster, 2, "b").await;
    let vip = |number: u16| {
        let [high, low] = number.to_be_bytes();
        Ipv4Addr::new(10, second, 10 + high, low)
    };
    let start = Instant::now();
    proxy
        .apply(|catalog| {
            for number in 0..1000u16 {
                let name = format!("service-{number}");
                let spec = json!({"type": "NodePort", "clusterIP": vip(number).to_string(),
                    "ports": [{"name": "t", "port": 80, "nodePort": 30000 + number}]});
                catalog.apply_service(&service(&name, spec));
                catalog.apply_slice(&slice(&name, &[&a, &b]));
            }
        })
        .await;
    // More than one round may have been needed.
    let deadline = Instant::now() + PATIENCE;
    while [None, Some(&a.space), Some(&b.space)]
        .iter()
        .any(|from| tcp(*from, (vip(999), 80)).is_err())
    {
        assert!(Instant::now() < deadline);
    }
    eprintln!("1000 services in three namespaces: {:?}", start.elapsed());
    for number in [0, 1, 500, 999] {
        assert!(tcp(Some(&a.space), (vip(number), 80)).is_ok());
    }
    let start = Instant::now();
    proxy
        .apply(|catalog| catalog.apply_slice(&slice("service-7", &[&a])))
        .await;
    eprintln!("one change among them: {:?}", start.elapsed());
    let start = Instant::now();
    for _ in 0..200 {
        tcp(Some(&a.space), (vip(7), 80)).unwrap();
    }
    eprintln!("connection: {:?}", start.elapsed() / 200);
    let taken = ServiceProxy::start(cluster.again().await, proxy.catalog.clone());
    let start = Instant::now();
    taken.ready().await;
    eprintln!("replacing the backbone's table: {:?}", start.elapsed());
}
