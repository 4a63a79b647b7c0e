import { effect } from "@preact/signals";
import { sound } from "../state/settings";
import { alarms } from "../state/store";

/** The sound of alarms: off until somebody turns it on. */

let context: AudioContext | null = null;

/** Two short tones. Before somebody has touched the page, browsers keep it silent. */
export function beep(): void {
  context ??= new AudioContext();
  void context.resume();
  for (const [at, pitch] of [[0, 880], [0.18, 660]] as const) {
    const tone = context.createOscillator();
    const volume = context.createGain();
    tone.frequency.value = pitch;
    volume.gain.value = 0.2;
    tone.connect(volume).connect(context.destination);
    const start = context.currentTime + at;
    tone.start(start);
    tone.stop(start + 0.14);
  }
}

/** It is repeated as long as nobody has acknowledged. */
const REPEAT_MS = 15_000;

/** Beeps when there are more alarms that nobody has acknowledged than before, and again until somebody has. */
export function listenForAlarms(): void {
  let before = 0;
  let timer: ReturnType<typeof setInterval> | undefined;
  effect(() => {
    const now = alarms.value?.unacknowledged ?? 0;
    const on = sound.value === "on";
    if (on && now > before) beep();
    before = now;
    clearInterval(timer);
    timer = on && now > 0 ? setInterval(beep, REPEAT_MS) : undefined;
  });
}
