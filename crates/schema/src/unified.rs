//! Unified diffs as `go-difflib` (a port of Python's `difflib`) makes them: longest matching blocks first, lines that are frequent in
//! a long text not taken as anchors, three lines of context.

use std::{collections::HashMap, fmt::Write, ops::Range};

const CONTEXT: usize = 3;

/// Beyond this many lines the search would take too long: only the common beginning and end are kept apart.
const MAX_LINES: usize = 5000;

/// The difference of two texts, hunks only, without file names.
pub(crate) fn unified_diff(old: &str, new: &str) -> String {
    let (a, b): (Vec<&str>, Vec<&str>) = (old.split('\n').collect(), new.split('\n').collect());
    let mut out = String::new();
    for hunk in hunks(changes(&a, &b)) {
        let (Some(first), Some(last)) = (hunk.first(), hunk.last()) else {
            continue;
        };
        let (old, new) = (first.old.start..last.old.end, first.new.start..last.new.end);
        let _ = writeln!(out, "@@ -{} +{} @@", range(&old), range(&new));
        for step in hunk {
            if step.equal {
                push_lines(&mut out, ' ', &a[step.old.clone()]);
            } else {
                push_lines(&mut out, '-', &a[step.old.clone()]);
                push_lines(&mut out, '+', &b[step.new.clone()]);
            }
        }
    }
    out
}

fn push_lines(out: &mut String, sign: char, lines: &[&str]) {
    for line in lines {
        let _ = writeln!(out, "{sign}{line}");
    }
}

fn range(lines: &Range<usize>) -> String {
    match lines.len() {
        0 => format!("{},0", lines.start),
        1 => (lines.start + 1).to_string(),
        length => format!("{},{length}", lines.start + 1),
    }
}

/// A stretch that is equal, or one that replaces another.
#[derive(Debug, Clone)]
struct Step {
    equal: bool,
    old: Range<usize>,
    new: Range<usize>,
}

/// Steps from one text to the other.
fn changes(a: &[&str], b: &[&str]) -> Vec<Step> {
    let mut blocks = if a.len().max(b.len()) > MAX_LINES {
        let start = a.iter().zip(b).take_while(|(x, y)| x == y).count();
        let ends = a[start..].iter().rev().zip(b[start..].iter().rev());
        let end = ends.take_while(|(x, y)| x == y).count();
        vec![(0, 0, start), (a.len() - end, b.len() - end, end)]
    } else {
        matching_blocks(a, b)
    };
    blocks.push((a.len(), b.len(), 0));
    let (mut i, mut j) = (0, 0);
    let mut steps: Vec<Step> = Vec::new();
    for (old, new, size) in blocks {
        if i < old || j < new {
            steps.push(Step {
                equal: false,
                old: i..old,
                new: j..new,
            });
        }
        (i, j) = (old + size, new + size);
        if size > 0 {
            match steps.last_mut() {
                // Adjacent blocks are one.
                Some(last) if last.equal && last.old.end == old && last.new.end == new => {
                    last.old.end = i;
                    last.new.end = j;
                }
                _ => steps.push(Step {
                    equal: true,
                    old: old..i,
                    new: new..j,
                }),
            }
        }
    }
    steps
}

/// Where each line of `b` is; a line that makes up more than a hundredth of 200 or more lines is no anchor.
fn anchors<'a>(b: &[&'a str]) -> HashMap<&'a str, Vec<usize>> {
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for (j, line) in b.iter().enumerate() {
        places.entry(line).or_default().push(j);
    }
    if b.len() >= 200 {
        places.retain(|_, at| at.len() <= b.len() / 100 + 1);
    }
    places
}

/// Blocks of equal lines, in order. Without recursion: it could go as deep as there are lines.
fn matching_blocks(a: &[&str], b: &[&str]) -> Vec<(usize, usize, usize)> {
    let anchors = anchors(b);
    let mut blocks = Vec::new();
    let mut waiting = vec![(0..a.len(), 0..b.len())];
    while let Some((old, new)) = waiting.pop() {
        let (i, j, size) = longest_match(a, b, &anchors, &old, &new);
        if size > 0 {
            blocks.push((i, j, size));
            waiting.push((old.start..i, new.start..j));
            waiting.push((i + size..old.end, j + size..new.end));
        }
    }
    blocks.sort_unstable();
    blocks
}

