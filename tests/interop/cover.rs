//! The choice of rows for daily runs: every possible pair of properties occurs in some row. Pure.

use crate::rows::{Expected, Row};
use std::collections::BTreeSet;

/// Two properties of one row, each with its column.
type Pair = [(usize, String); 2];

fn pairs_of(row: &Row) -> Vec<Pair> {
    let columns = [
        format!("{:?} {:?}", row.client, row.role),
        format!("{:?}", row.mode),
        format!("{:?}", row.key),
        format!("{:?}", row.id),
        format!("{:?}", row.family),
    ];
    let columns: Vec<_> = columns.into_iter().enumerate().collect();
    let rest = |at: usize| columns[at + 1..].iter();
    (0..columns.len())
        .flat_map(|at| rest(at).map(move |other| (at, other)))
        .map(|(at, other)| [columns[at].clone(), other.clone()])
        .collect()
}

/// Rows of `rows` that contain all pairs of `rows`; each row adds as many new pairs as possible. Rows with a client's
/// fault prove no pair: one row is added for each fault.
pub(crate) fn pairs(rows: &[Row]) -> Vec<Row> {
    let (good, faulty): (Vec<Row>, Vec<Row>) = rows.iter().partition(|row| row.expected() == Expected::Works);
    let listed: Vec<(Row, Vec<Pair>)> = good.into_iter().map(|row| (row, pairs_of(&row))).collect();
    let mut missing: BTreeSet<&Pair> = listed.iter().flat_map(|(_, pairs)| pairs).collect();
    let mut chosen = Vec::new();
    while !missing.is_empty() {
        let news = |pairs: &[Pair]| pairs.iter().filter(|pair| missing.contains(pair)).count();
        // The first of the best rows: the choice is the same on every machine.
        let best = listed.iter().rev().max_by_key(|(_, pairs)| news(pairs));
        let (row, pairs) = best.expect("a missing pair is in some row");
        pairs.iter().for_each(|pair| {
            missing.remove(pair);
        });
        chosen.push(*row);
    }
    let mut seen = BTreeSet::new();
    let faults = faulty
        .into_iter()
        .filter(|row| seen.insert((row.client, row.role)));
    chosen.extend(faults);
    chosen
}

#[cfg(test)]
mod tests {
    use super::{pairs, pairs_of};
    use crate::rows::{Expected, all};
    use std::collections::BTreeSet;

    #[test]
    fn every_pair_is_covered_by_few_rows() {
        let (table, chosen) = (all(), pairs(&all()));
        let works = |row: &&crate::rows::Row| row.expected() == Expected::Works;
        let of = |rows: &[crate::rows::Row]| -> BTreeSet<_> {
            rows.iter().filter(works).flat_map(pairs_of).collect()
        };
        assert_eq!(of(&chosen), of(&table));
        assert!(
            chosen.len() * 4 < table.len(),
            "{} of {}",
            chosen.len(),
            table.len()
        );
    }
}
