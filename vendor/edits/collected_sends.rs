use super::{Change, Edit, Put};

// Each packet of each viewer goes to the system by a call of its own, from the port's sending thread, which has to be woken
// for it: the thread that relays puts the packet into the send buffer, the sockets into a heap by their next time, and rings.
// For a relay that sends one message to a hundred viewers most of the cost is in that.
//
// With this edit a thread can say that it collects (`srt_edit_collect`): until it says otherwise, what it sends is
// - packed by itself, where the port's sending thread would have nothing to decide: nothing of that socket waits already, no
//   pace is set, and it is neither in a bonding group nor under a packet filter. Everything else goes the way it always went,
//   repeated packets too;
// - handed to the system many at a time (sendmmsg), and those of one destination that follow each other as one datagram that
//   the system divides (UDP_SEGMENT), as far as it knows that.
// An acknowledgement no longer wakes the port's sending thread for a live connection that has nothing to send: that was two
// wake-ups for each, and while it lasted the socket stood in the heap, where its next packet had to wait for that thread.
//
// What a port's receiving thread sends in answer to what it received at once is collected as well (see `batched-receive`).
//
// A collected packet is a copy: nothing refers to a socket or a buffer that may be closed meanwhile. What it does refer to is
// the port's descriptor, which stays open until the packet is sent, so that its number is not given to anybody else.
//
// Two threads can now pack packets of one socket. They take turns (`Packing`): the one that comes second leaves the socket to
// the first, which puts it on the sending thread's list if there is more to do.
pub(crate) const EDIT: Edit = Edit {
    name: "collected-sends",
    changes: &[
        Change {
            file: "srtcore/channel.h",
            anchor: "class CChannel\n{",
            put: Put::BeforeLine,
            text: KEPT_OPEN,
        },
        Change {
            file: "srtcore/channel.h",
            anchor: "UDPSOCKET m_iSocket; // socket descriptor",
            put: Put::AfterLine,
            text: "    KeptOpen  m_KeptOpen;
",
        },
        Change {
            file: "srtcore/channel.cpp",
            anchor: "::close(m_iSocket);",
            put: Put::Replace,
            text: "m_KeptOpen.close(m_iSocket);",
        },
        Change {
            file: "srtcore/channel.h",
            anchor: "int sendto(const sockaddr_any& addr, srt::CPacket& packet, const sockaddr_any& src) const;",
            put: Put::AfterLine,
            text: "
    bool collect(const sockaddr_any& addr, srt::CPacket& packet, const sockaddr_any& src) const;
    static bool isCollecting();
    static void collectMore();
    static void collectLess();
",
        },
        Change {
            file: "srtcore/channel.cpp",
            anchor: "#include \"utilities.h\"",
            put: Put::AfterLine,
            text: COLLECT,
        },
        Change {
            file: "srtcore/channel.cpp",
            anchor: "int srt::CChannel::sendto(const sockaddr_any& addr, CPacket& packet",
            put: Put::BeforeLine,
            text: METHODS,
        },
        Change {
            file: "srtcore/channel.cpp",
            anchor: "// convert control information into network order",
            put: Put::BeforeLine,
            text: "    if (collect(addr, packet, source_addr))
        return int(CPacket::HDR_SIZE + packet.getLength());

",
        },
        Change {
            file: "srtcore/core.h",
            anchor: "bool packData(CPacket& packet, time_point& nexttime, sockaddr_any& src_addr);",
            put: Put::AfterLine,
            text: PACKING,
        },
        Change {
            file: "srtcore/queue.cpp",
            anchor: "const bool res = u->packData((pkt), (next_send_time), (source_addr));",
            put: Put::BeforeLine,
            text: "        CUDT::Packing packing(*u);
        if (!packing.beginOrLeave())
            continue;
",
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "int srt::CUDT::sendmsg2(const char *data, int len, SRT_MSGCTRL& w_mctrl)",
            put: Put::BeforeLine,
            text: SEND,
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "// m_pSndUList->pop may lock CSndUList::m_ListLock and then m_RecvAckLock",
            put: Put::AfterLine,
            text: "    if (!sendCollected(sendguard))
",
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "m_pSndQueue->m_pSndUList->update(this, CSndUList::DONT_RESCHEDULE, currtime);",
            put: Put::Replace,
            text: "if (hasToSend())
        m_pSndQueue->m_pSndUList->update(this, CSndUList::DONT_RESCHEDULE, currtime);",
        },
        // Longer inside of the call than before: the socket must not go meanwhile.
        Change {
            file: "srtcore/api.cpp",
            anchor: "return uglobal().locateSocket(u, CUDTUnited::ERH_THROW)->core().sendmsg2(buf, len, (w_m));",
            put: Put::Replace,
            text: "CUDTUnited::SocketKeeper keeper(uglobal(), u, CUDTUnited::ERH_THROW);
        return keeper.socket->core().sendmsg2(buf, len, (w_m));",
        },
    ],
};

