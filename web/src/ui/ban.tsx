import { useEffect, useState } from "preact/hooks";
import * as api from "../api/client";
import { bannedBy, ending } from "../lib/consequence";
import { plural } from "../lib/format";
import type { Fault, Session } from "../model";
import { say } from "../state/notices";
import { Dialog } from "./dialog";
import { Faults } from "./fields";

/** How long bans last, in seconds; the gateway takes 30 days at most. */
export const DURATIONS: [number, string][] = [
  [600, "10 minutes"],
  [3_600, "1 hour"],
  [21_600, "6 hours"],
  [86_400, "1 day"],
  [604_800, "7 days"],
  [2_592_000, "30 days"],
];

/** Bans, and says what came of it; what the gateway does not take is given back. */
async function ban(address: string, seconds: number, reason: string, endSessions: boolean, after: () => void): Promise<Fault[]> {
  try {
    const ended = await api.ban(address, seconds, reason, endSessions);
    const how = DURATIONS.find(([value]) => value === seconds)?.[1] ?? `${seconds} s`;
    say(`${address} is banned for ${how}${endSessions ? `, ${plural(ended, "session")} ended` : ""}`, false, {
      run: () => api.unban(address).finally(after),
      done: `${address} may connect again`,
    });
    return [];
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const told = error instanceof api.Refused ? error.faults : [];
    return told.length > 0 ? told : [{ key: "", message }];
  }
}

/** The fields of a ban: whom, for how long, and what becomes of who is there. */
export function BanForm({ address: first, done, cancel }: { address: string; done: () => void; cancel?: () => void }) {
  const [address, setAddress] = useState(first);
  const [seconds, setSeconds] = useState(3_600);
  const [reason, setReason] = useState("");
  const [ends, setEnds] = useState(true);
  const [faults, setFaults] = useState<Fault[]>([]);
  const [busy, setBusy] = useState(false);
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    const told = await ban(address.trim(), seconds, reason.trim(), ends, done);
    setFaults(told);
    setBusy(false);
    if (told.length > 0) return;
    setAddress("");
    setReason("");
    done();
  };
  const wrong = faults.length > 0;
  const [sessions, setSessions] = useState<Session[] | null>(null);
  useEffect(() => {
    api.sessions().then(setSessions, () => setSessions(null));
  }, []);
  const hit = sessions && address.trim() ? bannedBy(address, sessions) : null;
  const streams = new Set(hit?.map((session) => session.stream));
  const told = hit ? (hit.length === 0 ? "Nobody is connected from there." : ends ? `${ending(hit)} Stream${streams.size === 1 ? "" : "s"}: ${[...streams].slice(0, 4).join(", ")}${streams.size > 4 ? ", …" : ""}` : `${plural(hit.length, "session")} from there stay${hit.length === 1 ? "s" : ""} connected.`) : "";
  return (
    <form class="ban-form" onSubmit={submit}>
      <label class="wide">
        Address or network
        <input
          required
          autocomplete="off"
          spellcheck={false}
          placeholder="203.0.113.7   203.0.113.0/24   2001:db8::/32"
          value={address}
          aria-invalid={wrong}
          onInput={(event) => {
            setAddress(event.currentTarget.value);
            setFaults([]);
          }}
        />
      </label>
      <label>
        For
        <select value={String(seconds)} onChange={(event) => setSeconds(Number(event.currentTarget.value))}>
          {DURATIONS.map(([value, word]) => <option value={String(value)} key={value}>{word}</option>)}
        </select>
      </label>
      <label class="wide">
        Reason
        <input
          autocomplete="off"
          maxLength={200}
          placeholder="shown with each attempt that it refuses"
          value={reason}
          onInput={(event) => setReason(event.currentTarget.value)}
        />
      </label>
      <label class="check">
        <input type="checkbox" checked={ends} onChange={(event) => setEnds(event.currentTarget.checked)} />
        End its open sessions too
      </label>
      <div class="acts">
        {cancel ? <button type="button" onClick={cancel}>Cancel</button> : null}
        <button type="submit" class="act danger" disabled={busy}>Ban</button>
      </div>
      <p class={`wide consequence ${hit && hit.length > 0 && ends ? "bad" : ""}`} role="status">{told}</p>
      <div class="wide"><Faults list={faults} /></div>
    </form>
  );
}

export function BanDialog({ address, why, close }: { address: string; why: string; close: () => void }) {
  return (
    <Dialog title={why} close={close}>
      <p class="lead">The gateway refuses it on every port (code 1403). A ban expires; "Refused → Bans" lists and lifts them.</p>
      <BanForm address={address} done={close} cancel={close} />
    </Dialog>
  );
}
