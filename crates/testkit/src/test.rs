use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;

use serde_json::Value;

use crate::State;

/// The program under test: `CNCFDEMO_PROGRAM`, or the one that cargo has built beside the test.
///
/// # Panics
/// When there is none.
pub fn program() -> PathBuf {
    if let Some(program) = std::env::var_os("CNCFDEMO_PROGRAM") {
        return program.into();
    }
    // target/TRIPLE/PROFILE/deps/TEST-HASH -> target/TRIPLE/PROFILE/cncfdemo
    let test = std::env::current_exe().expect("a test knows its own path");
    let program = test
        .ancestors()
        .nth(2)
        .expect("a test lies in target/…/deps")
        .join("cncfdemo");
    assert!(
        program.is_file(),
        "there is no {}: cargo build -p cncfdemo",
        program.display()
    );
    program
}

/// One run of the program: what it is given and what a person is to see.
///
/// ```no_run
/// testkit::Test::new().args(["version"]).stdout("cncfdemo 0.1.0\n").success();
/// ```
#[derive(Debug)]
pub struct Test {
    state: Arc<State>,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    wrapper: Vec<OsString>,
    program: Option<PathBuf>,
    folder: Option<PathBuf>,
    stdout: Option<String>,
    stdout_has: Vec<String>,
    stderr_has: Vec<String>,
}

impl Default for Test {
    fn default() -> Self {
        Self::new()
    }
}

impl Test {
    /// A run with a state folder of its own.
    pub fn new() -> Self {
        Self::in_state(&State::new())
    }

    /// A run in a state folder that is used further.
    pub fn in_state(state: &Arc<State>) -> Self {
        Test {
            state: state.clone(),
            arguments: Vec::new(),
            environment: Vec::new(),
            wrapper: Vec::new(),
            program: None,
            folder: None,
            stdout: None,
            stdout_has: Vec::new(),
            stderr_has: Vec::new(),
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.arguments
            .extend(arguments.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Runs in this folder.
    #[must_use]
    pub fn folder(mut self, folder: &Path) -> Self {
        self.folder = Some(folder.to_owned());
        self
    }

    /// Runs the program by another one, such as `setpriv --reuid nobody`.
    #[must_use]
    pub fn by(mut self, wrapper: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.wrapper = wrapper.into_iter().map(|a| a.as_ref().to_owned()).collect();
        self
    }

    /// Runs this copy of the program.
    #[must_use]
    pub fn program(mut self, program: &Path) -> Self {
        self.program = Some(program.to_owned());
        self
    }

    /// The whole of stdout.
    #[must_use]
    pub fn stdout(mut self, text: impl Into<String>) -> Self {
        self.stdout = Some(text.into());
        self
    }

    /// A part of stdout.
    #[must_use]
    pub fn stdout_has(mut self, text: impl Into<String>) -> Self {
        self.stdout_has.push(text.into());
        self
    }

    /// A part of stderr.
    #[must_use]
    pub fn stderr_has(mut self, text: impl Into<String>) -> Self {
        self.stderr_has.push(text.into());
        self
    }

    /// Runs it to a good end.
    ///
    /// # Panics
    /// When it ends otherwise, or something else is not as said.
    pub fn success(self) -> Outcome {
        self.status(0)
    }

    /// Runs it to this exit code.
    ///
    /// # Panics
    /// When it ends otherwise, or something else is not as said.
    pub fn status(mut self, code: i32) -> Outcome {
        let (stdout, stdout_has, stderr_has) = (
            self.stdout.take(),
            std::mem::take(&mut self.stdout_has),
            std::mem::take(&mut self.stderr_has),
        );
        let outcome = self.run();
        assert_eq!(
            outcome.status.code(),
            Some(code),
            "another exit code was expected of {outcome}"
        );
        if let Some(expected) = stdout {
            assert!(
                outcome.stdout == expected,
                "another stdout was expected:\n{expected}\n-- but --\n{outcome}"
            );
        }
        for part in stdout_has {
            assert!(outcome.stdout.contains(&part), "stdout lacks `{part}`: {outcome}");
        }
        for part in stderr_has {
            assert!(outcome.stderr.contains(&part), "stderr lacks `{part}`: {outcome}");
        }
        outcome
    }

    /// Runs it to whatever end.
    ///
    /// # Panics
    /// When it cannot be run at all.
    pub fn run(self) -> Outcome {
        let mut command = self.command();
        let shown = format!("{command:?}");
        let output = command.output().expect("the program can be run");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Outcome {
            shown,
            status: output.status,
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
            bytes: output.stdout,
        }
    }

    /// Starts it and goes on.
    ///
    /// # Panics
    /// When it cannot be run at all.
    pub fn spawn(self) -> Running {
        let state = self.state.clone();
        let child = self
            .command()
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program can be run");
        Running { child, _state: state }
    }

    fn command(&self) -> Command {
        let mut line: Vec<OsString> = self.wrapper.clone();
        line.push(self.program.clone().unwrap_or_else(program).into());
        line.push("--state-dir".into());
        line.push(self.state.path().into());
        line.extend(self.arguments.iter().cloned());
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]).stdin(Stdio::null());
        // What the person at this machine has set must not decide.
        for variable in ["KUBECONFIG", "CNCFDEMO_STATE", "CNCFDEMO_LOG", "NO_COLOR"] {
            command.env_remove(variable);
        }
        command
            .env("HOME", self.state.path())
            .envs(self.environment.iter().map(|(k, v)| (k, v)));
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        command
    }
}

/// A run that goes on.
#[derive(Debug)]
pub struct Running {
    child: Child,
    _state: Arc<State>,
}

impl Running {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it with SIGKILL and waits for its end.
    pub fn kill(mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it cannot be waited for.
    pub fn wait(mut self) -> ExitStatus {
        self.child.wait().expect("a child can be waited for")
    }
}

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    shown: String,
    /// How it ended.
    pub status: ExitStatus,
    /// Its stdout.
    pub stdout: String,
    /// Its stderr.
    pub stderr: String,
    /// Its stdout as it came.
    pub bytes: Vec<u8>,
}

impl Outcome {
    /// Its stdout as one JSON document.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("stdout is not one JSON document ({e}): {self}"))
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{} ended with {}", self.shown, self.status)?;
        writeln!(
            f,
            "-- stdout --\n{}\n-- stderr --\n{}",
            self.stdout.trim_end(),
            self.stderr.trim_end()
        )
    }
}
