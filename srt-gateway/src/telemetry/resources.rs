//! Detects that the process is running out of descriptors or memory.
//!
//! The watchdog checks once a second. The gates refuse new callers during a shortage, so that existing sessions keep
//! what is left. Callers are admitted again as soon as it is over.

use std::{
    collections::VecDeque,
    fmt, fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU8, AtomicU32, Ordering::Relaxed},
    },
};

use rustix::{
    param::page_size,
    process::{Resource, getrlimit},
};

/// Descriptors that must stay free: a bonded caller takes two, a file or a backend's connection one each.
const FREE_DESCRIPTORS: u64 = 16;

/// Memory that must stay free below a limit: what a burst of callers may take between two checks.
const FREE_MEMORY: u64 = 32 << 20;

/// Memory that a caller may take within seconds after it was admitted, before a check can measure it: a viewer that is
/// behind holds its bitrate times its latency, and libsrt's own part is about 50 KiB.
const MEMORY_PER_CALLER: u64 = 1 << 20;

/// The number of checks after which a caller's memory shows.
const LOOKS_UNTIL_SEEN: usize = 4;

/// The number of checks between two listings of the control groups: the process may be moved, or a limit be set.
const LOOKS_PER_LIST: u32 = 30;

/// The resource that is short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shortage {
    Descriptors,
    Memory,
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Descriptors => {
                "the gateway is out of file descriptors: raise LimitNOFILE= of its unit, or ulimit -n"
            }
            Self::Memory => "the gateway is close to its memory limit: raise it, or serve fewer sessions",
        })
    }
}

/// The last check, and the callers since.
#[derive(Debug)]
pub(crate) struct Resources {
    shortage: AtomicU8,
    /// Callers that may be admitted before the next check.
    room: AtomicU32,
    watched: Mutex<Watched>,
}

impl Default for Resources {
    fn default() -> Self {
        Self {
            shortage: AtomicU8::default(),
            room: AtomicU32::new(u32::MAX),
            watched: Mutex::default(),
        }
    }
}

/// State of the watchdog only.
#[derive(Debug, Default)]
struct Watched {
    groups: ControlGroups,
    /// The allowance of the last check.
    given: Option<u32>,
    /// Callers between the last checks, the latest last.
    recent: VecDeque<u32>,
}

impl Resources {
    /// What is short, if anything. Reserves nothing: refused callers must not use up the allowance of others.
    pub(crate) fn shortage(&self) -> Option<Shortage> {
        match self.shortage.load(Relaxed) {
            1 => Some(Shortage::Descriptors),
            2 => Some(Shortage::Memory),
            _ => None,
        }
    }

    /// Reserves memory for an admitted caller. The reservation expires once the memory shows.
    ///
    /// # Errors
    /// There is not enough.
    pub(crate) fn reserve(&self) -> Result<(), Shortage> {
        let take = |room: u32| match room {
            u32::MAX => Some(room),
            room => room.checked_sub(1),
        };
        let taken = self.room.fetch_update(Relaxed, Relaxed, take);
        taken.map(drop).map_err(|_| Shortage::Memory)
    }

    /// Checks again and logs changes.
    pub(crate) fn check(&self) {
        let shortage = self.find();
        let before = self.shortage();
        let number = match shortage {
            None => 0,
            Some(Shortage::Descriptors) => 1,
            Some(Shortage::Memory) => 2,
        };
        self.shortage.store(number, Relaxed);
        match (before, shortage) {
            (None, Some(shortage)) => tracing::error!("new callers are refused: {shortage}"),
            (Some(_), None) => {
                tracing::info!("new callers are accepted again");
            }
            _ => {}
        }
    }

    fn find(&self) -> Option<Shortage> {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let limits = [address_space(), watched.groups.usage()];
        let free = limits
            .iter()
            .flatten()
            .map(|(used, limit)| free(*used, *limit))
            .min();
        self.room
            .store(watched.room(free, self.room.load(Relaxed)), Relaxed);
        if has_few_descriptors() {
            return Some(Shortage::Descriptors);
        }
        (free == Some(0)).then_some(Shortage::Memory)
    }
}

