//! `image`.
use std::path::PathBuf;

use clap::Subcommand;

/// `image`
#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// Build images from recipes; without a name, all of the demo's
    Build {
        /// Names of the demo's recipes, or paths of recipe files
        recipes: Vec<String>,
        /// Show the packages and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// List images
    List,
    /// Import an archive (OCI layout or docker-save)
    Import {
        /// The archive
        file: PathBuf,
    },
    /// Export an image as an OCI archive
    Export {
        /// The image
        #[arg(required_unless_present = "demo")]
        reference: Option<String>,
        /// The archive to write
        #[arg(required_unless_present = "demo")]
        file: Option<PathBuf>,
        /// Build all that the demo needs, and write them to this folder, with a values.toml that `start --context NAME --values` takes
        #[arg(long, value_name = "DIR", conflicts_with_all = ["reference", "file"])]
        demo: Option<PathBuf>,
    },
    /// Pull an image from a registry
    Pull {
        /// The image
        reference: String,
    },
    /// Remove images
    Rm {
        /// The images
        #[arg(required = true)]
        references: Vec<String>,
    },
    /// Remove blobs and layers that no image uses
    Prune,
}
