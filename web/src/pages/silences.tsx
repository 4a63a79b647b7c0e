import { useState } from "preact/hooks";
import * as api from "../api/client";
import { moment, zoneName } from "../lib/format";
import type { ExpectedOff, Maintenance } from "../model";
import { told } from "../state/notices";
import { usePolled } from "../state/poll";
import { href } from "../state/router";
import { lacks } from "../state/scope";
import { zone } from "../state/settings";
import { streams } from "../state/store";
import { Act, Section } from "../ui/controls";
import { type Column, Table } from "../ui/table";
import { Time, inZone } from "../ui/time";

/** What raises no alarms for a while, because somebody knows of it. */

const SPANS: [number, string][] = [
  [3_600, "1 hour"],
  [28_800, "8 hours"],
  [86_400, "1 day"],
  [604_800, "7 days"],
];

function Note({ note, set }: { note: string; set: (note: string) => void }) {
  return (
    <label class="wide">
      Note
      <input autocomplete="off" maxLength={200} placeholder="why; others see it" value={note} onInput={(event) => set(event.currentTarget.value)} />
    </label>
  );
}

function Span({ seconds, set, endless }: { seconds: number; set: (seconds: number) => void; endless?: boolean }) {
  return (
    <label>
      For
      <select value={String(seconds)} onChange={(event) => set(Number(event.currentTarget.value))}>
        {SPANS.map(([value, word]) => <option value={String(value)} key={value}>{word}</option>)}
        {endless ? <option value="0">until it is ended</option> : null}
      </select>
    </label>
  );
}

function OffForm({ done }: { done: () => void }) {
  const [stream, setStream] = useState("");
  const [seconds, setSeconds] = useState(28_800);
  const [note, setNote] = useState("");
  const submit = async (event: Event) => {
    event.preventDefault();
    const good = await told(() => api.expectOff(stream.trim(), seconds, note.trim()), `${stream.trim()} is expected to be off`);
    if (good) {
      setStream("");
      setNote("");
    }
    done();
  };
  return (
    <form class="ban-form silence" onSubmit={submit}>
      <label class="wide">
        Stream
        <input required list="streams-off" autocomplete="off" spellcheck={false} value={stream} onInput={(event) => setStream(event.currentTarget.value)} />
        <datalist id="streams-off">{streams.value.slice(0, 500).map((one) => <option value={one.name} key={one.name} />)}</datalist>
      </label>
      <Span seconds={seconds} set={setSeconds} endless />
      <Note note={note} set={setNote} />
      <div class="acts"><button type="submit">Expect it to be off</button></div>
    </form>
  );
}

function MaintenanceForm({ done }: { done: () => void }) {
  const [pattern, setPattern] = useState("*");
  const [from, setFrom] = useState("");
  const [seconds, setSeconds] = useState(3_600);
  const [note, setNote] = useState("");
  const submit = async (event: Event) => {
    event.preventDefault();
    const good = await told(() => api.addMaintenance(pattern.trim() || "*", from ? moment(from, zone.value) : null, seconds, note.trim()), "Maintenance added");
    if (good) setNote("");
    done();
  };
  return (
    <form class="ban-form silence" onSubmit={submit}>
      <label class="wide">
        Streams
        <input required autocomplete="off" spellcheck={false} placeholder="*   live/*" value={pattern} onInput={(event) => setPattern(event.currentTarget.value)} />
      </label>
      <label>
        Begins ({zoneName(zone.value)}; empty: now)
        <input type="datetime-local" value={from} onInput={(event) => setFrom(event.currentTarget.value)} />
      </label>
      <Span seconds={seconds} set={setSeconds} />
      <Note note={note} set={setNote} />
      <div class="acts"><button type="submit">Add maintenance</button></div>
    </form>
  );
}

function offColumns(again: () => void): Column<ExpectedOff>[] {
  return [
    { title: "Stream", cell: (one) => <a href={href({ page: "stream", name: one.stream })}>{one.stream}</a> },
    { title: inZone("Until"), className: "num when", cell: (one) => (one.until ? <Time at={one.until} /> : one.inFile ? "always" : "it is ended") },
    { title: "By", cell: (one) => <>{one.inFile ? "the configuration file" : one.by}{one.note ? <small>{one.note}</small> : null}</> },
    {
      title: "Actions",
      className: "tools-cell",
      cell: (one) => (one.inFile ? null : <div class="acts"><Act run={() => api.expectOn(one.stream).finally(again)} done={`${one.stream} raises alarms again`} label={`End for ${one.stream}`} needs="operate">End</Act></div>),
    },
  ];
}

function maintenanceColumns(again: () => void): Column<Maintenance>[] {
  return [
    { title: "Streams", cell: (one) => <><code>{one.streams}</code><small>{one.active ? "now" : "planned"}</small></> },
    { title: inZone("From"), className: "num when", cell: (one) => <Time at={one.from} /> },
    { title: inZone("Until"), className: "num when", cell: (one) => <Time at={one.until} /> },
    { title: "By", cell: (one) => <>{one.by}{one.note ? <small>{one.note}</small> : null}</> },
    {
      title: "Actions",
      className: "tools-cell",
      cell: (one) => <div class="acts"><Act run={() => api.endMaintenance(one.id).finally(again)} done="Maintenance ended" label={`End the maintenance of ${one.streams}`} needs="operate">End</Act></div>,
    },
  ];
}

export function Silences() {
  const off = usePolled("expected off", 5_000, api.expectedOff);
  const maintenance = usePolled("maintenance", 5_000, api.maintenance);
  const refused = lacks("operate");
  const problem = off.error ?? maintenance.error;
  return (
    <>
      {problem ? <p class="problem" role="alert">{problem}</p> : null}
      <div class="two">
        <Section title="Expected off">
          <p class="lead">A stream that is expected to be off raises no alarm when it has no source.</p>
          {off.value && off.value.length > 0 ? <Table columns={offColumns(off.again)} list={off.value} /> : null}
          {refused ? <p class="muted">To change this: {refused}</p> : <OffForm done={off.again} />}
        </Section>
        <Section title="Maintenance">
          <p class="lead">During maintenance, its streams raise no alarms.</p>
          {maintenance.value && maintenance.value.length > 0 ? <Table columns={maintenanceColumns(maintenance.again)} list={maintenance.value} /> : null}
          {refused ? <p class="muted">To change this: {refused}</p> : <MaintenanceForm done={maintenance.again} />}
        </Section>
      </div>
    </>
  );
}
