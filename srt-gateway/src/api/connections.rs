//! Limits the TCP connections of the API: in total and per address, with a reserve for probes.
//!
//! A connection beyond a limit is not left in the system's queue, where a probe would wait behind it. It replaces a
//! connection that has no request under way, or whose client does not read its answer; if there is none, it may only
//! request `/healthz` or `/readyz`. Used on the API's thread; the lock is held for a look-up.

use std::{
    collections::{HashMap, HashSet, hash_map},
    net::{IpAddr, Ipv6Addr},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::Notify;

/// Connections in total.
pub(super) const MOST: usize = 512;

/// Connections per address; an IPv6 address counts as its /64.
pub(super) const MOST_OF_ADDRESS: usize = 256;

/// Connections beyond these limits, for probes.
pub(super) const RESERVE: usize = 32;

/// The longest part of an answer that is passed on at once. The rest stays in [`AnswerBody`], and is counted.
const PART: usize = 64 << 10;

/// Unread bytes of answers per address. A client that requests more loses the oldest of these answers.
const UNREAD_OF_ADDRESS: usize = 32 << 20;

/// Unread bytes of answers in total.
const UNREAD: usize = 128 << 20;

/// A connection whose answer has not been read for this long may be replaced.
const STUCK_AFTER: Duration = Duration::from_secs(2);

/// What a new connection may request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    Everything,
    /// `/healthz` and `/readyz`.
    ProbesOnly,
}

/// The open connections.
#[derive(Debug, Default)]
pub(super) struct Connections(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    /// Advances with each connection and each end of a request.
    clock: u64,
    open: HashMap<u64, Arc<TrackedConnection>>,
    /// Connections of each address, without those of the reserve.
    regular: HashMap<IpAddr, usize>,
    /// Connections of the reserve.
    probes: usize,
}

#[derive(Debug)]
struct TrackedConnection {
    address: IpAddr,
    service: Service,
    /// Requests under way: at most 1, until its answer has been sent.
    requests: AtomicUsize,
    /// The table's clock when it last became idle.
    idle_since: AtomicU64,
    /// Bytes of an answer that are not read yet; 0: too few to count.
    unread: AtomicUsize,
    /// The table's clock when these started to wait.
    unread_since: AtomicU64,
    opened: Instant,
    /// When these started to wait or were last read, in milliseconds since `opened`.
    read_at: AtomicU64,
    evicted: Notify,
}

impl TrackedConnection {
    fn is_idle(&self) -> bool {
        self.requests.load(Relaxed) == 0
    }

    /// Records that a part of the answer was read.
    fn note_reading(&self) {
        let at = self.opened.elapsed().as_millis();
        self.read_at.store(u64::try_from(at).unwrap_or(u64::MAX), Relaxed);
    }

    /// Whether the client has stopped reading its answer.
    fn is_stuck(&self, now: Instant) -> bool {
        let read_at = self.opened + Duration::from_millis(self.read_at.load(Relaxed));
        self.unread.load(Relaxed) > 0 && now.saturating_duration_since(read_at) >= STUCK_AFTER
    }
}

impl Connections {
    /// A permit for a connection from this address; None: not even the reserve has one.
    pub(super) fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<ConnectionPermit> {
        self.admit_for(peer, Service::Everything)
    }

    /// A permit of the reserve, for a connection that uses one of the last descriptors.
    pub(super) fn admit_probe(self: &Arc<Self>, peer: IpAddr) -> Option<ConnectionPermit> {
        self.admit_for(peer, Service::ProbesOnly)
    }

