//! The server's own numbers, in Prometheus' text form, with the names and labels of upstream's that dashboards are made of (apiserver
//! `pkg/endpoints/metrics/metrics.go`).
use std::{
    collections::BTreeMap,
    fmt::Write,
    fs,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use crate::route::Route;

/// Upper bounds of the latency histogram, in seconds.
const BOUNDS: [f64; 23] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0,
    20.0, 30.0, 45.0, 60.0,
];

#[derive(Default)]
struct Latencies {
    count: u64,
    seconds: f64,
    buckets: [u64; BOUNDS.len()],
}

/// What a request was about. Paths and resources that nobody knows are counted together: their names come from outside.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Labels {
    component: &'static str,
    dry_run: &'static str,
    group: String,
    resource: String,
    scope: &'static str,
    subresource: String,
    verb: &'static str,
    version: String,
}

impl Labels {
    /// The labels of a request for a resource that is served, by a method.
    pub fn of_resource(route: &Route, method: &http::Method, applied: bool, dry_run: bool) -> Self {
        let scope = if !route.name.is_empty() || route.verb == "create" {
            "resource"
        } else if !route.namespace.is_empty() {
            "namespace"
        } else {
            "cluster"
        };
        let verb = match route.verb {
            "list" => "LIST",
            "watch" => "WATCH",
            "deletecollection" => "DELETECOLLECTION",
            "patch" if applied => "APPLY",
            _ => by_method(method),
        };
        Self {
            component: "apiserver",
            dry_run: if dry_run { "All" } else { "" },
            group: route.group.clone(),
            resource: route.resource.clone(),
            scope,
            subresource: route.subresource.clone(),
            verb,
            version: route.version.clone(),
        }
    }

    /// The labels of a request for one of the paths that are no resources.
    pub fn of_path(path: &str, method: &http::Method) -> Self {
        const KNOWN: [&str; 6] = [
            "/healthz", "/livez", "/readyz", "/metrics", "/version", "/openapi",
        ];
        let known = KNOWN.into_iter().find(|known| path.starts_with(known));
        Self {
            subresource: known.unwrap_or_default().to_owned(),
            verb: by_method(method),
            ..Self::default()
        }
    }

    fn shown(&self) -> String {
        format!(
            "component=\"{}\",dry_run=\"{}\",group=\"{}\",resource=\"{}\",scope=\"{}\",subresource=\"{}\",verb=\"{}\",version=\"{}\"",
            self.component,
            self.dry_run,
            self.group,
            self.resource,
            self.scope,
            self.subresource,
            self.verb,
            self.version
        )
    }
}

fn by_method(method: &http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        "CONNECT" => "CONNECT",
        _ => "other",
    }
}

/// Counters of requests and watches.
#[derive(Default)]
pub struct Metrics {
    requests: Mutex<BTreeMap<(Labels, u16), u64>>,
    latencies: Mutex<BTreeMap<Labels, Latencies>>,
    /// Watches that are open.
    pub watches: AtomicI64,
    /// Requests that are being answered: those that change nothing, and those that do.
    in_flight: [AtomicI64; 2],
}

