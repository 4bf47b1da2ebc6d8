//! Exit codes, documented in `docs/reference/exit-codes.md`.

/// It failed; the message says why.
pub const FAILURE: u8 = 1;
/// The command line is wrong. clap uses the same code.
pub const USAGE: u8 = 2;
/// This machine cannot host a local cluster; what is missing was listed.
pub const UNSUITABLE: u8 = 3;
/// What was named does not exist.
pub const NOT_FOUND: u8 = 4;
/// A check failed: the tool worked, and what it looked at is not as it should be.
pub const CHECK_FAILED: u8 = 10;
/// No check failed, and some warn; only with `doctor --strict`.
pub const ONLY_WARNINGS: u8 = 11;
/// Interrupted; running the command again goes on.
pub const INTERRUPTED: u8 = 130;

/// Ctrl-C.
#[derive(Debug, thiserror::Error)]
#[error("interrupted: what was begun is left as it is, and running the command again goes on from there")]
pub struct Interrupted;

/// Ctrl-C of what has been undone.
#[derive(Debug, thiserror::Error)]
#[error("interrupted: the fault is over, and nothing of it is left")]
pub struct InterruptedAndMended;

/// The machine lacks something; the list has been printed.
#[derive(Debug, thiserror::Error)]
#[error("this machine cannot host a local cluster yet")]
pub struct Unsuitable;

/// Checks failed; the findings have been printed.
#[derive(Debug, thiserror::Error)]
#[error("checks failed: {0}")]
pub struct CheckFailed(pub usize);

/// Checks warn; the findings have been printed.
#[derive(Debug, thiserror::Error)]
#[error("checks that warn: {0}")]
pub struct OnlyWarnings(pub usize);

/// Something named on the command line does not exist.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotFound(pub String);

/// What was checked is not as it should be; what was found has been printed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Judged(pub String);

/// The command line asks for what does not go together.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// An error with a hint on what to do.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Hinted {
    /// What happened.
    pub message: String,
    /// What to do.
    pub hint: String,
}

/// The exit code of a failure.
pub fn code(failure: &anyhow::Error) -> u8 {
    if failure.is::<Interrupted>() || failure.is::<InterruptedAndMended>() {
        INTERRUPTED
    } else if failure.is::<Unsuitable>() {
        UNSUITABLE
    } else if failure.is::<CheckFailed>() || failure.is::<Judged>() {
        CHECK_FAILED
    } else if failure.is::<OnlyWarnings>() {
        ONLY_WARNINGS
    } else if failure.is::<Usage>() {
        USAGE
    } else if failure.is::<NotFound>()
        || matches!(
            failure.downcast_ref::<engine::Error>(),
            Some(engine::Error::NotFound(_))
        )
    {
        NOT_FOUND
    } else {
        FAILURE
    }
}
