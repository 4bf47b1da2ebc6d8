//! Images from a registry, verified by digest like everything else.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use futures::{FutureExt, StreamExt, TryStreamExt};
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, RegistryOperation};

use crate::debian::fetch::{chain, install_tls};
use crate::digest::Hashing;
use crate::model::{DOCKER_LIST, DOCKER_MANIFEST, Descriptor, INDEX, Image, MANIFEST, Manifest};
use crate::store::parse;
use crate::{Digest, Error, Reference, Result, Store};

/// A registry that has not answered by then is not there.
const PATIENCE: Duration = Duration::from_secs(12);

/// How many layers are pulled at once.
const LAYERS: usize = 3;

/// How to pull.
#[derive(Clone, Debug, Default)]
pub struct PullOptions {
    /// Registries (`host:port`) that speak plain HTTP. Those on this machine's loopback do anyway.
    pub plain_http: Vec<String>,
    /// Docker's `config.json` with credentials, if there is one.
    pub docker_config: Option<PathBuf>,
    /// More of such documents, as Secrets of type `kubernetes.io/dockerconfigjson` hold them; the first that knows the registry counts.
    pub docker_configs: Vec<Vec<u8>>,
    /// How long a registry may take for its first answer; default 12 s.
    pub patience: Option<Duration>,
}

impl Store {
    /// Pulls an image for this machine's architecture. Blobs that are here are not pulled again.
    pub async fn pull(&self, reference: &str, options: &PullOptions) -> Result<Image> {
        let name: Reference = reference.parse()?;
        let pull = Pull::new(self.clone(), name, options)?;
        let store = self.clone();
        let _content = tokio::task::spawn_blocking(move || store.lock_content()).await??;
        pull.run().await
    }
}

impl Store {
    /// Whether a registry would give an image: asks for its manifest, and keeps nothing.
    pub async fn reach(&self, reference: &str, options: &PullOptions) -> Result<()> {
        let pull = Pull::new(self.clone(), reference.parse()?, options)?;
        pull.first().await.map(drop)
    }
}

struct Pull {
    store: Store,
    name: Reference,
    client: Client,
    remote: oci_client::Reference,
    auth: RegistryAuth,
    patience: Duration,
}