const COLLECT: &str = r#"
#include <sys/socket.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <errno.h>
#include <string.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

namespace
{

// As many packets as wait at most, for the first of them need not wait until many are packed. The system takes up to 64 in one
// datagram.
const int COLLECT_MAX = 20;
// The most bytes of a datagram that is to be divided.
const size_t SEGMENTED_MAX = 60000;

struct CollectedPacket
{
    srt::KeptOpen::Descriptor* descriptor;
    bool              is_first_of_port;
    srt::sockaddr_any to;
    size_t            at;
    size_t            length;
    size_t            control_length;
    char              control[CMSG_SPACE(sizeof(in6_pktinfo))];
};

struct Collection
{
    Collection() : depth(0), count(0), used(0) {}

    int             depth;
    int             count;
    size_t          used;
    CollectedPacket packets[COLLECT_MAX];
    char            bytes[COLLECT_MAX * 1536];
};

// A plain pointer, which costs no guard on each use and can be used for as long as the thread lives.
thread_local Collection* t_collection = NULL;

void sendAll(Collection& c);

// Runs after the destructors of the thread's C++ and Rust variables, any of which may still send. One that does so after this
// begins a new collection, and is called again.
void endCollection(void* collection)
{
    t_collection  = NULL;
    Collection* c = static_cast<Collection*>(collection);
    sendAll(*c);
    delete c;
}

Collection* beginCollection()
{
    static pthread_key_t key;
    static const bool    has_key = pthread_key_create(&key, endCollection) == 0;
    Collection* const    c       = has_key ? new Collection : NULL;
    if (c && pthread_setspecific(key, c) != 0)
    {
        delete c;
        return NULL;
    }
    return c;
}

bool followsIn(const Collection& c, int begin, int next, size_t total)
{
    const CollectedPacket& first = c.packets[begin];
    const CollectedPacket& last  = c.packets[next - 1];
    const CollectedPacket& more  = c.packets[next];
    // All of the length of the first; only the last one may be shorter.
    return last.length == first.length && more.length <= first.length && total + more.length <= SEGMENTED_MAX
        && first.control_length == more.control_length
        && memcmp(first.control, more.control, first.control_length) == 0
        && first.to.family() == more.to.family() && first.to == more.to;
}

void sendOne(Collection& c, CollectedPacket& p)
{
    iovec  part = {c.bytes + p.at, p.length};
    msghdr mh   = {};
    mh.msg_name       = p.to.get();
    mh.msg_namelen    = p.to.size();
    mh.msg_iov        = &part;
    mh.msg_iovlen     = 1;
    mh.msg_control    = p.control_length ? p.control : NULL;
    mh.msg_controllen = p.control_length;
    // A datagram that does not go is lost on the way: what is for that works for this.
    if (::sendmsg(p.descriptor->fd, &mh, 0) == -1)
        return;
}

// From now on, on this port: the system has refused to divide a datagram, and would refuse the next one too.
void sendsUndivided(srt::KeptOpen::Descriptor& port, int error)
{
    if (!port.can_segment.exchange(false))
        return;
    LOGC(srt_logging::kmlog.Warn,
         log << "CHANNEL: UDP_SEGMENT refused on descriptor " << port.fd << " (errno " << error
             << "): its datagrams are sent one by one from now on");
}

void sendAll(Collection& c)
{
    mmsghdr messages[COLLECT_MAX];
    iovec   parts[COLLECT_MAX];
    int     firsts[COLLECT_MAX + 1];
    char    controls[COLLECT_MAX][CMSG_SPACE(sizeof(in6_pktinfo)) + CMSG_SPACE(sizeof(uint16_t))];

    int begin = 0;
    while (begin < c.count)
    {
        // The packets of one port.
        srt::KeptOpen::Descriptor& port = *c.packets[begin].descriptor;
        int count = 0;
        int next  = begin;
        while (next < c.count && c.packets[next].descriptor == &port)
        {
            CollectedPacket& first = c.packets[next];
            const int at = next;
            size_t total = first.length;
            const bool may_divide = port.can_segment;
            for (++next; may_divide && next < c.count && c.packets[next].descriptor == &port && followsIn(c, at, next, total);
                 ++next)
                total += c.packets[next].length;

            firsts[count]         = at;
            parts[count].iov_base = c.bytes + first.at;
            parts[count].iov_len  = total;
            msghdr& mh = messages[count].msg_hdr;
            memset(&messages[count], 0, sizeof messages[count]);
            mh.msg_name    = first.to.get();
            mh.msg_namelen = first.to.size();
            mh.msg_iov     = &parts[count];
            mh.msg_iovlen  = 1;
            if (first.control_length || next - at > 1)
            {
                char* control = controls[count];
                memcpy(control, first.control, first.control_length);
                size_t length = first.control_length;
                if (next - at > 1)
                {
                    cmsghdr* segment = reinterpret_cast<cmsghdr*>(control + length);
                    memset(segment, 0, CMSG_SPACE(sizeof(uint16_t)));
                    segment->cmsg_level = IPPROTO_UDP;
                    segment->cmsg_type  = UDP_SEGMENT;
                    segment->cmsg_len   = CMSG_LEN(sizeof(uint16_t));
                    const uint16_t size = uint16_t(first.length);
                    memcpy(CMSG_DATA(segment), &size, sizeof size);
                    length += CMSG_SPACE(sizeof(uint16_t));
                }
                mh.msg_control    = control;
                mh.msg_controllen = length;
            }
            ++count;
        }
        firsts[count] = next;

        int done = 0;
        while (done < count)
        {
            const int sent = ::sendmmsg(port.fd, messages + done, count - done, 0);
            if (sent > 0)
            {
                done += sent;
                continue;
            }
            const int error = errno;
            if (error == EINTR)
                continue;
            // The one that cannot be sent is not waited for; one that was to be divided is sent in its parts.
            const bool is_divided = firsts[done + 1] - firsts[done] > 1;
            if (is_divided)
            {
                if (error == EIO || error == EINVAL || error == EOPNOTSUPP || error == ENOPROTOOPT)
                    sendsUndivided(port, error);
                for (int i = firsts[done]; i < firsts[done + 1]; ++i)
                    sendOne(c, c.packets[i]);
            }
            ++done;
        }
        begin = next;
    }
    for (int i = 0; i < c.count; ++i)
        if (c.packets[i].is_first_of_port)
            srt::KeptOpen::release(c.packets[i].descriptor);
    c.count = 0;
    c.used  = 0;
}

} // namespace

