use super::{Change, Edit, Put};

// What a connection costs that has nothing to do. Stock libsrt fills two loss lists and the table of the receive buffer when a
// connection comes about, some 600 KiB that most connections never need; and looks every 10 ms whether any of its timers is
// due: five hundred silent connections take 5 % of a core.
//
// With this edit a process can say that it would rather spare (`srt_edit_spare`). Connections that come about from then on
// get the lists with their first loss, and of the table what they use; and one that has nothing to send, to acknowledge, to
// repeat or to report is looked at ten times a second, which is what its keep-alive (1 s) and its end for silence (some
// seconds) need. File transmission and members of bonding groups are looked at as ever.
pub(crate) const EDIT: Edit = Edit {
    name: "sparing",
    changes: &[
        Change {
            file: "srtcore/list.h",
            anchor: "class CSndLossList",
            put: Put::BeforeLine,
            text: "/// Whether the process spares.
bool isSparing();

",
        },
        Change {
            file: "srtcore/list.cpp",
            anchor: "srt::CSndLossList::CSndLossList(int size)",
            put: Put::BeforeLine,
            text: "static srt::sync::atomic<bool> s_is_sparing(false);

bool srt::isSparing()
{
    return s_is_sparing;
}

extern \"C\" void srt_edit_spare(int on)
{
    s_is_sparing = on != 0;
}

// A list without an entry.
template <class Seq>
static Seq* emptyList(int size)
{
    Seq* const list = new Seq[size];
    for (int i = 0; i < size; ++i)
    {
        list[i].seqstart = SRT_SEQNO_NONE;
        list[i].seqend   = SRT_SEQNO_NONE;
    }
    return list;
}

",
        },
        // All that look into a list find out first that its length is 0.
        Change {
            file: "srtcore/list.cpp",
            anchor: "m_caSeq = new Seq[size];",
            put: Put::BeforeLine,
            text: "    if (isSparing())
    {
        setupMutex(m_ListLock, \"LossList\");
        return;
    }

",
        },
        Change {
            file: "srtcore/list.cpp",
            anchor: "m_caSeq = new Seq[m_iSize];",
            put: Put::BeforeLine,
            text: "    if (isSparing())
        return;

",
        },
        Change {
            file: "srtcore/list.cpp",
            anchor: "void srt::CSndLossList::insertHead(int pos, int32_t seqno1, int32_t seqno2)\n{\n",
            put: Put::Replace,
            text: "void srt::CSndLossList::insertHead(int pos, int32_t seqno1, int32_t seqno2)
{
    if (!m_caSeq)
        m_caSeq = emptyList<Seq>(m_iSize);
",
        },
        Change {
            file: "srtcore/list.cpp",
            anchor: "// insert data into an empty list",
            put: Put::BeforeLine,
            text: "        if (!m_caSeq)
            m_caSeq = emptyList<Seq>(m_iSize);
",
        },
        Change {
            file: "srtcore/buffer_rcv.h",
            anchor: "#include \"tsbpd_time.h\"",
            put: Put::AfterLine,
            text: ON_DEMAND,
        },
        Change {
            file: "srtcore/buffer_rcv.h",
            anchor: "typedef FixedArray<Entry> entries_t;",
            put: Put::Replace,
            text: "typedef OnDemandArray<Entry> entries_t;",
        },
        Change {
            file: "srtcore/core.h",
            anchor: "void checkTimers();",
            put: Put::AfterLine,
            text: "    bool mayTimersWait(const time_point& now);
    bool hasNoLoss();
    time_point m_tsTimersChecked;
",
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "void srt::CUDT::checkTimers()",
            put: Put::BeforeLine,
            text: "// Whether nothing can be due that would not keep until the next tenth of a second. Runs on the port's receiving thread.
bool srt::CUDT::mayTimersWait(const time_point& now)
{
    const bool is_quiet = isSparing() && m_config.bTSBPD && !m_bBreakAsUnstable
#if ENABLE_BONDING
        && !m_parent->m_GroupOf
#endif
        && m_iPktCount == 0 && m_iRcvLastAck == m_iRcvLastAckAck && m_pSndBuffer->getCurrBufSize() == 0
        && hasNoLoss();
    if (is_quiet && now - m_tsTimersChecked < sync::milliseconds_from(100))
        return true;
    m_tsTimersChecked = now;
    return false;
}

// The thread that delivers takes from both lists what it gives up.
bool srt::CUDT::hasNoLoss()
{
    ScopedLock lock(m_RcvLossLock);
    return m_FreshLoss.empty() && m_pRcvLossList->getLossLength() == 0;
}

",
        },
        Change {
            file: "srtcore/queue.cpp",
            anchor: "u->checkTimers();\n                self->m_pRcvUList->update(u);",
            put: Put::Replace,
            text: "if (!u->mayTimersWait(curtime_minus_syn))
                    u->checkTimers();
                self->m_pRcvUList->update(u);",
        },
    ],
};

const ON_DEMAND: &str = r#"
#include <new>
#include <sys/mman.h>
#include "list.h"

namespace srt
{

/// As FixedArray, for a type that is all zeros when it is made. Of a process that spares, the system gives the pages of it
/// as they are first written.
template <class T>
class OnDemandArray
{
public:
    explicit OnDemandArray(size_t size)
        : m_size(size)
        , m_is_mapped(isSparing() && size * sizeof(T) >= 16384)
        , m_entries(m_is_mapped ? map(size) : new T[size])
    {
    }

    ~OnDemandArray()
    {
        if (m_is_mapped)
            ::munmap(m_entries, m_size * sizeof(T));
        else
            delete[] m_entries;
    }

    const T& operator[](size_t index) const { return m_entries[index]; }
    T&       operator[](size_t index) { return m_entries[index]; }

    size_t size() const { return m_size; }

    typedef T*       iterator;
    typedef const T* const_iterator;

    iterator begin() { return m_entries; }
    iterator end() { return m_entries + m_size; }

private:
    static T* map(size_t size)
    {
        void* const pages =
            ::mmap(NULL, size * sizeof(T), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (pages == MAP_FAILED)
            throw std::bad_alloc();
        return static_cast<T*>(pages);
    }

    const size_t m_size;
    const bool   m_is_mapped;
    T* const     m_entries;

    OnDemandArray(const OnDemandArray&);
    OnDemandArray& operator=(const OnDemandArray&);
};

} // namespace srt

"#;
