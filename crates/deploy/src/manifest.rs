use serde_json::Value;

use crate::Error;

/// One object to apply, and where it came from.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// File as shown in errors.
    pub origin: String,
    /// The object.
    pub object: Value,
}

impl Manifest {
    /// A string at a JSON pointer, or the empty string.
    pub(crate) fn text(&self, pointer: &str) -> &str {
        self.object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
    /// `kind`.
    pub fn kind(&self) -> &str {
        self.text("/kind")
    }
    /// `metadata.name`.
    pub fn name(&self) -> &str {
        self.text("/metadata/name")
    }
    /// `apiVersion`.
    pub fn api_version(&self) -> &str {
        self.text("/apiVersion")
    }
    /// `metadata.namespace`, if set.
    pub fn namespace(&self) -> Option<&str> {
        self.object.pointer("/metadata/namespace").and_then(Value::as_str)
    }
}

/// Parses YAML (several documents) or JSON; `List` objects are taken apart; empty documents are skipped.
pub fn parse(origin: &str, text: &str) -> Result<Vec<Manifest>, Error> {
    let mut manifests = Vec::new();
    for (first_line, document) in documents(text) {
        if document
            .lines()
            .all(|l| l.trim().is_empty() || l.trim_start().starts_with('#'))
        {
            continue;
        }
        let value: Value = serde_saphyr::from_str(&document).map_err(|e| {
            let line = e
                .location()
                .map_or(first_line, |l| first_line + l.line() as usize - 1);
            let text = e.to_string();
            let reason = text.lines().next().unwrap_or_default().to_owned();
            Error::Manifest {
                origin: format!("{origin}:{line}"),
                reason,
            }
        })?;
        collect(&format!("{origin}:{first_line}"), value, &mut manifests)?;
    }
    Ok(manifests)
}

/// Splits at `---` lines; gives the number of each document's first line.
fn documents(text: &str) -> Vec<(usize, String)> {
    let mut found = vec![(1, String::new())];
    for (number, line) in text.lines().enumerate() {
        if line == "---" || line.starts_with("--- ") {
            found.push((number + 2, String::new()));
        } else if let Some((_, document)) = found.last_mut() {
            document.push_str(line);
            document.push('\n');
        }
    }
    found
}

fn collect(origin: &str, value: Value, into: &mut Vec<Manifest>) -> Result<(), Error> {
    let missing = |what: &str| Error::Manifest {
        origin: origin.to_owned(),
        reason: format!("the object has no {what}"),
    };
    let kind = value
        .get("kind")
        .and_then(Value::as_str)
        .filter(|k| !k.is_empty())
        .ok_or_else(|| missing("kind"))?;
    if value
        .get("apiVersion")
        .and_then(Value::as_str)
        .is_none_or(str::is_empty)
    {
        return Err(missing("apiVersion"));
    }
    if kind.ends_with("List") && value.get("items").is_some_and(Value::is_array) {
        for item in value["items"].as_array().into_iter().flatten() {
            collect(origin, item.clone(), into)?;
        }
        return Ok(());
    }
    let named = ["name", "generateName"]
        .iter()
        .any(|k| value["metadata"][k].as_str().is_some_and(|n| !n.is_empty()));
    if !named {
        return Err(missing("metadata.name"));
    }
    into.push(Manifest {
        origin: origin.to_owned(),
        object: value,
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_and_lists_become_objects() {
        let text = "# head\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\n\
                    {\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"b\"}}]}\n";
        let found = parse("f.yaml", text).unwrap();
        let names: Vec<_> = found.iter().map(|m| (m.kind(), m.name())).collect();
        assert_eq!(names, [("ConfigMap", "a"), ("Secret", "b")]);
    }

    #[test]
    fn errors_name_file_line_and_what_is_missing() {
        let error = parse("f.yaml", "a: 1\n---\nkind: Pod\nmetadata: {name: x}\n").unwrap_err();
        assert_eq!(error.to_string(), "f.yaml:1: the object has no kind");
        let error = parse("f.yaml", "\n---\nkind: Pod\n").unwrap_err();
        assert_eq!(error.to_string(), "f.yaml:3: the object has no apiVersion");
        let error = parse("f.yaml", "---\nkind: Pod\n  bad: [\n").unwrap_err();
        assert!(error.to_string().starts_with("f.yaml:3: "), "{error}");
    }
}
