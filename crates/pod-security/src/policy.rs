//! What a namespace asks for with its labels (`api/helpers.go` PolicyToEvaluate).
use serde_json::Value;

use crate::level::{Level, Standard, Version};

/// What all labels and audit annotations of Pod Security begin with.
pub const LABEL_PREFIX: &str = "pod-security.kubernetes.io/";

/// What is refused, noted and warned of in a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Pods that violate it are refused.
    pub enforce: Standard,
    /// Pods and templates that violate it are noted in the audit log.
    pub audit: Standard,
    /// Whoever makes pods or templates that violate it is warned.
    pub warn: Standard,
}

/// A label whose value means nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelError {
    /// The label's key.
    pub label: String,
    /// Its value.
    pub value: String,
    /// What it should be.
    pub detail: &'static str,
}

impl Policy {
    /// The policy of these labels (an object, or nothing). There always is one: a level that cannot be read is `restricted` to those who
    /// enforce and `privileged` to those who only tell; a version that cannot be read is the latest.
    pub fn of_labels(labels: &Value) -> (Self, Vec<LabelError>) {
        let mut reader = Reader {
            labels,
            errors: Vec::new(),
        };
        let enforce_level = reader.level("enforce");
        let enforce = Standard {
            level: match enforce_level {
                Label::Absent => Level::Privileged,
                Label::Means(level) => level,
                Label::Unreadable => Level::Restricted,
            },
            version: reader.version("enforce-version").unwrap_or(Version::Latest),
        };
        let audit = Standard {
            level: reader.level("audit").or_privileged(),
            version: reader.version("audit-version").unwrap_or(Version::Latest),
        };
        let warn_level = reader.level("warn");
        let warn_version = reader.version("warn-version");
        let mut warn = Standard {
            level: warn_level.or_privileged(),
            version: warn_version.unwrap_or(Version::Latest),
        };
        // Whoever enforces and says nothing of warnings warns of the same.
        if warn_level == Label::Absent
            && matches!(enforce_level, Label::Means(_))
            && enforce.level > warn.level
        {
            warn.level = enforce.level;
            if warn_version.is_none() {
                warn.version = enforce.version;
            }
        }
        let policy = Self { enforce, audit, warn };
        (policy, reader.errors)
    }

    /// Whether nothing is refused, noted or warned of.
    pub fn is_privileged(&self) -> bool {
        [self.enforce, self.audit, self.warn]
            .iter()
            .all(|standard| standard.level == Level::Privileged)
    }
}

/// What a label says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Label {
    Absent,
    Unreadable,
    Means(Level),
}

impl Label {
    fn or_privileged(self) -> Level {
        match self {
            Self::Means(level) => level,
            Self::Absent | Self::Unreadable => Level::Privileged,
        }
    }
}

struct Reader<'a> {
    labels: &'a Value,
    errors: Vec<LabelError>,
}

impl Reader<'_> {
    fn value(&self, name: &str) -> Option<&str> {
        self.labels.get(format!("{LABEL_PREFIX}{name}"))?.as_str()
    }

    fn level(&mut self, name: &str) -> Label {
        let Some(text) = self.value(name) else {
            return Label::Absent;
        };
        if let Some(level) = Level::parse(text) {
            return Label::Means(level);
        }
        let value = text.to_owned();
        self.refuse(name, value, "must be one of privileged, baseline, restricted");
        Label::Unreadable
    }

    /// `None` for a label that is not there; one that cannot be read is the latest.
    fn version(&mut self, name: &str) -> Option<Version> {
        let text = self.value(name)?;
        if let Some(version) = Version::parse(text) {
            return Some(version);
        }
        let value = text.to_owned();
        self.refuse(name, value, r#"must be "latest" or "v1.x""#);
        Some(Version::Latest)
    }

    fn refuse(&mut self, name: &str, value: String, detail: &'static str) {
        self.errors.push(LabelError {
            label: format!("{LABEL_PREFIX}{name}"),
            value,
            detail,
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(labels: Value) -> [String; 3] {
        let (policy, errors) = Policy::of_labels(&labels);
        assert_eq!(errors, []);
        [policy.enforce, policy.audit, policy.warn].map(|standard| standard.to_string())
    }

    #[test]
    fn labels_make_a_policy() {
        let privileged = "privileged:latest".to_owned();
        assert_eq!(
            shown(Value::Null),
            [privileged.clone(), privileged.clone(), privileged.clone()]
        );
        assert!(Policy::of_labels(&json!({"a": "b"})).0.is_privileged());
        assert_eq!(
            shown(json!({"pod-security.kubernetes.io/enforce": "baseline",
                "pod-security.kubernetes.io/audit": "restricted", "pod-security.kubernetes.io/audit-version": "v1.25"})),
            ["baseline:latest", "restricted:v1.25", "baseline:latest"],
            "what is enforced is warned of"
        );
        assert_eq!(
            shown(
                json!({"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/enforce-version": "v1.24"})
            ),
            ["restricted:v1.24", "privileged:latest", "restricted:v1.24"]
        );
        assert_eq!(
            shown(
                json!({"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "privileged",
                "pod-security.kubernetes.io/warn-version": "v1.99"})
            ),
            ["restricted:latest", "privileged:latest", "privileged:v1.99"]
        );
    }

    #[test]
    fn labels_that_mean_nothing() {
        let labels = json!({"pod-security.kubernetes.io/enforce": "strict", "pod-security.kubernetes.io/enforce-version": "v1.05",
            "pod-security.kubernetes.io/audit": "", "pod-security.kubernetes.io/warn": "none",
            "pod-security.kubernetes.io/warn-version": "1.25"});
        let (policy, errors) = Policy::of_labels(&labels);
        let standards = [policy.enforce, policy.audit, policy.warn].map(|standard| standard.to_string());
        assert_eq!(
            standards,
            ["restricted:latest", "privileged:latest", "privileged:latest"]
        );
        let errors: Vec<_> = errors
            .iter()
            .map(|e| (e.label.as_str(), e.value.as_str(), e.detail))
            .collect();
        let (level, version) = (
            "must be one of privileged, baseline, restricted",
            r#"must be "latest" or "v1.x""#,
        );
        assert_eq!(
            errors,
            [
                ("pod-security.kubernetes.io/enforce", "strict", level),
                ("pod-security.kubernetes.io/enforce-version", "v1.05", version),
                ("pod-security.kubernetes.io/audit", "", level),
                ("pod-security.kubernetes.io/warn", "none", level),
                ("pod-security.kubernetes.io/warn-version", "1.25", version),
            ]
        );
    }

    #[test]
    fn versions() {
        assert_eq!(Version::parse("v1.0"), Some(Version::Minor(0)));
        assert_eq!(Version::parse("v1.36"), Some(Version::Minor(36)));
        for bad in ["", "v1.", "v1.01", "v2.1", "v1.+1", "v1.1.1", "Latest"] {
            assert_eq!(Version::parse(bad), None, "{bad}");
        }
        assert!(Version::Minor(99) < Version::Latest);
    }
}
