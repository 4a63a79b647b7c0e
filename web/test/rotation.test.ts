import { describe, expect, it } from "vitest";
import { randomPassphrase, rotations, withNew, withoutOld } from "../src/lib/rotation";

describe("a rotation", () => {
  it("offers what a definition has", () => {
    expect(rotations({})).toEqual([]);
    expect(rotations({ publish_passphrase: "***", play_passphrase: ["***", "***"] })).toEqual([
      { key: "publish_passphrase", who: "publishers", valid: 1 },
      { key: "play_passphrase", who: "viewers", valid: 2 },
    ]);
  });

  it("puts the new one after the others, and then writes out what stays", () => {
    const added = withNew({ max_viewers: 3, play_passphrase: ["***"] }, "play_passphrase", "a new secret");
    expect(added).toEqual({ max_viewers: 3, play_passphrase: ["***", "a new secret"] });
    expect(withNew({ play_passphrase: "***" }, "play_passphrase", "a new secret").play_passphrase).toEqual(["***", "a new secret"]);
    expect(withNew({ play_passphrase: "***" }, "play_passphrase", "a new secret", "the old one").play_passphrase).toEqual(["the old one", "a new secret"]);
    expect(withoutOld({ max_viewers: 3, play_passphrase: ["***", "***"] }, "play_passphrase", "a new secret")).toEqual({ max_viewers: 3, play_passphrase: "a new secret" });
  });

  it("makes passphrases that nothing stumbles over", () => {
    let seed = 0;
    const made = randomPassphrase((size) => new Uint8Array(size).map(() => (seed = (seed * 73 + 41) & 255)));
    expect(made).toMatch(/^[A-HJKM-NP-Za-hjkmnp-z2-9]{24}$/);
  });
});
