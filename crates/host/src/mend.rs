//! Does what a finding's changes say, and takes it back. Every change is first written to a journal with what was there
//! before, then made, then marked as made: whatever ends the program in between, `undo` knows what to look at. A change that
//! fails, or an interruption, takes back all that this run had made.
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use preflight::Change;
use serde::{Deserialize, Serialize};

/// Why a machine was not changed, or not changed back.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be used.
    #[error("failed to {verb} {path}: {source}")]
    File {
        /// What was tried.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not what was judged.
    #[error("{0} is not as it was when it was judged, so it is left alone")]
    Changed(PathBuf),
    /// A link stands where a file was expected.
    #[error("{0} is a link, so it is left alone")]
    Link(PathBuf),
    /// A kernel parameter cannot be set.
    #[error("failed to set {key} to {value}: {reason}")]
    Parameter {
        /// Its key.
        key: String,
        /// The value.
        value: String,
        /// Why.
        reason: String,
    },
    /// A program failed.
    #[error("{program} failed: {reason}")]
    Program {
        /// Its command line.
        program: String,
        /// What it said.
        reason: String,
    },
    /// Somebody interrupted; everything is as before.
    #[error("interrupted; what this run had changed was taken back")]
    Interrupted,
    /// Another doctor is at work.
    #[error("another cncfdemo doctor is changing this machine")]
    Busy,
    /// A change failed and so did taking back the ones before it.
    #[error("{cause}; and taking back what had been done failed too: {cleanup}")]
    Both {
        /// The first failure.
        cause: Box<Error>,
        /// What failed after it.
        cleanup: String,
    },
}

/// What was there before a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Before {
    /// A file's text and mode.
    File {
        /// None when there was no file.
        text: Option<String>,
        /// Its mode, or the one that a new file gets.
        mode: u32,
        /// Folders that were made for it, outermost first.
        made: Vec<PathBuf>,
    },
    /// A parameter's value.
    Parameter {
        /// The value.
        value: String,
    },
    /// A module.
    Module {
        /// Whether it was loaded.
        loaded: bool,
    },
    /// Swap was on.
    Swap,
}

/// How far a change has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Progress {
    /// About to be made, or being made when the program ended.
    Begun,
    /// Made.
    Done,
    /// Taken back.
    Undone,
}

/// A change in the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The change.
    pub change: Change,
    /// What was there.
    pub before: Before,
    /// How far it has come.
    pub progress: Progress,
}

/// One run of `--fix` in the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its number.
    pub number: u64,
    /// The checks that it was for.
    pub checks: Vec<String>,
    /// Its changes, in the order in which they were made.
    pub entries: Vec<Entry>,
}

/// What taking back came to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Undone {
    /// Checks whose fixes were taken back.
    pub checks: Vec<String>,
    /// Changes that were taken back.
    pub changes: Vec<Change>,
    /// Changes that were left, and why.
    pub left: Vec<String>,
}

/// Changes a machine. `root` is `/`, and another folder only in tests.
#[derive(Debug)]
pub struct Mender {
    root: PathBuf,
    journal: PathBuf,
    /// Held for as long as this lives.
    _lock: File,
}

