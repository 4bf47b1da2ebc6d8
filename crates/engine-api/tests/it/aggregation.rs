//! APIs of other servers, and the resource metrics of this one.
use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use engine_api::{ClientIdentity, Config, FrontProxy, MetricsSource, Network, NodeUsage, PodUsage, Usage};
use http::Request;
use hyper::body::Incoming;
use serde_json::{Value, json};
use streaming::Duplex;
use tokio::net::TcpStream;

use crate::{
    common::{PODS, Server, pod, send, until},
    https::{serve, signed},
};

/// Whatever the address: the same port on loopback.
pub struct Loopback;

#[async_trait]
impl Network for Loopback {
    async fn connect(&self, address: SocketAddr) -> io::Result<Box<dyn Duplex>> {
        Ok(Box::new(TcpStream::connect(("127.0.0.1", address.port())).await?))
    }
}

struct Extension {
    port: u16,
    ca_pem: String,
}

/// A server that says what it was asked, and by whom; it takes nobody without the front proxy's certificate.
async fn extension(front_ca: &str) -> Extension {
    let (ca_pem, own) = signed("extension", "extension", &["ext.default.svc"]);
    let port = serve(Some(front_ca), own, answer).await;
    Extension { port, ca_pem }
}

async fn answer(request: Request<Incoming>) -> String {
    let all = |name: &str| -> Vec<String> {
        let values = request.headers().get_all(name).iter();
        values.map(|v| v.to_str().unwrap().to_owned()).collect()
    };
    let body = match request.uri().path() {
        "/apis/example.test/v1" => {
            json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "example.test/v1",
            "resources": [{"name": "widgets", "singularName": "widget", "namespaced": true, "kind": "Widget", "verbs": ["get", "list"]},
                {"name": "widgets/size", "singularName": "", "namespaced": true, "kind": "Size", "verbs": ["get"]}]})
        }
        "/openapi/v3" => {
            json!({"paths": {"apis/example.test/v1": {"serverRelativeURL": "/openapi/v3/apis/example.test/v1?hash=1"}}})
        }
        _ => {
            json!({"kind": "Echo", "uri": request.uri().to_string(), "user": all("x-remote-user"), "groups": all("x-remote-group"),
            "authorization": all("authorization")})
        }
    };
    body.to_string()
}

fn reason(api_service: &Value) -> &str {
    api_service["status"]["conditions"][0]["reason"]
        .as_str()
        .unwrap_or_default()
}

const API_SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";

