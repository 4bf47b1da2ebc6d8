//! Recipes: what an image is made of, in a TOML file. They declare; nothing in them is run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::tree::Node;
use crate::{Error, Reference, Result};

/// Name of a recipe's file in its folder.
pub const RECIPE_FILE: &str = "image.toml";

/// A recipe for an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recipe {
    /// Image name: `redis` is `cncfdemo.local/redis`; one with a slash is taken as it is. Default: the recipe's folder.
    pub name: String,
    /// Tag. Default: upstream version of the first package, or this program's version for an image without packages.
    pub tag: Option<String>,
    /// Debian release. Default: bookworm.
    pub suite: Option<String>,
    /// Name of another recipe whose packages and files are the layer below.
    pub base: Option<String>,
    /// Debian packages (`name` or `name=version`); their dependencies come with them.
    pub packages: Vec<String>,
    /// Dependencies that the program does not need, with all that only they need. Those of `base` hold too.
    pub omit: Vec<String>,
    /// Patterns of paths that are left out, beside documentation, manuals and translations. Those of `base` hold too.
    pub exclude: Vec<String>,
    /// Patterns of paths that stay although a pattern excludes them.
    pub keep: Vec<String>,
    /// Groups to add.
    pub groups: Vec<Group>,
    /// Users to add.
    pub users: Vec<User>,
    /// Folders to add.
    pub directories: Vec<Directory>,
    /// Files to add.
    pub files: Vec<RecipeFile>,
    /// Symlinks to add.
    pub links: Vec<Link>,
    /// `self` puts this very program at `/cncfdemo`.
    pub binary: Option<String>,
    /// The program and its first arguments.
    pub entrypoint: Vec<String>,
    /// Further arguments, or the program.
    pub cmd: Vec<String>,
    /// Environment.
    pub env: BTreeMap<String, String>,
    /// `USER[:GROUP]`, by name or number.
    pub user: Option<String>,
    /// Working directory.
    pub workdir: Option<String>,
    /// Ports such as `9090/tcp`.
    pub expose: Vec<String>,
    /// Signal that asks the program to stop.
    pub stop_signal: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Contents of the files that `files` names as `source`, filled in by [`Recipes`].
    #[serde(skip_deserializing)]
    assets: BTreeMap<String, Vec<u8>>,
}

/// A group of the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Its number.
    pub gid: u32,
}

/// A user of the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Its number.
    pub uid: u32,
    /// The number of its group; default: a group of its own with the same name and number.
    pub gid: Option<u32>,
    /// Its home.
    #[serde(default = "nowhere")]
    pub home: String,
    /// Its shell.
    #[serde(default = "nologin")]
    pub shell: String,
}

/// A folder of the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Directory {
    /// Where.
    pub path: String,
    /// Octal mode; default 0755.
    #[serde(default = "mode_0755")]
    pub mode: String,
    /// Owner by name or number; default root.
    #[serde(default)]
    pub user: Option<String>,
    /// Group by name or number; default root.
    #[serde(default)]
    pub group: Option<String>,
}

/// A file of the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecipeFile {
    /// Where.
    pub path: String,
    /// What is in it; or
    #[serde(default)]
    pub content: Option<String>,
    /// the file in the recipe's folder that it is.
    #[serde(default)]
    pub source: Option<String>,
    /// Octal mode; default 0644.
    #[serde(default = "mode_0644")]
    pub mode: String,
    /// Owner by name or number; default root.
    #[serde(default)]
    pub user: Option<String>,
    /// Group by name or number; default root.
    #[serde(default)]
    pub group: Option<String>,
}

/// A symlink of the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Where.
    pub path: String,
    /// What it says.
    pub target: String,
}

fn nowhere() -> String {
    "/nonexistent".to_owned()
}

fn nologin() -> String {
    "/usr/sbin/nologin".to_owned()
}

fn mode_0755() -> String {
    "0755".to_owned()
}

fn mode_0644() -> String {
    "0644".to_owned()
}

