//! Kubernetes' own files.
use std::path::{Path, PathBuf};

use preflight::facts::{Certificate, ConfFile, Kubernetes};

use super::files::{conf, folder, names, read, tail};

pub(super) fn kubernetes() -> Kubernetes {
    Kubernetes {
        kubelet: None,
        kubelet_config: read("/var/lib/kubelet/config.yaml"),
        cni_plugins: names("/opt/cni/bin"),
        cni_configs: folder("/etc/cni/net.d"),
        certificates: certificates(),
        proxy_log: lines(&proxy_logs(), |l| {
            l.contains("br-netfilter") || l.contains("br_netfilter")
        }),
        sysctl_log: lines(&["/var/log/boot.log".into(), "/var/log/messages".into()], |l| {
            l.contains("unknown key") || l.contains("Couldn't write") && l.contains("bridge")
        }),
        ..Kubernetes::default()
    }
}

fn certificates() -> Vec<Certificate> {
    let mut found = Vec::new();
    for dir in [
        "/etc/kubernetes/pki",
        "/etc/kubernetes/pki/etcd",
        "/var/lib/kubelet/pki",
    ] {
        for name in names(dir).unwrap_or_default() {
            let is_certificate = name.ends_with(".crt") || name == "kubelet-client-current.pem";
            let Some(text) = is_certificate.then(|| read(Path::new(dir).join(&name))).flatten() else {
                continue;
            };
            for pem in x509_parser::pem::Pem::iter_from_buffer(text.as_bytes()).flatten() {
                if let Ok(certificate) = pem.parse_x509() {
                    found.push(Certificate {
                        path: format!("{dir}/{name}"),
                        subject: certificate.subject().to_string(),
                        not_after: certificate.validity().not_after.timestamp(),
                        ..Certificate::default()
                    });
                }
            }
        }
    }
    found
}

fn proxy_logs() -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from("/var/log/kube-proxy.log")];
    for pod in names("/var/log/pods")
        .unwrap_or_default()
        .iter()
        .filter(|n| n.contains("kube-proxy"))
    {
        let dir = Path::new("/var/log/pods").join(pod).join("kube-proxy");
        found.extend(names(&dir).unwrap_or_default().iter().map(|n| dir.join(n)));
    }
    found
}

fn lines(files: &[PathBuf], wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let texts = files.iter().filter_map(|f| tail(f, 128 << 10));
    let mut found: Vec<String> = texts
        .flat_map(|t| {
            t.lines()
                .filter(|l| wanted(l))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect();
    found.truncate(10);
    found
}

/// Files that can set a proxy for a service: the whole system's environment, and drop-ins of units of interest.
pub(super) fn proxy_files() -> Vec<ConfFile> {
    let mut found = vec![
        conf(Path::new("/etc/environment")),
        conf(Path::new("/etc/default/docker")),
        conf(Path::new("/etc/sysconfig/docker")),
    ];
    for place in ["/etc/systemd/system", "/usr/lib/systemd/system"] {
        for unit in ["containerd", "docker", "crio", "kubelet"] {
            found.extend(folder(format!("{place}/{unit}.service.d")).unwrap_or_default());
        }
    }
    found.retain(|f| {
        f.text
            .as_deref()
            .is_some_and(|t| t.to_lowercase().contains("_proxy"))
    });
    found
}
