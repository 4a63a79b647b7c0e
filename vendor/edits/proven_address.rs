use super::{Change, Edit, Put};

// A listener gives each caller a cookie and does nothing for it until that comes back: so the caller has shown that it
// receives at the address it sends from. libsrt's cookie is the MD5 of address, port, and the minutes that the listener is
// there, which anybody can compute. A sender with a forged address was let in where only that address may, had streams
// sent to it, and had it banned.
//
// With this edit the cookie is a SipHash-2-4 of the caller's address and port, the address and port of the listener, and
// the minute, with a key that the process draws anew each minute. The cookie of the minute before is valid as well. A
// conclusion without a valid one is dropped before anything of it is looked at: nothing is logged, counted or answered.
//
// The answer to an induction goes to the socket that the induction names. If that is 0, the answer is an induction itself to
// a listener at that address, which answers in turn, for ever: one forged datagram keeps two ports busy. Such inductions are
// dropped; no caller has socket 0. Negative ids are callers: libsrt draws 30 bits, gosrt 32.
//
// A UDP socket that an application reads before it gives it to a listener can hand out and check the same cookies with
// srt_edit_cookie: so it, too, need do nothing for a caller that has proved nothing.
//
// In a rendezvous the cookies only say which side begins: there each side draws a random number.
pub(crate) const EDIT: Edit = Edit {
    name: "proven-address",
    changes: &[
        Change {
            file: "srtcore/core.cpp",
            anchor: "// This function, as the name states, should bake a new cookie.",
            put: Put::BeforeLine,
            text: COOKIE,
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "// Don't know why the original UDT4 code only MUCH LATER",
            put: Put::BeforeLine,
            text: "    // Anybody can send this: no line of the log is due.
    if (!packet.isControl(UMSG_HANDSHAKE))
    {
        m_RejectReason = SRT_REJ_ROGUE;
        return m_RejectReason;
    }

",
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "int32_t cookie_val = bake(addr);",
            put: Put::Replace,
            text: "int32_t cookie_val = cookieOf(addr, m_parent->m_SelfAddr, 0);
    if (hs.m_iReqType == URQ_INDUCTION && hs.m_iID == 0)
    {
        m_RejectReason = SRT_REJ_ROGUE;
        return m_RejectReason;
    }",
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "// Otherwise this should be REQUEST:CONCLUSION.",
            put: Put::BeforeLine,
            text: "    if (hs.m_iCookie != cookie_val && hs.m_iCookie != cookieOf(addr, m_parent->m_SelfAddr, 1))
    {
        m_RejectReason = SRT_REJ_RDVCOOKIE;
        return m_RejectReason;
    }
    cookie_val = hs.m_iCookie; // for the check below, which knows one valid cookie only

",
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "m_ConnReq.m_iCookie  = bake(serv_addr);",
            put: Put::Replace,
            text: "m_ConnReq.m_iCookie  = genRandomInt(1, 0x7FFFFFFF); // 0 would be none",
        },
    ],
};

const COOKIE: &str = r#"namespace
{

struct CookieKey
{
    uint64_t words[2];

    CookieKey()
    {
        for (int i = 0; i < 2; ++i)
        {
            words[i] = 0;
            for (int part = 0; part < 4; ++part)
                words[i] = (words[i] << 16) | uint64_t(genRandomInt(0, 0xFFFF));
        }
    }
};

class SipHash
{
    uint64_t a, b, c, d;

    static uint64_t left(uint64_t word, int by) { return (word << by) | (word >> (64 - by)); }

    void rounds(int count)
    {
        while (count--)
        {
            a += b; b = left(b, 13) ^ a; a = left(a, 32);
            c += d; d = left(d, 16) ^ c;
            a += d; d = left(d, 21) ^ a;
            c += b; b = left(b, 17) ^ c; c = left(c, 32);
        }
    }

public:
    explicit SipHash(const uint64_t (&key)[2])
        : a(key[0] ^ 0x736f6d6570736575ULL)
        , b(key[1] ^ 0x646f72616e646f6dULL)
        , c(key[0] ^ 0x6c7967656e657261ULL)
        , d(key[1] ^ 0x7465646279746573ULL)
    {
    }

    // Whole words only: the last one, of the length, is the caller's.
    void add(uint64_t word)
    {
        d ^= word;
        rounds(2);
        a ^= word;
    }

    uint64_t finish()
    {
        c ^= 0xff;
        rounds(4);
        return a ^ b ^ c ^ d;
    }
};

// IP address and port: three words.
void addAddress(SipHash& hash, const sockaddr_any& addr)
{
    uint64_t ip[2] = {0, 0};
    if (addr.family() == AF_INET)
        memcpy(ip, &addr.sin.sin_addr, sizeof addr.sin.sin_addr);
    else if (addr.family() == AF_INET6)
        memcpy(ip, &addr.sin6.sin6_addr, sizeof addr.sin6.sin6_addr);
    hash.add(ip[0]);
    hash.add(ip[1]);
    hash.add((uint64_t(addr.family()) << 16) | uint64_t(addr.hport() & 0xFFFF));
}

srt::sync::atomic<int> s_cookies_aged(0);

// The keys of the last two minutes in which one was needed. A key that no cookie can be valid for any more is overwritten.
class CookieKeys
{
    Mutex m_Lock;
    int64_t m_iMinute;
    CookieKey m_Keys[2]; // of even and odd minutes

public:
    CookieKeys()
        : m_iMinute(0)
    {
    }

    // That of `minute`, which is put right: a thread that was held up does not bring an old minute back.
    CookieKey get(int64_t& minute, int minutes_ago)
    {
        ScopedLock guard(m_Lock);
        minute = std::max(minute, m_iMinute);
        if (minute != m_iMinute)
        {
            if (minute != m_iMinute + 1)
                m_Keys[(minute + 1) & 1] = CookieKey();
            m_Keys[minute & 1] = CookieKey();
            m_iMinute = minute;
        }
        minute -= minutes_ago;
        return m_Keys[minute & 1];
    }
};

// What the listener at `self` gave `peer` in this minute, or in the minute before (1).
int32_t cookieOf(const sockaddr_any& peer, const sockaddr_any& self, int minutes_ago)
{
    static CookieKeys keys;
    int64_t minute = count_microseconds(steady_clock::now().time_since_epoch()) / 60000000 + s_cookies_aged;
    const CookieKey key = keys.get(minute, minutes_ago);
    SipHash hash(key.words);
    addAddress(hash, peer);
    addAddress(hash, self);
    hash.add(uint64_t(minute));
    hash.add(uint64_t(7 * 8) << 56);
    const uint64_t mac = hash.finish();
    return int32_t(uint32_t(mac ^ (mac >> 32)));
}

} // namespace

// For ports that somebody else reads until a listener opens on them: the cookie that this listener would give now, or would
// have given in the minute before (1).
extern "C" int32_t srt_edit_cookie(const sockaddr* peer, int peer_len, const sockaddr* self, int self_len, int minutes_ago)
{
    return cookieOf(sockaddr_any(peer, peer_len), sockaddr_any(self, self_len), minutes_ago);
}

// For tests: all cookies are older by that many minutes.
extern "C" void srt_edit_age_cookies(int minutes)
{
    s_cookies_aged = s_cookies_aged + minutes;
}

"#;
