use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tempfile::TempDir;

use crate::Test;

/// A state folder of the tests' own, removed with everything in it when its last user is done.
#[derive(Debug)]
pub struct State {
    folder: TempDir,
    images: Mutex<BTreeMap<String, String>>,
}

static SHARED: Mutex<Weak<State>> = Mutex::new(Weak::new());

impl State {
    /// A fresh folder for one test.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn new() -> Arc<State> {
        // Short: a socket's path below it must fit into 108 bytes. Not /tmp if that is an overlay or tmpfs of a container
        // is for the person to say, by TMPDIR.
        let folder = tempfile::Builder::new()
            .prefix("t-")
            .tempdir()
            .expect("a temporary folder can be made");
        Arc::new(State {
            folder,
            images: Mutex::default(),
        })
    }

    /// The folder that tests of one process share while any of them runs: clusters side by side, images built once.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn shared() -> Arc<State> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let state = State::new();
            *shared = Arc::downgrade(&state);
            state
        })
    }

    /// The state root, as for `--state-dir`.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of a cluster.
    pub fn cluster(&self, name: &str) -> PathBuf {
        self.path().join("clusters").join(name)
    }

    /// The reference of an image that holds this very program and needs no network to be built.
    ///
    /// # Panics
    /// When it cannot be built.
    pub fn image(self: &Arc<Self>) -> String {
        self.build("self")
    }

    /// The reference of an image of the demo's, built once; all but `self` need Debian's mirror.
    ///
    /// # Panics
    /// When it cannot be built.
    pub fn build(self: &Arc<Self>, recipe: &str) -> String {
        let mut images = self.images.lock().unwrap_or_else(PoisonError::into_inner);
        let build = || {
            let built = Test::in_state(self)
                .args(["--output", "json", "image", "build", recipe])
                .success()
                .json();
            let name = built[0]["name"].as_str();
            name.expect("the build names its image").to_owned()
        };
        images.entry(recipe.to_owned()).or_insert_with(build).clone()
    }
}
