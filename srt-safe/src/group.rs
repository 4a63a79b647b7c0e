//! Bonding: several connections (links) between two sides that carry one stream.
//!
//! Owns groups on the calling side, and the group view of an accepted one. Runs on the caller's threads, but for a hook that
//! notes on libsrt's threads which links failed to connect (`failures`). It does not connect a lost link again, as libsrt
//! does not either: that is the application's decision, made with [`SrtGroup::add_links`].

mod failures;
mod members;

use std::{
    ffi::c_int,
    fmt,
    net::{SocketAddr, ToSocketAddrs},
    ptr,
};

use libsrt_sys::{SRT_ERRNO, SRT_GROUP_TYPE, SRT_SOCKGROUPCONFIG, SRT_SOCKOPT};

pub use self::{
    failures::LinkFailure,
    members::{Member, MemberState, MemberTable},
};
use crate::{
    AsSrtSocket, Error, ErrorKind, MessageInfo, MessageOptions, Options, Result, SocketId, SocketState,
    SrtSocket, StreamId, ffi, ffi::OwnedSocket, group::failures::FailureHook, init, options::Stage,
    socket::sealed,
};

const NO_BONDING: Error = Error::new(
    SRT_ERRNO::SRT_EINVOP,
    "srt_create_group",
    "the linked libsrt is built without bonding (ENABLE_BONDING): link another, or build without the feature `system`",
);

/// How a group uses its links (`SRT_GROUP_TYPE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GroupType {
    /// Every packet goes over every link, and the receiver takes what comes first. Losing a link costs no time at all;
    /// the price is the bandwidth of all links.
    Broadcast,
    /// One link carries the stream: the one with the greatest weight that works. When it becomes unstable the next is used
    /// besides, with all that has not been acknowledged, until one of them has proven itself. Give the latency room for that:
    /// at least two round trips and the stability time-out (60 ms unless `SRTO_GROUPMINSTABLETIMEO` says otherwise).
    Backup,
}

impl GroupType {
    const fn to_raw(self) -> SRT_GROUP_TYPE {
        match self {
            Self::Broadcast => SRT_GROUP_TYPE::SRT_GTYPE_BROADCAST,
            Self::Backup => SRT_GROUP_TYPE::SRT_GTYPE_BACKUP,
        }
    }

    fn from_raw(raw: c_int) -> Option<Self> {
        [Self::Broadcast, Self::Backup]
            .into_iter()
            .find(|kind| u32::try_from(raw).is_ok_and(|raw| kind.to_raw().0 == raw))
    }
}

/// As the handshake has it.
pub(crate) fn kind_from_raw(raw: c_int) -> Option<GroupType> {
    GroupType::from_raw(raw)
}

impl fmt::Display for GroupType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Broadcast => "broadcast",
            Self::Backup => "backup",
        })
    }
}

/// One link to connect: where to, from where, and its particulars (`SRT_SOCKGROUPCONFIG`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupLink {
    peer: SocketAddr,
    source: Option<SocketAddr>,
    weight: u16,
    token: Option<i32>,
    options: Options,
}

impl GroupLink {
    /// The greatest weight.
    pub const MAX_WEIGHT: u16 = 32767;

    /// A link to `peer`, from an address and port of the system's choice, of weight 0.
    #[must_use]
    pub const fn new(peer: SocketAddr) -> Self {
        Self {
            peer,
            source: None,
            weight: 0,
            token: None,
            options: Options::new(),
        }
    }

    /// The local address, which decides over which network the link goes. Port 0: any.
    #[must_use]
    pub const fn source(mut self, source: SocketAddr) -> Self {
        self.source = Some(source);
        self
    }

    /// How much a backup group prefers this link: 0 to [`MAX_WEIGHT`](Self::MAX_WEIGHT), greatest first. Broadcast ignores it.
    #[must_use]
    pub const fn weight(mut self, weight: u16) -> Self {
        self.weight = weight;
        self
    }

    /// A number of the application's own, not negative, by which [`Member::token`] and [`LinkFailure::token`] know this
    /// link. libsrt makes one up where none is given.
    #[must_use]
    pub const fn token(mut self, token: i32) -> Self {
        self.token = Some(token);
        self
    }

