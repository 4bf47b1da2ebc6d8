//! Renders run documents: `cargo run -p report --example render -- OUT RUN…` writes a site of them.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "an example for people at work on the pages"
)]

fn main() {
    let mut arguments = std::env::args().skip(1);
    let out = std::path::PathBuf::from(arguments.next().unwrap());
    let runs: Vec<results::Run> = arguments
        .map(|path| results::Run::read(&std::fs::read_to_string(path).unwrap()).unwrap())
        .collect();
    for (name, content) in report::site(&runs).unwrap() {
        let path = out.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        println!("{}", path.display());
    }
}
