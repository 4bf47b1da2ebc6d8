//! Addresses and node ports of Services (kubernetes `pkg/registry/core/service/storage/alloc.go`). What is in use is read from
//! the store each time, under a lock: there is no second truth that could drift.
use std::{collections::HashSet, net::Ipv4Addr};

use rand::Rng as _;
use serde_json::{Value, json};
use validation::Cause;

use crate::{
    api::Api,
    json::{self, list, number, set, strings, text},
    registry::{addresses, ranges},
    status::{ApiError, Result},
};

/// Types that have node ports.
fn has_node_ports(service: &Value) -> bool {
    match text(service, "/spec/type") {
        "NodePort" => true,
        "LoadBalancer" => service.pointer("/spec/allocateLoadBalancerNodePorts") != Some(&Value::Bool(false)),
        _ => false,
    }
}

fn external_name(service: &Value) -> bool {
    text(service, "/spec/type") == "ExternalName"
}

/// An update that leaves allocated values out keeps them (`patchAllocatedValues`), before validation.
pub fn carry_over(new: &mut Value, old: &Value) {
    if external_name(new) {
        // Each of these is cleared that was not changed.
        let addresses = ["clusterIP", "clusterIPs"];
        let of_addresses = ["ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"];
        for gone in addresses.into_iter().chain(of_addresses) {
            if !external_name(old) && new["spec"][gone] == old["spec"][gone] {
                json::remove(new, &["spec", gone]);
            }
        }
        if text(new, "/spec/clusterIP").is_empty() {
            json::remove(new, &["spec", "clusterIP"]);
        }
        drop_dependent(new, old);
        return;
    }
    if external_name(old) {
        return;
    }
    // Whoever clears clusterIP and leaves clusterIPs means both (`normalizeClusterIPs`).
    if text(new, "/spec/clusterIP").is_empty()
        && list(new, "/spec/clusterIPs") == list(old, "/spec/clusterIPs")
    {
        json::remove(new, &["spec", "clusterIPs"]);
    }
    if text(new, "/spec/clusterIP").is_empty() && list(new, "/spec/clusterIPs").is_empty() {
        json::restore(new, old, &["spec", "clusterIP"]);
        json::restore(new, old, &["spec", "clusterIPs"]);
    }
    // Whoever writes only clusterIP means clusterIPs too (`NormalizeClusterIPs`).
    let (ip, old_ip) = (
        text(new, "/spec/clusterIP").to_owned(),
        text(old, "/spec/clusterIP"),
    );
    if ip != old_ip && list(new, "/spec/clusterIPs") == list(old, "/spec/clusterIPs") && !ip.is_empty() {
        set(new, &["spec", "clusterIPs"], json!([ip]));
    }
    for kept in ["ipFamilies", "ipFamilyPolicy"] {
        if new["spec"].get(kept).is_none_or(Value::is_null) {
            json::restore(new, old, &["spec", kept]);
        }
    }
    if has_node_ports(new) && has_node_ports(old) {
        let taken: HashSet<i64> = list(new, "/spec/ports")
            .iter()
            .filter_map(|p| p["nodePort"].as_i64())
            .collect();
        let old_ports = list(old, "/spec/ports").to_vec();
        if let Some(ports) = new["spec"]["ports"].as_array_mut() {
            for port in ports
                .iter_mut()
                .filter(|p| p["nodePort"].as_i64().unwrap_or_default() == 0)
            {
                let same = old_ports
                    .iter()
                    .find(|o| o["port"] == port["port"] && protocol(o) == protocol(port));
                if let Some(kept) = same
                    .and_then(|o| o["nodePort"].as_i64())
                    .filter(|p| !taken.contains(p))
                {
                    port["nodePort"] = kept.into();
                }
            }
        }
    }
    drop_dependent(new, old);
    if text(new, "/spec/type") == "LoadBalancer"
        && text(new, "/spec/externalTrafficPolicy") == "Local"
        && text(old, "/spec/externalTrafficPolicy") == "Local"
        && number(new, "/spec/healthCheckNodePort").unwrap_or_default() == 0
    {
        json::restore(new, old, &["spec", "healthCheckNodePort"]);
    }
}

