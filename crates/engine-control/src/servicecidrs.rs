//! Ranges of addresses for Services: they are held while they have addresses that no other range has, and told to be ready
//! (pkg/controller/servicecidrs/servicecidrs_controller.go, pkg/api/servicecidr).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::networking::v1::{IPAddress, ServiceCIDR};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::Error;
use crate::context::Context;
use crate::meta::{Key, Meta, now};
use crate::queue::{Outcome, Queue, run};

const MANAGER: &str = "service-cidr-controller";
const FINALIZER: &str = "networking.k8s.io/service-cidr-finalizer";
const READY: &str = "Kubernetes Service CIDR is ready";
const HELD: &str =
    "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR";
/// So long a range that could go stays, since others may still give addresses out of it.
const GRACE: SignedDuration = SignedDuration::from_secs(10);

pub(crate) fn start(context: &Arc<Context>, tasks: &mut JoinSet<()>) {
    let queue: Arc<Queue<Key>> = Queue::new();
    let (q, all) = (Arc::clone(&queue), Arc::clone(&context.service_cidrs));
    context.service_cidrs.on_change(move |change| {
        let Some(cidr) = change.any() else { return };
        q.add(cidr.key());
        if change.old.is_none() {
            // What is new may let others go.
            let overlaps = |a: IpNet, b: IpNet| a.contains(&b.network()) || b.contains(&a.network());
            let near = |other: &ServiceCIDR| {
                ranges(other).any(|theirs| ranges(cidr).any(|ours| overlaps(ours, theirs)))
            };
            for other in all.filter(near) {
                q.add(other.key());
            }
        }
    });
    let (q, all) = (Arc::clone(&queue), Arc::clone(&context.service_cidrs));
    context.ip_addresses.on_change(move |change| {
        let appeared_or_gone = change.old.is_none() || change.new.is_none();
        if let Some(ip) = change
            .any()
            .filter(|_| appeared_or_gone)
            .and_then(|a| given_out(a))
        {
            for cidr in all.filter(|cidr| ranges(cidr).any(|r| holds(r, ip))) {
                q.add(cidr.key());
            }
        }
    });
    let context = Arc::clone(context);
    run(tasks, "service cidrs", &queue, 1, move |key| {
        sync(Arc::clone(&context), key)
    });
}

fn ranges(cidr: &ServiceCIDR) -> impl Iterator<Item = IpNet> {
    let cidrs = cidr.spec.iter().flat_map(|s| s.cidrs.iter().flatten());
    cidrs.filter_map(|c| c.parse().ok())
}

/// An address of which the API server keeps the books.
fn given_out(address: &IPAddress) -> Option<IpAddr> {
    let manager = address.label("ipaddress.kubernetes.io/managed-by");
    (manager == Some("ipallocator.k8s.io")).then(|| address.name().parse().ok())?
}

/// Neither the first address of a range nor, of IPv4, the last is given out.
fn holds(range: IpNet, ip: IpAddr) -> bool {
    range.contains(&ip) && ip != range.network() && !(ip.is_ipv4() && ip == range.broadcast())
}

async fn sync(context: Arc<Context>, key: Key) -> Outcome {
    let Some(cidr) = context.service_cidrs.get(&key) else {
        return Ok(None);
    };
    let Some(deleted) = &cidr.metadata.deletion_timestamp else {
        context.service_cidrs.hold(&cidr, FINALIZER, true).await?;
        tell(&context, &cidr, "True", "", READY).await?;
        return Ok(None);
    };
    if !can_go(&cidr, &context.service_cidrs.all(), &context.ip_addresses.all()) {
        tell(&context, &cidr, "False", "Terminating", HELD).await?;
        return Ok(None);
    }
    let left = GRACE - Timestamp::now().duration_since(deleted.0);
    if left.is_positive() {
        return Ok(Some(Duration::try_from(left).unwrap_or_default()));
    }
    context.service_cidrs.hold(&cidr, FINALIZER, false).await?;
    Ok(None)
}

/// Whether others contain all of it, or nobody has an address that is of this range alone.
fn can_go(cidr: &ServiceCIDR, all: &[Arc<ServiceCIDR>], addresses: &[Arc<IPAddress>]) -> bool {
    let others = || {
        all.iter()
            .filter(|c| c.name() != cidr.name())
            .flat_map(|c| ranges(c))
    };
    let has_parent = |range: IpNet| {
        others().any(|other| other.prefix_len() <= range.prefix_len() && other.contains(&range.network()))
    };
    let orphaned = |ip: IpAddr| ranges(cidr).any(|r| holds(r, ip)) && !others().any(|r| holds(r, ip));
    ranges(cidr).all(has_parent) || !addresses.iter().filter_map(|a| given_out(a)).any(orphaned)
}

async fn tell(
    context: &Context,
    cidr: &ServiceCIDR,
    status: &str,
    reason: &str,
    message: &str,
) -> Result<(), Error> {
    let conditions = cidr.status.iter().flat_map(|s| s.conditions.iter().flatten());
    let known = conditions.into_iter().find(|c| c.type_ == "Ready");
    if known.is_some_and(|c| c.status == status && c.reason == reason && c.message == message) {
        return Ok(());
    }
    let condition: Value = json!({"type": "Ready", "status": status, "reason": reason, "message": message, "lastTransitionTime": now()});
    let applied = json!({"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": cidr.name()},
        "status": {"conditions": [condition]}});
    let written = context
        .service_cidrs
        .apply_status(&cidr.key(), &applied, MANAGER)
        .await;
    written.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(name: &str, ranges: &[&str]) -> Arc<ServiceCIDR> {
        let object = json!({"metadata": {"name": name}, "spec": {"cidrs": ranges}});
        Arc::new(serde_json::from_value(object).unwrap())
    }

    fn address(ip: &str, by: &str) -> Arc<IPAddress> {
        let object = json!({"metadata": {"name": ip, "labels": {"ipaddress.kubernetes.io/managed-by": by}}});
        Arc::new(serde_json::from_value(object).unwrap())
    }

    #[test]
    fn a_range_is_held_by_addresses_that_are_its_alone() {
        let own = "ipallocator.k8s.io";
        let (small, wide, other) = (
            cidr("s", &["10.1.0.0/24"]),
            cidr("w", &["10.1.0.0/16"]),
            cidr("o", &["10.1.0.128/25"]),
        );
        let (low, high) = (address("10.1.0.5", own), address("10.1.0.200", own));
        let all = [Arc::clone(&small)];
        assert!(can_go(&small, &all, &[]));
        assert!(!can_go(&small, &all, &[Arc::clone(&low)]));
        // Somebody else's address does not count, nor the first and last of the range.
        assert!(can_go(&small, &all, &[address("10.1.0.5", "me")]));
        assert!(can_go(
            &small,
            &all,
            &[address("10.1.0.0", own), address("10.1.0.255", own)]
        ));
        // A wider range takes all, another one what is in it.
        assert!(can_go(
            &small,
            &[Arc::clone(&small), Arc::clone(&wide)],
            &[Arc::clone(&low)]
        ));
        assert!(!can_go(
            &wide,
            &[Arc::clone(&small), Arc::clone(&wide)],
            &[address("10.1.7.1", own)]
        ));
        let beside = [Arc::clone(&small), other];
        assert!(can_go(&small, &beside, &[high]));
        assert!(!can_go(&small, &beside, &[low]));
    }
}
