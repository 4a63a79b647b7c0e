import { describe, expect, it } from "vitest";
import { bitrate, bytes, clock, count, duration, hostOf, milliseconds, percent, pid, plural, rate, until } from "../src/lib/format";

describe("figures", () => {
  it("keeps three significant digits and never shows 1000 of a unit", () => {
    expect(bitrate(0)).toBe("0 b/s");
    expect(bitrate(999.4)).toBe("999 b/s");
    expect(bitrate(6_200_000)).toBe("6.20 Mb/s");
    expect(bitrate(62_000_000)).toBe("62.0 Mb/s");
    expect(bitrate(999_499)).toBe("999 kb/s");
    expect(bitrate(999_600)).toBe("1.00 Mb/s");
    expect(bitrate(1_500_000_000)).toBe("1.50 Gb/s");
    expect(bytes(999_600)).toBe("1.00 MB");
    expect(bytes(12)).toBe("12 B");
  });

  it("shows a dash for what is not known, not a zero", () => {
    for (const figure of [bitrate, bytes, milliseconds, percent, count, duration, rate]) {
      expect(figure(undefined)).toBe("–");
      expect(figure(null)).toBe("–");
      expect(figure(Number.NaN)).toBe("–");
    }
  });

  it("never rounds a loss down to none", () => {
    expect(percent(0)).toBe("0 %");
    expect(percent(1e-9)).toBe("<0.01 %");
    expect(percent(0.0005)).toBe("0.05 %");
    expect(percent(0.25)).toBe("25.0 %");
  });

  it("tells time in the two largest units", () => {
    expect(duration(59.9)).toBe("59 s");
    expect(duration(61)).toBe("1 min 01 s");
    expect(duration(7_500)).toBe("2 h 05 min");
    expect(duration(90_000)).toBe("1 d 01 h");
    expect(milliseconds(1.234)).toBe("1.2 ms");
    expect(milliseconds(120)).toBe("120 ms");
    expect(milliseconds(12_000)).toBe("12.0 s");
  });

  it("dates what is not of today", () => {
    const now = new Date(2026, 10, 22, 12, 0, 0);
    expect(clock(new Date(2026, 10, 22, 9, 5, 7), "local", now)).toBe("09:05:07");
    expect(clock(new Date(2026, 10, 21, 9, 5, 7), "local", now)).toBe("2026-11-21 09:05:07");
  });

  it("writes PIDs in both bases, counts with thin spaces, and plurals", () => {
    expect(pid(256)).toBe("0x0100 (256)");
    expect(count(1_234_567)).toBe("1\u2009234\u2009567");
    expect(plural(1, "viewer")).toBe("1 viewer");
    expect(plural(0, "viewer")).toBe("0 viewers");
    expect(rate(25)).toBe("25");
    expect(rate(29.97)).toBe("29.97");
    expect(rate(59.9)).toBe("59.9");
  });
});

describe("peers and moments", () => {
  it("take the port off an address, of either family", () => {
    expect(["192.0.2.1:5000", "[2001:db8::1]:5000", "192.0.2.1"].map(hostOf)).toEqual(["192.0.2.1", "2001:db8::1", "192.0.2.1"]);
  });

  it("say how far away something is", () => {
    expect(until(new Date(310_000), new Date(0))).toBe("in 5 min 10 s");
    expect(until(new Date(0), new Date(5_000))).toBe("in 0 s");
  });
});