    fn admit_for(self: &Arc<Self>, peer: IpAddr, wanted: Service) -> Option<ConnectionPermit> {
        let address = network(peer);
        let mut table = self.table();
        let service = table.make_room(address, wanted, Instant::now())?;
        table.clock += 1;
        let id = table.clock;
        let entry = Arc::new(TrackedConnection {
            address,
            service,
            requests: AtomicUsize::new(0),
            idle_since: AtomicU64::new(id),
            unread: AtomicUsize::new(0),
            unread_since: AtomicU64::new(id),
            opened: Instant::now(),
            read_at: AtomicU64::new(0),
            evicted: Notify::new(),
        });
        table.insert(id, Arc::clone(&entry));
        drop(table);
        Some(ConnectionPermit {
            id,
            entry,
            connections: Arc::clone(self),
        })
    }

    /// Closes the connection with this service that has been idle for longest, or else one whose client does not read
    /// its answer; returns false if there is none.
    pub(super) fn evict_idle(&self, service: Service) -> bool {
        self.table()
            .evict(|entry| entry.service == service, Instant::now())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.table().open.is_empty()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn insert(&mut self, id: u64, entry: Arc<TrackedConnection>) {
        match entry.service {
            Service::Everything => *self.regular.entry(entry.address).or_default() += 1,
            Service::ProbesOnly => self.probes += 1,
        }
        self.open.insert(id, entry);
    }

    fn remove(&mut self, id: u64) -> Option<Arc<TrackedConnection>> {
        let entry = self.open.remove(&id)?;
        match entry.service {
            Service::Everything => {
                if let hash_map::Entry::Occupied(mut count) = self.regular.entry(entry.address) {
                    *count.get_mut() -= 1;
                    if *count.get() == 0 {
                        count.remove();
                    }
                }
            }
            Service::ProbesOnly => self.probes -= 1,
        }
        Some(entry)
    }

    /// What a new connection of this address may request, once there is room for it; None: there is no room.
    fn make_room(&mut self, address: IpAddr, wanted: Service, now: Instant) -> Option<Service> {
        let is_regular = |entry: &TrackedConnection| entry.service == Service::Everything;
        if wanted == Service::Everything {
            let is_own = |entry: &TrackedConnection| is_regular(entry) && entry.address == address;
            let own = self.regular.get(&address).copied().unwrap_or(0);
            let has_room = if own >= MOST_OF_ADDRESS {
                self.evict(is_own, now)
            } else if self.open.len() - self.probes >= MOST {
                // The address with the most connections gives way, and of several the one that has been idle for
                // longest.
                let busiest = self.busiest_addresses();
                self.evict(|entry| is_regular(entry) && busiest.contains(&entry.address), now)
                    || self.evict(is_regular, now)
            } else {
                true
            };
            if has_room {
                return Some(Service::Everything);
            }
        }
        let is_probe = |entry: &TrackedConnection| !is_regular(entry);
        let has_room = self.probes < RESERVE || self.evict(is_probe, now);
        has_room.then_some(Service::ProbesOnly)
    }

    /// The addresses with the most connections.
    fn busiest_addresses(&self) -> HashSet<IpAddr> {
        let most = self.regular.values().copied().max();
        let busiest = self.regular.iter().filter(|(_, count)| Some(**count) == most);
        busiest.map(|(address, _)| *address).collect()
    }

    /// The address with the most unread bytes of answers.
    fn address_with_most_unread(&self) -> Option<IpAddr> {
        let mut amounts = HashMap::<IpAddr, usize>::new();
        for entry in self.open.values() {
            *amounts.entry(entry.address).or_default() += entry.unread.load(Relaxed);
        }
        let most = amounts.into_iter().max_by_key(|(_, amount)| *amount);
        most.map(|(address, _)| address)
    }

    /// Closes the connection among these that has been idle for longest; if all have requests, the one with the oldest
    /// unread answer.
    fn evict(&mut self, is_meant: impl Fn(&TrackedConnection) -> bool, now: Instant) -> bool {
        let is_idle = |entry: &TrackedConnection| entry.is_idle() && is_meant(entry);
        let is_stuck = |entry: &TrackedConnection| entry.is_stuck(now) && is_meant(entry);
        self.evict_oldest(is_idle, |entry| &entry.idle_since)
            || self.evict_oldest(is_stuck, |entry| &entry.unread_since)
    }

    fn evict_oldest(
        &mut self,
        is_meant: impl Fn(&TrackedConnection) -> bool,
        since: impl Fn(&TrackedConnection) -> &AtomicU64,
    ) -> bool {
        let meant = self.open.iter().filter(|(_, entry)| is_meant(entry));
        let oldest = meant.min_by_key(|(_, entry)| since(entry).load(Relaxed));
        let Some(id) = oldest.map(|(id, _)| *id) else {
            return false;
        };
        if let Some(entry) = self.remove(id) {
            entry.evicted.notify_one();
        }
        true
    }

    fn unread(&self, is_counted: impl Fn(&TrackedConnection) -> bool) -> usize {
        let counted = self.open.values().filter(|entry| is_counted(entry));
        counted.map(|entry| entry.unread.load(Relaxed)).sum()
    }

    /// Closes the connections with the oldest unread answers until this connection's answer fits.
    fn make_room_for_answer(&mut self, address: IpAddr) {
        let is_own = |entry: &TrackedConnection| entry.address == address;
        let newest = self.clock;
        let evictable = |entry: &TrackedConnection| {
            entry.unread.load(Relaxed) > 0 && entry.unread_since.load(Relaxed) < newest
        };
        while self.unread(is_own) > UNREAD_OF_ADDRESS
            && self.evict_oldest(
                |entry| is_own(entry) && evictable(entry),
                |entry| &entry.unread_since,
            )
        {}
        while self.unread(|_| true) > UNREAD {
            let Some(worst) = self.address_with_most_unread() else {
                return;
            };
            let is_meant = |entry: &TrackedConnection| entry.address == worst && evictable(entry);
            if !self.evict_oldest(is_meant, |entry| &entry.unread_since) {
                return;
            }
        }
    }
}

/// A connection's permit, released when dropped.
#[derive(Debug)]
pub(super) struct ConnectionPermit {
    id: u64,
    entry: Arc<TrackedConnection>,
    connections: Arc<Connections>,
}

impl ConnectionPermit {
    pub(super) fn service(&self) -> Service {
        self.entry.service
    }

