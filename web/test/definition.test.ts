import { describe, expect, it } from "vitest";
import { choices, control, newRow, placed, tableOf, toDefinition, toRows } from "../src/lib/definition";
import { below, parseKeyPath } from "../src/lib/keypath";
import { toToml, wholeToml } from "../src/lib/toml";
import type { Definition, Key, KeyTables } from "../src/model";

const key = (name: string, kind: string, more: Partial<Key> = {}): Key => ({ name, kind, unit: "", default: "", example: "", meaning: "", secret: false, ...more });

const tables: KeyTables = {
  stream: [
    key("srt", "table"),
    key("failover", "table"),
    key("max_viewers", "integer", { default: "0" }),
    key("ring", "size", { default: '"8MiB"' }),
    key("on_source_lost", "duration", { default: '"10s"', unit: "s" }),
    key("on_demand", "boolean", { default: "false" }),
    key("start_at", '"keyframe" or "live"', { default: '"keyframe"' }),
    key("password", "string", { secret: true, default: '""' }),
    key("play_passphrase", "string or list of strings", { secret: true, default: '""' }),
  ],
  port: [key("port", "port or address"), key("allow", "list of addresses or CIDR networks", { default: "[]" }), key("passphrase", "string", { secret: true }), key("options", "table of SRTO_ options", { default: "{}" })],
  failover: [key("after", "duration", { default: '"1s"' })],
  srt: [],
  udp: [],
  file: [],
};

describe("the path of a key", () => {
  it("is read with quoted names, escapes and places in lists", () => {
    expect(parseKeyPath("streams.a.max_viewers")).toEqual(["streams", "a", "max_viewers"]);
    expect(parseKeyPath('streams."live/cam.1".outputs[2].latency')).toEqual(["streams", "live/cam.1", "outputs", 2, "latency"]);
    expect(parseKeyPath('streams."a \\"b\\"".srt')).toEqual(["streams", 'a "b"', "srt"]);
  });

  it("lies below another one or does not", () => {
    const path = parseKeyPath("streams.a.outputs[2].latency");
    expect(below(path, ["streams", "a", "outputs", -1])).toEqual(["latency"]);
    expect(below(path, ["streams", "b"])).toBeNull();
    expect(below(path, ["streams", "a", "outputs", 2, "latency"])).toEqual([]);
    expect(below(["streams"], ["streams", "a"])).toBeNull();
  });
});

describe("a definition", () => {
  const whole: Definition = {
    srt: { port: 9001, allow: ["192.0.2.1", "203.0.113.0/24"], passphrase: "***", options: { lossmaxttl: 40, tlpktdrop: true, congestion: "live" } },
    failover: { after: "2s" },
    max_viewers: 10,
    on_source_lost: "30s",
    on_demand: true,
    start_at: "live",
    play_passphrase: ["***", "***"],
    unheard_of: "kept",
  };

  it("comes back from its fields as it was", () => {
    const rows = toRows(whole, tables.stream, tables);
    expect(rows.find((row) => row.name === "srt")?.rows?.map((row) => row.text)).toEqual(["9001", "192.0.2.1\n203.0.113.0/24", "***", "lossmaxttl = 40\ntlpktdrop = true\ncongestion = live"]);
    expect(toDefinition(rows, tables.stream, tables)).toEqual(whole);
  });

  it("has numbers where numbers are meant, and text where text is", () => {
    const made = toDefinition(
      [
        { name: "max_viewers", text: " 5 " },
        { name: "ring", text: "16MiB" },
        { name: "on_source_lost", text: "30" },
        { name: "password", text: "12345" },
        { name: "play_passphrase", text: "1234567890" },
        { name: "srt", text: "", rows: [{ name: "port", text: "127.0.0.1:9001" }] },
      ],
      tables.stream,
      tables,
    );
    expect(made).toEqual({ max_viewers: 5, ring: "16MiB", on_source_lost: 30, password: "12345", play_passphrase: "1234567890", srt: { port: "127.0.0.1:9001" } });
  });

  it("begins a field with what holds without it", () => {
    const row = (name: string) => newRow(tables.stream.find((one) => one.name === name) ?? key(name, ""), tables);
    expect(row("on_source_lost").text).toBe("10s");
    expect(row("password").text).toBe("");
    expect(row("srt").rows?.map((one) => one.name)).toEqual(["port"]);
    expect(row("failover").rows).toEqual([]);
  });

  it("has its faults at the fields that they are about", () => {
    const rows = toRows({ srt: { port: 1, allow: ["x"] }, max_viewers: -1 }, tables.stream, tables);
    const fault = (at: string) => ({ key: at, message: `wrong ${at}` });
    const faults = placed([fault('streams."a/b".srt.allow[0]'), fault('streams."a/b".max_viewers'), fault('streams."a/b"'), fault("srt.port")], ["streams", "a/b"], rows);
    expect([...faults.keys()].sort()).toEqual(["", "max_viewers", "srt.allow"]);
    expect(faults.get("")).toHaveLength(2);
  });

  it("is shown in the words of the configuration file", () => {
    expect(toToml({ max_viewers: 3, "odd key": "a \"b\"", srt: { port: 9001 }, list: [1, true] })).toBe('max_viewers = 3\n"odd key" = "a \\"b\\""\nsrt = { port = 9001 }\nlist = [1, true]');
    expect(wholeToml({ srt: { port: 1 }, streams: { "live/a": { max_viewers: 2 } }, rules: [{ stream: "*" }] })).toBe('[srt]\nport = 1\n\n[streams."live/a"]\nmax_viewers = 2\n\n[[rules]]\nstream = "*"');
  });
});

describe("a field", () => {
  it("is what its kind asks for", () => {
    expect(control(key("a", '"auto", "ctr" or "gcm"'))).toBe("choice");
    expect(choices('"auto", "ctr" or "gcm"')).toEqual(["auto", "ctr", "gcm"]);
    expect([control(key("a", "boolean")), control(key("a", "list of URLs")), control(key("a", "string", { secret: true })), control(undefined)]).toEqual(["boolean", "lines", "secret", "text"]);
  });

  it("of an input or output is one of its address", () => {
    expect(["srt://h:1", "udp://h:1", "RTP://h:1", "file:///x", ""].map(tableOf)).toEqual(["srt", "udp", "udp", "file", "srt"]);
  });
});
