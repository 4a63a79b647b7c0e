use super::{Change, Edit, Put};

// Stock libsrt has a thread for each connection that receives with delivery times (TSBPD). It sleeps until the next packet is
// due, and then tells an epoll, whose waiter reads. A relay of fifty publishers has fifty such threads, woken hundreds of
// times a second each, and each of their wake-ups wakes a second thread, which does the work.
//
// With this edit a reader of a non-blocking socket can do that itself (`srt_edit_time_by_reader`): there is no thread, and
// `srt_edit_next_delivery` tells when the next packet is due. What was asked for and has not come by then is given up at
// that moment, as the thread would. An epoll reports such a socket when the answer of the last call does not hold any more:
// something has come where there was nothing, or what was missing has come.
//
// Packets of a burst are taken together: one that is due within 0.1 ms may be had with the one before it.
//
// A reader may also take packets as soon as they are there in order (2): delivery times then say only how long it waits for
// what is missing. Without delivery times at all (SRTO_TSBPDMODE) libsrt hands messages over out of order after a loss.
//
// Members of bonding groups and sockets that block keep their thread.
pub(crate) const EDIT: Edit = Edit {
    name: "reader-timed",
    changes: &[
        Change {
            file: "srtcore/core.h",
            anchor: "bool m_bTsbPdNeedsWakeup;",
            put: Put::AfterLine,
            text: DECLARATIONS,
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "m_bTsbPdNeedsWakeup   = false;",
            put: Put::AfterLine,
            text: "    m_ReaderTimed         = TIMED_BY_THREAD;
    m_ReaderWaits         = WAITS_FOR_NOTHING;
",
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "self->m_bTsbPdNeedsWakeup = true;\n    while (!self->m_bClosing)",
            put: Put::Replace,
            text: "self->m_bTsbPdNeedsWakeup = true;
    while (!self->m_bClosing && !self->isReaderTimed())",
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "if (!need_tsbpd)",
            put: Put::Replace,
            text: "if (!need_tsbpd || isReaderTimed())",
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "CSync tscond     (m_RcvTsbPdCond,  recvguard);",
            put: Put::AfterLine,
            text: "    if (isReaderTimed())
        return receiveByReader(data, len, (w_mctrl), by_exception);
",
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "if (!new_inserted)\n        {\n            return -1;",
            put: Put::BeforeLine,
            text: "        if (new_inserted)
            tellReader();

",
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "void * srt::CUDT::tsbpd(void* param)",
            put: Put::BeforeLine,
            text: METHODS,
        },
    ],
};

const DECLARATIONS: &str = "
    // How packets get to the reader, and what of it a reader that times them itself has to be told: see untilDelivery.
    enum ReaderTimed { TIMED_BY_THREAD, TIMED_BY_READER, TAKEN_IN_ORDER };
    enum ReaderWaits { WAITS_FOR_NOTHING, WAITS_FOR_PACKET, WAITS_FOR_MISSING };
    sync::atomic<int> m_ReaderTimed;
    int m_ReaderWaits; // guarded by m_RcvBufferLock

    bool isReaderTimed() const;
    int64_t untilDelivery(const time_point& now);
    void tellReader();
    int receiveByReader(char* data, int len, SRT_MSGCTRL& w_mctrl, int by_exception);

public:
    static int timeByReader(SRTSOCKET u, int how);
    static int64_t nextDelivery(SRTSOCKET u);

private:
";

const METHODS: &str = r#"bool srt::CUDT::isReaderTimed() const
{
    return m_ReaderTimed.load() != TIMED_BY_THREAD && !m_config.bSynRecving && m_bTsbPd && !m_bGroupTsbPd
#if ENABLE_BONDING
        && !m_parent->m_GroupOf
#endif
        ;
}