/// Reachable from outside the cluster (`ExternallyAccessible`).
fn accessible(service: &Value) -> bool {
    match text(service, "/spec/type") {
        "NodePort" | "LoadBalancer" => true,
        "ClusterIP" => !list(service, "/spec/externalIPs").is_empty(),
        _ => false,
    }
}

/// What belonged to the old type goes away with it, unless the client changed it himself (`dropTypeDependentFields`).
fn drop_dependent(new: &mut Value, old: &Value) {
    let ports_of = |v: &Value| {
        list(v, "/spec/ports")
            .iter()
            .map(|p| p["nodePort"].clone())
            .collect::<Vec<_>>()
    };
    let lost = |has: fn(&Value) -> bool, new: &Value| has(old) && !has(new);
    if lost(has_node_ports, new)
        && ports_of(new) == ports_of(old)
        && let Some(ports) = new["spec"]["ports"].as_array_mut()
    {
        for port in ports.iter_mut().filter_map(Value::as_object_mut) {
            port.remove("nodePort");
        }
    }
    let balanced = |service: &Value| text(service, "/spec/type") == "LoadBalancer";
    for (gone, field) in [
        (lost(needs_health_check, new), "healthCheckNodePort"),
        (lost(balanced, new), "allocateLoadBalancerNodePorts"),
        (lost(balanced, new), "loadBalancerClass"),
        (lost(accessible, new), "externalTrafficPolicy"),
    ] {
        if gone && new["spec"][field] == old["spec"][field] {
            json::remove(new, &["spec", field]);
        }
    }
    if !balanced(new) {
        set(new, &["status", "loadBalancer"], json!({}));
    }
}

fn protocol(port: &Value) -> &str {
    port["protocol"].as_str().unwrap_or("TCP")
}

/// Give the Service what it asks for or lacks. `old` is what it replaces.
pub fn allocate(api: &Api, service: &mut Value, old: Option<&Value>, dry_run: bool) -> Result<()> {
    if external_name(service) {
        return Ok(());
    }
    allocate_ip(api, service, old, dry_run)?;
    allocate_ports(api, service)?;
    Ok(())
}

fn invalid(service: &Value, reason: &'static str, field: &str, message: String) -> ApiError {
    let cause = Cause {
        reason,
        field: field.to_owned(),
        message,
    };
    ApiError::invalid("", "Service", text(service, "/metadata/name"), &[cause])
}

fn others(
    items: &[std::sync::Arc<engine_store::Stored>],
    service: &Value,
) -> impl Iterator<Item = std::sync::Arc<Value>> {
    let own = text(service, "/metadata/uid").to_owned();
    items
        .iter()
        .map(|o| o.value())
        .filter(move |o| text(o, "/metadata/uid") != own)
}