#[tokio::test(flavor = "multi_thread")]
async fn another_server_serves_a_group() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let (front_ca, (cert_pem, key_pem)) = signed("front-proxy-ca", "front-proxy-client", &[]);
    let extension = extension(&front_ca).await;
    let server = Server::with(Config {
        front_proxy: Some(FrontProxy {
            ca_pem: front_ca.clone(),
            identity: ClientIdentity { cert_pem, key_pem },
        }),
        ..Config::default()
    })
    .await;
    server.api.set_network(Arc::new(Loopback));
    let trust = server
        .get("/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication")
        .await;
    assert_eq!(trust["data"]["requestheader-client-ca-file"], front_ca);

    // Each thing that is missing is named, in turn.
    let mut object = json!({"metadata": {"name": "v1.example.test"}, "spec": {"group": "example.test", "version": "v1",
        "groupPriorityMinimum": 100, "versionPriority": 10, "caBundle": STANDARD.encode(&front_ca),
        "service": {"namespace": "default", "name": "ext"}}});
    server.ok("POST", API_SERVICES, &object).await;
    let path = format!("{API_SERVICES}/v1.example.test");
    until(&server, &path, |_, s| reason(s) == "ServiceNotFound").await;
    let echo = "/apis/example.test/v1/namespaces/default/widgets/a%20b?x=1";
    let (code, body) = send(&server.admin, "GET", echo, &Value::Null).await;
    assert_eq!((code, body), (503, json!("service unavailable\n")));
    server
        .ok(
            "POST",
            "/api/v1/namespaces/default/services",
            &json!({"metadata": {"name": "ext"}, "spec": {"ports": [{"name": "https", "port": 443}]}}),
        )
        .await;
    until(&server, &path, |_, s| reason(s) == "EndpointsNotFound").await;
    let slice = json!({"metadata": {"name": "ext", "labels": {"kubernetes.io/service-name": "ext"}}, "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.1.2.3"], "conditions": {"ready": true}}], "ports": [{"name": "https", "port": extension.port}]});
    server.ok("POST", SLICES, &slice).await;
    // The bundle is that of another authority.
    until(&server, &path, |_, s| reason(s) == "FailedDiscoveryCheck").await;
    object["spec"]["caBundle"] = STANDARD.encode(&extension.ca_pem).into();
    server
        .ok(
            "PATCH",
            &path,
            &json!({"spec": {"caBundle": object["spec"]["caBundle"]}}),
        )
        .await;
    let found = until(&server, &path, |_, s| reason(s) == "Passed").await;
    assert_eq!(found["status"]["conditions"][0]["message"], "all checks passed");

    // The user is passed on in headers, the path as it came.
    let body = server.get(echo).await;
    assert_eq!(body["uri"], echo);
    assert_eq!(body["user"], json!(["admin"]));
    assert_eq!(body["groups"], json!(["system:masters", "system:authenticated"]));
    assert_eq!(body["authorization"], json!([]));
    let nobody = server.api.client("jane", &[], "test/1");
    assert_eq!(send(&nobody, "GET", echo, &Value::Null).await.0, 403);
    // Everybody may read the paths of discovery: this is none.
    let encoded = "/apis%2Fexample.test%2Fv1%2Fnamespaces%2Fdefault%2Fwidgets%2Fa";
    assert_eq!(send(&nobody, "GET", encoded, &Value::Null).await.0, 403);
    let nameless = "/apis/example.test/v1//widgets";
    assert_eq!(send(&nobody, "GET", nameless, &Value::Null).await.0, 403);

    // Discovery, both ways, and OpenAPI.
    let groups = server.get("/apis").await;
    let names: Vec<&str> = groups["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|g| g["name"].as_str().unwrap())
        .collect();
    assert_eq!(names[0], "apiregistration.k8s.io");
    assert!(names.contains(&"example.test") && names.contains(&"metrics.k8s.io"));
    assert_eq!(
        server.get("/apis/example.test").await["preferredVersion"]["groupVersion"],
        "example.test/v1"
    );
    assert_eq!(
        server.get("/apis/example.test/v1").await["resources"][0]["name"],
        "widgets"
    );
    let index = server.get("/openapi/v3").await;
    assert_eq!(
        index["paths"]["apis/example.test/v1"]["serverRelativeURL"],
        "/openapi/v3/apis/example.test/v1?hash=1"
    );
    assert_eq!(
        server.get("/openapi/v3/apis/example.test/v1?hash=1").await["kind"],
        "Echo"
    );

    // Without an endpoint it is unavailable again, and gone when the APIService goes.
    server
        .ok(
            "PATCH",
            &format!("{SLICES}/ext"),
            &json!({"endpoints": [{"addresses": ["10.1.2.3"], "conditions": {"ready": false}}]}),
        )
        .await;
    until(&server, &path, |_, s| reason(s) == "MissingEndpoints").await;
    assert_eq!(server.code(echo).await, 503);
    server.ok("DELETE", &path, &Value::Null).await;
    until(&server, echo, |code, _| code == 404).await;
}