impl Pull {
    fn new(store: Store, name: Reference, options: &PullOptions) -> Result<Self> {
        install_tls();
        let failed = |reason: String| Error::Pull {
            reference: name.to_string(),
            reason,
        };
        let remote: oci_client::Reference = name
            .to_string()
            .parse()
            .map_err(|e: oci_client::ParseError| failed(e.to_string()))?;
        let mut plain = options.plain_http.clone();
        let host = name
            .registry()
            .rsplit_once(':')
            .map_or(name.registry(), |(host, _)| host);
        if matches!(host, "localhost" | "127.0.0.1" | "[::1]") {
            plain.push(name.registry().to_owned());
        }
        let protocol = if plain.is_empty() {
            ClientProtocol::Https
        } else {
            ClientProtocol::HttpsExcept(plain)
        };
        let config = ClientConfig {
            protocol,
            connect_timeout: Some(Duration::from_secs(5)),
            read_timeout: Some(Duration::from_secs(20)),
            user_agent: concat!("cncfdemo/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        // oci-client panics where the default client cannot be built, whatever its configuration: that is tried first.
        reqwest::Client::builder().build().map_err(|e| {
            failed(format!(
                "{}; the package ca-certificates of this machine's system is needed",
                chain(&e)
            ))
        })?;
        let client = Client::try_from(config).map_err(|e| failed(chain(&e)))?;
        let file = options
            .docker_config
            .as_ref()
            .and_then(|path| std::fs::read(path).ok());
        let auth = options
            .docker_configs
            .iter()
            .chain(&file)
            .find_map(|config| credentials(config, name.registry()))
            .unwrap_or(RegistryAuth::Anonymous);
        Ok(Self {
            store,
            name,
            client,
            remote,
            auth,
            patience: options.patience.unwrap_or(PATIENCE),
        })
    }

    /// The manifest or index that the name means; a registry that does not answer at all is not waited for long.
    async fn first(&self) -> Result<(Vec<u8>, String, Digest)> {
        let answered = tokio::time::timeout(self.patience, async {
            self.client
                .auth(&self.remote, &self.auth, RegistryOperation::Pull)
                .await
                .map_err(|e| self.failed(chain(&e)))?;
            self.manifest(&self.remote, self.name.digest()).await
        });
        let quiet = |_| {
            self.failed(format!(
                "registry {} did not answer within {} s",
                self.name.registry(),
                self.patience.as_secs()
            ))
        };
        answered.await.map_err(quiet)?
    }

    async fn run(self) -> Result<Image> {
        let (mut bytes, mut media_type, mut digest) = self.first().await?;
        let mut source = None;
        if matches!(media_type.as_str(), INDEX | DOCKER_LIST) {
            let chosen = self.choose(bytes).await?;
            source = Some(digest);
            let wanted: Digest = chosen.digest.parse()?;
            let remote = self.remote.clone_with_digest(chosen.digest);
            (bytes, media_type, digest) = self.manifest(&remote, Some(wanted)).await?;
        }
        if !matches!(media_type.as_str(), MANIFEST | DOCKER_MANIFEST) {
            return Err(self.failed(format!("manifests of type {media_type} are not supported")));
        }
        let manifest: Manifest = parse(&bytes, || format!("manifest of {}", self.name))?;
        // Owned and boxed: a stream of borrowing futures would make the whole future unfit for `tokio::spawn`.
        let blobs = manifest.layers.into_iter().chain([manifest.config]);
        let pulls: Vec<_> = blobs.map(|blob| self.blob(blob).boxed()).collect();
        futures::stream::iter(pulls)
            .buffer_unordered(LAYERS)
            .try_collect::<Vec<()>>()
            .await?;
        let (store, name) = (self.store.clone(), self.name.clone());
        tokio::task::spawn_blocking(move || {
            let (_, size) = store.put_blob(bytes.as_slice(), Some(digest), "manifest")?;
            // Read whole before it is named: a manifest whose documents do not fit together is none.
            let image = store.image(name.to_string(), digest)?;
            store.set_name(&name, digest, size, source)?;
            Ok(image)
        })
        .await?
    }

    /// A manifest or index with its media type and digest, which is that of the bytes, whatever the registry says.
    async fn manifest(
        &self,
        remote: &oci_client::Reference,
        expected: Option<Digest>,
    ) -> Result<(Vec<u8>, String, Digest)> {
        let accepted = [MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_LIST];
        let pulled = self.client.pull_manifest_raw(remote, &self.auth, &accepted).await;
        let (bytes, _) = pulled.map_err(|e| self.failed(chain(&e)))?;
        let digest = Digest::of(&bytes);
        if let Some(expected) = expected
            && expected != digest
        {
            return Err(Error::Mismatch {
                what: format!("manifest of {}", self.name),
                expected,
                actual: digest,
            });
        }
        let kind: Kind = parse(&bytes, || format!("manifest of {}", self.name))?;
        let media_type = match (kind.media_type, kind.manifests) {
            (said, _) if !said.is_empty() => said,
            (_, Some(_)) => INDEX.to_owned(),
            (_, None) => MANIFEST.to_owned(),
        };
        Ok((bytes.to_vec(), media_type, digest))
    }

    /// The entry of an index for this machine.
    async fn choose(&self, bytes: Vec<u8>) -> Result<Descriptor> {
        let store = self.store.clone();
        tokio::task::spawn_blocking(move || {
            let (digest, size) = store.put_blob(bytes.as_slice(), None, "image index")?;
            let entry = Descriptor {
                media_type: INDEX.to_owned(),
                digest: digest.to_string(),
                size,
                ..Descriptor::default()
            };
            store.choose_platform(&entry)
        })
        .await?
    }

    async fn blob(&self, blob: Descriptor) -> Result<()> {
        let digest: Digest = blob.digest.parse()?;
        if self.store.has_blob(&digest) {
            return Ok(());
        }
        let stream = self
            .client
            .pull_blob_stream(&self.remote, blob.digest.as_str())
            .await;
        let mut stream = stream.map_err(|e| self.failed(chain(&e)))?.stream;
        let file = self.store.new_blob()?;
        let mut writer = Hashing::new(file.as_file());
        let mut size = 0;
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|e| self.failed(chain(&e)))?;
            size += chunk.len() as u64;
            if size > blob.size {
                return Err(self.failed(format!("blob {digest} is larger than its {} bytes", blob.size)));
            }
            writer
                .write_all(&chunk)
                .map_err(|e| Error::io("write", file.path(), e))?;
        }
        let (_, actual, _) = writer.finish();
        if actual != digest {
            return Err(Error::Mismatch {
                what: format!("blob of {}", self.name),
                expected: digest,
                actual,
            });
        }
        self.store.keep_blob(file, &digest)
    }

    fn failed(&self, reason: String) -> Error {
        Error::Pull {
            reference: self.name.to_string(),
            reason,
        }
    }
}

/// What a manifest says it is.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kind {
    #[serde(default)]
    media_type: String,
    manifests: Option<serde_json::Value>,
}

/// Credentials as `docker login` keeps them without a helper program.
fn credentials(config: &[u8], registry: &str) -> Option<RegistryAuth> {
    let config: serde_json::Value = serde_json::from_slice(config).ok()?;
    let names: &[&str] = if registry == "docker.io" {
        &["https://index.docker.io/v1/", "docker.io"]
    } else {
        &[registry]
    };
    let entry = names.iter().find_map(|name| config["auths"].get(name))?;
    if let (Some(user), Some(password)) = (entry["username"].as_str(), entry["password"].as_str()) {
        return Some(RegistryAuth::Basic(user.to_owned(), password.to_owned()));
    }
    let decoded = decode_base64(entry["auth"].as_str()?)?;
    let (user, password) = decoded.split_once(':')?;
    Some(RegistryAuth::Basic(user.to_owned(), password.to_owned()))
}

fn decode_base64(text: &str) -> Option<String> {
    use base64::Engine as _;
    String::from_utf8(base64::engine::general_purpose::STANDARD.decode(text).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_credentials() {
        let config = br#"{"auths": {"r.example": {"auth": "dTpwOnE="}, "https://index.docker.io/v1/": {},
            "s.example": {"username": "u", "password": "p"}}}"#;
        assert_eq!(
            credentials(config, "r.example"),
            Some(RegistryAuth::Basic("u".into(), "p:q".into()))
        );
        assert_eq!(
            credentials(config, "s.example"),
            Some(RegistryAuth::Basic("u".into(), "p".into()))
        );
        assert_eq!(credentials(config, "docker.io"), None);
        assert_eq!(credentials(config, "other.example"), None);
    }
}
