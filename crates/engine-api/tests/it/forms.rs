//! What objects, lists, failures and watches are written as, as kube-apiserver 1.36.2 answered.
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::{Value, json};

use crate::common::{MAPS, PODS, Server, pod};

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

async fn ask(server: &Server, path: &str, accept: &str) -> (u16, HeaderMap, Vec<u8>) {
    let request = Request::get(path)
        .header("accept", accept)
        .body(Body::empty())
        .unwrap();
    let response = server.admin.send(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    (parts.status.as_u16(), parts.headers, body)
}

fn form(headers: &HeaderMap) -> &str {
    headers["content-type"].to_str().unwrap()
}

fn alone(version: &str, kind: &str, form: &str) -> String {
    format!("{form};as={kind};v={version};g=meta.k8s.io")
}

#[tokio::test]
async fn encodings() {
    let server = Server::new().await;
    server
        .ok(
            "POST",
            MAPS,
            &json!({"metadata": {"name": "a"}, "data": {"k": "yes"}}),
        )
        .await;
    let one = format!("{MAPS}/a");
    let (_, headers, body) = ask(&server, &one, "application/yaml").await;
    let text = String::from_utf8(body).unwrap();
    assert_eq!(form(&headers), "application/yaml");
    assert!(
        text.starts_with("apiVersion: v1\ndata:\n  k: \"yes\"\nkind: ConfigMap\n"),
        "{text}"
    );
    // Who names protobuf first gets it.
    for path in [one.as_str(), MAPS] {
        let (_, headers, body) = ask(&server, path, &format!("{PROTOBUF},application/json")).await;
        assert_eq!(form(&headers), PROTOBUF);
        let object = schema::decode_protobuf(&body).unwrap();
        let found = object.get("items").map_or(&object, |items| &items[0]);
        assert_eq!(found["data"], json!({"k": "yes"}));
    }
    let (code, headers, body) = ask(&server, &format!("{MAPS}/none"), PROTOBUF).await;
    let status = schema::decode_protobuf(&body).unwrap();
    assert_eq!((code, form(&headers)), (404, PROTOBUF));
    assert_eq!(status["message"], "configmaps \"none\" not found");
    let (_, headers, _) = ask(&server, &format!("{MAPS}/none"), "application/yaml").await;
    assert_eq!(form(&headers), "application/yaml");
}

#[tokio::test]
async fn metadata_alone() {
    let server = Server::new().await;
    server.ok("POST", MAPS, &json!({"metadata": {"name": "a"}})).await;
    let one = format!("{MAPS}/a");
    for version in ["v1", "v1beta1"] {
        let accept = alone(version, "PartialObjectMetadata", "application/json");
        let found: Value = serde_json::from_slice(&ask(&server, &one, &accept).await.2).unwrap();
        assert_eq!(
            (&found["kind"], &found["apiVersion"]),
            (
                &json!("PartialObjectMetadata"),
                &json!(format!("meta.k8s.io/{version}"))
            )
        );
        let accept = alone(version, "Table", "application/json");
        let found: Value = serde_json::from_slice(&ask(&server, MAPS, &accept).await.2).unwrap();
        assert_eq!(found["apiVersion"], format!("meta.k8s.io/{version}"));
        assert_eq!(
            found["rows"][0]["object"]["apiVersion"],
            format!("meta.k8s.io/{version}")
        );
    }
    for (path, kind, told) in [
        (
            MAPS,
            "PartialObjectMetadata",
            "you requested PartialObjectMetadata, but the requested object is a list (*core.ConfigMapList)",
        ),
        (
            one.as_str(),
            "PartialObjectMetadataList",
            "you requested PartialObjectMetadataList, but the requested object is not a list (*core.ConfigMap)",
        ),
    ] {
        let (code, _, body) = ask(&server, path, &alone("v1", kind, "application/json")).await;
        let status: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((code, status["message"].as_str().unwrap()), (406, told));
    }
    let accept = alone("v1", "PartialObjectMetadataList", PROTOBUF);
    let (code, headers, body) = ask(&server, MAPS, &accept).await;
    assert_eq!((code, form(&headers)), (200, PROTOBUF));
    assert!(body.starts_with(b"k8s\0"));
}

/// Frames of a watch in protobuf: four bytes of length, an event, and in it an object with its magic.
#[tokio::test]
async fn watches() {
    let server = Server::new().await;
    server.ok("POST", MAPS, &json!({"metadata": {"name": "a"}})).await;
    let path = format!("{MAPS}?watch=1&timeoutSeconds=1");
    let (code, headers, body) = ask(&server, &path, PROTOBUF).await;
    assert_eq!(
        (code, form(&headers)),
        (200, "application/vnd.kubernetes.protobuf;stream=watch")
    );
    let length = u32::from_be_bytes(body[..4].try_into().unwrap()) as usize;
    let event = &body[4..4 + length];
    assert!(event.starts_with(b"\n\x05ADDED\x12"));
    let magic = event.windows(4).position(|w| w == b"k8s\0").unwrap();
    assert_eq!(
        schema::decode_protobuf(&event[magic..]).unwrap()["kind"],
        "ConfigMap"
    );
    let (code, _, body) = ask(&server, &path, "application/yaml").await;
    assert_eq!(code, 406, "{}", String::from_utf8_lossy(&body));
}

/// What is sent to a subresource is of its kind.
#[tokio::test]
async fn bodies_of_subresources() {
    let server = Server::new().await;
    server.ok("POST", PODS, &pod("p")).await;
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {"replicas": 0,
        "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    server.ok("POST", deployments, &deployment).await;
    let other = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}});
    for (method, path, kind, internal) in [
        (
            "PUT",
            format!("{deployments}/d/scale"),
            "Scale",
            "autoscaling.Scale",
        ),
        ("POST", format!("{PODS}/p/binding"), "Binding", "core.Binding"),
        (
            "POST",
            format!("{PODS}/p/eviction"),
            "Eviction",
            "policy.Eviction",
        ),
        (
            "POST",
            "/api/v1/namespaces/default/serviceaccounts/default/token".to_owned(),
            "TokenRequest",
            "authentication.TokenRequest",
        ),
    ] {
        let (code, told) = server.fails(method, &path, &other).await;
        let wanted = format!(
            "Pod in version \"v1\" cannot be handled as a {kind}: converting (v1.Pod) to ({internal}): unknown conversion"
        );
        assert_eq!((code, told), (400, wanted), "{path}");
    }
    let nameless = json!({"spec": {"replicas": 1}});
    let (code, told) = server
        .fails("PUT", &format!("{deployments}/d/scale"), &nameless)
        .await;
    assert_eq!(
        (code, told.as_str()),
        (
            400,
            "the name of the object (d based on URL) was undeterminable: name must be provided"
        )
    );
    let older = json!({"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": "p"}});
    server
        .ok("POST", &format!("{PODS}/p/eviction?dryRun=All"), &older)
        .await;
}

