//! Links an installed libsrt (feature `system`), found by pkg-config.

use crate::{Library, Result};

const OLDEST: &str = "1.5.1";

pub(crate) fn link() -> Result<Library> {
    let library = pkg_config::Config::new().atleast_version(OLDEST).probe("srt").map_err(|e| {
        format!(
            "feature `system` needs an installed libsrt >= {OLDEST}, which pkg-config does not find. \
             Install it (Debian: apt-get install pkg-config libsrt-openssl-dev), point PKG_CONFIG_PATH at it, \
             or build without the feature to use the pinned source.\n{e}"
        )
    })?;
    // srt.h includes its companions by their bare names; pkg-config files of distributors name only the parent folder.
    let mut include: Vec<_> = library
        .include_paths
        .iter()
        .flat_map(|path| [path.clone(), path.join("srt")])
        .collect();
    include.push("/usr/include/srt".into());
    include.retain(|path| path.join("srt.h").is_file());
    Ok(Library {
        version: library.version,
        include,
        header_defines: &[],
        edits: Vec::new(),
        crypto: "of the installed library".to_owned(),
    })
}
