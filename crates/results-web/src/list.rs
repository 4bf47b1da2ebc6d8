//! The list: filters, search, order and parts, as one question to SQLite.
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use serde::{Deserialize, Serialize};

use crate::{Error, Summary};

/// What to list.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Query {
    /// Words that must all occur in id, start, version, provider, Kubernetes version or command; parts of words too (words of
    /// one or two letters: beginnings).
    pub q: String,
    /// Only this provider.
    pub provider: Option<String>,
    /// Only this version of the program.
    pub version: Option<String>,
    /// From this date (or time of RFC 3339) on.
    pub from: Option<String>,
    /// Before this date or time.
    pub until: Option<String>,
    /// `started` (newest first), `throughput` (highest first), `p50` or `p99` (lowest first).
    pub sort: Option<String>,
    /// The other way round.
    pub reverse: bool,
    /// Skip so many, at most a thousand million.
    pub offset: usize,
    /// Give so many, 1 to 500 (50 when nothing is said).
    pub limit: Option<usize>,
}

/// Parts may have so many.
pub(crate) const MOST: usize = 500;
/// Parts may begin so far from the beginning.
pub(crate) const FARTHEST: usize = 1_000_000_000;

/// A part of the list.
#[derive(Debug, Clone, Serialize)]
pub struct Page {
    /// How many there are in all.
    pub total: usize,
    /// Where this part begins.
    pub offset: usize,
    /// The part.
    pub runs: Vec<Summary>,
}

/// Runs begin in 1970 at the earliest, and before 2200: until then a place fits into 64 bits.
const LAST: i64 = 7_258_118_400;

/// The place in time of a run that began then; `None` for what is no time, or one that no run can have.
pub(crate) fn place(started: &str) -> Option<i64> {
    let time: jiff::Timestamp = started.parse().ok()?;
    let fits = (0..=LAST).contains(&time.as_second());
    fits.then(|| time.as_microsecond() << 10)
}

/// The place of a day's beginning (UTC), or of a time. What lies outside of the times that runs can have is their beginning or
/// their end.
fn day(text: &str) -> Result<i64, Error> {
    let date: Option<jiff::civil::Date> = text.parse().ok().filter(|_| text.len() == 10);
    let time: Option<jiff::Timestamp> = match date {
        Some(date) => date.to_zoned(jiff::tz::TimeZone::UTC).map(|z| z.timestamp()).ok(),
        None => text.parse().ok(),
    };
    let time = time.ok_or_else(|| {
        Error::Invalid(format!(
            "`{text}` is neither a date such as 2026-11-26 nor a time of RFC 3339"
        ))
    })?;
    Ok(time.as_microsecond().clamp(0, LAST * 1_000_000) << 10)
}

/// Words as a question to the index of three letters: each as a phrase. Every indexed token has two spaces before it, so that a
/// word of one or two letters can be looked up as the beginning of one.
fn search(words: &str) -> Option<String> {
    let phrases: Vec<String> = words
        .split_whitespace()
        .map(|word| {
            let letters = word.chars().count();
            let before = " ".repeat(3usize.saturating_sub(letters));
            format!(
                "\"{before}{}\"",
                word.replace('"', "\"\"").replace('\0', "\u{fffd}")
            )
        })
        .collect();
    (!phrases.is_empty()).then(|| phrases.join(" AND "))
}

impl Query {
    /// Parts have this many at most.
    pub(crate) fn size(&self) -> usize {
        self.limit.unwrap_or(50)
    }

    fn check(&self) -> Result<(), Error> {
        if !(1..=MOST).contains(&self.size()) {
            return Err(Error::Invalid(format!("`limit` is from 1 to {MOST}")));
        }
        if self.offset > FARTHEST {
            return Err(Error::Invalid(format!("`offset` is at most {FARTHEST}")));
        }
        Ok(())
    }

