//! Provides the bindings: the checked-in file, or with feature `bindgen` a fresh one from the library's own headers.

use crate::{Library, Result};

#[cfg(not(feature = "bindgen"))]
pub(crate) fn provide(library: &Library) -> Result<()> {
    // Only the generation reads these; naming them keeps one type for both cases.
    let _ = (&library.include, library.header_defines);
    Ok(())
}

#[cfg(feature = "bindgen")]
pub(crate) fn provide(library: &Library) -> Result<()> {
    use bindgen::EnumVariation::NewType;

    let target = crate::out_dir().join("bindings.rs");
    let bindings = bindgen::Builder::default()
        .header_contents(
            "libsrt.h",
            "#include \"srt.h\"\n#include \"access_control.h\"\n#include \"logging_api.h\"\n",
        )
        .clang_args(library.include.iter().map(|dir| format!("-I{}", dir.display())))
        .clang_args(library.header_defines.iter().map(|define| format!("-D{define}")))
        .allowlist_item("srt_.*|SRT.*|SrtLogHandler.*")
        // libc has these types, and std::net uses libc's.
        .blocklist_type("sockaddr.*|sa_family_t|__.*int.*_t")
        .raw_line("use libc::{sockaddr, sockaddr_storage};")
        // An array of unknown length, deprecated by libsrt itself: srt_rejectreason_str replaces it.
        .blocklist_item("srt_rejectreason_msg|srt_bind_peerof|srt_socket")
        // C returns integers that match no variant; a Rust enum of those would be undefined behaviour.
        .default_enum_style(NewType {
            is_bitfield: false,
            is_global: false,
        })
        .prepend_enum_name(false)
        .derive_debug(true)
        .derive_default(false)
        .layout_tests(true)
        .generate_comments(false)
        .merge_extern_blocks(true)
        .sort_semantically(true)
        .generate()
        .map_err(|e| {
            format!(
                "bindgen: {e}. The feature `bindgen` needs libclang (Debian: apt-get install libclang-dev)."
            )
        })?;
    bindings
        .write_to_file(&target)
        .map_err(|e| format!("cannot write {}: {e}", target.display()))?;
    Ok(())
}
