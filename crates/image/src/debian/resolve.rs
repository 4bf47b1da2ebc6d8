//! Which packages an image needs: the dependencies of what the recipe names, and nothing else. Essential packages are not implied
//! and recommended ones not taken: an image holds a program, not a system.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::debian::control::{Alternative, dependencies};
use crate::debian::repository::{Candidate, Repository};
use crate::{Error, Result};

/// The packages of an image by name.
pub(crate) type Selection = BTreeMap<String, Candidate>;

/// Adds to `selection` the packages named by `roots` (`name` or `name=version`) and what they depend on. A dependency with an
/// alternative in `omit` counts as satisfied.
pub(crate) fn resolve(
    repository: &Repository,
    architecture: &str,
    roots: &[String],
    omit: &BTreeSet<String>,
    selection: Selection,
) -> Result<Selection> {
    let mut resolver = Resolver {
        repository,
        architecture,
        omit,
        selection,
        queue: VecDeque::new(),
    };
    for root in roots {
        let (name, version) = match root.split_once('=') {
            Some((name, version)) => (name, Some(version)),
            None => (root.as_str(), None),
        };
        let wanted = |v: &str| version.is_none_or(|version| v == version);
        if resolver
            .selection
            .get(name)
            .is_some_and(|chosen| wanted(&chosen.package.version))
        {
            continue;
        }
        let candidate = repository.newest(name, wanted).ok_or_else(|| {
            let mut similar = repository.similar(name);
            // The version is what is wrong: say which there is.
            if let Some(other) = repository.newest(name, |_| true) {
                similar = vec![format!("`{name}={}`", other.package.version)];
            }
            Error::NoPackage {
                name: root.clone(),
                sources: repository.names(),
                similar,
            }
        })?;
        resolver.add(candidate);
    }
    while let Some(name) = resolver.queue.pop_front() {
        resolver.satisfy(&name)?;
    }
    resolver.check_conflicts()?;
    Ok(resolver.selection)
}

struct Resolver<'a> {
    repository: &'a Repository,
    architecture: &'a str,
    omit: &'a BTreeSet<String>,
    selection: Selection,
    queue: VecDeque<String>,
}

