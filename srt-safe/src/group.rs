//! Bonding: several connections (links) between two sides that carry one stream.
//!
//! Owns groups on the calling side, and the group view of an accepted one. Runs on the caller's threads, except for a
//! hook that records on libsrt's threads which links failed to connect (`failures`). Like libsrt, it does not reconnect
//! a lost link: the application decides, with [`SrtGroup::add_links`].

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
    /// Every link carries every packet, and the receiver uses the first copy. Losing a link costs no time; the price is
    /// the bandwidth of all links.
    Broadcast,
    /// One link carries the stream: the working one with the greatest weight. When it becomes unstable, the next link
    /// is used as well, starting with everything unacknowledged, until one of them has proved stable. The latency must
    /// cover that: at least two round trips and the stability timeout (60 ms unless `SRTO_GROUPMINSTABLETIMEO` is set).
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

/// From the value in the handshake.
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

/// A link to connect: its addresses and settings (`SRT_SOCKGROUPCONFIG`).
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

    /// A link to `peer`, from an address and port that the system chooses, with weight 0.
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

    /// The local address, which selects the network of the link. Port 0: any.
    #[must_use]
    pub const fn source(mut self, source: SocketAddr) -> Self {
        self.source = Some(source);
        self
    }

    /// The priority of this link in a backup group: 0 to [`MAX_WEIGHT`](Self::MAX_WEIGHT), the greatest first.
    /// Broadcast ignores it.
    #[must_use]
    pub const fn weight(mut self, weight: u16) -> Self {
        self.weight = weight;
        self
    }

    /// A non-negative number chosen by the application, which [`Member::token`] and [`LinkFailure::token`] return.
    /// libsrt generates one if none is given.
    #[must_use]
    pub const fn token(mut self, token: i32) -> Self {
        self.token = Some(token);
        self
    }

    /// Options of this link alone (`srt_config_add`). libsrt allows only those of the network to differ: device, TTL,
    /// TOS, buffers, timeouts, loss tolerance; latency, encryption and bandwidth belong to the group.
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

/// The settings of a group to connect.
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
    /// Options for all links. Groups are in live message mode: conflicting options are refused.
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// The streamid, which replaces one in the options.
    pub fn stream_id(mut self, id: StreamId) -> Self {
        self.options = self.options.stream_id(id);
        self
    }

    /// Adds a link.
    pub fn link(mut self, link: GroupLink) -> Self {
        self.links.push(link);
        self
    }

    /// Connects, and waits for the first link: the others may still be connecting, or fail later.
    ///
    /// # Errors
    /// `InvalidState` if the library has no bonding. The first link's error, with its reject reason, if all failed.
    pub fn connect(&self) -> Result<SrtGroup> {
        let group = self.create()?;
        match connect_links(group.id(), &self.links) {
            Ok(_) => Ok(group),
            // libsrt reports "connection lost" whatever happened to the links; the hook has the cause.
            Err(error) if error.kind() == ErrorKind::ConnectionLost => Err(group
                .take_failures()
                .first()
                .map_or(error, |failure| failure.error())),
            Err(error) => Err(error),
        }
    }

    /// Starts to connect and does not wait; the group is non-blocking. Writable in an epoll: a link is connected; an
    /// error event: all failed, and [`SrtGroup::take_failures`] returns the causes.
    ///
    /// # Errors
    /// `InvalidState` if the library has no bonding; local errors.
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
            // A library without bonding fails here; versions differ in the error that they set, or set none. With
            // bonding, only resources can be missing, because the type is always valid.
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

/// A group of bonded links that is used like one socket. Dropping it closes it with all its links.
///
/// The calling side creates one with [`builder`](Self::builder). A listener with `SRTO_GROUPCONNECT` accepts a group as
/// an [`SrtSocket`] whose id [is a group's](SocketId::is_group); `SrtGroup::try_from` converts it, and further links of
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
    /// The type that it was created with. For an accepted group, libsrt returns what the caller announced.
    kind: Option<GroupType>,
}

impl sealed::Sealed for SrtGroup {}

impl AsSrtSocket for SrtGroup {
    fn socket_id(&self) -> SocketId {
        self.id()
    }
}

impl SrtGroup {
    /// Whether the linked libsrt supports bonding. The built one does; a distribution's may not.
    #[must_use]
    pub fn is_supported() -> bool {
        Self::builder(GroupType::Broadcast).create().is_ok()
    }

    /// Creates a builder for a group.
    pub const fn builder(kind: GroupType) -> SrtGroupBuilder {
        SrtGroupBuilder {
            kind,
            options: Options::new(),
            links: Vec::new(),
        }
    }

    /// Connects to several addresses with the same settings, and waits for the first one; [`builder`](Self::builder)
    /// offers more.
    ///
    /// # Errors
    /// Like [`SrtGroupBuilder::connect`], and system errors for names that do not resolve.
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

    /// The group of a socket, if any (`srt_groupof`).
    #[must_use]
    pub fn of(member: SocketId) -> Option<SocketId> {
        // SAFETY: srt_groupof takes any number.
        let group = unsafe { libsrt_sys::srt_groupof(member.value()) };
        (group != libsrt_sys::SRT_INVALID_SOCK).then_some(SocketId(group))
    }

    /// The type of the group; for an accepted one, the type that its caller announced (`SRTO_GROUPTYPE`).
    ///
    /// # Errors
    /// `InvalidState` if an accepted group has no link left.
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

