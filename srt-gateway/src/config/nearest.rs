//! Finds the known word nearest to an unknown one. Pure functions of text.

/// The word in `known` that `word` was most likely meant to be, if any is near.
pub(crate) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let word = word.to_ascii_lowercase().replace('-', "_");
    // Long words are never near, and the distance is quadratic.
    let length = word.chars().count();
    if length > 40 {
        return None;
    }
    let limit = (length / 3).clamp(1, 3);
    let near = |known: &str| {
        // "warning" for "warn", "call" for "caller".
        let begins =
            known.len().min(word.len()) >= 3 && (known.starts_with(&word) || word.starts_with(known));
        let apart = || distance(&word, known).min(distance(&word.replace('_', ""), &known.replace('_', "")));
        if begins { 1 } else { apart() }
    };
    known
        .into_iter()
        .map(|k| (near(k), k))
        .filter(|(d, _)| *d <= limit)
        .min_by_key(|(d, _)| *d)
        .map(|(_, k)| k)
}

/// The number of insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant_and_nothing_that_was_not() {
        let known = [
            "latency",
            "min_latency",
            "passphrase",
            "port",
            "peer_idle_timeout",
            "timeout",
        ];
        for (word, wanted) in [
            ("latncy", Some("latency")),
            ("Latency", Some("latency")),
            ("lateyncy", Some("latency")),
            ("pasphrase", Some("passphrase")),
            ("minlatency", Some("min_latency")),
            ("peer-idle-timeout", Some("peer_idle_timeout")),
            ("prot", Some("port")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), wanted, "{word}");
        }
    }
}
