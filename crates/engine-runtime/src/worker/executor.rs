//! The last steps inside the container: find the program as Go's `exec.LookPath` does, and become it.

use std::collections::HashMap;
use std::ffi::CString;
use std::path::{Path, PathBuf};

use libcontainer::workload::{Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError};
use oci_spec::runtime::{LinuxSeccomp, Spec};
use rustix::fs::{Access, AtFlags, CWD};
use rustix::thread::CapabilitySet;
use serde::Deserialize as _;
use serde_json::Value;

use crate::spec::LENT;
use crate::{Error, seccomp, sys};

/// Runs the program of the process in the spec.
#[derive(Clone)]
pub struct Program {
    /// The filter of system calls. Of the container's own `config.json`: libcontainer 0.7 leaves filter and annotations out of what
    /// it runs in a container that is there.
    profile: Option<LinuxSeccomp>,
    /// Capabilities that were lent to load it.
    lent: CapabilitySet,
    /// A container's first process: it has been reported as started when the program turns out not to be one.
    first: bool,
}

impl Program {
    /// A process of the container with this `config.json`.
    pub fn of(config: &Value, first: bool) -> crate::Result<Self> {
        let profile = Option::deserialize(&config["linux"]["seccomp"])
            .map_err(|e| Error::Internal(format!("the filter of system calls is damaged: {e}")))?;
        let lent = config["annotations"][LENT].as_str().unwrap_or_default();
        let lent = lent
            .split(' ')
            .fold(CapabilitySet::empty(), |set, name| match name {
                "CAP_SYS_ADMIN" => set | CapabilitySet::SYS_ADMIN,
                "CAP_SETPCAP" => set | CapabilitySet::SETPCAP,
                _ => set,
            });
        Ok(Self { profile, lent, first })
    }

    /// Loads the filter, and gives up the capabilities that were there for it.
    fn confine(&self) -> crate::Result<()> {
        let Some(profile) = &self.profile else {
            return Ok(());
        };
        seccomp::load(profile)?;
        sys::give_up(self.lent).map_err(|e| Error::io("give up capabilities", e))
    }
}

impl Executor for Program {
    fn setup_envs(&self, _: HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        // `exec` passes the environment on as it is, in its order.
        Ok(())
    }

    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        let (args, env) = command(spec);
        find(args, env)
            .map(drop)
            .map_err(ExecutorValidationError::ArgValidationError)
    }

    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        let (args, env) = command(spec);
        let path = find(args, env).map_err(ExecutorError::Other)?;
        let c_strings = |list: &[String]| -> Result<Vec<CString>, ExecutorError> {
            list.iter()
                .map(|s| CString::new(s.as_bytes()).map_err(|_| ExecutorError::InvalidArg))
                .collect()
        };
        let program =
            CString::new(path.as_os_str().as_encoded_bytes()).map_err(|_| ExecutorError::InvalidArg)?;
        let (c_args, c_env) = (c_strings(args)?, c_strings(env)?);
        sys::reset_signals();
        self.confine().map_err(|e| ExecutorError::Other(e.to_string()))?;
        let Err(errno) = nix::unistd::execve(&program, &c_args, &c_env);
        let text = format!("exec {}: {}", path.display(), words(errno as i32));
        if self.first {
            // As runc: the container's log says why, and its exit code is 255.
            let _ = rustix::io::write(rustix::stdio::stderr(), format!("{text}\n").as_bytes());
            sys::exit_now(255);
        }
        Err(ExecutorError::Other(text))
    }
}

fn command(spec: &Spec) -> (&[String], &[String]) {
    let process = spec.process().as_ref();
    let args = process.and_then(|p| p.args().as_deref()).unwrap_or_default();
    let env = process.and_then(|p| p.env().as_deref()).unwrap_or_default();
    (args, env)
}

/// The program's path, or Go's words for why not.
fn find(args: &[String], env: &[String]) -> Result<PathBuf, String> {
    let name = args.first().map_or("", String::as_str);
    if name.contains('/') {
        return match executable(Path::new(name)) {
            Ok(()) => Ok(PathBuf::from(name)),
            Err(reason) => Err(format!("exec: {name:?}: {reason}: unknown")),
        };
    }
    let path = env
        .iter()
        .find_map(|e| e.strip_prefix("PATH="))
        .unwrap_or_default();
    path.split(':')
        .map(|folder| Path::new(if folder.is_empty() { "." } else { folder }).join(name))
        .find(|candidate| !name.is_empty() && executable(candidate).is_ok())
        .ok_or_else(|| format!("exec: {name:?}: executable file not found in $PATH: unknown"))
}

fn executable(path: &Path) -> Result<(), String> {
    let meta = std::fs::metadata(path).map_err(|e| {
        format!(
            "stat {}: {}",
            path.display(),
            words(e.raw_os_error().unwrap_or_default())
        )
    })?;
    if meta.is_dir() {
        return Err("is a directory".into());
    }
    rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS).map_err(|e| words(e.raw_os_error()))
}

/// The system's words for an error in Go's lower case.
fn words(errno: i32) -> String {
    let text = nix::errno::Errno::from_raw(errno).desc().to_owned();
    let mut chars = text.chars();
    chars
        .next()
        .map_or(text.clone(), |c| c.to_lowercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str) -> Result<PathBuf, String> {
        find(&[name.to_owned()], &["PATH=/nonexistent:/bin".to_owned()])
    }

    #[test]
    fn programs_are_found_as_go_does() {
        assert_eq!(found("sh"), Ok(PathBuf::from("/bin/sh")));
        assert_eq!(
            found("nope"),
            Err(r#"exec: "nope": executable file not found in $PATH: unknown"#.into())
        );
        assert_eq!(
            found("/nope"),
            Err(r#"exec: "/nope": stat /nope: no such file or directory: unknown"#.into())
        );
        assert_eq!(
            found("/etc"),
            Err(r#"exec: "/etc": is a directory: unknown"#.into())
        );
        assert_eq!(
            found("/etc/passwd"),
            Err(r#"exec: "/etc/passwd": permission denied: unknown"#.into())
        );
    }
}
