//! What is made of many objects is made by several threads.
use std::{iter, num::NonZero, panic, thread};

/// A thread gets at least so many objects: fewer are done before it has started.
const FEWEST: usize = 100;
/// And so many threads are enough for one answer; others wait for theirs.
const MOST: usize = 4;

/// What `write` adds for each object, in their order, in parts. `None` when it answers so for one of them.
pub fn out<T: Sync>(
    items: &[T],
    write: impl Fn(&mut Vec<u8>, &T) -> Option<()> + Sync,
) -> Option<Vec<Vec<u8>>> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let threads = (items.len() / FEWEST).clamp(1, cores.min(MOST));
    let part = |items: &[T]| {
        let mut out = Vec::new();
        items.iter().try_for_each(|item| write(&mut out, item))?;
        Some(out)
    };
    let mut shares = items.chunks(items.len().div_ceil(threads).max(1));
    let own = shares.next().unwrap_or_default();
    thread::scope(|scope| {
        let others: Vec<_> = shares
            .map(|share| {
                let thread = thread::Builder::new().name("list".to_owned());
                // Where no thread can be had, this one does it.
                thread
                    .spawn_scoped(scope, || part(share))
                    .map_err(|_| part(share))
            })
            .collect();
        let own = part(own);
        let done = others.into_iter().map(|other| match other {
            Ok(thread) => thread.join().unwrap_or_else(|why| panic::resume_unwind(why)),
            Err(done) => done,
        });
        iter::once(own).chain(done).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_in_order() {
        for count in [0, 1, FEWEST, 2 * FEWEST, 10 * FEWEST + 7] {
            let items: Vec<usize> = (0..count).collect();
            let parts = out(&items, |out, item| {
                out.extend_from_slice(&item.to_be_bytes());
                Some(())
            });
            let wanted: Vec<u8> = items.iter().flat_map(|item| item.to_be_bytes()).collect();
            assert_eq!(parts.unwrap().concat(), wanted);
        }
    }

    #[test]
    fn one_that_cannot_be_written_spoils_them_all() {
        let items: Vec<usize> = (0..10 * FEWEST).collect();
        for bad in [0, items.len() - 1] {
            assert_eq!(out(&items, |_, item| (*item != bad).then_some(())), None);
        }
    }
}