fn allocate_ip(api: &Api, service: &mut Value, old: Option<&Value>, dry_run: bool) -> Result<()> {
    let asked = text(service, "/spec/clusterIP").to_owned();
    let asked = if asked.is_empty() {
        strings(service, "/spec/clusterIPs")
            .first()
            .copied()
            .unwrap_or_default()
            .to_owned()
    } else {
        asked
    };
    let kept = old.is_some_and(|o| text(o, "/spec/clusterIP") == asked && !asked.is_empty());
    let ip = if asked == "None" || kept {
        asked
    } else {
        let services = api.store.list("services/").items;
        let others: Vec<_> = others(&services, service).collect();
        let taken = addresses::taken(api);
        let used: HashSet<&str> = others
            .iter()
            .flat_map(|o| strings(o, "/spec/clusterIPs"))
            .chain(taken.iter().map(String::as_str))
            .collect();
        if asked.is_empty() && dry_run {
            // None is looked for that nobody would keep (`ipallocator.go` allocateNextService).
            api.config.service_cidr.network().to_string()
        } else if asked.is_empty() {
            ranges::ready(api)
                .into_iter()
                .find_map(|range| ranges::free(range, api.config.dns_ip, &used))
                .ok_or_else(|| ApiError::internal("failed to allocate a serviceIP: range is full"))?
        } else {
            let failed = |why: &str| {
                invalid(
                    service,
                    "FieldValueInvalid",
                    "spec.clusterIPs",
                    format!("Invalid value: [\"{asked}\"]: failed to allocate IP {asked}: {why}"),
                )
            };
            let Ok(parsed) = asked.parse::<Ipv4Addr>() else {
                return Err(failed("not a valid IPv4 address"));
            };
            if !ranges::ready(api)
                .into_iter()
                .any(|range| ranges::holds(range, parsed))
            {
                return Err(failed("the provided network does not match the current range"));
            }
            if used.contains(asked.as_str()) {
                return Err(failed("provided IP is already allocated"));
            }
            asked
        }
    };
    set(service, &["spec", "clusterIP"], ip.as_str());
    set(service, &["spec", "clusterIPs"], json!([ip]));
    families(service)
}

/// One family of addresses is all that the cluster has; a Service without addresses and without pods of its own may name two
/// (`initIPFamilyFields` of `pkg/registry/core/service/storage/alloc.go`).
fn families(service: &mut Value) -> Result<()> {
    let bare = text(service, "/spec/clusterIP") == "None"
        && service["spec"]["selector"]
            .as_object()
            .is_none_or(serde_json::Map::is_empty);
    if text(service, "/spec/ipFamilyPolicy").is_empty() {
        let policy = if bare { "RequireDualStack" } else { "SingleStack" };
        set(service, &["spec", "ipFamilyPolicy"], policy);
    }
    let policy = text(service, "/spec/ipFamilyPolicy").to_owned();
    let mut families: Vec<String> = strings(service, "/spec/ipFamilies")
        .into_iter()
        .map(str::to_owned)
        .collect();
    let mut causes = Vec::new();
    let mut wrong = |field: String, value: &str, detail: &str| {
        causes.push(Cause {
            reason: "FieldValueInvalid",
            field,
            message: format!("Invalid value: {value:?}: {detail}"),
        });
    };
    if policy == "SingleStack" && families.len() == 2 {
        let detail =
            "must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified";
        wrong("spec.ipFamilyPolicy".to_owned(), &policy, detail);
    } else if !bare {
        if policy == "RequireDualStack" {
            let detail = "this cluster is not configured for dual-stack services";
            wrong("spec.ipFamilyPolicy".to_owned(), &policy, detail);
        }
        for (at, family) in families
            .iter()
            .enumerate()
            .filter(|(_, family)| *family != "IPv4")
        {
            wrong(
                format!("spec.ipFamilies[{at}]"),
                family,
                "not configured on this cluster",
            );
        }
    }
    if !causes.is_empty() {
        return Err(ApiError::invalid(
            "",
            "Service",
            text(service, "/metadata/name"),
            &causes,
        ));
    }
    if families.is_empty() {
        families.push("IPv4".to_owned());
    }
    if bare && families.len() == 1 && policy != "SingleStack" {
        let other = if families[0] == "IPv4" { "IPv6" } else { "IPv4" };
        families.push(other.to_owned());
    }
    set(service, &["spec", "ipFamilies"], families);
    Ok(())
}

/// Whether the load balancer asks nodes whether they have pods of the Service.
fn needs_health_check(service: &Value) -> bool {
    text(service, "/spec/type") == "LoadBalancer" && text(service, "/spec/externalTrafficPolicy") == "Local"
}

