//! Exponential delays as client-go's flowcontrol.Backoff keeps them: the first failure is free, the next wait doubles, and a long
//! calm resets it.
use jiff::{SignedDuration, Timestamp};

/// A growing delay.
#[derive(Debug, Clone)]
pub struct Backoff {
    initial: SignedDuration,
    max: SignedDuration,
    current: Option<(SignedDuration, Timestamp)>,
}

impl Backoff {
    /// Delay between restarts of a container: 10 s to 5 min (MaxContainerBackOff).
    pub fn crash_loop() -> Self {
        Self {
            initial: SignedDuration::from_secs(10),
            max: SignedDuration::from_secs(300),
            current: None,
        }
    }

    /// Delay between attempts to pull an image: the same figures.
    pub fn image_pull() -> Self {
        Self::crash_loop()
    }

    /// Delay between attempts to mount a volume (goroutinemap's: 500 ms to about 2 min).
    pub fn volume() -> Self {
        Self {
            initial: SignedDuration::from_millis(500),
            max: SignedDuration::from_secs(122),
            current: None,
        }
    }

    /// When the next attempt is allowed, given when the last one failed; `None` is at once.
    pub fn blocked_until(&self, since: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let (delay, updated) = self.current?;
        if since.duration_since(updated) > self.max * 2 {
            return None;
        }
        let until = since + delay;
        (now < until).then_some(until)
    }

    /// Notes an attempt; returns nothing, see [`Backoff::delay`].
    pub fn next(&mut self, now: Timestamp) {
        let delay = match self.current {
            Some((delay, updated)) if now.duration_since(updated) <= self.max * 2 => {
                (delay * 2).min(self.max)
            }
            _ => self.initial,
        };
        self.current = Some((delay, now));
    }

    /// The delay in force.
    pub fn delay(&self) -> SignedDuration {
        self.current.map_or(SignedDuration::ZERO, |(delay, _)| delay)
    }

    /// Back to the beginning.
    pub fn reset(&mut self) {
        self.current = None;
    }
}

/// `10s`, `2m40s`, as Go prints durations of whole seconds.
pub fn go_seconds(delay: SignedDuration) -> String {
    let all = delay.as_secs();
    let (hours, minutes, seconds) = (all / 3600, all / 60 % 60, all % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_restart_is_immediate_then_it_doubles() {
        let t0 = Timestamp::UNIX_EPOCH;
        let at = |seconds: i64| t0 + SignedDuration::from_secs(seconds);
        let mut backoff = Backoff::crash_loop();
        assert_eq!(backoff.blocked_until(at(0), at(0)), None);
        backoff.next(at(0));
        assert_eq!(backoff.blocked_until(at(1), at(1)), Some(at(11)));
        assert_eq!(backoff.blocked_until(at(1), at(11)), None);
        backoff.next(at(11));
        assert_eq!(go_seconds(backoff.delay()), "20s");
        for _ in 0..10 {
            backoff.next(at(20));
        }
        assert_eq!(go_seconds(backoff.delay()), "5m0s");
        // Ten quiet minutes make it a first failure again.
        assert_eq!(backoff.blocked_until(at(700), at(700)), None);
        backoff.next(at(700));
        assert_eq!(go_seconds(backoff.delay()), "10s");
    }
}