    /// Waits until another connection needs this permit.
    pub(super) async fn evicted(&self) {
        self.entry.evicted.notified().await;
    }

    /// Marks a request as under way until the result is dropped.
    pub(super) fn begin_request(self: &Arc<Self>) -> InRequest {
        self.entry.requests.fetch_add(1, Relaxed);
        InRequest(Arc::clone(self))
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.connections.table().remove(self.id);
    }
}

/// Marks a connection as busy.
#[derive(Debug)]
pub(super) struct InRequest(Arc<ConnectionPermit>);

impl Drop for InRequest {
    fn drop(&mut self) {
        let mut table = self.0.connections.table();
        table.clock += 1;
        self.0.entry.idle_since.store(table.clock, Relaxed);
        self.0.entry.requests.fetch_sub(1, Relaxed);
    }
}

/// Counts the unread bytes of an answer until dropped.
#[derive(Debug)]
struct Unread(Arc<ConnectionPermit>);

impl Drop for Unread {
    fn drop(&mut self) {
        self.0.entry.unread.store(0, Relaxed);
    }
}

/// The body of an answer, and the request that it ends. A long body is passed on in parts, so that it stays here, where
/// it is counted, until the client has read it.
#[derive(Debug)]
pub(super) struct AnswerBody {
    body: Body,
    /// The part of the last frame that has not been passed on.
    rest: Bytes,
    _unread: Option<Unread>,
    request: InRequest,
}

impl AnswerBody {
    pub(super) fn new(body: Body, request: InRequest) -> Self {
        let permit = &request.0;
        let length = HttpBody::size_hint(&body).exact().unwrap_or(0);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let unread = (length > PART).then(|| {
            let mut table = permit.connections.table();
            table.clock += 1;
            permit.entry.unread_since.store(table.clock, Relaxed);
            permit.entry.note_reading();
            permit.entry.unread.store(length, Relaxed);
            table.make_room_for_answer(permit.entry.address);
            Unread(Arc::clone(permit))
        });
        Self {
            body,
            rest: Bytes::new(),
            _unread: unread,
            request,
        }
    }
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                other => return Poll::Ready(other),
            };
            match frame.into_data() {
                Ok(data) => self.rest = data,
                Err(other) => return Poll::Ready(Some(Ok(other))),
            }
        }
        let length = self.rest.len().min(PART);
        self.request.0.entry.note_reading();
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let body = HttpBody::size_hint(&self.body);
        let rest = self.rest.len() as u64;
        match body.exact() {
            Some(length) => SizeHint::with_exact(length + rest),
            None => SizeHint::default(),
        }
    }
}

