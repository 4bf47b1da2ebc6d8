//! Namespaces, nodes and pods on a real kernel. Needs root; says so and passes without it.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use common::{Cluster, PATIENCE};
use engine_net::{ClusterNet, Namespace, NetPlan, Protocol, PublishedPort, destroy};

/// Answers each connection with the address it saw.
fn serve(namespace: &Namespace, port: u16) -> SocketAddr {
    let listener: TcpListener = namespace
        .bind_tcp(SocketAddr::from(([0, 0, 0, 0], port)))
        .unwrap();
    listener.set_nonblocking(false).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let peer = stream.peer_addr().unwrap().ip().to_string();
            let _ = stream.write_all(peer.as_bytes());
        }
    });
    address
}

fn ask(from: Option<&Namespace>, to: SocketAddr) -> std::io::Result<String> {
    ask_within(PATIENCE, from, to)
}

/// Why there is no answer, where there should be none.
fn unanswered(from: Option<&Namespace>, to: SocketAddr) -> std::io::ErrorKind {
    match ask_within(Duration::from_secs(2), from, to) {
        Err(error) => error.kind(),
        Ok(answer) => panic!("{to} answers {answer}"),
    }
}

fn ask_within(patience: Duration, from: Option<&Namespace>, to: SocketAddr) -> std::io::Result<String> {
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&to, patience)?;
        stream.set_read_timeout(Some(patience))?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    match from {
        Some(namespace) => namespace.run(ask).unwrap(),
        None => ask(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_reach_each_other_and_a_restart_finds_them() {
    let Some(cluster) = Cluster::new("pods", 2).await else {
        return;
    };
    let (one, two) = (cluster.node(1), cluster.node(2));
    let a = one.attach_pod("pod-a").await.unwrap();
    let b = one.attach_pod("pod-b").await.unwrap();
    let c = two.attach_pod("pod-c").await.unwrap();
    assert_eq!(one.attach_pod("pod-a").await.unwrap(), a);
    assert_ne!(a.ip, b.ip);
    assert!(two.pod_range().contains(&c.ip));

    let spaces: Vec<Namespace> = [&a, &b, &c].iter().map(|pod| pod.namespace().unwrap()).collect();
    for space in &spaces {
        serve(space, 80);
    }
    for (from, pod) in spaces.iter().zip([&a, &b, &c]) {
        for to in [&a, &b, &c] {
            let answer = ask(Some(from), SocketAddr::from((to.ip, 80))).unwrap();
            assert_eq!(answer, pod.ip.to_string(), "{} to {}", pod.uid, to.uid);
        }
    }
    let plan = cluster.net.plan().addresses;
    for to in [&a, &b, &c] {
        // From the host, from either node's own namespace and from the backbone.
        let to = SocketAddr::from((to.ip, 80));
        assert_eq!(ask(None, to).unwrap(), plan.host().to_string());
        assert_eq!(ask(Some(one.namespace()), to).unwrap(), one.address().to_string());
        assert_eq!(ask(Some(two.namespace()), to).unwrap(), two.address().to_string());
        assert_eq!(
            ask(Some(cluster.net.backbone()), to).unwrap(),
            plan.backbone().to_string()
        );
    }
    let via = cluster
        .net
        .backbone()
        .connect_tcp(SocketAddr::from((c.ip, 80)), PATIENCE)
        .await;
    assert!(via.is_ok(), "{via:?}");

    // Ports on the node's own address, from everywhere, itself included; they go with the pod.
    let port = PublishedPort {
        protocol: Protocol::Tcp,
        ip: None,
        port: 8080,
        target: 80,
    };
    one.publish("pod-a", vec![port]).await.unwrap();
    let published = SocketAddr::from((one.address(), 8080));
    assert_eq!(ask(None, published).unwrap(), plan.host().to_string());
    assert_eq!(ask(Some(&spaces[1]), published).unwrap(), b.ip.to_string());
    assert_eq!(ask(Some(&spaces[2]), published).unwrap(), c.ip.to_string());
    assert!(ask(Some(&spaces[0]), published).is_ok(), "a pod reaches itself");
    one.publish("pod-a", Vec::new()).await.unwrap();
    unanswered(None, published);

    // A pod that is gone answers at once, and does not circle.
    let gone = SocketAddr::from((std::net::Ipv4Addr::from(u32::from(c.ip) + 1), 80));
    for gone in [gone, SocketAddr::new([10, 64, 0, 0].into(), 1)] {
        assert_ne!(
            unanswered(Some(&spaces[0]), gone),
            std::io::ErrorKind::TimedOut,
            "{gone}"
        );
    }

    // Another engine process finds the same.
    let again = cluster.again().await;
    let node = again.ensure_node(1, "node-1").await.unwrap();
    let mut found = node.pods();
    found.sort_by_key(|pod| pod.ip);
    assert_eq!(found, [a.clone(), b.clone()]);
    assert_eq!(node.attach_pod("pod-a").await.unwrap(), a);
    assert_eq!(
        ask(Some(&spaces[1]), SocketAddr::from((a.ip, 80))).unwrap(),
        b.ip.to_string()
    );
    node.detach_pod("pod-b").await.unwrap();
    assert!(!b.netns.exists());
    unanswered(None, SocketAddr::from((b.ip, 80)));
    let d = node.attach_pod("pod-d").await.unwrap();
    assert_ne!(d.ip, b.ip, "a freed address rests");

    // Pull the cable, plug it in again.
    again.cut(1).await.unwrap();
    unanswered(None, SocketAddr::from((a.ip, 80)));
    assert_eq!(
        ask(None, SocketAddr::from((c.ip, 80))).unwrap(),
        plan.host().to_string()
    );
    again.heal(1).await.unwrap();
    assert_eq!(
        ask(None, SocketAddr::from((a.ip, 80))).unwrap(),
        plan.host().to_string()
    );

    // A node goes, with its pods.
    again.ensure_node(2, "node-2").await.unwrap();
    again.remove_node(2).await.unwrap();
    assert!(again.node(2).is_none() && !c.netns.exists());
    unanswered(None, SocketAddr::from((c.ip, 80)));

    // Another cluster's destroy under the same name keeps its hands off.
    let stranger = tempfile::tempdir().unwrap();
    let failures = destroy(stranger.path(), &cluster.net.plan().name);
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert_eq!(
        ask(None, SocketAddr::from((a.ip, 80))).unwrap(),
        plan.host().to_string()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_clusters_with_one_index_the_first_keeps_it() {
    let Some(cluster) = Cluster::new("first", 1).await else {
        return;
    };
    let a = cluster.node(1).attach_pod("pod-a").await.unwrap();
    serve(&a.namespace().unwrap(), 80);
    let dir = tempfile::tempdir().unwrap();
    let first = cluster.net.plan();
    let name = format!("{}-second", first.name);
    let plan = NetPlan {
        name: name.clone(),
        run_dir: dir.path().to_owned(),
        addresses: first.addresses,
    };
    let error = ClusterNet::ensure(plan).await.unwrap_err();
    assert!(matches!(error, engine_net::Error::RangeTaken(_)), "{error}");
    assert!(ask(None, SocketAddr::from((a.ip, 80))).is_ok());
    let failures = destroy(dir.path(), &name);
    assert!(failures.is_empty(), "{failures:?}");
    assert!(ask(None, SocketAddr::from((a.ip, 80))).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn half_made_networks_are_repaired() {
    let Some(cluster) = Cluster::new("repair", 1).await else {
        return;
    };
    let node = cluster.node(1);
    let a = node.attach_pod("pod-a").await.unwrap();
    // The pod's link is lost, as if the engine had died before making it; another is an orphan.
    let b = node.attach_pod("pod-b").await.unwrap();
    if ["ip", "nsenter"].iter().any(|tool| !common::has(tool)) {
        eprintln!("skipped: no ip or no nsenter to break a network with");
        return;
    }
    common::run(&format!(
        "nsenter --net={} ip link delete {}",
        node.namespace().path().display(),
        a.link
    ));
    common::run(&format!("umount {}", b.netns.display()));
    let again = cluster.again().await;
    let node = again.ensure_node(1, "node-1").await.unwrap();
    assert_eq!(node.pods().len(), 1);
    assert!(!b.netns.exists());
    assert_eq!(node.attach_pod("pod-a").await.unwrap(), a);
    serve(&a.namespace().unwrap(), 80);
    let answer = ask(None, SocketAddr::from((a.ip, 80)));
    assert!(answer.is_ok(), "{answer:?}");

    // The host's link is lost.
    common::run(&format!("ip link delete {}", cluster.net.plan().host_link()));
    cluster.again().await;
    let answer = ask(None, SocketAddr::from((a.ip, 80)));
    assert!(answer.is_ok(), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_pods_at_once() {
    let Some(cluster) = Cluster::new("many", 1).await else {
        return;
    };
    let node = cluster.node(1);
    let start = Instant::now();
    for number in 0..20 {
        node.attach_pod(&format!("one-{number}")).await.unwrap();
    }
    eprintln!("attach one after the other: {:?} each", start.elapsed() / 20);
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..100 {
        let node = node.clone();
        tasks.spawn(async move { node.attach_pod(&format!("all-{number}")).await.unwrap().ip });
    }
    let mut ips = tasks.join_all().await;
    eprintln!("100 at once: {:?}", start.elapsed());
    ips.sort_unstable();
    ips.dedup();
    assert_eq!(ips.len(), 100);
    let start = Instant::now();
    node.detach_pod("one-0").await.unwrap();
    eprintln!("detach: {:?}", start.elapsed());
    // The range ends at 253 pods, and says so.
    for number in 0..134 {
        node.attach_pod(&format!("rest-{number}")).await.unwrap();
    }
    let error = node.attach_pod("too-many").await.unwrap_err().to_string();
    assert!(error.contains("no address left"), "{error}");
}