    fn order(&self) -> Result<Order, Error> {
        let (index, column, down) = match self.sort.as_deref().unwrap_or_default() {
            "" | "started" => (None, "at", true),
            "throughput" => (Some("runs_throughput"), "throughput", true),
            "p50" => (Some("runs_p50"), "p50", false),
            "p99" => (Some("runs_p99"), "p99", false),
            other => {
                return Err(Error::Invalid(format!(
                    "cannot sort by `{other}`: started, throughput, p50 or p99"
                )));
            }
        };
        let down = down != self.reverse;
        Ok(Order { index, column, down })
    }

    /// What the columns must be.
    fn filters(&self) -> Conditions {
        let mut found = Conditions::default();
        for (condition, wanted) in [("provider = ?", &self.provider), ("version = ?", &self.version)] {
            if let Some(value) = wanted.as_ref().filter(|text| !text.is_empty()) {
                found.add(condition, Value::Text(value.clone()));
            }
        }
        found
    }

    /// When a run must have begun, as conditions to its place, which has that name.
    fn times(&self, place: &str) -> Result<Conditions, Error> {
        let mut found = Conditions::default();
        for (comparison, wanted) in [(">=", &self.from), ("<", &self.until)] {
            if let Some(text) = wanted.as_ref().filter(|text| !text.is_empty()) {
                found.add(&format!("{place} {comparison} ?"), Value::Integer(day(text)?));
            }
        }
        Ok(found)
    }

    pub(crate) fn ask(&self, reader: &Connection) -> Result<Page, Error> {
        self.check()?;
        let order = self.order()?;
        let (total, runs) = match search(&self.q) {
            None => self.filtered(reader, &order)?,
            Some(phrases) => self.searched(reader, &order, phrases)?,
        };
        let runs = runs.iter().map(|text| Ok(serde_json::from_str(text)?));
        Ok(Page {
            total,
            offset: self.offset,
            runs: runs.collect::<Result<_, Error>>()?,
        })
    }

    /// How many runs there are without a search, and the summaries of this part.
    fn filtered(&self, reader: &Connection, order: &Order) -> Result<(usize, Vec<String>), Error> {
        let mut conditions = self.filters();
        conditions.append(self.times("at")?);
        let clause = conditions.clause();
        let total: i64 = reader
            .prepare(&format!("SELECT count(*) FROM runs{clause}"))?
            .query_row(params_from_iter(&conditions.values), |row| row.get(0))?;
        // The rows in their order, until there are enough: sorting all that fit would take longer.
        let mut part = reader.prepare(&format!(
            "SELECT summary FROM runs{}{clause} ORDER BY {} LIMIT {} OFFSET {}",
            order.indexed_by(),
            order.clause(),
            self.size(),
            self.offset
        ))?;
        let rows = part.query_map(params_from_iter(&conditions.values), |row| row.get(0))?;
        Ok((total as usize, rows.collect::<Result<_, _>>()?))
    }

    /// The same with a search. The index of words is walked once, which is what a search costs that many runs fit.
    fn searched(
        &self,
        reader: &Connection,
        order: &Order,
        phrases: String,
    ) -> Result<(usize, Vec<String>), Error> {
        let mut conditions = Conditions::default();
        conditions.add("words MATCH ?", Value::Text(phrases));
        conditions.append(self.times("rowid")?);
        let mut statement = reader.prepare(&format!(
            "SELECT rowid FROM words{} ORDER BY rowid",
            conditions.clause()
        ))?;
        let found = statement.query_map(params_from_iter(&conditions.values), |row| row.get(0))?;
        let found: Vec<i64> = found.collect::<Result<_, _>>()?;

        let filters = self.filters();
        let (total, part) = match (order.index, filters.values.is_empty()) {
            (None, true) => (found.len(), self.part_in_time(found, order)),
            (None, false) => {
                let clause = filters.clause();
                let mut statement = reader.prepare(&format!("SELECT at FROM runs{clause}"))?;
                let places = statement.query_map(params_from_iter(&filters.values), |row| row.get(0))?;
                let mut fit = fitting(places, &found).collect::<Result<Vec<i64>, _>>()?;
                fit.sort_unstable();
                (fit.len(), self.part_in_time(fit, order))
            }
            (Some(_), unfiltered) => {
                let mut statement = reader.prepare(&format!(
                    "SELECT at FROM runs{}{} ORDER BY {}",
                    order.indexed_by(),
                    filters.clause(),
                    order.clause()
                ))?;
                let places = statement.query_map(params_from_iter(&filters.values), |row| row.get(0))?;
                let fit = fitting(places, &found);
                if unfiltered {
                    (found.len(), self.part(fit).collect::<Result<_, _>>()?)
                } else {
                    let fit = fit.collect::<Result<Vec<i64>, _>>()?;
                    (fit.len(), self.part(fit.into_iter()).collect())
                }
            }
        };
        let mut statement = reader.prepare("SELECT summary FROM runs WHERE at = ?")?;
        let summaries = part.iter().map(|at| statement.query_row([at], |row| row.get(0)));
        Ok((total, summaries.collect::<Result<_, _>>()?))
    }

