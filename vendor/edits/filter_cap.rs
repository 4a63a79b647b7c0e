use super::{Change, Edit, Put};

// A peer names the columns and rows of its packet filter, up to 65,535 each, and stock libsrt takes what it names: two buffers
// of a packet for each column, and a cell for each packet of the matrix, before the connection is accepted. One handshake costs
// up to a gigabyte and seconds of the port's receiving thread. A listener without a packet filter of its own is open to that
// too, and a caller that leaves the size to its listener.
//
// With this edit a peer's filter is refused (SRT_REJ_FILTER) when a side of the matrix is above a limit, 256 unless the program
// sets another, and is not what this side has configured itself. It stands behind the merge of both sides' settings, where what
// will be allocated is known.
pub(crate) const EDIT: Edit = Edit {
    name: "filter-cap",
    changes: &[
        Change {
            file: "srtcore/core.cpp",
            anchor: "bool srt::CUDT::checkApplyFilterConfig(",
            put: Put::BeforeLine,
            text: "static srt::sync::atomic<int> s_filter_cap(256);

extern \"C\" void srt_edit_filter_cap(int side)
{
    s_filter_cap = side;
}

",
        },
        Change {
            file: "srtcore/core.cpp",
            anchor: "size_t efc_max_payload_size = ",
            put: Put::BeforeLine,
            text: "    SrtFilterConfig capped, owncfg;
    if (!ParseFilterConfig(m_config.sPacketFilterConfig.str(), (capped)))
        return false;
    if (thisconf != \"\" && !ParseFilterConfig(thisconf, (owncfg)))
        return false;
    static const char* const sides[] = {\"cols\", \"rows\"};
    for (size_t side = 0; side < 2; ++side)
    {
        const int packets = atoi(map_get(capped.parameters, sides[side]).c_str());
        const int own     = atoi(map_get(owncfg.parameters, sides[side]).c_str());
        if (packets != own && (packets > s_filter_cap || packets < -s_filter_cap))
            return false;
    }

",
        },
    ],
};