/// The node ports of all other Services, with their protocols.
fn used_ports(api: &Api, service: &Value) -> HashSet<(String, i64)> {
    let services = api.store.list("services/").items;
    let mut used = HashSet::new();
    for other in others(&services, service) {
        for port in list(&other, "/spec/ports") {
            if let Some(number) = port["nodePort"].as_i64().filter(|p| *p > 0) {
                used.insert((protocol(port).to_owned(), number));
            }
        }
        if let Some(health) = number(&other, "/spec/healthCheckNodePort").filter(|p| *p > 0) {
            used.insert(("TCP".to_owned(), health));
        }
    }
    used
}

/// Take the port that the Service asks for.
fn take(
    api: &Api,
    service: &Value,
    field: &str,
    (transport, asked): (&str, i64),
    used: &mut HashSet<(String, i64)>,
) -> Result<()> {
    let range = &api.config.node_port_range;
    let failed = |why: String| {
        invalid(
            service,
            "FieldValueInvalid",
            field,
            format!("Invalid value: {asked}: {why}"),
        )
    };
    if !(i64::from(*range.start())..=i64::from(*range.end())).contains(&asked) {
        return Err(failed(format!(
            "provided port is not in the valid range. The range of valid ports is {}-{}",
            range.start(),
            range.end()
        )));
    }
    if !used.insert((transport.to_owned(), asked)) {
        return Err(failed("provided port is already allocated".to_owned()));
    }
    Ok(())
}

/// Any port that nobody has.
fn free(api: &Api, transport: &str, used: &HashSet<(String, i64)>) -> Option<i64> {
    let range = &api.config.node_port_range;
    let count = range.end() - range.start() + 1;
    let offset = rand::rng().random_range(0..count);
    (0..count)
        .map(|i| i64::from(range.start() + (offset + i) % count))
        .find(|p| !used.contains(&(transport.to_owned(), *p)))
}

fn allocate_ports(api: &Api, service: &mut Value) -> Result<()> {
    let (node_ports, health_check) = (has_node_ports(service), needs_health_check(service));
    if !node_ports && !health_check {
        return Ok(());
    }
    let mut used = used_ports(api, service);
    if node_ports {
        allocate_node_ports(api, service, &mut used)?;
    }
    if health_check {
        let field = "spec.healthCheckNodePort";
        match number(service, "/spec/healthCheckNodePort").unwrap_or_default() {
            0 => {
                let free = free(api, "TCP", &used).ok_or_else(|| {
                    ApiError::internal("failed to allocate a HealthCheck NodePort: range is full")
                })?;
                set(service, &["spec", "healthCheckNodePort"], free);
            }
            asked => take(api, service, field, ("TCP", asked), &mut used)?,
        }
    }
    Ok(())
}

fn allocate_node_ports(api: &Api, service: &mut Value, used: &mut HashSet<(String, i64)>) -> Result<()> {
    let mut ports = list(service, "/spec/ports").to_vec();
    for (index, port) in ports.iter().enumerate() {
        if let Some(asked) = port["nodePort"].as_i64().filter(|p| *p > 0) {
            let field = format!("spec.ports[{index}].nodePort");
            take(api, service, &field, (protocol(port), asked), used)?;
        }
    }
    let mut given: Vec<(i64, String, i64)> = Vec::new();
    for port in &mut ports {
        if port["nodePort"].as_i64().unwrap_or_default() > 0 {
            continue;
        }
        let transport = protocol(port).to_owned();
        // The same port over another transport shares the number, as upstream does for DNS.
        let shared = given
            .iter()
            .find(|(number, other, node_port)| {
                port["port"] == *number
                    && *other != transport
                    && !used.contains(&(transport.clone(), *node_port))
            })
            .map(|(_, _, node_port)| *node_port);
        let Some(free) = shared.or_else(|| free(api, &transport, used)) else {
            return Err(ApiError::internal("failed to allocate a nodePort: range is full"));
        };
        used.insert((transport.clone(), free));
        given.push((port["port"].as_i64().unwrap_or_default(), transport, free));
        port["nodePort"] = free.into();
    }
    set(service, &["spec", "ports"], ports);
    Ok(())
}
