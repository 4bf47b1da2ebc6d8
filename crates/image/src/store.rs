//! The image store: content-addressed blobs, a table of names, and unpacked layers. Its folder is a valid OCI image layout.
//!
//! ```text
//! oci-layout  index.json            the table of names, replaced atomically
//! blobs/sha256/HEX                  manifests, configurations, layers as they came
//! layers/sha256-HEX/                a layer unpacked, named by its diff id; an overlay lower directory
//! tmp/  locks/
//! ```
//!
//! Several processes may use one store at once. `locks/content` is held shared by whoever adds content and exclusively by `prune`;
//! `locks/index` is held while the table is changed; `locks/sha256-HEX` while that layer is unpacked.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::digest::Hashing;
use crate::model::{
    Config, DOCKER_LIST, Descriptor, FULL_NAME, INDEX, Image, ImageConfig, Index, Layer, MANIFEST, Manifest,
    Platform, REF_NAME, host_architecture,
};
use crate::{Digest, Error, Reference, Result, compress, unpack};

/// No document of an image is larger; what is larger is not read into memory.
const DOCUMENT_LIMIT: u64 = 16 << 20;

/// An image store on disk. Cheap to clone; its methods block (call them through `spawn_blocking` from async code).
#[derive(Clone, Debug)]
pub struct Store {
    root: Arc<PathBuf>,
}

/// What `prune` removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Blobs removed.
    pub blobs: usize,
    /// Unpacked layers removed.
    pub layers: usize,
    /// Bytes of the removed blobs.
    pub bytes: u64,
    /// Unpacked layers that no image needs but that are mounted.
    pub in_use: usize,
}

impl Store {
    /// Opens the store in `root`, creating what is missing.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self> {
        let root: PathBuf = root.into();
        for folder in ["blobs/sha256", "layers", "locks", "tmp"] {
            let path = root.join(folder);
            fs::create_dir_all(&path).map_err(|e| Error::io("create", &path, e))?;
        }
        // Unpacked layers hold other systems' setuid programs: no other user of this machine may reach them.
        let layers = root.join("layers");
        fs::set_permissions(&layers, std::os::unix::fs::PermissionsExt::from_mode(0o700))
            .map_err(|e| Error::io("change the mode of", &layers, e))?;
        let store = Self { root: Arc::new(root) };
        let layout = store.root.join("oci-layout");
        if !layout.exists() {
            store.replace(&layout, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        }
        Ok(store)
    }

    /// The store's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// All named images, by name. One whose documents are damaged or gone is left out (and logged).
    pub fn list(&self) -> Result<Vec<Image>> {
        let mut images = Vec::new();
        for entry in self.index()?.manifests {
            let name = name_of(&entry).unwrap_or(&entry.digest).to_owned();
            match entry
                .digest
                .parse()
                .and_then(|digest| self.image(name.clone(), digest))
            {
                Ok(image) => images.push(image),
                Err(error) => tracing::warn!(%name, %error, "image is damaged"),
            }
        }
        images.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(images)
    }

    /// Finds an image by name (`busybox` is `docker.io/library/busybox:latest`), by `name@sha256:HEX` (the digest decides), or by the
    /// `sha256:HEX` of its manifest or configuration. [`Error::NotFound`] if the store does not have it.
    pub fn resolve(&self, reference: &str) -> Result<Image> {
        if let Ok(digest) = reference.parse::<Digest>() {
            let found = |image: &Image| image.digest == digest || image.id == digest;
            return (self.list()?.into_iter().find(found)).ok_or_else(|| Error::NotFound {
                reference: reference.to_owned(),
            });
        }
        let reference: Reference = reference.parse()?;
        let missing = || Error::NotFound {
            reference: reference.to_string(),
        };
        let index = self.index()?;
        let entry = match reference.digest() {
            Some(digest) => index
                .manifests
                .iter()
                .find(|entry| has_digest(entry, &digest) && of_repository(entry, &reference)),
            None => {
                let name = reference.tagged().unwrap_or_default();
                index.manifests.iter().find(|entry| name_of(entry) == Some(&name))
            }
        };
        let entry = entry.ok_or_else(missing)?;
        self.image(reference.to_string(), entry.digest.parse()?)
    }

