//! Carrying connections and datagrams from a port of the host to a service.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream, UdpSocket},
    task::{JoinHandle, JoinSet},
    time::timeout,
};

use crate::catalog::Protocol;

/// Clients of one UDP port that are remembered at a time.
const MOST_CLIENTS: usize = 1024;
/// How long a silent one is; conntrack's own time for a UDP stream is 120 s.
const IDLE: Duration = Duration::from_mins(1);
const CONNECT: Duration = Duration::from_secs(5);

/// A bound port. Dropped, it and its connections end.
#[derive(Debug)]
pub(crate) struct Relay {
    task: JoinHandle<()>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Relay {
    pub(crate) async fn start(protocol: Protocol, port: SocketAddr, service: SocketAddr) -> io::Result<Self> {
        let task = match protocol {
            Protocol::Tcp => tokio::spawn(carry_connections(TcpListener::bind(port).await?, service)),
            Protocol::Udp => tokio::spawn(carry_datagrams(Arc::new(UdpSocket::bind(port).await?), service)),
            Protocol::Sctp => return Err(io::Error::new(io::ErrorKind::Unsupported, "SCTP is not relayed")),
        };
        Ok(Self { task })
    }
}

async fn carry_connections(listener: TcpListener, service: SocketAddr) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => drop(connections.spawn(carry_connection(client, service))),
                Err(error) => {
                    tracing::warn!(%error, "accepting on a load balancer port");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn carry_connection(mut client: TcpStream, service: SocketAddr) {
    let connected = match timeout(CONNECT, TcpStream::connect(service)).await {
        Ok(Ok(connected)) => Ok(connected),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    };
    let outcome = match connected {
        Ok(mut server) => {
            // Only costs latency when it fails.
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            copy_bidirectional(&mut client, &mut server).await.map(drop)
        }
        Err(error) => Err(error),
    };
    if let Err(error) = outcome {
        // As the client would have seen it without a relay between: a reset, not an end.
        let _ = client.set_zero_linger();
        tracing::debug!(%error, %service, "a relayed connection ended");
    }
}

/// The sockets towards the service, one per client so that answers find their way.
type Clients = Arc<Mutex<HashMap<SocketAddr, Arc<UdpSocket>>>>;

async fn carry_datagrams(socket: Arc<UdpSocket>, service: SocketAddr) {
    let clients = Clients::default();
    let mut tasks = JoinSet::new();
    let mut buffer = vec![0; 65536];
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut buffer) => received,
            Some(_) = tasks.join_next() => continue,
        };
        let Ok((length, client)) = received else { continue };
        let known = clients
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&client)
            .cloned();
        let upstream = match known {
            Some(upstream) => upstream,
            None if tasks.len() >= MOST_CLIENTS => continue,
            None => match connect(service).await {
                Ok(upstream) => {
                    let upstream = Arc::new(upstream);
                    let mut known = clients.lock().unwrap_or_else(PoisonError::into_inner);
                    known.insert(client, Arc::clone(&upstream));
                    tasks.spawn(carry_answers(
                        Arc::clone(&clients),
                        Arc::clone(&socket),
                        Arc::clone(&upstream),
                        client,
                    ));
                    upstream
                }
                Err(error) => {
                    tracing::debug!(%error, %service, "relaying a datagram");
                    continue;
                }
            },
        };
        if let Err(error) = upstream.send(&buffer[..length]).await {
            tracing::debug!(%error, %service, "relaying a datagram");
        }
    }
}

async fn connect(service: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind("0.0.0.0:0").await?;
    socket.connect(service).await?;
    Ok(socket)
}

async fn carry_answers(
    clients: Clients,
    socket: Arc<UdpSocket>,
    upstream: Arc<UdpSocket>,
    client: SocketAddr,
) {
    let mut buffer = vec![0; 65536];
    // Silence for long enough, or a refusal, ends it; the client's next datagram begins anew.
    while let Ok(Ok(length)) = timeout(IDLE, upstream.recv(&mut buffer)).await {
        if socket.send_to(&buffer[..length], client).await.is_err() {
            break;
        }
    }
    clients
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .remove(&client);
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const ANY: &str = "127.0.0.1:0";

    /// At an address that no connection on this machine has by itself: nobody gets the port meanwhile.
    async fn free_port() -> SocketAddr {
        let own = "127.77.0.1:0";
        TcpListener::bind(own).await.unwrap().local_addr().unwrap()
    }

    #[tokio::test]
    async fn connections_are_carried_both_ways_and_end_with_the_relay() {
        let server = TcpListener::bind(ANY).await.unwrap();
        let (service, port) = (server.local_addr().unwrap(), free_port().await);
        let relay = Relay::start(Protocol::Tcp, port, service).await.unwrap();
        let mut client = TcpStream::connect(port).await.unwrap();
        client.write_all(b"ping").await.unwrap();
        let (mut end, _) = server.accept().await.unwrap();
        let mut buffer = [0; 4];
        end.read_exact(&mut buffer).await.unwrap();
        end.write_all(b"pong").await.unwrap();
        client.read_exact(&mut buffer).await.unwrap();
        assert_eq!(&buffer, b"pong");
        assert!(
            Relay::start(Protocol::Tcp, port, service).await.is_err(),
            "the port is taken"
        );
        drop(relay);
        assert_eq!(client.read(&mut buffer).await.unwrap_or(0), 0);
    }

    #[tokio::test]
    async fn a_refused_service_is_a_reset() {
        let (service, port) = (free_port().await, free_port().await);
        let _relay = Relay::start(Protocol::Tcp, port, service).await.unwrap();
        let mut client = TcpStream::connect(port).await.unwrap();
        let error = client.read(&mut [0; 1]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn datagrams_find_back_to_their_clients() {
        let server = UdpSocket::bind(ANY).await.unwrap();
        let (service, port) = (server.local_addr().unwrap(), free_port().await);
        let _relay = Relay::start(Protocol::Udp, port, service).await.unwrap();
        let clients = [
            UdpSocket::bind(ANY).await.unwrap(),
            UdpSocket::bind(ANY).await.unwrap(),
        ];
        for (number, client) in clients.iter().enumerate() {
            client.send_to(&[number as u8], port).await.unwrap();
            let mut buffer = [0; 8];
            let (length, peer) = server.recv_from(&mut buffer).await.unwrap();
            server.send_to(&buffer[..length], peer).await.unwrap();
            let (length, from) = client.recv_from(&mut buffer).await.unwrap();
            assert_eq!((&buffer[..length], from), (&[number as u8][..], port));
        }
    }
}
