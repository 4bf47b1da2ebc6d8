//! Host name, `/etc/hosts` and `/etc/resolv.conf` of a pod (pkg/kubelet/kubelet_pods.go, pkg/kubelet/network/dns/dns.go).
use std::fmt::Write as _;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{HostAlias, Pod};

const MANAGED: &str = "# Kubernetes-managed hosts file.\n";
const MANAGED_HOST_NETWORK: &str = "# Kubernetes-managed hosts file (host network).\n";

/// What the cluster's names look like.
#[derive(Debug, Clone)]
pub struct Dns {
    /// Address of the cluster DNS.
    pub server: IpAddr,
    /// `cluster.local`.
    pub domain: String,
    /// The host's own resolver file, for pods with policy `Default`.
    pub host_resolv_conf: String,
}

/// Host name and domain of a pod; the domain is empty unless the pod names a subdomain.
pub fn hostname(pod: &Pod, domain: &str) -> (String, String) {
    let spec = pod.spec.as_ref();
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    if let Some(name) = spec
        .and_then(|spec| spec.hostname_override.as_deref())
        .filter(|name| !name.is_empty())
    {
        return (truncate(name), String::new());
    }
    let name = spec
        .and_then(|spec| spec.hostname.as_deref())
        .filter(|name| !name.is_empty())
        .or(pod.metadata.name.as_deref())
        .unwrap_or_default();
    let subdomain = spec
        .and_then(|spec| spec.subdomain.as_deref())
        .filter(|name| !name.is_empty());
    let domain = subdomain
        .map(|sub| format!("{sub}.{namespace}.svc.{domain}"))
        .unwrap_or_default();
    (truncate(name), domain)
}

/// The name that the kernel is given: with `setHostnameAsFQDN` the qualified one.
pub fn kernel_hostname(pod: &Pod, domain: &str) -> String {
    let (name, domain) = hostname(pod, domain);
    let fqdn = pod.spec.as_ref().and_then(|spec| spec.set_hostname_as_fqdn) == Some(true);
    if fqdn && !domain.is_empty() {
        format!("{name}.{domain}")
    } else {
        name
    }
}

fn truncate(name: &str) -> String {
    let cut: String = name.chars().take(63).collect();
    cut.trim_end_matches(['-', '.']).to_owned()
}

/// `/etc/hosts` of a pod with its own network.
pub fn hosts_file(ips: &[IpAddr], name: &str, domain: &str, aliases: &[HostAlias]) -> String {
    let mut out = String::from(MANAGED);
    out.push_str("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n");
    out.push_str(
        "fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n",
    );
    for ip in ips {
        if domain.is_empty() {
            let _ = writeln!(out, "{ip}\t{name}");
        } else {
            let _ = writeln!(out, "{ip}\t{name}.{domain}\t{name}");
        }
    }
    push_aliases(&mut out, aliases);
    out
}

/// `/etc/hosts` of a pod in the node's network: the host's file and the aliases.
pub fn host_network_hosts_file(host: &str, aliases: &[HostAlias]) -> String {
    let mut out = format!("{MANAGED_HOST_NETWORK}{host}");
    push_aliases(&mut out, aliases);
    out
}

fn push_aliases(out: &mut String, aliases: &[HostAlias]) {
    if aliases.is_empty() {
        return;
    }
    out.push_str("\n# Entries added by HostAliases.\n");
    for alias in aliases {
        let names = alias.hostnames.as_deref().unwrap_or_default().join("\t");
        let _ = writeln!(out, "{}\t{names}", alias.ip);
    }
}

/// `/etc/resolv.conf` by `dnsPolicy` and `dnsConfig`.
pub fn resolv_conf(pod: &Pod, dns: &Dns) -> String {
    let spec = pod.spec.as_ref();
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let host_network = spec.and_then(|spec| spec.host_network) == Some(true);
    let policy = spec
        .and_then(|spec| spec.dns_policy.as_deref())
        .unwrap_or("ClusterFirst");
    let cluster = match policy {
        "ClusterFirstWithHostNet" => true,
        "ClusterFirst" => !host_network,
        _ => false,
    };
    let mut conf = Resolv::default();
    if cluster {
        conf.servers.push(dns.server.to_string());
        conf.searches = vec![
            format!("{namespace}.svc.{}", dns.domain),
            format!("svc.{}", dns.domain),
            dns.domain.clone(),
        ];
        let host = Resolv::parse(&dns.host_resolv_conf);
        conf.add_searches(host.searches);
        conf.options = vec![("ndots".into(), Some("5".into()))];
    } else if policy != "None" {
        conf = Resolv::parse(&dns.host_resolv_conf);
        // A stub resolver on the host's loopback cannot be reached from a pod; the cluster's forwards to the same upstreams.
        if conf
            .servers
            .iter()
            .all(|server| server.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()))
        {
            conf.servers = vec![dns.server.to_string()];
        }
    }
    if let Some(extra) = spec.and_then(|spec| spec.dns_config.as_ref()) {
        for server in extra.nameservers.iter().flatten() {
            if !conf.servers.contains(server) {
                conf.servers.push(server.clone());
            }
        }
        conf.add_searches(extra.searches.clone().unwrap_or_default());
        for option in extra.options.iter().flatten() {
            let Some(name) = option.name.clone() else { continue };
            conf.options.retain(|(known, _)| *known != name);
            conf.options.push((name, option.value.clone()));
        }
    }
    conf.render()
}