impl Mender {
    /// Opens the journal below a state folder, and keeps others away from it.
    ///
    /// # Errors
    /// When the folder cannot be written, or another doctor is at work.
    pub fn open(root: &Path, state_dir: &Path) -> Result<Mender, Error> {
        let journal = state_dir.join("doctor");
        fs::create_dir_all(&journal).map_err(file("create", &journal))?;
        let path = journal.join("lock");
        let lock = File::create(&path).map_err(file("open", &path))?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| Error::Busy)?;
        Ok(Mender {
            root: root.to_owned(),
            journal,
            _lock: lock,
        })
    }

    /// Makes changes. `interrupted` is asked before each.
    ///
    /// # Errors
    /// When a change cannot be made or somebody interrupts; then all is as before, or the error says what is not.
    pub fn apply(
        &self,
        checks: &[String],
        changes: &[Change],
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Record, Error> {
        let number = self.records()?.last().map_or(1, |r| r.number + 1);
        let mut record = Record {
            number,
            checks: checks.to_vec(),
            entries: Vec::new(),
        };
        for change in changes {
            let made = if interrupted() {
                Err(Error::Interrupted)
            } else {
                self.make(&mut record, change)
            };
            if let Err(cause) = made {
                let left = self.take_back(&mut record).left;
                return Err(match left.as_slice() {
                    [] => cause,
                    left => Error::Both {
                        cause: Box::new(cause),
                        cleanup: left.join("; "),
                    },
                });
            }
        }
        Ok(record)
    }

    fn make(&self, record: &mut Record, change: &Change) -> Result<(), Error> {
        let before = self.before(change)?;
        record.entries.push(Entry {
            change: change.clone(),
            before,
            progress: Progress::Begun,
        });
        self.save(record)?;
        let at = record.entries.len() - 1;
        self.execute(change, &record.entries[at].before)?;
        record.entries[at].progress = Progress::Done;
        self.save(record)
    }

    /// Takes back the newest run that is not taken back yet; None when there is none.
    ///
    /// # Errors
    /// When the journal cannot be read or written. Changes that cannot be taken back are named in the answer.
    pub fn undo(&self) -> Result<Option<Undone>, Error> {
        let mut records = self.records()?;
        let open = |r: &Record| r.entries.iter().any(|e| e.progress != Progress::Undone);
        let Some(record) = records.iter_mut().rfind(|r| open(r)) else {
            return Ok(None);
        };
        Ok(Some(self.take_back(record)))
    }

    /// The runs, oldest first.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn records(&self) -> Result<Vec<Record>, Error> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.journal).map_err(file("read", &self.journal))? {
            let path = entry.map_err(file("read", &self.journal))?.path();
            if path.extension().is_some_and(|e| e == "json") {
                let text = fs::read_to_string(&path).map_err(file("read", &path))?;
                found.push(
                    serde_json::from_str::<Record>(&text).map_err(|e| file("understand", &path)(e.into()))?,
                );
            }
        }
        found.sort_by_key(|r| r.number);
        Ok(found)
    }

    fn take_back(&self, record: &mut Record) -> Undone {
        let mut undone = Undone {
            checks: record.checks.clone(),
            ..Undone::default()
        };
        for at in (0..record.entries.len()).rev() {
            let entry = record.entries[at].clone();
            if entry.progress == Progress::Undone {
                continue;
            }
            match self.restore(&entry) {
                Ok(()) => {
                    record.entries[at].progress = Progress::Undone;
                    undone.changes.push(entry.change);
                }
                // It stays in the journal, so that undo can be run again.
                Err(e) => undone.left.push(e.to_string()),
            }
            if let Err(e) = self.save(record) {
                undone.left.push(e.to_string());
            }
        }
        undone
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    fn parameter(&self, key: &str) -> PathBuf {
        self.path(&format!("/proc/sys/{}", key.replace('.', "/")))
    }

    fn is_loaded(&self, module: &str) -> bool {
        let text = fs::read_to_string(self.path("/proc/modules")).unwrap_or_default();
        text.lines().any(|l| l.split(' ').next() == Some(module))
    }

    fn before(&self, change: &Change) -> Result<Before, Error> {
        Ok(match change {
            Change::WriteFile { path, before, .. } => {
                let path = self.path(path);
                if path.is_symlink() {
                    return Err(Error::Link(path));
                }
                let text = text_of(&path)?;
                if text != *before {
                    return Err(Error::Changed(path));
                }
                let mode = fs::metadata(&path).map_or(0o644, |m| m.mode() & 0o7777);
                let mut made: Vec<PathBuf> = path
                    .ancestors()
                    .skip(1)
                    .take_while(|d| !d.exists())
                    .map(Path::to_owned)
                    .collect();
                made.reverse();
                Before::File { text, mode, made }
            }
            Change::SetSysctl { key, .. } => {
                let path = self.parameter(key);
                // A module loaded by an earlier change makes it appear; before that it has no value.
                let value = fs::read_to_string(&path).map_err(file("read", &path))?;
                Before::Parameter {
                    value: value.trim().to_owned(),
                }
            }
            Change::LoadModule { name } => Before::Module {
                loaded: self.is_loaded(name),
            },
            Change::SwapOff { .. } => Before::Swap,
        })
    }

    fn execute(&self, change: &Change, before: &Before) -> Result<(), Error> {
        match (change, before) {
            (Change::WriteFile { path, after, .. }, Before::File { mode, made, .. }) => {
                for folder in made {
                    fs::create_dir(folder).map_err(file("create", folder))?;
                }
                write_atomically(&self.path(path), after, *mode)
            }
            (Change::SetSysctl { key, value }, _) => self.set(key, value),
            (Change::LoadModule { name }, _) => run("modprobe", &["--", name]),
            (Change::SwapOff { device }, _) => run("swapoff", &["--", device]),
            (Change::WriteFile { .. }, _) => Ok(()),
        }
    }

    fn set(&self, key: &str, value: &str) -> Result<(), Error> {
        let path = self.parameter(key);
        let failed = |reason: String| Error::Parameter {
            key: key.to_owned(),
            value: value.to_owned(),
            reason,
        };
        fs::write(&path, format!("{value}\n")).map_err(|e| failed(e.to_string()))?;
        let now = fs::read_to_string(&path).map_err(|e| failed(e.to_string()))?;
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        if words(&now) == words(value) {
            Ok(())
        } else {
            Err(failed(format!("it is {} afterwards", now.trim())))
        }
    }

    fn restore(&self, entry: &Entry) -> Result<(), Error> {
        match (&entry.change, &entry.before) {
            (Change::WriteFile { path, after, .. }, Before::File { text, mode, made }) => {
                let path = self.path(path);
                if path.is_symlink() {
                    return Err(Error::Link(path));
                }
                let now = text_of(&path)?;
                if now != *text {
                    // Neither ours nor the old one: somebody has worked on it since.
                    if now.as_deref() != Some(after) {
                        return Err(Error::Changed(path));
                    }
                    match text {
                        Some(text) => write_atomically(&path, text, *mode)?,
                        None => fs::remove_file(&path).map_err(file("remove", &path))?,
                    }
                }
                for folder in made.iter().rev() {
                    // Not empty: others use it by now.
                    let _ = fs::remove_dir(folder);
                }
                Ok(())
            }
            (Change::SetSysctl { key, value }, Before::Parameter { value: old }) => {
                let path = self.parameter(key);
                let now = fs::read_to_string(&path).unwrap_or_default();
                let same = |a: &str, b: &str| a.split_whitespace().eq(b.split_whitespace());
                // After a reboot it has another value, or none; that is nothing of ours.
                if same(&now, value) && !same(&now, old) {
                    self.set_raw(key, old)
                } else {
                    Ok(())
                }
            }
            (Change::LoadModule { name }, Before::Module { loaded: false }) if self.is_loaded(name) => {
                run("modprobe", &["-r", "--", name])
            }
            (Change::SwapOff { device }, Before::Swap) => {
                let active = fs::read_to_string(self.path("/proc/swaps")).unwrap_or_default();
                if active
                    .lines()
                    .any(|l| l.split_whitespace().next() == Some(device))
                {
                    Ok(())
                } else {
                    run("swapon", &["--", device])
                }
            }
            _ => Ok(()),
        }
    }

    /// Like `set`, for values that the kernel may show in another form, the empty one among them.
    fn set_raw(&self, key: &str, value: &str) -> Result<(), Error> {
        fs::write(self.parameter(key), format!("{value}\n")).map_err(|e| Error::Parameter {
            key: key.to_owned(),
            value: value.to_owned(),
            reason: e.to_string(),
        })
    }

    fn save(&self, record: &Record) -> Result<(), Error> {
        let path = self.journal.join(format!("{:06}.json", record.number));
        let text = serde_json::to_string_pretty(record).map_err(|e| file("write", &path)(e.into()))?;
        write_atomically(&path, &text, 0o600)
    }
}