    /// Options of this link alone (`srt_config_add`). libsrt lets only those of the network differ: device, TTL, TOS, buffers,
    /// time-outs, loss tolerance; latency, encryption and bandwidth are the group's.
    #[must_use]
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    fn check(&self) -> Result<()> {
        let wrong = |detail| Err(Error::invalid_input("srt_prepare_endpoint", detail));
        if self.weight > Self::MAX_WEIGHT {
            return wrong("the weight of a link is at most 32767");
        }
        if self
            .source
            .is_some_and(|source| source.is_ipv4() != self.peer.is_ipv4())
        {
            return wrong("the local address of a link is not of the peer's address family");
        }
        if self.token.is_some_and(|token| token < 0) {
            return wrong("the token of a link must not be negative");
        }
        Ok(())
    }
}

/// What is to be connected as a group.
///
/// ```no_run
/// use std::time::Duration;
/// use srt_safe::{GroupLink, GroupType, Options, SrtGroup};
///
/// let group = SrtGroup::builder(GroupType::Backup)
///     .options(Options::new().latency(Duration::from_millis(500)))
///     .link(GroupLink::new("192.0.2.1:9000".parse()?).weight(10))
///     .link(GroupLink::new("198.51.100.1:9000".parse()?))
///     .connect()?;
/// group.send(b"a packet")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing happens before connect"]
pub struct SrtGroupBuilder {
    kind: GroupType,
    options: Options,
    links: Vec<GroupLink>,
}

impl SrtGroupBuilder {
    /// Options for all links. Groups are live, in messages: options that say otherwise are refused.
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// The streamid, in place of one in the options.
    pub fn stream_id(mut self, id: StreamId) -> Self {
        self.options = self.options.stream_id(id);
        self
    }

    /// Adds a link.
    pub fn link(mut self, link: GroupLink) -> Self {
        self.links.push(link);
        self
    }

    /// Connects, and waits for the first link: the others may still be on their way, or fail later.
    ///
    /// # Errors
    /// `InvalidState` if the library has no bonding. The first link's error, with its reject reason, when all failed.
    pub fn connect(&self) -> Result<SrtGroup> {
        let group = self.create()?;
        match connect_links(group.id(), &self.links) {
            Ok(_) => Ok(group),
            // libsrt says "connection lost" whatever happened to the links. The hook knows better.
            Err(error) if error.kind() == ErrorKind::ConnectionLost => Err(group
                .take_failures()
                .first()
                .map_or(error, |failure| failure.error())),
            Err(error) => Err(error),
        }
    }

    /// Begins to connect and does not wait; the group is non-blocking. Writable in an epoll: a link is connected; an error
    /// event: all failed, and [`SrtGroup::take_failures`] tells why.
    ///
    /// # Errors
    /// `InvalidState` if the library has no bonding; errors of this side.
    pub fn start_connect(&self) -> Result<SrtGroup> {
        let group = self.create()?;
        group.set_nonblocking()?;
        connect_links(group.id(), &self.links)?;
        Ok(group)
    }

    fn create(&self) -> Result<SrtGroup> {
        init::ensure_started()?;
        // SAFETY: the library is started; the call has no other precondition.
        let id = unsafe { libsrt_sys::srt_create_group(self.kind.to_raw()) };
        let id = ffi::check("srt_create_group", id).map_err(|error| {
            // A library without bonding fails here, and versions differ in the error that they set, or set none. With it only
            // resources can be missing, as the type is always a valid one.
            if error.kind() == ErrorKind::OutOfResources {
                error
            } else {
                NO_BONDING
            }
        })?;
        let socket = SrtSocket {
            raw: OwnedSocket::adopt(id),
        };
        self.options.apply(id, Stage::Group)?;
        let failures = FailureHook::install(id)?;
        Ok(SrtGroup {
            socket,
            failures: Some(failures),
            kind: Some(self.kind),
        })
    }
}

/// A group of bonded links that is used like one socket. Closed, with all its links, on drop.
///
/// The calling side makes one with [`builder`](Self::builder). A listener with `SRTO_GROUPCONNECT` on accepts a group as an
/// [`SrtSocket`] whose id [is a group's](SocketId::is_group); `SrtGroup::try_from` makes a group of it, and further links of
/// the same caller join it without being accepted.
///
/// ```text
///   link:  Pending ──connected──> Idle ──used──> Running
///             └──────────────── failed ────────────┴──> Broken ──> (gone from the group)
///   group: writable and readable as long as one link is; broken, for good, when the last link is gone
/// ```
#[derive(Debug)]
pub struct SrtGroup {
    // Declared first, so closed first: the hook must outlive the links.
    socket: SrtSocket,
    failures: Option<FailureHook>,
    /// What it was made as; an accepted group asks libsrt, which only knows what a caller has announced.
    kind: Option<GroupType>,
}