impl Watched {
    /// How many callers may be admitted until the next check, given the free memory and what is left of the last
    /// allowance.
    fn room(&mut self, free: Option<u64>, left: u32) -> u32 {
        self.recent
            .push_back(self.given.map_or(0, |given| given.saturating_sub(left)));
        if self.recent.len() > LOOKS_UNTIL_SEEN {
            self.recent.pop_front();
        }
        self.given = free.map(|free| {
            let room = u32::try_from(free / MEMORY_PER_CALLER).unwrap_or(u32::MAX - 1);
            room.saturating_sub(self.recent.iter().sum())
        });
        self.given.unwrap_or(u32::MAX)
    }
}

fn has_few_descriptors() -> bool {
    let Some(limit) = getrlimit(Resource::Nofile).current else {
        return false;
    };
    let Some(open) = open_descriptors() else {
        return true;
    };
    open + FREE_DESCRIPTORS > limit
}

/// None: not even the folder could be opened.
fn open_descriptors() -> Option<u64> {
    // Linux 6.2 and later report the number as the folder's size, proc_fd_getattr(); before that the size is 0.
    if let Ok(folder) = fs::metadata("/proc/self/fd")
        && folder.size() > 0
    {
        return Some(folder.size());
    }
    Some(fs::read_dir("/proc/self/fd").ok()?.count() as u64)
}

/// What may still be used: a twentieth of the limit, or at least [`FREE_MEMORY`] but no more than a quarter of a small
/// limit, stays free.
fn free(used: u64, limit: u64) -> u64 {
    let margin = (limit / 20).max(FREE_MEMORY.min(limit / 4));
    limit.saturating_sub(margin).saturating_sub(used)
}

/// Used and allowed bytes of RLIMIT_AS.
fn address_space() -> Option<(u64, u64)> {
    let limit = getrlimit(Resource::As).current?;
    let pages = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = pages.split(' ').next()?.parse().ok()?;
    Some((pages * page_size() as u64, limit))
}

/// The process's memory control groups that have a limit.
#[derive(Debug, Default)]
struct ControlGroups {
    limited: Vec<(PathBuf, Version)>,
    looks: u32,
}

