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
async fn namespaces_without_a_name() {
    let server = Server::new().await;
    for path in ["/api/v1/namespaces//pods/x", "/api/v1/namespaces//configmaps/x"] {
        for method in ["GET", "PUT", "DELETE"] {
            let (code, _, told) = ask(&server, method, path, "").await;
            assert_eq!(
                (code, told.as_str()),
                (400, "Namespace parameter required."),
                "{method} {path}"
            );
        }
    }
    let request = Request::post(MAPS).header("content-type", "application/yaml");
    let request = request.body(Body::from(b"\n\ta: b".to_vec())).unwrap();
    let answer = server.admin.send(request).await.unwrap();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let told = serde_json::from_slice::<Value>(&body).unwrap()["message"].to_string();
    assert!(
        told.contains("yaml: line 2: found character that cannot start any token"),
        "{told}"
    );
    let map = json!({"metadata": {"name": "a"}});
    let (code, answer) = send(&server.admin, "POST", "/api/v1/namespaces//configmaps", &map).await;
    assert_eq!(code, 400);
    assert_eq!(
        answer["message"],
        "an empty namespace may not be set during creation"
    );
    let all = server.get("/api/v1/namespaces//configmaps?fieldSelector==").await;
    assert_eq!(all["kind"], "ConfigMapList");
}

#[tokio::test]
async fn a_path_and_a_slash() {
    let server = Server::new().await;
    for path in [
        "/metrics/",
        "/statusz/",
        "/livez/",
        "/readyz/ping/",
        "/openapi/v2/",
        "/openapi/v3/",
        "/openapi/v3/api/v1/",
    ] {
        assert_eq!(ask(&server, "GET", path, "").await.0, 404, "{path}");
    }
    for path in [
        "/version/",
        "/openid/v1/jwks/",
        "/.well-known/openid-configuration/",
    ] {
        assert_eq!(ask(&server, "GET", path, "").await.0, 200, "{path}");
    }
    for path in ["/openapi/v3/apis/apps", "/openapi/v3/api", "/openapi/v3/version"] {
        assert_eq!(ask(&server, "GET", path, "").await.0, 200, "{path}");
    }
    let page = "application/yaml;as=Statusz;v=v1beta1;g=config.k8s.io";
    let (_, kind, _) = ask(&server, "GET", "/statusz", page).await;
    assert_eq!(kind, "application/yaml;g=config.k8s.io;v=v1beta1;as=Statusz");
    for path in ["/api", "/api/v1", "/apis/apps/v1"] {
        let (_, kind, _) = ask(&server, "GET", path, "application/vnd.kubernetes.protobuf").await;
        assert_eq!(kind, "application/vnd.kubernetes.protobuf", "{path}");
    }
    let alone = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
    let request = Request::post("/apis/authentication.k8s.io/v1/selfsubjectreviews")
        .header("accept", alone)
        .header("content-type", "application/json");
    let answer = server
        .admin
        .send(request.body(Body::from(b"{}".to_vec())).unwrap())
        .await
        .unwrap();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(
        serde_json::from_slice::<Value>(&body).unwrap()["kind"],
        "PartialObjectMetadata"
    );
}

#[tokio::test]
async fn what_was_there_from_the_start_has_its_owners() {
    let server = Server::new().await;
    for path in [
        "/apis/networking.k8s.io/v1/servicecidrs/kubernetes",
        "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas/exempt",
    ] {
        let object = server.get(path).await;
        let owners = object["metadata"]["managedFields"].as_array().unwrap();
        assert!(owners.iter().all(|o| o["time"].is_string()), "{owners:?}");
    }
    for (path, fields) in [
        (
            "/api/v1/namespaces/default",
            json!({"f:metadata": {"f:labels": {".": {}, "f:kubernetes.io/metadata.name": {}}}}),
        ),
        (
            "/apis/scheduling.k8s.io/v1/priorityclasses/system-node-critical",
            json!({"f:description": {}, "f:preemptionPolicy": {}, "f:value": {}}),
        ),
    ] {
        let owners = server.get(path).await["metadata"]["managedFields"].clone();
        assert_eq!(owners.as_array().unwrap().len(), 1, "{owners}");
        assert_eq!(
            (&owners[0]["manager"], &owners[0]["fieldsV1"]),
            (&json!("kube-apiserver"), &fields)
        );
    }
}

