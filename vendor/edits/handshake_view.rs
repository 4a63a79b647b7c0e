use super::{Change, Edit, Put};

// The listen callback gets a caller's streamid and nothing else of its handshake. Which SRT version it speaks, which
// latency it offers and with which key material it wants to encrypt are in the same packet, but libsrt interprets them
// only after the callback has returned: too late to refuse a latency with a code, to tell a wrong passphrase from a missing
// one, or to find out which of several valid passphrases a caller uses.
//
// With this edit the extension words of the handshake, in host order as libsrt holds them at that point, can be read for
// as long as the callback runs, on its thread; so can the caller's own socket id, which tells a repeated handshake from a
// new attempt.
pub(crate) const EDIT: Edit = Edit {
    name: "handshake-view",
    changes: &[
        Change {
            file: "srtcore/core.cpp",
            anchor: "bool srt::CUDT::runAcceptHook(",
            put: Put::BeforeLine,
            text: "static thread_local const uint32_t* s_hook_words = NULL;
static thread_local size_t s_hook_word_count = 0;
static thread_local int32_t s_hook_caller = 0;

extern \"C\" const uint32_t* srt_edit_handshake_extensions(size_t* count)
{
    *count = s_hook_word_count;
    return s_hook_words;
}

extern \"C\" int32_t srt_edit_handshake_caller()
{
    return s_hook_caller;
}

",
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "int result = CALLBACK_CALL(m_cbAcceptHook,",
            put: Put::BeforeLine,
            text: "        struct View
        {
            View(const CPacket& p, int32_t caller)
            {
                s_hook_caller = caller;
                if (p.getLength() > CHandShake::m_iContentSize)
                {
                    s_hook_words = reinterpret_cast<const uint32_t*>(p.m_pcData + CHandShake::m_iContentSize);
                    s_hook_word_count = (p.getLength() - CHandShake::m_iContentSize) / sizeof(uint32_t);
                }
            }
            ~View()
            {
                s_hook_words = NULL;
                s_hook_word_count = 0;
                s_hook_caller = 0;
            }
        } view(hspkt, hs.m_iID);
",
        },
    ],
};
