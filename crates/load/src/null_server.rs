use std::collections::HashMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

/// A server that answers every request with the same two bytes: one thread, one event loop, nothing else. It is the ceiling
/// against which generators are measured.
#[derive(Debug)]
pub struct NullServer {
    listener: TcpListener,
    stall: Option<Stall>,
}

/// Answers nothing for `time` at the end of every `period`.
#[derive(Debug, Clone, Copy)]
pub struct Stall {
    /// How long nothing is answered.
    pub time: Duration,
    /// From one stall's end to the next one's.
    pub period: Duration,
}

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const LISTENER: u64 = u64::MAX;
const END: u64 = u64::MAX - 1;

impl NullServer {
    /// Listens on a free port of 127.0.0.1.
    pub fn bind(stall: Option<Stall>) -> std::io::Result<NullServer> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        Ok(NullServer { listener, stall })
    }

    /// Where it listens.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `end` becomes readable or is closed at its other side.
    pub fn serve(self, end: &impl AsFd) -> std::io::Result<()> {
        let begun = Instant::now();
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(
            &epoll,
            &self.listener,
            EventData::new_u64(LISTENER),
            EventFlags::IN,
        )?;
        epoll::add(&epoll, end, EventData::new_u64(END), EventFlags::IN)?;
        let mut connections: HashMap<u64, TcpStream> = HashMap::new();
        let (mut next, mut events) = (0u64, Vec::with_capacity(1024));
        let mut buffer = vec![0u8; 64 << 10];
        loop {
            events.clear();
            match epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
            if let Some(stall) = self.stall {
                std::thread::sleep(stall.left(begun.elapsed()));
            }
            for event in &events {
                match event.data.u64() {
                    END => return Ok(()),
                    LISTENER => self.accept(&epoll, &mut connections, &mut next)?,
                    id => {
                        if connections
                            .get_mut(&id)
                            .is_some_and(|stream| !answer(stream, &mut buffer))
                        {
                            connections.remove(&id);
                        }
                    }
                }
            }
        }
    }

    fn accept(
        &self,
        epoll: &OwnedFd,
        connections: &mut HashMap<u64, TcpStream>,
        next: &mut u64,
    ) -> std::io::Result<()> {
        while let Ok((stream, _)) = self.listener.accept() {
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            epoll::add(epoll, &stream, EventData::new_u64(*next), EventFlags::IN)?;
            connections.insert(*next, stream);
            *next += 1;
        }
        Ok(())
    }
}

impl Stall {
    /// How much of a stall is left at this time.
    fn left(&self, at: Duration) -> Duration {
        let into = Duration::from_nanos((at.as_nanos() % self.period.as_nanos().max(1)) as u64);
        if into + self.time >= self.period {
            self.period.saturating_sub(into)
        } else {
            Duration::ZERO
        }
    }
}

/// Answers what has come; false when the connection is done with. A request is taken to arrive whole, which holds for
/// generators on loopback whose requests are smaller than a segment.
fn answer(stream: &mut TcpStream, buffer: &mut [u8]) -> bool {
    match stream.read(buffer) {
        Ok(0) => false,
        Ok(length) => {
            let requests = buffer[..length].windows(4).filter(|w| w == b"\r\n\r\n").count();
            (0..requests).all(|_| stream.write_all(ANSWER).is_ok())
        }
        Err(e) => matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_is_at_the_end_of_its_period() {
        let stall = Stall {
            time: Duration::from_secs(1),
            period: Duration::from_secs(10),
        };
        let left = |ms| stall.left(Duration::from_millis(ms)).as_millis();
        assert_eq!(
            [0, 8_999, 9_000, 9_900, 10_000, 29_500].map(left),
            [0, 0, 1000, 100, 0, 500]
        );
    }
}
