//! Which TCP connections the API keeps: so many in all, so many of one address, and always room for probes.
//!
//! A connection that is at its limit is not left in the system's queue, where a probe would wait behind it. The newcomer gets
//! the place of a connection that has no request under way; where there is none, it is served if it asks for `/healthz` or
//! `/readyz`. Used on the API's thread; a lock is held for a look at the table.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::Notify;

/// Connections at a time.
pub(super) const MOST: usize = 512;

/// Connections of one address at a time; of an IPv6 network of 64 bits.
pub(super) const MOST_OF_ADDRESS: usize = 256;

/// Connections beyond these limits at a time, for probes.
pub(super) const RESERVE: usize = 32;

/// What a new connection may ask for.
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
    /// Counts on with each connection and each end of a request.
    clock: u64,
    open: HashMap<u64, Arc<Entry>>,
}

#[derive(Debug)]
struct Entry {
    address: IpAddr,
    service: Service,
    /// Requests under way: 1 at most, until its answer has been sent.
    requests: AtomicUsize,
    /// The table's clock when it was last busy.
    idle_since: AtomicU64,
    evicted: Notify,
}

impl Entry {
    fn is_idle(&self) -> bool {
        self.requests.load(Relaxed) == 0
    }
}

impl Connections {
    /// A place for a connection from this address; None: not even the reserve has one.
    pub(super) fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        self.admit_for(peer, Service::Everything)
    }

    /// A place of the reserve, for a connection that has one of the last descriptors.
    pub(super) fn admit_probe(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        self.admit_for(peer, Service::ProbesOnly)
    }

    fn admit_for(self: &Arc<Self>, peer: IpAddr, wanted: Service) -> Option<Place> {
        let address = network(peer);
        let mut table = self.table();
        let service = table.make_room(address, wanted)?;
        table.clock += 1;
        let id = table.clock;
        let entry = Arc::new(Entry {
            address,
            service,
            requests: AtomicUsize::new(0),
            idle_since: AtomicU64::new(id),
            evicted: Notify::new(),
        });
        table.open.insert(id, Arc::clone(&entry));
        drop(table);
        Some(Place {
            id,
            entry,
            connections: Arc::clone(self),
        })
    }

    /// Ends the connection with this service that has been idle for the longest time; false: none is idle.
    pub(super) fn evict_idle(&self, service: Service) -> bool {
        self.table().evict(|entry| entry.service == service)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.table().open.is_empty()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn count(&self, is_counted: impl Fn(&Entry) -> bool) -> usize {
        self.open.values().filter(|entry| is_counted(entry)).count()
    }

    /// What a new connection of this address may ask for, once there is room for it; None: there is none.
    fn make_room(&mut self, address: IpAddr, wanted: Service) -> Option<Service> {
        let is_regular = |entry: &Entry| entry.service == Service::Everything;
        if wanted == Service::Everything {
            let is_own = |entry: &Entry| is_regular(entry) && entry.address == address;
            let has_room = if self.count(is_own) >= MOST_OF_ADDRESS {
                self.evict(is_own)
            } else if self.count(is_regular) >= MOST {
                // Whoever has most gives way.
                self.busiest_address()
                    .is_some_and(|busiest| self.evict(|entry| is_regular(entry) && entry.address == busiest))
                    || self.evict(is_regular)
            } else {
                true
            };
            if has_room {
                return Some(Service::Everything);
            }
        }
        let is_probe = |entry: &Entry| !is_regular(entry);
        let has_room = self.count(is_probe) < RESERVE || self.evict(is_probe);
        has_room.then_some(Service::ProbesOnly)
    }

    fn busiest_address(&self) -> Option<IpAddr> {
        let mut counts = HashMap::<IpAddr, usize>::new();
        for entry in self.open.values() {
            *counts.entry(entry.address).or_default() += 1;
        }
        counts
            .into_iter()
            .max_by_key(|(_, count)| *count)
            .map(|(address, _)| address)
    }

    /// Ends the connection among these that has been idle for the longest time.
    fn evict(&mut self, is_meant: impl Fn(&Entry) -> bool) -> bool {
        let idle = self
            .open
            .iter()
            .filter(|(_, entry)| entry.is_idle() && is_meant(entry));
        let Some(id) = idle
            .min_by_key(|(_, entry)| entry.idle_since.load(Relaxed))
            .map(|(id, _)| *id)
        else {
            return false;
        };
        if let Some(entry) = self.open.remove(&id) {
            entry.evicted.notify_one();
        }
        true
    }
}

