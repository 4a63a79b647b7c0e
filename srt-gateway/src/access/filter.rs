//! Which packet filters a port accepts from its callers.
//!
//! Before a connection is accepted, libsrt allocates two packet buffers for each column of its filter, and more as data
//! arrives. The caller chooses columns and rows, up to 65,535 each: hundreds of megabytes for one handshake.

use std::fmt;

use srt_safe::{CallerFilter, PacketFilter};

use super::RefusalReason;
use crate::config::FilterSize;

/// A port's policy for packet filters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FilterPolicy {
    /// The port's own filter, possibly partial: the caller fills in the rest.
    pub(crate) own: Option<PacketFilter>,
    /// The largest filter that a caller may request; None: no filter.
    pub(crate) largest: Option<FilterSize>,
}

/// Why a caller's packet filter is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FilterFault {
    NotAllowed(PacketFilter),
    Unreadable,
    TooLarge(PacketFilter, FilterSize),
    /// The port's and the caller's.
    Differs(PacketFilter, PacketFilter),
    NoColumns,
}

/// Whether the port accepts the filter that libsrt would derive from the port's and the caller's settings.
pub(super) fn check_filter(policy: FilterPolicy, asked: CallerFilter) -> Result<(), RefusalReason> {
    let asked = match asked {
        // libsrt does not require the port's filter of a caller without one.
        CallerFilter::None => return Ok(()),
        CallerFilter::Asked(asked) => asked,
        CallerFilter::Unreadable => return Err(RefusalReason::Filter(FilterFault::Unreadable)),
    };
    let Some(largest) = policy.largest else {
        return Err(RefusalReason::Filter(FilterFault::NotAllowed(asked)));
    };
    let own = policy.own.unwrap_or(PacketFilter::fec());
    let merged = own
        .merge(asked)
        .ok_or(RefusalReason::Filter(FilterFault::Differs(own, asked)))?;
    let columns = merged
        .column_count()
        .ok_or(RefusalReason::Filter(FilterFault::NoColumns))?;
    // A size that the port itself names is the operator's choice, however large.
    let is_within = |size: u16, own: Option<u16>, largest: u16| size <= largest || own == Some(size);
    let rows = merged.row_count().unwrap_or(1);
    if is_within(columns, own.column_count(), largest.columns)
        && is_within(rows, own.row_count(), largest.rows)
    {
        Ok(())
    } else {
        Err(RefusalReason::Filter(FilterFault::TooLarge(asked, largest)))
    }
}

impl fmt::Display for FilterFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAllowed(asked) => write!(
                f,
                "the caller requests packetfilter={asked}, but this port accepts no packet filter: remove it \
                 from the caller, or set packetfilter or accept_packetfilter = \"{}\" for this port",
                FilterSize::STANDARD
            ),
            Self::Unreadable => f.write_str(
                "libsrt does not support the caller's packetfilter: write it like \"fec,cols:10,rows:5\"",
            ),
            Self::TooLarge(asked, largest) => write!(
                f,
                "the caller's packetfilter={asked} is larger than this port accepts ({largest}, columns x \
                 rows): make it smaller, or raise accept_packetfilter"
            ),
            Self::Differs(own, asked) => write!(
                f,
                "the caller's packetfilter={asked} conflicts with packetfilter = \"{own}\" of this port: set \
                 the same on both sides"
            ),
            Self::NoColumns => f.write_str(
                "neither the caller's packetfilter nor this port's sets the columns: add them, for example cols:10",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(own: &str, largest: Option<(u16, u16)>, asked: &str) -> Result<(), String> {
        let policy = FilterPolicy {
            own: own.parse().ok(),
            largest: largest.map(|(columns, rows)| FilterSize { columns, rows }),
        };
        let asked = match asked {
            "" => CallerFilter::None,
            asked => asked
                .parse()
                .map_or(CallerFilter::Unreadable, CallerFilter::Asked),
        };
        check_filter(policy, asked).map_err(|why| why.to_string())
    }

    #[test]
    fn a_caller_gets_what_the_port_has_or_takes_and_nothing_larger() {
        let both = Some((20, 10));
        for (own, largest, asked) in [
            ("", None, ""),
            ("fec,cols:10", both, ""),
            ("fec,cols:10", both, "fec"),
            ("fec,cols:10", both, "fec,cols:10,rows:10"),
            ("", both, "fec,cols:20,rows:-10,arq:never"),
            ("", both, "fec,cols:20"),
            ("fec,cols:500", both, "fec,cols:500,rows:2"),
        ] {
            assert_eq!(
                judged(own, largest, asked),
                Ok(()),
                "{own:?} {largest:?} {asked:?}"
            );
        }
        for (own, largest, asked, word) in [
            ("", None, "fec,cols:2", "accept_packetfilter"),
            ("", both, "fec,cols:21", "20x10"),
            ("", both, "fec,cols:2,rows:11", "smaller"),
            ("", both, "fec,cols:2,rows:-32000", "smaller"),
            ("fec,cols:10", both, "fec,rows:32000", "smaller"),
            ("fec,rows:5", both, "fec,cols:32000", "smaller"),
            ("fec,cols:500", both, "fec,rows:11", "smaller"),
            ("fec,cols:10", both, "fec,cols:11", "conflicts"),
            ("fec,arq:never", both, "fec,cols:11,arq:always", "conflicts"),
            ("", both, "fec,rows:2", "columns"),
            ("", both, "nonsense", "libsrt does not support"),
        ] {
            let refused = judged(own, largest, asked).expect_err(asked);
            assert!(refused.contains(word), "{own:?} {largest:?} {asked:?}: {refused}");
        }
    }
}