/// A request that is being answered.
pub struct InFlight<'m>(&'m AtomicI64);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Metrics {
    /// A request is being answered as long as what this gives is there.
    pub fn begin(&self, writes: bool) -> InFlight<'_> {
        let counter = &self.in_flight[usize::from(writes)];
        counter.fetch_add(1, Ordering::Relaxed);
        InFlight(counter)
    }

    /// A request was answered.
    pub fn request(&self, labels: Labels, code: u16, took: Duration) {
        let seconds = took.as_secs_f64();
        {
            let mut latencies = self.latencies.lock().unwrap_or_else(PoisonError::into_inner);
            let line = latencies.entry(labels.clone()).or_default();
            line.count += 1;
            line.seconds += seconds;
            for (bucket, bound) in line.buckets.iter_mut().zip(BOUNDS) {
                *bucket += u64::from(seconds <= bound);
            }
        }
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry((labels, code)).or_default() += 1;
    }

    /// The text form. `objects` are the kinds, such as `deployments.apps`, with how many of them are stored.
    pub fn render(&self, objects: &[(String, usize)]) -> String {
        let mut out = Text::default();
        out.head(
            "apiserver_current_inflight_requests",
            "gauge",
            "[STABLE] Maximal number of currently used inflight request limit of this apiserver per request kind in last second.",
        );
        for (kind, counter) in ["readOnly", "mutating"].iter().zip(&self.in_flight).rev() {
            let now = counter.load(Ordering::Relaxed);
            out.line(
                "apiserver_current_inflight_requests",
                &format!("request_kind=\"{kind}\""),
                now,
            );
        }
        out.head(
            "apiserver_registered_watchers",
            "gauge",
            "Number of currently registered watchers.",
        );
        out.line(
            "apiserver_registered_watchers",
            "",
            self.watches.load(Ordering::Relaxed),
        );
        self.render_latencies(&mut out);
        out.head(
            "apiserver_request_total",
            "counter",
            "[STABLE] Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, scope, \
             component, and HTTP response code.",
        );
        for ((labels, code), count) in &*self.requests.lock().unwrap_or_else(PoisonError::into_inner) {
            let labels = format!("code=\"{code}\",{}", labels.shown());
            out.line("apiserver_request_total", &labels, count);
        }
        out.head(
            "apiserver_resource_objects",
            "gauge",
            "[ALPHA] Number of stored objects at the time of last check split by kind. In case of a fetching error, the value will be -1.",
        );
        for (kind, count) in objects {
            let (resource, group) = kind.split_once('.').unwrap_or((kind, ""));
            let labels = format!("group=\"{group}\",resource=\"{resource}\"");
            out.line("apiserver_resource_objects", &labels, count);
        }
        out.head(
            "apiserver_storage_objects",
            "gauge",
            "[STABLE] (Deprecated since 1.34.0) [DEPRECATED, consider using apiserver_resource_objects instead] Number of stored \
             objects at the time of last check split by kind. In case of a fetching error, the value will be -1.",
        );
        for (kind, count) in objects {
            out.line(
                "apiserver_storage_objects",
                &format!("resource=\"{kind}\""),
                count,
            );
        }
        process(&mut out);
        out.0
    }

    fn render_latencies(&self, out: &mut Text) {
        const NAME: &str = "apiserver_request_duration_seconds";
        out.head(
            NAME,
            "histogram",
            "[STABLE] Response latency distribution in seconds for each verb, dry run value, group, version, resource, subresource, \
             scope and component.",
        );
        for (labels, line) in &*self.latencies.lock().unwrap_or_else(PoisonError::into_inner) {
            let labels = labels.shown();
            for (bucket, bound) in line.buckets.iter().zip(BOUNDS) {
                out.line(
                    &format!("{NAME}_bucket"),
                    &format!("{labels},le=\"{bound}\""),
                    bucket,
                );
            }
            out.line(
                &format!("{NAME}_bucket"),
                &format!("{labels},le=\"+Inf\""),
                line.count,
            );
            out.line(&format!("{NAME}_sum"), &labels, line.seconds);
            out.line(&format!("{NAME}_count"), &labels, line.count);
        }
    }
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn line(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = if labels.is_empty() {
            writeln!(self.0, "{name} {value}")
        } else {
            writeln!(self.0, "{name}{{{labels}}} {value}")
        };
    }
}