/// The longest run that both have, the first of equals; grown over lines that are no anchors.
fn longest_match(
    a: &[&str],
    b: &[&str],
    anchors: &HashMap<&str, Vec<usize>>,
    old: &Range<usize>,
    new: &Range<usize>,
) -> (usize, usize, usize) {
    let (mut best_i, mut best_j, mut size) = (old.start, new.start, 0);
    let mut lengths: HashMap<usize, usize> = HashMap::new();
    for i in old.clone() {
        let mut next = HashMap::new();
        for &j in anchors
            .get(a[i])
            .into_iter()
            .flatten()
            .filter(|j| new.contains(j))
        {
            let length = j
                .checked_sub(1)
                .and_then(|p| lengths.get(&p))
                .copied()
                .unwrap_or(0)
                + 1;
            next.insert(j, length);
            if length > size {
                (best_i, best_j, size) = (i + 1 - length, j + 1 - length, length);
            }
        }
        lengths = next;
    }
    while best_i > old.start && best_j > new.start && a[best_i - 1] == b[best_j - 1] {
        (best_i, best_j, size) = (best_i - 1, best_j - 1, size + 1);
    }
    while best_i + size < old.end && best_j + size < new.end && a[best_i + size] == b[best_j + size] {
        size += 1;
    }
    (best_i, best_j, size)
}

/// Changes with their context; two that are near each other share a hunk.
fn hunks(steps: Vec<Step>) -> Vec<Vec<Step>> {
    let mut hunks = Vec::new();
    let mut hunk: Vec<Step> = Vec::new();
    let count = steps.len();
    for (index, mut step) in steps.into_iter().enumerate() {
        if step.equal {
            let length = step.old.len();
            if index == 0 {
                let skip = length.saturating_sub(CONTEXT);
                step.old.start += skip;
                step.new.start += skip;
            } else if index + 1 == count {
                let skip = length.saturating_sub(CONTEXT);
                step.old.end -= skip;
                step.new.end -= skip;
            } else if length > 2 * CONTEXT {
                let (old, new) = (step.old.clone(), step.new.clone());
                hunk.push(Step {
                    equal: true,
                    old: old.start..old.start + CONTEXT,
                    new: new.start..new.start + CONTEXT,
                });
                hunks.push(std::mem::take(&mut hunk));
                step.old.start = old.end - CONTEXT;
                step.new.start = new.end - CONTEXT;
            }
        }
        hunk.push(step);
    }
    if hunk.iter().any(|step| !step.equal) {
        hunks.push(hunk);
    }
    hunks
}

#[cfg(test)]
mod tests {
    use super::unified_diff;

    #[test]
    fn hunks_and_ranges() {
        assert_eq!(unified_diff("a\nb", "a\nb"), "");
        assert_eq!(
            unified_diff("a\nb\nc", "a\nx\nc"),
            "@@ -1,3 +1,3 @@\n a\n-b\n+x\n c\n"
        );
        assert_eq!(unified_diff("a", "b"), "@@ -1 +1 @@\n-a\n+b\n");
        let long: Vec<String> = (0..20_000).map(|i| (i % 7).to_string()).collect();
        let mut changed = long.clone();
        changed[9_000] = "x".to_owned();
        changed.remove(9_001);
        let diff = unified_diff(&long.join("\n"), &changed.join("\n"));
        assert_eq!(
            diff,
            "@@ -8998,8 +8998,7 @@\n 2\n 3\n 4\n-5\n-6\n+x\n 0\n 1\n 2\n"
        );
        let old: Vec<String> = (0..20).map(|i| i.to_string()).collect();
        let mut new = old.clone();
        new[2] = "x".to_owned();
        new[17] = "y".to_owned();
        assert_eq!(
            unified_diff(&old.join("\n"), &new.join("\n")),
            "@@ -1,6 +1,6 @@\n 0\n 1\n-2\n+x\n 3\n 4\n 5\n@@ -15,6 +15,6 @@\n 14\n 15\n 16\n-17\n+y\n 18\n 19\n"
        );
    }
}
