//! The links of a group as libsrt reports them: `SRT_SOCKGROUPDATA`, alone or with each message.

use std::{fmt, net::SocketAddr};

use libsrt_sys::{SRT_MEMBERSTATUS, SRT_SOCKGROUPDATA, SRTSOCKET};

use crate::{Error, Result, SocketId, SocketState, Stats, ffi, stats};

/// The state of a link in its group (`SRT_MEMBERSTATUS`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MemberState {
    /// Not connected yet.
    Pending,
    /// Connected and not in use: the backup.
    Idle,
    /// In use.
    Running,
    /// Lost; libsrt removes it from the group soon.
    Broken,
}

impl MemberState {
    const fn from_raw(raw: SRT_MEMBERSTATUS) -> Self {
        match raw {
            SRT_MEMBERSTATUS::SRT_GST_PENDING => Self::Pending,
            SRT_MEMBERSTATUS::SRT_GST_IDLE => Self::Idle,
            SRT_MEMBERSTATUS::SRT_GST_RUNNING => Self::Running,
            _ => Self::Broken,
        }
    }
}

impl fmt::Display for MemberState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::Idle => "idle",
            Self::Running => "running",
            Self::Broken => "broken",
        })
    }
}

/// A link of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member {
    /// The link's own socket. It belongs to the group: you can read its statistics, but the group closes it.
    pub id: SocketId,
    /// The peer's address.
    pub peer: Option<SocketAddr>,
    /// Its state in the group.
    pub state: MemberState,
    /// The state of its socket.
    pub socket_state: SocketState,
    /// Its priority in a backup group.
    pub weight: u16,
    /// The application's number for it ([`GroupLink::token`](super::GroupLink::token)), or libsrt's.
    pub token: i32,
}

impl Member {
    /// The link's own statistics (`srt_bistats`); those of its group contain little.
    ///
    /// # Errors
    /// The link is not connected.
    pub fn stats(&self) -> Result<Stats> {
        stats::read(self.id.value(), stats::Levels::Averaged)
    }

    fn from_raw(raw: &SRT_SOCKGROUPDATA) -> Self {
        // SAFETY: the storage holds a whole sockaddr of any family, zeroed or written by libsrt.
        let peer = unsafe { ffi::sockaddr_of((&raw const raw.peeraddr).cast()) };
        Self {
            id: SocketId(raw.id),
            peer,
            state: MemberState::from_raw(raw.memberstate),
            socket_state: SocketState::from_raw(raw.sockstate),
            weight: raw.weight,
            token: raw.token,
        }
    }
}

/// A buffer for the links of a group, filled with each message sent or received, without an allocation.
pub struct MemberTable {
    raw: Box<[SRT_SOCKGROUPDATA]>,
    filled: usize,
    needed: usize,
}

impl MemberTable {
    /// Creates a buffer for `members` links.
    #[must_use]
    pub fn with_capacity(members: usize) -> Self {
        // SAFETY: plain data of C: integers, enums over integers, and a sockaddr_storage; zero is valid for each.
        let zeroed = || -> SRT_SOCKGROUPDATA { unsafe { std::mem::zeroed() } };
        Self {
            raw: (0..members).map(|_| zeroed()).collect(),
            filled: 0,
            needed: 0,
        }
    }

    /// The number of links that fit.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.raw.len()
    }

    /// The number of links in the group at the last call; if it exceeds [`capacity`](Self::capacity), the table is
    /// empty.
    #[must_use]
    pub const fn needed(&self) -> usize {
        self.needed
    }

    /// The links as of the last call.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Member> + '_ {
        self.raw[..self.filled].iter().map(Member::from_raw)
    }

    /// Reads all links; returns their number, which exceeds the capacity if they do not fit.
    pub(super) fn read(&mut self, group: SRTSOCKET) -> Result<usize> {
        self.set(0);
        let mut count = self.raw.len();
        // SAFETY: the pointer and the count describe the table; libsrt writes no more than that many.
        let ret = unsafe { libsrt_sys::srt_group_data(group, self.raw.as_mut_ptr(), &raw mut count) };
        if ret == libsrt_sys::SRT_ERROR && count <= self.raw.len() {
            return Err(Error::last("srt_group_data"));
        }
        self.set(count);
        Ok(count)
    }

    fn set(&mut self, count: usize) {
        self.needed = count;
        self.filled = if count <= self.raw.len() { count } else { 0 };
    }
}

impl fmt::Debug for MemberTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
