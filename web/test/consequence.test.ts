import { describe, expect, it } from "vitest";
import { bannedBy, ending, inNetwork, ofSession, ofStop } from "../src/lib/consequence";
import { definitionOf, hasSecrets, placeOf } from "../src/lib/definition";
import { clock, times, zoneName } from "../src/lib/format";
import { parseQuery, parseRoute, withQuery } from "../src/lib/route";
import { groups, parseOrder, selected } from "../src/lib/select";
import type { Endpoint, Session, Stream, StreamDetail } from "../src/model";

const session = (role: string, peer = "192.0.2.1:5000", feeds = false) => ({ role, peer, feeds }) as Session;

describe("what a change does to people", () => {
  it("counts whom it ends, by what they are", () => {
    expect(ending([])).toBe("Nobody is connected.");
    expect(ending([session("viewer")])).toBe("Ends 1 session: 1 viewer.");
    expect(ending([session("viewer"), session("publisher"), session("viewer")])).toBe("Ends 3 sessions: 1 publisher, 2 viewers.");
  });

  it("tells who loses the source", () => {
    const input = (id: string, active: boolean) => ({ id, direction: "input", active, enabled: true, health: "good" }) as Endpoint;
    const detail = { stream: { viewers: 3 }, endpoints: [input("1", true), input("2", false)], sessions: [] } as unknown as StreamDetail;
    expect(ofSession(session("publisher", "a", true), detail)).toBe("Cuts the source of 3 viewers.");
    expect(ofSession(session("viewer"), detail)).toBe("Ends 1 viewer.");
    expect(ofStop(input("1", true), detail)).toBe("Cuts the source of 3 viewers; another input takes over.");
    expect(ofStop(input("2", false), detail)).toBe("It does not feed the stream now.");
  });

  it("knows which addresses a network holds", () => {
    const cases: [string, string, boolean][] = [
      ["192.0.2.7", "192.0.2.7", true],
      ["192.0.2.7", "192.0.2.0/24", true],
      ["192.0.3.7", "192.0.2.0/24", false],
      ["192.0.2.129", "192.0.2.128/25", true],
      ["192.0.2.127", "192.0.2.128/25", false],
      ["192.0.2.7", "0.0.0.0/0", true],
      ["2001:db8::1", "0.0.0.0/0", false],
      ["::ffff:192.0.2.7", "192.0.2.0/24", true],
      ["2001:db8:1::1", "2001:db8::/32", true],
      ["2001:db9::1", "2001:db8::/32", false],
      ["2001:db8::1", "2001:db8:0:0:0:0:0:1", true],
      ["192.0.2.7", "192.0.2", false],
      ["192.0.2.7", "192.0.2.0/33", false],
      ["192.0.2.7", "", false],
      ["2001:db8::1", "2001:db8::x/32", false],
    ];
    for (const [address, network, held] of cases) expect(inNetwork(address, network), `${address} in ${network}`).toBe(held);
    expect(bannedBy("2001:db8::/32", [session("viewer", "[2001:db8::5]:4000"), session("viewer")])).toHaveLength(1);
  });

  it("finds the definition of an input or output, if there is one only", () => {
    const endpoint = (url: string, name = url) => ({ direction: "input", url, name }) as Endpoint;
    const detail = { definition: { inputs: ["srt://a:1?passphrase=***", { url: "srt://b:2?latency=9", name: "N" }, "udp://c:3", "udp://c:3?ttl=2"] } } as unknown as StreamDetail;
    expect(definitionOf(endpoint("srt://a:1"), detail)).toEqual({ url: "srt://a:1?passphrase=***" });
    expect(definitionOf(endpoint("srt://b:2", "N"), detail)).toEqual({ url: "srt://b:2?latency=9", name: "N" });
    expect(placeOf(endpoint("srt://b:2", "N"), detail)).toBe(1);
    expect(definitionOf(endpoint("udp://c:3"), detail)).toBeNull();
    expect(definitionOf(endpoint("udp://d:4"), detail)).toBeNull();
  });

  it("sees a mask wherever it stands", () => {
    expect(hasSecrets({ outputs: [{ url: "srt://h:1?passphrase=***" }] })).toBe(true);
    expect(hasSecrets({ srt: { passphrase: "***" } })).toBe(true);
    expect(hasSecrets({ inputs: ["srt://user:***@h:1"] })).toBe(true);
    expect(hasSecrets({ outputs: ["udp://127.0.0.1:9"], max_viewers: 3 })).toBe(false);
  });
});

describe("times", () => {
  it("are told in the zone that is asked for", () => {
    const at = new Date("2026-03-01T23:30:05Z");
    expect(clock(at, "utc", new Date("2026-03-01T10:00:00Z"))).toBe("23:30:05");
    expect(clock(at, "utc", new Date("2026-03-02T10:00:00Z"))).toBe("2026-03-01 23:30:05");
    expect(zoneName("utc")).toBe("UTC");
    const east = { getTimezoneOffset: () => -330 } as Date;
    const west = { getTimezoneOffset: () => 180 } as Date;
    expect(zoneName("local", east)).toBe("UTC+5:30");
    expect(zoneName("local", west)).toBe("UTC-3");
  });

  it("are counted in words", () => {
    expect(times(1)).toBe("once");
    expect(times(2)).toBe("2 times");
  });
});

describe("the address", () => {
  it("keeps its page when its parameters change", () => {
    expect(withQuery("", { q: "a b" })).toBe("#/?q=a+b");
    expect(withQuery("#/stream/live%2Fa?span=24h", { span: null })).toBe("#/stream/live%2Fa");
    expect(withQuery("#/?q=x", { only: "live" })).toBe("#/?q=x&only=live");
    expect(parseQuery("#/?q=a+b&only=live").get("q")).toBe("a b");
    expect(parseRoute("#/stream/live%2Fa%3Fb?span=24h")).toEqual({ page: "stream", name: "live/a?b" });
  });

  it("names groups and an order", () => {
    const all = ["b/x", "a/y", "a/z", "plain", "a/b/c"].map((name) => ({ name, state: "idle", health: "idle", verdict: null, source: null, inputs: 0 }) as unknown as Stream);
    expect(groups(all)).toEqual(["a", "a/b", "b"]);
    expect(selected(all, "", "all", "name", false, "a").map((one) => one.name)).toEqual(["a/y", "a/z"]);
    expect(parseOrder("-loss")).toEqual({ by: "loss", down: true });
    expect(parseOrder("nonsense")).toEqual({ by: "name", down: false });
  });
});
