//! Builds libsrt from source with the `cc` crate, crypto from aws-lc-sys: no cmake, perl, go, nasm or libclang.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use crate::{Library, Result, edits, out_dir, source, source::Source};

/// Sections of the tree's file lists that apply to us.
const CONDITIONS: &[&str] = &["ENABLE_BONDING", "ENABLE_STDCXX_SYNC"];

/// Defines that change the public headers: also passed to bindgen.
const HEADER_DEFINES: &[&str] = &[
    "ENABLE_BONDING=1",
    "ENABLE_AEAD_API_PREVIEW",
    "ENABLE_MAXREXMITBW",
];

/// The remaining defines, as libsrt's CMakeLists.txt sets them for this configuration on Linux.
const DEFINES: &[(&str, Option<&str>)] = &[
    ("NDEBUG", None),
    ("_GNU_SOURCE", None),
    ("LINUX", Some("1")),
    ("HAI_PATCH", Some("1")),
    ("HAI_ENABLE_SRT", Some("1")),
    ("SRT_ENABLE_APP_READER", None),
    ("SRT_ENABLE_CLOSE_SYNCH", None),
    ("HAVE_INET_PTON", Some("1")),
    ("HAVE_PTHREAD_GETNAME_NP", Some("1")),
    ("HAVE_PTHREAD_SETNAME_NP", Some("1")),
    ("ENABLE_MONOTONIC_CLOCK", Some("1")),
    ("ENABLE_STDCXX_SYNC", Some("1")),
    ("ENABLE_SOCK_CLOEXEC", Some("1")),
    ("ENABLE_NEW_RCVBUFFER", Some("1")),
    ("SRT_ENABLE_BINDTODEVICE", None),
    ("SRT_ENABLE_PKTINFO", Some("1")),
    ("SRT_ENABLE_ENCRYPTION", None),
    ("USE_OPENSSL_EVP", Some("1")),
    ("CRYSPR2", None),
    ("ENABLE_LOGGING", Some("1")),
];

pub(crate) fn build() -> Result<Library> {
    let os = env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    let width = env::var("CARGO_CFG_TARGET_POINTER_WIDTH").unwrap_or_default();
    if os != "linux" || width != "64" {
        return Err(format!(
            "building libsrt from source is supported only on 64-bit Linux, not on {os} ({width} bits)"
        ));
    }

    let source = Source::locate()?;
    let tree = out_dir().join("libsrt");
    let edits = edits::apply(&source, &tree)?;
    let generated = out_dir().join("generated");
    write_version_header(&tree, &generated, &source.version)?;
    let include = vec![
        generated,
        tree.join("common"),
        tree.join("srtcore"),
        tree.join("haicrypt"),
    ];

    // For checks that never link (clippy, rustdoc, bindgen): they only need the headers.
    println!("cargo::rerun-if-env-changed=LIBSRT_SYS_HEADERS_ONLY");
    if env::var_os("LIBSRT_SYS_HEADERS_ONLY").is_none() {
        compile(&source, &tree, &include)?;
    }
    Ok(Library {
        version: source.version,
        include,
        header_defines: HEADER_DEFINES,
        edits,
        crypto: "aws-lc".to_owned(),
    })
}

/// Compiles the edited tree into one static library.
fn compile(source: &Source, tree: &Path, include: &[PathBuf]) -> Result<()> {
    let mut files = source.files("srtcore/filelist.maf", CONDITIONS)?;
    files.extend(source.files("haicrypt/filelist-openssl-evp.maf", CONDITIONS)?);
    let (c, cpp): (Vec<_>, Vec<_>) = files
        .iter()
        .map(|file| tree.join(file))
        .partition(|file| file.extension().is_some_and(|e| e == "c"));

    let crypto_include = crypto_headers()?;
    let config = |build: &mut cc::Build| {
        build
            .includes(include)
            .includes(&crypto_include)
            .warnings(false)
            .pic(true);
        // An unoptimised libsrt misses its deadlines at the rates with which debug builds of applications are tested.
        build.opt_level(2).debug(false);
        for (name, value) in DEFINES {
            build.define(name, *value);
        }
        for define in HEADER_DEFINES {
            let (name, value) = define
                .split_once('=')
                .map_or((*define, None), |(n, v)| (n, Some(v)));
            build.define(name, value);
        }
        build.define("SRT_VERSION", format!("\"{}\"", source.version).as_str());
    };

    let compiler = |language: &str, e: cc::Error| {
        format!(
            "{e}\nlibsrt needs a {language} compiler: install g++ or clang (Debian: apt-get install g++), or set CC and CXX."
        )
    };
    let mut c_build = cc::Build::new();
    config(&mut c_build);
    let objects = c_build
        .files(&c)
        .try_compile_intermediates()
        .map_err(|e| compiler("C", e))?;

    let mut cpp_build = cc::Build::new();
    config(&mut cpp_build);
    cpp_build.cpp(true).std("c++11").files(&cpp).objects(&objects);
    cpp_build.try_compile("srt").map_err(|e| compiler("C++", e))
}

/// `version.h` is a cmake template in the tree.
fn write_version_header(tree: &Path, generated: &Path, version: &str) -> Result<()> {
    let template = source::read(&tree.join("srtcore/version.h.in"))?;
    let mut parts = version.split('.');
    let mut part = || parts.next().unwrap_or("0");
    let text: String = template
        .replace("@SRT_VERSION_MAJOR@", part())
        .replace("@SRT_VERSION_MINOR@", part())
        .replace("@SRT_VERSION_PATCH@", part())
        .replace("@SRT_VERSION@", version)
        .lines()
        .filter(|line| !line.trim_start().starts_with("#cmakedefine"))
        .flat_map(|line| [line, "\n"])
        .collect();
    fs::create_dir_all(generated)
        .and_then(|()| fs::write(generated.join("version.h"), text))
        .map_err(|e| format!("cannot write version.h to {}: {e}", generated.display()))
}

/// aws-lc-sys names its metadata after its own version (`DEP_AWS_LC_0_47_0_INCLUDE`).
fn crypto_headers() -> Result<Vec<PathBuf>> {
    let found: Vec<PathBuf> = env::vars_os()
        .filter(|(key, _)| {
            key.to_str()
                .is_some_and(|key| key.starts_with("DEP_AWS_LC_") && key.ends_with("_INCLUDE"))
        })
        .flat_map(|(_, value)| env::split_paths(&value).collect::<Vec<_>>())
        .collect();
    if found.is_empty() {
        return Err(
            "aws-lc-sys did not report the location of its headers (no DEP_AWS_LC_*_INCLUDE)".to_owned(),
        );
    }
    Ok(found)
}