// Microseconds until the reader may take a packet; 0: now; -1: not known, since there is none. Gives up what is missing
// before the first packet when that is due. [[using locked(m_RcvBufferLock)]]
int64_t srt::CUDT::untilDelivery(const time_point& now)
{
    const CRcvBuffer::PacketInfo first = m_pRcvBuffer->getFirstValidPacketInfo();
    m_ReaderWaits = first.seqno == SRT_SEQNO_NONE ? WAITS_FOR_PACKET : first.seq_gap ? WAITS_FOR_MISSING : WAITS_FOR_NOTHING;
    if (first.seqno == SRT_SEQNO_NONE)
        return -1;
    const bool is_due = now >= first.tsbpd_time;
    if (first.seq_gap)
    {
        if (!is_due)
            return std::max<int64_t>(1, count_microseconds(first.tsbpd_time - now));
        if (!m_bTLPktDrop)
            return -1;
        const int dropped SRT_ATR_UNUSED = rcvDropTooLateUpTo(first.seqno);
        m_ReaderWaits = WAITS_FOR_NOTHING;
#if ENABLE_LOGGING
        string why;
        if (dropped > 0 && frequentLogAllowed(FREQLOGFA_RCV_DROPPED, now, (why)))
            LOGC(brlog.Warn, log << CONID() << "RCV-DROPPED " << dropped << " packet(s) before %" << first.seqno
                    << ", late by " << count_milliseconds(now - first.tsbpd_time) << " ms " << why);
#endif
    }
    // What was sent in one go is due within some 10 us from packet to packet, and is better passed on in one go.
    static const duration as_good_as_due = sync::microseconds_from(100);
    if (now + as_good_as_due >= first.tsbpd_time || m_ReaderTimed.load() == TAKEN_IN_ORDER)
    {
        if (m_pRcvBuffer->hasAvailablePackets())
            return 0;
        m_ReaderWaits = WAITS_FOR_PACKET;
        return -1;
    }
    return std::max<int64_t>(1, count_microseconds(first.tsbpd_time - now));
}

// To be called when something has come. [[using locked(m_RcvBufferLock)]]
void srt::CUDT::tellReader()
{
    if (m_ReaderWaits == WAITS_FOR_NOTHING
        || (m_ReaderWaits == WAITS_FOR_MISSING && m_pRcvBuffer->getFirstValidPacketInfo().seq_gap))
        return;
    m_ReaderWaits = WAITS_FOR_NOTHING;
    uglobal().m_EPoll.update_events(m_SocketID, m_sPollID, SRT_EPOLL_IN, true);
}

// [[using locked(m_RecvLock)]]
int srt::CUDT::receiveByReader(char* data, int len, SRT_MSGCTRL& w_mctrl, int by_exception)
{
    int res = 0;
    {
        ScopedLock buffer(m_RcvBufferLock);
        const time_point now = steady_clock::now();
        // The mean that statistics tell: of what there is before it is taken, as the thread sees it.
        m_pRcvBuffer->updRcvAvgDataSize(now);
        if (untilDelivery(now) == 0)
        {
            res = m_pRcvBuffer->readMessage(data, len, &w_mctrl);
            m_ReaderWaits = WAITS_FOR_NOTHING;
        }
        // Under the lock, or what comes at this moment would be taken back.
        if (res == 0)
            uglobal().m_EPoll.update_events(m_SocketID, m_sPollID, SRT_EPOLL_IN, false);
    }
    if (res > 0)
        return res;

    const bool is_over = m_bBroken || m_bClosing;
    if (by_exception)
    {
        if (is_over)
            throw CUDTException(MJ_CONNECTION, MN_CONNLOST, 0);
        throw CUDTException(MJ_AGAIN, MN_RDAVAIL, 0);
    }
    return is_over ? APIError(MJ_CONNECTION, MN_CONNLOST, 0) : 0;
}

int srt::CUDT::timeByReader(SRTSOCKET u, int how)
{
    CUDTUnited::SocketKeeper keeper(uglobal(), u);
    if (!keeper.socket)
        return -1;
    CUDT& self = keeper.socket->core();
    if (self.m_config.bSynRecving)
        return -1;
#if ENABLE_BONDING
    if (self.m_parent->m_GroupOf)
        return -1;
#endif
    {
        ScopedLock buffer(self.m_RcvBufferLock);
        self.m_ReaderTimed = how;
        // Who asks nextDelivery only when there is an event gets the first one.
        self.m_ReaderWaits = WAITS_FOR_PACKET;
    }
    // A thread that is there ends.
    CSync::lock_notify_all(self.m_RcvTsbPdCond, self.m_RecvLock);
    return 0;
}

int64_t srt::CUDT::nextDelivery(SRTSOCKET u)
{
    CUDTUnited::SocketKeeper keeper(uglobal(), u);
    if (!keeper.socket)
        return -1;
    CUDT& self = keeper.socket->core();
    ScopedLock buffer(self.m_RcvBufferLock);
    if (!self.m_pRcvBuffer || !self.isReaderTimed())
        return -1;
    return self.untilDelivery(steady_clock::now());
}

extern "C" int srt_edit_time_by_reader(SRTSOCKET u, int how)
{
    return srt::CUDT::timeByReader(u, how);
}

extern "C" int64_t srt_edit_next_delivery(SRTSOCKET u)
{
    return srt::CUDT::nextDelivery(u);
}

"#;
