use super::{Change, Edit, Put};

// A port's receiving thread takes one datagram from the system at a time, and answers to one at a time. Of a hundred viewers
// come ten thousand acknowledgements a second.
//
// With this edit it takes what has arrived, up to a limit (recvmmsg), goes through that as before, and collects its answers
// until it is through (see `collected-sends`). A datagram that comes alone is handled as it always was.
pub(crate) const EDIT: Edit = Edit {
    name: "batched-receive",
    changes: &[
        Change {
            file: "srtcore/channel.cpp",
            anchor: "srt::EReadStatus srt::CChannel::recvfrom(",
            put: Put::BeforeLine,
            text: RECEIVE,
        },
        Change {
            file: "srtcore/channel.cpp",
            anchor: "recv_size = (int)::recvmsg(m_iSocket, (&mh), 0);",
            put: Put::Replace,
            text: "recv_size = receiveBatched(m_iSocket, mh);",
        },
    ],
};

const RECEIVE: &str = r#"namespace
{

const int    ARRIVED_MAX  = 32;
const size_t ARRIVED_ROOM = 2048;

struct Arrived
{
    int              fd;
    int              next;
    int              count;
    bool             is_collecting;
    mmsghdr          messages[ARRIVED_MAX];
    iovec            parts[ARRIVED_MAX];
    sockaddr_storage names[ARRIVED_MAX];
    char             controls[ARRIVED_MAX][128];
    char             bytes[ARRIVED_MAX][ARRIVED_ROOM];
};

// A plain pointer can be used for as long as the thread lives.
thread_local Arrived* t_arrived = NULL;

// Runs after the destructors of the thread's C++ and Rust variables.
void endArrived(void* arrived)
{
    t_arrived = NULL;
    delete static_cast<Arrived*>(arrived);
}

Arrived* beginArrived()
{
    static pthread_key_t key;
    static const bool    has_key = pthread_key_create(&key, endArrived) == 0;
    Arrived* const       a       = has_key ? new Arrived : NULL;
    if (a && pthread_setspecific(key, a) != 0)
    {
        delete a;
        return NULL;
    }
    if (a)
    {
        a->fd   = -1;
        a->next = a->count = 0;
        a->is_collecting   = false;
    }
    return a;
}

// As recvmsg. One thread receives from a channel, for as long as that lives.
int receiveBatched(int fd, msghdr& mh)
{
    size_t wanted = 0;
    for (size_t i = 0; i < mh.msg_iovlen; ++i)
        wanted += mh.msg_iov[i].iov_len;
    if (wanted > ARRIVED_ROOM || mh.msg_controllen > sizeof(Arrived().controls[0]))
        return (int)::recvmsg(fd, &mh, 0);

    if (!t_arrived)
        t_arrived = beginArrived();
    if (!t_arrived)
        return (int)::recvmsg(fd, &mh, 0);
    Arrived& a = *t_arrived;
    if (a.fd != fd)
    {
        a.fd   = fd;
        a.next = a.count = 0;
    }
    if (a.next == a.count)
    {
        if (a.is_collecting)
        {
            a.is_collecting = false;
            srt::CChannel::collectLess();
        }
        a.next = a.count = 0;
        for (int i = 0; i < ARRIVED_MAX; ++i)
        {
            a.parts[i].iov_base = a.bytes[i];
            a.parts[i].iov_len  = ARRIVED_ROOM;
            msghdr& m = a.messages[i].msg_hdr;
            m.msg_name       = &a.names[i];
            m.msg_namelen    = sizeof a.names[i];
            m.msg_iov        = &a.parts[i];
            m.msg_iovlen     = 1;
            m.msg_control    = mh.msg_control ? a.controls[i] : NULL;
            m.msg_controllen = mh.msg_control ? mh.msg_controllen : 0;
            m.msg_flags      = 0;
            a.messages[i].msg_len = 0;
        }
        const int count = ::recvmmsg(fd, a.messages, ARRIVED_MAX, MSG_WAITFORONE, NULL);
        if (count <= 0)
            return -1;
        a.count = count;
        if (count > 1)
        {
            a.is_collecting = true;
            srt::CChannel::collectMore();
        }
    }

    const int     at   = a.next++;
    const msghdr& from = a.messages[at].msg_hdr;
    if (mh.msg_name)
    {
        memcpy(mh.msg_name, from.msg_name, std::min<size_t>(mh.msg_namelen, from.msg_namelen));
        mh.msg_namelen = from.msg_namelen;
    }
    if (mh.msg_control)
    {
        memcpy(mh.msg_control, from.msg_control, from.msg_controllen);
        mh.msg_controllen = from.msg_controllen;
    }
    mh.msg_flags = from.msg_flags;
    const size_t length = a.messages[at].msg_len;
    size_t copied = 0;
    for (size_t i = 0; i < mh.msg_iovlen && copied < length; ++i)
    {
        const size_t part = std::min<size_t>(mh.msg_iov[i].iov_len, length - copied);
        memcpy(mh.msg_iov[i].iov_base, a.bytes[at] + copied, part);
        copied += part;
    }
    if (copied < length)
        mh.msg_flags |= MSG_TRUNC;
    return (int)copied;
}

} // namespace

"#;
