//! The API server's front: any method, path, query, headers and body. No request is answered with 500, none panics.
#![no_main]
use std::cell::RefCell;

use engine_api::{ApiServer, Config};
use http::Request;
use http_body_util::BodyExt as _;
use kube::{Client, client::Body};
use libfuzzer_sys::fuzz_target;
use tokio::runtime::Runtime;

/// After so many requests there is another server, so that memory and the like stay bounded.
const REQUESTS: usize = 5000;

struct Front {
    runtime: Runtime,
    _server: ApiServer,
    client: Client,
    left: usize,
}

impl Front {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
        let config = Config { service_account_keys: vec![key.serialize_pem()], ..Config::default() };
        let (server, client) = runtime.block_on(async {
            let server = config.build().await.expect("a server");
            let client = server.client("admin", &["system:masters"], "fuzz/1");
            (server, client)
        });
        Self { runtime, _server: server, client, left: REQUESTS }
    }

    fn ask(&mut self, request: Request<Body>) {
        self.left -= 1;
        let text = format!("{} {} {:?}", request.method(), request.uri(), request.headers());
        self.runtime.block_on(async {
            let response = self.client.send(request).await.expect("an answer");
            let code = response.status();
            let json = response.headers().get("content-type").is_some_and(|t| t == "application/json");
            let mut body = response.into_body();
            // A watch goes on; what it says at once is enough.
            let first = tokio::time::timeout(std::time::Duration::from_millis(5), body.frame()).await;
            let Ok(Some(Ok(frame))) = first else { return };
            let Ok(bytes) = frame.into_data() else { return };
            let said = String::from_utf8_lossy(&bytes);
            // The one thing in a request that upstream calls its own fault: an apply with a field that no schema has.
            assert!(code != 500 || said.contains("failed to create typed patch object"), "{text}: {said}");
            if json && code != 200 {
                serde_json::from_slice::<serde_json::Value>(&bytes).unwrap_or_else(|e| panic!("{text}: {e}"));
            }
        });
    }
}

thread_local! {
    static FRONT: RefCell<Option<Front>> = const { RefCell::new(None) };
}

/// Method, path with query, content type, accepted type, each on a line; then the body.
fn request(bytes: &[u8]) -> Option<Request<Body>> {
    let mut parts = bytes.splitn(5, |b| *b == b'\n');
    let mut text = || std::str::from_utf8(parts.next()?).ok();
    let (method, uri, kind, accept) = (text()?, text()?, text()?, text()?);
    let body = parts.next().unwrap_or_default().to_vec();
    Request::builder()
        .method(method)
        .uri(uri)
        .header("content-type", kind)
        .header("accept", accept)
        .body(Body::from(body))
        .ok()
        .filter(|request| request.uri().path().starts_with('/'))
}

fuzz_target!(|bytes: &[u8]| {
    let Some(request) = request(bytes) else { return };
    FRONT.with_borrow_mut(|kept| {
        let front = kept.get_or_insert_with(Front::new);
        front.ask(request);
        if front.left == 0 {
            *kept = None;
        }
    });
});
