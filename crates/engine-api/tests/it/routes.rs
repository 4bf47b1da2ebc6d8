//! Odd paths, methods, headers and parameters, as kube-apiserver 1.36.2 answered them.
use http::Request;
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::{Value, json};

use crate::common::{MAPS, PODS, Server, send};

/// The code, the content type, and what a person reads of the answer.
async fn ask(server: &Server, method: &str, path: &str, accept: &str) -> (u16, String, String) {
    let mut request = Request::builder().method(method).uri(path);
    if !accept.is_empty() {
        request = request.header("accept", accept);
    }
    let request = request.body(Body::from(Vec::new())).unwrap();
    let response = server.admin.send(request).await.unwrap();
    let code = response.status().as_u16();
    let kind = response.headers().get("content-type");
    let kind = kind.map_or("", |v| v.to_str().unwrap()).to_owned();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8_lossy(&body).into_owned();
    let told = serde_json::from_str::<Value>(&text)
        .ok()
        .and_then(|v| v["message"].as_str().map(str::to_owned))
        .unwrap_or(text);
    (code, kind, told)
}

const NOT_FOUND: &str = "the server could not find the requested resource";
const NOT_ALLOWED: &str = "the server does not allow this method on the requested resource";

#[tokio::test]
async fn paths_and_methods() {
    let server = Server::new().await;
    for path in [
        "/nope",
        "/nope/x",
        "/openapi",
        "/healthz/nope",
        "/apis/nope",
        "/apis/nope.x/v1",
        "/apis/nope.x/v1/namespaces/default/things/a",
        "//api/v1/pods",
    ] {
        let (code, kind, told) = ask(&server, "GET", path, "").await;
        assert_eq!((code, told.as_str()), (404, "404 page not found\n"), "{path}");
        assert_eq!(kind, "text/plain; charset=utf-8", "{path}");
    }
    for (method, path, code, told) in [
        ("GET", "/api/v2", 404, NOT_FOUND),
        ("GET", "/apis/apps/v2/deployments", 404, NOT_FOUND),
        ("GET", "/apis/apps/v1/nope", 404, NOT_FOUND),
        ("GET", "/api/v1/pods/a", 404, NOT_FOUND),
        ("POST", "/api/v1/pods/a", 404, NOT_FOUND),
        ("OPTIONS", "/api/v1/pods/a", 404, NOT_FOUND),
        ("GET", "/api/v1/namespaces/default/pods/a/log/x", 404, NOT_FOUND),
        ("PUT", "/api/v1/pods", 405, NOT_ALLOWED),
        ("OPTIONS", "/api/v1/namespaces", 405, NOT_ALLOWED),
        ("POST", "/api", 405, NOT_ALLOWED),
        ("DELETE", "/api/v1", 405, NOT_ALLOWED),
        ("PATCH", "/apis/apps/v1", 405, NOT_ALLOWED),
        ("PUT", "/version", 405, NOT_ALLOWED),
    ] {
        let (found, _, said) = ask(&server, method, path, "").await;
        assert_eq!((found, said.as_str()), (code, told), "{method} {path}");
    }
    for path in ["/api", "/apis/apps/v1", "/version", "/api/v1/pods", PODS] {
        assert_eq!(ask(&server, "HEAD", path, "").await.0, 405, "{path}");
    }
    for path in ["/apis", "/apis/apps", "/healthz"] {
        assert_eq!(ask(&server, "HEAD", path, "").await.0, 200, "{path}");
    }
}

#[tokio::test]
async fn forms_of_answers() {
    let server = Server::new().await;
    let plain = "only the following media types are accepted: application/json, application/yaml, \
                 application/vnd.kubernetes.protobuf";
    let object = "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, \
                  application/vnd.kubernetes.protobuf";
    let list =
        format!("{object}, application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch");
    let one = format!("{MAPS}/nope");
    for (path, accept, told) in [
        (MAPS, "text/html", list.as_str()),
        (MAPS, "application/*", &list),
        (MAPS, "application/json;v=v1", plain),
        (&one, "text/plain", object),
        ("/api", "text/html", object),
        ("/api/v1", "application/json;as=Table;v=v1;g=meta.k8s.io", plain),
        ("/apis", "text/html", plain),
        (
            "/version",
            "text/html",
            "406: Not Acceptable\n\nAvailable representations: application/json",
        ),
    ] {
        let (code, _, said) = ask(&server, "GET", path, accept).await;
        assert_eq!((code, said.as_str()), (406, told), "{path} {accept}");
    }
    for accept in [
        "*/*",
        "text/html, application/json",
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json",
    ] {
        for path in ["/api", "/apis"] {
            assert_eq!(ask(&server, "GET", path, accept).await.0, 200, "{path} {accept}");
        }
    }
}