impl Resolver<'_> {
    fn add(&mut self, candidate: Candidate) {
        let name = candidate.package.name.clone();
        self.queue.push_back(name.clone());
        self.selection.insert(name, candidate);
    }

    fn satisfy(&mut self, name: &str) -> Result<()> {
        let Some(package) = self.selection.get(name).map(|chosen| chosen.package.clone()) else {
            return Ok(());
        };
        for field in [&package.pre_depends, &package.depends] {
            for (text, alternatives) in dependencies(field) {
                let omitted = alternatives.iter().any(|a| self.omit.contains(a.name));
                if omitted || alternatives.iter().any(|a| self.is_satisfied(a)) {
                    continue;
                }
                let found = alternatives
                    .iter()
                    .filter(|a| self.is_ours(a))
                    .find_map(|a| self.candidate(a));
                let found = found.ok_or_else(|| Error::Unsatisfied {
                    package: format!("{name} {}", package.version),
                    dependency: text.to_owned(),
                    sources: self.repository.names(),
                })?;
                self.add(found);
            }
        }
        Ok(())
    }

    fn is_ours(&self, wanted: &Alternative<'_>) -> bool {
        wanted
            .architecture
            .is_none_or(|a| a == "any" || a == "native" || a == self.architecture)
    }

    fn is_satisfied(&self, wanted: &Alternative<'_>) -> bool {
        self.is_ours(wanted)
            && (self
                .selection
                .get(wanted.name)
                .is_some_and(|chosen| wanted.accepts(&chosen.package.version))
                || self.selection.values().any(|chosen| provides(chosen, wanted)))
    }

    /// A real package before one that provides the name; none that is selected already, as that one does not satisfy.
    fn candidate(&self, wanted: &Alternative<'_>) -> Option<Candidate> {
        if !self.selection.contains_key(wanted.name)
            && let Some(real) = self
                .repository
                .newest(wanted.name, |version| wanted.accepts(version))
        {
            return Some(real);
        }
        let providers = self.repository.providers(wanted.name).into_iter();
        providers
            .filter(|p| !self.selection.contains_key(&p.package.name))
            .find(|p| provides(p, wanted))
    }

    fn check_conflicts(&self) -> Result<()> {
        for (name, chosen) in &self.selection {
            for (field, text) in [
                ("Conflicts", &chosen.package.conflicts),
                ("Breaks", &chosen.package.breaks),
            ] {
                for (group, alternatives) in dependencies(text) {
                    for wanted in &alternatives {
                        let hit = self.selection.values().find(|other| {
                            other.package.name != *name
                                && ((other.package.name == wanted.name
                                    && wanted.accepts(&other.package.version))
                                    || provides(other, wanted))
                        });
                        if let Some(other) = hit {
                            return Err(Error::Conflict {
                                package: format!("{name} {}", chosen.package.version),
                                other: format!("{} {}", other.package.name, other.package.version),
                                relation: format!("{field}: {group}"),
                            });
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// Whether a package provides what is wanted. A versioned dependency needs a versioned `Provides`.
fn provides(candidate: &Candidate, wanted: &Alternative<'_>) -> bool {
    dependencies(&candidate.package.provides).any(|(_, provided)| {
        provided.iter().any(|p| {
            p.name == wanted.name
                && match (p.version, wanted.version) {
                    (_, None) => true,
                    (Some((_, version)), Some(_)) => wanted.accepts(version),
                    (None, Some(_)) => false,
                }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Digest;

    fn entry((name, version, extra): &(&str, &str, &str)) -> String {
        let hash = Digest::of(name).hex();
        let mut text = format!(
            "Package: {name}\nVersion: {version}\nArchitecture: amd64\nFilename: pool/{name}.deb\nSize: 5\nSHA256: {hash}\n"
        );
        if !extra.is_empty() {
            text.extend([extra, "\n"]);
        }
        text + "\n"
    }

    fn run(packages: &[(&str, &str, &str)], roots: &[&str], omit: &[&str]) -> Result<Vec<String>> {
        let text: String = packages.iter().map(entry).collect();
        let repository = Repository::of_texts(&[("bookworm", &text)]);
        let roots: Vec<String> = roots.iter().map(ToString::to_string).collect();
        let omit = omit.iter().map(ToString::to_string).collect();
        let selection = resolve(&repository, "amd64", &roots, &omit, Selection::new())?;
        Ok(selection.into_keys().collect())
    }

    #[test]
    fn dependencies_of_dependencies_once_each() {
        let packages = [
            ("app", "1", "Depends: lib (>= 1), tool | other-tool"),
            ("lib", "1.2", "Depends: libc6\nPre-Depends: base"),
            ("libc6", "2", "Depends: lib"),
            ("base", "1", "Recommends: unneeded"),
            ("tool", "1", ""),
            ("unneeded", "1", ""),
        ];
        assert_eq!(
            run(&packages, &["app"], &[]).unwrap(),
            ["app", "base", "lib", "libc6", "tool"]
        );
        assert_eq!(
            run(&packages, &["app", "tool"], &["lib"]).unwrap(),
            ["app", "tool"]
        );
    }

    #[test]
    fn alternatives_and_provided_names() {
        let packages = [
            ("app", "1", "Depends: gone | awk, libx (>= 2)"),
            ("mawk", "1", "Priority: required\nProvides: awk"),
            ("gawk", "1", "Priority: optional\nProvides: awk"),
            ("liby", "1", "Provides: libx (= 2.1)"),
            ("libold", "1", "Provides: libx"),
        ];
        assert_eq!(run(&packages, &["app"], &[]).unwrap(), ["app", "liby", "mawk"]);
        // What is there already serves.
        assert_eq!(
            run(&packages, &["gawk", "app"], &[]).unwrap(),
            ["app", "gawk", "liby"]
        );
    }

    #[test]
    fn what_cannot_be() {
        let packages = [
            ("app", "1", "Depends: lib (>= 2)"),
            ("lib", "1", ""),
            ("foreign", "1", "Depends: lib:i386"),
            ("one", "1", "Conflicts: mta\nProvides: mta"),
            ("two", "1", "Conflicts: mta\nProvides: mta"),
            ("breaker", "1", "Breaks: lib (<< 2)"),
        ];
        let error = run(&packages, &["app"], &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "app 1 depends on `lib (>= 2)`, which nothing in bookworm satisfies"
        );
        assert!(error.hint().unwrap().contains("omit = [\"lib\"]"));
        assert!(matches!(
            run(&packages, &["foreign"], &[]),
            Err(Error::Unsatisfied { .. })
        ));
        assert!(matches!(
            run(&packages, &["one", "two"], &[]),
            Err(Error::Conflict { .. })
        ));
        assert!(matches!(
            run(&packages, &["breaker", "lib"], &[]),
            Err(Error::Conflict { .. })
        ));
        assert_eq!(run(&packages, &["one"], &[]).unwrap(), ["one"]);
        let error = run(&packages, &["foregin"], &[]).unwrap_err();
        assert_eq!(error.hint().unwrap(), "did you mean `foreign`?");
        let error = run(&packages, &["lib=2"], &[]).unwrap_err();
        assert_eq!(error.hint().unwrap(), "did you mean `lib=1`?");
    }
}
