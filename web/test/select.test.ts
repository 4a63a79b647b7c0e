import { describe, expect, it } from "vitest";
import { href, parseRoute } from "../src/lib/route";
import { inWords, lossHealth, selected } from "../src/lib/select";
import { measure } from "../src/lib/window";
import { hostFor, portsFor } from "../src/lib/wizard";
import type { Health, ListeningPort, Stream } from "../src/model";

function stream(name: string, health: Health, change: Partial<Stream> = {}): Stream {
  return {
    name,
    health,
    origin: "config",
    state: health === "idle" ? "idle" : "live",
    source: null,
    inBps: null,
    outBps: null,
    rttMs: null,
    rttP95Ms: null,
    loss: null,
    retransmitted: null,
    dropped: null,
    bufferMs: null,
    latencyMs: null,
    skipped: 0,
    viewers: 0,
    outputs: 0,
    inputs: 0,
    media: "",
    upSeconds: null,
    verdict: null,
    ...change,
  };
}

describe("a stream without a verdict", () => {
  it("says who waits for whom", () => {
    const waiting = (change: Partial<Stream>) => inWords(stream("a", "warning", { state: "waiting", ...change }));
    expect(waiting({ inputs: 1, viewers: 3 })).toContain("no input");
    expect(waiting({ viewers: 3, outputs: 1 })).toContain("viewers wait");
    expect(waiting({ outputs: 1 })).toContain("outputs wait");
    expect(inWords(stream("a", "bad", { state: "silent" }))).toContain("encoder");
  });

  it("is as bad as its losses", () => {
    expect([null, 0.005, 0.02, 0.2].map(lossHealth)).toEqual(["", "", "warning", "bad"]);
  });
});

describe("selected", () => {
  const all = [
    stream("b", "good", { inBps: 5 }),
    stream("a", "bad", { source: "publisher 192.0.2.7" }),
    stream("d", "idle"),
    stream("c", "warning", { inBps: 9 }),
  ];
  const names = (text: string, which: "all" | "live" | "trouble", by: "name" | "health" | "inBps", down = false) =>
    selected(all, text, which, by, down).map((one) => one.name);

  it("sorts, what is not known last when the largest come first", () => {
    expect(names("", "all", "name")).toEqual(["a", "b", "c", "d"]);
    expect(names("", "all", "health")).toEqual(["a", "c", "b", "d"]);
    expect(names("", "all", "inBps", true)).toEqual(["c", "b", "a", "d"]);
  });

  it("finds by all words, in name, source and state", () => {
    expect(names("192.0 pub", "all", "name")).toEqual(["a"]);
    expect(names("IDLE", "all", "name")).toEqual(["d"]);
    expect(names("nothing", "all", "name")).toEqual([]);
  });

  it("keeps those that are live, or in trouble", () => {
    expect(names("", "live", "name")).toEqual(["a", "b", "c"]);
    expect(names("", "trouble", "name")).toEqual(["a", "c"]);
  });

  it("leaves the list that it was given as it is", () => {
    selected(all, "", "all", "name", false);
    expect(all[0]?.name).toBe("b");
  });
});

describe("routes", () => {
  it("survive names with slashes, spaces and signs", () => {
    for (const name of ["live/cam 1", "100%", "a#b?c", "ä/ö"]) {
      expect(parseRoute(href({ page: "stream", name }))).toEqual({ page: "stream", name });
      expect(parseRoute(href({ page: "connect", name }))).toEqual({ page: "connect", name });
    }
  });

  it("lead to the overview when they lead nowhere", () => {
    for (const hash of ["", "#", "#/", "#/stream/", "#/nowhere"]) expect(parseRoute(hash)).toEqual({ page: "overview" });
    expect(parseRoute("#/stream/%")).toEqual({ page: "stream", name: "%" });
  });
});

describe("measure", () => {
  it("makes tiles as large as they can be with all of them in view", () => {
    const few = measure("wall", "desk", 2500, 6, 1300, 17);
    const many = measure("wall", "desk", 2500, 500, 1300, 17);
    expect(Math.ceil(6 / few.across) * few.row).toBeLessThanOrEqual(1300);
    expect(many.across).toBeGreaterThan(few.across);
    expect(measure("wall", "phone", 340, 10, 700, 14).across).toBe(1);
    expect(measure("wall without pictures", "desk", 2500, 500, 1300, 17).row).toBeLessThan(many.row * 0.8);
    expect(measure("table", "desk", 1400, 10, 700, 14).across).toBe(1);
  });
});

describe("ports", () => {
  const port = (change: Partial<ListeningPort>): ListeningPort => ({
    port: 9998,
    address: "0.0.0.0",
    scope: "global",
    stream: null,
    mode: "both",
    encrypted: false,
    latencyMs: 120,
    label: "",
    ...change,
  });

  it("are those that serve the stream, its own first", () => {
    const ports = [
      port({ port: 1 }),
      port({ port: 2, scope: "stream", stream: "a", mode: "publish" }),
      port({ port: 3, scope: "stream", stream: "b" }),
      port({ port: 4, mode: "play" }),
    ];
    expect(portsFor(ports, "a", "publish").map((one) => one.port)).toEqual([2, 1]);
    expect(portsFor(ports, "a", "play").map((one) => one.port)).toEqual([1, 4]);
  });

  it("are reached by the page's own address, unless they listen elsewhere", () => {
    expect(hostFor(port({}), "gw.example")).toBe("gw.example");
    expect(hostFor(port({ address: "[::]" }), "[::1]")).toBe("::1");
    expect(hostFor(port({ address: "192.0.2.1" }), "gw.example")).toBe("192.0.2.1");
  });
});
