//! DNS as a pod uses it: by the service's address, over UDP and TCP. Needs root; says so and passes without it.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

use common::{Cluster, PATIENCE};
use engine_net::{Catalog, Dns, DnsConfig, Namespace, ServiceProxy};
use hickory_proto::{
    op::{Message, Query, ResponseCode},
    rr::{Name, RData, RecordType},
};
use serde_json::json;

fn ask(from: &Namespace, server: Ipv4Addr, name: &str, tcp: bool) -> Message {
    let mut query = Message::query();
    query.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
    let bytes = query.to_vec().unwrap();
    let server = SocketAddr::from((server, 53));
    let answer = if tcp {
        from.run(|| {
            let mut stream = TcpStream::connect_timeout(&server, PATIENCE).unwrap();
            stream.write_all(&(bytes.len() as u16).to_be_bytes()).unwrap();
            stream.write_all(&bytes).unwrap();
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut answer).unwrap();
            answer
        })
        .unwrap()
    } else {
        let socket = from.bind_udp(SocketAddr::from(([0, 0, 0, 0], 0))).unwrap();
        socket.set_nonblocking(false).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.connect(server).unwrap();
        socket.send(&bytes).unwrap();
        let mut answer = vec![0; 4096];
        let length = socket.recv(&mut answer).unwrap();
        answer.truncate(length);
        answer
    };
    let answer = Message::from_vec(&answer).unwrap();
    assert_eq!(answer.metadata.id, query.metadata.id);
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_resolve_names_by_the_service() {
    let Some(cluster) = Cluster::new("dns", 2).await else {
        return;
    };
    let plan = cluster.net.plan().addresses;
    let catalog = Arc::new(Catalog::default());
    let dns = json!({"metadata": {"name": "kube-dns", "namespace": "kube-system"}, "spec": {
        "clusterIP": plan.dns_service().to_string(),
        "ports": [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53}]}});
    let slice = json!({"metadata": {"name": "kube-dns-x", "namespace": "kube-system",
            "labels": {"kubernetes.io/service-name": "kube-dns"}},
        "addressType": "IPv4", "endpoints": [{"addresses": [plan.backbone().to_string()]}],
        "ports": [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53}]});
    catalog.apply_service(&serde_json::from_value(dns).unwrap());
    catalog.apply_slice(&serde_json::from_value(slice).unwrap());
    catalog.set_synced();
    let proxy = ServiceProxy::start(cluster.net.clone(), catalog.clone());
    proxy.ready().await;
    let server = Dns::start(&cluster.net, catalog.clone(), DnsConfig::default()).unwrap();
    let spaces: Vec<Namespace> = [
        cluster
            .node(1)
            .attach_pod("a")
            .await
            .unwrap()
            .namespace()
            .unwrap(),
        cluster
            .node(2)
            .attach_pod("b")
            .await
            .unwrap()
            .namespace()
            .unwrap(),
    ]
    .into();
    let own = RData::A(hickory_proto::rr::rdata::A(plan.dns_service()));
    let name = "kube-dns.kube-system.svc.cluster.local.";
    for space in &spaces {
        for tcp in [false, true] {
            let answer = ask(space, plan.dns_service(), name, tcp);
            assert_eq!(
                answer
                    .answers
                    .iter()
                    .map(|record| &record.data)
                    .collect::<Vec<_>>(),
                [&own]
            );
        }
        let refused = ask(space, plan.dns_service(), "example.org.", false);
        assert_eq!(refused.metadata.response_code, ResponseCode::Refused);
    }
    // A record is there as soon as its slice is.
    let db = json!({"metadata": {"name": "db", "namespace": "shop"}, "spec": {"clusterIP": "None"}});
    catalog.apply_service(&serde_json::from_value(db).unwrap());
    for number in 1..=20 {
        let slice = json!({"metadata": {"name": "db-x", "namespace": "shop", "labels": {"kubernetes.io/service-name": "db"}},
            "addressType": "IPv4", "endpoints": [{"addresses": [format!("10.64.1.{number}")], "hostname": format!("db-{number}")}]});
        catalog.apply_slice(&serde_json::from_value(slice).unwrap());
        let name = format!("db-{number}.db.shop.svc.cluster.local.");
        let answer = ask(&spaces[0], plan.dns_service(), &name, false);
        assert_eq!(answer.answers.len(), 1, "{name}");
    }
    let start = Instant::now();
    let socket = spaces[0].bind_udp(SocketAddr::from(([0, 0, 0, 0], 0))).unwrap();
    socket.set_nonblocking(false).unwrap();
    socket.connect((plan.dns_service(), 53)).unwrap();
    let mut query = Message::query();
    query.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
    let bytes = query.to_vec().unwrap();
    for _ in 0..1000 {
        socket.send(&bytes).unwrap();
        let length = socket.recv(&mut [0; 512]).unwrap();
        assert!(length > bytes.len(), "with an answer in it");
    }
    eprintln!("a query: {:?}", start.elapsed() / 1000);
    // A restarted engine can bind at once.
    drop(server);
    let mut again = Dns::start(&cluster.net, catalog.clone(), DnsConfig::default());
    let begun = Instant::now();
    while again.is_err() && begun.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(10)).await;
        again = Dns::start(&cluster.net, catalog.clone(), DnsConfig::default());
    }
    assert_eq!(
        again.unwrap().address().ip().to_string(),
        plan.backbone().to_string()
    );
}
