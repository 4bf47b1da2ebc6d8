//! Pulling from a registry: a small one on loopback that can be told to misbehave.
#![allow(clippy::unwrap_used)] // Helpers of tests fail as tests do.

use std::time::{Duration, Instant};

use image::{Digest, Error, PullOptions, Store};
use tokio::net::TcpListener;

use site::{Shared, serve};

mod site;

/// An image in a registry's form: its files by path below `/v2/test/app`.
fn registry(site: &Shared, with_index: bool) -> Digest {
    let mut files = Vec::new();
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(1);
    header.set_mode(0o644);
    tar.append_data(&mut header, "a", &b"x"[..]).unwrap();
    let layer = tar.into_inner().unwrap();
    let config = serde_json::json!({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/a"]},
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(&layer)]}})
    .to_string()
    .into_bytes();
    let kind = |name: &str| format!("application/vnd.oci.image.{name}");
    let manifest = serde_json::json!({"schemaVersion": 2, "mediaType": kind("manifest.v1+json"),
        "config": {"mediaType": kind("config.v1+json"), "digest": Digest::of(&config), "size": config.len()},
        "layers": [{"mediaType": kind("layer.v1.tar"), "digest": Digest::of(&layer), "size": layer.len()}]})
    .to_string()
    .into_bytes();
    let digest = Digest::of(&manifest);
    let architecture = if cfg!(target_arch = "x86_64") {
        "amd64"
    } else {
        "arm64"
    };
    let index = serde_json::json!({"schemaVersion": 2, "mediaType": kind("index.v1+json"), "manifests": [
        {"mediaType": kind("manifest.v1+json"), "digest": Digest::of("other"), "size": 5, "platform": {"architecture": "s390x", "os": "linux"}},
        {"mediaType": kind("manifest.v1+json"), "digest": digest, "size": manifest.len(), "platform": {"architecture": architecture, "os": "linux"}}]})
    .to_string()
    .into_bytes();
    let tagged = if with_index {
        (kind("index.v1+json"), index)
    } else {
        (kind("manifest.v1+json"), manifest.clone())
    };
    files.push(("manifests/1".to_owned(), tagged));
    files.push((
        format!("manifests/{digest}"),
        (kind("manifest.v1+json"), manifest),
    ));
    for blob in [config, layer] {
        files.push((
            format!("blobs/{}", Digest::of(&blob)),
            ("application/octet-stream".to_owned(), blob),
        ));
    }
    let mut site = site.lock().unwrap();
    site.files
        .insert("/v2/".to_owned(), ("application/json".to_owned(), b"{}".to_vec()));
    site.files.extend(
        files
            .into_iter()
            .map(|(path, file)| (format!("/v2/test/app/{path}"), file)),
    );
    digest
}

#[tokio::test]
async fn pulls_from_a_registry() {
    for with_index in [false, true] {
        let site = Shared::default();
        let digest = registry(&site, with_index);
        let host = serve(site.clone()).await;
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let name = format!("{host}/test/app:1");
        let image = store.pull(&name, &PullOptions::default()).await.unwrap();
        assert_eq!((image.name.as_str(), image.digest), (name.as_str(), digest));
        assert_eq!(store.resolve(&name).unwrap().config.cmd, ["/a"]);
        assert_eq!(store.unpacked_layers(&image).unwrap().len(), 1);
        // What is here is not pulled again.
        let blobs = |site: &Shared| {
            site.lock()
                .unwrap()
                .log
                .iter()
                .filter(|l| l.contains("/blobs/"))
                .count()
        };
        assert_eq!(blobs(&site), 2);
        store
            .pull(&format!("{host}/test/app@{digest}"), &PullOptions::default())
            .await
            .unwrap();
        assert_eq!(blobs(&site), 2);
        assert_eq!(
            store
                .resolve(&format!("{host}/test/app@{digest}"))
                .unwrap()
                .digest,
            digest
        );
    }
}

#[tokio::test]
async fn a_registry_that_lies_or_is_silent() {
    let site = Shared::default();
    let digest = registry(&site, false);
    let host = serve(site.clone()).await;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let within = async |seconds: u64, name: &str| {
        let options = PullOptions {
            patience: Some(Duration::from_secs(seconds)),
            ..PullOptions::default()
        };
        store.pull(name, &options).await.unwrap_err()
    };
    let pull = async |name: &str| within(60, name).await;

    let error = pull(&format!("{host}/test/gone:1")).await;
    assert!(matches!(error, Error::Pull { .. }), "{error}");
    // A digest was asked for; other bytes come.
    let wanted = format!("/v2/test/app/manifests/{}", Digest::of("wanted"));
    let manifest = site.lock().unwrap().files[&format!("/v2/test/app/manifests/{digest}")].clone();
    site.lock().unwrap().files.insert(wanted, manifest);
    let error = pull(&format!("{host}/test/app@{}", Digest::of("wanted"))).await;
    assert!(
        matches!(error, Error::Mismatch { .. } | Error::Pull { .. }),
        "{error}"
    );
    // A layer of the promised size with other bytes.
    for (path, (_, bytes)) in &mut site.lock().unwrap().files {
        if path.contains("/blobs/") && bytes.len() > 1000 {
            bytes[0] ^= 1;
        }
    }
    let error = pull(&format!("{host}/test/app:1")).await;
    assert!(
        error.to_string().contains("sha256") || error.to_string().contains("digest"),
        "{error}"
    );
    assert!(store.list().unwrap().is_empty());

    // Nobody there, and somebody who accepts and says nothing.
    let started = Instant::now();
    let error = pull("127.0.0.1:1/test/app:1").await;
    assert!(
        error
            .to_string()
            .starts_with("failed to pull 127.0.0.1:1/test/app:1: "),
        "{error}"
    );
    assert!(started.elapsed() < Duration::from_secs(60));
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = silent.local_addr().unwrap();
    let error = within(1, &format!("{host}/test/app:1")).await;
    assert!(error.to_string().contains("did not answer within"), "{error}");
}

#[test]
fn can_be_spawned() {
    fn sendable(_: impl Send) {}
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    sendable(store.pull("x", &PullOptions::default()));
    let options = image::BuildOptions::new(folder.path()).unwrap();
    sendable(
        image::Builder::new(store, image::Recipes::default(), options)
            .unwrap()
            .build("x"),
    );
}
