use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tempfile::TempDir;

use crate::Test;

/// A state folder of the tests' own, removed with everything in it when its last user is done.
#[derive(Debug)]
pub struct State {
    folder: TempDir,
    image: Mutex<Option<String>>,
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
            image: Mutex::new(None),
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
        let mut image = self.image.lock().unwrap_or_else(PoisonError::into_inner);
        image
            .get_or_insert_with(|| {
                let built = Test::in_state(self)
                    .args(["--output", "json", "image", "build", "self"])
                    .success()
                    .json();
                built[0]["name"]
                    .as_str()
                    .expect("the build names its image")
                    .to_owned()
            })
            .clone()
    }
}
