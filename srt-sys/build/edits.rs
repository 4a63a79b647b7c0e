//! Copies the source into OUT_DIR and applies our edits to the copy.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{Result, source::Source, source::read};

#[path = "../../vendor/edits/mod.rs"]
mod catalogue;

use catalogue::{Change, Edit, Put};

/// Copies the compiled files to `copy`, edits them, and returns the names of the applied edits.
pub(crate) fn apply(source: &Source, copy: &Path) -> Result<Vec<&'static str>> {
    println!(
        "cargo::rerun-if-changed={}",
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../vendor/edits")
            .display()
    );
    if copy.exists() {
        fs::remove_dir_all(copy).map_err(|e| format!("cannot clear {}: {e}", copy.display()))?;
    }
    for part in ["srtcore", "haicrypt", "common"] {
        copy_tree(&source.dir.join(part), &copy.join(part))?;
    }

    let mut applied = Vec::new();
    for edit in catalogue::ALL {
        match edited(edit, copy) {
            Ok(files) => {
                for (path, text) in files {
                    fs::write(&path, text).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
                }
                applied.push(edit.name);
            }
            Err(why) if source.pinned => {
                return Err(format!(
                    "the edit `{}` does not fit libsrt {}: {why}. Follow the upgrade runbook in CONTRIBUTING.md, \
                     or build another tree with LIBSRT_SOURCE_DIR, where an edit that does not fit is left out.",
                    edit.name, source.version
                ));
            }
            Err(why) => println!(
                "cargo::warning=libsrt {}: edit `{}` is left out: {why}",
                source.version, edit.name
            ),
        }
    }
    Ok(applied)
}

/// The files of an edit with all its changes made: nothing is written unless the whole edit applies.
fn edited(edit: &Edit, copy: &Path) -> Result<Vec<(PathBuf, String)>> {
    let mut files: Vec<(PathBuf, String)> = Vec::new();
    for change in edit.changes {
        let path = copy.join(change.file);
        let at = match files.iter().position(|(known, _)| *known == path) {
            Some(at) => at,
            None => {
                files.push((path.clone(), read(&path)?));
                files.len() - 1
            }
        };
        files[at].1 = changed(change, &files[at].1)?;
    }
    Ok(files)
}

fn changed(change: &Change, text: &str) -> Result<String> {
    let mut places = text.match_indices(change.anchor);
    let (Some((start, _)), None) = (places.next(), places.next()) else {
        return Err(format!(
            "`{}` occurs {} times in {}, not once",
            change.anchor,
            text.matches(change.anchor).count(),
            change.file
        ));
    };
    let end = start + change.anchor.len();
    let (keep, resume) = match change.put {
        Put::Replace => (start, end),
        Put::BeforeLine => {
            let line = text[..start].rfind('\n').map_or(0, |n| n + 1);
            (line, line)
        }
        Put::AfterLine => {
            let eol = text[end..].find('\n').map_or(text.len(), |n| end + n + 1);
            (eol, eol)
        }
    };
    Ok(format!("{}{}{}", &text[..keep], change.text, &text[resume..]))
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    let fail = |e: std::io::Error| format!("cannot copy {} to {}: {e}", from.display(), to.display());
    fs::create_dir_all(to).map_err(fail)?;
    for entry in fs::read_dir(from).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let target = to.join(entry.file_name());
        if entry.file_type().map_err(fail)?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            // Registry sources can be read-only; a plain write makes a copy that the next build may remove.
            let bytes = fs::read(entry.path()).map_err(fail)?;
            fs::write(&target, bytes).map_err(fail)?;
        }
    }
    Ok(())
}
