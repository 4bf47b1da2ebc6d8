//! What a check is. One definition feeds the tool, the JSON document, the reference pages and the exit status.
use serde::{Deserialize, Serialize};

use crate::cloud::CloudFacts;
use crate::cluster::ClusterFacts;
use crate::facts::Facts;
use crate::fix::Change;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Pass,
    /// It could not or need not be judged; the finding says why.
    Skip,
    /// It will work, with a limitation.
    Warn,
    /// It cannot work, or will break later.
    Fail,
}

/// What a machine is to become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// A node of a Kubernetes cluster.
    Node,
    /// A node that also runs the control plane.
    ControlPlane,
    /// The host of cncfdemo's embedded cluster.
    LocalEngine,
    /// A node on which MongoDB will run.
    Mongodb,
}

/// What the machine is judged for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// What it is to become.
    pub profile: Profile,
    /// Kubernetes' minor version: the 36 of 1.36.
    pub kubernetes: u32,
    /// The time of judging, seconds since 1970.
    pub now: i64,
}

impl Wanted {
    /// The newest Kubernetes that the tables know.
    pub fn new(profile: Profile, now: i64) -> Self {
        Self {
            profile,
            kubernetes: crate::versions::NEWEST,
            now,
        }
    }
}

/// What a check looks at.
#[derive(Debug, Clone, Copy)]
pub enum Judge {
    /// One machine.
    Machine(fn(&Facts, &Wanted) -> Verdict),
    /// Several machines together.
    Fleet(fn(&[Facts], &Wanted) -> Verdict),
    /// A cluster, by its API.
    Cluster(fn(&ClusterFacts, &Wanted) -> Verdict),
    /// A cloud account, by its API.
    Cloud(fn(&CloudFacts) -> Verdict),
}

/// One check.
#[derive(Debug)]
pub struct Check {
    /// Stable name.
    pub id: &'static str,
    /// What should be so.
    pub title: &'static str,
    /// Which facts.
    pub looks_at: &'static str,
    /// Why it matters.
    pub story: &'static str,
    /// What is seen later, when nothing is done.
    pub later: &'static str,
    /// What to do, so that it lasts over a reboot.
    pub fix: &'static str,
    /// How to take that back.
    pub undo: &'static str,
    /// How to see that it worked.
    pub verify: &'static str,
    /// For whom; only machines have profiles.
    pub profiles: &'static [Profile],
    /// The judgement.
    pub judge: Judge,
}

/// What a judgement comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// How bad.
    pub level: Level,
    /// What was seen.
    pub seen: String,
    /// A remedy for just this case, over the check's general one.
    pub fix: Option<String>,
    /// What `--fix` would do.
    pub changes: Vec<Change>,
}

impl Verdict {
    fn new(level: Level, seen: impl Into<String>) -> Self {
        Self {
            level,
            seen: seen.into(),
            fix: None,
            changes: Vec::new(),
        }
    }

    /// As it should be.
    pub fn pass(seen: impl Into<String>) -> Self {
        Self::new(Level::Pass, seen)
    }

    /// Not judged, and why.
    pub fn skip(why: impl Into<String>) -> Self {
        Self::new(Level::Skip, why)
    }

    /// A limitation.
    pub fn warn(seen: impl Into<String>) -> Self {
        Self::new(Level::Warn, seen)
    }

    /// Broken, now or later.
    pub fn fail(seen: impl Into<String>) -> Self {
        Self::new(Level::Fail, seen)
    }

    /// With this remedy.
    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// With what `--fix` would do.
    pub fn changes(mut self, changes: Vec<Change>) -> Self {
        self.changes = changes;
        self
    }
}

/// One judgement, with all that its check says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The check.
    pub id: String,
    /// How bad.
    pub level: Level,
    /// The machine, where several are judged.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub machine: String,
    /// What should be so.
    #[serde(default)]
    pub title: String,
    /// What was seen, or why it was not judged.
    pub seen: String,
    /// What is seen later, when nothing is done.
    #[serde(default)]
    pub later: String,
    /// What to do about it.
    pub fix: String,
    /// How to take that back.
    #[serde(default)]
    pub undo: String,
    /// How to see that it worked.
    #[serde(default)]
    pub verify: String,
    /// The reference page.
    #[serde(default)]
    pub doc: String,
    /// What `--fix` would do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
}

impl Check {
    /// A finding from a verdict of this check.
    pub fn finding(&self, verdict: Verdict) -> Finding {
        Finding {
            id: self.id.to_owned(),
            level: verdict.level,
            machine: String::new(),
            title: self.title.to_owned(),
            seen: verdict.seen,
            later: self.later.to_owned(),
            fix: verdict.fix.unwrap_or_else(|| self.fix.to_owned()),
            undo: self.undo.to_owned(),
            verify: self.verify.to_owned(),
            doc: format!("docs/reference/doctor/{}.md", self.id),
            changes: verdict.changes,
        }
    }
}
