//! Recipes to images.
//!
//! The same package versions, recipe and program give the same bytes: entries are sorted, times are zero, compression is fixed. What was
//! built once is found again by a key over all of that, without unpacking anything.

use std::collections::BTreeSet;
use std::fs;
use std::io::BufWriter;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};

use crate::assemble::{Assembly, assemble};
use crate::debian::deb;
use crate::debian::fetch::{Fetcher, write};
use crate::debian::repository::{Candidate, Repository, Request};
use crate::debian::resolve::{Selection, resolve};
use crate::debian::version;
use crate::digest::Hashing;
use crate::filter::Filter;
use crate::model::{CONFIG, Config, Descriptor, Execution, LAYER_ZSTD, MANIFEST, Manifest, RootFs};
use crate::options::{BuildOptions, Built, PackageInfo, Progress};
use crate::recipe::{Recipe, Recipes};
use crate::{Digest, Error, Image, Reference, Result, Store};

/// Part of every build's key: a change of what the same input gives changes it.
const FORMAT: u32 = 1;

/// How many packages are downloaded at once.
const DOWNLOADS: usize = 8;

/// Builds images. Metadata are loaded once for all builds of one builder. Cheap to clone.
#[derive(Clone)]
pub struct Builder {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    recipes: Recipes,
    options: BuildOptions,
    fetcher: Fetcher,
    repository: tokio::sync::Mutex<Option<(String, Arc<Repository>)>>,
    /// Two images with the same base at once would build it twice.
    base: tokio::sync::Mutex<()>,
}

/// A layer that was built, as it is remembered in the cache.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct BuiltLayer {
    digest: Digest,
    diff_id: Digest,
    size: u64,
    passwd: String,
    group: String,
}

/// An image that was built, as it is remembered in the cache.
#[derive(Serialize, Deserialize)]
struct BuiltImage {
    manifest: Digest,
}