#[tokio::test]
async fn options() {
    let server = Server::new().await;
    let map = json!({"metadata": {"name": "a"}});
    for (query, told) in [
        (
            "dryRun=All&dryRun=x",
            "CreateOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"All\",\"x\"]: supported values: \"All\"",
        ),
        (
            "fieldManager=%00",
            "CreateOptions.meta.k8s.io \"\" is invalid: fieldManager: Invalid value: \"\\x00\": invalid character U+0000 (at position 0)",
        ),
        (
            "fieldValidation=x",
            "CreateOptions.meta.k8s.io \"\" is invalid: fieldValidation: Unsupported value: \"x\": supported values: \"\", \"Ignore\", \
             \"Strict\", \"Warn\"",
        ),
    ] {
        let (code, said) = server.fails("POST", &format!("{MAPS}?{query}"), &map).await;
        assert_eq!((code, said.as_str()), (422, told), "{query}");
    }
    for (body, told) in [
        (
            json!({"kind": "Pod"}),
            "no kind \"Pod\" is registered for version \"meta.k8s.io/v1\" in scheme \
             \"k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme/register.go:27\"",
        ),
        (
            json!({"gracePeriodSeconds": "x"}),
            "json: cannot unmarshal string into Go struct field DeleteOptions.gracePeriodSeconds of type int64",
        ),
    ] {
        let (code, said) = server.fails("DELETE", &format!("{MAPS}/a"), &body).await;
        assert_eq!((code, said.as_str()), (400, told));
    }
    // Who only tries may say a version.
    let versioned = json!({"metadata": {"name": "a", "resourceVersion": "1"}});
    server.ok("POST", &format!("{MAPS}?dryRun=All"), &versioned).await;
    let (code, said) = server.fails("POST", MAPS, &versioned).await;
    assert_eq!(
        (code, said.as_str()),
        (500, "resourceVersion should not be set on objects to be created")
    );
}

#[tokio::test]
async fn load_balancers_that_keep_the_clients_address() {
    let server = Server::new().await;
    let services = "/api/v1/namespaces/default/services";
    let service = json!({"metadata": {"name": "a"}, "spec": {"type": "LoadBalancer", "externalTrafficPolicy": "Local",
        "selector": {"a": "b"}, "ports": [{"port": 80}]}});
    let made = server.ok("POST", services, &service).await;
    let port = made["spec"]["healthCheckNodePort"].as_i64().unwrap();
    assert!((30000..=32767).contains(&port) && made["spec"]["ports"][0]["nodePort"] != port);
    // What belongs to the type goes with it, and comes back with it.
    let path = format!("{services}/a");
    let mut plain = made.clone();
    plain["spec"]["type"] = "ClusterIP".into();
    let plain = server.ok("PUT", &path, &plain).await;
    for gone in [
        "healthCheckNodePort",
        "externalTrafficPolicy",
        "allocateLoadBalancerNodePorts",
    ] {
        assert!(plain["spec"].get(gone).is_none(), "{gone}: {plain}");
    }
    assert!(plain["spec"]["ports"][0].get("nodePort").is_none());
    let mut again = plain.clone();
    again["spec"]["type"] = "LoadBalancer".into();
    again["spec"]["externalTrafficPolicy"] = "Local".into();
    let again = server.ok("PUT", &path, &again).await;
    assert!(again["spec"]["healthCheckNodePort"].is_i64());
    let ingress = json!({"loadBalancer": {"ingress": [{"ip": "1.2.3.4", "ipMode": "VIP"}]}});
    let mut exposed = plain;
    exposed["metadata"]["resourceVersion"] = Value::Null;
    exposed["status"] = ingress;
    let code = send(&server.admin, "PUT", &format!("{path}/status"), &exposed)
        .await
        .0;
    assert_eq!(code, 200, "the type is that of the stored Service");
}
