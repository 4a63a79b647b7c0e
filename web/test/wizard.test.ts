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
    expect(value(target(), "ffmpeg", "Command")).toContain(" -latency 200000 ");
    expect(value(target(), "obs", "Server")).toBe("srt://gw.example:9998?latency=200000");
    expect(value(target(), "gstreamer", "Command")).toMatch(/ latency=200$/);
    expect(value(target(), "srt-live-transmit", "URL")).toMatch(/&latency=200$/);
    expect(value(target(), "vmix", "Latency")).toBe("200 ms");
    expect(value(target(), "haivision", "Latency")).toBe("200 ms");
    expect(value(target(), "larix", "latency (msec)")).toBe("200");
    expect(value(target(), "url", "URL")).toMatch(/&latency=200$/);
  });

  it("gives streamid and passphrase to options and fields of their own, as they are", () => {
    const of = target({ stream: "a & b", passphrase: "it's 100 %, +1" });
    expect(value(of, "ffmpeg", "Command")).toBe(
      "ffmpeg -re -i FILE.ts -c copy -f mpegts -srt_streamid '#!::r=a & b,m=publish' -passphrase 'it'\\''s 100 %, +1' -pbkeylen 16 -latency 200000 -pkt_size 1316 srt://gw.example:9998",
    );
    expect(value(of, "obs", "Stream Key")).toBe("#!::r=a & b,m=publish");
    expect(value(of, "obs", "Password")).toBe("it's 100 %, +1");
    expect(value(of, "obs", "Server")).toBe("srt://gw.example:9998?latency=200000&pbkeylen=16");
    expect(value(target({ passphrase: 'say "so" \\o/' }), "gstreamer", "Command")).toContain(String.raw`'passphrase="say \"so\" \\o/"'`);
    expect(value(of, "srt-live-transmit", "URL")).toContain("streamid=#!::r=a%20%26%20b,m=publish&");
    expect(value(of, "srt-live-transmit", "URL")).toContain("&passphrase=it's 100 %, +1&");
  });

  it("encodes what encodeURIComponent leaves alone", () => {
    expect(percentEncoded("!'()*~-._a/ä")).toBe("%21%27%28%29%2A~-._a%2F%C3%A4");
  });

  it("names the passphrase with its key length, and masks it in every field that has it", () => {
    for (const action of ["publish", "play"] as const) {
      const secret = target({ action, passphrase: "correct horse+battery", keyLength: 32, user: "ann", password: "pass=word" });
      expect(value(secret, "vmix", "Key Length")).toBe("AES-256");
      for (const recipe of recipes(secret)) {
        for (const field of recipe.fields) {
          const shown = field.masked ?? field.value;
          expect(shown, `${recipe.id} ${field.label}`).not.toMatch(/correct|pass=word|pass%3Dword/);
          expect(shown).not.toContain("hiddensecret");
        }
        expect(recipe.note ?? "").not.toContain("correct");
      }
    }
    expect(JSON.stringify(recipes(target()).map((one) => one.fields))).not.toMatch(/passphrase=|masked/);
  });

  it("writes for VLC what it reads, to play only", () => {
    const play = target({ action: "play", passphrase: "correct horse", keyLength: 32 });
    expect(value(play, "vlc", "Command")).toBe(
      "vlc 'srt://gw.example:9998?streamid=%23%21%3A%3Ar%3Dlive%2Fcam1%2Cm%3Drequest' '--passphrase=correct horse' --key-length=32",
    );
    expect(recipes(target()).some((one) => one.id === "vlc")).toBe(false);
  });

  it("says when a program cannot be told", () => {
    const recipe = (of: Target) => recipes(of).find((one) => one.id === "srt-live-transmit");
    expect(recipe(target())?.fields[0]?.label).toBe("Command");
    const impossible = recipe(target({ passphrase: "this & that, long" }));
    expect(impossible?.note).toContain("cannot take a passphrase with &");
    expect(impossible?.fields.map((field) => field.label)).not.toContain("Command");
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
