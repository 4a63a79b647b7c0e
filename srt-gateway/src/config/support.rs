//! What this release of the gateway does not do yet, though its configuration knows the key. One table: whoever makes
//! a feature work deletes its row.

use super::keys::Section;

/// What is refused of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The key.
    Key,
    /// This value of it.
    Value(&'static str),
    /// A list of more than one value.
    Several,
}

type Row = (Section, &'static str, Part);

static NOT_YET: &[Row] = {
    use Part::*;
    use Section::*;
    &[(Srt, "shards", Key)]
};

/// Whether this release does not do `part` of `key` yet.
pub(crate) fn is_missing(section: Section, key: &str, part: Part) -> bool {
    NOT_YET
        .iter()
        .any(|row| row.0 == section && row.1 == key && row.2 == part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys;

    #[test]
    fn every_row_names_a_key_that_exists() {
        for &(section, key, _) in NOT_YET {
            assert!(
                keys::reference()
                    .iter()
                    .any(|k| k.section == section && k.name == key),
                "{section:?}.{key}"
            );
        }
    }
}
