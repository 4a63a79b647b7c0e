//! Opens files only below a given folder, for definitions that the operator has not written: those of the API and of
//! backends.
//!
//! Walks the path component by component, each relative to the open descriptor of its parent, and follows no symbolic
//! link, so nothing can change between a check and its use. Blocks like any file access: call it on threads that may
//! wait for a disk.

use std::{
    fs::File,
    io,
    path::{Component, Path},
};

use rustix::{
    fd::OwnedFd,
    fs::{FileType, Mode, OFlags},
    io::Errno,
};

/// The purpose of opening a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Read,
    /// Appends; creates the file and its parent folders if they do not exist.
    Append,
}

/// Opens the regular file `path`, which must be below `folder`.
///
/// # Errors
/// Errors of the system; `Unsupported` for a path that leaves the folder or passes a symbolic link, and for anything
/// but a regular file.
pub(crate) fn open_below(folder: &Path, path: &Path, purpose: Purpose) -> io::Result<File> {
    let rest = path
        .strip_prefix(folder)
        .map_err(|_| refused("it is not in the folder to which it is restricted"))?;
    let names: Option<Vec<_>> = rest
        .components()
        .map(|component| match component {
            Component::Normal(name) => Some(name),
            _ => None,
        })
        .collect();
    let names = names.ok_or_else(|| refused("its path has a component \"..\""))?;
    let Some((name, parents)) = names.split_last() else {
        return Err(refused("it is a folder"));
    };
    // The folder itself belongs to the operator, and may be a link.
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut at = rustix::fs::open(folder, flags, Mode::empty())?;
    for parent in parents {
        at = enter(&at, parent, purpose)?;
    }
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let flags = flags
        | match purpose {
            Purpose::Read => OFlags::RDONLY,
            Purpose::Append => OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE,
        };
    let file = match rustix::fs::openat(&at, *name, flags, Mode::from_raw_mode(0o666)) {
        Err(Errno::LOOP) => return Err(refused("it is a symbolic link")),
        // A FIFO without a reader, or a socket.
        Err(Errno::NXIO) => return Err(refused("it is not a regular file")),
        opened => opened?,
    };
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode);
    match kind {
        FileType::RegularFile => Ok(File::from(file)),
        _ => Err(refused("it is not a regular file")),
    }
}

fn enter(at: &OwnedFd, name: &std::ffi::OsStr, purpose: Purpose) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || rustix::fs::openat(at, name, flags, Mode::empty());
    let opened = match open() {
        Err(Errno::NOENT) if purpose == Purpose::Append => {
            match rustix::fs::mkdirat(at, name, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => open(),
                Err(error) => Err(error),
            }
        }
        opened => opened,
    };
    match opened {
        Err(Errno::NOTDIR | Errno::LOOP) => Err(refused(
            "its path contains a symbolic link, or a component that is not a folder",
        )),
        opened => Ok(opened?),
    }
}

/// A permanent error: retrying is pointless until somebody changes the definition or the files.
fn refused(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, why)
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::{Read as _, Write as _},
        os::unix::fs::symlink,
    };

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn files_below_the_folder_are_opened_and_made() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("rec");
        fs::create_dir(&folder).unwrap();
        let path = folder.join("a/b/x.ts");
        for part in ["one", "two"] {
            let mut file = open_below(&folder, &path, Purpose::Append).unwrap();
            file.write_all(part.as_bytes()).unwrap();
        }
        let mut text = String::new();
        let mut file = open_below(&folder, &path, Purpose::Read).unwrap();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "onetwo");
        let missing = open_below(&folder, &folder.join("none"), Purpose::Read).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        // The operator's folder may itself be a link.
        symlink(&folder, root.path().join("link")).unwrap();
        open_below(
            &root.path().join("link"),
            &root.path().join("link/a/b/x.ts"),
            Purpose::Read,
        )
        .unwrap();
    }

    #[test]
    fn nothing_leads_out_of_the_folder() {
        let root = tempfile::tempdir().unwrap();
        let (folder, outside) = (root.path().join("rec"), root.path().join("outside"));
        for made in [&folder, &outside, &folder.join("sub")] {
            fs::create_dir(made).unwrap();
        }
        fs::write(outside.join("secret"), "root's").unwrap();
        symlink(outside.join("secret"), folder.join("file-link")).unwrap();
        symlink(&outside, folder.join("folder-link")).unwrap();
        symlink("../outside", folder.join("relative-link")).unwrap();
        symlink(outside.join("made"), folder.join("dangling")).unwrap();
        symlink("/", folder.join("sub/root")).unwrap();
        let fifo = std::process::Command::new("mkfifo")
            .arg(folder.join("fifo"))
            .status();
        assert!(fifo.unwrap().success());
        for path in [
            "file-link",
            "folder-link/secret",
            "folder-link/made",
            "relative-link/secret",
            "dangling",
            "sub/root/etc/passwd",
            "sub/root/dev/null",
            "../outside/secret",
            "sub/../../outside/secret",
            "fifo",
            "sub",
            "",
        ] {
            for purpose in [Purpose::Read, Purpose::Append] {
                let error = open_below(&folder, &folder.join(path), purpose).unwrap_err();
                let is_folder = error.raw_os_error() == Some(Errno::ISDIR.raw_os_error());
                assert!(
                    error.kind() == io::ErrorKind::Unsupported || is_folder,
                    "{path}: {error:?}"
                );
            }
        }
        open_below(&folder, Path::new("/etc/passwd"), Purpose::Read).unwrap_err();
        assert_eq!(fs::read(outside.join("secret")).unwrap(), b"root's");
        assert_eq!(
            fs::read_dir(&outside).unwrap().count(),
            1,
            "nothing was made there"
        );
    }

    #[test]
    fn a_device_is_not_opened() {
        open_below(Path::new("/dev"), Path::new("/dev/null"), Purpose::Append).unwrap_err();
        open_below(Path::new("/dev"), Path::new("/dev/zero"), Purpose::Read).unwrap_err();
    }

    proptest! {
        /// For any path, everything that is created is below the folder.
        #[test]
        fn no_path_escapes(parts in proptest::collection::vec("\\.{0,3}|[a-z]{1,3}|up|/|\\.\\./out", 1..6)) {
            let root = tempfile::tempdir().unwrap();
            let (folder, outside) = (root.path().join("rec"), root.path().join("out"));
            fs::create_dir(&folder).unwrap();
            fs::create_dir(&outside).unwrap();
            symlink("..", folder.join("up")).unwrap();
            let path = std::path::PathBuf::from(format!("{}/{}", folder.display(), parts.join("/")));
            drop(open_below(&folder, &path, Purpose::Append));
            prop_assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
            prop_assert_eq!(fs::read_dir(root.path()).unwrap().count(), 2);
        }
    }
}
