//! Images from a Debian archive that is made and signed here: no network, no root.
#![allow(clippy::unwrap_used)] // Helpers of tests fail as tests do.
#![allow(clippy::format_push_string, clippy::format_collect)] // Short documents.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use image::{BuildOptions, Builder, Built, Digest, Error, Keyring, Mirrors, Progress, Recipes, Store};
use pgp::composed::{
    ArmorOptions, CleartextSignedMessage, KeyType, SecretKeyParamsBuilder, SignedPublicKey, SignedSecretKey,
};
use pgp::types::Password;

mod site;

/// A key with nothing but itself; once for all tests, a second one for strangers.
fn key() -> SignedSecretKey {
    let mut params = SecretKeyParamsBuilder::default();
    params
        .key_type(KeyType::Ed25519Legacy)
        .can_sign(true)
        .can_certify(true)
        .primary_user_id("Test <test@example.com>".into());
    params.build().unwrap().generate(rand_08::thread_rng()).unwrap()
}

fn tar(files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, body) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(if path.contains("bin/") { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        if let Some(target) = body.strip_prefix("link:") {
            header.set_entry_type(tar::EntryType::Link);
            header.set_size(0);
            tar.append_link(&mut header, path, target).unwrap();
        } else {
            header.set_size(body.len() as u64);
            tar.append_data(&mut header, path, body.as_bytes()).unwrap();
        }
    }
    tar.into_inner().unwrap()
}

/// A Debian archive in a folder.
struct Archive {
    folder: tempfile::TempDir,
    key: SignedSecretKey,
    packages: String,
    release: BTreeMap<&'static str, String>,
}

impl Archive {
    fn new() -> Self {
        let release = BTreeMap::from([
            ("Suite", "oldstable".to_owned()),
            ("Codename", "bookworm".to_owned()),
            ("Date", "Sat, 11 Jul 2020 10:16:37 UTC".to_owned()),
            ("Acquire-By-Hash", "no".to_owned()),
        ]);
        Self {
            folder: tempfile::tempdir().unwrap(),
            key: key(),
            packages: String::new(),
            release,
        }
    }

    /// The usual one: an application on a library, and a base.
    fn usual() -> Self {
        let mut archive = Self::new();
        archive.add(
            "base-passwd",
            "1.0",
            "",
            &[
                (
                    "./usr/share/base-passwd/passwd.master",
                    "root:*:0:0:root:/root:/bin/bash\n",
                ),
                ("./usr/share/base-passwd/group.master", "root:*:0:\n"),
            ],
        );
        archive.add(
            "app",
            "1:2.3+ds-1",
            "Depends: libapp (>= 2), debconf\n",
            &[
                ("./usr/bin/app", "program"),
                ("./usr/bin/app2", "link:./usr/bin/app"),
                ("./bin/tool", "tool"),
                ("./usr/share/man/man1/app.1", "manual"),
                ("./usr/share/doc/app/copyright", "free"),
            ],
        );
        archive.add("libapp", "2.0-1", "", &[("./lib/libapp.so", "library")]);
        archive.publish();
        archive
    }

