import { describe, expect, it } from "vitest";
import { authority, percentEncoded, recipes, shellQuoted, streamId, type Target } from "../src/lib/wizard";

const target = (change: Partial<Target> = {}): Target => ({
  stream: "live/cam1",
  action: "publish",
  port: { host: "gw.example", port: 9998, scope: "global", mode: "both" },
  latencyMs: 200,
  passphrase: "",
  keyLength: 16,
  user: "",
  password: "",
  ...change,
});

function value(of: Target, program: string, label: string): string {
  const recipe = recipes(of).find((one) => one.id === program);
  const field = recipe?.fields.find((one) => one.label === label);
  if (!field) throw new Error(`${program} has no field ${label}`);
  return field.value;
}

describe("the streamid", () => {
  it("says what the port does not know already, and nothing else", () => {
    const { port } = target();
    expect(streamId(target())).toBe("#!::r=live/cam1,m=publish");
    expect(streamId(target({ action: "play" }))).toBe("#!::r=live/cam1,m=request");
    expect(streamId(target({ port: { ...port, mode: "publish" } }))).toBe("#!::r=live/cam1");
    expect(streamId(target({ port: { ...port, scope: "stream" } }))).toBe("#!::m=publish");
    expect(streamId(target({ port: { ...port, scope: "stream", mode: "play" } }))).toBe("");
  });

  it("carries user and password where they are given", () => {
    expect(streamId(target({ user: "alice", password: "pw" }))).toBe("#!::r=live/cam1,m=publish,u=alice,password=pw");
  });
});

describe("addresses", () => {
  it("gives ffmpeg and OBS microseconds, the others milliseconds", () => {
    expect(value(target(), "ffmpeg", "URL")).toContain("&latency=200000");
    expect(value(target(), "obs", "Server")).toContain("&latency=200000");
    expect(value(target(), "srt-live-transmit", "URL")).toMatch(/&latency=200$/);
    expect(value(target(), "vmix", "Latency")).toBe("200 ms");
    expect(value(target(), "haivision", "Latency")).toBe("200 ms");
    expect(value(target(), "larix", "latency (msec)")).toBe("200");
    expect(value(target(), "url", "URL")).toMatch(/&latency=200$/);
  });

  it("percent-encodes for ffmpeg, and only what it must for those that decode nothing", () => {
    expect(value(target(), "ffmpeg", "URL")).toBe(
      "srt://gw.example:9998?mode=caller&streamid=%23%21%3A%3Ar%3Dlive%2Fcam1%2Cm%3Dpublish&latency=200000&pkt_size=1316",
    );
    expect(value(target(), "obs", "Server")).toBe(
      "srt://gw.example:9998?mode=caller&streamid=#!::r=live/cam1,m=publish&latency=200000",
    );
    expect(value(target({ stream: "a & b" }), "obs", "Server")).toContain("streamid=#!::r=a%20%26%20b,m=publish&");
  });

  it("encodes what encodeURIComponent leaves alone", () => {
    expect(percentEncoded("!'()*~-._a/ä")).toBe("%21%27%28%29%2A~-._a%2F%C3%A4");
  });

  it("names the passphrase with its key length, and hides it", () => {
    const secret = target({ passphrase: "correct horse+battery", keyLength: 32 });
    expect(value(secret, "ffmpeg", "URL")).toContain("&passphrase=correct%20horse%2Bbattery&pbkeylen=32&");
    expect(value(secret, "vmix", "Key Length")).toBe("AES-256");
    expect(recipes(secret).find((one) => one.id === "vmix")?.fields.at(-1)?.secret).toBe(true);
    expect(JSON.stringify(recipes(target()))).not.toContain("passphrase");
  });

  it("writes for VLC what it reads, to play only", () => {
    const play = target({ action: "play", passphrase: "correct horse", keyLength: 32 });
    expect(value(play, "vlc", "Command")).toBe(
      "vlc 'srt://gw.example:9998?streamid=%23%21%3A%3Ar%3Dlive%2Fcam1%2Cm%3Drequest&passphrase=correct%20horse' --key-length=32",
    );
    expect(recipes(target()).some((one) => one.id === "vlc")).toBe(false);
  });

  it("says when a program cannot be told", () => {
    const note = (of: Target) => recipes(of).find((one) => one.id === "srt-live-transmit")?.note;
    expect(note(target())).toBeUndefined();
    expect(note(target({ passphrase: "this & that, long" }))).toContain("&");
  });

  it("brackets IPv6 and quotes for the shell", () => {
    expect(authority("::1", 9000)).toBe("[::1]:9000");
    expect(authority("[::1]", 9000)).toBe("[::1]:9000");
    expect(shellQuoted("it's #!")).toBe("'it'\\''s #!'");
    expect(shellQuoted("plain/word-1.ts")).toBe("plain/word-1.ts");
  });

  it("makes a Larix link that its parser reads back", () => {
    const link = recipes(target({ passphrase: "p&ss = phrase" })).find((one) => one.id === "larix")?.qr ?? "";
    const read = new URL(link).searchParams;
    expect(read.get("conn[][url]")).toBe("srt://gw.example:9998");
    expect(read.get("conn[][srtstreamid]")).toBe("#!::r=live/cam1,m=publish");
    expect(read.get("conn[][srtlatency]")).toBe("200");
    expect(read.get("conn[][srtpass]")).toBe("p&ss = phrase");
  });
});