    /// Connects further links, or reconnects lost ones (`srt_connect_group`). Does not wait for them.
    ///
    /// Returns for each link, in order, the id of its socket or why it could not start.
    ///
    /// # Errors
    /// If no link could start, or the group is closed.
    pub fn add_links(&self, links: &[GroupLink]) -> Result<Vec<Result<SocketId>>> {
        connect_links(self.id(), links)
    }

    /// Like [`add_links`](Self::add_links), for a group by its id.
    ///
    /// # Errors
    /// Like [`add_links`](Self::add_links).
    pub fn add_links_to(group: SocketId, links: &[GroupLink]) -> Result<Vec<Result<SocketId>>> {
        connect_links(group, links)
    }

    /// The links that failed to connect since the last call, oldest first. At most the last 64 are kept. Always empty
    /// for an accepted group.
    #[must_use]
    pub fn take_failures(&self) -> Vec<LinkFailure> {
        self.failures.as_ref().map_or_else(Vec::new, FailureHook::take)
    }

    /// The current links (`srt_group_data`).
    ///
    /// # Errors
    /// If the group is closed.
    pub fn members(&self) -> Result<Vec<Member>> {
        Self::members_of(self.id())
    }

    /// Like [`members`](Self::members), for a group by its id.
    ///
    /// # Errors
    /// If the group is closed, or the id is not a group's.
    pub fn members_of(group: SocketId) -> Result<Vec<Member>> {
        let mut table = MemberTable::with_capacity(8);
        loop {
            // If they do not fit, libsrt returns their number; another one may join in the meantime.
            let needed = table.read(group.value())?;
            if needed <= table.capacity() {
                return Ok(table.iter().collect());
            }
            table = MemberTable::with_capacity(needed);
        }
    }

    /// The state of the group: [`SocketState::Connected`] as long as one link is connected.
    #[must_use]
    pub fn state(&self) -> SocketState {
        self.socket.state()
    }

    /// Like [`SrtSocket::send`].
    ///
    /// # Errors
    /// Like [`SrtSocket::send`]; `ConnectionLost` if no link is left.
    pub fn send(&self, data: &[u8]) -> Result<usize> {
        self.socket.send(data).map_err(|error| self.told(error))
    }

    /// Like [`SrtSocket::send_message`].
    ///
    /// # Errors
    /// Like [`send`](Self::send).
    pub fn send_message(&self, data: &[u8], options: MessageOptions) -> Result<(usize, MessageInfo)> {
        self.socket
            .send_message(data, options)
            .map_err(|error| self.told(error))
    }

    /// [`send_message`](Self::send_message), then fills in the state of each link (`srt_group_data`). Allocates
    /// nothing.
    ///
    /// The table is empty if the group was closed in between.
    ///
    /// # Errors
    /// Like [`send`](Self::send).
    pub fn send_with_members(
        &self,
        data: &[u8],
        options: MessageOptions,
        members: &mut MemberTable,
    ) -> Result<(usize, MessageInfo)> {
        // Not with `grpdata` of SRT_MSGCTRL: a call that has to wait for a link increases its size, and then writes
        // past its end.
        let sent = self.send_message(data, options)?;
        members.read(self.id().value()).ok();
        Ok(sent)
    }

    /// Like [`SrtSocket::recv`].
    ///
    /// # Errors
    /// Like [`SrtSocket::recv`]; `ConnectionLost` if no link is left and everything was read.
    pub fn recv(&self, buffer: &mut [u8]) -> Result<usize> {
        self.socket.recv(buffer).map_err(|error| self.told(error))
    }

    /// Like [`SrtSocket::recv_message`].
    ///
    /// # Errors
    /// Like [`recv`](Self::recv).
    pub fn recv_message(&self, buffer: &mut [u8]) -> Result<(usize, MessageInfo)> {
        self.socket.recv_message(buffer).map_err(|error| self.told(error))
    }

    /// [`recv_message`](Self::recv_message), then fills in the state of each link (`srt_group_data`). Allocates
    /// nothing.
    ///
    /// The table is empty if the group was closed in between.
    ///
    /// # Errors
    /// Like [`recv`](Self::recv).
    pub fn recv_with_members(
        &self,
        buffer: &mut [u8],
        members: &mut MemberTable,
    ) -> Result<(usize, MessageInfo)> {
        let received = self.recv_message(buffer)?;
        members.read(self.id().value()).ok();
        Ok(received)
    }

    /// Like [`SrtSocket::set_nonblocking`].
    ///
    /// # Errors
    /// If the group is closed.
    pub fn set_nonblocking(&self) -> Result<()> {
        self.socket.set_nonblocking()
    }

    /// Like [`SrtSocket::set_blocking`].
    ///
    /// # Errors
    /// If the group is closed.
    pub fn set_blocking(&self) -> Result<()> {
        self.socket.set_blocking()
    }

    /// The group as a socket, for what groups and sockets have in common: options, statistics, timeouts.
    #[must_use]
    pub const fn as_socket(&self) -> &SrtSocket {
        &self.socket
    }

    /// Closes the group and its links (`srt_close`).
    ///
    /// # Errors
    /// If libsrt has already closed it.
    pub fn close(self) -> Result<()> {
        let Self { socket, failures, .. } = self;
        let closed = socket.close();
        drop(failures);
        closed
    }

    /// libsrt reports "not connected" both before the first link and after the last one.
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
        // The error that stopped a link before it started is more specific than the call's.
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

    /// Converts an accepted socket, if it is a group's.
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
    /// Converts back to a socket, which ends [`SrtGroup::take_failures`].
    fn from(group: SrtGroup) -> Self {
        // libsrt keeps the hook's key in the group; without its registration, the hook does nothing.
        group.socket
    }
}

/// The socket is not a group's: its caller is not bonded.
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
