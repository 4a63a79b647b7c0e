import { describe, expect, it } from "vitest";
import { undecodable } from "../src/lib/codecs";
import { stream } from "../src/api/wire";

describe("codecs", () => {
  it("are named where the browser cannot decode them", () => {
    const chromium = (type: string) => !/hvc1|ac-3|ec-3/.test(type);
    expect(undecodable("H.264", chromium)).toBeNull();
    expect(undecodable("AAC", chromium)).toBeNull();
    expect(undecodable("HEVC", chromium)).toBe("HEVC: this browser cannot decode it");
    expect(undecodable("AC-3", chromium)).toBe("AC-3: this browser cannot decode it");
    expect(undecodable("MPEG-2 video", () => true)).toBe("MPEG-2 video: this browser cannot decode it");
    expect(undecodable("HEVC", () => true)).toBeNull();
    expect(undecodable(null, () => false)).toBeNull();
  });

  it("stand in the overview as far as the gateway tells them", () => {
    const wire = { name: "a", origin: "config" as const, state: "live" as const, viewers: 0, outputs: 0, inputs: 0, figures: { bitrate_bps: 1, bitrate_out_bps: 0, bytes: 0, messages: 0, skipped: 0 } };
    expect(stream(wire).media).toBe("");
    expect(stream(wire).upSeconds).toBeNull();
    const told = stream({ ...wire, up_seconds: 90, media: { video: "H.264", audio: "AAC", width: 1920, height: 1080, frame_rate: 25, interlaced: true } });
    expect(told.media).toBe("H.264 1920×1080i25 · AAC");
    expect(told.upSeconds).toBe(90);
    expect(stream({ ...wire, media: { format: "other" } }).media).toBe("not MPEG-TS: relayed as it is");
  });
});
