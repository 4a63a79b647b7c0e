import { describe, expect, it } from "vitest";
import { Series } from "../src/lib/series";
import { EventParser } from "../src/lib/sse";
import { visible } from "../src/lib/window";

describe("Series", () => {
  it("keeps the newest, oldest first", () => {
    const series = new Series(3);
    expect(series.last).toBe(0);
    for (const value of [1, 2, 3, 4, 5]) series.push(value);
    expect(series.toArray()).toEqual([3, 4, 5]);
    expect([series.size, series.last, series.max()]).toEqual([3, 5, 5]);
  });
});

describe("Series by the second", () => {
  it("continues what the gateway remembers, and takes no second twice", () => {
    const series = new Series(5);
    [100, 101, 102].forEach((second) => series.pushAt(second, second));
    series.pushAt(102, 999);
    series.pushAt(103, 103);
    expect(series.toArray()).toEqual([100, 101, 102, 103]);
  });

  it("shows that nothing is known of the seconds that it missed", () => {
    const series = new Series(4);
    series.pushAt(100, 7);
    series.pushAt(103, 8);
    expect(series.toArray()).toEqual([7, 0, 0, 8]);
    series.pushAt(9_000_000, 9);
    expect(series.toArray()).toEqual([0, 0, 0, 9]);
  });
});

describe("EventParser", () => {
  it("reads events however they are cut", () => {
    const text = "event: a\r\ndata: 1\r\ndata: 2\r\n\r\n: comment\ndata:{}\nid: 7\n\n";
    for (let cut = 0; cut <= text.length; cut += 1) {
      const parser = new EventParser();
      const events = [...parser.push(text.slice(0, cut)), ...parser.push(text.slice(cut))];
      expect(events).toEqual([
        { event: "a", data: "1\n2", id: undefined },
        { event: "message", data: "{}", id: "7" },
      ]);
    }
  });

  it("keeps an unfinished event to itself", () => {
    expect(new EventParser().push("data: half\n")).toEqual([]);
  });
});

describe("visible", () => {
  it("covers the view and no more than it must", () => {
    expect(visible(500, 40, 0, 800, 0)).toEqual({ first: 0, end: 20, above: 0, below: 480 * 40 });
    expect(visible(500, 40, 4000, 800, 2)).toEqual({ first: 98, end: 122, above: 98 * 40, below: 378 * 40 });
  });

  it("stays within the list", () => {
    expect(visible(3, 40, 9999, 800)).toEqual({ first: 3, end: 3, above: 120, below: 0 });
    expect(visible(3, 40, -500, 800)).toEqual({ first: 0, end: 3, above: 0, below: 0 });
    expect(visible(0, 40, 0, 800)).toEqual({ first: 0, end: 0, above: 0, below: 0 });
  });
});