impl sealed::Sealed for SrtGroup {}

impl AsSrtSocket for SrtGroup {
    fn socket_id(&self) -> SocketId {
        self.id()
    }
}

impl SrtGroup {
    /// Whether the linked libsrt has bonding. The built one has; a distribution's may not.
    #[must_use]
    pub fn is_supported() -> bool {
        Self::builder(GroupType::Broadcast).create().is_ok()
    }

    /// Sets a group up.
    pub const fn builder(kind: GroupType) -> SrtGroupBuilder {
        SrtGroupBuilder {
            kind,
            options: Options::new(),
            links: Vec::new(),
        }
    }

    /// Connects to several addresses with the same settings, and waits for the first: [`builder`](Self::builder) does more.
    ///
    /// # Errors
    /// As [`SrtGroupBuilder::connect`], and of the system for names that do not resolve.
    pub fn connect(kind: GroupType, peers: impl ToSocketAddrs) -> Result<Self> {
        let peers = peers
            .to_socket_addrs()
            .map_err(|_| Error::invalid_input("srt_connect_group", "cannot resolve the addresses"))?;
        peers
            .map(GroupLink::new)
            .fold(Self::builder(kind), SrtGroupBuilder::link)
            .connect()
    }

    /// The group's id.
    #[must_use]
    pub fn id(&self) -> SocketId {
        self.socket.id()
    }

    /// The group that a socket belongs to, if any (`srt_groupof`).
    #[must_use]
    pub fn of(member: SocketId) -> Option<SocketId> {
        // SAFETY: srt_groupof takes any number.
        let group = unsafe { libsrt_sys::srt_groupof(member.value()) };
        (group != libsrt_sys::SRT_INVALID_SOCK).then_some(SocketId(group))
    }

    /// What kind of group it is; for an accepted one, what its caller has announced (`SRTO_GROUPTYPE`).
    ///
    /// # Errors
    /// `InvalidState` when an accepted group has no link any more.
    pub fn kind(&self) -> Result<GroupType> {
        if let Some(kind) = self.kind {
            return Ok(kind);
        }
        let raw = ffi::socket_flag(self.socket.raw.id(), SRT_SOCKOPT::SRTO_GROUPTYPE)?;
        GroupType::from_raw(raw).ok_or(Error::new(
            SRT_ERRNO::SRT_EINVOP,
            "SRTO_GROUPTYPE",
            "the group has no link",
        ))
    }

    /// Connects further links, or lost ones again (`srt_connect_group`). Does not wait for them.
    ///
    /// Tells for each link, in their order, the id of its socket or why it could not even begin.
    ///
    /// # Errors
    /// When no link could begin, or the group is closed.
    pub fn add_links(&self, links: &[GroupLink]) -> Result<Vec<Result<SocketId>>> {
        connect_links(self.id(), links)
    }

    /// As [`add_links`](Self::add_links), for a group whose handle somebody else has.
    ///
    /// # Errors
    /// As [`add_links`](Self::add_links).
    pub fn add_links_to(group: SocketId, links: &[GroupLink]) -> Result<Vec<Result<SocketId>>> {
        connect_links(group, links)
    }

    /// What became of the links that failed to connect since the last call, oldest first. At most the last 64 are kept.
    /// Always empty for an accepted group.
    #[must_use]
    pub fn take_failures(&self) -> Vec<LinkFailure> {
        self.failures.as_ref().map_or_else(Vec::new, FailureHook::take)
    }

    /// The links as they are now (`srt_group_data`).
    ///
    /// # Errors
    /// When the group is closed.
    pub fn members(&self) -> Result<Vec<Member>> {
        Self::members_of(self.id())
    }

    /// As [`members`](Self::members), for a group whose handle somebody else has.
    ///
    /// # Errors
    /// When the group is closed, or is none.
    pub fn members_of(group: SocketId) -> Result<Vec<Member>> {
        let mut table = MemberTable::with_capacity(8);
        loop {
            // libsrt tells how many there are when they do not fit; one may join meanwhile.
            let needed = table.read(group.value())?;
            if needed <= table.capacity() {
                return Ok(table.iter().collect());
            }
            table = MemberTable::with_capacity(needed);
        }
    }

