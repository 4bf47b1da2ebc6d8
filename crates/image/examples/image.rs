//! The crate by hand: `image STORE build APPS RECIPE...`, `image STORE import FILE`, `image STORE list`, `image STORE pull NAME`,
//! `image STORE unpack NAME`, `image STORE export NAME FILE`, `image STORE prune`.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::path::Path;
use std::sync::Arc;

use image::{BuildOptions, Builder, Error, Mirrors, PullOptions, Recipes, Store};

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    if let Err(error) = run(&args).await {
        eprintln!("error: {error}");
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            eprintln!("  because: {cause}");
            source = cause.source();
        }
        if let Some(hint) = error.hint() {
            eprintln!("hint: {hint}");
        }
    }
}

async fn run(args: &[&str]) -> Result<(), Error> {
    let [root, verb, rest @ ..] = args else {
        return Ok(());
    };
    let store = Store::open(*root)?;
    match (*verb, rest) {
        ("build" | "plan", [apps, names @ ..]) => {
            let mut options = BuildOptions::new(format!("{root}-cache"))?;
            options.mirrors = Mirrors::of_host(Path::new("/"));
            options.program = std::env::current_exe().ok();
            options.dry_run = *verb == "plan";
            options.progress = Arc::new(|progress| {
                if let image::Progress::Note(note) = progress {
                    eprintln!("note: {note}");
                }
            });
            let builder = Builder::new(store, Recipes::from_dir(Path::new(apps))?, options)?;
            for built in futures::future::join_all(names.iter().map(|name| builder.build(name))).await {
                let built = built?;
                let digest = built
                    .image
                    .as_ref()
                    .map(|image| image.digest.to_string())
                    .unwrap_or_default();
                let size = built.image.as_ref().map_or(0, |image| image.size);
                println!(
                    "{} {digest} {size} B cached={} downloaded={} {:.3} s",
                    built.reference,
                    built.cached,
                    built.downloaded,
                    built.elapsed.as_secs_f64()
                );
                let own: Vec<_> = built
                    .packages
                    .iter()
                    .filter(|p| !p.base)
                    .map(|p| format!("{}={}", p.name, p.version))
                    .collect();
                println!("  {}", own.join(" "));
            }
        }
        ("import", [file]) => {
            for image in store.import(file)? {
                println!("{} {}", image.name, image.digest);
            }
        }
        ("list", []) => {
            for image in store.list()? {
                println!(
                    "{} {} {} layers {} B",
                    image.name,
                    image.digest,
                    image.layers.len(),
                    image.size
                );
            }
        }
        ("pull", [name]) => println!("{}", store.pull(name, &PullOptions::default()).await?.digest),
        ("unpack", [name]) => {
            for path in store.unpacked_layers(&store.resolve(name)?)? {
                println!("{}", path.display());
            }
        }
        ("export", [name, file]) => println!("{}", store.export(name, file)?.digest),
        ("prune", []) => println!("{:?}", store.prune()?),
        _ => eprintln!("unknown arguments"),
    }
    Ok(())
}