impl Recipe {
    /// Parses a recipe. `folder` names it in errors and is its default name; `read` gives the files of its folder.
    pub fn parse(folder: &str, text: &str, read: impl Fn(&str) -> Option<Vec<u8>>) -> Result<Self> {
        let wrong = |reason: String| Error::Recipe {
            recipe: folder.to_owned(),
            reason,
        };
        let mut recipe: Self =
            toml::from_str(text).map_err(|e| wrong(e.to_string().trim_end().to_owned()))?;
        if recipe.name.is_empty() {
            folder.clone_into(&mut recipe.name);
        }
        for file in &recipe.files {
            match (&file.content, &file.source) {
                (Some(_), None) => {}
                (None, Some(source)) => {
                    let bytes = read(source)
                        .ok_or_else(|| wrong(format!("there is no file `{source}` in its folder")))?;
                    recipe.assets.insert(source.clone(), bytes);
                }
                _ => {
                    return Err(wrong(format!(
                        "file {} needs either `content` or `source`",
                        file.path
                    )));
                }
            }
        }
        recipe.check().map_err(wrong)?;
        Ok(recipe)
    }

    fn check(&self) -> Result<(), String> {
        if self.packages.is_empty() && self.binary.is_none() && self.files.is_empty() {
            return Err("it has neither `packages`, nor `binary`, nor `files`".to_owned());
        }
        if let Some(binary) = &self.binary
            && binary != "self"
        {
            return Err(format!("`binary` is `{binary}`; only \"self\" is known"));
        }
        for package in &self.packages {
            let name = package.split('=').next().unwrap_or_default();
            let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c);
            if name.is_empty() || !name.chars().all(fine) {
                return Err(format!("`{package}` is not the name of a package"));
            }
        }
        let paths = (self.files.iter().map(|f| &f.path))
            .chain(self.directories.iter().map(|d| &d.path))
            .chain(self.links.iter().map(|l| &l.path));
        for path in paths {
            if !path.starts_with('/')
                || path.ends_with('/')
                || path.split('/').skip(1).any(|p| matches!(p, "" | "." | ".."))
            {
                return Err(format!("path `{path}` is not absolute and plain"));
            }
        }
        for mode in self
            .files
            .iter()
            .map(|f| &f.mode)
            .chain(self.directories.iter().map(|d| &d.mode))
        {
            parse_mode(mode)?;
        }
        let in_line = |text: &str| !text.contains([':', '\n']);
        if !self
            .users
            .iter()
            .all(|u| in_line(&u.name) && in_line(&u.home) && in_line(&u.shell))
            || !self.groups.iter().all(|g| in_line(&g.name))
        {
            return Err("a user or group has a `:` in it".to_owned());
        }
        self.reference_with("0").map(drop).map_err(|e| e.to_string())
    }

    /// The image's full name with this tag.
    pub(crate) fn reference_with(&self, tag: &str) -> Result<Reference> {
        let name = if self.name.contains('/') {
            self.name.clone()
        } else {
            format!("cncfdemo.local/{}", self.name)
        };
        format!("{name}:{tag}").parse()
    }

    /// The Debian release.
    pub(crate) fn suite(&self) -> &str {
        self.suite.as_deref().unwrap_or("bookworm")
    }

    /// A file's content.
    pub(crate) fn bytes<'a>(&'a self, file: &'a RecipeFile) -> &'a [u8] {
        match (&file.content, &file.source) {
            (Some(content), _) => content.as_bytes(),
            (None, Some(source)) => self.assets.get(source).map_or(&[], Vec::as_slice),
            (None, None) => &[],
        }
    }
}

impl RecipeFile {
    pub(crate) fn node(&self, bytes: &[u8], uid: u32, gid: u32) -> Node {
        Node {
            uid,
            gid,
            ..Node::file(bytes, parse_mode(&self.mode).unwrap_or(0o644))
        }
    }
}

impl Directory {
    pub(crate) fn node(&self, uid: u32, gid: u32) -> Node {
        Node {
            uid,
            gid,
            ..Node::folder(parse_mode(&self.mode).unwrap_or(0o755))
        }
    }
}

fn parse_mode(mode: &str) -> Result<u32, String> {
    u32::from_str_radix(mode, 8)
        .ok()
        .filter(|m| *m <= 0o7777)
        .ok_or_else(|| format!("mode `{mode}` is not octal, as \"0644\" is"))
}

