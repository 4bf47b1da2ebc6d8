//! The engine's own processes: `__runtime DIR` (single-threaded, keeps containers and restarts the engine) and
//! `__engine DIR` (everything else). They are not for people, so clap does not know them.
use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs the hidden command if the arguments name one.
pub fn dispatch(arguments: &[OsString]) -> Option<ExitCode> {
    let [_, role, dir] = arguments else { return None };
    let dir = PathBuf::from(dir);
    let program = std::env::current_exe().unwrap_or_else(|_| "/proc/self/exe".into());
    let done = match role.to_str()? {
        "__runtime" => engine::run::runtime_daemon(&dir, program),
        "__engine" => {
            let _ = rustls::crypto::ring::default_provider().install_default();
            let filter = std::env::var("CNCFDEMO_LOG").unwrap_or_else(|_| "info".to_owned());
            let _ = tracing_subscriber::fmt()
                .with_env_filter(tracing_subscriber::EnvFilter::try_new(filter).unwrap_or_default())
                .with_ansi(false)
                // Telling on stderr that stderr cannot be written (a full disk) would panic, in the store's writer of all threads.
                .log_internal_errors(false)
                .with_writer(std::io::stderr)
                .try_init();
            engine::run::engine(&dir, program)
        }
        _ => return None,
    };
    Some(match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            // Goes to engine.log or runtime.log.
            let _ = writeln!(std::io::stderr(), "error: {e}");
            ExitCode::FAILURE
        }
    })
}
