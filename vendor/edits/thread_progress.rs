use super::{Change, Edit, Put};

// A thread of libsrt that hangs (a listen callback that blocks, a loop that never ends) is silent: its port is dead, and
// nothing outside the library can tell it from a port without traffic.
//
// libsrt has marks in its threads for a tool of upstream's that is not part of the tree: where a thread begins, each round of
// its loop, and each wait. This edit gives them a meaning: every thread counts its rounds and says when it waits, and
// `srt_edit_threads` lists them. A thread that neither waits nor counts is stuck. A round costs a few stores without a barrier.
// The list is never freed, because threads may outlive the end of the process (see `exit-at-once`).
pub(crate) const EDIT: Edit = Edit {
    name: "thread-progress",
    changes: &[
        Change {
            file: "srtcore/udt.h",
            anchor: "#define INCREMENT_THREAD_ITERATIONS()",
            put: Put::AfterLine,
            text: MARKS,
        },
        Change {
            file: "srtcore/queue.cpp",
            anchor: "#include \"queue.h\"",
            put: Put::AfterLine,
            text: THREADS,
        },
        // The receiving thread, then the sending one.
        Change {
            file: "srtcore/queue.cpp",
            anchor: "CUnit*         unit = 0;",
            put: Put::BeforeLine,
            text: SERVES,
        },
        Change {
            file: "srtcore/queue.cpp",
            anchor: "#define IF_DEBUG_HIGHRATE(statement) (void)0",
            put: Put::AfterLine,
            text: SERVES,
        },
    ],
};

const SERVES: &str = "    {
        sockaddr_any own;
        self->m_pChannel->getSockAddr((own));
        srt_edit_thread::serves(own.hport());
    }
";

const MARKS: &str = "#ifdef __cplusplus
#undef THREAD_STATE_INIT
#undef THREAD_PAUSED
#undef THREAD_RESUMED
#undef INCREMENT_THREAD_ITERATIONS
#define THREAD_STATE_INIT(name) srt_edit_thread::begin(name)
#define THREAD_PAUSED() srt_edit_thread::wait(1)
#define THREAD_RESUMED() srt_edit_thread::wait(0)
#define INCREMENT_THREAD_ITERATIONS() srt_edit_thread::step()
namespace srt_edit_thread
{
void begin(const char* name);
void serves(int port);
void wait(int is_waiting);
void step();
}
#endif
";

const THREADS: &str = r#"
#include <algorithm>
#include <atomic>
#include <mutex>
#include <sys/syscall.h>
#include <unistd.h>

extern "C" struct srt_edit_thread_state
{
    char     name[16];
    int32_t  tid;
    int32_t  port;
    uint64_t steps;
    int32_t  is_waiting;
    int32_t  reserved;
};

namespace srt_edit_thread
{

struct Slot
{
    char                  name[16];
    int32_t               tid;
    std::atomic<int32_t>  port;
    std::atomic<uint64_t> steps;
    std::atomic<int32_t>  is_waiting;
};

struct Slots
{
    std::mutex         lock;
    std::vector<Slot*> all;
};

static Slots& slots()
{
    static Slots& s = *new Slots;
    return s;
}

// Null on threads that are not libsrt's: the marks in its API do nothing there.
static thread_local Slot* t_slot = NULL;

struct Leaving
{
    bool is_armed;
    ~Leaving()
    {
        if (!is_armed || !t_slot)
            return;
        Slots& s = slots();
        std::lock_guard<std::mutex> guard(s.lock);
        s.all.erase(std::remove(s.all.begin(), s.all.end(), t_slot), s.all.end());
        delete t_slot;
        t_slot = NULL;
    }
};

static thread_local Leaving t_leaving = {false};

void begin(const char* name)
{
    Slot* const slot = new Slot;
    memset(slot->name, 0, sizeof slot->name);
    strncpy(slot->name, name, sizeof slot->name - 1);
    slot->tid        = (int32_t)::syscall(SYS_gettid);
    slot->port       = 0;
    slot->steps      = 0;
    slot->is_waiting = 0;
    {
        Slots& s = slots();
        std::lock_guard<std::mutex> guard(s.lock);
        s.all.push_back(slot);
    }
    t_slot             = slot;
    t_leaving.is_armed = true;
}

void serves(int port)
{
    if (t_slot)
        t_slot->port.store(port, std::memory_order_relaxed);
}

void wait(int is_waiting)
{
    if (t_slot)
        t_slot->is_waiting.store(is_waiting, std::memory_order_relaxed);
}

void step()
{
    if (t_slot)
        t_slot->steps.store(t_slot->steps.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

} // namespace srt_edit_thread

// Writes the state of at most `room` threads, and returns how many there are.
extern "C" size_t srt_edit_threads(srt_edit_thread_state* out, size_t room)
{
    srt_edit_thread::Slots& s = srt_edit_thread::slots();
    std::lock_guard<std::mutex> guard(s.lock);
    const size_t count = std::min(room, s.all.size());
    for (size_t i = 0; i < count; ++i)
    {
        const srt_edit_thread::Slot& slot = *s.all[i];
        memcpy(out[i].name, slot.name, sizeof out[i].name);
        out[i].tid        = slot.tid;
        out[i].port       = slot.port.load(std::memory_order_relaxed);
        out[i].steps      = slot.steps.load(std::memory_order_relaxed);
        out[i].is_waiting = slot.is_waiting.load(std::memory_order_relaxed);
        out[i].reserved   = 0;
    }
    return s.all.size();
}
"#;
