//! `cncfdemo kubeconfig`: print the local cluster's kubeconfig, or add it to one's own.
use std::path::Path;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::cli::Kubeconfig;
use crate::exit::{Hinted, NotFound};
use crate::printer::Printer;
use crate::settings::Settings;

/// Runs the command.
pub fn run(args: &Kubeconfig, settings: &Settings, printer: &Printer) -> anyhow::Result<()> {
    let path = settings.paths()?.kubeconfig();
    if !path.exists() {
        return Err(NotFound(format!("there is no local cluster `{}`", settings.name)).into());
    }
    if args.merge {
        return merge(settings, printer);
    }
    if args.path {
        printer.text(path.display().to_string());
        printer.data(&json!({"path": path}));
        return Ok(());
    }
    printer.raw(&std::fs::read(&path).with_context(|| format!("failed to read {}", path.display()))?);
    Ok(())
}

/// Adds the local cluster's entries to the person's kubeconfig. Entries of the same name are replaced only when they point
/// to a server on 127.0.0.1, as ours do; anything else in the file stays as it is.
pub fn merge(settings: &Settings, printer: &Printer) -> anyhow::Result<()> {
    let own_path = settings.paths()?.kubeconfig();
    let own = read(&own_path)?;
    let path = &settings.kubeconfig;
    let mut theirs = if path.exists() {
        read(path)?
    } else {
        json!({"apiVersion": "v1", "kind": "Config"})
    };
    let name = own["current-context"].as_str().unwrap_or_default().to_owned();
    merge_into(&mut theirs, &own, &name).map_err(|server| Hinted {
        message: format!(
            "{} has a cluster `{name}` of its own, at {server}",
            path.display()
        ),
        hint: format!("rename it there, or use --kubeconfig \"{}\"", own_path.display()),
    })?;
    let text = serde_saphyr::to_string(&theirs).context("failed to write YAML")?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("failed to create {}", folder.display()))?;
    }
    let temporary = path.with_extension("cncfdemo-tmp");
    std::fs::write(&temporary, text)
        .and_then(|()| {
            std::fs::set_permissions(&temporary, std::os::unix::fs::PermissionsExt::from_mode(0o600))
        })
        .and_then(|()| std::fs::rename(&temporary, path))
        .with_context(|| format!("failed to write {}", path.display()))?;
    printer.note(format!(
        "context `{name}` is in {}: kubectl --context {name}",
        path.display()
    ));
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
    serde_saphyr::from_str(&text).with_context(|| format!("failed to understand {}", path.display()))
}

/// Puts `own`'s entries named `name` into `theirs`; gives the server of a foreign cluster of that name.
fn merge_into(theirs: &mut Value, own: &Value, name: &str) -> Result<(), String> {
    let found = theirs["clusters"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|c| c["name"] == name);
    let server = found
        .and_then(|c| c["cluster"]["server"].as_str())
        .unwrap_or("https://127.0.0.1:0");
    if !server.starts_with("https://127.0.0.1:") {
        return Err(server.to_owned());
    }
    for list in ["clusters", "contexts", "users"] {
        if !theirs[list].is_array() {
            theirs[list] = json!([]);
        }
        if let (Some(entries), Some(ours)) = (theirs[list].as_array_mut(), own[list].as_array()) {
            entries.retain(|entry| entry["name"] != name);
            entries.extend(ours.iter().cloned());
        }
    }
    if theirs["current-context"].as_str().is_none_or(str::is_empty) {
        theirs["current-context"] = name.into();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Value {
        json!({"current-context": "cncfdemo",
            "clusters": [{"name": "cncfdemo", "cluster": {"server": "https://127.0.0.1:7443"}}],
            "contexts": [{"name": "cncfdemo", "context": {}}], "users": [{"name": "cncfdemo", "user": {}}]})
    }

    #[test]
    fn other_entries_and_the_current_context_stay() {
        let mut theirs = json!({"current-context": "prod", "clusters": [{"name": "prod"}], "x": 1});
        merge_into(&mut theirs, &own(), "cncfdemo").unwrap();
        merge_into(&mut theirs, &own(), "cncfdemo").unwrap();
        assert_eq!(theirs["clusters"].as_array().unwrap().len(), 2);
        assert_eq!(
            (&theirs["current-context"], &theirs["x"]),
            (&json!("prod"), &json!(1))
        );
    }

    #[test]
    fn a_foreign_cluster_of_our_name_is_left_alone() {
        let mut theirs =
            json!({"clusters": [{"name": "cncfdemo", "cluster": {"server": "https://prod:6443"}}]});
        let before = theirs.clone();
        assert_eq!(
            merge_into(&mut theirs, &own(), "cncfdemo"),
            Err("https://prod:6443".to_owned())
        );
        assert_eq!(theirs, before);
    }
}
