//! Ports that several containers of a pod, or one twice, declare.
use std::collections::HashMap;

use crate::field::Node;

pub(super) fn warnings(containers: &[Node<'_>], found: &mut Vec<String>) {
    let ports: Vec<Node<'_>> = containers.iter().flat_map(|c| c.get("ports").items()).collect();
    let mut same: HashMap<(i64, &str), Vec<&Node<'_>>> = HashMap::new();
    for port in &ports {
        let number = port.get("containerPort").int().unwrap_or(0);
        let (host, address) = (port.get("hostPort").int().unwrap_or(0), port.get("hostIP"));
        if !address.is_empty() && host == 0 {
            found.push(format!(
                "{}: hostIP set without hostPort: {{Name:{} HostPort:{host} ContainerPort:{number} Protocol:{} HostIP:{}}}",
                port.path(),
                port.get("name").text(),
                port.get("protocol").text(),
                address.text()
            ));
        }
        let others = same.entry((number, port.get("protocol").text())).or_default();
        for other in others.iter() {
            if let Some(how) = overlap(port, other) {
                found.push(format!(
                    "{}: {how} port definition with {}",
                    port.path(),
                    other.path()
                ));
            }
        }
        others.push(port);
    }
    let mut names: HashMap<&str, &Node<'_>> = HashMap::new();
    for port in ports.iter().filter(|p| !p.get("name").is_empty()) {
        let name = port.get("name").text();
        match names.get(name) {
            Some(first) => found.push(format!(
                "{}: duplicate port name {name:?} with {first}, services and probes that select ports by name will use {first}",
                port.path(),
                first = first.path()
            )),
            None => {
                names.insert(name, port);
            }
        }
    }
}

fn overlap(port: &Node<'_>, other: &Node<'_>) -> Option<&'static str> {
    let host = |port: &Node<'_>| port.get("hostPort").int().unwrap_or(0);
    let (ip, other_ip) = (port.get("hostIP"), other.get("hostIP"));
    if ip.text() == other_ip.text() && host(port) == host(other) {
        Some("duplicate")
    } else if host(port) == 0 || host(other) == 0 {
        Some("overlapping")
    } else if host(port) == host(other) && ip.is_empty() != other_ip.is_empty() {
        Some("dangerously ambiguous")
    } else {
        None
    }
}
