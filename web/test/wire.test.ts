import { describe, expect, it } from "vitest";
import * as wire from "../src/api/wire";
import { reason } from "../src/lib/select";

const link = { rtt_ms: 12, rtt_p95_ms: 20, loss_ratio: 0.02, lost: 3, retransmitted: 4, dropped: 1, buffer_ms: 100, latency_ms: 120 };

const live: wire.WireStream = {
  name: "live/cam1",
  origin: "config",
  state: "live",
  viewers: 2,
  outputs: 1,
  inputs: 0,
  source: { session: 7, kind: "publisher", peer: "192.0.2.1:5000" },
  figures: { bitrate_bps: 6e6, bitrate_out_bps: 12e6, bytes: 1, messages: 1, link, skipped: 0 },
};

describe("a stream", () => {
  it("shows its source's link, and is as well as its verdict says", () => {
    const shown = wire.stream(live);
    expect(shown).toMatchObject({ health: "good", inBps: 6e6, rttMs: 12, loss: 0.02, source: "publisher 192.0.2.1:5000" });
    const verdict = { level: "bad" as const, fault: "publisher_link", sentence: "raise latency", evidence: ["loss 2 %"], viewers: [3] };
    expect(wire.stream({ ...live, verdict })).toMatchObject({ health: "bad", verdict: { text: "raise latency", sessions: ["3"] } });
  });

  it("is red when it is lost, although it has no source to judge", () => {
    const { source: _, ...rest } = live;
    const verdict = { level: "bad" as const, fault: "source", sentence: "lost 3 min ago", evidence: [], viewers: [] };
    expect(wire.stream({ ...rest, state: "waiting", verdict }).health).toBe("bad");
    expect(wire.stream({ ...rest, state: "idle", verdict }).health).toBe("bad");
    expect(wire.stream({ ...rest, state: "idle", verdict: { ...verdict, level: "good" as const } }).health).toBe("idle");
  });

  it("has all that is wrong at once, beside what its sentence says", () => {
    const fault = (sentence: string, level: "bad" | "warning", viewers: number[]) => ({ kind: "x", level, sentence, evidence: ["e"], viewers });
    const verdict = { level: "bad" as const, fault: "output", sentence: "output A is down", evidence: ["9 failures"], viewers: [1], faults: [fault("output A is down", "bad", [1]), fault("viewer 2: raise latency", "warning", [2])] };
    const shown = wire.stream({ ...live, verdict }).verdict;
    expect(shown?.faults).toEqual([{ health: "warning", text: "viewer 2: raise latency", evidence: ["e"] }]);
    expect(shown?.sessions).toEqual(["1", "2"]);
    expect(reason(wire.stream({ ...live, verdict }))).toBe("output A is down (and 1 more)");
  });

  it("has no bitrate without a source, rather than none at all", () => {
    const { source: _, ...rest } = live;
    const idle = wire.stream({ ...rest, state: "idle", figures: { ...live.figures, bitrate_bps: 0 } });
    expect([idle.inBps, idle.source, idle.health]).toEqual([null, null, "idle"]);
    expect(wire.stream({ ...live, state: "silent" }).health).toBe("bad");
  });
});

describe("a port", () => {
  const listener = (change: Partial<wire.WireListener>) => wire.listener({ kind: "srt", address: "0.0.0.0:9998", encrypted: false, latency_ms: 120, ...change });

  it("is read with IPv4 and IPv6", () => {
    expect(listener({})).toMatchObject({ port: 9998, address: "0.0.0.0", scope: "global", mode: "both" });
    expect(listener({ address: "[::1]:9002", kind: "srt_play", stream: "a" })).toMatchObject({ port: 9002, address: "[::1]", scope: "stream", mode: "play" });
  });
});

describe("history", () => {
  it("becomes points, with gaps where nothing is known", () => {
    const points = wire.history({ step_seconds: 10, start: 1000, points: 2, mean: { bitrate_bps: [null, 5], rtt_ms: [1, 2] } });
    expect(points.map((point) => [point.t, point.inBps, point.rttMs, point.viewers])).toEqual([
      [1000, null, 1, null],
      [1010, 5, 2, null],
    ]);
  });
});

