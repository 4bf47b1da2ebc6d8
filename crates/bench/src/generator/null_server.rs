//! A server that answers every request with the same two bytes: one thread, one event loop, nothing else. It is the
//! ceiling against which generators are compared.
use std::collections::HashMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd as _;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const LISTENER: u64 = u64::MAX;
const INPUT: u64 = u64::MAX - 1;

/// Prints its address, then serves until its standard input ends.
pub fn serve() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    println!("{}", listener.local_addr()?);
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    epoll::add(
        &epoll,
        std::io::stdin().as_fd(),
        EventData::new_u64(INPUT),
        EventFlags::IN,
    )?;
    let mut connections: HashMap<u64, TcpStream> = HashMap::new();
    let (mut next, mut events) = (0u64, Vec::with_capacity(1024));
    let mut buffer = vec![0u8; 64 << 10];
    loop {
        events.clear();
        match epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
        for event in &events {
            match event.data.u64() {
                INPUT => return Ok(()),
                LISTENER => {
                    while let Ok((stream, _)) = listener.accept() {
                        stream.set_nonblocking(true)?;
                        stream.set_nodelay(true)?;
                        epoll::add(&epoll, &stream, EventData::new_u64(next), EventFlags::IN)?;
                        connections.insert(next, stream);
                        next += 1;
                    }
                }
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