    /// Where the group is in its life: [`SocketState::Connected`] as long as one link is.
    #[must_use]
    pub fn state(&self) -> SocketState {
        self.socket.state()
    }

    /// As [`SrtSocket::send`].
    ///
    /// # Errors
    /// As [`SrtSocket::send`]; `ConnectionLost` when no link is left.
    pub fn send(&self, data: &[u8]) -> Result<usize> {
        self.socket.send(data).map_err(|error| self.told(error))
    }

    /// As [`SrtSocket::send_message`].
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_message(&self, data: &[u8], options: MessageOptions) -> Result<(usize, MessageInfo)> {
        self.socket
            .send_message(data, options)
            .map_err(|error| self.told(error))
    }

    /// [`send_message`](Self::send_message), then fills in the state of each link (`srt_group_data`). Allocates nothing.
    ///
    /// The table is empty when the group was closed in between.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_with_members(
        &self,
        data: &[u8],
        options: MessageOptions,
        members: &mut MemberTable,
    ) -> Result<(usize, MessageInfo)> {
        // Not with `grpdata` of SRT_MSGCTRL: a call that has to wait for a link enlarges its size, and then writes past it.
        let sent = self.send_message(data, options)?;
        members.read(self.id().value()).ok();
        Ok(sent)
    }

    /// As [`SrtSocket::recv`].
    ///
    /// # Errors
    /// As [`SrtSocket::recv`]; `ConnectionLost` when no link is left and all was read.
    pub fn recv(&self, buffer: &mut [u8]) -> Result<usize> {
        self.socket.recv(buffer).map_err(|error| self.told(error))
    }

    /// As [`SrtSocket::recv_message`].
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn recv_message(&self, buffer: &mut [u8]) -> Result<(usize, MessageInfo)> {
        self.socket.recv_message(buffer).map_err(|error| self.told(error))
    }

    /// [`recv_message`](Self::recv_message), then fills in the state of each link (`srt_group_data`). Allocates nothing.
    ///
    /// The table is empty when the group was closed in between.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn recv_with_members(
        &self,
        buffer: &mut [u8],
        members: &mut MemberTable,
    ) -> Result<(usize, MessageInfo)> {
        let received = self.recv_message(buffer)?;
        members.read(self.id().value()).ok();
        Ok(received)
    }

    /// As [`SrtSocket::set_nonblocking`].
    ///
    /// # Errors
    /// When the group is closed.
    pub fn set_nonblocking(&self) -> Result<()> {
        self.socket.set_nonblocking()
    }

    /// As [`SrtSocket::set_blocking`].
    ///
    /// # Errors
    /// When the group is closed.
    pub fn set_blocking(&self) -> Result<()> {
        self.socket.set_blocking()
    }

    /// The group as a socket, for what groups and sockets have in common: options, statistics, time-outs.
    #[must_use]
    pub const fn as_socket(&self) -> &SrtSocket {
        &self.socket
    }

    /// Closes the group and its links (`srt_close`).
    ///
    /// # Errors
    /// When libsrt has closed it already.
    pub fn close(self) -> Result<()> {
        let Self { socket, failures, .. } = self;
        let closed = socket.close();
        drop(failures);
        closed
    }

    /// libsrt says "not connected" both before the first link and after the last one.
    fn told(&self, error: Error) -> Error {
        // A link that was just lost can count as connected for another moment.
        let to_come = matches!(
            self.state(),
            SocketState::Init | SocketState::Opened | SocketState::Connecting
        );
        if error.kind() == ErrorKind::NotConnected && !to_come {
            Error::new(
                SRT_ERRNO::SRT_ECONNLOST,
                error.operation(),
                "the group has lost its last link",
            )
        } else {
            error
        }
    }
}