describe("ten seconds of history", () => {
  it("have their highest beside their mean", () => {
    const day = { step_seconds: 10, start: 1000, points: 1, mean: { bitrate_bps: [5], rtt_ms: [10], loss_ratio: [0.01] } };
    expect(wire.history({ ...day, max: { bitrate_bps: [9], rtt_ms: [80] } })[0]).toMatchObject({ inBps: 5, rttMs: 10, highest: { inBps: 9, rttMs: 80, loss: null } });
    expect(wire.history(day)[0]?.highest).toBeUndefined();
  });
});

describe("a session", () => {
  const session: wire.WireSession = { id: 3, role: "publisher", stream: "a", peer: "192.0.2.1:5000", via: "srt port 9998", of_endpoint: false, feeds: true, age_seconds: 5, srt_version: "1.5.4", encryption: "AES-128", latency_ms: 120, bytes: 1, messages: 1, skipped: 0 };

  it("shows nothing of a link that is not known yet, and each link of a bonded one", () => {
    expect(wire.session(session)).toMatchObject({ role: "publisher", rttMs: null, bps: null, links: [], labels: [] });
    expect(wire.session({ ...session, labels: { tenant: "t1" } }).labels).toEqual(["tenant: t1"]);
    const bonded = wire.session({ ...session, bonded: [{ peer: "192.0.2.9:7000", state: "running", rtt_ms: 12.3, packets: 1000, lost: 2 }] });
    expect(bonded.links).toEqual(["192.0.2.9:7000 running, RTT 12 ms, 2 of 1\u2009000 lost"]);
  });
});

describe("a transport stream", () => {
  const shown = wire.transport({
    payload: "mpeg_ts",
    bits_per_second: 6e6,
    null_ratio: 0.1,
    programs: [{ number: 1, pmt_pid: 256, pcr_pid: 257, service_name: "One", streams: [{ pid: 257, kind: "video", codec: "H.264", languages: [], video: { width: 1920, height: 1080, frame_rate: 25, interlaced: true, profile: "High" } }] }],
    pids: [
      { pid: 0, carries: "PAT", bits_per_second: 15000, packets: 10, continuity_errors: 0, scrambled: 0 },
      { pid: 257, carries: "H.264", bits_per_second: 5e6, packets: 10, continuity_errors: 3, scrambled: 0 },
    ],
    clocks: [],
    checks: [{ number: "1.4", name: "Continuity_count_error", priority: 1, count: 3, last_minute: 1 }],
    gop: null,
  });

  it("joins what tables announce with what occurs", () => {
    expect(shown.programs[0]?.pids[0]).toMatchObject({ pid: 257, detail: "1920×1080i25 High", bps: 5e6, continuityErrors: 3 });
    expect(shown.otherPids.map((one) => one.pid)).toEqual([0]);
    expect(shown.video).toBe("H.264");
    expect(shown.checks[0]).toMatchObject({ code: "1.4", count: 3, lastMinute: 1 });
  });
});

describe("a refused caller", () => {
  it("names its port once", () => {
    const refusal = (listener: string) => wire.refusal({ number: 1, time: "2026-01-01T00:00:00Z", peer: "p", port: 9998, listener, streamid: "", encryption: "none", by: "port", code: 1400, reason: "r" }).port;
    expect(refusal("srt port 9998")).toBe("srt port 9998");
    expect(refusal("a range of ports")).toBe("a range of ports 9998");
  });
});

describe("the configuration file", () => {
  it("is told of with its faults and their places", () => {
    expect(wire.reading({ changes: [], warnings: [] })).toEqual({ at: null, changes: [], warnings: [], problem: null });
    const fault = { key: "a.b", message: "m", line: 3, column: 1 };
    const reading = wire.reading({ time: "2026-01-01T00:00:00Z", changes: [], warnings: [], problem: { detail: "d", errors: [fault] } });
    expect(reading.problem).toEqual({ detail: "d", faults: [fault] });
    expect(reading.at?.getTime()).toBe(Date.UTC(2026, 0, 1));
  });
});
