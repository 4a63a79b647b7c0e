//! Installs what the tasks need besides cargo, from the distribution's packages, and reports clearly if it cannot.

use crate::cargo::root;
use crate::steps::run;
use anyhow::{Result, bail};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Whether a task may install missing packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Install {
    Allowed,
    Forbidden,
}

/// A requirement of a task.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Need {
    what: &'static str,
    /// The Debian (and Ubuntu) package.
    package: &'static str,
    is_there: fn() -> bool,
}

/// Compiles libsrt.
pub(crate) const CXX: Need = Need {
    what: "a C++ compiler",
    package: "g++",
    is_there: || env::var_os("CXX").is_some() || in_path("c++").is_some(),
};

/// A peer of the end-to-end tests.
pub(crate) const SRT_TOOLS: Need = Need {
    what: "srt-live-transmit",
    package: "srt-tools",
    is_there: || in_path("srt-live-transmit").is_some(),
};

/// Another peer of the end-to-end tests.
pub(crate) const FFMPEG: Need = Need {
    what: "ffmpeg and ffprobe",
    package: "ffmpeg",
    is_there: || in_path("ffmpeg").is_some() && in_path("ffprobe").is_some(),
};

/// Peers of the interoperability tests.
pub(crate) const GSTREAMER: Need = Need {
    what: "gst-launch-1.0 with the SRT plugin",
    package: "gstreamer1.0-tools gstreamer1.0-plugins-bad",
    is_there: || works("gst-inspect-1.0", &["--exists", "srtsrc"]),
};
pub(crate) const VLC: Need = Need {
    what: "VLC with the SRT plugins",
    package: "vlc-bin vlc-plugin-base vlc-plugin-access-extra",
    is_there: || {
        in_path("vlc").is_some()
            && works(
                "sh",
                &["-c", "ls /usr/lib/*/vlc/plugins/access/libaccess_srt_plugin.so"],
            )
    },
};
pub(crate) const MPV: Need = Need {
    what: "mpv",
    package: "mpv",
    is_there: || in_path("mpv").is_some(),
};

/// Installs packages from PyPI for [`from_pypi`].
pub(crate) const PIP: Need = Need {
    what: "Python 3 with pip",
    package: "python3-pip",
    is_there: || works("python3", &["-m", "pip", "--version"]),
};

/// Bundles the console, and runs its tests.
pub(crate) const NODE: Need = Need {
    what: "Node.js",
    package: "nodejs",
    is_there: || in_path("node").is_some(),
};

/// Fetches the packages that the console is made of.
pub(crate) const NPM: Need = Need {
    what: "npm",
    package: "npm",
    is_there: || in_path("npm").is_some(),
};

/// Views the console like a user.
pub(crate) const CHROMIUM: Need = Need {
    what: "Chromium",
    package: "chromium",
    is_there: || in_path("chromium").is_some(),
};

/// Scrapes the gateway in a test of its metrics.
pub(crate) const PROMETHEUS: Need = Need {
    what: "prometheus and promtool",
    package: "prometheus",
    is_there: || in_path("prometheus").is_some() && in_path("promtool").is_some(),
};

/// Reads libsrt's headers for bindgen.
pub(crate) const LIBCLANG: Need = Need {
    what: "libclang",
    package: "libclang-dev",
    is_there: has_libclang,
};