impl Builder {
    /// A builder into `store`.
    pub fn new(store: Store, recipes: Recipes, options: BuildOptions) -> Result<Self> {
        let fetcher = Fetcher::new(&options.cache)?;
        let inner = Inner {
            store,
            recipes,
            options,
            fetcher,
            repository: tokio::sync::Mutex::default(),
            base: tokio::sync::Mutex::default(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Builds the image of a recipe, by the name of its folder.
    pub async fn build(&self, name: &str) -> Result<Built> {
        let this = &*self.inner;
        let (started, fetcher) = (Instant::now(), this.fetcher.counted());
        let recipe = this.recipes.get(name).cloned().ok_or_else(|| Error::Recipe {
            recipe: name.to_owned(),
            reason: format!(
                "there is none; there are {}",
                this.recipes.names().collect::<Vec<_>>().join(", ")
            ),
        })?;
        let base = this.recipes.base_of(&recipe)?;
        let (below, all) = self.select(&fetcher, &recipe, base.as_deref()).await?;
        let own: Selection = all
            .iter()
            .filter(|(name, _)| !below.contains_key(*name))
            .map(|(n, c)| (n.clone(), c.clone()))
            .collect();
        let reference = self.reference(&recipe, &all)?;
        let mut built = Built {
            reference,
            image: None,
            cached: false,
            packages: all
                .values()
                .map(|candidate| info(candidate, below.contains_key(&candidate.package.name)))
                .collect(),
            downloaded: 0,
            elapsed: Duration::ZERO,
        };
        if !this.options.dry_run {
            let program = self.program(&recipe).await?;
            let base_key = base
                .as_ref()
                .map(|base| key(base, &below, &this.options.architecture, None, None))
                .transpose()?;
            let image_key = key(
                &recipe,
                &own,
                &this.options.architecture,
                base_key.as_ref(),
                program.as_ref().map(|p| &p.1),
            )?;
            let found = self.recall(&image_key, &built.reference).await?;
            built.cached = found.is_some();
            built.image = Some(match found {
                Some(image) => image,
                None => {
                    let below_is_there = base_key
                        .as_ref()
                        .is_some_and(|key| self.remembered_layer(key).is_some());
                    self.download(&fetcher, if below_is_there { &own } else { &all })
                        .await?;
                    let mut layers = Vec::new();
                    if let (Some(base), Some(base_key)) = (&base, &base_key) {
                        let _one = this.base.lock().await;
                        layers.push(self.layer(base.clone(), below, base_key, None, None).await?);
                    }
                    let program = program.map(|(bytes, _)| bytes);
                    layers.push(
                        self.layer(recipe.clone(), own, &image_key, layers.first().cloned(), program)
                            .await?,
                    );
                    self.finish(&recipe, base.as_deref(), layers, &image_key, &built.reference)
                        .await?
                }
            });
        }
        built.downloaded = fetcher.fetched();
        built.elapsed = started.elapsed();
        Ok(built)
    }

    /// The packages of the base and of the whole image.
    async fn select(
        &self,
        fetcher: &Fetcher,
        recipe: &Recipe,
        base: Option<&Recipe>,
    ) -> Result<(Selection, Selection)> {
        let base_packages = base.map_or(&[][..], |base| &base.packages);
        if recipe.packages.is_empty() && base_packages.is_empty() {
            return Ok(Default::default());
        }
        let repository = self.repository(fetcher, recipe.suite()).await?;
        let (recipe, base) = (recipe.clone(), base.cloned());
        let architecture = self.inner.options.architecture.clone();
        tokio::task::spawn_blocking(move || {
            let mut omit = BTreeSet::new();
            let mut below = Selection::new();
            if let Some(base) = &base {
                omit.extend(base.omit.iter().cloned());
                below = resolve(
                    &repository,
                    &architecture,
                    &base.packages,
                    &omit,
                    Selection::new(),
                )?;
            }
            omit.extend(recipe.omit.iter().cloned());
            let all = resolve(&repository, &architecture, &recipe.packages, &omit, below.clone())?;
            Ok((below, all))
        })
        .await?
    }

    async fn repository(&self, fetcher: &Fetcher, suite: &str) -> Result<Arc<Repository>> {
        let this = &*self.inner;
        let mut loaded = this.repository.lock().await;
        if let Some((name, repository)) = &*loaded
            && name == suite
        {
            return Ok(repository.clone());
        }
        (this.options.progress)(Progress::Metadata);
        let request = Request {
            mirrors: &this.options.mirrors,
            suite,
            architecture: &this.options.architecture,
            keyring: &this.options.keyring,
            max_age: this.options.max_age,
            accept_expired: this.options.accept_expired,
            now: jiff::Timestamp::now(),
        };
        let repository = Arc::new(Repository::load(fetcher, &request).await?);
        for note in &repository.notes {
            (this.options.progress)(Progress::Note(note.clone()));
        }
        *loaded = Some((suite.to_owned(), repository.clone()));
        Ok(repository)
    }

    fn reference(&self, recipe: &Recipe, all: &Selection) -> Result<Reference> {
        let main = recipe
            .packages
            .first()
            .map(|package| package.split('=').next().unwrap_or_default());
        let version = main
            .and_then(|main| all.get(main))
            .map(|candidate| version::upstream(&candidate.package.version));
        recipe.reference_with(
            recipe
                .tag
                .as_deref()
                .or(version)
                .unwrap_or(&self.inner.options.version),
        )
    }

    /// This program's bytes, for a recipe that wants them.
    async fn program(&self, recipe: &Recipe) -> Result<Option<(Arc<Vec<u8>>, Digest)>> {
        if recipe.binary.is_none() {
            return Ok(None);
        }
        let path = self.inner.options.program.clone().ok_or_else(|| Error::Recipe {
            recipe: recipe.name.clone(),
            reason: "it wants this program, whose path was not given".to_owned(),
        })?;
        tokio::task::spawn_blocking(move || {
            let bytes = fs::read(&path).map_err(|e| Error::io("read", &path, e))?;
            let digest = Digest::of(&bytes);
            Ok(Some((Arc::new(bytes), digest)))
        })
        .await?
    }

    /// An image that was built before, if the store still has all of it.
    async fn recall(&self, key: &Digest, reference: &Reference) -> Result<Option<Image>> {
        let (store, reference) = (self.inner.store.clone(), reference.clone());
        let path = self.remembered(key, "image");
        tokio::task::spawn_blocking(move || {
            let Some(built) = read_json::<BuiltImage>(&path) else {
                return Ok(None);
            };
            let _content = store.lock_content()?;
            let Ok(image) = store.image(reference.to_string(), built.manifest) else {
                return Ok(None);
            };
            if !image.layers.iter().all(|layer| store.has_blob(&layer.digest)) {
                return Ok(None);
            }
            let size = store.blob_path(&image.digest).metadata().map_or(0, |m| m.len());
            if store
                .resolve(&image.name)
                .ok()
                .is_none_or(|named| named.digest != image.digest)
            {
                store.set_name(&reference, image.digest, size, None)?;
            }
            Ok(Some(image))
        })
        .await?
    }

    fn remembered(&self, key: &Digest, what: &str) -> PathBuf {
        self.inner
            .fetcher
            .cache()
            .join("builds")
            .join(format!("{}.{what}", key.hex()))
    }

    async fn layer(
        &self,
        recipe: Arc<Recipe>,
        selection: Selection,
        key: &Digest,
        below: Option<BuiltLayer>,
        program: Option<Arc<Vec<u8>>>,
    ) -> Result<BuiltLayer> {
        let this = &*self.inner;
        if let Some(layer) = self.remembered_layer(key) {
            return Ok(layer);
        }
        let remembered = self.remembered(key, "layer");
        // They were downloaded before, all at once.
        let packages = selection.into_values().map(|Candidate { package, .. }| {
            (
                format!("{} {}", package.name, package.version),
                this.fetcher.path_of(&package.digest),
            )
        });
        let paths: Vec<_> = packages.collect();
        (this.options.progress)(Progress::Unpacking {
            packages: paths.len(),
        });
        let base = this.recipes.base_of(&recipe)?;
        let filter = Arc::new(Filter::new(&recipe, base.as_deref()));
        let workers = std::thread::available_parallelism().map_or(2, usize::from);
        let contents = futures::stream::iter(paths.into_iter().map(|(package, path)| {
            let filter = filter.clone();
            tokio::task::spawn_blocking(move || {
                let contents = deb::read(&path, &package, |path| filter.wants(path))?;
                Ok::<_, Error>((package, contents))
            })
        }))
        .buffered(workers)
        .map(|joined| joined?)
        .try_collect::<Vec<_>>()
        .await?;
        let store = this.store.clone();
        tokio::task::spawn_blocking(move || {
            let users = below
                .as_ref()
                .map(|below| (below.passwd.clone(), below.group.clone()));
            let Assembly { tree, passwd, group } = assemble(&recipe, contents, users, program)?;
            let _content = store.lock_content()?;
            let file = store.new_blob()?;
            let failed = |e| Error::io("write", file.path(), e);
            let blob = Hashing::new(BufWriter::with_capacity(1 << 20, file.as_file()));
            let mut packed = zstd::stream::write::Encoder::new(blob, 3).map_err(failed)?;
            let mut tar = Hashing::new(&mut packed);
            tree.write(&mut tar).map_err(failed)?;
            let (_, diff_id, _) = tar.finish();
            let (writer, digest, size) = packed.finish().map_err(failed)?.finish();
            writer.into_inner().map_err(|e| failed(e.into_error()))?;
            store.keep_blob(file, &digest)?;
            let layer = BuiltLayer {
                digest,
                diff_id,
                size,
                passwd,
                group,
            };
            write(
                &remembered,
                &serde_json::to_vec(&layer).map_err(|e| Error::json("layer", e))?,
            )?;
            Ok(layer)
        })
        .await?
    }

    /// A layer that was built before, if the store still has it.
    fn remembered_layer(&self, key: &Digest) -> Option<BuiltLayer> {
        let layer: BuiltLayer = read_json(&self.remembered(key, "layer"))?;
        self.inner.store.has_blob(&layer.digest).then_some(layer)
    }

    async fn download(&self, fetcher: &Fetcher, selection: &Selection) -> Result<()> {
        let total = selection.len();
        let done = &AtomicUsize::new(0);
        let progress = &self.inner.options.progress;
        futures::stream::iter(
            selection
                .values()
                .cloned()
                .map(|Candidate { package, urls }| async move {
                    fetcher.file(&urls, package.digest, package.size).await?;
                    let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                    progress(Progress::Downloading { done, total });
                    Ok(())
                }),
        )
        .buffer_unordered(DOWNLOADS)
        .try_collect()
        .await
    }

    async fn finish(
        &self,
        recipe: &Recipe,
        base: Option<&Recipe>,
        layers: Vec<BuiltLayer>,
        key: &Digest,
        reference: &Reference,
    ) -> Result<Image> {
        let architecture = match self.inner.options.architecture.as_str() {
            "i386" => "386",
            other => other,
        };
        let mut env = base.map(|base| base.env.clone()).unwrap_or_default();
        env.extend(recipe.env.clone());
        let mut labels = recipe.labels.clone();
        labels.insert("org.opencontainers.image.title".to_owned(), recipe.name.clone());
        labels.insert(
            "org.opencontainers.image.version".to_owned(),
            reference.tag().unwrap_or_default().to_owned(),
        );
        let config = Config {
            created: Some("1970-01-01T00:00:00Z".to_owned()),
            architecture: architecture.to_owned(),
            os: "linux".to_owned(),
            config: Execution {
                user: recipe.user.clone().unwrap_or_default(),
                exposed_ports: recipe
                    .expose
                    .iter()
                    .map(|port| (port.clone(), serde_json::json!({})))
                    .collect(),
                env: env
                    .into_iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect(),
                entrypoint: recipe.entrypoint.clone(),
                cmd: recipe.cmd.clone(),
                working_dir: recipe.workdir.clone().unwrap_or_default(),
                labels,
                stop_signal: recipe.stop_signal.clone(),
            },
            rootfs: RootFs {
                kind: "layers".to_owned(),
                diff_ids: layers.iter().map(|layer| layer.diff_id).collect(),
            },
            history: Vec::new(),
        };
        let (store, reference, remembered) = (
            self.inner.store.clone(),
            reference.clone(),
            self.remembered(key, "image"),
        );
        tokio::task::spawn_blocking(move || {
            let _content = store.lock_content()?;
            let descriptor = |media_type: &str, digest: Digest, size| Descriptor {
                media_type: media_type.to_owned(),
                digest: digest.to_string(),
                size,
                ..Descriptor::default()
            };
            let config = serde_json::to_vec(&config).map_err(|e| Error::json("image configuration", e))?;
            let (config, config_size) = store.put_blob(config.as_slice(), None, "image configuration")?;
            let manifest = Manifest {
                schema_version: 2,
                media_type: MANIFEST.to_owned(),
                config: descriptor(CONFIG, config, config_size),
                layers: layers
                    .iter()
                    .map(|layer| descriptor(LAYER_ZSTD, layer.digest, layer.size))
                    .collect(),
                annotations: std::collections::BTreeMap::new(),
            };
            let manifest = serde_json::to_vec(&manifest).map_err(|e| Error::json("manifest", e))?;
            let (manifest, size) = store.put_blob(manifest.as_slice(), None, "manifest")?;
            store.set_name(&reference, manifest, size, None)?;
            write(
                &remembered,
                &serde_json::to_vec(&BuiltImage { manifest }).map_err(|e| Error::json("image", e))?,
            )?;
            store.image(reference.to_string(), manifest)
        })
        .await?
    }
}

fn info(candidate: &Candidate, base: bool) -> PackageInfo {
    let package = &candidate.package;
    PackageInfo {
        name: package.name.clone(),
        version: package.version.clone(),
        size: package.size,
        base,
    }
}

/// Over everything that decides what a layer's and image's bytes are.
fn key(
    recipe: &Recipe,
    selection: &Selection,
    architecture: &str,
    below: Option<&Digest>,
    program: Option<&Digest>,
) -> Result<Digest> {
    let packages: Vec<_> = selection
        .values()
        .map(|c| (&c.package.name, &c.package.version, c.package.digest))
        .collect();
    let all = serde_json::to_vec(&(FORMAT, recipe, packages, architecture, below, program))
        .map_err(|e| Error::json("a build's key", e))?;
    Ok(Digest::of(all))
}

fn read_json<T: serde::de::DeserializeOwned>(path: &std::path::Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}