impl ControlGroups {
    /// Used and allowed bytes of the group with the least left.
    fn usage(&mut self) -> Option<(u64, u64)> {
        if self.looks == 0 {
            let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
            self.limited = folders(&groups);
            self.limited
                .retain(|(folder, version)| usage(folder, *version).is_some());
        }
        self.looks = (self.looks + 1) % LOOKS_PER_LIST;
        self.limited
            .iter()
            .filter_map(|(folder, version)| usage(folder, *version))
            .min_by_key(|(used, limit)| free(*used, *limit))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// The folders of the memory groups in /proc/self/cgroup, with all their parents: any may have a limit.
fn folders(groups: &str) -> Vec<(PathBuf, Version)> {
    let mut folders = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let (root, version) = match controllers {
            "" => ("/sys/fs/cgroup", Version::Two),
            "memory" => ("/sys/fs/cgroup/memory", Version::One),
            _ => continue,
        };
        // Within a container, the path may be one of the host's: then the root is the container's own group.
        for above in Path::new(path.trim_start_matches('/')).ancestors() {
            folders.push((Path::new(root).join(above), version));
        }
    }
    folders
}

/// Without memory that the kernel can drop at once: cached files.
fn usage(folder: &Path, version: Version) -> Option<(u64, u64)> {
    let (used, limit, droppable) = match version {
        Version::One => (
            "memory.usage_in_bytes",
            "memory.limit_in_bytes",
            "total_inactive_file ",
        ),
        Version::Two => ("memory.current", "memory.max", "inactive_file "),
    };
    let number = |name: &str| {
        fs::read_to_string(folder.join(name))
            .ok()?
            .trim()
            .parse::<u64>()
            .ok()
    };
    let (limit, used) = (number(limit)?, number(used)?);
    // The kernel computes this file on each read, so it is read only when it matters.
    if free(used, limit) > limit / 4 {
        return Some((used, limit));
    }
    let stat = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
    let droppable = stat
        .lines()
        .find_map(|line| line.strip_prefix(droppable)?.parse().ok());
    Some((used.saturating_sub(droppable.unwrap_or(0)), limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_groups_of_both_versions_are_found_with_those_above() {
        let found = folders("4:memory:/a/b\n3:cpuset:/x\n0::/c\n");
        let of = |version| -> Vec<_> {
            let of_version = found.iter().filter(|(_, found)| *found == version);
            of_version.map(|(folder, _)| folder.to_str().unwrap()).collect()
        };
        let one = [
            "/sys/fs/cgroup/memory/a/b",
            "/sys/fs/cgroup/memory/a",
            "/sys/fs/cgroup/memory/",
        ];
        assert_eq!(of(Version::One), one);
        assert_eq!(of(Version::Two), ["/sys/fs/cgroup/c", "/sys/fs/cgroup/"]);
    }

    #[test]
    fn limits_are_read_without_what_can_be_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("memory.max", "max\n");
        write("memory.current", "990\n");
        assert_eq!(usage(folder.path(), Version::Two), None);
        write("memory.max", "1000\n");
        write("memory.stat", "anon 600\ninactive_file 300\n");
        assert_eq!(usage(folder.path(), Version::Two), Some((690, 1000)));
    }

    #[test]
    fn memory_for_a_burst_of_callers_stays_free() {
        const MIB: u64 = 1 << 20;
        assert_eq!((free(44 * MIB, 60 * MIB), free(45 * MIB, 60 * MIB)), (MIB, 0));
        assert_eq!((free(479 * MIB, 512 * MIB), free(480 * MIB, 512 * MIB)), (MIB, 0));
        assert_eq!(free(3_800 * MIB, 4_000 * MIB), 0);
    }

    #[test]
    fn callers_between_looks_are_counted_until_their_memory_shows() {
        const MIB: u64 = 1 << 20;
        let mut watched = Watched::default();
        assert_eq!(watched.room(None, u32::MAX), u32::MAX);
        assert_eq!(watched.room(Some(100 * MIB), u32::MAX), 100);
        // Sixty callers came, and their memory does not show yet.
        assert_eq!(watched.room(Some(100 * MIB), 40), 40);
        assert_eq!(watched.room(Some(100 * MIB), 0), 0);
        // Now it does.
        for _ in 0..LOOKS_UNTIL_SEEN {
            watched.room(Some(10 * MIB), 0);
        }
        assert_eq!(watched.room(Some(10 * MIB), 10), 10);

        let resources = Resources::default();
        assert_eq!(resources.reserve(), Ok(()));
        resources.room.store(1, Relaxed);
        // Attempts that are refused, or repeated while a hook decides.
        assert_eq!((resources.shortage(), resources.shortage()), (None, None));
        assert_eq!(
            (resources.reserve(), resources.reserve()),
            (Ok(()), Err(Shortage::Memory))
        );
    }

    #[test]
    fn open_descriptors_are_counted() {
        let before = open_descriptors().unwrap();
        let files: Vec<_> = (0..20).map(|_| fs::File::open("/dev/null").unwrap()).collect();
        // Other tests of this process open and close some in the meantime.
        assert!(open_descriptors().unwrap() >= before + 10, "{before}");
        drop(files);
    }

    #[test]
    fn a_machine_with_enough_has_no_shortage() {
        let resources = Resources::default();
        resources.check();
        assert_eq!(resources.shortage(), None);
    }
}