/// The unit that counts as one address: an IPv6 customer has a whole /64.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    fn admit(connections: &Arc<Connections>, count: usize, from: u8) -> Vec<Arc<ConnectionPermit>> {
        let admitted = (0..count).filter_map(|_| connections.admit(address(from)));
        admitted.map(Arc::new).collect()
    }

    fn is_open(permit: &ConnectionPermit) -> bool {
        permit.connections.table().open.contains_key(&permit.id)
    }

    #[test]
    fn one_address_pushes_out_its_own_idle_connections_only() {
        let connections = Arc::<Connections>::default();
        let other = admit(&connections, 1, 1);
        let many = admit(&connections, 1000, 2);
        assert!(many.iter().all(|permit| permit.service() == Service::Everything));
        assert_eq!(
            many.iter().filter(|permit| is_open(permit)).count(),
            MOST_OF_ADDRESS
        );
        assert!(is_open(many.last().unwrap()) && !is_open(&many[0]));
        assert!(is_open(&other[0]));
    }

    #[test]
    fn when_all_are_taken_whoever_has_most_gives_way() {
        let connections = Arc::<Connections>::default();
        let many = admit(&connections, 250, 1);
        let few: Vec<_> = (10..141).flat_map(|from| admit(&connections, 2, from)).collect();
        assert_eq!(many.len() + few.len(), MOST);
        let newest = admit(&connections, 1, 200);
        assert_eq!(newest[0].service(), Service::Everything);
        assert!(few.iter().all(|permit| is_open(permit)));
        assert!(!is_open(&many[0]));
    }

    #[test]
    fn of_many_addresses_with_one_connection_the_idlest_gives_way() {
        let connections = Arc::<Connections>::default();
        let addresses = (0..=u32::try_from(MOST).unwrap()).map(|n| IpAddr::V4(n.into()));
        let all: Vec<_> = addresses.filter_map(|from| connections.admit(from)).collect();
        assert_eq!(all.len(), MOST + 1);
        let open: Vec<_> = all.iter().map(is_open).collect();
        assert!(!open[0] && open[1..].iter().all(|is_open| *is_open));
    }

    #[test]
    fn busy_connections_stay_and_newcomers_may_probe() {
        let connections = Arc::<Connections>::default();
        let busy = admit(&connections, MOST_OF_ADDRESS, 1);
        let mut requests: Vec<_> = busy.iter().map(ConnectionPermit::begin_request).collect();
        let probes = admit(&connections, RESERVE + 5, 1);
        assert!(
            probes
                .iter()
                .all(|permit| permit.service() == Service::ProbesOnly)
        );
        assert!(busy.iter().all(|permit| is_open(permit)));
        assert_eq!(probes.iter().filter(|permit| is_open(permit)).count(), RESERVE);
        // A request has ended: its connection is the one to be replaced.
        requests.swap_remove(7);
        assert_eq!(admit(&connections, 1, 1)[0].service(), Service::Everything);
        assert!(!is_open(&busy[7]));
    }

    #[test]
    fn nobody_gets_in_where_all_have_requests_and_places_come_back() {
        let connections = Arc::<Connections>::default();
        let busy = admit(&connections, MOST_OF_ADDRESS, 1);
        let mut requests: Vec<_> = busy.iter().map(ConnectionPermit::begin_request).collect();
        let probes = admit(&connections, RESERVE, 1);
        requests.extend(probes.iter().map(ConnectionPermit::begin_request));
        assert!(connections.admit(address(1)).is_none());
        assert!(!connections.evict_idle(Service::Everything) && !connections.evict_idle(Service::ProbesOnly));
        drop((requests, busy, probes));
        assert!(connections.is_empty());
        let table = connections.table();
        assert!(table.regular.is_empty() && table.probes == 0);
    }

    #[test]
    fn answers_that_nobody_reads_keep_no_place() {
        let connections = Arc::<Connections>::default();
        let busy = admit(&connections, MOST_OF_ADDRESS, 1);
        let answers: Vec<_> = busy.iter().map(|permit| answer(permit, PART + 1)).collect();
        let make_room = |now| {
            connections
                .table()
                .make_room(address(1), Service::Everything, now)
        };
        assert_eq!(make_room(Instant::now()), Some(Service::ProbesOnly));
        let later = Instant::now() + STUCK_AFTER;
        assert_eq!(make_room(later), Some(Service::Everything));
        assert!(!is_open(&busy[0]) && busy[1..].iter().all(|permit| is_open(permit)));
        drop(answers);
    }

    fn answer(permit: &Arc<ConnectionPermit>, length: usize) -> AnswerBody {
        AnswerBody::new(vec![0; length].into(), permit.begin_request())
    }

    #[test]
    fn answers_that_are_not_read_take_so_much_memory_and_no_more() {
        let connections = Arc::<Connections>::default();
        let slow = admit(&connections, 5, 1);
        let other = admit(&connections, 1, 2);
        let of_other = answer(&other[0], 10 << 20);
        let mut answers: Vec<_> = slow.iter().map(|permit| answer(permit, 8 << 20)).collect();
        assert_eq!(
            slow.iter().map(|permit| is_open(permit)).collect::<Vec<_>>(),
            [false, true, true, true, true],
            "the oldest of its address gives way"
        );
        // One has been read.
        drop(answers.remove(2));
        answers.push(answer(&slow[2], 8 << 20));
        assert!(slow[1..].iter().all(|permit| is_open(permit)) && is_open(&other[0]));
        // However long an answer is, it is not refused.
        answers.push(answer(&slow[2], 100 << 20));
        assert!(is_open(&slow[2]) && !is_open(&slow[1]) && !is_open(&slow[3]));
        // Of all addresses, the one with the most.
        let many: Vec<_> = (3..6).flat_map(|from| admit(&connections, 1, from)).collect();
        let _more: Vec<_> = many.iter().map(|permit| answer(permit, 20 << 20)).collect();
        assert!(!is_open(&slow[2]) && is_open(&other[0]) && many.iter().all(|permit| is_open(permit)));
        drop((answers, of_other));
    }

    #[test]
    fn a_long_answer_is_handed_on_in_parts() {
        let connections = Arc::<Connections>::default();
        let permit = admit(&connections, 1, 1).remove(0);
        let text: Vec<_> = (0..3 * PART + 5).map(|at| at.to_le_bytes()[0]).collect();
        let mut body = AnswerBody::new(text.clone().into(), permit.begin_request());
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut read = Vec::new();
        while !body.is_end_stream() {
            assert_eq!(body.size_hint().exact(), Some((text.len() - read.len()) as u64));
            let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut body).poll_frame(&mut context) else {
                panic!("it ends early");
            };
            let data = frame.into_data().unwrap();
            assert!(data.len() <= PART);
            read.extend_from_slice(&data);
        }
        assert!(read == text && permit.entry.unread.load(Relaxed) == text.len());
        drop(body);
        assert_eq!(permit.entry.unread.load(Relaxed), 0);
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3::4"), of("2001:db8:1:2:ffff::"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), address(1));
    }
}
