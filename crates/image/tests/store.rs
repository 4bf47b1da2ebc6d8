//! The store and its archives, on archives made here; no network is needed, and root only to mount a layer.
#![allow(clippy::unwrap_used)] // Helpers of tests fail as tests do.

use std::fs;
use std::io::{Read as _, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use image::{Digest, Error, Store};

enum Kind<'a> {
    Dir,
    File(&'a str),
    Symlink(&'a str),
    Hard(&'a str),
}

fn tar(entries: &[(&str, Kind<'_>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, kind) in entries {
        let mut header = tar::Header::new_ustar();
        let (entry_type, link, body) = match kind {
            Kind::Dir => (tar::EntryType::Directory, "", ""),
            Kind::File(body) => (tar::EntryType::Regular, "", *body),
            Kind::Symlink(to) => (tar::EntryType::Symlink, *to, ""),
            Kind::Hard(to) => (tar::EntryType::Link, *to, ""),
        };
        header.set_mode(0o755);
        header.set_mtime(1_000_000);
        header.set_uid(0);
        header.set_gid(0);
        header.set_entry_type(entry_type);
        header.set_size(body.len() as u64);
        // Straight into the fields: the crate's setters refuse what an attacker would write.
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        tar.append(&header, body.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap()
}

fn pack(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, body) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(body.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, body.as_slice()).unwrap();
    }
    tar.into_inner().unwrap()
}

/// An OCI archive with these layers, packed by turns in every way.
fn archive(name: &str, layers: &[Vec<u8>]) -> Vec<u8> {
    let digest = |bytes: &[u8]| Digest::of(bytes).to_string();
    let oci = |kind: &str| format!("application/vnd.oci.image.{kind}");
    let (mut blobs, mut descriptors, mut diff_ids) = (Vec::new(), Vec::new(), Vec::new());
    for (i, layer) in layers.iter().enumerate() {
        let (packed, suffix) = match i % 3 {
            0 => {
                let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                gz.write_all(layer).unwrap();
                (gz.finish().unwrap(), "+gzip")
            }
            1 => (zstd::bulk::compress(layer, 3).unwrap(), "+zstd"),
            _ => (layer.clone(), ""),
        };
        let media_type = oci(&format!("layer.v1.tar{suffix}"));
        descriptors.push(
            serde_json::json!({"mediaType": media_type, "digest": digest(&packed), "size": packed.len()}),
        );
        diff_ids.push(digest(layer));
        blobs.push(packed);
    }
    let config = serde_json::json!({"architecture": "amd64", "os": "linux",
        "config": {"Env": ["PATH=/bin"], "Cmd": ["/bin/sh"], "User": "7:8", "WorkingDir": "/w",
                   "ExposedPorts": {"80/tcp": {}}, "StopSignal": "SIGQUIT"},
        "rootfs": {"type": "layers", "diff_ids": diff_ids}})
    .to_string()
    .into_bytes();
    let manifest =
        serde_json::json!({"schemaVersion": 2, "mediaType": oci("manifest.v1+json"), "layers": descriptors,
        "config": {"mediaType": oci("config.v1+json"), "digest": digest(&config), "size": config.len()}})
        .to_string()
        .into_bytes();
    let index = serde_json::json!({"schemaVersion": 2, "manifests": [{"mediaType": oci("manifest.v1+json"),
        "digest": digest(&manifest), "size": manifest.len(), "annotations": {"org.opencontainers.image.ref.name": name}}]});
    blobs.extend([config, manifest]);
    let mut files = vec![("index.json".to_owned(), index.to_string().into_bytes())];
    files.extend(
        blobs
            .into_iter()
            .map(|blob| (format!("blobs/sha256/{}", Digest::of(&blob).hex()), blob)),
    );
    pack(&files)
}

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("images")).unwrap();
    (folder, store)
}

fn unpack(entries: &[(&str, Kind<'_>)]) -> (tempfile::TempDir, Result<PathBuf, Error>) {
    let (folder, store) = store();
    store
        .import_from(archive("x:latest", &[tar(entries)]).as_slice(), "test", "x")
        .unwrap();
    let unpacked = store.unpacked_layers(&store.resolve("x").unwrap());
    (folder, unpacked.map(|mut layers| layers.remove(0)))
}

fn count(folder: impl AsRef<Path>) -> usize {
    fs::read_dir(folder).unwrap().count()
}

#[test]
fn imports_resolves_unpacks_and_exports() {
    let (folder, store) = store();
    let lower = tar(&[
        ("./", Kind::Dir),
        ("bin/", Kind::Dir),
        ("bin/a", Kind::File("one")),
        ("bin/b", Kind::Hard("bin/a")),
        ("sh", Kind::Symlink("bin/a")),
    ]);
    let layers = [
        lower,
        tar(&[("etc/deep/er/file", Kind::File("two"))]),
        tar(&[("bin/a", Kind::File("three"))]),
    ];
    let file = folder.path().join("in.tar");
    fs::write(&file, archive("demo.local/x:1", &layers)).unwrap();

    assert_eq!(store.import(&file).unwrap()[0].name, "demo.local/x:1");
    let image = store.resolve("demo.local/x:1").unwrap();
    assert_eq!(image.config.env, [("PATH".to_owned(), "/bin".to_owned())]);
    assert_eq!(
        (image.config.user.as_str(), image.config.workdir.as_str()),
        ("7:8", "/w")
    );
    assert_eq!(image.config.exposed_ports, ["80/tcp"]);
    assert_eq!(image.config.stop_signal.as_deref(), Some("SIGQUIT"));
    assert_eq!(
        store.resolve(&image.digest.to_string()).unwrap().name,
        "demo.local/x:1"
    );
    assert_eq!(store.resolve(&image.id.to_string()).unwrap().digest, image.digest);
    assert_eq!(
        store
            .resolve(&format!("demo.local/x@{}", image.digest))
            .unwrap()
            .digest,
        image.digest
    );
    for missing in [
        "demo.local/y:1".to_owned(),
        format!("demo.local/y@{}", image.digest),
    ] {
        assert!(matches!(store.resolve(&missing), Err(Error::NotFound { .. })));
    }

    let layers = store.unpacked_layers(&image).unwrap();
    assert_eq!(layers.len(), 3);
    assert_eq!(fs::read_to_string(layers[0].join("bin/a")).unwrap(), "three");
    assert_eq!(
        fs::read_to_string(layers[1].join("etc/deep/er/file")).unwrap(),
        "two"
    );
    let (a, b) = (
        layers[2].join("bin/a").metadata().unwrap(),
        layers[2].join("bin/b").metadata().unwrap(),
    );
    assert_eq!(
        (a.ino(), a.mtime(), a.permissions().mode() & 0o7777),
        (b.ino(), 1_000_000, 0o755)
    );
    assert_eq!(layers[2].join("bin").metadata().unwrap().mtime(), 1_000_000);
    assert_eq!(fs::read_link(layers[2].join("sh")).unwrap(), Path::new("bin/a"));
    assert_eq!(store.unpacked_layers(&image).unwrap(), layers);

    let (one, two) = (folder.path().join("1.tar"), folder.path().join("2.tar"));
    store.export("demo.local/x:1", &one).unwrap();
    let (_keep, other) = self::store();
    other.import(&one).unwrap();
    other.export("demo.local/x:1", &two).unwrap();
    assert_eq!(fs::read(&one).unwrap(), fs::read(&two).unwrap());
    assert_eq!(other.resolve("demo.local/x:1").unwrap(), image);
}

#[test]
fn several_handles_unpack_once() {
    let (_folder, store) = store();
    let layer = tar(&[("a", Kind::File("x"))]);
    store
        .import_from(archive("x:latest", &[layer]).as_slice(), "test", "x")
        .unwrap();
    let root = store.root();
    let unpack = || {
        let store = Store::open(root).unwrap();
        store.unpacked_layers(&store.resolve("x").unwrap()).unwrap()
    };
    let paths: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(unpack)).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(paths.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!((count(root.join("tmp")), count(root.join("layers"))), (0, 1));
}

#[test]
fn docker_save_in_both_ages() {
    let layer = tar(&[("a", Kind::File("x"))]);
    let digest = Digest::of(&layer);
    let config = serde_json::json!({"architecture": "amd64", "os": "linux", "config": {"Cmd": null, "Entrypoint": ["/a"]},
        "rootfs": {"type": "layers", "diff_ids": [digest, digest]}});
    let (_folder, store) = store();
    for name in [
        "0123/layer.tar".to_owned(),
        format!("blobs/sha256/{}", digest.hex()),
    ] {
        let list = serde_json::json!([{"Config": "c.json", "RepoTags": ["busybox:1", "other/name:2"], "Layers": [name, name]}]);
        let files = [
            ("c.json".to_owned(), config.to_string().into_bytes()),
            (name, layer.clone()),
            ("manifest.json".to_owned(), list.to_string().into_bytes()),
        ];
        let images = store.import_from(pack(&files).as_slice(), "saved", "x").unwrap();
        let names: Vec<_> = images.iter().map(|image| image.name.as_str()).collect();
        assert_eq!(names, ["docker.io/library/busybox:1", "docker.io/other/name:2"]);
        let image = store.resolve("busybox:1").unwrap();
        assert_eq!(image.config.entrypoint, ["/a"]);
        // Twice the same layer: once as a lower directory.
        assert_eq!(store.unpacked_layers(&image).unwrap().len(), 1);
    }
}

#[test]
fn what_is_not_what_it_says_is_refused() {
    let good = archive("x:latest", &[tar(&[("a", Kind::File("x"))])]);
    let (_folder, store) = store();
    let mut tampered = good.clone();
    let at = good.windows(6).position(|w| w == b"/bin/s").unwrap();
    tampered[at] = b'!';
    let error = store
        .import_from(tampered.as_slice(), "tampered", "x")
        .unwrap_err();
    assert!(matches!(error, Error::Mismatch { .. }), "{error}");
    for (what, bytes) in [
        ("cut", &good[..700]),
        ("text", &b"hello, this is no tar"[..]),
        ("empty", &[][..]),
    ] {
        let error = store.import_from(bytes, what, "x").unwrap_err();
        assert!(
            matches!(error, Error::Archive { .. } | Error::Json { .. }),
            "{what}: {error:?}"
        );
    }
    assert!(store.list().unwrap().is_empty());
    // A layer that is damaged on disk after the import.
    store.import_from(good.as_slice(), "good", "x").unwrap();
    let image = store.resolve("x").unwrap();
    let other = zstd::bulk::compress(&tar(&[("a", Kind::File("y"))]), 3).unwrap();
    fs::write(
        store
            .root()
            .join("blobs/sha256")
            .join(image.layers[0].digest.hex()),
        other,
    )
    .unwrap();
    let error = store.unpacked_layers(&image).unwrap_err();
    assert!(matches!(error, Error::Mismatch { .. }), "{error}");
    assert_eq!(count(store.root().join("layers")), 0);
}

#[test]
fn nothing_leaves_the_layer() {
    let folder = tempfile::tempdir().unwrap();
    let outside = folder.path().to_str().unwrap();
    for (case, entries) in [
        ("dot dot", vec![("../evil", Kind::File("x"))]),
        ("hidden dot dot", vec![("a/../../evil", Kind::File("x"))]),
        ("hard link out", vec![("evil", Kind::Hard("../../etc/passwd"))]),
        (
            "hard link by symlink",
            vec![("s", Kind::Symlink("/")), ("evil", Kind::Hard("s/etc/hostname"))],
        ),
        ("whiteout of the parent", vec![(".wh...", Kind::File(""))]),
    ] {
        let (_keep, unpacked) = unpack(&entries);
        assert!(
            matches!(unpacked, Err(Error::Layer { .. })),
            "{case}: {unpacked:?}"
        );
    }
    // A symlink that leads out resolves inside the layer, or is replaced; either way nothing appears outside.
    for entries in [
        vec![("s", Kind::Symlink(outside)), ("s/evil", Kind::File("x"))],
        vec![
            ("s", Kind::Symlink("../../../../../../..")),
            ("s/evil", Kind::File("x")),
        ],
        vec![("s", Kind::Symlink(outside)), ("s", Kind::File("x"))],
        vec![
            ("s", Kind::Symlink(outside)),
            ("s", Kind::Dir),
            ("s/evil", Kind::File("x")),
        ],
    ] {
        let (_keep, _unpacked) = unpack(&entries);
        assert_eq!(count(outside), 0);
        assert!(!Path::new("/evil").exists());
    }
    // An absolute name, and one through a symlink to the root, are names inside the layer.
    let (_keep, unpacked) = unpack(&[
        ("/abs", Kind::File("x")),
        ("s", Kind::Symlink("/")),
        ("s/in", Kind::File("y")),
    ]);
    let layer = unpacked.unwrap();
    assert_eq!(fs::read_to_string(layer.join("abs")).unwrap(), "x");
    assert_eq!(fs::read_to_string(layer.join("in")).unwrap(), "y");
}

#[test]
fn later_entries_replace_earlier_ones() {
    let (_keep, unpacked) = unpack(&[
        ("d/", Kind::Dir),
        ("d/x/", Kind::Dir),
        ("d/x/f", Kind::File("1")),
        ("d", Kind::File("now a file")),
        ("e", Kind::File("1")),
        ("e/", Kind::Dir),
        ("e/f", Kind::File("2")),
    ]);
    let layer = unpacked.unwrap();
    assert_eq!(fs::read_to_string(layer.join("d")).unwrap(), "now a file");
    assert_eq!(fs::read_to_string(layer.join("e/f")).unwrap(), "2");
}

#[test]
fn whiteouts_take_the_form_of_overlayfs() {
    let (_keep, unpacked) = unpack(&[
        ("etc/.wh.gone", Kind::File("")),
        ("opt/", Kind::Dir),
        ("opt/.wh..wh..opq", Kind::File("")),
        ("usr/new/", Kind::Dir),
        ("usr/.wh.new", Kind::File("")),
        (".wh..wh.plnk", Kind::File("")),
    ]);
    let layer = unpacked.unwrap();
    let gone = layer.join("etc/gone").symlink_metadata().unwrap();
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    let prefix = if rustix::process::geteuid().is_root() {
        "trusted"
    } else {
        "user"
    };
    for opaque in ["opt", "usr/new"] {
        let mut value = [0; 1];
        rustix::fs::getxattr(
            layer.join(opaque),
            format!("{prefix}.overlay.opaque"),
            &mut value[..],
        )
        .unwrap();
        assert_eq!(&value, b"y", "{opaque}");
    }
    assert_eq!(count(layer), 3);
}

#[test]
fn removed_names_and_pruned_content() {
    let (_folder, store) = store();
    let (shared, own) = (tar(&[("a", Kind::File("x"))]), tar(&[("b", Kind::File("x"))]));
    store
        .import_from(
            archive("keep:latest", std::slice::from_ref(&shared)).as_slice(),
            "1",
            "x",
        )
        .unwrap();
    store
        .import_from(archive("drop:latest", &[shared, own]).as_slice(), "2", "x")
        .unwrap();
    store.unpacked_layers(&store.resolve("drop").unwrap()).unwrap();
    store.tag("drop", "again:1").unwrap();
    store.remove("drop").unwrap();
    assert!(matches!(store.remove("drop"), Err(Error::NotFound { .. })));
    assert_eq!(store.prune().unwrap().blobs, 0);
    store.remove("again:1").unwrap();
    let pruned = store.prune().unwrap();
    assert_eq!((pruned.blobs, pruned.layers, pruned.in_use), (3, 1, 0));
    store.unpacked_layers(&store.resolve("keep").unwrap()).unwrap();
    assert_eq!(count(store.root().join("tmp")), 0);
}

#[test]
fn a_layer_that_is_mounted_in_any_namespace_stays() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: mounting needs root");
        return;
    }
    let (_folder, store) = store();
    let layer = tar(&[("a", Kind::File("x"))]);
    store
        .import_from(archive("one:1", &[layer]).as_slice(), "1", "x")
        .unwrap();
    let layers = store.unpacked_layers(&store.resolve("one:1").unwrap()).unwrap();
    let script = "mount --bind \"$0\" \"$0\" && echo mounted && exec sleep 600";
    let mut user = Command::new("unshare")
        .args(["--mount", "sh", "-c", script])
        .arg(&layers[0])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut word = [0; 8];
    user.stdout.as_mut().unwrap().read_exact(&mut word).unwrap();
    store.remove("one:1").unwrap();
    let pruned = store.prune().unwrap();
    assert_eq!((pruned.layers, pruned.in_use), (0, 1));
    user.kill().unwrap();
    user.wait().unwrap();
    let pruned = store.prune().unwrap();
    assert_eq!((pruned.layers, pruned.in_use), (1, 0));
}

#[test]
fn a_damaged_image_is_no_obstacle() {
    let (_folder, store) = store();
    let layer = |name| tar(&[(name, Kind::File("x"))]);
    store
        .import_from(archive("good:1", &[layer("a")]).as_slice(), "1", "x")
        .unwrap();
    store
        .import_from(archive("bad:1", &[layer("b")]).as_slice(), "2", "x")
        .unwrap();
    let bad = store.resolve("bad:1").unwrap();
    fs::write(store.root().join("blobs/sha256").join(bad.digest.hex()), "{}").unwrap();
    assert!(matches!(store.resolve("bad:1"), Err(Error::Mismatch { .. })));
    assert_eq!(store.list().unwrap().len(), 1);
    store.remove("bad:1").unwrap();
    assert_eq!(store.prune().unwrap().blobs, 3);
    store.unpacked_layers(&store.resolve("good:1").unwrap()).unwrap();
}