srt::KeptOpen::KeptOpen()
    : m_pDescriptor(new Descriptor)
{
}

srt::KeptOpen::~KeptOpen()
{
    release(m_pDescriptor);
}

void srt::KeptOpen::close(int fd) const
{
    if (!m_pDescriptor)
        return;
    m_pDescriptor->is_to_close = true;
    m_pDescriptor->fd          = fd;
    release(m_pDescriptor);
    m_pDescriptor = NULL;
}

srt::KeptOpen::Descriptor* srt::KeptOpen::acquire(int fd) const
{
    if (m_pDescriptor)
    {
        m_pDescriptor->fd = fd;
        ++m_pDescriptor->users;
    }
    return m_pDescriptor;
}

void srt::KeptOpen::release(Descriptor* descriptor)
{
    if (!descriptor || --descriptor->users > 0)
        return;
    if (descriptor->is_to_close)
        ::close(descriptor->fd);
    delete descriptor;
}

extern "C" void srt_edit_collect(int on)
{
    if (on)
        srt::CChannel::collectMore();
    else
        srt::CChannel::collectLess();
}

"#;

const METHODS: &str = r#"bool srt::CChannel::isCollecting()
{
    return t_collection && t_collection->depth > 0;
}

void srt::CChannel::collectMore()
{
    if (!t_collection)
        t_collection = beginCollection();
    if (t_collection)
        ++t_collection->depth;
}

void srt::CChannel::collectLess()
{
    if (!isCollecting())
        return;
    if (--t_collection->depth == 0 && t_collection->count > 0)
        sendAll(*t_collection);
}

bool srt::CChannel::collect(const sockaddr_any& addr, CPacket& packet, const sockaddr_any& source_addr SRT_ATR_UNUSED) const
{
    if (!isCollecting())
        return false;
    Collection&  c      = *t_collection;
    const size_t length = CPacket::HDR_SIZE + packet.getLength();
    if (length > sizeof c.bytes)
        return false;
    if (c.count == COLLECT_MAX || c.used + length > sizeof c.bytes)
        sendAll(c);

    CollectedPacket& p = c.packets[c.count];
    // One reference for all that follow each other: the descriptor of the packet before is held, so it is no other one's.
    CollectedPacket* const before = c.count > 0 ? &c.packets[c.count - 1] : NULL;
    p.is_first_of_port            = !before || !m_KeptOpen.is(before->descriptor);
    p.descriptor                  = p.is_first_of_port ? m_KeptOpen.acquire(m_iSocket) : before->descriptor;
    if (!p.descriptor)
        return false;
    p.to             = addr;
    p.at             = c.used;
    p.length         = length;
    p.control_length = 0;
#ifdef SRT_ENABLE_PKTINFO
    if (m_bBindMasked && source_addr.family() != AF_UNSPEC && !source_addr.isany())
    {
        msghdr mh = {};
        memset(p.control, 0, sizeof p.control);
        if (setSourceAddress(mh, p.control, source_addr))
            p.control_length = mh.msg_controllen;
    }
#endif
    packet.toNetworkByteOrder();
    memcpy(c.bytes + c.used, packet.m_PacketVector[0].data(), packet.m_PacketVector[0].size());
    memcpy(c.bytes + c.used + packet.m_PacketVector[0].size(), packet.m_PacketVector[1].data(), packet.getLength());
    packet.toHostByteOrder();
    c.used += length;
    ++c.count;
    return true;
}

