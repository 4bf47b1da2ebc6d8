//! The cluster's DNS server, bound in the backbone; other names go to the host's resolvers.

mod forward;
mod records;
mod wire;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::Semaphore,
    task::JoinHandle,
    time::timeout,
};

use crate::{Catalog, ClusterNet, Error, Result};
use forward::Upstreams;
use records::Zone;
use wire::Step;

/// How long a connection may be idle.
const IDLE: Duration = Duration::from_secs(10);
/// Forwarded queries and TCP connections at a time.
const MOST_WAITING: usize = 512;

/// Settings of the DNS server.
#[derive(Debug, Clone)]
pub struct DnsConfig {
    /// The cluster's domain.
    pub domain: String,
    /// Who knows other names: the host's resolvers. With none, other names are refused at once.
    pub upstreams: Vec<SocketAddr>,
}

impl Default for DnsConfig {
    fn default() -> Self {
        Self {
            domain: "cluster.local".into(),
            upstreams: Vec::new(),
        }
    }
}

/// The running server. Dropped, it stops.
#[derive(Debug)]
pub struct Dns {
    tasks: [JoinHandle<()>; 2],
    address: SocketAddr,
}

impl Dns {
    /// Binds UDP and TCP port 53 of the backbone's address and answers from the catalog.
    pub fn start(net: &ClusterNet, catalog: Arc<Catalog>, config: DnsConfig) -> Result<Self> {
        let plan = net.plan().addresses;
        let address = SocketAddr::new(IpAddr::V4(plan.backbone()), 53);
        let failed = |source| Error::Socket {
            what: "serve DNS on",
            address,
            source,
        };
        let udp = UdpSocket::from_std(net.backbone().bind_udp(address)?).map_err(failed)?;
        let tcp = TcpListener::from_std(net.backbone().bind_tcp(address)?).map_err(failed)?;
        let domain = config
            .domain
            .trim_matches('.')
            .split('.')
            .map(str::to_ascii_lowercase)
            .collect();
        let server = Arc::new(Server {
            zone: Zone {
                domain,
                ranges: plan.ranges().to_vec(),
            },
            catalog,
            upstreams: Upstreams::new(config.upstreams),
            waiting: Arc::new(Semaphore::new(MOST_WAITING)),
        });
        let tasks = [
            tokio::spawn(serve_udp(Arc::clone(&server), Arc::new(udp))),
            tokio::spawn(serve_tcp(server, tcp)),
        ];
        Ok(Self { tasks, address })
    }

    /// Where it listens, in the backbone's namespace.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

#[derive(Debug)]
struct Server {
    zone: Zone,
    catalog: Arc<Catalog>,
    upstreams: Upstreams,
    waiting: Arc<Semaphore>,
}

impl Server {
    /// The rest of a step that needs others.
    async fn finish(&self, step: Step, query: &[u8], tcp: bool) -> Option<Vec<u8>> {
        match step {
            Step::Reply(bytes) => Some(bytes),
            Step::Ignore => None,
            Step::Forward(message) => match self.upstreams.ask(query, tcp).await {
                Ok(answer) => Some(answer),
                Err(code) => wire::refuse(&message, code, tcp),
            },
            Step::Complete(reply, onward) => {
                let mut question = hickory_proto::op::Message::query();
                question.metadata.recursion_desired = true;
                question.add_query(onward);
                let found = self.upstreams.ask(&question.to_vec().ok()?, tcp).await.ok();
                wire::complete(*reply, found.as_deref(), query, tcp)
            }
        }
    }
}

async fn serve_udp(server: Arc<Server>, socket: Arc<UdpSocket>) {
    let mut buffer = vec![0u8; 4096];
    loop {
        let (length, peer) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            // An earlier answer could not be delivered; the socket itself is fine.
            Err(error) => {
                tracing::debug!(%error, "receiving a DNS query");
                tokio::task::yield_now().await;
                continue;
            }
        };
        let query = &buffer[..length];
        match wire::handle(query, &server.zone, &server.catalog, false) {
            Step::Reply(bytes) => {
                if let Err(error) = socket.send_to(&bytes, peer).await {
                    tracing::debug!(%error, %peer, "answering a DNS query");
                }
            }
            Step::Ignore => {}
            step => {
                // Too many are waiting: the client will ask again.
                let Ok(permit) = Arc::clone(&server.waiting).try_acquire_owned() else {
                    continue;
                };
                let (server, socket, query) = (Arc::clone(&server), Arc::clone(&socket), query.to_vec());
                tokio::spawn(async move {
                    let _permit = permit;
                    if let Some(bytes) = server.finish(step, &query, false).await
                        && let Err(error) = socket.send_to(&bytes, peer).await
                    {
                        tracing::debug!(%error, %peer, "answering a DNS query");
                    }
                });
            }
        }
    }
}

async fn serve_tcp(server: Arc<Server>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let Ok(permit) = Arc::clone(&server.waiting).try_acquire_owned() else {
                    continue;
                };
                let server = Arc::clone(&server);
                tokio::spawn(async move {
                    let _permit = permit;
                    if let Err(error) = converse(&server, stream).await {
                        tracing::debug!(%error, %peer, "a DNS connection ended");
                    }
                });
            }
            Err(error) => {
                // Out of descriptors, most likely: others have to end first.
                tracing::warn!(%error, "accepting a DNS connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn converse(server: &Server, mut stream: TcpStream) -> std::io::Result<()> {
    loop {
        let mut length = [0; 2];
        match timeout(IDLE, stream.read_exact(&mut length)).await {
            Ok(Ok(_)) => {}
            // Idle, or closed by the client: both are how such a connection ends.
            Ok(Err(_)) | Err(_) => return Ok(()),
        }
        let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
        timeout(IDLE, stream.read_exact(&mut query)).await??;
        let step = wire::handle(&query, &server.zone, &server.catalog, true);
        let Some(bytes) = server.finish(step, &query, true).await else {
            return Ok(());
        };
        let mut framed = u16::try_from(bytes.len())
            .unwrap_or(u16::MAX)
            .to_be_bytes()
            .to_vec();
        framed.extend_from_slice(&bytes);
        timeout(IDLE, stream.write_all(&framed)).await??;
    }
}
