//! What is wrong with an expression, and where (cel-go `common/error.go`).

/// One thing that is wrong with an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// Where, in bytes from the beginning; `None` for the whole.
    pub at: Option<usize>,
    /// What.
    pub message: String,
}

/// Longest line that is shown (`maxSnippetLength`).
const LONGEST: usize = 16_384;

/// So many issues are told (cel-go `common/errors.go` maxErrorsToReport): each shows its line.
const MOST: usize = 100;

/// The first issues as cel-go prints them: one paragraph each, with the line and a mark below it.
pub fn display(source: &str, issues: &[Issue]) -> String {
    let (told, others) = issues.split_at(issues.len().min(MOST));
    let mut sorted: Vec<&Issue> = told.iter().collect();
    sorted.sort_by_key(|issue| issue.at);
    let mut all: Vec<String> = sorted.iter().map(|issue| one(source, issue)).collect();
    if !others.is_empty() {
        all.push(format!("{} more errors were truncated", others.len()));
    }
    all.join("\n")
}

fn one(source: &str, issue: &Issue) -> String {
    let Some(at) = issue.at else {
        return format!("ERROR: <input>:-1:0: {}", issue.message);
    };
    if source.is_empty() {
        return format!("ERROR: <input>:1:0: {}", issue.message);
    }
    let before = source.get(..at.min(source.len())).unwrap_or(source);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count();
    let text = source.split('\n').nth(line - 1).unwrap_or_default();
    let mut shown = format!("ERROR: <input>:{line}:{}: {}", column + 1, issue.message);
    if text.len() <= LONGEST {
        let text = text.replace('\t', " ");
        let wide = |c: char| c.len_utf8() > 1;
        let mut mark: String = text
            .chars()
            .take(column)
            .map(|c| if wide(c) { '\u{ff0e}' } else { '.' })
            .collect();
        mark.push(match text.chars().nth(column) {
            Some(c) if wide(c) => '\u{ff3e}',
            _ => '^',
        });
        shown.push_str(&format!("\n | {text}\n | {mark}"));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_has_no_line() {
        let issue = Issue {
            at: Some(0),
            message: "m".to_owned(),
        };
        assert_eq!(display("", &[issue]), "ERROR: <input>:1:0: m");
    }

    #[test]
    fn a_hundred_are_told() {
        let issue = Issue {
            at: Some(0),
            message: "no".to_owned(),
        };
        let told = display("x", &vec![issue; 1_000]);
        assert!(told.ends_with("\n900 more errors were truncated"), "{told}");
        assert_eq!(told.matches("ERROR").count(), 100);
    }

    #[test]
    fn a_mark_stands_below_its_place() {
        let issue = |at| Issue {
            at: Some(at),
            message: "no".to_owned(),
        };
        assert_eq!(
            display("a\nself.x", &[issue(6)]),
            "ERROR: <input>:2:5: no\n | self.x\n | ....^"
        );
        assert_eq!(
            display("ä+b", &[issue(3)]),
            "ERROR: <input>:1:3: no\n | ä+b\n | \u{ff0e}.^"
        );
    }
}
