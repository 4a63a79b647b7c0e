use super::{Change, Edit, Put};

// Stock libsrt stores a data packet, and decrypts it then. If AES-GCM does not authenticate it, or it is not encrypted at all,
// it is taken out again, but keeps its place: the real packet of that number counts as a duplicate, the peer is told that it
// has arrived, and the number may be one that the peer has not reached yet. Somebody who forges the peer's address stops a
// stream, or breaks the connection with a number far ahead.
//
// With this edit such a packet is decrypted before anything else is done with it, and one that fails is only counted. That
// includes packets whose key has not arrived yet: they are requested again when it has. A packet filter needs the packets as
// they came, so it gets them after a copy was decrypted, and what it rebuilds is decrypted before it is stored.
//
// AES-CTR authenticates nothing, and a connection without a common secret can decrypt nothing: both stay as they are.
pub(crate) const EDIT: Edit = Edit {
    name: "forged-data",
    changes: &[
        Change {
            file: "srtcore/core.h",
            anchor: "int handleSocketPacketReception(const std::vector<CUnit*>& incoming",
            put: Put::BeforeLine,
            text: "    // Both need m_RcvBufferLock.
    bool isProofDue(const CPacket& packet) const;
    bool decryptProven(CPacket& packet);
    bool isForged(CUnit* unit);

    // What processData has decrypted already; for the receiving thread only.
    const CUnit* m_pDecryptedUnit {NULL};

",
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "int srt::CUDT::processData(CUnit* in_unit)",
            put: Put::BeforeLine,
            text: METHODS,
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "const int pktrexmitflag = m_bPeerRexmitFlag ? (packet.getRexmitFlag() ? 1 : 0) : 2;",
            put: Put::BeforeLine,
            text: "    if (isForged(in_unit))
        return -1;

",
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "if (bufidx >= int(m_pRcvBuffer->capacity()))",
            put: Put::BeforeLine,
            text: "        bool is_proven = u == m_pDecryptedUnit;
        if (!is_proven && isProofDue(rpkt))
        {
            if (!decryptProven((rpkt)))
                continue;
            is_proven = true;
        }

",
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "if (u->m_Packet.getMsgCryptoFlags() != EK_NOENC)",
            put: Put::Replace,
            text: "if (is_proven)
            {
                decrypt_successful = true;
            }
            else if (u->m_Packet.getMsgCryptoFlags() != EK_NOENC)",
        },
    ],
};

const METHODS: &str = r#"// Whether only the peer can have sent what can be decrypted.
bool srt::CUDT::isProofDue(const CPacket& packet) const
{
    if (!m_pCryptoControl || m_pCryptoControl->m_RcvKmState != SRT_KM_S_SECURED)
        return false;
    return packet.getMsgCryptoFlags() == EK_NOENC || m_pCryptoControl->getCryptoMode() == CSrtConfig::CIPHER_MODE_AES_GCM;
}

// Decrypts the packet in place; counts one that fails.
bool srt::CUDT::decryptProven(CPacket& packet)
{
    if (packet.getMsgCryptoFlags() != EK_NOENC && packet.getLength() > HAICRYPT_AUTHTAG_MAX)
    {
        // The flag of retransmission changes on the way, so it is not authenticated.
        const bool is_retransmission = packet.getRexmitFlag();
        packet.setRexmitFlag(false);
        const EncryptionStatus status = m_pCryptoControl->decrypt((packet));
        packet.setRexmitFlag(is_retransmission);
        if (status == ENCS_CLEAR)
            return true;
    }

    ScopedLock stats(m_StatsLock);
    m_stats.rcvr.undecrypted.count(stats::BytesPackets(packet.getLength(), 1));
#if ENABLE_LOGGING
    string why;
    if (frequentLogAllowed(FREQLOGFA_ENCRYPTION_FAILURE, steady_clock::now(), (why)))
        LOGC(qrlog.Warn, log << CONID() << "Ignored packet %" << packet.seqno() << ", which is not authentic or has no known key; "
                << m_stats.rcvr.undecrypted.total.count() << " so far." << why);
#endif
    return false;
}

bool srt::CUDT::isForged(CUnit* unit)
{
    m_pDecryptedUnit = NULL;
    if (m_config.CryptoSecret.len == 0)
        return false;
    ScopedLock buffer(m_RcvBufferLock);
    CPacket& packet = unit->m_Packet;
    if (!isProofDue(packet))
        return false;
    if (!m_PacketFilter)
    {
        m_pDecryptedUnit = unit;
        return !decryptProven((packet));
    }
    // The filter's own packets are not encrypted.
    if (packet.getMsgSeq(m_bPeerRexmitFlag) == SRT_MSGNO_CONTROL)
        return false;
    UniquePtr<CPacket> copy(packet.clone());
    return !decryptProven((*copy));
}

"#;