/// What the kernel counts of this process, which is the whole engine (Prometheus' `process` collector). What cannot be read is left out.
fn process(out: &mut Text) {
    let mut gauge = |name: &str, kind: &str, help: &str, value: Option<f64>| {
        if let Some(value) = value {
            out.head(name, kind, help);
            out.line(name, "", value);
        }
    };
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the program, in brackets, may have blanks in it.
    let fields: Vec<f64> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .map(|field| field.parse().unwrap_or_default())
        .collect();
    // Ticks are hundredths of a second wherever Linux tells of them, and pages are asked for below.
    let ticks = |at: usize| fields.get(at).map(|ticks: &f64| ticks / 100.0);
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim_end_matches("kB").trim().parse::<f64>().ok()? * 1024.0)
    };
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let files = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .and_then(|line| line.split_whitespace().next()?.parse().ok());
    let open = fs::read_dir("/proc/self/fd").ok().map(|all| all.count() as f64);
    let booted = fs::read_to_string("/proc/stat").ok().and_then(|stat| {
        let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
        line.trim().parse::<f64>().ok()
    });
    let cpu = ticks(10).zip(ticks(11)).map(|(user, system)| user + system);
    gauge(
        "process_cpu_seconds_total",
        "counter",
        "Total user and system CPU time spent in seconds.",
        cpu,
    );
    gauge(
        "process_max_fds",
        "gauge",
        "Maximum number of open file descriptors.",
        files,
    );
    gauge(
        "process_open_fds",
        "gauge",
        "Number of open file descriptors.",
        open,
    );
    gauge(
        "process_resident_memory_bytes",
        "gauge",
        "Resident memory size in bytes.",
        kilobytes("VmRSS:"),
    );
    gauge(
        "process_start_time_seconds",
        "gauge",
        "Start time of the process since unix epoch in seconds.",
        booted.zip(ticks(18)).map(|(booted, began)| booted + began),
    );
    gauge(
        "process_virtual_memory_bytes",
        "gauge",
        "Virtual memory size in bytes.",
        kilobytes("VmSize:"),
    );
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::query::Query;

    #[test]
    fn requests_are_labelled_as_upstream_labels_them() {
        let metrics = Metrics::default();
        let ask = |method: Method, uri: &str, code: u16| {
            let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
            let route = Route::parse(&method, path, &Query::parse(query));
            let labels = if route.of_resource {
                Labels::of_resource(&route, &method, false, query.contains("dryRun"))
            } else {
                Labels::of_path(path, &method)
            };
            metrics.request(labels, code, Duration::from_millis(30));
        };
        ask(Method::GET, "/apis/apps/v1/namespaces/a/deployments", 200);
        ask(Method::GET, "/api/v1/pods?watch=1", 200);
        ask(Method::POST, "/api/v1/namespaces/a/pods?dryRun=All", 201);
        ask(Method::GET, "/healthz", 200);
        ask(Method::GET, "/a/secret", 404);
        let text = metrics.render(&[("deployments.apps".to_owned(), 3)]);
        for line in [
            r#"apiserver_request_total{code="200",component="apiserver",dry_run="",group="apps",resource="deployments",scope="namespace",subresource="",verb="LIST",version="v1"} 1"#,
            r#"apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="pods",scope="cluster",subresource="",verb="WATCH",version="v1"} 1"#,
            r#"apiserver_request_total{code="201",component="apiserver",dry_run="All",group="",resource="pods",scope="resource",subresource="",verb="POST",version="v1"} 1"#,
            r#"apiserver_request_total{code="200",component="",dry_run="",group="",resource="",scope="",subresource="/healthz",verb="GET",version=""} 1"#,
            r#"apiserver_request_total{code="404",component="",dry_run="",group="",resource="",scope="",subresource="",verb="GET",version=""} 1"#,
            r#"apiserver_request_duration_seconds_bucket{component="",dry_run="",group="",resource="",scope="",subresource="/healthz",verb="GET",version="",le="0.025"} 0"#,
            r#"apiserver_request_duration_seconds_bucket{component="",dry_run="",group="",resource="",scope="",subresource="/healthz",verb="GET",version="",le="0.05"} 1"#,
            r#"apiserver_resource_objects{group="apps",resource="deployments"} 3"#,
            r#"apiserver_storage_objects{resource="deployments.apps"} 3"#,
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        let value = |name: &str| {
            let line = text.lines().find_map(|l| l.strip_prefix(name)).unwrap();
            line.trim().parse::<f64>().unwrap()
        };
        assert!(value("process_resident_memory_bytes ") > 1e6);
        assert!(value("process_open_fds ") >= 3.0);
        assert!(value("process_start_time_seconds ") > 1.6e9);
    }

    #[test]
    fn who_is_answered_is_counted() {
        let metrics = Metrics::default();
        let shown = |metrics: &Metrics| metrics.render(&[]).contains("{request_kind=\"mutating\"} 1\n");
        let one = metrics.begin(true);
        assert!(shown(&metrics));
        drop(one);
        assert!(!shown(&metrics));
    }
}