/// Recipes by the names of their folders.
#[derive(Clone, Debug, Default)]
pub struct Recipes {
    recipes: BTreeMap<String, Arc<Recipe>>,
}

impl Recipes {
    /// Loads `FOLDER/*/image.toml`.
    pub fn from_dir(folder: &Path) -> Result<Self> {
        let mut recipes = Self::default();
        let failed = |e| Error::io("read", folder, e);
        for entry in std::fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.join(RECIPE_FILE).is_file() {
                recipes.load(&path)?;
            }
        }
        Ok(recipes)
    }

    /// Loads the recipe in one folder (or the file itself) and returns its name.
    pub fn load(&mut self, path: &Path) -> Result<String> {
        let (folder, file): (PathBuf, PathBuf) = if path.is_dir() {
            (path.to_owned(), path.join(RECIPE_FILE))
        } else {
            (
                path.parent().unwrap_or(Path::new(".")).to_owned(),
                path.to_owned(),
            )
        };
        let text = std::fs::read_to_string(&file).map_err(|e| Error::io("read", &file, e))?;
        let absolute = std::path::absolute(&folder).unwrap_or_else(|_| folder.clone());
        let name = absolute
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default();
        self.insert(&name, &text, |source| std::fs::read(folder.join(source)).ok())?;
        Ok(name)
    }

    /// Adds a recipe from text, for recipes that are embedded in a program.
    pub fn insert(&mut self, name: &str, text: &str, read: impl Fn(&str) -> Option<Vec<u8>>) -> Result<()> {
        self.recipes
            .insert(name.to_owned(), Arc::new(Recipe::parse(name, text, read)?));
        Ok(())
    }

    /// The names of all recipes.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.recipes.keys().map(String::as_str)
    }

    /// A recipe by the name of its folder.
    pub fn get(&self, name: &str) -> Option<&Arc<Recipe>> {
        self.recipes.get(name)
    }

    /// A recipe's base, if it has one.
    pub(crate) fn base_of(&self, recipe: &Recipe) -> Result<Option<Arc<Recipe>>> {
        let Some(base) = &recipe.base else { return Ok(None) };
        let wrong = |reason: String| Error::Recipe {
            recipe: recipe.name.clone(),
            reason,
        };
        let found = self
            .recipes
            .get(base)
            .ok_or_else(|| wrong(format!("there is no recipe `{base}`, its base")))?;
        if found.base.is_some() {
            return Err(wrong(format!(
                "its base `{base}` has a base itself; one is supported"
            )));
        }
        if found.suite() != recipe.suite() {
            return Err(wrong(format!(
                "it is of {}, its base of {}",
                recipe.suite(),
                found.suite()
            )));
        }
        Ok(Some(found.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Recipe> {
        Recipe::parse("x", text, |name| (name == "there").then(|| b"bytes".to_vec()))
    }

    #[test]
    fn whole_and_wrong() {
        let recipe = parse("packages = ['a', 'b=1.0']\nentrypoint = ['/usr/bin/a']\n[[files]]\npath = '/etc/a'\nsource = 'there'\n[[users]]\nname = 'u'\nuid = 7\n").unwrap();
        assert_eq!(
            recipe.reference_with("1").unwrap().to_string(),
            "cncfdemo.local/x:1"
        );
        assert_eq!(recipe.bytes(&recipe.files[0]), b"bytes");
        for (text, says) in [
            ("", "neither `packages`"),
            ("packges = ['a']", "unknown field `packges`"),
            ("packages = ['A b']", "`A b` is not the name of a package"),
            (
                "packages = ['a']\n[[files]]\npath = '/a'\nsource = 'gone'",
                "no file `gone`",
            ),
            (
                "packages = ['a']\n[[files]]\npath = '/a'",
                "either `content` or `source`",
            ),
            (
                "packages = ['a']\n[[files]]\npath = '/a/../b'\ncontent = ''",
                "not absolute and plain",
            ),
            (
                "packages = ['a']\n[[files]]\npath = '/a'\ncontent = ''\nmode = '999'",
                "not octal",
            ),
            ("binary = 'other'", "only \"self\""),
            ("name = 'A'\npackages = ['a']", "invalid image reference"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
