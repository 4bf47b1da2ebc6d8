//! Pages of the program's own file. Whatever ran once stays mapped and counts as the engine's memory, though an idle engine runs in a
//! tenth of it: now and then all of them are let go, and what is needed comes back from the page cache, 64 KiB at a fault.
use std::os::raw::c_void;
use std::time::Duration;

use procfs::process::{MMPermissions, MemoryMap, Process};

/// The first time soon: most of what a start runs is not needed again.
const FIRST: Duration = Duration::from_secs(5);
const EVERY: Duration = Duration::from_secs(15);

/// Lets pages go as long as the engine lives.
pub(super) async fn let_go() {
    let mappings = match of_the_program() {
        Ok(mappings) => mappings,
        Err(error) => {
            tracing::warn!(%error, "the program's mappings cannot be read; its pages stay in memory");
            return;
        }
    };
    tokio::time::sleep(FIRST).await;
    loop {
        mappings.iter().for_each(unmap);
        tokio::time::sleep(EVERY).await;
    }
}

/// What of the program's file is mapped as it is: code and constants, none of the pages that relocation has changed.
fn of_the_program() -> procfs::ProcResult<Vec<MemoryMap>> {
    let all = Process::myself()?.smaps()?.0;
    let here = of_the_program as *const () as u64;
    let own = all
        .iter()
        .find(|map| (map.address.0..map.address.1).contains(&here))
        .map(|map| (map.dev, map.inode));
    let unchanged = |map: &MemoryMap| {
        !map.perms.contains(MMPermissions::WRITE) && map.extension.map.get("Anonymous") == Some(&0)
    };
    let ours = |map: &MemoryMap| Some((map.dev, map.inode)) == own && map.inode != 0;
    Ok(all
        .into_iter()
        .filter(|map| ours(map) && unchanged(map))
        .collect())
}

#[allow(unsafe_code, reason = "no safe wrapper can know what a mapping holds")]
fn unmap(map: &MemoryMap) {
    let (start, end) = map.address;
    // SAFETY: the mapping is the program's own, made by the kernel at exec and never changed since; nothing in it was ever written
    // (see `of_the_program`), so that MADV_DONTNEED (madvise(2)) brings the same bytes back from the file.
    let done = unsafe { libc::madvise(start as *mut c_void, (end - start) as usize, libc::MADV_DONTNEED) };
    if done != 0 {
        tracing::debug!(error = %std::io::Error::last_os_error(), "pages of the program stay in memory");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resident() -> u64 {
        let maps = of_the_program().unwrap();
        maps.iter().map(|map| map.extension.map["Rss"]).sum()
    }

    #[test]
    fn the_programs_pages_go_and_come_back() {
        let maps = of_the_program().unwrap();
        assert!(
            maps.iter().any(|map| map.perms.contains(MMPermissions::EXECUTE)),
            "the code is among them: {maps:?}"
        );
        let before = resident();
        maps.iter().for_each(unmap);
        let after = resident();
        assert!(after < before, "{after} bytes of {before} are mapped");
    }
}
