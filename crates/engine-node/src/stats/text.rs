//! Statistics in Prometheus' text format, with the names and labels of cAdvisor and of the kubelet.
use std::fmt::Write as _;

use super::{ContainerStats, NodeStats, PodStats};

/// A page of metrics.
#[derive(Debug, Default)]
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64, at: Option<i64>) {
        self.0.push_str(name);
        for (index, (label, value)) in labels.iter().enumerate() {
            self.0.push(if index == 0 { '{' } else { ',' });
            let _ = write!(self.0, "{label}=\"{}\"", escape(value));
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = write!(self.0, " {value}");
        if let Some(at) = at {
            let _ = write!(self.0, " {at}");
        }
        self.0.push('\n');
    }
}

fn escape(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

/// Value of a container, and of a pod as a whole.
type Metric = (&'static str, &'static str, &'static str, fn(&super::Usage) -> f64);

const USAGE: &[Metric] = &[
    (
        "container_cpu_usage_seconds_total",
        "counter",
        "Cumulative cpu time consumed in seconds.",
        |u| seconds(u.cpu_nanos),
    ),
    (
        "container_cpu_user_seconds_total",
        "counter",
        "Cumulative user cpu time consumed in seconds.",
        |u| seconds(u.cpu_user_nanos),
    ),
    (
        "container_cpu_system_seconds_total",
        "counter",
        "Cumulative system cpu time consumed in seconds.",
        |u| seconds(u.cpu_system_nanos),
    ),
    (
        "container_cpu_cfs_periods_total",
        "counter",
        "Number of elapsed enforcement period intervals.",
        |u| u.throttled[1] as f64,
    ),
    (
        "container_cpu_cfs_throttled_periods_total",
        "counter",
        "Number of throttled period intervals.",
        |u| u.throttled[0] as f64,
    ),
    (
        "container_cpu_cfs_throttled_seconds_total",
        "counter",
        "Total time duration the container has been throttled.",
        |u| seconds(u.throttled[2]),
    ),
    (
        "container_memory_usage_bytes",
        "gauge",
        "Current memory usage in bytes, including all memory regardless of when it was accessed",
        |u| u.memory as f64,
    ),
    (
        "container_memory_working_set_bytes",
        "gauge",
        "Current working set in bytes.",
        |u| u.working_set as f64,
    ),
    ("container_memory_rss", "gauge", "Size of RSS in bytes.", |u| {
        u.rss as f64
    }),
    (
        "container_memory_cache",
        "gauge",
        "Number of bytes of page cache memory.",
        |u| u.cache as f64,
    ),
    (
        "container_memory_mapped_file",
        "gauge",
        "Size of memory mapped files in bytes.",
        |u| u.mapped as f64,
    ),
    (
        "container_memory_max_usage_bytes",
        "gauge",
        "Maximum memory usage recorded in bytes",
        |u| u.peak as f64,
    ),
    (
        "container_oom_events_total",
        "counter",
        "Count of out of memory events observed for the container",
        |u| u.oom_kills as f64,
    ),
    (
        "container_processes",
        "gauge",
        "Number of processes running inside the container.",
        |u| u.processes as f64,
    ),
];

/// `/metrics/cadvisor`.
pub fn cadvisor(stats: &NodeStats) -> String {
    let mut page = Page::default();
    let at = Some(stats.at.as_millisecond());
    for (name, kind, help, value) in USAGE {
        page.family(name, kind, help);
        let cpu: &[(&str, &str)] = if name.ends_with("cpu_usage_seconds_total") {
            &[("cpu", "total")]
        } else {
            &[]
        };
        page.sample(
            name,
            &join(&labels("", "/", "", "", "", ""), cpu),
            value(&stats.usage),
            at,
        );
        for pod in &stats.pods {
            let id = format!("/{}", pod.cgroup);
            page.sample(
                name,
                &join(&labels("", &id, "", "", &pod.namespace, &pod.name), cpu),
                value(&pod.usage),
                at,
            );
            for container in &pod.containers {
                let id = format!("/{}", container.cgroup);
                page.sample(
                    name,
                    &join(&of(pod, container, &id), cpu),
                    value(&container.usage),
                    at,
                );
            }
        }
    }
    page.family(
        "container_start_time_seconds",
        "gauge",
        "Start time of the container since unix epoch in seconds.",
    );
    each(&mut page, stats, "container_start_time_seconds", |container| {
        Some(container.started_at.as_second() as f64)
    });
    page.family(
        "container_last_seen",
        "gauge",
        "Last time a container was seen by the exporter",
    );
    each(&mut page, stats, "container_last_seen", |_| {
        Some(stats.at.as_second() as f64)
    });
    page.family(
        "container_spec_memory_limit_bytes",
        "gauge",
        "Memory limit for the container.",
    );
    each(
        &mut page,
        stats,
        "container_spec_memory_limit_bytes",
        |container| Some(container.limits.1.unwrap_or(0) as f64),
    );
    page.family("container_spec_cpu_quota", "gauge", "CPU quota of the container.");
    each(&mut page, stats, "container_spec_cpu_quota", |container| {
        container.limits.0.map(|milli| milli as f64 * 100.0)
    });
    page.family(
        "container_spec_cpu_period",
        "gauge",
        "CPU period of the container.",
    );
    each(&mut page, stats, "container_spec_cpu_period", |_| Some(100_000.0));
    let network = [
        ("receive_bytes", "Cumulative count of bytes received", true, 0),
        ("receive_packets", "Cumulative count of packets received", true, 1),
        (
            "receive_errors",
            "Cumulative count of errors encountered while receiving",
            true,
            2,
        ),
        (
            "receive_packets_dropped",
            "Cumulative count of packets dropped while receiving",
            true,
            3,
        ),
        (
            "transmit_bytes",
            "Cumulative count of bytes transmitted",
            false,
            0,
        ),
        (
            "transmit_packets",
            "Cumulative count of packets transmitted",
            false,
            1,
        ),
        (
            "transmit_errors",
            "Cumulative count of errors encountered while transmitting",
            false,
            2,
        ),
        (
            "transmit_packets_dropped",
            "Cumulative count of packets dropped while transmitting",
            false,
            3,
        ),
    ];
    for (what, help, received, index) in network {
        let name = format!("container_network_{what}_total");
        page.family(&name, "counter", help);
        for pod in &stats.pods {
            let Some(counters) = &pod.network else { continue };
            let value = if received {
                counters.received[index]
            } else {
                counters.sent[index]
            };
            let id = format!("/{}", pod.cgroup);
            let all = join(
                &labels("", &id, "", "", &pod.namespace, &pod.name),
                &[("interface", "eth0")],
            );
            page.sample(&name, &all, value as f64, at);
        }
    }
    page.family("machine_cpu_cores", "gauge", "Number of logical CPU cores.");
    page.sample("machine_cpu_cores", &[], (stats.cpu_milli / 1000) as f64, None);
    page.family(
        "machine_memory_bytes",
        "gauge",
        "Amount of memory installed on the machine.",
    );
    page.sample("machine_memory_bytes", &[], stats.memory as f64, None);
    page.0
}

fn each(page: &mut Page, stats: &NodeStats, name: &str, value: impl Fn(&ContainerStats) -> Option<f64>) {
    for pod in &stats.pods {
        for container in &pod.containers {
            let id = format!("/{}", container.cgroup);
            if let Some(value) = value(container) {
                page.sample(
                    name,
                    &of(pod, container, &id),
                    value,
                    Some(stats.at.as_millisecond()),
                );
            }
        }
    }
}

type Labels<'a> = Vec<(&'a str, &'a str)>;

fn labels<'a>(
    container: &'a str,
    id: &'a str,
    image: &'a str,
    name: &'a str,
    namespace: &'a str,
    pod: &'a str,
) -> Labels<'a> {
    vec![
        ("container", container),
        ("id", id),
        ("image", image),
        ("name", name),
        ("namespace", namespace),
        ("pod", pod),
    ]
}