#[tokio::test]
async fn api_services_of_this_server_are_local() {
    let server = Server::new().await;
    let all = server.get(API_SERVICES).await;
    let names: Vec<&str> = all["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["metadata"]["name"].as_str().unwrap())
        .collect();
    for name in ["v1.", "v1.apps", "v2.autoscaling", "v1beta1.metrics.k8s.io"] {
        assert!(names.contains(&name), "{name} is not among {names:?}");
    }
    assert!(
        all["items"]
            .as_array()
            .unwrap()
            .iter()
            .all(|s| reason(s) == "Local")
    );
    let (code, message) = server
        .fails(
            "POST",
            API_SERVICES,
            &json!({"metadata": {"name": "v1.a.b"}, "spec": {"group": "b.a", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1}}),
        )
        .await;
    assert_eq!(code, 422);
    assert_eq!(
        message,
        "APIService.apiregistration.k8s.io \"v1.a.b\" is invalid: metadata.name: Invalid value: \"v1.a.b\": must be \
         `spec.version+\".\"+spec.group`: \"v1.b.a\""
    );
}

struct Measured;

#[async_trait]
impl MetricsSource for Measured {
    async fn nodes(&self) -> Vec<NodeUsage> {
        let usage = |cpu_nanos, memory| Usage { cpu_nanos, memory };
        let pod = |name: &str, cpu| PodUsage {
            namespace: "default".to_owned(),
            name: name.to_owned(),
            window: Duration::from_millis(15_020),
            containers: vec![("c".to_owned(), usage(cpu, 3 << 20))],
        };
        vec![NodeUsage {
            name: "n".to_owned(),
            at: "2026-01-01T00:00:00Z".parse().unwrap(),
            window: Duration::from_secs(15),
            usage: usage(1_500_000_000, 1 << 30),
            pods: vec![pod("b", 250_000_000), pod("a", 123_456_789), pod("gone", 1)],
        }]
    }
}

#[tokio::test]
async fn resource_metrics() {
    let server = Server::new().await;
    let root = "/apis/metrics.k8s.io/v1beta1";
    assert_eq!(server.code(&format!("{root}/nodes")).await, 503);
    server.api.set_metrics_source(Arc::new(Measured));
    server
        .ok(
            "POST",
            "/api/v1/nodes",
            &json!({"metadata": {"name": "n", "labels": {"zone": "z"}}}),
        )
        .await;
    for name in ["a", "b"] {
        server.ok("POST", PODS, &pod(name)).await;
        let path = format!("{PODS}/{name}/status");
        server
            .ok("PATCH", &path, &json!({"status": {"phase": "Running"}}))
            .await;
    }
    let nodes = server.get(&format!("{root}/nodes")).await;
    assert_eq!(nodes["kind"], "NodeMetricsList");
    assert_eq!(
        nodes["items"][0]["usage"],
        json!({"cpu": "1500m", "memory": "1Gi"})
    );
    assert_eq!(nodes["items"][0]["metadata"]["labels"]["zone"], "z");
    assert_eq!(nodes["items"][0]["window"], "15s");

    let pods = server.get(&format!("{root}/pods")).await;
    let names: Vec<&Value> = pods["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| &p["metadata"]["name"])
        .collect();
    assert_eq!(names, ["a", "b"]);
    let one = server.get(&format!("{root}/namespaces/default/pods/a")).await;
    assert_eq!(
        one["containers"],
        json!([{"name": "c", "usage": {"cpu": "123456789n", "memory": "3Mi"}}])
    );
    assert_eq!(
        (&one["timestamp"], &one["window"]),
        (&json!("2026-01-01T00:00:00Z"), &json!("15.02s"))
    );
    let chosen = server
        .get(&format!("{root}/namespaces/default/pods?labelSelector=app%3Db"))
        .await;
    assert_eq!(chosen["items"].as_array().unwrap().len(), 1);
    assert_eq!(
        server
            .fails("GET", &format!("{root}/namespaces/default/pods/x"), &Value::Null)
            .await,
        (
            404,
            "podmetrics.metrics.k8s.io \"default/x\" not found".to_owned()
        )
    );
    assert_eq!(
        server
            .fails("DELETE", &format!("{root}/nodes/n"), &Value::Null)
            .await
            .0,
        405
    );
    let list = server.get(root).await;
    assert_eq!(list["resources"][1]["kind"], "PodMetrics");
}
