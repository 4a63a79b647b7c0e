//! The configuration of libsrt's packet filter (forward error correction): built, written, parsed and checked here
//! before libsrt sees it. Plain data; libsrt runs the filter on its own threads.

use std::{fmt, num::NonZeroU16, str::FromStr};

/// Forward error correction (`SRTO_PACKETFILTER`): the sender adds packets from which the receiver restores lost ones
/// without retransmission.
///
/// Packets are arranged in a matrix. Each row, and each column if there are several rows, gets one more packet: with 10
/// columns and 5 rows that is 30 % more to send. Rows restore single losses at once; columns restore bursts of up to a
/// row's length after columns x rows packets, which the latency must cover. Both sides must agree: parameters that one
/// side omits come from the other, and conflicting ones refuse the connection (`REJ_FILTER`).
///
/// ```
/// # use srt_safe::{Arq, PacketFilter};
/// let filter = PacketFilter::fec().columns(10).rows(5).arq(Arq::Never);
/// assert_eq!(filter.to_string(), "fec,cols:10,rows:5,arq:never");
/// assert_eq!("fec,arq:never,rows:5,cols:10".parse(), Ok(filter));
/// # Ok::<(), srt_safe::FilterError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PacketFilter {
    columns: Option<u16>,
    rows: Option<Rows>,
    layout: Option<FecLayout>,
    arq: Option<Arq>,
}

/// The number of rows, and whether rows are protected themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Rows {
    Both(NonZeroU16),
    ColumnsOnly(NonZeroU16),
}

/// The position of the columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FecLayout {
    /// All begin at the same row, so the packets of the columns are sent as a burst.
    Even,
    /// Each begins one row after its neighbour, which spreads them over time. libsrt's default.
    Staircase,
}

impl FecLayout {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Even => "even",
            Self::Staircase => "staircase",
        }
    }
}

/// When the receiver requests a lost packet in spite of error correction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arq {
    /// Never: packets that cannot be restored are lost. For links without a return path.
    Never,
    /// Once the matrix cannot restore the packet. libsrt's default.
    OnRequest,
    /// At once, as without error correction.
    Always,
}

impl Arq {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::OnRequest => "onreq",
            Self::Always => "always",
        }
    }
}

impl PacketFilter {
    /// The longest configuration that libsrt keeps (it silently drops longer ones).
    pub const MAX_LEN: usize = 64;

    /// Forward error correction, with all parameters left to the peer. At least one side must set the columns.
    #[must_use]
    pub const fn fec() -> Self {
        Self {
            columns: None,
            rows: None,
            layout: None,
            arq: None,
        }
    }

    /// Packets per row: 2 to 65535 (1 counts as 2). Fewer restore more losses and cost more: one packet per row.
    #[must_use]
    pub const fn columns(mut self, columns: u16) -> Self {
        self.columns = Some(if columns < 2 { 2 } else { columns });
        self
    }

    /// Rows of the matrix: 1 (or 0) protects rows only; more protect columns as well.
    #[must_use]
    pub fn rows(mut self, rows: u16) -> Self {
        self.rows = Some(Rows::Both(NonZeroU16::new(rows).unwrap_or(NonZeroU16::MIN)));
        self
    }

    /// The same number of rows, of which only the columns are protected: 2 (the minimum) to 65535. Cheaper; restores
    /// bursts, but late.
    #[must_use]
    pub fn columns_only(mut self, rows: u16) -> Self {
        self.rows = NonZeroU16::new(rows.max(2)).map(Rows::ColumnsOnly);
        self
    }

    /// The position of the columns.
    #[must_use]
    pub const fn layout(mut self, layout: FecLayout) -> Self {
        self.layout = Some(layout);
        self
    }

    /// When the receiver requests lost packets.
    #[must_use]
    pub const fn arq(mut self, arq: Arq) -> Self {
        self.arq = Some(arq);
        self
    }

    /// The number of columns, if set.
    #[must_use]
    pub const fn column_count(&self) -> Option<u16> {
        self.columns
    }

    /// The number of rows, if set, whether they are protected themselves or not.
    #[must_use]
    pub const fn row_count(&self) -> Option<u16> {
        match self.rows {
            Some(Rows::Both(rows) | Rows::ColumnsOnly(rows)) => Some(rows.get()),
            None => None,
        }
    }

