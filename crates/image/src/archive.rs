//! Image archives: OCI image layouts and `docker save` files come in, OCI archives go out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use serde::Deserialize;

use crate::model::{
    CONFIG, Config, DOCKER_MANIFEST, Descriptor, FULL_NAME, INDEX, Index, LAYER, MANIFEST, Manifest, REF_NAME,
};
use crate::store::parse;
use crate::{Digest, Error, Image, Reference, Result, Store, compress};

/// Documents inside an archive (`index.json`, `manifest.json`) are not larger.
const DOCUMENT_LIMIT: u64 = 16 << 20;

impl Store {
    /// Imports every image of an archive: a tar (plain, gzip, zstd or xz) or a folder with an OCI image layout or `docker save`'s form.
    /// An image without a name in the archive is named after `file name:latest`.
    pub fn import(&self, path: impl AsRef<Path>) -> Result<Vec<Image>> {
        let path = path.as_ref();
        let what = path.display().to_string();
        let stem = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let fallback = stem.split('.').next().unwrap_or_default().to_lowercase();
        let _content = self.lock_content()?;
        if path.is_dir() {
            let mut reading = Reading::new(self, &what);
            let files = walkdir::WalkDir::new(path).into_iter();
            for entry in files
                .filter_map(Result::ok)
                .filter(|entry| entry.file_type().is_file())
            {
                let name = entry
                    .path()
                    .strip_prefix(path)
                    .unwrap_or(entry.path())
                    .to_string_lossy()
                    .into_owned();
                let file = File::open(entry.path()).map_err(|e| Error::io("read", entry.path(), e))?;
                reading.file(&name, file)?;
            }
            return reading.finish(&fallback);
        }
        let file = File::open(path).map_err(|e| Error::io("read", path, e))?;
        self.import_from(file, &what, &fallback)
    }

    /// Imports from a stream. `what` names it in errors; `fallback` names an image that has no name of its own.
    pub fn import_from(&self, reader: impl Read + Send, what: &str, fallback: &str) -> Result<Vec<Image>> {
        let _content = self.lock_content()?;
        let failed = |e: io::Error| Error::Archive {
            what: what.to_owned(),
            reason: e.to_string(),
        };
        let mut archive = tar::Archive::new(compress::reader(reader).map_err(failed)?);
        let mut reading = Reading::new(self, what);
        for (index, entry) in archive.entries().map_err(failed)?.enumerate() {
            let entry = entry.map_err(|e| match index {
                // The tar crate quotes what it could not read, which may be the whole of some other file.
                0 => failed(io::Error::other("it does not begin as a tar file does")),
                _ => failed(e),
            })?;
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            match entry.header().entry_type() {
                tar::EntryType::Regular => reading.file(&name, entry)?,
                tar::EntryType::Symlink | tar::EntryType::Link => {
                    let target = entry
                        .link_name_bytes()
                        .map(|target| String::from_utf8_lossy(&target).into_owned());
                    reading.links.extend(target.map(|target| (tidy(&name), target)));
                }
                _ => {}
            }
        }
        reading.finish(fallback)
    }