#[tokio::test]
async fn whoever_finalizes_a_namespace_may_change_all_but_its_status() {
    let server = Server::new().await;
    let name = json!({"metadata": {"name": "held", "finalizers": ["a.b/c"]}});
    server.ok("POST", "/api/v1/namespaces", &name).await;
    let path = "/api/v1/namespaces/held/finalize";
    let less = json!({"metadata": {"name": "held"}, "spec": {"finalizers": ["kubernetes", "a.b/d"]}});
    let tried = server.ok("PUT", &format!("{path}?dryRun=All"), &less).await;
    assert_eq!(tried["spec"]["finalizers"], json!(["kubernetes", "a.b/d"]));
    let kept = server.get("/api/v1/namespaces/held").await;
    assert_eq!(kept["spec"]["finalizers"], json!(["kubernetes"]));
    let changed = server.ok("PUT", path, &less).await;
    assert_eq!(changed["metadata"]["finalizers"], Value::Null);
    let owners = changed["metadata"]["managedFields"].as_array().unwrap();
    assert!(
        owners.iter().any(|o| o["subresource"] == "finalize"),
        "{owners:?}"
    );
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

/// The headers of an answer.
async fn headers_of(server: &Server, path: &str, asked: &[(&str, &str)]) -> (u16, http::HeaderMap) {
    let mut request = Request::builder().method("GET").uri(path);
    for (name, value) in asked {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::from(Vec::new())).unwrap();
    let response = server.admin.send(request).await.unwrap();
    (response.status().as_u16(), response.headers().clone())
}

#[tokio::test]
async fn answers_say_where_the_request_belongs() {
    let server = Server::new().await;
    let uid = |object: Value| object["metadata"]["uid"].as_str().unwrap().to_owned();
    let flow = "/apis/flowcontrol.apiserver.k8s.io/v1";
    let schema = uid(server.get(&format!("{flow}/flowschemas/exempt")).await);
    let level = uid(server
        .get(&format!("{flow}/prioritylevelconfigurations/exempt"))
        .await);
    for path in ["/api/v1/namespaces", "/nope", "/api/v1/namespaces/none"] {
        let (_, headers) = headers_of(&server, path, &[]).await;
        assert_eq!(
            headers["x-kubernetes-pf-flowschema-uid"],
            schema.as_str(),
            "{path}"
        );
        assert_eq!(
            headers["x-kubernetes-pf-prioritylevel-uid"],
            level.as_str(),
            "{path}"
        );
    }
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let listed = ask(&server, "GET", &format!("{flow}/flowschemas"), table).await.2;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let rows = listed["rows"].as_array().unwrap();
    assert_eq!(rows[0]["cells"][0], "exempt");
    assert_eq!(rows.last().unwrap()["cells"][0], "catch-all");
}

#[tokio::test]
async fn discovery_may_be_kept() {
    let server = Server::new().await;
    let form = (
        "accept",
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
    );
    let (code, headers) = headers_of(&server, "/apis", &[form]).await;
    assert_eq!(
        (code, headers["cache-control"].to_str().unwrap()),
        (200, "public")
    );
    let tag = headers["etag"].to_str().unwrap();
    let again = headers_of(&server, "/apis", &[form, ("if-none-match", tag)]).await;
    assert_eq!((again.0, again.1["etag"].to_str().unwrap()), (304, tag));
    let other = headers_of(&server, "/apis", &[form, ("if-none-match", "\"x\"")]).await;
    assert_eq!(other.0, 200);
}

#[tokio::test]
async fn several_faults_are_told_as_upstream_tells_them() {
    let server = Server::new().await;
    let causes = async |path: &str, object: Value| {
        let answer = send(&server.admin, "POST", &format!("{path}?dryRun=All"), &object)
            .await
            .1;
        let causes = answer["details"]["causes"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        causes
            .iter()
            .map(|c| c["field"].as_str().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    // No address: nothing else is looked at.
    let service =
        json!({"metadata": {"name": "Bad"}, "spec": {"ipFamilyPolicy": "x", "ports": [{"port": 0}]}});
    assert_eq!(
        causes("/api/v1/namespaces/default/services", service).await,
        ["spec.ipFamilyPolicy"]
    );
    let class = json!({"metadata": {"name": "c"}, "spec": {"selectors": [{"cel": {"expression": "a b"}}], "config": [{}]}});
    assert_eq!(
        causes("/apis/resource.k8s.io/v1/deviceclasses", class).await,
        ["spec.selectors[0].cel.expression", "spec.config[0].opaque"]
    );
    let pods = "/api/v1/namespaces/default/pods";
    let pod = json!({"metadata": {}, "spec": {"containers": [], "priorityClassName": "none"}});
    let (_, refused) = send(&server.admin, "POST", pods, &pod).await;
    assert_eq!(
        refused["message"],
        "pods \"Unknown\" is forbidden: no PriorityClass with name none was found"
    );
    let (_, refused) = send(
        &server.admin,
        "POST",
        MAPS,
        &json!({"metadata": {"name": "a\u{1}"}, "data": {"b": "c"}}),
    )
    .await;
    let message = refused["message"].as_str().unwrap();
    assert!(
        message.starts_with(r#"ConfigMap "a\x01" is invalid: metadata.name: Invalid value: "a\x01": "#),
        "{message}"
    );
}