"#;

const KEPT_OPEN: &str = r#"/// Keeps the descriptor of a channel open, after the channel has closed, for as long as something waits to be sent to it.
class KeptOpen
{
public:
    struct Descriptor
    {
        Descriptor() : users(1), can_segment(true), is_to_close(false), fd(-1) {}

        sync::atomic<int>  users;
        // Cleared once the system has refused to divide a datagram.
        sync::atomic<bool> can_segment;
        bool               is_to_close;
        sync::atomic<int>  fd;
    };

    KeptOpen();
    ~KeptOpen();

    void close(int fd) const;
    bool is(const Descriptor* descriptor) const { return descriptor == m_pDescriptor; }
    /// NULL after the channel has closed. Each one is to be released.
    Descriptor* acquire(int fd) const;
    static void release(Descriptor* descriptor);

private:
    mutable Descriptor* m_pDescriptor;

    KeptOpen(const KeptOpen&);
    KeptOpen& operator=(const KeptOpen&);
};

"#;

const PACKING: &str = r#"    bool sendCollected(sync::UniqueLock& sendguard);
    bool hasToSend();

    // Of the threads that may pack packets of this socket, one at a time has the right to.
    class Packing
    {
    public:
        explicit Packing(CUDT& socket) : m_State(socket.m_PackingState), m_has(false) {}
        ~Packing() { end(); }

        // False: another thread packs.
        bool begin()
        {
            return m_has = m_State.compare_exchange(FREE, TAKEN);
        }

        // For the port's sending thread, which must not wait: where another thread packs, that one is told to look again.
        bool beginOrLeave()
        {
            while (!begin())
                if (m_State.compare_exchange(TAKEN, LEFT) || m_State.load() == LEFT)
                    return false;
            return true;
        }

        // False: the port's sending thread came by meanwhile, and has to come again.
        bool end()
        {
            const bool had = m_has;
            m_has = false;
            return !had || m_State.exchange(FREE) != LEFT;
        }

    private:
        enum { FREE, TAKEN, LEFT };
        sync::atomic<int>& m_State;
        bool               m_has;
    };
    sync::atomic<int> m_PackingState;
"#;

const SEND: &str = r#"// Whether the port's sending thread would find something here: asked where an acknowledgement may have made room for it.
bool srt::CUDT::hasToSend()
{
    if (!m_config.bTSBPD || m_PacketFilter)
        return true;
#if ENABLE_BONDING
    if (m_parent->m_GroupOf)
        return true;
#endif
    return CSeqNo::incseq(m_iSndCurrSeqNo) != m_iSndNextSeqNo || m_pSndLossList->getLossLength() > 0;
}

// Packs and sends what was just put into the buffer, if this thread collects and there is nothing for the port's sending
// thread to decide. False: let that thread do it. To be called with the lock of sending, which is given up: packData takes
// the lock of the connection, and who closes takes them in the other order.
bool srt::CUDT::sendCollected(sync::UniqueLock& sendguard)
{
    // Above this, the interval is a pace that somebody has set.
    static const duration no_pace = sync::microseconds_from(100);
    if (!CChannel::isCollecting() || m_pSNode->m_iHeapLoc >= 0 || m_tdSendInterval.load() > no_pace || m_PacketFilter)
        return false;
#if ENABLE_BONDING
    if (m_parent->m_GroupOf)
        return false;
#endif
    Packing packing(*this);
    if (!packing.begin())
        return false;
    sendguard.unlock();

    // More than one turn only where a packet was to be repeated first.
    for (int turn = 0; turn < 4; ++turn)
    {
        CPacket      packet;
        time_point   next_time;
        sockaddr_any source_addr;
        // Nothing may be sent now; who lifts that puts the socket on the sending thread's list.
        if (!packData((packet), (next_time), (source_addr)))
            return packing.end();
        m_pSndQueue->m_pChannel->sendto(m_PeerAddr, packet, source_addr);
        if (CSeqNo::incseq(m_iSndCurrSeqNo) == m_iSndNextSeqNo)
        {
            // As the sending thread leaves it when it finds nothing more: idle time is not to be caught up with.
            m_tsNextSendTime = steady_clock::time_point();
            m_tdSendTimeDiff = steady_clock::duration();
            return packing.end();
        }
    }
    return false;
}

"#;
