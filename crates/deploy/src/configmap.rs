use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::Error;

/// Where a ConfigMap's entries come from, as `kubectl create configmap` takes them.
#[derive(Debug, Clone)]
pub enum ConfigMapSource {
    /// `--from-literal=KEY=VALUE`.
    Literal(String),
    /// `--from-file=[KEY=]PATH`, a file or a folder.
    File(String),
    /// `--from-env-file=PATH`.
    EnvFile(String),
}

/// Builds a ConfigMap as kubectl would: text goes to `data`, anything that is not UTF-8 to `binaryData`.
pub fn config_map(name: &str, namespace: Option<&str>, sources: &[ConfigMapSource]) -> Result<Value, Error> {
    let mut entries = Entries::default();
    for source in sources {
        match source {
            ConfigMapSource::Literal(text) => entries.literal(text)?,
            ConfigMapSource::File(text) => entries.file(text)?,
            ConfigMapSource::EnvFile(path) => entries.env_file(path)?,
        }
    }
    Ok(entries.into_object(name, namespace))
}

#[derive(Default)]
pub(crate) struct Entries {
    data: BTreeMap<String, String>,
    binary: BTreeMap<String, String>,
}

impl Entries {
    fn literal(&mut self, text: &str) -> Result<(), Error> {
        let (key, value) = text
            .split_once('=')
            .filter(|(key, _)| !key.is_empty())
            .ok_or_else(|| Error::ConfigMap(format!("invalid literal source {text}, expected key=value")))?;
        self.add(key, value.as_bytes().to_vec())
    }

    fn file(&mut self, text: &str) -> Result<(), Error> {
        let (key, path) = match text.split_once('=') {
            Some((key, path)) if !key.is_empty() && !path.is_empty() => (Some(key), path),
            Some(_) => return Err(Error::ConfigMap(format!("key or file path missing in {text}"))),
            None => (None, text),
        };
        let read = |path: &Path| {
            std::fs::read(path).map_err(|source| Error::Read {
                path: path.display().to_string(),
                source,
            })
        };
        let file = Path::new(path);
        if !file.is_dir() {
            let own = file
                .file_name()
                .map(|n| n.to_string_lossy().into_owned())
                .unwrap_or_default();
            return self.add(key.unwrap_or(&own), read(file)?);
        }
        if key.is_some() {
            return Err(Error::ConfigMap(
                "cannot give a key name for a directory path".to_owned(),
            ));
        }
        let failed = |source| Error::Read {
            path: path.to_owned(),
            source,
        };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(file).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            // kubectl takes regular files only, links and subfolders are passed over.
            if entry.file_type().map_err(failed)?.is_file() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        names
            .iter()
            .try_for_each(|name| self.add(name, read(&file.join(name))?))
    }

    /// Lines `KEY=VALUE`; `KEY` alone takes the value from the environment in kubectl, which a library must not read: it
    /// is an error here.
    fn env_file(&mut self, path: &str) -> Result<(), Error> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        for (number, line) in text.lines().enumerate() {
            let line = line.trim_start();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (key, value) = line.split_once('=').ok_or_else(|| {
                Error::ConfigMap(format!(
                    "{path}:{}: `{line}` has no value: write {line}=VALUE",
                    number + 1
                ))
            })?;
            self.add(key, value.as_bytes().to_vec())?;
        }
        Ok(())
    }

    pub(crate) fn add(&mut self, key: &str, bytes: Vec<u8>) -> Result<(), Error> {
        let fits = !key.is_empty()
            && key.len() <= 253
            && key != "."
            && !key.starts_with("..")
            && key
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
        if !fits {
            return Err(Error::ConfigMap(format!(
                "\"{key}\" is not a valid key name for a ConfigMap: a valid config key must consist of alphanumeric \
                 characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for \
                 validation is '[-._a-zA-Z0-9]+')"
            )));
        }
        if self.data.contains_key(key) || self.binary.contains_key(key) {
            return Err(Error::ConfigMap(format!(
                "cannot add key \"{key}\", another key by that name already exists in Data for ConfigMap"
            )));
        }
        match String::from_utf8(bytes) {
            Ok(text) => self.data.insert(key.to_owned(), text),
            Err(e) => self
                .binary
                .insert(key.to_owned(), STANDARD.encode(e.into_bytes())),
        };
        Ok(())
    }

    pub(crate) fn into_object(self, name: &str, namespace: Option<&str>) -> Value {
        let mut object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
        if let Some(namespace) = namespace {
            object["metadata"]["namespace"] = namespace.into();
        }
        if !self.data.is_empty() {
            object["data"] = json!(self.data);
        }
        if !self.binary.is_empty() {
            object["binaryData"] = json!(self.binary);
        }
        object
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_literals_and_binary_files() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("api.js"), "host: mongos\n").unwrap();
        std::fs::write(dir.path().join("bin.dat"), [0, 1, 255]).unwrap();
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        let sources = [
            ConfigMapSource::File(dir.path().display().to_string()),
            ConfigMapSource::Literal("x=1=2".into()),
        ];
        let object = config_map("b", None, &sources).unwrap();
        assert_eq!(object["data"], json!({"api.js": "host: mongos\n", "x": "1=2"}));
        assert_eq!(object["binaryData"], json!({"bin.dat": "AAH/"}));
    }

    #[test]
    fn doubled_and_malformed_keys_are_refused() {
        let twice = [
            ConfigMapSource::Literal("a=1".into()),
            ConfigMapSource::Literal("a=2".into()),
        ];
        assert!(
            config_map("b", None, &twice)
                .unwrap_err()
                .to_string()
                .contains("already exists")
        );
        assert!(config_map("b", None, &[ConfigMapSource::Literal("a b=1".into())]).is_err());
        assert!(config_map("b", None, &[ConfigMapSource::Literal("=1".into())]).is_err());
    }
}
