//! Ports for servers that are started later.
use std::net::TcpListener;
use std::ops::Range;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below what the kernel gives to connections and to listeners without a wish (`net.ipv4.ip_local_port_range`, 32768 on), and without
/// the ports of this house's own servers.
const RANGE: Range<u16> = 12_000..30_000;

/// A port of 127.0.0.1 that is free, and that nobody gets by chance until the test uses it: neither a connection, nor another test of
/// this process, nor, most probably, one of another.
///
/// # Panics
/// When there is none.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let own = (std::process::id() % 300) as u16 * 60;
    let mut ports = RANGE.map(|_| {
        let number = own.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        RANGE.start + number % (RANGE.end - RANGE.start)
    });
    // A listener on any address is in the way.
    let is_free = |port: &u16| TcpListener::bind(("0.0.0.0", *port)).is_ok();
    ports.find(is_free).expect("some port is free")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_port_is_another_and_no_connections() {
        let ports: std::collections::BTreeSet<u16> = (0..50).map(|_| free_port()).collect();
        assert_eq!(ports.len(), 50);
        assert!(ports.iter().all(|port| RANGE.contains(port)), "{ports:?}");
    }
}