    /// Writes an image as an OCI archive (a tar) to `path`: the same image gives the same bytes.
    pub fn export(&self, reference: &str, path: impl AsRef<Path>) -> Result<Image> {
        let path = path.as_ref();
        let failed = |e: io::Error| Error::io("write", path, e);
        let folder = path
            .parent()
            .filter(|p| !p.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        let image = self.export_to(reference, BufWriter::new(file.as_file()))?;
        fs::set_permissions(file.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .map_err(failed)?;
        file.persist(path).map_err(|e| failed(e.error))?;
        Ok(image)
    }

    /// Writes an image as an OCI archive to a stream.
    pub fn export_to(&self, reference: &str, writer: impl Write) -> Result<Image> {
        let _content = self.lock_content()?;
        let image = self.resolve(reference)?;
        let failed = |e: io::Error| Error::io("write", "the archive", e);
        let manifest_path = self.blob_path(&image.digest);
        let size = manifest_path
            .metadata()
            .map_err(|e| Error::io("read", &manifest_path, e))?
            .len();
        let name: Option<Reference> = image.name.parse().ok();
        let mut annotations = BTreeMap::new();
        if let Some(name) = name.as_ref().filter(|name| name.tag().is_some()) {
            annotations.extend(name.tagged().map(|tagged| (FULL_NAME.to_owned(), tagged)));
            annotations.extend(name.tag().map(|tag| (REF_NAME.to_owned(), tag.to_owned())));
        }
        let entry = Descriptor {
            media_type: MANIFEST.to_owned(),
            digest: image.digest.to_string(),
            size,
            platform: None,
            annotations,
        };
        let index = Index {
            schema_version: 2,
            media_type: INDEX.to_owned(),
            manifests: vec![entry],
        };
        let index = serde_json::to_vec(&index).map_err(|e| Error::json("index.json", e))?;
        let mut tar = tar::Builder::new(writer);
        let header = |size: u64| {
            let mut header = tar::Header::new_ustar();
            header.set_size(size);
            header.set_mode(0o644);
            header.set_mtime(0);
            header
        };
        let mut small =
            |name: &str, bytes: &[u8]| tar.append_data(&mut header(bytes.len() as u64), name, bytes);
        small("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#).map_err(failed)?;
        small("index.json", &index).map_err(failed)?;
        let blobs: BTreeSet<Digest> = [image.digest, image.id]
            .into_iter()
            .chain(image.layers.iter().map(|l| l.digest))
            .collect();
        for blob in blobs {
            let (path, file) = (self.blob_path(&blob), self.open_blob(&blob)?);
            let size = file.metadata().map_err(|e| Error::io("read", &path, e))?.len();
            let mut file = crate::digest::Hashing::new(file);
            tar.append_data(
                &mut header(size),
                format!("blobs/sha256/{}", blob.hex()),
                &mut file,
            )
            .map_err(failed)?;
            let (_, actual, _) = file.finish();
            if actual != blob {
                return Err(Error::Mismatch {
                    what: path.display().to_string(),
                    expected: blob,
                    actual,
                });
            }
        }
        tar.into_inner()
            .and_then(|mut writer| writer.flush())
            .map_err(failed)?;
        Ok(image)
    }

    /// Names an image that is in the store, refusing it while any of its blobs is missing.
    fn admit(&self, what: &str, entry: &Descriptor, name: &Reference) -> Result<Image> {
        let chosen = self.choose_platform(entry)?;
        if !matches!(chosen.media_type.as_str(), MANIFEST | DOCKER_MANIFEST | "") {
            let reason = format!("an entry of type {} is not an image", chosen.media_type);
            return Err(Error::Archive {
                what: what.to_owned(),
                reason,
            });
        }
        let digest: Digest = chosen.digest.parse()?;
        if !self.has_blob(&digest) {
            return Err(Error::Archive {
                what: what.to_owned(),
                reason: format!("manifest {digest} is missing"),
            });
        }
        let image = self.image(name.to_string(), digest)?;
        if let Some(layer) = image.layers.iter().find(|layer| !self.has_blob(&layer.digest)) {
            return Err(Error::Archive {
                what: what.to_owned(),
                reason: format!("layer {} is missing", layer.digest),
            });
        }
        let source = (chosen.digest != entry.digest)
            .then(|| entry.digest.parse())
            .transpose()?;
        let size = self.blob_path(&digest).metadata().map_or(0, |m| m.len());
        self.set_name(name, digest, size, source)?;
        Ok(image)
    }
}

/// An archive while it is read: blobs go straight to the store, documents are remembered.
struct Reading<'a> {
    store: &'a Store,
    what: &'a str,
    documents: BTreeMap<String, Vec<u8>>,
    /// `docker save`'s files by their names in the archive.
    files: BTreeMap<String, (Digest, u64)>,
    links: BTreeMap<String, String>,
}

/// One image of `docker save`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl<'a> Reading<'a> {
    fn new(store: &'a Store, what: &'a str) -> Self {
        Self {
            store,
            what,
            documents: BTreeMap::new(),
            files: BTreeMap::new(),
            links: BTreeMap::new(),
        }
    }

    fn file(&mut self, name: &str, mut content: impl Read) -> Result<()> {
        let name = tidy(name);
        if matches!(
            name.as_str(),
            "index.json" | "manifest.json" | "oci-layout" | "repositories"
        ) {
            let mut bytes = Vec::new();
            (content.take(DOCUMENT_LIMIT).read_to_end(&mut bytes))
                .map_err(|e| self.broken(&e.to_string()))?;
            self.documents.insert(name, bytes);
            return Ok(());
        }
        let expected = match name.strip_prefix("blobs/sha256/") {
            Some(hex) => Some(Digest::from_hex(hex)?),
            None => None,
        };
        if let Some(digest) = expected
            && self.store.has_blob(&digest)
        {
            // Already here; the tar reader skips what is not read.
            let size = self.store.blob_path(&digest).metadata().map_or(0, |m| m.len());
            self.files.insert(name, (digest, size));
            return Ok(());
        }
        let blob = self
            .store
            .put_blob(&mut content, expected, &format!("{name} of {}", self.what))?;
        self.files.insert(name, blob);
        Ok(())
    }

    fn finish(self, fallback: &str) -> Result<Vec<Image>> {
        let index: Option<Index> = match self.documents.get("index.json") {
            Some(bytes) => Some(parse(bytes, || format!("index.json of {}", self.what))?),
            None => None,
        };
        // A file of Docker 25 and later is both: its index.json has the names only as annotations of containerd.
        let named = index.as_ref().is_some_and(|index| {
            index
                .manifests
                .iter()
                .any(|m| m.annotations.contains_key(FULL_NAME))
        });
        if !named && let Some(bytes) = self.documents.get("manifest.json") {
            let saved: Vec<Saved> = parse(bytes, || format!("manifest.json of {}", self.what))?;
            return self.saved(saved, fallback);
        }
        let index = index.ok_or_else(|| self.broken("it has neither index.json nor manifest.json"))?;
        if index.manifests.is_empty() {
            return Err(self.broken("its index.json lists no image"));
        }
        let mut images = Vec::new();
        for entry in &index.manifests {
            if entry.annotations.contains_key("vnd.docker.reference.type") {
                // An attestation beside the image.
                continue;
            }
            let name = name_of(entry, fallback)?;
            let mut entry = entry.clone();
            if entry.media_type.is_empty() {
                MANIFEST.clone_into(&mut entry.media_type);
            }
            images.push(self.store.admit(self.what, &entry, &name)?);
        }
        Ok(images)
    }

    /// `docker save` has no manifest of its own: one is written from its list.
    fn saved(&self, saved: Vec<Saved>, fallback: &str) -> Result<Vec<Image>> {
        let mut images = Vec::new();
        for one in saved {
            let (config, config_size) = self.find(&one.config)?;
            let document: Config = parse(&self.store.read_blob(&config)?, || {
                format!("{} of {}", one.config, self.what)
            })?;
            if document.rootfs.diff_ids.len() != one.layers.len() {
                return Err(self.broken("manifest.json and image configuration disagree about the layers"));
            }
            let mut layers = Vec::new();
            for name in &one.layers {
                let (digest, size) = self.find(name)?;
                let descriptor = Descriptor {
                    media_type: self.media_type(&digest)?,
                    digest: digest.to_string(),
                    size,
                    ..Descriptor::default()
                };
                layers.push(descriptor);
            }
            let manifest = Manifest {
                schema_version: 2,
                media_type: MANIFEST.to_owned(),
                config: Descriptor {
                    media_type: CONFIG.to_owned(),
                    digest: config.to_string(),
                    size: config_size,
                    ..Descriptor::default()
                },
                layers,
                annotations: BTreeMap::new(),
            };
            let bytes = serde_json::to_vec(&manifest).map_err(|e| Error::json("manifest", e))?;
            let (digest, size) = self.store.put_blob(bytes.as_slice(), None, "manifest")?;
            let entry = Descriptor {
                media_type: MANIFEST.to_owned(),
                digest: digest.to_string(),
                size,
                ..Descriptor::default()
            };
            let names = one
                .repo_tags
                .filter(|tags| !tags.is_empty())
                .unwrap_or_else(|| vec![fallback.to_owned()]);
            for name in names {
                images.push(self.store.admit(self.what, &entry, &name.parse()?)?);
            }
        }
        Ok(images)
    }

    fn media_type(&self, layer: &Digest) -> Result<String> {
        let mut magic = Vec::new();
        let path = self.store.blob_path(layer);
        (self.store.open_blob(layer)?.take(4).read_to_end(&mut magic))
            .map_err(|e| Error::io("read", &path, e))?;
        Ok(match magic.as_slice() {
            [0x1f, 0x8b, ..] => format!("{LAYER}+gzip"),
            [0x28, 0xb5, 0x2f, 0xfd] => format!("{LAYER}+zstd"),
            _ => LAYER.to_owned(),
        })
    }

    /// A file of the archive, through `docker save`'s symlinks between layers.
    fn find(&self, name: &str) -> Result<(Digest, u64)> {
        let mut name = tidy(name);
        for _ in 0..16 {
            if let Some(found) = self.files.get(&name) {
                return Ok(*found);
            }
            let Some(target) = self.links.get(&name) else {
                break;
            };
            let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
            let direct = tidy(target);
            name = if self.files.contains_key(&direct) {
                direct
            } else {
                tidy(&format!("{folder}/{target}"))
            };
        }
        Err(self.broken(&format!("{name} is missing")))
    }

    fn broken(&self, reason: &str) -> Error {
        Error::Archive {
            what: self.what.to_owned(),
            reason: reason.to_owned(),
        }
    }
}

/// The name of an archive's entry.
fn name_of(entry: &Descriptor, fallback: &str) -> Result<Reference> {
    if let Some(name) = entry.annotations.get(FULL_NAME) {
        return name.parse();
    }
    match entry.annotations.get(REF_NAME) {
        // The specification wants a tag here, many tools write the whole name.
        Some(name) if name.contains(['/', ':']) => name.parse(),
        Some(tag) => format!("{fallback}:{tag}").parse(),
        None => fallback.parse(),
    }
}

/// A path without `.`, `..` and doubled slashes.
fn tidy(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}