/// A connection's place. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Place {
    id: u64,
    entry: Arc<Entry>,
    connections: Arc<Connections>,
}

impl Place {
    pub(super) fn service(&self) -> Service {
        self.entry.service
    }

    /// Waits until another connection needs this place.
    pub(super) async fn evicted(&self) {
        self.entry.evicted.notified().await;
    }

    /// A request is under way until the result is dropped.
    pub(super) fn begin_request(self: &Arc<Self>) -> InRequest {
        self.entry.requests.fetch_add(1, Relaxed);
        InRequest(Arc::clone(self))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.table().open.remove(&self.id);
    }
}

/// Keeps a connection from being taken for idle.
#[derive(Debug)]
pub(super) struct InRequest(Arc<Place>);

impl Drop for InRequest {
    fn drop(&mut self) {
        let mut table = self.0.connections.table();
        table.clock += 1;
        self.0.entry.idle_since.store(table.clock, Relaxed);
        self.0.entry.requests.fetch_sub(1, Relaxed);
    }
}

/// The body of an answer, and the request that it ends.
#[derive(Debug)]
pub(super) struct AnswerBody {
    pub(super) body: Body,
    pub(super) _request: InRequest,
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What is counted as one address: an IPv6 customer has a /64 to choose from.
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

    fn admit(connections: &Arc<Connections>, count: usize, from: u8) -> Vec<Arc<Place>> {
        let admitted = (0..count).filter_map(|_| connections.admit(address(from)));
        admitted.map(Arc::new).collect()
    }

    fn is_open(place: &Place) -> bool {
        place.connections.table().open.contains_key(&place.id)
    }

    #[test]
    fn one_address_pushes_out_its_own_idle_connections_only() {
        let connections = Arc::<Connections>::default();
        let other = admit(&connections, 1, 1);
        let many = admit(&connections, 1000, 2);
        assert!(many.iter().all(|place| place.service() == Service::Everything));
        assert_eq!(
            many.iter().filter(|place| is_open(place)).count(),
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
        assert!(few.iter().all(|place| is_open(place)));
        assert!(!is_open(&many[0]));
    }

    #[test]
    fn busy_connections_stay_and_newcomers_may_probe() {
        let connections = Arc::<Connections>::default();
        let busy = admit(&connections, MOST_OF_ADDRESS, 1);
        let mut requests: Vec<_> = busy.iter().map(Place::begin_request).collect();
        let probes = admit(&connections, RESERVE + 5, 1);
        assert!(probes.iter().all(|place| place.service() == Service::ProbesOnly));
        assert!(busy.iter().all(|place| is_open(place)));
        assert_eq!(probes.iter().filter(|place| is_open(place)).count(), RESERVE);
        // A request has ended: its connection is the one that gives way.
        requests.swap_remove(7);
        assert_eq!(admit(&connections, 1, 1)[0].service(), Service::Everything);
        assert!(!is_open(&busy[7]));
    }

    #[test]
    fn nobody_gets_in_where_all_have_requests_and_places_come_back() {
        let connections = Arc::<Connections>::default();
        let busy = admit(&connections, MOST_OF_ADDRESS, 1);
        let mut requests: Vec<_> = busy.iter().map(Place::begin_request).collect();
        let probes = admit(&connections, RESERVE, 1);
        requests.extend(probes.iter().map(Place::begin_request));
        assert!(connections.admit(address(1)).is_none());
        assert!(!connections.evict_idle(Service::Everything) && !connections.evict_idle(Service::ProbesOnly));
        drop((requests, busy, probes));
        assert!(connections.is_empty());
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3::4"), of("2001:db8:1:2:ffff::"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), address(1));
    }
}
