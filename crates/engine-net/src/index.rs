//! Choosing a cluster's index so that its addresses are nobody else's.

use ipnet::Ipv4Net;

use crate::{AddressPlan, Error, Result, netlink::Socket, plan::MAX_INDEX};

/// The first index that no other cluster has and whose ranges overlap with no route of the host. `existing` are the
/// indexes of all other clusters, running or not. Addresses of the host show up as its local routes. The choice reserves
/// nothing: `ClusterNet::ensure` fails with [`Error::RangeTaken`] if another was quicker; choose again then.
pub fn choose_index(existing: &[u8]) -> Result<u8> {
    let host = Socket::route()?;
    // Routes of clusters that are listed as existing need no exception: their indexes are skipped anyway.
    let routes: Vec<Ipv4Net> = host.routes()?.into_iter().map(|(net, _)| net).collect();
    choose(existing, &routes)
}

fn choose(existing: &[u8], routes: &[Ipv4Net]) -> Result<u8> {
    let mut blockers: Vec<Ipv4Net> = Vec::new();
    for index in 0..=MAX_INDEX {
        if existing.contains(&index) {
            continue;
        }
        match AddressPlan::new(index)?
            .ranges()
            .iter()
            .find_map(|range| overlapping(*range, routes))
        {
            None => return Ok(index),
            Some(route) if !blockers.contains(&route) => blockers.push(route),
            Some(_) => {}
        }
    }
    let routes: Vec<String> = blockers.iter().take(5).map(ToString::to_string).collect();
    Err(Error::NoIndex(format!(
        "{} clusters exist and the host's routes {} cover the rest",
        existing.len(),
        if routes.is_empty() {
            "none".into()
        } else {
            routes.join(", ")
        }
    )))
}

/// A route that shares addresses with the range. A default route, also in its halves, does not count.
fn overlapping(range: Ipv4Net, routes: &[Ipv4Net]) -> Option<Ipv4Net> {
    routes
        .iter()
        .copied()
        .find(|route| route.prefix_len() > 1 && (route.contains(&range) || range.contains(route)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(list: &[&str]) -> Vec<Ipv4Net> {
        list.iter().map(|net| net.parse().unwrap()).collect()
    }

    #[test]
    fn the_first_free_index_is_taken() {
        assert_eq!(choose(&[], &nets(&["0.0.0.0/0", "192.0.2.0/24"])).unwrap(), 0);
        assert_eq!(choose(&[0, 1, 3], &[]).unwrap(), 2);
        // A VPN's halves of everything block nothing; a route inside of a range does.
        assert_eq!(choose(&[], &nets(&["0.0.0.0/1", "128.0.0.0/1"])).unwrap(), 0);
        assert_eq!(choose(&[], &nets(&["10.64.7.0/24"])).unwrap(), 1);
        assert_eq!(
            choose(&[], &nets(&["10.112.0.5/32", "10.161.0.0/30"])).unwrap(),
            2
        );
    }

    #[test]
    fn a_host_that_uses_all_of_it_is_told_why() {
        let error = choose(&[], &nets(&["10.0.0.0/8"])).unwrap_err().to_string();
        assert!(error.contains("10.0.0.0/8"), "{error}");
        let all: Vec<u8> = (0..=MAX_INDEX).collect();
        assert!(choose(&all, &[]).is_err());
    }

    #[test]
    fn this_machine_has_a_free_index() {
        assert!(choose_index(&[]).unwrap() <= MAX_INDEX);
    }
}