    /// The filter that a listener with this one and a caller with the other agree upon: omitted parameters come from
    /// the other side. None: they conflict, and libsrt refuses the caller.
    #[must_use]
    pub fn merge(self, other: Self) -> Option<Self> {
        fn agreed<T: PartialEq>(a: Option<T>, b: Option<T>) -> Option<Option<T>> {
            match (a, b) {
                (Some(a), Some(b)) if a != b => None,
                (a, b) => Some(a.or(b)),
            }
        }
        Some(Self {
            columns: agreed(self.columns, other.columns)?,
            rows: agreed(self.rows, other.rows)?,
            layout: agreed(self.layout, other.layout)?,
            arq: agreed(self.arq, other.arq)?,
        })
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), FilterError> {
        match key {
            "cols" => match value.parse() {
                Ok(columns @ 2..) => once(&mut self.columns, columns, "cols"),
                _ => Err(FilterError::Columns),
            },
            "rows" => {
                let rows = value.parse::<i32>().map_err(|_| FilterError::Rows)?;
                let count = u16::try_from(rows.unsigned_abs()).ok().and_then(NonZeroU16::new);
                let rows = match (rows, count) {
                    (1.., Some(count)) => Rows::Both(count),
                    (..=-2, Some(count)) => Rows::ColumnsOnly(count),
                    _ => return Err(FilterError::Rows),
                };
                once(&mut self.rows, rows, "rows")
            }
            "layout" => match value {
                "even" => once(&mut self.layout, FecLayout::Even, "layout"),
                "staircase" => once(&mut self.layout, FecLayout::Staircase, "layout"),
                _ => Err(FilterError::Layout),
            },
            "arq" => match value {
                "never" => once(&mut self.arq, Arq::Never, "arq"),
                "onreq" => once(&mut self.arq, Arq::OnRequest, "arq"),
                "always" => once(&mut self.arq, Arq::Always, "arq"),
                _ => Err(FilterError::Arq),
            },
            _ => Err(FilterError::UnknownKey(key.to_owned())),
        }
    }
}

fn once<T>(slot: &mut Option<T>, value: T, key: &'static str) -> Result<(), FilterError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(FilterError::Twice(key)),
    }
}

impl fmt::Display for PacketFilter {
    /// In libsrt's form; at most 64 bytes by construction.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("fec")?;
        if let Some(columns) = self.columns {
            write!(f, ",cols:{columns}")?;
        }
        match self.rows {
            Some(Rows::Both(rows)) => write!(f, ",rows:{rows}")?,
            Some(Rows::ColumnsOnly(rows)) => write!(f, ",rows:-{rows}")?,
            None => {}
        }
        if let Some(layout) = self.layout {
            write!(f, ",layout:{}", layout.as_str())?;
        }
        if let Some(arq) = self.arq {
            write!(f, ",arq:{}", arq.as_str())?;
        }
        Ok(())
    }
}

impl FromStr for PacketFilter {
    type Err = FilterError;

    /// Parses libsrt's form, `fec,cols:10,rows:5,layout:staircase,arq:onreq`; the keys in any order, each at most once.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > Self::MAX_LEN {
            return Err(FilterError::TooLong(text.len()));
        }
        let mut parts = text.split(',');
        match parts.next() {
            Some("fec") => {}
            other => return Err(FilterError::UnknownType(other.unwrap_or_default().to_owned())),
        }
        let mut filter = Self::fec();
        for part in parts {
            let Some((key, value)) = part.split_once(':') else {
                return Err(FilterError::NoValue(part.to_owned()));
            };
            filter.set(key, value)?;
        }
        Ok(filter)
    }
}

/// The error in a packet filter's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FilterError {
    /// It has this many bytes, more than [`PacketFilter::MAX_LEN`].
    TooLong(usize),
    /// It does not begin with `fec`, the only filter in libsrt.
    UnknownType(String),
    /// A part is not of the form `key:value`.
    NoValue(String),
    /// An unknown key.
    UnknownKey(String),
    /// A duplicate key.
    Twice(&'static str),
    /// `cols` is not a number of 2 to 65535.
    Columns,
    /// `rows` is not a number of 1 to 65535, or of -2 to -65535.
    Rows,
    /// `layout` is neither `even` nor `staircase`.
    Layout,
    /// `arq` is none of `never`, `onreq` and `always`.
    Arq,
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(len) => {
                write!(
                    f,
                    "a packet filter has at most {} bytes, not {len}",
                    PacketFilter::MAX_LEN
                )
            }
            Self::UnknownType(other) => write!(
                f,
                "packet filter \"{}\" is unknown: write \"fec,cols:10,rows:5\"",
                other.escape_debug()
            ),
            Self::NoValue(part) => {
                write!(
                    f,
                    "\"{}\" in the packet filter is not of the form key:value",
                    part.escape_debug()
                )
            }
            Self::UnknownKey(key) => write!(
                f,
                "the packet filter has no key \"{}\", only cols, rows, layout and arq",
                key.escape_debug()
            ),
            Self::Twice(key) => write!(f, "the packet filter has \"{key}\" twice"),
            Self::Columns => f.write_str("the packet filter's cols must be a number from 2 to 65535"),
            Self::Rows => f.write_str(
                "the packet filter's rows must be a number from 1 to 65535, or from -2 to -65535 for columns only",
            ),
            Self::Layout => f.write_str("the packet filter's layout must be even or staircase"),
            Self::Arq => f.write_str("the packet filter's arq must be never, onreq or always"),
        }
    }
}

impl std::error::Error for FilterError {}
