//! The details of a stream: plain data that serializes, for the API, the commands and the console.

use serde::{Deserialize, Serialize};

use super::health::Verdict;
use crate::ts::TsReport;

/// A stream, looked at closely.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StreamDetail {
    /// Its name.
    pub name: String,
    /// Whether somebody feeds it.
    pub has_source: bool,
    /// Viewers now.
    pub viewers: u32,
    /// Bytes that came in so far, from all its sources.
    pub bytes: u64,
    /// Who is at fault, if anybody is.
    pub verdict: Verdict,
    /// Its inputs: publishers and what we went to get, the one that feeds it among them.
    pub inputs: Vec<InputDetail>,
}

/// An input of a stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct InputDetail {
    /// Its session.
    pub session: u64,
    /// Whether it feeds the stream now; the others stand by.
    pub is_feeding: bool,
    /// What it carries, as of when it last fed the stream; None before its first message.
    pub ts: Option<TsReport>,
}

impl StreamDetail {
    /// What the input that feeds the stream carries.
    #[must_use]
    pub fn ts(&self) -> Option<&TsReport> {
        self.inputs
            .iter()
            .find(|input| input.is_feeding)
            .and_then(|input| input.ts.as_ref())
    }
}
