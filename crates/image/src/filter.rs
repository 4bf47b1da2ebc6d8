//! Which files of packages come into an image.

use crate::recipe::Recipe;
use crate::tree::covers;

/// Which files of packages are kept.
pub(crate) struct Filter {
    exclude: Vec<String>,
    keep: Vec<String>,
}

/// What a program does not need to run. Copyright files stay: licences ask for it.
const EXCLUDED: [&str; 21] = [
    "usr/share/doc/**",
    "usr/share/man/**",
    "usr/share/info/**",
    "usr/share/locale/**",
    "usr/share/lintian/**",
    "usr/share/linda/**",
    "usr/share/bug/**",
    "usr/share/doc-base/**",
    "usr/share/gtk-doc/**",
    "usr/share/bash-completion/**",
    "usr/share/zsh/**",
    "usr/share/fish/**",
    "usr/share/menu/**",
    "usr/share/applications/**",
    "etc/init.d/**",
    "etc/cron*/**",
    "etc/logrotate.d/**",
    "lib/systemd/**",
    "usr/lib/systemd/**",
    "usr/share/gcc/**",
    "usr/share/sass/**",
];

impl Filter {
    /// The patterns of a recipe and its base, beside those of all.
    pub(crate) fn new(recipe: &Recipe, base: Option<&Recipe>) -> Self {
        let mut exclude: Vec<String> = EXCLUDED.iter().map(ToString::to_string).collect();
        let mut keep = vec!["usr/share/doc/*/copyright".to_owned()];
        for recipe in base.into_iter().chain([recipe]) {
            exclude.extend(recipe.exclude.iter().cloned());
            keep.extend(recipe.keep.iter().cloned());
        }
        Self { exclude, keep }
    }

    /// Whether a path of a package is kept.
    pub(crate) fn wants(&self, path: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| covers(pattern, path));
        !any(&self.exclude) || any(&self.keep)
    }
}
