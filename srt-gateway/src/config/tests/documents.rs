//! Tests the configurations in the documentation with the gateway's reader.

use std::{fs, path::PathBuf};

use super::super::Config;

/// README.md and all files of docs/.
fn documents() -> Vec<PathBuf> {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let docs = fs::read_dir(root.join("docs")).unwrap();
    let docs = docs.map(|entry| entry.unwrap().path());
    docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .chain([root.join("README.md")])
        .collect()
}

/// The blocks of a document that are marked as TOML, with the number of their first line.
fn blocks(text: &str) -> Vec<(usize, String)> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if line.trim() == "```toml" {
            let block: Vec<_> = lines
                .by_ref()
                .map(|(_, line)| line)
                .take_while(|line| line.trim() != "```")
                .collect();
            blocks.push((number + 2, block.join("\n")));
        }
    }
    blocks
}

#[test]
fn every_configuration_in_the_documents_is_accepted() {
    let mut found = 0;
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        for (line, block) in blocks(&text) {
            // A block for cargo.
            if block.starts_with("[dependencies]") {
                continue;
            }
            found += 1;
            if let Err(errors) = Config::parse(&block) {
                panic!(
                    "{}:{line}\n{}",
                    path.display(),
                    errors.render("the block", &block)
                );
            }
        }
    }
    assert!(found >= 6, "{found} blocks");
}

/// Where the right column of a table in the documentation names a key, that key exists.
#[test]
fn the_guides_name_keys_that_exist() {
    let names: Vec<_> = super::super::reference().iter().map(|key| key.name).collect();
    let mut seen = 0;
    for path in documents() {
        let is_guide = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("migrating"));
        if !is_guide {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for row in text.lines().filter(|line| line.starts_with("| ")) {
            let ours = row.trim_end_matches('|').rsplit('|').next().unwrap();
            for word in ours.split('`').skip(1).step_by(2) {
                let key = word.split_once(" =").map_or(word, |(key, _)| key);
                let is_key = key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') && key.contains('_');
                if is_key {
                    seen += 1;
                    assert!(names.contains(&key), "{}: {key} in {row}", path.display());
                }
            }
        }
    }
    assert!(seen > 10, "{seen}");
}
