import { describe, expect, it } from "vitest";
import { toDefinition } from "../src/lib/definition";
import { FORM, moved, read, write } from "../src/lib/form";
import type { Key, KeyTables } from "../src/model";

const key = (name: string, kind: string): Key => ({ name, kind, unit: "", default: "", example: "", meaning: "", secret: false });
const tables: KeyTables = { stream: [key("srt_publish", "table"), key("max_viewers", "integer"), key("inputs", "list of URLs or tables")], port: [key("port", "port or address"), key("passphrase", "string")], failover: [], srt: [], udp: [], file: [] };

describe("the form of a stream", () => {
  it("writes keys into their tables, and leaves out what is empty", () => {
    let rows = write([], "srt_publish.port", "9001");
    rows = write(rows, "srt_publish.passphrase", "correct horse");
    rows = write(rows, "max_viewers", "5");
    rows = write(rows, "inputs", "srt://a:1\nsrt://b:2");
    expect(read(rows, "srt_publish.passphrase")).toBe("correct horse");
    expect(toDefinition(rows, tables.stream, tables)).toEqual({ srt_publish: { port: 9001, passphrase: "correct horse" }, max_viewers: 5, inputs: ["srt://a:1", "srt://b:2"] });
    rows = write(write(write(rows, "srt_publish.port", ""), "srt_publish.passphrase", ""), "max_viewers", "");
    expect(toDefinition(rows, tables.stream, tables)).toEqual({ inputs: ["srt://a:1", "srt://b:2"] });
    expect(read(rows, "srt_publish.port")).toBe("");
    expect(write([], "max_viewers", "")).toEqual([]);
  });

  it("keeps the order of what it does not change", () => {
    const rows = write([{ name: "a", text: "1" }, { name: "b", text: "2" }], "a", "3");
    expect(rows.map((row) => `${row.name}${row.text}`)).toEqual(["a3", "b2"]);
  });

  it("moves one of a list by one place", () => {
    expect(moved(["a", "b", "c"], 1, -1)).toEqual(["b", "a", "c"]);
    expect(moved(["a", "b", "c"], 1, 1)).toEqual(["a", "c", "b"]);
    expect(moved(["a", "b"], 0, -1)).toEqual(["a", "b"]);
    expect(moved(["a", "b"], 1, 1)).toEqual(["a", "b"]);
    expect(moved(["a"], -1, 1)).toEqual(["a"]);
  });

  it("names each key once in a tab", () => {
    for (const tab of FORM) expect(new Set(tab.fields.map((field) => field.path)).size).toBe(tab.fields.length);
  });
});