/// Installs all missing `needs`.
///
/// # Errors
/// If something is missing and may not or cannot be installed here; the message says what and how.
pub(crate) fn ensure(needs: &[Need], install: Install) -> Result<()> {
    let missing: Vec<Need> = needs.iter().copied().filter(|need| !(need.is_there)()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing
        .iter()
        .map(|need| need.what)
        .collect::<Vec<_>>()
        .join(", ");
    let packages: Vec<&str> = missing.iter().flat_map(|need| need.package.split(' ')).collect();
    let by_hand = format!(
        "missing: {names}; install (Debian and Ubuntu: apt-get install {})",
        packages.join(" ")
    );
    if install == Install::Forbidden {
        bail!("{by_hand}, or leave out --no-install");
    }
    if in_path("apt-get").is_none() {
        bail!("{by_hand}; apt-get is not available");
    }
    eprintln!("installing with apt-get: {}", packages.join(" "));
    let mut install = vec!["install", "-y", "--no-install-recommends"];
    install.extend(packages);
    for arguments in [vec!["update"], install] {
        let Some(mut command) = as_root() else {
            bail!("{by_hand}; apt-get needs root, and sudo is not available");
        };
        run(command
            .args(["DEBIAN_FRONTEND=noninteractive", "apt-get"])
            .args(arguments))?;
    }
    match missing.iter().find(|need| !(need.is_there)()) {
        Some(need) => bail!(
            "{} is still missing after its package {} was installed",
            need.what,
            need.package
        ),
        None => Ok(()),
    }
}

/// Peers of the interoperability tests from PyPI, and the folder of each.
const PYTHON: [(&str, &str); 2] = [
    ("imageio-ffmpeg==0.8.1", "imageio_ffmpeg-0.8.1.dist-info"),
    ("tstrans==0.8.0", "tstrans-0.8.0.dist-info"),
];

/// Installs the peers from PyPI into `target/interop/python`, where the tests look for them.
///
/// # Errors
/// If one is missing and may not or cannot be installed here; the message says how.
pub(crate) fn from_pypi(install: Install) -> Result<()> {
    let folder = root().join("target/interop/python");
    let missing: Vec<&str> = PYTHON
        .into_iter()
        .filter(|(_, mark)| !folder.join(mark).is_dir())
        .map(|(package, _)| package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut command = Command::new("python3");
    command
        .args(["-m", "pip", "install", "--no-deps", "--upgrade", "--target"])
        .arg(&folder)
        .args(&missing);
    if install == Install::Forbidden {
        bail!(
            "missing: {}; run {command:?}, or leave out --no-install",
            missing.join(", ")
        );
    }
    run(&mut command)
}

/// Whether a program exists and succeeds.
fn works(program: &str, arguments: &[&str]) -> bool {
    let output = Command::new(program).args(arguments).output();
    output.is_ok_and(|output| output.status.success())
}

/// `env` as root, with sudo if needed; `None` if neither is possible.
fn as_root() -> Option<Command> {
    let id = Command::new("id").arg("-u").output().ok()?;
    if id.stdout.trim_ascii() == b"0" {
        return Some(Command::new("env"));
    }
    let mut command = Command::new(in_path("sudo")?);
    command.arg("env");
    Some(command)
}

fn in_path(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

/// Looks where Debian and its relatives install libclang, like bindgen's loader.
fn has_libclang() -> bool {
    let named = env::var_os("LIBCLANG_PATH").is_some();
    let folders = ["/usr/lib", "/usr/lib64", "/usr/local/lib"].map(Path::new);
    let nested = folders
        .iter()
        .flat_map(|folder| entries(folder))
        .flat_map(|folder| [folder.join("lib"), folder]);
    named
        || folders
            .iter()
            .map(|folder| folder.to_path_buf())
            .chain(nested)
            .any(|folder| {
                entries(&folder)
                    .iter()
                    .filter_map(|entry| entry.file_name()?.to_str())
                    .any(is_libclang)
            })
}

/// Not libclang-cpp, which comes with LLVM's tools and which bindgen cannot use.
fn is_libclang(name: &str) -> bool {
    let versioned =
        name.starts_with("libclang-") && !name.starts_with("libclang-cpp") && name.contains(".so");
    name.starts_with("libclang.so") || versioned
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let listed = fs::read_dir(folder).into_iter().flatten();
    listed.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

#[cfg(test)]
mod tests {
    use super::{Install, Need, ensure, is_libclang};

    const THERE: Need = Need {
        what: "a shell",
        package: "dash",
        is_there: || true,
    };
    const NOWHERE: Need = Need {
        what: "a unicorn",
        package: "unicorn",
        is_there: || false,
    };

    #[test]
    fn nothing_missing_installs_nothing() {
        ensure(&[THERE], Install::Forbidden).unwrap();
    }

    #[test]
    fn missing_is_named_with_its_package() {
        let message = ensure(&[THERE, NOWHERE], Install::Forbidden)
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("missing: a unicorn;") && message.contains("apt-get install unicorn"),
            "{message}"
        );
    }

    #[test]
    fn libclang_is_told_from_its_relatives() {
        assert!(
            is_libclang("libclang.so") && is_libclang("libclang-14.so.1") && is_libclang("libclang.so.18")
        );
        assert!(!is_libclang("libclang-cpp.so.14") && !is_libclang("libclangAST.so"));
    }
}
