//! Asking the host's resolvers, from the host's own network.

use std::{io, net::SocketAddr, time::Duration};

use hickory_proto::op::ResponseCode;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

/// For one resolver; clients themselves wait for 5 s.
const PATIENCE: Duration = Duration::from_millis(1500);

#[derive(Debug)]
pub(crate) struct Upstreams {
    servers: Vec<SocketAddr>,
}

impl Upstreams {
    pub(crate) fn new(servers: Vec<SocketAddr>) -> Self {
        Self { servers }
    }

    /// The first answer, in the resolvers' order. An error is what to tell the client.
    pub(crate) async fn ask(&self, query: &[u8], tcp: bool) -> Result<Vec<u8>, ResponseCode> {
        for server in &self.servers {
            let asked = async {
                if tcp {
                    by_tcp(*server, query).await
                } else {
                    by_udp(*server, query).await
                }
            };
            match timeout(PATIENCE, asked).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => tracing::debug!(%server, %error, "a resolver failed"),
                Err(_) => tracing::debug!(%server, "a resolver is silent"),
            }
        }
        Err(if self.servers.is_empty() {
            ResponseCode::Refused
        } else {
            ResponseCode::ServFail
        })
    }
}

async fn by_udp(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let any: SocketAddr = if server.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        ([0u16; 8], 0).into()
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(query).await?;
    let mut buffer = vec![0; 4096];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if answers(query, &buffer[..length]) {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

async fn by_tcp(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let mut framed = u16::try_from(query.len())
        .unwrap_or(u16::MAX)
        .to_be_bytes()
        .to_vec();
    framed.extend_from_slice(query);
    stream.write_all(&framed).await?;
    let mut length = [0; 2];
    stream.read_exact(&mut length).await?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer).await?;
    if answers(query, &answer) {
        Ok(answer)
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

/// Same number, and a response at all.
fn answers(query: &[u8], answer: &[u8]) -> bool {
    answer.len() >= 12 && query.get(..2) == answer.get(..2) && answer[2] & 0x80 != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_resolvers_the_refusal_is_immediate() {
        assert_eq!(
            Upstreams::new(vec![]).ask(&[0; 12], false).await,
            Err(ResponseCode::Refused)
        );
    }

    #[tokio::test]
    async fn a_dead_resolver_is_skipped_and_strangers_answers_are_ignored() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        let dead = {
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            socket.local_addr().unwrap()
        };
        tokio::spawn(async move {
            let mut buffer = [0; 64];
            let (length, peer) = server.recv_from(&mut buffer).await.unwrap();
            let mut answer = buffer[..length].to_vec();
            answer[2] |= 0x80;
            answer[0] ^= 1;
            server.send_to(&answer, peer).await.unwrap();
            answer[0] ^= 1;
            server.send_to(&answer, peer).await.unwrap();
        });
        let mut query = vec![7; 12];
        query[2] = 1;
        let answer = Upstreams::new(vec![dead, address])
            .ask(&query, false)
            .await
            .unwrap();
        assert_eq!(answer[..2], query[..2]);
        assert_eq!(
            Upstreams::new(vec![dead]).ask(&query, false).await,
            Err(ResponseCode::ServFail)
        );
    }
}