    /// This part of all places in time that fit, which are given in their order.
    fn part_in_time(&self, mut all: Vec<i64>, order: &Order) -> Vec<i64> {
        if order.down {
            all.reverse();
        }
        self.part(all.into_iter()).collect()
    }

    fn part<T>(&self, all: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
        all.skip(self.offset).take(self.size())
    }
}

/// Those of the places that were found, which are sorted.
fn fitting<E>(
    places: impl Iterator<Item = Result<i64, E>>,
    found: &[i64],
) -> impl Iterator<Item = Result<i64, E>> {
    places.filter(|place| place.as_ref().map_or(true, |at| found.binary_search(at).is_ok()))
}

/// The order of a list.
struct Order {
    /// The index to walk; none for that of time, which is the rows' own.
    index: Option<&'static str>,
    column: &'static str,
    down: bool,
}

impl Order {
    fn indexed_by(&self) -> String {
        self.index
            .map_or_else(String::new, |index| format!(" INDEXED BY {index}"))
    }

    fn clause(&self) -> String {
        format!("{} {}", self.column, if self.down { "DESC" } else { "ASC" })
    }
}

/// Conditions of a question to SQLite, with their values.
#[derive(Default)]
struct Conditions {
    texts: Vec<String>,
    values: Vec<Value>,
}

impl Conditions {
    fn add(&mut self, condition: &str, value: Value) {
        self.texts.push(condition.to_owned());
        self.values.push(value);
    }

    fn append(&mut self, other: Conditions) {
        self.texts.extend(other.texts);
        self.values.extend(other.values);
    }

    fn clause(&self) -> String {
        if self.texts.is_empty() {
            return String::new();
        }
        format!(" WHERE {}", self.texts.join(" AND "))
    }
}

/// The different values of a column that begins an index: each is found by a step to the next, not by a look at every row.
pub(crate) fn distinct(reader: &Connection, column: &'static str) -> Result<Vec<String>, Error> {
    let text = format!(
        "WITH RECURSIVE found(value) AS (SELECT min({column}) FROM runs UNION ALL \
         SELECT (SELECT min({column}) FROM runs WHERE {column} > value) FROM found WHERE value IS NOT NULL) \
         SELECT value FROM found WHERE value IS NOT NULL LIMIT 500"
    );
    let mut statement = reader.prepare(&text)?;
    let rows = statement.query_map([], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_places_in_their_order() {
        let early = place("2026-11-22T20:00:00Z").unwrap();
        assert!(early < place("2026-11-22T20:00:00.000001Z").unwrap());
        assert_eq!(Some(early), place("2026-11-22T21:00:00+01:00"));
        assert_eq!(day("2026-11-22").unwrap(), place("2026-11-22T00:00:00Z").unwrap());
        for no_time in ["", "yesterday", "9999-12-31T00:00:00Z", "0001-01-01T00:00:00Z"] {
            assert_eq!(place(no_time), None, "{no_time}");
        }
        assert_eq!(day("0001-01-01").unwrap(), 0);
        assert!(day("2026-11-31").is_err() && day("yesterday").is_err());
    }

    #[test]
    fn words_become_phrases_whatever_is_in_them() {
        assert_eq!(search("  "), None);
        assert_eq!(
            search("loc a\"b* v1").as_deref(),
            Some("\"loc\" AND \"a\"\"b*\" AND \" v1\"")
        );
    }
}