    fn add(&mut self, name: &str, version: &str, fields: &str, files: &[(&str, &str)]) {
        let control = format!("Package: {name}\nVersion: {version}\nArchitecture: amd64\n{fields}");
        let mut deb = ar::Builder::new(Vec::new());
        let mut member = |name: &str, bytes: &[u8]| {
            deb.append(
                &ar::Header::new(name.as_bytes().to_vec(), bytes.len() as u64),
                bytes,
            )
            .unwrap();
        };
        member("debian-binary", b"2.0\n");
        member(
            "control.tar.zst",
            &zstd::bulk::compress(&tar(&[("./control", &control)]), 3).unwrap(),
        );
        member("data.tar.zst", &zstd::bulk::compress(&tar(files), 3).unwrap());
        let deb = deb.into_inner().unwrap();
        self.write(&format!("pool/{name}.deb"), &deb);
        let (size, hash) = (deb.len(), Digest::of(&deb).hex());
        self.packages.push_str(&format!(
            "{control}Filename: pool/{name}.deb\nSize: {size}\nSHA256: {hash}\n\n"
        ));
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Writes the index and the signed release.
    fn publish(&self) {
        use std::io::Write;
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gz.write_all(self.packages.as_bytes()).unwrap();
        let index = gz.finish().unwrap();
        self.write("dists/bookworm/main/binary-amd64/Packages.gz", &index);
        let mut text: String = self
            .release
            .iter()
            .map(|(name, value)| format!("{name}: {value}\n"))
            .collect();
        text.push_str(&format!(
            "SHA256:\n {} {} main/binary-amd64/Packages.gz\n",
            Digest::of(&index).hex(),
            index.len()
        ));
        let signed =
            CleartextSignedMessage::sign(rand_08::thread_rng(), &text, &*self.key, &Password::empty())
                .unwrap();
        self.write(
            "dists/bookworm/InRelease",
            signed
                .to_armored_string(ArmorOptions::default())
                .unwrap()
                .as_bytes(),
        );
    }

    fn keyring(&self) -> Keyring {
        let mut keyring = Keyring::default();
        let public = SignedPublicKey::from(self.key.clone())
            .to_armored_bytes(ArmorOptions::default())
            .unwrap();
        keyring.add("test", &public).unwrap();
        keyring
    }

    fn url(&self) -> String {
        format!("file://{}", self.folder.path().display())
    }
}

/// A store with its cache, fresh.
struct Place {
    folder: tempfile::TempDir,
    notes: Arc<Mutex<Vec<String>>>,
}

impl Place {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            notes: Arc::default(),
        }
    }

    fn store(&self) -> Store {
        Store::open(self.folder.path().join("images")).unwrap()
    }

    fn options(&self, archive: &Archive) -> BuildOptions {
        let mut options = BuildOptions::new(self.folder.path().join("cache")).unwrap();
        options.architecture = "amd64".into();
        options.mirrors = Mirrors {
            main: vec![archive.url()],
            security: Vec::new(),
        };
        options.keyring = archive.keyring();
        options.max_age = Duration::ZERO;
        let notes = self.notes.clone();
        options.progress = Arc::new(move |progress| {
            if let Progress::Note(note) = progress {
                notes.lock().unwrap().push(note);
            }
        });
        options
    }

    fn build(&self, options: BuildOptions, name: &str) -> Result<Built, Error> {
        let mut recipes = Recipes::default();
        recipes.insert("base", BASE, |_| None).unwrap();
        recipes.insert("app", APP, |_| None).unwrap();
        recipes
            .insert("own", "binary = 'self'\nentrypoint = ['/cncfdemo']", |_| None)
            .unwrap();
        recipes.insert("gone", "packages = ['ap']", |_| None).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(Builder::new(self.store(), recipes, options)?.build(name))
    }
}

const BASE: &str = "packages = ['base-passwd']\nomit = ['debconf']\n[env]\nPATH = '/usr/bin'\n";
const APP: &str = "base = 'base'\npackages = ['app']\nentrypoint = ['/usr/bin/app']\nuser = 'app'\nexpose = ['80/tcp']\n
[env]\nA = 'b'\n[[users]]\nname = 'app'\nuid = 70\n[[directories]]\npath = '/data'\nuser = 'app'\ngroup = 'app'\n[[links]]\npath = '/bin/sh'\ntarget = 'tool'\n";