fn of<'a>(pod: &'a PodStats, container: &'a ContainerStats, id: &'a str) -> Labels<'a> {
    labels(
        &container.name,
        id,
        &container.image,
        &container.id,
        &pod.namespace,
        &pod.name,
    )
}

fn join<'a>(first: &Labels<'a>, second: &[(&'a str, &'a str)]) -> Labels<'a> {
    let mut all = first.clone();
    all.extend_from_slice(second);
    all.sort_unstable();
    all
}

/// `/metrics/resource`.
pub fn resource(stats: &NodeStats) -> String {
    let mut page = Page::default();
    let at = Some(stats.at.as_millisecond());
    let cpu = "Cumulative cpu time consumed";
    let memory = "Current working set";
    page.family(
        "container_cpu_usage_seconds_total",
        "counter",
        &format!("{cpu} by the container in core-seconds"),
    );
    each_container(&mut page, stats, "container_cpu_usage_seconds_total", |c| {
        seconds(c.usage.cpu_nanos)
    });
    page.family(
        "container_memory_working_set_bytes",
        "gauge",
        &format!("{memory} of the container in bytes"),
    );
    each_container(&mut page, stats, "container_memory_working_set_bytes", |c| {
        c.usage.working_set as f64
    });
    page.family(
        "container_start_time_seconds",
        "gauge",
        "Start time of the container since unix epoch in seconds",
    );
    each_container(&mut page, stats, "container_start_time_seconds", |c| {
        c.started_at.as_millisecond() as f64 / 1e3
    });
    page.family(
        "node_cpu_usage_seconds_total",
        "counter",
        &format!("{cpu} by the node in core-seconds"),
    );
    page.sample(
        "node_cpu_usage_seconds_total",
        &[],
        seconds(stats.usage.cpu_nanos),
        at,
    );
    page.family(
        "node_memory_working_set_bytes",
        "gauge",
        &format!("{memory} of the node in bytes"),
    );
    page.sample(
        "node_memory_working_set_bytes",
        &[],
        stats.usage.working_set as f64,
        at,
    );
    page.family(
        "pod_cpu_usage_seconds_total",
        "counter",
        &format!("{cpu} by the pod in core-seconds"),
    );
    for pod in &stats.pods {
        let labels = [("namespace", pod.namespace.as_str()), ("pod", pod.name.as_str())];
        page.sample(
            "pod_cpu_usage_seconds_total",
            &labels,
            seconds(pod.usage.cpu_nanos),
            at,
        );
    }
    page.family(
        "pod_memory_working_set_bytes",
        "gauge",
        &format!("{memory} of the pod in bytes"),
    );
    for pod in &stats.pods {
        let labels = [("namespace", pod.namespace.as_str()), ("pod", pod.name.as_str())];
        page.sample(
            "pod_memory_working_set_bytes",
            &labels,
            pod.usage.working_set as f64,
            at,
        );
    }
    page.family(
        "resource_scrape_error",
        "gauge",
        "1 if there was an error while getting container metrics, 0 otherwise",
    );
    page.sample("resource_scrape_error", &[], 0.0, None);
    page.0
}

