//! Whether the process is about to run out of descriptors or memory.
//!
//! The watchdog looks once a second; the gates ask, and refuse new callers while there is a shortage, so that what is left
//! goes to the sessions that there are. A caller that comes later is let in: nothing has to be reset.

use std::{
    fmt, fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
};

use rustix::{
    param::page_size,
    process::{Resource, getrlimit},
};

/// Descriptors that must be free: a bonded caller takes two, a file or a backend's connection one each.
const FREE_DESCRIPTORS: u64 = 16;

/// Memory that must be free below a limit: what a burst of callers may take between two looks.
const FREE_MEMORY: u64 = 32 << 20;

/// Looks until the control groups are listed anew: the process may be moved to another, or a limit set on one.
const LOOKS_PER_LIST: u32 = 30;

/// What there is too little of.
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

/// The last look.
#[derive(Debug, Default)]
pub(crate) struct Resources {
    shortage: AtomicU8,
    groups: Mutex<ControlGroups>,
}

impl Resources {
    /// What is short; None: there is enough of everything.
    pub(crate) fn shortage(&self) -> Option<Shortage> {
        match self.shortage.load(Relaxed) {
            1 => Some(Shortage::Descriptors),
            2 => Some(Shortage::Memory),
            _ => None,
        }
    }

    /// Looks again, and logs what has changed.
    pub(crate) fn look(&self) {
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
        if has_few_descriptors() {
            return Some(Shortage::Descriptors);
        }
        let is_near = |(used, limit)| is_near(used, limit);
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        (address_space().is_some_and(is_near) || groups.are_near_their_limit()).then_some(Shortage::Memory)
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
    // Linux 6.2 and later give the number as the folder's size, proc_fd_getattr(); before that the size is 0.
    if let Ok(folder) = fs::metadata("/proc/self/fd")
        && folder.size() > 0
    {
        return Some(folder.size());
    }
    Some(fs::read_dir("/proc/self/fd").ok()?.count() as u64)
}

/// Whether new callers are to be refused: less than a twentieth of the limit is free, or than [`FREE_MEMORY`], of which a
/// small limit counts a quarter of itself at most.
fn is_near(used: u64, limit: u64) -> bool {
    let margin = (limit / 20).max(FREE_MEMORY.min(limit / 4));
    used >= limit.saturating_sub(margin)
}

/// Used and allowed, of RLIMIT_AS.
fn address_space() -> Option<(u64, u64)> {
    let limit = getrlimit(Resource::As).current?;
    let pages = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = pages.split(' ').next()?.parse().ok()?;
    Some((pages * page_size() as u64, limit))
}

/// The memory control groups with a limit that the process belongs to.
#[derive(Debug, Default)]
struct ControlGroups {
    limited: Vec<(PathBuf, Version)>,
    looks: u32,
}

impl ControlGroups {
    fn are_near_their_limit(&mut self) -> bool {
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
            .any(|(used, limit)| is_near(used, limit))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// The folders of the memory groups that /proc/self/cgroup names, with all above them: any may have a limit.
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
        // Within a container the path may be one of the host's: then the root is the container's own group.
        for above in Path::new(path.trim_start_matches('/')).ancestors() {
            folders.push((Path::new(root).join(above), version));
        }
    }
    folders
}

/// Without what the kernel can drop at once: files that were read or written.
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
    // The kernel adds up this file at each reading: only when it matters.
    if !is_near(used, limit) {
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
        assert!(!is_near(44 * MIB, 60 * MIB) && is_near(45 * MIB, 60 * MIB));
        assert!(!is_near(479 * MIB, 512 * MIB) && is_near(480 * MIB, 512 * MIB));
        assert!(!is_near(3_890 * MIB, 4_096 * MIB) && is_near(3_892 * MIB, 4_096 * MIB));
    }

    #[test]
    fn open_descriptors_are_counted() {
        let before = open_descriptors().unwrap();
        let files: Vec<_> = (0..20).map(|_| fs::File::open("/dev/null").unwrap()).collect();
        // Other tests of this process open and close some meanwhile.
        assert!(open_descriptors().unwrap() >= before + 10, "{before}");
        drop(files);
    }

    #[test]
    fn a_machine_with_enough_has_no_shortage() {
        let resources = Resources::default();
        resources.look();
        assert_eq!(resources.shortage(), None);
    }
}