fn layers(store: &Store, built: &Built) -> Vec<PathBuf> {
    store.unpacked_layers(built.image.as_ref().unwrap()).unwrap()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn an_image_from_signed_packages() {
    let (archive, place) = (Archive::usual(), Place::new());
    let built = place.build(place.options(&archive), "app").unwrap();
    assert_eq!(built.reference.to_string(), "cncfdemo.local/app:2.3");
    let names: Vec<_> = built.packages.iter().map(|p| (p.name.as_str(), p.base)).collect();
    assert_eq!(names, [("app", false), ("base-passwd", true), ("libapp", false)]);
    let image = place.store().resolve("cncfdemo.local/app:2.3").unwrap();
    assert_eq!(Some(&image), built.image.as_ref());
    assert_eq!(image.config.entrypoint, ["/usr/bin/app"]);
    assert_eq!(
        image.config.env,
        [("A".into(), "b".into()), ("PATH".into(), "/usr/bin".into())]
    );
    assert_eq!(
        (image.config.user.as_str(), image.config.exposed_ports.len()),
        ("app", 1)
    );

    let layers = layers(&place.store(), &built);
    let [top, base] = &layers[..] else {
        panic!("{layers:?}")
    };
    assert_eq!(read(&top.join("usr/bin/app")), "program");
    assert_eq!(read(&top.join("usr/bin/app2")), "program");
    assert_eq!(read(&top.join("usr/bin/tool")), "tool");
    assert_eq!(read(&top.join("usr/lib/libapp.so")), "library");
    assert_eq!(read(&top.join("usr/share/doc/app/copyright")), "free");
    assert!(!top.join("usr/share/man").exists() && !top.join("bin").exists());
    assert_eq!(fs::read_link(top.join("usr/bin/sh")).unwrap(), Path::new("tool"));
    assert_eq!(
        read(&top.join("etc/passwd")),
        "root:x:0:0:root:/root:/bin/bash\napp:x:70:70::/nonexistent:/usr/sbin/nologin\n"
    );
    assert!(read(&top.join("var/lib/dpkg/status.d/libapp")).starts_with("Package: libapp\nVersion: 2.0-1\n"));
    assert_eq!(
        read(&base.join("etc/passwd")),
        "root:x:0:0:root:/root:/bin/bash\n"
    );
    // The suite's updates and security are not in this archive, and that is said.
    assert_eq!(place.notes.lock().unwrap().len(), 2);
}

#[test]
fn the_same_bytes_everywhere_and_nothing_twice() {
    let archive = Archive::usual();
    let (one, two) = (Place::new(), Place::new());
    let first = one.build(one.options(&archive), "app").unwrap();
    let second = two.build(two.options(&archive), "app").unwrap();
    assert_eq!(first.image, second.image);
    let (a, b) = (one.folder.path().join("x.tar"), two.folder.path().join("x.tar"));
    one.store().export("cncfdemo.local/app:2.3", &a).unwrap();
    two.store().export("cncfdemo.local/app:2.3", &b).unwrap();
    assert_eq!(fs::read(a).unwrap(), fs::read(b).unwrap());
    assert!(!first.cached && !second.cached);
    assert!(one.build(one.options(&archive), "app").unwrap().cached);
    // Without the name it is named again; without the blobs it is built again.
    one.store().remove("cncfdemo.local/app:2.3").unwrap();
    assert!(one.build(one.options(&archive), "app").unwrap().cached);
    one.store().remove("cncfdemo.local/app:2.3").unwrap();
    one.store().prune().unwrap();
    let again = one.build(one.options(&archive), "app").unwrap();
    assert!(!again.cached);
    assert_eq!(again.image, first.image);
    // A dry run says the same and leaves nothing.
    let place = Place::new();
    let mut options = place.options(&archive);
    options.dry_run = true;
    let planned = place.build(options, "app").unwrap();
    assert_eq!(
        (planned.reference, planned.packages),
        (first.reference, first.packages)
    );
    assert!(planned.image.is_none() && place.store().list().unwrap().is_empty());
}

#[test]
fn a_newer_package_makes_another_image() {
    let (mut archive, place) = (Archive::usual(), Place::new());
    let first = place.build(place.options(&archive), "app").unwrap();
    archive.add("libapp", "2.1-1", "", &[("./lib/libapp.so", "newer")]);
    archive.publish();
    let second = place.build(place.options(&archive), "app").unwrap();
    assert!(!second.cached);
    let (first, second) = (first.image.unwrap(), second.image.unwrap());
    assert_eq!(first.layers[0], second.layers[0]);
    assert_ne!(first.layers[1], second.layers[1]);
}

#[test]
fn this_program_on_nothing() {
    let (archive, place) = (Archive::new(), Place::new());
    let mut options = place.options(&archive);
    options.version = "9.9".to_owned();
    let program = place.folder.path().join("program");
    fs::write(&program, "binary").unwrap();
    assert!(matches!(
        place.build(options.clone(), "own"),
        Err(Error::Recipe { .. })
    ));
    options.program = Some(program.clone());
    let built = place.build(options.clone(), "own").unwrap();
    assert_eq!(built.reference.to_string(), "cncfdemo.local/own:9.9");
    assert_eq!(
        read(&layers(&place.store(), &built)[0].join("cncfdemo")),
        "binary"
    );
    fs::write(&program, "another").unwrap();
    let built = place.build(options, "own").unwrap();
    assert_eq!(
        read(&layers(&place.store(), &built)[0].join("cncfdemo")),
        "another"
    );
}

#[test]
fn only_what_is_signed_and_unchanged() {
    let archive = Archive::usual();
    let in_release = archive.folder.path().join("dists/bookworm/InRelease");
    let good = read(&in_release);
    let refused = |what: &str| {
        let place = Place::new();
        let error = place.build(place.options(&archive), "app").unwrap_err();
        assert!(matches!(error, Error::Signature { .. }), "{what}: {error}");
        assert!(place.store().list().unwrap().is_empty());
        error.to_string()
    };
    fs::write(
        &in_release,
        good.replace("Acquire-By-Hash: no", "Acquire-By-Hash: yes"),
    )
    .unwrap();
    assert!(refused("changed").contains("bad signature"));
    fs::write(
        &in_release,
        good.split("-----BEGIN PGP SIGNATURE").next().unwrap(),
    )
    .unwrap();
    refused("signature cut off");
    fs::write(&in_release, "Suite: bookworm\nCodename: bookworm\n").unwrap();
    refused("not signed at all");
    // Text outside the signed part is not looked at, wherever it is.
    fs::write(
        &in_release,
        format!("SHA256:\n 00 0 main/binary-amd64/Packages.xz\n{good}"),
    )
    .unwrap();
    refused("text before");
    fs::write(&in_release, &good).unwrap();
    // A good signature, but of a stranger.
    let place = Place::new();
    let mut options = place.options(&archive);
    options.keyring = Keyring::debian().unwrap();
    let error = place.build(options, "app").unwrap_err();
    assert!(
        error.to_string().contains("is not among the trusted ones"),
        "{error}"
    );
    // And after all that the good one is still good.
    place.build(place.options(&archive), "app").unwrap();
}

#[test]
fn release_of_the_wrong_suite_or_time() {
    type Check = fn(&Error) -> bool;
    let cases: [(&'static str, &str, Check); 3] = [
        ("Codename", "trixie", |e| matches!(e, Error::Metadata { .. })),
        ("Valid-Until", "Sat, 18 Jul 2020 10:16:37 UTC", |e| {
            matches!(e, Error::Expired { .. })
        }),
        ("Date", "Sat, 11 Jul 2099 10:16:37 UTC", |e| {
            matches!(e, Error::FromTheFuture { .. })
        }),
    ];
    for (field, value, expected) in cases {
        let mut archive = Archive::usual();
        archive.release.insert(field, value.to_owned());
        archive.publish();
        let place = Place::new();
        let error = place.build(place.options(&archive), "app").unwrap_err();
        assert!(expected(&error), "{field}: {error}");
        assert!(error.hint().is_some() || matches!(error, Error::Metadata { .. }));
        // Who asks for it gets what is old, but never what is another suite's.
        let mut options = place.options(&archive);
        options.accept_expired = true;
        assert_eq!(place.build(options, "app").is_ok(), field != "Codename");
    }
}

#[test]
fn index_or_package_that_is_not_what_was_signed() {
    for (path, what) in [
        ("dists/bookworm/main/binary-amd64/Packages.gz", "index"),
        ("pool/libapp.deb", "package"),
    ] {
        let (archive, place) = (Archive::usual(), Place::new());
        let mut bytes = fs::read(archive.folder.path().join(path)).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        archive.write(path, &bytes);
        let error = place.build(place.options(&archive), "app").unwrap_err();
        assert!(matches!(error, Error::FetchedMismatch { .. }), "{what}: {error}");
        assert!(error.to_string().contains(path), "{error}");
        // Nothing of it stays: with the right bytes it works.
        bytes[middle] ^= 1;
        archive.write(path, &bytes);
        place.build(place.options(&archive), "app").unwrap();
    }
}

#[test]
fn what_is_missing_is_named() {
    let (archive, place) = (Archive::usual(), Place::new());
    let error = place.build(place.options(&archive), "gone").unwrap_err();
    assert_eq!(
        (error.to_string().as_str(), error.hint().unwrap().as_str()),
        ("no package `ap` in bookworm", "did you mean `app`?")
    );
    let mut options = place.options(&archive);
    options.mirrors.main = vec!["file:///nowhere/debian".to_owned()];
    let error = place.build(options, "app").unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("failed to fetch file:///nowhere/debian/dists/bookworm/InRelease"),
        "{error}"
    );
    let mut options = place.options(&archive);
    options.mirrors.main = vec!["http://127.0.0.1:1/debian".to_owned()];
    let error = place.build(options, "app").unwrap_err();
    assert!(
        error
            .to_string()
            .contains("http://127.0.0.1:1/debian/dists/bookworm/InRelease"),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("--mirror"));
    // A second mirror helps.
    let mut options = place.options(&archive);
    options
        .mirrors
        .main
        .insert(0, "http://127.0.0.1:1/debian".to_owned());
    place.build(options, "app").unwrap();
    let error = place.build(place.options(&archive), "nobody").unwrap_err();
    assert_eq!(
        error.to_string(),
        "recipe nobody: there is none; there are app, base, gone, own"
    );
}

#[test]
fn over_http_what_breaks_off_goes_on_and_what_is_known_stays() {
    let (archive, place) = (Archive::usual(), Place::new());
    let site = site::Shared::default();
    for path in [
        "dists/bookworm/InRelease",
        "dists/bookworm/main/binary-amd64/Packages.gz",
        "pool/app.deb",
        "pool/libapp.deb",
        "pool/base-passwd.deb",
    ] {
        let bytes = fs::read(archive.folder.path().join(path)).unwrap();
        site.lock()
            .unwrap()
            .files
            .insert(format!("/debian/{path}"), ("text/plain".to_owned(), bytes));
    }
    site.lock()
        .unwrap()
        .break_off
        .push("/debian/pool/app.deb".to_owned());
    let half = fs::metadata(archive.folder.path().join("pool/app.deb"))
        .unwrap()
        .len()
        / 2;
    let server = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let host = server.block_on(site::serve(site.clone()));
    let mut options = place.options(&archive);
    options.mirrors.main = vec![format!("http://{host}/debian")];
    let built = place.build(options.clone(), "app").unwrap();
    assert!(built.downloaded > 0);
    let resumed = format!("/debian/pool/app.deb from {half}");
    let log = std::mem::take(&mut site.lock().unwrap().log);
    assert!(log.contains(&resumed), "{log:?}");
    // Now only the release is asked for; and when nobody answers, the known one serves, which is said.
    place.build(options.clone(), "app").unwrap();
    let log = std::mem::take(&mut site.lock().unwrap().log);
    assert!(log.iter().all(|path| path.ends_with("/InRelease")), "{log:?}");
    drop(server);
    place.notes.lock().unwrap().clear();
    assert!(place.build(options.clone(), "app").unwrap().cached);
    assert!(
        place.notes.lock().unwrap()[0].contains("its cached copy is used"),
        "{:?}",
        place.notes
    );
    // Fresh enough, it is not even asked for.
    options.max_age = Duration::from_mins(10);
    place.notes.lock().unwrap().clear();
    assert!(place.build(options, "app").unwrap().cached);
    assert!(
        !place
            .notes
            .lock()
            .unwrap()
            .iter()
            .any(|note| note.contains("cached copy"))
    );
}

#[test]
fn a_full_disk_is_called_so() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: mounting a small file system needs root");
        return;
    }
    let mut archive = Archive::usual();
    let large = "x".repeat(3 << 20);
    archive.add("large", "1", "", &[("./usr/share/large", &large)]);
    archive.publish();
    let place = Place::new();
    let small = place.folder.path().join("images");
    fs::create_dir(&small).unwrap();
    let flags = rustix::mount::MountFlags::empty();
    if let Err(error) = rustix::mount::mount("none", &small, "tmpfs", flags, c"size=1m") {
        eprintln!("skipped: mount: {error}");
        return;
    }
    let mut recipes = Recipes::default();
    recipes.insert("large", "packages = ['large']", |_| None).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let outcome = runtime.block_on(async {
        let builder = Builder::new(Store::open(&small)?, recipes, place.options(&archive))?;
        let built = builder.build("large").await?;
        // Packed it is tiny; unpacked it does not fit.
        Store::open(&small)?
            .unpacked_layers(built.image.as_ref().unwrap())
            .map(drop)
    });
    let left = fs::read_dir(small.join("layers")).unwrap().count()
        + fs::read_dir(small.join("tmp")).unwrap().count();
    rustix::mount::unmount(&small, rustix::mount::UnmountFlags::DETACH).unwrap();
    let error = outcome.unwrap_err();
    assert!(matches!(error, Error::DiskFull { .. }), "{error:?}");
    assert!(
        error
            .to_string()
            .starts_with("no space left on device while writing"),
        "{error}"
    );
    assert_eq!(left, 0);
}
