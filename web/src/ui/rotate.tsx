import { createElement } from "preact";
import { useState } from "preact/hooks";
import * as api from "../api/client";
import { type Rotation, randomPassphrase, rotations, withNew, withoutOld } from "../lib/rotation";
import type { StreamDetail } from "../model";
import { say } from "../state/notices";
import { Ask, Copyable } from "./controls";
import { Dialog } from "./dialog";

/** What was added in this tab, so that it need not be typed again in the second step. */
const addedHere = new Map<string, string>();

/** The second step: the new passphrase alone. */
function KeepOne({ rotation, detail, close, again }: { rotation: Rotation; detail: StreamDetail; close: () => void; again: () => void }) {
  const { name } = detail.stream;
  const known = addedHere.get(`${rotation.key} ${name}`);
  const [stays, setStays] = useState(known ?? "");
  const [problem, setProblem] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    try {
      await api.changeStream(name, withoutOld(detail.definition ?? {}, rotation.key, stays), detail.etag);
      addedHere.delete(`${rotation.key} ${name}`);
      say("Only the new passphrase is valid");
      again();
      close();
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error));
      setBusy(false);
    }
  };
  return (
    <Dialog title={`Old passphrase of the ${rotation.who}`} close={close}>
      <p class="lead">Connected sessions stay connected. Whoever connects with an old passphrase is refused from now on.</p>
      <form class="fields" onSubmit={submit}>
        <label>
          Passphrase that stays
          <input type="password" required minLength={10} maxLength={79} autocomplete="off" value={stays} onInput={(event) => setStays(event.currentTarget.value)} />
          <small>{known ? "The one that you have added here." : "The gateway does not show its passphrases: type the new one."}</small>
        </label>
        {problem ? <p class="problem" role="alert">{problem}</p> : null}
        <footer class="acts">
          <button type="button" onClick={close}>Cancel</button>
          <button type="submit" class="act danger" disabled={busy}>Remove the others</button>
        </footer>
      </form>
    </Dialog>
  );
}

/** The first step: a new passphrase beside the old one. */
function AddPassphrase({ rotation, detail, close, again }: { rotation: Rotation; detail: StreamDetail; close: () => void; again: () => void }) {
  const { name } = detail.stream;
  const [added, setAdded] = useState(() => randomPassphrase((size) => crypto.getRandomValues(new Uint8Array(size))));
  const [old, setOld] = useState("");
  const [needsOld, setNeedsOld] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const single = !Array.isArray(detail.definition?.[rotation.key]);
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      await api.changeStream(name, withNew(detail.definition ?? {}, rotation.key, added, old), detail.etag);
      say("Both passphrases are valid now");
      addedHere.set(`${rotation.key} ${name}`, added);
      again();
      close();
    } catch (error) {
      // A gateway that cannot keep a single secret in a list takes the mask for a passphrase.
      if (single && !needsOld && error instanceof api.Refused && error.status === 422 && error.faults.some((fault) => /is 3\b/.test(fault.message))) setNeedsOld(true);
      else setProblem(error instanceof Error ? error.message : String(error));
      setBusy(false);
    }
  };
  return (
    <Dialog title={`New passphrase of the ${rotation.who}`} close={close}>
      <p class="lead">Until you remove the old passphrase, both are valid and nobody is cut off. Give the new one to your {rotation.who}, then remove the old one here.</p>
      <form class="fields" onSubmit={submit}>
        <label>
          New passphrase
          <input required minLength={10} maxLength={79} autocomplete="off" spellcheck={false} value={added} onInput={(event) => setAdded(event.currentTarget.value)} />
        </label>
        <Copyable value={added} masked="Copy it now: the gateway does not show it again." />
        {needsOld ? (
          <label>
            Passphrase that is valid now
            <input type="password" required autocomplete="off" value={old} onInput={(event) => setOld(event.currentTarget.value)} />
            <small>The gateway cannot keep it without being told: type it once more. It stays valid.</small>
          </label>
        ) : null}
        {problem ? <p class="problem" role="alert">{problem}</p> : null}
        <footer class="acts">
          <button type="button" onClick={close}>Cancel</button>
          <button type="submit" class="primary" disabled={busy}>Make it valid</button>
        </footer>
      </form>
    </Dialog>
  );
}

/** What of a stream's passphrases can be rotated, and how far that is. */
export function Rotate({ detail, again }: { detail: StreamDetail; again: () => void }) {
  const [asked, setAsked] = useState<Rotation | null>(null);
  const list = detail.stream.origin === "api" && detail.definition ? rotations(detail.definition) : [];
  if (list.length === 0) return null;
  return (
    <ul class="rotations">
      {list.map((one) => (
        <li key={one.key}>
          <span>{one.valid === 1 ? `The ${one.who} have one passphrase.` : `The ${one.who} have ${one.valid} valid passphrases.`}</span>
          {one.valid === 1 ? (
            <Ask open={() => setAsked(one)} label={`Rotate the passphrase of the ${one.who}`} needs="admin">Rotate it…</Ask>
          ) : (
            <Ask open={() => setAsked(one)} danger label={`Remove the old passphrase of the ${one.who}`} needs="admin">Remove the old one…</Ask>
          )}
        </li>
      ))}
      {asked ? createElement(asked.valid === 1 ? AddPassphrase : KeepOne, { rotation: asked, detail, close: () => setAsked(null), again }) : null}
    </ul>
  );
}