#[derive(Debug, Default)]
struct Resolv {
    servers: Vec<String>,
    searches: Vec<String>,
    options: Vec<(String, Option<String>)>,
}

impl Resolv {
    fn parse(text: &str) -> Self {
        let mut conf = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => conf.servers.extend(words.next().map(str::to_owned)),
                Some("search") => conf.searches = words.map(str::to_owned).collect(),
                Some("options") => {
                    conf.options = words
                        .map(|word| match word.split_once(':') {
                            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                            None => (word.to_owned(), None),
                        })
                        .collect();
                }
                _ => {}
            }
        }
        conf
    }

    fn add_searches(&mut self, more: Vec<String>) {
        for search in more {
            if search != "." && !self.searches.contains(&search) {
                self.searches.push(search);
            }
        }
    }

    /// Upstream's order of lines: search, nameserver, options (containerd's parseDNSOptions).
    fn render(&self) -> String {
        let mut out = String::new();
        if !self.searches.is_empty() {
            let _ = writeln!(out, "search {}", self.searches.join(" "));
        }
        for server in self.servers.iter().take(3) {
            let _ = writeln!(out, "nameserver {server}");
        }
        if !self.options.is_empty() {
            let options: Vec<String> = self
                .options
                .iter()
                .map(|(name, value)| match value {
                    Some(value) => format!("{name}:{value}"),
                    None => name.clone(),
                })
                .collect();
            let _ = writeln!(out, "options {}", options.join(" "));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(spec: serde_json::Value) -> Pod {
        serde_json::from_value(
            serde_json::json!({"metadata": {"name": "db-0", "namespace": "shop"}, "spec": spec}),
        )
        .unwrap()
    }

    fn dns() -> Dns {
        Dns {
            server: "10.112.0.10".parse().unwrap(),
            domain: "cluster.local".into(),
            host_resolv_conf: "nameserver 192.0.2.1\nsearch corp.example\noptions edns0\n".into(),
        }
    }

    #[test]
    fn cluster_first_is_as_upstream() {
        let conf = resolv_conf(&pod(serde_json::json!({"containers": []})), &dns());
        assert_eq!(
            conf,
            "search shop.svc.cluster.local svc.cluster.local cluster.local corp.example\nnameserver 10.112.0.10\noptions ndots:5\n"
        );
    }

    #[test]
    fn policies_and_config() {
        let host = resolv_conf(
            &pod(serde_json::json!({"containers": [], "dnsPolicy": "Default"})),
            &dns(),
        );
        assert_eq!(host, "search corp.example\nnameserver 192.0.2.1\noptions edns0\n");
        let none = resolv_conf(
            &pod(
                serde_json::json!({"containers": [], "dnsPolicy": "None", "dnsConfig":
                {"nameservers": ["1.1.1.1"], "searches": ["a.b"], "options": [{"name": "ndots", "value": "2"}, {"name": "debug"}]}}),
            ),
            &dns(),
        );
        assert_eq!(none, "search a.b\nnameserver 1.1.1.1\noptions ndots:2 debug\n");
        let host_network = resolv_conf(
            &pod(serde_json::json!({"containers": [], "hostNetwork": true})),
            &dns(),
        );
        assert!(host_network.contains("192.0.2.1"));
    }

    #[test]
    fn names_and_hosts() {
        let pod = pod(serde_json::json!({"containers": [], "hostname": "db-0", "subdomain": "db"}));
        let (name, domain) = hostname(&pod, "cluster.local");
        assert_eq!(
            (name.as_str(), domain.as_str()),
            ("db-0", "db.shop.svc.cluster.local")
        );
        let aliases = [HostAlias {
            ip: "10.1.1.1".into(),
            hostnames: Some(vec!["a".into(), "b".into()]),
        }];
        let file = hosts_file(&["10.64.1.3".parse().unwrap()], &name, &domain, &aliases);
        assert!(file.contains("10.64.1.3\tdb-0.db.shop.svc.cluster.local\tdb-0\n"));
        assert!(file.ends_with("\n# Entries added by HostAliases.\n10.1.1.1\ta\tb\n"));
        assert_eq!(truncate(&"x".repeat(80)).len(), 63);
    }
}