    /// The image's layers as folders, topmost first, in the order of overlayfs' `lowerdir`. Unpacks what is not unpacked yet, several
    /// layers at once, each verified against its diff id. Safe to call from several threads and processes.
    pub fn unpacked_layers(&self, image: &Image) -> Result<Vec<PathBuf>> {
        let _content = self.lock_content()?;
        let mut wanted: Vec<&Layer> = Vec::new();
        for layer in &image.layers {
            if !self.layer_path(&layer.diff_id).is_dir() && !wanted.iter().any(|l| l.diff_id == layer.diff_id)
            {
                wanted.push(layer);
            }
        }
        let workers = std::thread::available_parallelism()
            .map_or(2, usize::from)
            .min(wanted.len());
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some(layer) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.unpack(layer)?;
            }
            Ok(())
        };
        let outcomes: Vec<Result<()>> = std::thread::scope(|scope| {
            let running: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
            running
                .into_iter()
                .map(|t| t.join().unwrap_or(Err(Error::Task)))
                .collect()
        });
        outcomes.into_iter().collect::<Result<()>>()?;
        let mut seen = BTreeSet::new();
        // Of a layer that occurs twice only the topmost counts, and overlayfs refuses the same folder twice.
        let unique = image
            .layers
            .iter()
            .rev()
            .filter(|layer| seen.insert(layer.diff_id));
        Ok(unique.map(|layer| self.layer_path(&layer.diff_id)).collect())
    }

    /// Takes the name away, or all names of an image given by digest. The content stays until [`Store::prune`]. An image that is
    /// damaged can be removed too; of that one only name and digest are returned.
    pub fn remove(&self, reference: &str) -> Result<Image> {
        let name = reference
            .parse::<Reference>()
            .ok()
            .filter(|_| reference.parse::<Digest>().is_err());
        let digest = match &name {
            Some(name) => name.digest(),
            None => Some(self.resolve(reference)?.digest),
        };
        let mut removed = Vec::new();
        self.change_index(|index| {
            let same = |entry: &mut Descriptor| match (&name, digest) {
                (Some(name), Some(digest)) => of_repository(entry, name) && has_digest(entry, &digest),
                (None, Some(digest)) => has_digest(entry, &digest),
                (name, None) => name_of(entry) == name.as_ref().and_then(Reference::tagged).as_ref(),
            };
            removed.extend(index.manifests.extract_if(.., same));
        })?;
        let missing = || Error::NotFound {
            reference: name
                .as_ref()
                .map_or_else(|| reference.to_owned(), ToString::to_string),
        };
        let entry = removed.into_iter().next().ok_or_else(missing)?;
        let name = name_of(&entry).unwrap_or(&entry.digest).clone();
        let digest: Digest = entry.digest.parse()?;
        let damaged = Image {
            name: name.clone(),
            digest,
            id: digest,
            config: ImageConfig::default(),
            size: 0,
            layers: Vec::new(),
            architecture: String::new(),
        };
        Ok(self.image(name, digest).unwrap_or(damaged))
    }

    /// Gives an image that is in the store a further name.
    pub fn tag(&self, reference: &str, name: &str) -> Result<Image> {
        let image = self.resolve(reference)?;
        let size = self.blob_path(&image.digest).metadata().map_or(0, |m| m.len());
        self.set_name(&name.parse()?, image.digest, size, None)?;
        self.resolve(name)
    }

    /// Removes blobs and unpacked layers that no name needs. Layers that are mounted stay.
    pub fn prune(&self) -> Result<Pruned> {
        let _content = self.lock("content", true)?;
        let mut blobs = BTreeSet::new();
        let mut layers = BTreeSet::new();
        for image in self.list()? {
            blobs.extend([image.digest, image.id]);
            blobs.extend(image.layers.iter().map(|layer| layer.digest));
            layers.extend(image.layers.iter().map(|layer| layer.diff_id));
        }
        let mut pruned = Pruned::default();
        for (path, name) in entries(&self.root.join("blobs/sha256"))? {
            if !Digest::from_hex(&name).is_ok_and(|digest| blobs.contains(&digest)) {
                pruned.bytes += path.metadata().map_or(0, |m| m.len());
                fs::remove_file(&path).map_err(|e| Error::io("remove", &path, e))?;
                pruned.blobs += 1;
            }
        }
        let mounted = mounts_of_all()?;
        for (path, name) in entries(&self.root.join("layers"))? {
            let digest = name
                .strip_prefix("sha256-")
                .and_then(|hex| Digest::from_hex(hex).ok());
            if digest.is_some_and(|digest| layers.contains(&digest)) {
                continue;
            }
            if mounted.contains(&name) {
                pruned.in_use += 1;
                continue;
            }
            // Out of its place first: a half-removed layer must never be taken for a whole one.
            let condemned = self
                .root
                .join("tmp")
                .join(format!("{name}.{}", std::process::id()));
            fs::rename(&path, &condemned).map_err(|e| Error::io("move", &path, e))?;
            pruned.layers += 1;
        }
        // Nobody else is adding content, so all of tmp is left over from processes that died, or from here.
        for (path, _) in entries(&self.root.join("tmp"))? {
            let gone = if path.is_dir() {
                fs::remove_dir_all(&path)
            } else {
                fs::remove_file(&path)
            };
            gone.map_err(|e| Error::io("remove", &path, e))?;
        }
        Ok(pruned)
    }

    /// Reads an image's documents, each verified.
    pub(crate) fn image(&self, name: String, digest: Digest) -> Result<Image> {
        let bytes = self.read_blob(&digest)?;
        let manifest: Manifest = parse(&bytes, || format!("manifest {digest}"))?;
        let id: Digest = manifest.config.digest.parse()?;
        let config_bytes = self.read_blob(&id)?;
        let config: Config = parse(&config_bytes, || format!("image configuration {id}"))?;
        if config.rootfs.diff_ids.len() != manifest.layers.len() {
            let (have, say) = (manifest.layers.len(), config.rootfs.diff_ids.len());
            return Err(Error::Archive {
                what: name,
                reason: format!("its manifest has {have} layers, its configuration {say}"),
            });
        }
        let mut size = (bytes.len() + config_bytes.len()) as u64;
        let mut layers = Vec::new();
        for (layer, diff_id) in manifest.layers.into_iter().zip(config.rootfs.diff_ids) {
            size += layer.size;
            let (digest, media_type) = (layer.digest.parse()?, layer.media_type);
            layers.push(Layer {
                digest,
                diff_id,
                size: layer.size,
                media_type,
            });
        }
        Ok(Image {
            name,
            digest,
            id,
            config: config.config.into(),
            size,
            layers,
            architecture: config.architecture,
        })
    }

    /// Follows an index by platform down to the manifest for this machine; a manifest is returned as it is.
    pub(crate) fn choose_platform(&self, entry: &Descriptor) -> Result<Descriptor> {
        let mut entry = entry.clone();
        for _ in 0..4 {
            if entry.media_type != INDEX && entry.media_type != DOCKER_LIST {
                return Ok(entry);
            }
            let digest: Digest = entry.digest.parse()?;
            let index: Index = parse(&self.read_blob(&digest)?, || format!("image index {digest}"))?;
            let ours = Platform {
                architecture: host_architecture().to_owned(),
                os: "linux".to_owned(),
            };
            let mut fitting: Vec<_> = index
                .manifests
                .into_iter()
                .filter(|m| m.platform.as_ref().is_none_or(|p| *p == ours))
                .collect();
            fitting.sort_by_key(|m| m.platform.is_none());
            entry = (fitting.into_iter().next()).ok_or_else(|| Error::Archive {
                what: digest.to_string(),
                reason: format!("it has no image for linux/{}", ours.architecture),
            })?;
        }
        Err(Error::Archive {
            what: entry.digest,
            reason: "indexes are nested too deeply".to_owned(),
        })
    }

    /// Names an image. `source` is the digest of the index it was chosen from, so that it is found by that digest too.
    pub(crate) fn set_name(
        &self,
        name: &Reference,
        digest: Digest,
        size: u64,
        source: Option<Digest>,
    ) -> Result<()> {
        let stored = name.tagged().unwrap_or_else(|| name.to_string());
        let mut annotations = std::collections::BTreeMap::from([
            (FULL_NAME.to_owned(), stored.clone()),
            (REF_NAME.to_owned(), name.tag().unwrap_or("latest").to_owned()),
        ]);
        annotations.extend(source.map(|source| (SOURCE.to_owned(), source.to_string())));
        let entry = Descriptor {
            media_type: MANIFEST.to_owned(),
            digest: digest.to_string(),
            size,
            platform: None,
            annotations,
        };
        self.change_index(|index| {
            index.manifests.retain(|entry| name_of(entry) != Some(&stored));
            index.manifests.push(entry);
        })
    }

    /// Whether the blob is here.
    pub(crate) fn has_blob(&self, digest: &Digest) -> bool {
        self.blob_path(digest).is_file()
    }

    pub(crate) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs/sha256").join(digest.hex())
    }

    pub(crate) fn open_blob(&self, digest: &Digest) -> Result<File> {
        let path = self.blob_path(digest);
        File::open(&path).map_err(|e| Error::io("read", &path, e))
    }

    /// Reads a document and verifies it.
    pub(crate) fn read_blob(&self, digest: &Digest) -> Result<Vec<u8>> {
        let path = self.blob_path(digest);
        let mut bytes = Vec::new();
        (self
            .open_blob(digest)?
            .take(DOCUMENT_LIMIT)
            .read_to_end(&mut bytes))
        .map_err(|e| Error::io("read", &path, e))?;
        let actual = Digest::of(&bytes);
        if actual != *digest {
            return Err(Error::Mismatch {
                what: path.display().to_string(),
                expected: *digest,
                actual,
            });
        }
        Ok(bytes)
    }

    /// A file in `tmp/` that becomes a blob by [`Store::keep_blob`] and vanishes otherwise.
    pub(crate) fn new_blob(&self) -> Result<tempfile::NamedTempFile> {
        let folder = self.root.join("tmp");
        tempfile::NamedTempFile::new_in(&folder).map_err(|e| Error::io("create a file in", &folder, e))
    }

    /// Moves a written file to its place.
    pub(crate) fn keep_blob(&self, file: tempfile::NamedTempFile, digest: &Digest) -> Result<()> {
        let path = self.blob_path(digest);
        fs::set_permissions(file.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .and_then(|()| file.persist(&path).map_err(|e| e.error))
            .map(drop)
            .map_err(|e| Error::io("write", &path, e))
    }

    /// Copies a stream into a blob. With `expected`, bytes of another digest are refused and nothing is kept.
    pub(crate) fn put_blob(
        &self,
        reader: impl Read,
        expected: Option<Digest>,
        what: &str,
    ) -> Result<(Digest, u64)> {
        let mut file = self.new_blob()?;
        let mut reader = Hashing::new(reader);
        copy(&mut reader, file.as_file_mut()).map_err(|e| Error::io("write", self.root.join("tmp"), e))?;
        let (_, digest, size) = reader.finish();
        if let Some(expected) = expected
            && expected != digest
        {
            return Err(Error::Mismatch {
                what: what.to_owned(),
                expected,
                actual: digest,
            });
        }
        self.keep_blob(file, &digest)?;
        Ok((digest, size))
    }

    /// Held by whoever adds content, so that `prune` waits.
    pub(crate) fn lock_content(&self) -> Result<File> {
        self.lock("content", false)
    }

    fn lock(&self, name: &str, exclusive: bool) -> Result<File> {
        let path = self.root.join("locks").join(name);
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path);
        let file = file.map_err(|e| Error::io("open", &path, e))?;
        let locked = if exclusive {
            file.lock()
        } else {
            file.lock_shared()
        };
        locked.map_err(|e| Error::io("lock", &path, e))?;
        Ok(file)
    }

    fn layer_path(&self, diff_id: &Digest) -> PathBuf {
        self.root.join("layers").join(format!("sha256-{}", diff_id.hex()))
    }

    fn unpack(&self, layer: &Layer) -> Result<()> {
        let target = self.layer_path(&layer.diff_id);
        let _one = self.lock(&format!("sha256-{}", layer.diff_id.hex()), true)?;
        if target.is_dir() {
            return Ok(());
        }
        let tmp = self.root.join("tmp");
        let folder = tempfile::TempDir::new_in(&tmp).map_err(|e| Error::io("create a folder in", &tmp, e))?;
        let blob = self.open_blob(&layer.digest)?;
        let named = |source: io::Error| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Error::DiskFull { path: target.clone() }
            }
            _ => Error::Layer {
                layer: layer.digest.to_string(),
                reason: source.to_string(),
            },
        };
        let mut reader = Hashing::new(compress::reader(blob).map_err(named)?);
        unpack::layer(&mut reader, folder.path()).map_err(named)?;
        io::copy(&mut reader, &mut io::sink()).map_err(named)?;
        let (_, actual, _) = reader.finish();
        if actual != layer.diff_id {
            return Err(Error::Mismatch {
                what: format!("layer {}", layer.digest),
                expected: layer.diff_id,
                actual,
            });
        }
        fs::rename(folder.path(), &target).map_err(|e| Error::io("move a layer to", &target, e))?;
        // The folder is now the layer: it is no longer temporary.
        let _ = folder.keep();
        Ok(())
    }

    fn index(&self) -> Result<Index> {
        let path = self.root.join("index.json");
        match fs::read(&path) {
            Ok(bytes) => parse(&bytes, || path.display().to_string()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Index {
                schema_version: 2,
                media_type: INDEX.to_owned(),
                manifests: Vec::new(),
            }),
            Err(e) => Err(Error::io("read", &path, e)),
        }
    }

    fn change_index(&self, change: impl FnOnce(&mut Index)) -> Result<()> {
        let _index = self.lock("index", true)?;
        let mut index = self.index()?;
        change(&mut index);
        let path = self.root.join("index.json");
        let bytes =
            serde_json::to_vec_pretty(&index).map_err(|e| Error::json(path.display().to_string(), e))?;
        self.replace(&path, &bytes)
    }

    /// Writes a file so that a reader sees the old or the new one, also after a crash.
    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let mut file = self.new_blob()?;
        file.write_all(bytes)
            .and_then(|()| file.as_file().sync_all())
            .and_then(|()| {
                fs::set_permissions(file.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644))
            })
            .and_then(|()| file.persist(path).map_err(|e| e.error))
            .map(drop)
            .map_err(|e| Error::io("write", path, e))
    }
}

