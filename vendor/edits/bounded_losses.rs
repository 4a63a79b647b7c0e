use super::{Change, Edit, Put};

// A peer names packets by sequence number: those it lacks (NAK), those it has (ACK), those it will never send (DROPREQ).
// Stock libsrt steps through such a range, or up to such a packet, one number at a time. A DROPREQ of 24 bytes that names
// half a billion packets keeps the port's receiving thread busy for good. So does, for the sending thread, a NAK of a packet
// so far ahead that it wraps around and compares as earlier.
//
// With this edit
// - a NAK or ACK of a packet that was never sent breaks the connection, as stock libsrt intends;
// - a DROPREQ reaches no further than the receive buffer;
// - the loss lists and buffers step through what they hold, whatever range they are given;
// - libsrt answers one NAK with eight DROPREQs at most;
// - a DROPREQ of packets that an earlier one dropped does not make the receive buffer of a stream take empty entries for
//   readable ones. Stock libsrt follows a null pointer at its next ACK.
pub(crate) const EDIT: Edit = Edit {
    name: "bounded-losses",
    changes: &[
        Change {
            file: "srtcore/core.cpp",
            anchor: "bool srt::CUDT::processCtrlAck(const CPacket &ctrlpkt",
            put: Put::BeforeLine,
            text: "namespace
{
// Whether `seq` comes after `last`, where `first` is the oldest packet in flight. Compares distances from `first`, because
// seqcmp takes a number that is half the range ahead for an earlier one.
bool isAfter(int32_t first, int32_t last, int32_t seq)
{
    if (seq < 0)
        return true;
    const int distance = srt::CSeqNo::seqoff(first, seq);
    return distance >= 0 && distance > srt::CSeqNo::seqoff(first, last);
}

// The most DROPREQs in answer to one NAK.
const int ANSWERED_DROPS_MAX = 8;
}

",
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "updateSndLossListOnACK(ackdata_seqno);",
            put: Put::BeforeLine,
            text: "    {
        UniqueLock ack_lock(m_RecvAckLock);
        const int32_t next = CSeqNo::incseq(m_iSndCurrSeqNo);
        if (isAfter(m_iSndLastAck, next, ackdata_seqno))
        {
            ack_lock.unlock();
            LOGC(inlog.Error, log << CONID() << \"ACK of %\" << ackdata_seqno << \", which was never sent: next is %\" << next);
            m_bBroken        = true;
            m_iBrokenCounter = 0;
            updateBrokenConnection();
            completeBrokenConnectionDependencies(SRT_ESECFAIL);
            return false;
        }
    }

",
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "// decode loss list message and insert loss into the sender loss list",
            put: Put::BeforeLine,
            text: "        int answered_drops = 0;
",
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "if ((CSeqNo::seqcmp(losslist_lo, losslist_hi) > 0) ||",
            put: Put::Replace,
            text: "if (isAfter(m_iSndLastAck, m_iSndCurrSeqNo, losslist_lo) || isAfter(m_iSndLastAck, m_iSndCurrSeqNo, losslist_hi) ||
                    (CSeqNo::seqcmp(losslist_lo, losslist_hi) > 0) ||",
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "if (CSeqNo::seqcmp(losslist[i], m_iSndCurrSeqNo) > 0)",
            put: Put::Replace,
            text: "if (isAfter(m_iSndLastAck, m_iSndCurrSeqNo, losslist[i]))",
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "int32_t seqpair[2] = { losslist_lo, dropreq_hi };",
            put: Put::BeforeLine,
            text: "                    if (++answered_drops > ANSWERED_DROPS_MAX)
                        continue;
",
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "int32_t seqpair[2] = { losslist[i], losslist[i] };",
            put: Put::BeforeLine,
            text: "                    if (++answered_drops > ANSWERED_DROPS_MAX)
                        continue;
",
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "const int32_t* dropdata = (const int32_t*) ctrlpkt.m_pcData;",
            put: Put::Replace,
            text: "int32_t dropdata[2];
    memcpy(dropdata, ctrlpkt.m_pcData, sizeof dropdata);",
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "int dist_begin = CSeqNo::seqoff(dropdata[0], hookseq_begin);",
            put: Put::BeforeLine,
            text: "    if (dropdata[0] < 0 || dropdata[1] < 0)
        return false;
    // Packets beyond the buffer could not be received anyway.
    const int reach = int(m_pRcvBuffer->capacity()) - 1;
    if (CSeqNo::seqoff(hookseq_begin, dropdata[1]) > reach)
        dropdata[1] = CSeqNo::incseq(hookseq_begin, reach);

",
        },
        Change {
            file: "srtcore/list.cpp",
            anchor: "for (int32_t i = seqno1; CSeqNo::seqcmp(i, seqno2) <= 0; i = CSeqNo::incseq(i))",
            put: Put::Replace,
            text: "// Not before the first entry, nor beyond the last one.
    if (m_iLength > 0 && CSeqNo::seqcmp(seqno1, m_caSeq[m_iHead].seqstart) < 0)
        seqno1 = m_caSeq[m_iHead].seqstart;
    for (int32_t i = seqno1; m_iLength > 0 && CSeqNo::seqcmp(i, seqno2) <= 0; i = CSeqNo::incseq(i))",
        },
        Change {
            file: "srtcore/list.cpp",
            anchor: "remove(i);\n    }\n    return true;",
            put: Put::Replace,
            text: "const Seq& tail = m_caSeq[m_iTail];
        if (CSeqNo::seqcmp(i, tail.seqend == SRT_SEQNO_NONE ? tail.seqstart : tail.seqend) > 0)
            break;
        remove(i);
    }
    // Records that later losses have higher numbers.
    remove(seqno2);
    return true;",
        },
        Change {
            file: "srtcore/list.cpp",
            anchor: "//HLOGC(tslog.Debug, log << \"... removing %\" << i);",
            put: Put::Replace,
            text: "if (m_iLength == 0)
        {
            remove(seqno_last);
            break;
        }",
        },
        Change {
            file: "srtcore/buffer_rcv.cpp",
            anchor: "m_iMaxPosOff -= len;",
            put: Put::BeforeLine,
            text: "    // Stepping through all entries once empties the buffer.
    len = min(len, int(m_szSize));
",
        },
        Change {
            file: "srtcore/buffer_rcv.cpp",
            anchor: "m_iStartPos = pos;",
            put: Put::BeforeLine,
            text: "        // Never behind the start: everything from there on would count as readable.
        if (m_iFirstNonreadPos == m_iStartPos)
            m_iFirstNonreadPos = pos;
",
        },
        Change {
            file: "srtcore/buffer_rcv.cpp",
            anchor: "if (needUpdateNonreadPos)",
            put: Put::Replace,
            text: "if (needUpdateNonreadPos || m_iFirstNonreadPos == m_iStartPos)",
        },
        Change {
            file: "srtcore/buffer_snd.cpp",
            anchor: "const Block* p = m_pFirstBlock;",
            put: Put::BeforeLine,
            text: "    if (offset >= m_iCount)
        return sync::steady_clock::time_point();
",
        },
    ],
};