fn file(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { verb, path, source }
}

fn text_of(path: &Path) -> Result<Option<String>, Error> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(file("read", path)(e)),
    }
}

/// A file beside it, on disk, then renamed over it: a reader sees the old text or the new one, also after a power cut.
fn write_atomically(path: &Path, text: &str, mode: u32) -> Result<(), Error> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.cncfdemo-{}", std::process::id()));
    let written = (|| {
        let mut new = File::create(&temporary)?;
        new.set_permissions(fs::Permissions::from_mode(mode))?;
        if let Ok(old) = fs::metadata(path) {
            std::os::unix::fs::fchown(&new, Some(old.uid()), Some(old.gid()))?;
        }
        new.write_all(text.as_bytes())?;
        new.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
    })();
    written.map_err(|e| {
        let _ = fs::remove_file(&temporary);
        file("write", path)(e)
    })
}

fn run(program: &str, arguments: &[&str]) -> Result<(), Error> {
    let said = |reason: String| Error::Program {
        program: format!("{program} {}", arguments.join(" ")),
        reason,
    };
    let output = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .map_err(|e| said(e.to_string()))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(said(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Machine {
        dir: tempfile::TempDir,
    }

    impl Machine {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir_all(dir.path().join("proc/sys/net/ipv4")).unwrap();
            fs::create_dir_all(dir.path().join("etc")).unwrap();
            fs::write(dir.path().join("proc/sys/net/ipv4/ip_forward"), "0\n").unwrap();
            fs::write(dir.path().join("etc/fstab"), "old\n").unwrap();
            Self { dir }
        }

        fn mender(&self) -> Mender {
            Mender::open(self.dir.path(), &self.dir.path().join("state")).unwrap()
        }

        /// Every file with its text, but for the journal.
        fn picture(&self) -> Vec<(String, String)> {
            fn walk(dir: &Path, into: &mut Vec<(String, String)>) {
                for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
                    let path = entry.path();
                    if path.ends_with("state") {
                        continue;
                    }
                    if path.is_dir() {
                        into.push((path.display().to_string(), String::new()));
                        walk(&path, into);
                    } else {
                        into.push((
                            path.display().to_string(),
                            fs::read_to_string(&path).unwrap().trim().to_owned(),
                        ));
                    }
                }
            }
            let mut all = Vec::new();
            walk(self.dir.path(), &mut all);
            all.sort();
            all
        }
    }

    fn changes() -> Vec<Change> {
        vec![
            Change::WriteFile {
                path: "/etc/sysctl.d/z.conf".into(),
                before: None,
                after: "net.ipv4.ip_forward = 1\n".into(),
            },
            Change::WriteFile {
                path: "/etc/fstab".into(),
                before: Some("old\n".into()),
                after: "new\n".into(),
            },
            Change::SetSysctl {
                key: "net.ipv4.ip_forward".into(),
                value: "1".into(),
            },
        ]
    }

    #[test]
    fn what_is_made_is_taken_back() {
        let machine = Machine::new();
        let before = machine.picture();
        machine
            .mender()
            .apply(&["forwarding".into()], &changes(), &|| false)
            .unwrap();
        assert_eq!(
            fs::read_to_string(machine.dir.path().join("etc/fstab")).unwrap(),
            "new\n"
        );
        assert_ne!(machine.picture(), before);
        let undone = machine.mender().undo().unwrap().unwrap();
        assert_eq!((undone.changes.len(), undone.left.len()), (3, 0));
        assert_eq!(machine.picture(), before);
        assert_eq!(machine.mender().undo().unwrap(), None);
    }

    #[test]
    fn an_interruption_at_any_point_leaves_the_machine_as_found() {
        for after in 0..3 {
            let machine = Machine::new();
            let before = machine.picture();
            let asked = std::cell::Cell::new(0);
            let interrupted = || asked.replace(asked.get() + 1) == after;
            let end = machine.mender().apply(&[], &changes(), &interrupted);
            assert!(matches!(end, Err(Error::Interrupted)));
            assert_eq!(machine.picture(), before);
        }
    }

    #[test]
    fn a_program_that_was_killed_in_between_can_be_undone() {
        let machine = Machine::new();
        let before = machine.picture();
        let mender = machine.mender();
        let record = mender.apply(&[], &changes(), &|| false).unwrap();
        // As it lies on disk when the program dies before the second change's end.
        let mut torn = record;
        torn.entries.truncate(2);
        torn.entries[1].progress = Progress::Begun;
        mender.save(&torn).unwrap();
        fs::write(machine.dir.path().join("etc/fstab"), "old\n").unwrap();
        fs::write(machine.dir.path().join("proc/sys/net/ipv4/ip_forward"), "0\n").unwrap();
        assert!(mender.undo().unwrap().unwrap().left.is_empty());
        assert_eq!(machine.picture(), before);
    }

    #[test]
    fn what_others_changed_is_left_alone() {
        let machine = Machine::new();
        fs::write(machine.dir.path().join("etc/fstab"), "another\n").unwrap();
        let before = machine.picture();
        assert!(matches!(
            machine.mender().apply(&[], &changes(), &|| false),
            Err(Error::Changed(_))
        ));
        assert_eq!(machine.picture(), before);

        let machine = Machine::new();
        machine.mender().apply(&[], &changes(), &|| false).unwrap();
        fs::write(machine.dir.path().join("etc/fstab"), "edited since\n").unwrap();
        let undone = machine.mender().undo().unwrap().unwrap();
        assert_eq!((undone.changes.len(), undone.left.len()), (2, 1));
        assert_eq!(
            fs::read_to_string(machine.dir.path().join("etc/fstab")).unwrap(),
            "edited since\n"
        );
    }

    #[test]
    fn two_doctors_do_not_work_at_once() {
        let machine = Machine::new();
        let _first = machine.mender();
        let second = Mender::open(machine.dir.path(), &machine.dir.path().join("state"));
        assert!(matches!(second, Err(Error::Busy)));
    }
}
