use serde::{Deserialize, Serialize};

/// What the application's own counters say of the requests of a run: counted, not sampled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Counted {
    /// Requests answered with a 2xx status, over all loads of the run.
    pub acknowledged: u64,
    /// Requests that were sent and not acknowledged; each may have been counted or not.
    pub uncertain: u64,
    /// Requests counted by the store, as its readers are told, before the first load.
    pub before: u64,
    /// And after the last.
    pub after: u64,
}

impl Counted {
    /// Requests that the store has counted while the loads ran.
    pub fn in_store(&self) -> u64 {
        self.after.saturating_sub(self.before)
    }

    /// Acknowledged requests that are not in the store.
    pub fn lost(&self) -> u64 {
        self.acknowledged.saturating_sub(self.in_store())
    }

    /// Requests in the store that nobody sent in these loads: others wrote too, or something was counted twice.
    pub fn surplus(&self) -> u64 {
        self.in_store()
            .saturating_sub(self.acknowledged.saturating_add(self.uncertain))
    }

    /// The verdict in a sentence.
    pub fn verdict(&self) -> String {
        let (lost, surplus) = (self.lost(), self.surplus());
        let counted = format!(
            "{} acknowledged, {} not acknowledged, {} in the store",
            self.acknowledged,
            self.uncertain,
            self.in_store()
        );
        if lost > 0 {
            format!("{counted}: {lost} acknowledged requests are LOST")
        } else if surplus > 0 {
            format!(
                "{counted}: {surplus} more than were sent, so others wrote meanwhile or some were counted twice"
            )
        } else {
            format!("{counted}: every acknowledged request is there")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_and_what_is_too_much_is_said() {
        let counted = |after| Counted {
            acknowledged: 100,
            uncertain: 5,
            before: 10,
            after,
        };
        assert!(
            counted(110)
                .verdict()
                .ends_with("every acknowledged request is there")
        );
        assert!(
            counted(115)
                .verdict()
                .ends_with("every acknowledged request is there")
        );
        assert_eq!((counted(109).lost(), counted(116).surplus()), (1, 1));
        assert!(
            counted(109)
                .verdict()
                .contains("1 acknowledged requests are LOST")
        );
    }
}
