import { useState } from "preact/hooks";
import * as api from "../api/client";
import { findAlarms } from "../lib/select";
import type { Alarm } from "../model";
import { say } from "../state/notices";
import { usePolled } from "../state/poll";
import { href, parameter } from "../state/router";
import { sound } from "../state/settings";
import { Ask, Empty, Section, Toggle } from "../ui/controls";
import { Dialog } from "../ui/dialog";
import { State } from "../ui/icons";
import { beep } from "../ui/sound";
import { type Column, Records, When, filter } from "../ui/table";
import { Time, inZone } from "../ui/time";
import { Silences } from "./silences";

const which = parameter<"active" | "cleared" | "all">("state", "active", ["active", "cleared", "all"]);

const HEALTH = { critical: "bad", warning: "warning" } as const;

/** Asks for a note; an empty one will do. */
function Acknowledge({ alarm, close, done }: { alarm: Alarm; close: () => void; done: () => void }) {
  const [note, setNote] = useState("");
  const [busy, setBusy] = useState(false);
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    try {
      await api.acknowledge(alarm.id, note.trim());
      say("Alarm acknowledged");
      done();
      close();
    } catch (error) {
      say(error instanceof Error ? error.message : String(error), true);
      setBusy(false);
    }
  };
  return (
    <Dialog title="Acknowledge the alarm" dirty={note !== ""} close={close}>
      <p class="lead">{alarm.stream ? <strong>{alarm.stream}: </strong> : null}{alarm.text}</p>
      <form class="ban-form" onSubmit={submit}>
        <label class="wide">
          Note
          <input autocomplete="off" maxLength={200} placeholder="what you have found or done; others see it" value={note} onInput={(event) => setNote(event.currentTarget.value)} />
        </label>
        <div class="acts">
          <button type="button" onClick={close}>Cancel</button>
          <button type="submit" class="primary" disabled={busy}>Acknowledge</button>
        </div>
      </form>
    </Dialog>
  );
}

function SoundSwitch() {
  const on = sound.value === "on";
  return (
    <button
      type="button"
      aria-pressed={on}
      onClick={() => {
        sound.value = on ? "off" : "on";
        // Also lets the browser know that somebody wants to hear it.
        if (!on) beep();
      }}
    >
      {on ? "Sound on" : "Sound off"}
    </button>
  );
}

function columns(acknowledge: (alarm: Alarm) => void): Column<Alarm>[] {
  return [
    { title: "Severity", cell: (one) => <State health={one.active ? HEALTH[one.severity] : "idle"} word={one.active ? one.severity : `${one.severity}, cleared`} /> },
    { title: inZone("Since"), className: "num when", cell: (one) => <><When at={one.raised} first={one.first} count={one.count} />{one.cleared ? <small>cleared <Time at={one.cleared} /></small> : null}</> },
    { title: "Stream", cell: (one) => (one.stream ? <a href={href({ page: "stream", name: one.stream })}>{one.stream}</a> : "the gateway") },
    { title: "What", className: "why", cell: (one) => <>{one.text}<small>{one.kind.replaceAll("_", " ")}{one.party ? ` · ${one.party}` : ""}</small></> },
    {
      title: "Acknowledged",
      className: "asked-for",
      cell: (one) => (one.acknowledged ? <>{one.acknowledged.by}<small><Time at={one.acknowledged.at} /></small>{one.acknowledged.note ? <small>{one.acknowledged.note}</small> : null}</> : one.active ? "no" : ""),
    },
    {
      title: "Actions",
      className: "tools-cell",
      cell: (one) => (one.active && !one.acknowledged ? <div class="acts"><Ask open={() => acknowledge(one)} label={`Acknowledge ${one.stream ?? ""} ${one.kind.replaceAll("_", " ")}`} needs="operate">Acknowledge…</Ask></div> : null),
    },
  ];
}

/** What needs a person, until it is over. */
export function Alarms() {
  const polled = usePolled("alarms", 2_000, api.alarms);
  const [asked, setAsked] = useState<Alarm | null>(null);
  const all = polled.value?.list ?? [];
  if (polled.value && !polled.value.known) {
    return <Section top title="Alarms"><Empty title="This gateway has no alarms">Its version is older than this page. Events show what has happened.</Empty></Section>;
  }
  return (
    <>
      <div class="bar">
        <Toggle value={which.value} label="Which alarms" choices={[["active", "Active"], ["cleared", "Cleared"], ["all", "All"]]} set={(value) => { which.value = value; }} />
        <SoundSwitch />
      </div>
      <Records
        title="Alarms"
        lead="Faults that need a person. An alarm that comes back is the same alarm with a count. Acknowledging tells others that you take care of it; it clears by itself when the fault is over."
        noun="alarm"
        filterLabel="Filter alarms"
        placeholder="stream, kind, text…"
        polled={polled}
        list={findAlarms(all, filter.value, which.value)}
        columns={columns(setAsked)}
        nothing={which.value === "active" ? ["No active alarms"] : ["No alarms"]}
        noMatch="No alarm matches"
      >
        {asked ? <Acknowledge alarm={asked} close={() => setAsked(null)} done={polled.again} /> : null}
      </Records>
      {polled.value ? <Silences /> : null}
    </>
  );
}
