//! The details of a stream: plain data that serializes, for the API, the commands and the console.

use serde::{Deserialize, Serialize};

use super::health::Verdict;
use crate::ts::TsReport;

/// The details of a stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StreamDetail {
    /// Its name.
    pub name: String,
    /// Whether it has a source.
    pub has_source: bool,
    /// Current viewers.
    pub viewers: u32,
    /// Bytes received so far, from all its sources.
    pub bytes: u64,
    /// The diagnosis: what is at fault, if anything.
    pub verdict: Verdict,
    /// Its inputs: publishers and ingests, including the one that feeds it.
    pub inputs: Vec<InputDetail>,
}

/// An input of a stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct InputDetail {
    /// Its session.
    pub session: u64,
    /// Whether it feeds the stream now; the others are standbys.
    pub is_feeding: bool,
    /// The content of its stream, as of when it last fed the stream; None before its first message.
    pub ts: Option<TsReport>,
}

impl StreamDetail {
    /// The content of the input that feeds the stream.
    #[must_use]
    pub fn ts(&self) -> Option<&TsReport> {
        self.inputs
            .iter()
            .find(|input| input.is_feeding)
            .and_then(|input| input.ts.as_ref())
    }
}
