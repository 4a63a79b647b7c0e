import { useState } from "preact/hooks";
import * as api from "../api/client";
import { ofRemoval } from "../lib/consequence";
import { hasSecrets } from "../lib/definition";
import { toToml } from "../lib/toml";
import type { StreamDetail } from "../model";
import { go, href } from "../state/router";
import { gateway } from "../state/store";
import { Act, Ask, Section } from "../ui/controls";
import { type Edit, StreamEditor } from "../ui/editor";
import { Rotate } from "../ui/rotate";

/** Inputs and outputs have sections of their own: here they stay as they are. */
const ELSEWHERE = ["inputs", "outputs"];

function editOf(name: string, detail: StreamDetail): Omit<Edit, "close"> {
  const made = detail.definition !== null;
  const now = async () => {
    const { definition, etag } = await api.detail(name);
    return { definition: definition ?? {}, etag };
  };
  return {
    title: `Definition of ${name}`,
    from: { definition: detail.definition ?? {}, etag: detail.etag },
    ...(made ? { now } : {}),
    save: (definition, etag) => (made ? api.changeStream(name, definition, etag) : api.addStream(name, definition)),
    done: `${name} ${made ? "changed" : "defined"}`,
    base: ["streams", name],
    without: ELSEWHERE,
  };
}

function Why({ detail }: { detail: StreamDetail }) {
  const file = gateway.value?.configFile;
  switch (detail.stream.origin) {
    case "config":
      return (
        <p class="lead">
          Read-only: it is defined in the configuration file{file ? <> <code>{file}</code></> : null}, which this page does not write. Change it there;{" "}
          <a href={href({ page: "gateway" })}>the gateway rereads a saved file automatically, or with the button there</a>. You can add inputs and outputs here.
        </p>
      );
    case "api":
      return <p class="lead">Made here, and kept in the gateway's state file{gateway.value?.stateFile ? <> <code>{gateway.value.stateFile}</code></> : null}. Sessions stay connected; new settings apply to new connections.</p>;
    case "caller":
      return <p class="lead">This stream is not configured: it exists because someone published or requested it, and disappears with its last session. With a definition it stays, and can have inputs and outputs.</p>;
  }
}

function Removal({ detail, again }: { detail: StreamDetail; again: () => void }) {
  const { name } = detail.stream;
  const { definition } = detail;
  const whole = definition !== null && !hasSecrets(definition);
  const run = async () => {
    try {
      await api.removeStream(name, detail.etag);
      go({ page: "overview" });
    } catch (error) {
      again();
      throw error;
    }
  };
  return (
    <Act
      run={run}
      done={`${name} removed`}
      confirm="Remove the stream?"
      consequence={`${ofRemoval(detail)}${whole ? "" : " It has secrets, so the page cannot undo this."}`}
      undo={whole ? { run: () => api.addStream(name, definition), done: `${name} is back` } : undefined}
      danger
      needs="admin"
    >
      Remove stream
    </Act>
  );
}

/** What the configuration says of a stream: changed here where it was made here. */
export function StreamDefinition({ detail, again }: { detail: StreamDetail; again: () => void }) {
  const [edit, setEdit] = useState<Omit<Edit, "close"> | null>(null);
  const { name, origin } = detail.stream;
  const open = () => setEdit(editOf(name, detail));
  return (
    <Section
      title="Definition"
      aside={
        origin === "config" ? (
          <span class="muted">from the configuration file</span>
        ) : (
          <span class="acts">
            <Ask open={open} needs="admin">{origin === "api" ? "Edit…" : "Define it…"}</Ask>
            {origin === "api" ? (
              <Removal detail={detail} again={again} />
            ) : null}
          </span>
        )
      }
    >
      <Why detail={detail} />
      <Rotate detail={detail} again={again} />
      {detail.definition ? <pre class="toml" tabIndex={0} aria-label="Definition as in the configuration file">{toToml(detail.definition) || "# no settings: what [streams_default] says holds"}</pre> : null}
      {edit ? <StreamEditor edit={{ ...edit, close: () => { setEdit(null); again(); } }} /> : null}
    </Section>
  );
}

/** Asks for a name and settings, and makes a stream of them. */
export function NewStream({ close }: { close: () => void }) {
  const [name, setName] = useState("");
  const wanted = name.trim();
  return (
    <StreamEditor
      edit={{
        title: "New stream",
        from: { definition: {}, etag: null },
        save: (definition) => {
          if (!wanted) return Promise.reject(new Error("It needs a name."));
          return api.addStream(wanted, definition).then(() => go({ page: "stream", name: wanted }));
        },
        done: `${wanted} added`,
        base: ["streams", wanted],
        close,
      }}
    >
      <p class="lead">It is saved in the gateway's state file, not in its configuration file.</p>
      <div class="field plain">
        <label for="new-stream">Name</label>
        <input id="new-stream" autocomplete="off" spellcheck={false} placeholder="live/cam1" value={name} onInput={(event) => setName(event.currentTarget.value)} />
        <div class="told"><small>The name that publishers and viewers use in their streamid.</small></div>
      </div>
    </StreamEditor>
  );
}
