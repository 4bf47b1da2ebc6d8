//! Pages about the server itself (apiserver `server/statusz`, `server/flagz`, both on by default in 1.36).
use std::collections::BTreeMap;

use http::{HeaderValue, Response, header};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    answer::{self, Body},
    api::{Api, Call},
    encode::Parameters,
    negotiate::{self, Format},
    status::Result,
    time,
};

const NAME: &str = "apiserver";
const PATHS: [&str; 7] = [
    "/flagz", "/healthz", "/livez", "/metrics", "/readyz", "/statusz", "/version",
];

fn header_of(kind: &str) -> String {
    format!(
        "\n{NAME} {kind}\nWarning: This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees and is \
         for debugging purposes only.\n"
    )
}

/// The page as an object of `config.k8s.io`, or as text.
fn page(call: &Call, kind: &str, fields: Value, text: impl FnOnce() -> String) -> Result<Response<Body>> {
    let Some((version, encoding)) = negotiate::page(&call.headers, kind)? else {
        return Ok(answer::text(200, text()));
    };
    let mut object = json!({"kind": kind, "apiVersion": version, "metadata": {"name": NAME}});
    if let (Some(object), Value::Object(fields)) = (object.as_object_mut(), fields) {
        object.extend(fields);
    }
    let format = Format {
        encoding,
        ..Format::JSON
    };
    let mut response = answer::made(format, 200, &object);
    let (group, version_name) = version.split_once('/').unwrap_or_default();
    let parameters = Parameters(format!(";g={group};v={version_name};as={kind}"));
    response.extensions_mut().insert(parameters);
    if version.ends_with("v1alpha1") {
        let told = match kind {
            "Statusz" => {
                "299 - \"This version of the statusz endpoint is deprecated. Please use a newer version.\""
            }
            _ => "299 - \"This version of the flagz endpoint is deprecated. Please use a newer version.\"",
        };
        response
            .headers_mut()
            .insert(header::WARNING, HeaderValue::from_static(told));
    }
    Ok(response)
}

impl Api {
    /// `/statusz`: since when which version runs.
    pub fn statusz(&self, call: &Call) -> Result<Response<Body>> {
        let up = (Timestamp::now().as_second() - self.started.as_second()).max(0);
        let version = self.config.git_version.trim_start_matches('v');
        let binary = version.split(['+', '-']).next().unwrap_or_default();
        let emulated: Vec<&str> = binary.split('.').take(2).collect();
        let emulated = emulated.join(".");
        let fields = json!({"startTime": time::seconds(self.started), "uptimeSeconds": up, "goVersion": "",
            "binaryVersion": binary, "emulationVersion": emulated, "paths": PATHS});
        page(call, "Statusz", fields, || {
            let started = self.started.strftime("%a %b %e %H:%M:%S UTC %Y");
            let (hours, minutes, seconds) = (up / 3600, up / 60 % 60, up % 60);
            format!(
                "{}\nStarted: {started}\nUp: {hours} hr {minutes:02} min {seconds:02} sec\nGo version: \nBinary version: {binary}\n\
                 Emulation version: {emulated}\nPaths: {}\n",
                header_of("statusz"),
                PATHS.join(" ")
            )
        })
    }

    /// `/flagz`: what the server was told, by upstream's names.
    pub fn flagz(&self, call: &Call) -> Result<Response<Body>> {
        let config = &self.config;
        let ports = &config.node_port_range;
        let mut flags = BTreeMap::from([
            (
                "default-not-ready-toleration-seconds",
                config.not_ready_toleration_seconds.to_string(),
            ),
            (
                "default-unreachable-toleration-seconds",
                config.unreachable_toleration_seconds.to_string(),
            ),
            ("authorization-mode", "[RBAC]".to_owned()),
            ("event-ttl", "1h0m0s".to_owned()),
            ("min-request-timeout", "1800".to_owned()),
            ("request-timeout", "1m0s".to_owned()),
            ("service-account-issuer", format!("[{}]", config.issuer)),
            ("service-cluster-ip-range", config.service_cidr.to_string()),
            (
                "service-node-port-range",
                format!("{}-{}", ports.start(), ports.end()),
            ),
        ]);
        if let Some((ip, port)) = config.advertise {
            flags.insert("advertise-address", ip.to_string());
            flags.insert("secure-port", port.to_string());
        }
        page(call, "Flagz", json!({"flags": flags}), || {
            let lines = flags.iter().map(|(name, value)| format!("{name}={value}\n"));
            header_of("flagz") + &lines.collect::<String>()
        })
    }
}