/// An address has an object of its own as long as its Service is there.
#[tokio::test]
async fn addresses_of_services() {
    let server = Server::new().await;
    let services = "/api/v1/namespaces/default/services";
    let service = json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}});
    let made = server.ok("POST", services, &service).await;
    let address = |service: &Value| {
        format!(
            "/apis/networking.k8s.io/v1/ipaddresses/{}",
            service["spec"]["clusterIP"].as_str().unwrap()
        )
    };
    let found = server.get(&address(&made)).await;
    assert_eq!(
        found["spec"]["parentRef"],
        json!({"resource": "services", "namespace": "default", "name": "s"})
    );
    assert_eq!(
        found["metadata"]["labels"]["ipaddress.kubernetes.io/managed-by"],
        "ipallocator.k8s.io"
    );
    assert_eq!(found["metadata"]["managedFields"][0]["manager"], "kube-apiserver");
    // Nobody else gets it, and whoever deletes it sees it come again.
    let mut taken = service.clone();
    taken["metadata"]["name"] = "t".into();
    taken["spec"]["clusterIP"] = made["spec"]["clusterIP"].clone();
    assert_eq!(server.fails("POST", services, &taken).await.0, 422);
    server.ok("DELETE", &address(&made), &Value::Null).await;
    assert_eq!(server.code(&address(&made)).await, 200);
    server.ok("DELETE", &format!("{services}/s"), &Value::Null).await;
    assert_eq!(server.code(&address(&made)).await, 404);
    let kubernetes = server.get(&format!("{services}/kubernetes")).await;
    assert_eq!(server.code(&address(&kubernetes)).await, 200);
    let tried = server
        .ok("POST", &format!("{services}?dryRun=All"), &service)
        .await;
    assert_eq!(tried["spec"]["clusterIP"], "10.112.0.0");
}

/// Patches that do not fit are refused with what they would have made.
#[tokio::test]
async fn patches_that_do_not_fit() {
    let server = Server::new().await;
    server
        .ok(
            "POST",
            MAPS,
            &json!({"metadata": {"name": "a"}, "data": {"k": "v"}}),
        )
        .await;
    let ask = async |query: &str, form: &str, body: &str| {
        let request = Request::patch(format!("{MAPS}/a{query}"))
            .header("content-type", form)
            .body(Body::from(body.as_bytes().to_vec()))
            .unwrap();
        let response = server.admin.send(request).await.unwrap();
        let code = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap();
        (code, body["message"].as_str().unwrap_or_default().to_owned())
    };
    let strict = "?fieldValidation=Strict";
    let strategic = "application/strategic-merge-patch+json";
    let merge = "application/merge-patch+json";
    assert_eq!(
        ask(strict, strategic, r#"{"dat":{"x":"y"},"data":{"x":"1","x":"2"}}"#).await,
        (
            422,
            " \"\" is invalid: patch: Invalid value: \"map[dat:map[x:y] data:map[x:2]]\": strict decoding error: duplicate field \"data.x\", \
             unknown field \"dat\""
                .to_owned()
        )
    );
    let (code, told) = ask("", merge, r#"{"data":{"x":1}}"#).await;
    assert_eq!(code, 422);
    let begin = r#" "" is invalid: patch: Invalid value: "{\"apiVersion\":\"v1\",\"data\":{\"k\":\"v\",\"x\":1},\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"a\",\"namespace\":\"default\",\"uid\":"#;
    assert!(told.starts_with(begin), "{told}");
    assert!(
        told.ends_with("json: cannot unmarshal number into Go struct field ConfigMap.data of type string"),
        "{told}"
    );
    // Go's struct has been told what it is, and JSON has not.
    assert_eq!(ask("", strategic, r#"{"kind":"Pod"}"#).await.0, 200);
    assert_eq!(ask("", merge, r#"{"kind":"Pod"}"#).await.0, 422);
}