fn connect_links(group: SocketId, links: &[GroupLink]) -> Result<Vec<Result<SocketId>>> {
    if links.is_empty() {
        return Err(Error::invalid_input(
            "srt_connect_group",
            "a group needs at least one link",
        ));
    }
    let configs = links.iter().map(LinkConfig::new).collect::<Result<Vec<_>>>()?;
    let mut endpoints: Vec<_> = links
        .iter()
        .zip(&configs)
        .map(|(link, config)| endpoint(link, config))
        .collect();
    // SAFETY: libsrt takes any number for the group; pointer and length describe `endpoints`; the option objects that they
    // name live until the end of this function, and libsrt applies them before it returns.
    let ret = unsafe {
        libsrt_sys::srt_connect_group(group.value(), endpoints.as_mut_ptr(), ffi::c_len(endpoints.len()))
    };
    let outcomes = endpoints.iter().map(outcome).collect::<Vec<_>>();
    match ffi::check("srt_connect_group", ret) {
        Ok(_) => Ok(outcomes),
        // What stopped a link before it began says more than the call's own error.
        Err(error) => Err(outcomes.into_iter().find_map(Result::err).unwrap_or(error)),
    }
}

fn endpoint(link: &GroupLink, config: &LinkConfig) -> SRT_SOCKGROUPCONFIG {
    let mut endpoint = ffi::with_sockaddr(link.peer, |peer, len| match link.source {
        Some(source) => ffi::with_sockaddr(source, |source, _| {
            // SAFETY: both addresses are of the same family (`GroupLink::check`), so of `len` bytes.
            unsafe { libsrt_sys::srt_prepare_endpoint(source, peer, len) }
        }),
        // SAFETY: the pointer and the length describe `peer`; null stands for no source.
        None => unsafe { libsrt_sys::srt_prepare_endpoint(ptr::null(), peer, len) },
    });
    endpoint.weight = link.weight;
    endpoint.token = link.token.unwrap_or(-1);
    endpoint.config = config.0;
    endpoint
}

fn outcome(endpoint: &SRT_SOCKGROUPCONFIG) -> Result<SocketId> {
    if endpoint.errorcode == SRT_ERRNO::SRT_SUCCESS.0 {
        Ok(SocketId(endpoint.id))
    } else {
        Err(Error::from_code(endpoint.errorcode, "srt_connect_group"))
    }
}

/// Options of one link in libsrt's form, or null for none.
struct LinkConfig(*mut libsrt_sys::SRT_SOCKOPT_CONFIG);

impl LinkConfig {
    fn new(link: &GroupLink) -> Result<Self> {
        link.check()?;
        if link.options.is_empty() {
            return Ok(Self(ptr::null_mut()));
        }
        // SAFETY: no precondition.
        let config = Self(unsafe { libsrt_sys::srt_create_config() });
        if config.0.is_null() {
            return Err(NO_BONDING);
        }
        link.options.for_each_encoded(|option, value| {
            // SAFETY: the object is alive; pointer and length describe `value`, which libsrt copies.
            let ret = unsafe {
                libsrt_sys::srt_config_add(config.0, option, value.as_ptr().cast(), ffi::c_len(value.len()))
            };
            if ret == libsrt_sys::SRT_ERROR {
                return Err(Error::invalid_input(
                    "srt_config_add",
                    "an option cannot differ between the links of a group: set it on the group",
                ));
            }
            Ok(())
        })?;
        Ok(config)
    }
}

impl Drop for LinkConfig {
    fn drop(&mut self) {
        // SAFETY: made by srt_create_config, or null, which libsrt ignores; nobody uses it any more.
        unsafe { libsrt_sys::srt_delete_config(self.0) };
    }
}

impl TryFrom<SrtSocket> for SrtGroup {
    type Error = NotAGroup;

    /// Makes a group of an accepted socket, if it is one.
    fn try_from(socket: SrtSocket) -> Result<Self, NotAGroup> {
        if socket.id().is_group() {
            Ok(Self {
                socket,
                failures: None,
                kind: None,
            })
        } else {
            Err(NotAGroup(socket))
        }
    }
}

impl From<SrtGroup> for SrtSocket {
    /// Gives the distinction up, which ends [`SrtGroup::take_failures`].
    fn from(group: SrtGroup) -> Self {
        // libsrt keeps the hook's key in the group; with its registration gone, the hook does nothing.
        group.socket
    }
}

/// The socket is a plain one, from a caller without bonding.
#[derive(Debug)]
pub struct NotAGroup(SrtSocket);

impl NotAGroup {
    /// The socket.
    #[must_use]
    pub fn into_socket(self) -> SrtSocket {
        self.0
    }
}

impl fmt::Display for NotAGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the socket is not a group of bonded links")
    }
}

impl std::error::Error for NotAGroup {}

const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<SrtGroup>();
    shared::<SrtGroupBuilder>();
    shared::<MemberTable>();
};
