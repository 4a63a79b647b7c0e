import { describe, expect, it } from "vitest";
import { firstPicture, nalUnits } from "../src/lib/ts";

/** One TS packet, stuffed by an adaptation field to 188 bytes. */
function packet(pid: number, begins: boolean, payload: number[]): number[] {
  const room = 184 - payload.length;
  const head = [0x47, (begins ? 0x40 : 0) | (pid >> 8), pid & 0xff, room > 0 ? 0x30 : 0x10];
  const stuffing = room === 0 ? [] : room === 1 ? [0] : [room - 1, 0, ...Array<number>(room - 2).fill(0xff)];
  return [...head, ...stuffing, ...payload];
}

const CRC = [0, 0, 0, 0];
const PAT = [0, 0, 0xb0, 13, 0, 1, 0xc1, 0, 0, 0, 1, 0xe1, 0x00, ...CRC];
const pmt = (type: number) => [
  0, 2, 0xb0, 23, 0, 1, 0xc1, 0, 0, 0xe1, 0x01, 0xf0, 0, 0x0f, 0xe1, 0x02, 0xf0, 0, type, 0xe1, 0x01, 0xf0, 0, ...CRC,
];
const PES = [0, 0, 1, 0xe0, 0, 0, 0x80, 0x80, 5, 0x21, 0, 1, 0, 1];
const AUD = [0, 0, 0, 1, 9, 0x10];
const SPS = [0, 0, 0, 1, 0x67, 0x64, 0x00, 0x28, 0xac];
const IDR = [0, 0, 1, 0x65, 1, 2, 3];

function stream(...pieces: number[][]): Uint8Array {
  return Uint8Array.from(pieces.flat());
}

describe("firstPicture", () => {
  it("joins a picture over packets and names its codec", () => {
    const more = Array.from({ length: 184 }, (_, index) => index % 200);
    const bytes = stream(
      packet(0, true, PAT),
      packet(0x100, true, pmt(0x1b)),
      packet(0x101, true, [...PES, ...AUD, ...SPS, ...IDR]),
      packet(0x101, false, more),
      packet(0x101, true, [...PES, ...AUD]),
    );
    const picture = firstPicture(bytes);
    expect(picture?.codec).toBe("h264");
    expect(picture?.codecString).toBe("avc1.640028");
    expect([...(picture?.data ?? [])]).toEqual([...AUD, ...SPS, ...IDR, ...more]);
  });

  it("takes the picture that the piece ends with", () => {
    const bytes = stream(
      packet(0, true, PAT),
      packet(0x100, true, pmt(0x1b)),
      packet(0x101, true, [...PES, ...SPS, ...IDR]),
    );
    expect(firstPicture(bytes)?.data.length).toBe(SPS.length + IDR.length);
  });

  it("passes over pictures without parameter sets", () => {
    const bytes = stream(
      packet(0, true, PAT),
      packet(0x100, true, pmt(0x1b)),
      packet(0x101, true, [...PES, ...AUD, 0, 0, 1, 0x41, 9]),
      packet(0x101, true, [...PES, ...SPS, ...IDR]),
    );
    expect([...(firstPicture(bytes)?.data ?? [])]).toEqual([...SPS, ...IDR]);
  });

  it("says nothing of what it cannot read", () => {
    expect(firstPicture(new Uint8Array())).toBeNull();
    expect(firstPicture(new Uint8Array(5000))).toBeNull();
    expect(firstPicture(Uint8Array.from({ length: 5000 }, (_, index) => (index * 71) & 0xff))).toBeNull();
    const audioOnly = stream(packet(0, true, PAT), packet(0x100, true, pmt(0x03)), packet(0x101, true, PES));
    expect(firstPicture(audioOnly)).toBeNull();
  });

  it("never throws on a damaged stream", () => {
    const good = stream(
      packet(0, true, PAT),
      packet(0x100, true, pmt(0x24)),
      packet(0x101, true, [...PES, 0, 0, 1, 0x42, 1, ...Array<number>(20).fill(1)]),
    );
    for (let at = 0; at < good.length; at += 1) {
      for (const bad of [0x00, 0xff, 0x47]) {
        const damaged = good.slice();
        damaged[at] = bad;
        expect(() => firstPicture(damaged)).not.toThrow();
      }
    }
  });

  it("finds NAL units behind start codes of either length", () => {
    expect(nalUnits(Uint8Array.from([...AUD, ...IDR]))).toEqual([4, 9]);
  });
});
