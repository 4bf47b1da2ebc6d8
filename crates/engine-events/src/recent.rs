//! A bounded memory of what was used of late.
use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasher, Hash, RandomState},
};

use jiff::Timestamp;

/// As many as client-go keeps in each of its caches (maxLruCacheEntries).
const MOST: usize = 4096;

/// What stands for a key: 64 bits of a keyed hash. Of 4,096 keys two are taken for one another once in 10¹² times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(u64);

/// Values by the digest of their key. When there are too many, the half that was not used for longest is forgotten.
#[derive(Debug)]
pub struct Recent<T> {
    hasher: RandomState,
    values: HashMap<Digest, (T, Timestamp)>,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            values: HashMap::new(),
        }
    }
}

impl<T> Recent<T> {
    /// What stands for `key` here, and in no other memory.
    pub fn digest(&self, key: impl Hash) -> Digest {
        Digest(self.hasher.hash_one(key))
    }

    /// What is known of `key`, used at `at`.
    pub fn get(&mut self, key: Digest, at: Timestamp) -> Option<&mut T> {
        let (value, used) = self.values.get_mut(&key)?;
        *used = at;
        Some(value)
    }

    /// As [`Recent::get`], `new` if nothing is known.
    pub fn get_or(&mut self, key: Digest, at: Timestamp, new: impl FnOnce() -> T) -> &mut T {
        if self.values.len() >= MOST && !self.values.contains_key(&key) {
            self.forget_half();
        }
        let (value, used) = match self.values.entry(key) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert((new(), at)),
        };
        *used = at;
        value
    }

    /// `value` is what is known of `key` now, used at `at`.
    pub fn put(&mut self, key: Digest, value: T, at: Timestamp) {
        self.remove(key);
        self.get_or(key, at, || value);
    }

    /// Nothing is known of `key` any more.
    pub fn remove(&mut self, key: Digest) {
        self.values.remove(&key);
    }

    /// Forgets what `over` says is over, and gives it.
    pub fn take_if(&mut self, mut over: impl FnMut(&T) -> bool) -> Vec<T> {
        let taken = self.values.extract_if(|_, (value, _)| over(value));
        taken.map(|(_, (value, _))| value).collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    fn forget_half(&mut self) {
        let mut times: Vec<Timestamp> = self.values.values().map(|(_, used)| *used).collect();
        let half = times.len() / 2;
        let (_, middle, _) = times.select_nth_unstable(half);
        let middle = *middle;
        self.values.retain(|_, (_, used)| *used > middle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_half_goes_when_there_are_too_many() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut recent = Recent::default();
        let most = i64::try_from(MOST).unwrap();
        for n in 0..most {
            recent.put(recent.digest(n), n, at(n));
        }
        assert_eq!(recent.len(), MOST);
        let first = recent.digest(0_i64);
        assert_eq!(recent.get(first, at(most)).copied(), Some(0));
        let new = recent.digest(most);
        assert_eq!(*recent.get_or(new, at(most), || most), most);
        assert!(recent.len() <= MOST / 2 + 2);
        assert!(recent.get(first, at(most)).is_some(), "it was used of late");
        assert!(recent.get(recent.digest(1_i64), at(most)).is_none());
        assert!(recent.get(recent.digest(most - 1), at(most)).is_some());
        let ended = recent.take_if(|n| (1..most).contains(n));
        assert_eq!((ended.len() + 2, recent.len()), (MOST / 2, 2));
    }

    #[test]
    fn many_at_one_time_are_all_forgotten() {
        let now = Timestamp::from_second(1).unwrap();
        let mut recent = Recent::default();
        for n in 0..=MOST {
            recent.put(recent.digest(n), n, now);
        }
        assert_eq!(recent.len(), 1, "there is no telling which are older");
    }
}
