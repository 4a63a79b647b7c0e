//! Results as tables; JSON contains the figures themselves.

use std::fmt::Write as _;

use super::{
    Comparison, Figures,
    compare::{LoadResults, ServerResults},
};

/// One measurement, one line per figure.
pub(crate) fn figures_table(figures: &Figures) -> String {
    let mut lines: Vec<(&str, String)> = Vec::new();
    let connect = &figures.connect;
    lines.push((
        "connections",
        format!(
            "{} of {} ({} refused), {:.0} a second",
            connect.made, connect.wanted, connect.refused, connect.per_second
        ),
    ));
    if let Some(times) = connect.times {
        lines.push((
            "connect time",
            format!("p50 {:.1} ms, p99 {:.1} ms", times.p50, times.p99),
        ));
    }
    if figures.expected > 0 {
        lines.push((
            "messages",
            format!(
                "{} of {} delivered, {} lost, {} duplicates, {} out of order, {} damaged",
                figures.delivered,
                figures.expected,
                figures.lost,
                figures.duplicates,
                figures.disordered,
                figures.damaged
            ),
        ));
    }
    lines.push((
        "trouble",
        format!(
            "{} sends blocked, {} connections lost",
            figures.blocked, figures.broken
        ),
    ));
    if let Some(delay) = figures.delay {
        lines.push((
            "delay",
            format!(
                "p50 {:.2} ms, p90 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms, max {:.2} ms",
                delay.p50, delay.p90, delay.p99, delay.p999, delay.max
            ),
        ));
    }
    lines.push((
        "delivered",
        format!("{:.3} Gb in {:.1} s", figures.gigabits, figures.seconds),
    ));
    if let Some(server) = &figures.server {
        let per_gigabit = server
            .cpu_seconds_per_gigabit
            .map_or_else(String::new, |cpu| format!("{cpu:.3} CPU seconds per Gb, "));
        lines.push((
            "server",
            format!(
                "{per_gigabit}{:.3} cores, {} KiB RSS ({:.1} KiB a connection), {} threads, {:.0} switches a second",
                server.cores,
                server.rss_kib,
                server.rss_kib_per_connection,
                server.threads,
                server.switches_per_second
            ),
        ));
    }
    lines.push(("load generator", format!("{:.3} cores", figures.own_cores)));
    let mut text = String::new();
    for (name, value) in lines {
        // Writing to a String cannot fail.
        writeln!(text, "{name:<15} {value}").unwrap_or_default();
    }
    text
}

/// A table for each load: one line per server, with medians and, in brackets, ratios to the first server.
pub(crate) fn comparison_table(comparison: &Comparison) -> String {
    comparison
        .loads
        .iter()
        .map(load_table)
        .collect::<Vec<_>>()
        .join("\n")
}

fn load_table(results: &LoadResults) -> String {
    let load = &results.load;
    let mut text = format!(
        "{}: {} publishers, {} viewers, {} b/s in bursts of {} ms, latency {} ms{}\n",
        load.name,
        load.publishers,
        load.viewers,
        load.bitrate,
        load.burst,
        load.latency,
        if load.passphrase.is_some() {
            ", encrypted"
        } else {
            ""
        }
    );
    let heading = [
        "server",
        "CPU s/Gb",
        "cores",
        "KiB/conn",
        "conn/s",
        "switches/s",
        "delay p50",
        "p99",
        "lost",
    ];
    let mut rows: Vec<Vec<String>> = vec![heading.map(str::to_owned).to_vec()];
    rows.extend(results.servers.iter().map(row));
    let widths: Vec<usize> = (0..heading.len())
        .map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0))
        .collect();
    for row in rows {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        // Writing to a String cannot fail.
        writeln!(text, "  {}", cells.collect::<Vec<_>>().join("  ").trim_end()).unwrap_or_default();
    }
    text
}

fn row(server: &ServerResults) -> Vec<String> {
    let (m, r) = (&server.medians, &server.ratios);
    let both = |value: Option<f64>, ratio: Option<f64>, digits: usize| match (value, ratio) {
        (Some(value), Some(ratio)) => format!("{value:.digits$} ({ratio:.2})"),
        (Some(value), None) => format!("{value:.digits$}"),
        _ => "-".to_owned(),
    };
    let lost: u64 = server.rounds.iter().map(|figures| figures.lost).sum();
    vec![
        server.server.clone(),
        both(m.cpu_seconds_per_gigabit, r.cpu_seconds_per_gigabit, 3),
        both(m.cores, r.cores, 3),
        both(m.rss_kib_per_connection, r.rss_kib_per_connection, 1),
        both(m.connects_per_second, r.connects_per_second, 0),
        both(m.switches_per_second, r.switches_per_second, 0),
        both(m.delay_p50, None, 2),
        both(m.delay_p99, None, 2),
        lost.to_string(),
    ]
}
