//! Checks the import rules of ARCHITECTURE.md in the sources.
//!
//! Reads every `crate::` path, in a `use` list or alone, in every file of a module. `super::` paths stay within a
//! module, because modules are folders of `src/`; one that leaves it would name a module of the crate, and is found
//! too.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The modules that each module may import. A module that is missing here fails the test and must be added.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("names", &[]),
    ("json", &[]),
    ("rate_limit", &[]),
    ("recent", &[]),
    ("address", &[]),
    ("config", &["names", "address"]),
    ("log_control", &["config"]),
    ("log_writer", &["config"]),
    ("data", &["names"]),
    ("ts", &["names"]),
    // `ts` for the contents of an input's board.
    ("telemetry", &["names", "rate_limit", "ts"]),
    ("io", &["names", "address", "data", "ts", "telemetry"]),
    ("file_check", &["names", "config", "io"]),
    ("interface_check", &["address", "config"]),
    // `config` for URLs and secrets.
    ("backend", &["names", "json", "config", "telemetry"]),
    ("events", &["config", "telemetry", "backend"]),
    // `config` for the kinds of ports, `data` for the streams that it is given, `telemetry` for the records of
    // refusals, `backend` to ask the hook.
    (
        "access",
        &[
            "names",
            "rate_limit",
            "recent",
            "config",
            "data",
            "telemetry",
            "backend",
        ],
    ),
    (
        "control",
        &[
            "names",
            "address",
            "rate_limit",
            "config",
            "data",
            "ts",
            "telemetry",
            "io",
            "access",
            "backend",
            "events",
        ],
    ),
    // The readable state of a gateway, and the commands' socket that reads it.
    (
        "view",
        // `backend` because the code that reloads starts the HTTP client, which control must not.
        &[
            "names",
            "access",
            "backend",
            "config",
            "control",
            "data",
            "events",
            "telemetry",
            "ts",
        ],
    ),
    (
        "local",
        &["names", "access", "control", "telemetry", "ts", "view"],
    ),
    (
        "api",
        &[
            "names",
            "address",
            "json",
            "rate_limit",
            "recent",
            "config",
            "data",
            "access",
            "control",
            "file_check",
            "log_control",
            "telemetry",
            "ts",
            "view",
        ],
    ),
    // For commands that talk to peers without a gateway; `control` converts settings into libsrt options.
    ("peer", &["address", "config", "control"]),
    // A client of any server; its own test analyses what it sends with the observer.
    ("bench", &["ts"]),
    // `control` for the socket options of datagram URLs.
    ("relay", &["config", "control", "data", "io", "peer"]),
    // For benches/.
    ("bench_support", &["access", "config", "control", "gateway"]),
    (
        "gateway",
        &[
            "names",
            "config",
            "data",
            "ts",
            "telemetry",
            "io",
            "access",
            "backend",
            "events",
            "control",
            "view",
        ],
    ),
    (
        "cli",
        &[
            "names",
            "address",
            "interface_check",
            "config",
            "access",
            "bench",
            "api",
            "control",
            "file_check",
            "gateway",
            "io",
            "log_control",
            "log_writer",
            "telemetry",
            "ts",
            "local",
            "peer",
            "relay",
            "view",
        ],
    ),
];

/// Modules without sockets, which must not use libsrt.
const WITHOUT_SRT: &[&str] = &["names", "config", "data", "ts"];

/// The composition of the crate, which names every module.
const ROOTS: &[&str] = &["lib", "main"];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => sources(&path),
            false if path.extension().is_some_and(|extension| extension == "rs") => vec![path],
            false => Vec::new(),
        })
        .collect()
}

/// The text without comments, which may mention anything.
fn code(text: &str) -> String {
    text.lines()
        .map(|line| line.split_once("//").map_or(line, |(code, _)| code))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The first names after each `crate::` of `code`: one, or those of a list in braces.
fn imported(code: &str) -> BTreeSet<String> {
    code.split("crate::")
        .skip(1)
        .flat_map(|rest| match rest.trim_start().strip_prefix('{') {
            None => vec![first_name(rest)],
            Some(list) => first_names(list),
        })
        .collect()
}

fn first_name(path: &str) -> String {
    let path = path.trim_start();
    path.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

/// The first name of each entry of a list, up to its closing brace; entries may contain lists.
fn first_names(list: &str) -> Vec<String> {
    let mut names = vec![first_name(list)];
    let mut depth = 0;
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(first_name(&list[at + 1..])),
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// The violations in a module's text.
fn faults(module: &str, text: &str, all: &BTreeSet<String>) -> Vec<String> {
    let code = code(text);
    let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == module) else {
        return vec![format!("module {module} has no place in MAY_IMPORT")];
    };
    let mut names = imported(&code);
    // `use super::super::io` and the like.
    for rest in code.split("super::").skip(1) {
        names.insert(first_name(rest));
    }
    let mut faults: Vec<String> = names
        .iter()
        .filter(|name| all.contains(*name) && *name != module && !allowed.contains(&name.as_str()))
        .filter(|name| {
            // A module's own child may have the name of another module.
            code.contains(&format!("crate::{name}")) || imported(&code).contains(*name)
        })
        .map(|name| format!("{module} imports {name}"))
        .collect();
    if WITHOUT_SRT.contains(&module) && (code.contains("srt_safe") || code.contains("libsrt_sys")) {
        faults.push(format!("{module} knows libsrt"));
    }
    faults
}

/// The module of a file: its first folder below `src`, or its own name.
fn module_of(path: &Path, src: &Path) -> String {
    let first = path.strip_prefix(src).unwrap().components().next().unwrap();
    let name = first.as_os_str().to_str().unwrap();
    name.strip_suffix(".rs").unwrap_or(name).to_owned()
}

#[test]
fn modules_import_only_what_the_architecture_allows() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut modules: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for path in sources(&src) {
        modules.entry(module_of(&path, &src)).or_default().push(path);
    }
    let all: BTreeSet<String> = modules.keys().cloned().collect();
    for (name, _) in MAY_IMPORT {
        assert!(all.contains(*name), "MAY_IMPORT names {name}, which is not there");
    }
    let mut found = Vec::new();
    for (module, paths) in modules
        .iter()
        .filter(|(module, _)| !ROOTS.contains(&module.as_str()))
    {
        for path in paths {
            let text = fs::read_to_string(path).unwrap();
            let told = faults(module, &text, &all);
            found.extend(
                told.into_iter()
                    .map(|fault| format!("{}: {fault}", path.display())),
            );
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn violations_are_found_however_they_are_written() {
    let all: BTreeSet<String> = MAY_IMPORT.iter().map(|(name, _)| (*name).to_owned()).collect();
    for (module, text, fault) in [
        ("data", "use crate::io::Pool;", Some("data imports io")),
        (
            "ts",
            "let x = crate::control::Registry::new();",
            Some("ts imports control"),
        ),
        (
            "io",
            "use crate::{\n    data::{Batch, Ring},\n    config::Config,\n};",
            Some("io imports config"),
        ),
        ("config", "use srt_safe::Options;", Some("config knows libsrt")),
        ("data", "// as crate::io does\nuse crate::names::SessionId;", None),
        ("io", "use crate::{data::{config, Ring}, ts::Format};", None),
        ("plugins", "", Some("module plugins has no place in MAY_IMPORT")),
    ] {
        let expected: Vec<String> = fault.into_iter().map(str::to_owned).collect();
        assert_eq!(faults(module, text, &all), expected, "{text}");
    }
}