fn each_container(page: &mut Page, stats: &NodeStats, name: &str, value: impl Fn(&ContainerStats) -> f64) {
    for pod in &stats.pods {
        for container in &pod.containers {
            let labels = [
                ("container", container.name.as_str()),
                ("namespace", &pod.namespace),
                ("pod", &pod.name),
            ];
            page.sample(name, &labels, value(container), Some(stats.at.as_millisecond()));
        }
    }
}

/// `/metrics`: the agent about itself.
pub fn own(stats: &NodeStats, pods: usize) -> String {
    let mut page = Page::default();
    page.family(
        "kubelet_node_name",
        "gauge",
        "The node's name. The count is always 1.",
    );
    page.sample("kubelet_node_name", &[("node", stats.node.as_str())], 1.0, None);
    page.family(
        "kubelet_running_pods",
        "gauge",
        "Number of pods that have a running pod sandbox",
    );
    page.sample("kubelet_running_pods", &[], stats.pods.len() as f64, None);
    page.family(
        "kubelet_running_containers",
        "gauge",
        "Number of containers currently running",
    );
    let running: usize = stats.pods.iter().map(|pod| pod.containers.len()).sum();
    page.sample(
        "kubelet_running_containers",
        &[("container_state", "running")],
        running as f64,
        None,
    );
    page.family(
        "kubelet_desired_pods",
        "gauge",
        "The number of pods the kubelet is being instructed to run",
    );
    page.sample("kubelet_desired_pods", &[], pods as f64, None);
    page.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{Network, Usage};
    use jiff::Timestamp;

    #[test]
    fn the_pages_have_upstreams_names_and_labels() {
        let usage = Usage {
            cpu_nanos: 1_500_000_000,
            working_set: 4096,
            ..Usage::default()
        };
        let stats = NodeStats {
            at: Timestamp::from_millisecond(1_700_000_000_123).unwrap(),
            node: "n".into(),
            usage,
            nano_cores: None,
            memory: 1 << 30,
            cpu_milli: 2000,
            pods: vec![PodStats {
                namespace: "ns".into(),
                name: "p".into(),
                uid: "u".into(),
                cgroup: "x/podu".into(),
                usage,
                nano_cores: None,
                started_at: None,
                network: Some(Network {
                    received: [7, 0, 0, 0],
                    ..Network::default()
                }),
                containers: vec![ContainerStats {
                    name: "c".into(),
                    image: "i".into(),
                    id: "u.c.0".into(),
                    cgroup: "x/podu/c".into(),
                    started_at: Timestamp::UNIX_EPOCH,
                    usage,
                    nano_cores: None,
                    limits: (None, Some(1 << 20)),
                }],
            }],
        };
        let page = cadvisor(&stats);
        assert!(page.contains(
            "container_cpu_usage_seconds_total{container=\"c\",cpu=\"total\",id=\"/x/podu/c\",image=\"i\",name=\"u.c.0\",namespace=\"ns\",pod=\"p\"} 1.5 1700000000123\n"
        ));
        assert!(page.contains("container_network_receive_bytes_total{container=\"\",id=\"/x/podu\",image=\"\",interface=\"eth0\""));
        let page = resource(&stats);
        assert!(page.contains("container_memory_working_set_bytes{container=\"c\",namespace=\"ns\",pod=\"p\"} 4096 1700000000123\n"));
        assert!(page.contains("resource_scrape_error 0\n"));
        assert_eq!(
            stats.summary()["pods"][0]["containers"][0]["cpu"]["usageCoreNanoSeconds"],
            1_500_000_000u64
        );
    }
}