/// Annotation with the digest of the index by platform that an image was chosen from.
const SOURCE: &str = "io.github.cncfdemo.image.index";

fn name_of(entry: &Descriptor) -> Option<&String> {
    entry.annotations.get(FULL_NAME)
}

/// Whether an entry is that manifest, or was chosen from that index.
fn has_digest(entry: &Descriptor, digest: &Digest) -> bool {
    let digest = digest.to_string();
    entry.digest == digest || entry.annotations.get(SOURCE) == Some(&digest)
}

/// Whether an entry's name is of the same registry and repository.
fn of_repository(entry: &Descriptor, name: &Reference) -> bool {
    let rest = name_of(entry).and_then(|full| full.strip_prefix(&name.name()));
    rest.is_some_and(|rest| rest.starts_with([':', '@']))
}

pub(crate) fn parse<T: serde::de::DeserializeOwned>(
    bytes: &[u8],
    what: impl FnOnce() -> String,
) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|e| Error::json(what(), e))
}

/// `io::copy` with a buffer that suits hashing.
pub(crate) fn copy(reader: &mut impl Read, writer: &mut impl Write) -> io::Result<u64> {
    let mut buffer = vec![0; 256 << 10];
    let mut total = 0;
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(n) => {
                writer.write_all(&buffer[..n])?;
                total += n as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// What is mounted, in every mount namespace: a container's root is in its own only.
fn mounts_of_all() -> Result<String> {
    let mut namespaces = BTreeSet::new();
    let mut all = String::new();
    for (process, name) in entries(Path::new("/proc"))? {
        if !name.bytes().all(|b| b.is_ascii_digit()) {
            continue;
        }
        // Processes end while one looks; what cannot be seen for want of rights is not ours.
        let Ok(namespace) = fs::read_link(process.join("ns/mnt")) else {
            continue;
        };
        if namespaces.insert(namespace) {
            all.push_str(&fs::read_to_string(process.join("mountinfo")).unwrap_or_default());
        }
    }
    Ok(all)
}

fn entries(folder: &Path) -> Result<Vec<(PathBuf, String)>> {
    let failed = |e| Error::io("read", folder, e);
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        entries.push((entry.path(), entry.file_name().to_string_lossy().into_owned()));
    }
    Ok(entries)
}
