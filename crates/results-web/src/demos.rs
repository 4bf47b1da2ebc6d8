use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Error;

/// A demo that somebody runs somewhere: new, then updated as often as there is news, then stopped or finished.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Demo {
    /// Its id, chosen by whoever runs it.
    pub id: String,
    /// Where it stands.
    pub state: State,
    /// When it was new, RFC 3339.
    pub created: String,
    /// When it changed last.
    pub updated: String,
    /// What is told about it: progress, figures, links.
    #[serde(default)]
    pub data: Map<String, Value>,
}

/// Where a demo stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Under way.
    Running,
    /// Taken down before its end.
    Stopped,
    /// Done.
    Finished,
}

/// An id that fits: 1 to 64 letters, digits, `-` and `_`.
pub(crate) fn check_id(id: &str) -> Result<(), Error> {
    let fits = (1..=64).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if fits {
        Ok(())
    } else {
        Err(Error::Invalid(
            "an id is 1 to 64 letters, digits, - and _".to_owned(),
        ))
    }
}

impl Demo {
    /// A new one.
    pub(crate) fn new(id: &str, data: Map<String, Value>) -> Demo {
        let now = jiff::Timestamp::now().to_string();
        Demo {
            id: id.to_owned(),
            state: State::Running,
            created: now.clone(),
            updated: now,
            data,
        }
    }

    /// With news: fields that are told replace those that were.
    pub(crate) fn told(mut self, data: Map<String, Value>) -> Result<Demo, Error> {
        self.still_running("updated")?;
        self.data.extend(data);
        self.updated = jiff::Timestamp::now().to_string();
        Ok(self)
    }

    /// Ended one way or the other; ending it again the same way changes nothing.
    pub(crate) fn ended(mut self, state: State) -> Result<Demo, Error> {
        if self.state != state {
            self.still_running(if state == State::Finished {
                "finished"
            } else {
                "stopped"
            })?;
            self.state = state;
            self.updated = jiff::Timestamp::now().to_string();
        }
        Ok(self)
    }

    fn still_running(&self, what: &str) -> Result<(), Error> {
        let over = match self.state {
            State::Running => return Ok(()),
            State::Stopped => "stopped",
            State::Finished => "finished",
        };
        Err(Error::Conflict(format!(
            "demo `{}` is {over} and cannot be {what}",
            self.id
        )))
    }
}
