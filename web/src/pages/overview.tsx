import { signal, useComputed } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { bitrate, count, duration, milliseconds, perSecond, percent, plural } from "../lib/format";
import { type Column, type Which, groups, inWords, lossHealth, parseOrder, reason, selected } from "../lib/select";
import { type Screen, measure, visible } from "../lib/window";
import type { Origin, Stream } from "../model";
import { go, href, parameter } from "../state/router";
import { layout, stills } from "../state/settings";
import { sparkOf, streams, version } from "../state/store";
import { Ask, Empty, Toggle } from "../ui/controls";
import { Mark, State } from "../ui/icons";
import { NewStream } from "./definition";
import { Sparkline } from "../ui/sparkline";
import { filter } from "../ui/table";
import { StillPicture } from "../ui/still";

const COLUMNS: { key: Column; title: string; className: string; hint?: string }[] = [
  { key: "health", title: "State", className: "c-state" },
  { key: "name", title: "Stream", className: "c-name" },
  { key: "inBps", title: "Bitrate in", className: "c-rate num", hint: "of the source, last 90 s" },
  { key: "rttMs", title: "RTT", className: "c-rtt num" },
  { key: "loss", title: "Loss", className: "c-loss num", hint: "packets that were lost on the way here and had to be retransmitted" },
  { key: "retransmitted", title: "Retransmitted", className: "c-retr num", hint: "packets retransmitted per second" },
  { key: "dropped", title: "Too late", className: "c-drop num", hint: "packets dropped per second: gaps in the picture" },
  { key: "viewers", title: "Viewers", className: "c-view num" },
];

/** Instead of a source, where there is none. */
const ORIGINS: Record<Origin, string> = { config: "no source", api: "no source · made here", caller: "no source" };

const only = parameter<Which>("only", "all", ["all", "live", "trouble"]);
const group = parameter<string>("group", "");
const sort = parameter<string>("sort", "name");
const chosen = signal<string | null>(null);

const NARROW: [Screen, MediaQueryList][] = [
  ["phone", matchMedia("(max-width: 46rem)")],
  ["tablet", matchMedia("(max-width: 60rem)")],
];

/** What of the list is on the screen; follows scrolling and resizing. */
function useSlice<E extends HTMLElement>(kind: Parameters<typeof measure>[0], items: number) {
  const host = useRef<E>(null);
  const [state, setState] = useState({ row: 44, across: 1, top: 0, view: 900 });
  useLayoutEffect(() => {
    const read = () => {
      const element = host.current;
      if (!element) return;
      const rem = parseFloat(getComputedStyle(document.documentElement).fontSize) || 14;
      const place = element.getBoundingClientRect().top;
      const { row, across } = measure(kind, NARROW.find(([, query]) => query.matches)?.[0] ?? "desk", element.clientWidth, items, innerHeight - place - scrollY - rem, rem);
      const top = Math.max(0, -place);
      setState((before) => {
        const next = { row, across, top: Math.floor(top / row) * row, view: innerHeight };
        return before.row === row && before.across === across && before.top === next.top && before.view === next.view ? before : next;
      });
    };
    read();
    const observer = new ResizeObserver(read);
    if (host.current) observer.observe(host.current);
    addEventListener("scroll", read, { passive: true });
    addEventListener("resize", read);
    return () => {
      observer.disconnect();
      removeEventListener("scroll", read);
      removeEventListener("resize", read);
    };
  }, [kind, items]);
  const slice = visible(Math.ceil(items / state.across), state.row, state.top, state.view, kind === "table" ? 8 : 2);
  return { host, slice, ...state };
}

/** The link that its whole row or tile is. */
function Name({ stream }: { stream: Stream }) {
  return (
    <a
      class="whole"
      href={href({ page: "stream", name: stream.name })}
      data-name={stream.name}
      title={stream.name}
      onFocus={() => {
        chosen.value = stream.name;
      }}
    >
      {stream.name}
    </a>
  );
}

function Row({ stream, index }: { stream: Stream; index: number }) {
  const active = chosen.value === stream.name;
  return (
    <div class={`row ${stream.health} ${active ? "chosen" : ""}`} role="row" aria-rowindex={index + 2}>
      {stills.value === "on" ? (
        <span class="c-still" role="cell">
          <StillPicture stream={stream} />
        </span>
      ) : null}
      <span class="c-state" role="cell">
        <State health={stream.health} word={stream.state} />
      </span>
      <span class="c-name" role="cell">
        <Name stream={stream} />
        <small>{[stream.source ?? ORIGINS[stream.origin], stream.media, stream.upSeconds === null ? "" : `for ${duration(stream.upSeconds)}`].filter(Boolean).join(" · ")}</small>
      </span>
      <span class="c-rate num" role="cell">
        <Sparkline series={sparkOf(stream.name)} version={version.value} health={stream.health} />
        <span>{stream.state === "live" ? bitrate(stream.inBps) : "–"}</span>
      </span>
      <span class="c-rtt num" role="cell">
        {milliseconds(stream.rttMs)}
      </span>
      <span class={`c-loss num ${lossHealth(stream.loss)}`} role="cell">
        {percent(stream.loss)}
      </span>
      <span class="c-retr num" role="cell">
        {perSecond(stream.retransmitted)}
      </span>
      <span class={`c-drop num ${(stream.dropped ?? 0) > 0 ? "bad" : ""}`} role="cell">
        {perSecond(stream.dropped)}
      </span>
      <span class="c-view num" role="cell">
        {count(stream.viewers)}
        {stream.outputs > 0 ? <small title={plural(stream.outputs, "output")}> +{stream.outputs}</small> : null}
      </span>
      <span class="c-verdict" role="cell" title={stream.verdict?.text}>
        {reason(stream) || (stream.state === "idle" ? "" : inWords(stream))}
      </span>
    </div>
  );
}

function Head() {
  const { by, down } = parseOrder(sort.value);
  return (
    <div class="row head" role="row" aria-rowindex={1}>
      {stills.value === "on" ? <span class="c-still" role="columnheader"><span class="hidden">Picture</span></span> : null}
      {COLUMNS.map((column) => (
        <span
          class={column.className}
          role="columnheader"
          aria-sort={by === column.key ? (down ? "descending" : "ascending") : "none"}
          key={column.key}
        >
          <button
            type="button"
            title={column.hint}
            onClick={() => {
              const falls = by === column.key ? !down : column.key !== "name" && column.key !== "health";
              sort.value = falls ? `-${column.key}` : column.key;
            }}
          >
            {column.title}
            <i aria-hidden="true">{by === column.key ? (down ? "▼" : "▲") : ""}</i>
          </button>
        </span>
      ))}
      <span class="c-verdict" role="columnheader">
        Verdict
      </span>
    </div>
  );
}

function Table({ list }: { list: Stream[] }) {
  const { host, slice, row } = useSlice<HTMLDivElement>("table", list.length);
  return (
    <div class={`streams ${stills.value === "on" ? "with-stills" : ""}`} role="table" aria-label="Streams" aria-rowcount={list.length + 1}>
      <Head />
      <div class="rows" role="rowgroup" ref={host} style={{ "--row": `${row}px`, paddingTop: `${slice.above}px`, paddingBottom: `${slice.below}px` }}>
        {list.slice(slice.first, slice.end).map((stream, index) => (
          <Row stream={stream} index={slice.first + index} key={stream.name} />
        ))}
      </div>
    </div>
  );
}

function Tile({ stream }: { stream: Stream }) {
  const pictures = stills.value === "on";
  const spark = <Sparkline series={sparkOf(stream.name)} version={version.value} health={stream.health} />;
  return (
    <li class={`tile ${stream.health} ${chosen.value === stream.name ? "chosen" : ""}`}>
      {pictures ? <StillPicture stream={stream} /> : spark}
      {stream.health === "bad" || stream.health === "warning" ? <span class="tile-reason" title={reason(stream)}>{reason(stream)}</span> : null}
      <span class="tile-name">
        <Mark health={stream.health} label={`${stream.state}, ${stream.health}`} />
        <Name stream={stream} />
        {pictures ? spark : null}
      </span>
      <span class="tile-figures num">
        <span>{stream.state === "live" ? bitrate(stream.inBps) : stream.state}</span>
        <span data-k="RTT" title="Round-trip time">{milliseconds(stream.rttMs)}</span>
        <span class={lossHealth(stream.loss)} data-k="loss" title="Loss">{percent(stream.loss)}</span>
        <span>{plural(stream.viewers, "viewer")}</span>
      </span>
    </li>
  );
}

function Wall({ list }: { list: Stream[] }) {
  const { host, slice, across, row } = useSlice<HTMLUListElement>(stills.value === "on" ? "wall" : "wall without pictures", list.length);
  return (
    <ul
      class="wall"
      aria-label="Streams"
      ref={host}
      style={{ "--across": String(across), "--row": `${row}px`, paddingTop: `${slice.above}px`, paddingBottom: `${slice.below}px` }}
    >
      {list.slice(slice.first * across, slice.end * across).map((stream) => (
        <Tile stream={stream} key={stream.name} />
      ))}
    </ul>
  );
}

/** Arrows and j, k move; Enter opens; / filters. Moving scrolls what is not drawn yet into view. */
function useKeys(list: Stream[], host: { current: HTMLElement | null }) {
  const now = useRef(list);
  now.current = list;
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement;
      // A window above the page has the keyboard.
      if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
      if (/^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName)) {
        if (event.key === "Escape") target.blur();
        return;
      }
      if (event.key === "/") {
        event.preventDefault();
        host.current?.querySelector<HTMLInputElement>("input[type=search]")?.focus();
        return;
      }
      const across = layout.value === "wall" ? Number(getComputedStyle(host.current?.querySelector(".wall") ?? document.body).getPropertyValue("--across")) || 1 : 1;
      const steps: Record<string, number> = { j: 1, k: -1, ArrowDown: across, ArrowUp: -across, ...(across > 1 ? { ArrowRight: 1, ArrowLeft: -1 } : {}) };
      const step = steps[event.key];
      if (step === undefined || now.current.length === 0) return;
      event.preventDefault();
      const at = now.current.findIndex((stream) => stream.name === chosen.value);
      const to = at < 0 ? 0 : Math.min(now.current.length - 1, Math.max(0, at + step));
      const name = now.current[to]?.name;
      if (!name) return;
      chosen.value = name;
      const rows = host.current?.querySelector<HTMLElement>(".rows, .wall");
      if (!rows) return;
      const height = parseFloat(rows.style.getPropertyValue("--row")) || 40;
      const top = rows.getBoundingClientRect().top + scrollY + Math.floor(to / across) * height;
      const sticky = 120;
      if (top < scrollY + sticky) scrollTo(0, top - sticky);
      else if (top + height > scrollY + innerHeight) scrollTo(0, top + height - innerHeight + 60);
      requestAnimationFrame(() => requestAnimationFrame(() => host.current?.querySelector<HTMLElement>(`[data-name="${CSS.escape(name)}"]`)?.focus({ preventScroll: true })));
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);
}

/** Streams that share what stands before the last slash of their names. */
function GroupChoice() {
  const all = useComputed(() => groups(streams.value));
  if (all.value.length < 2 && group.value === "") return null;
  return (
    <select aria-label="Group" value={group.value} onChange={(event) => { group.value = event.currentTarget.value; }}>
      <option value="">All groups</option>
      {all.value.includes(group.value) || group.value === "" ? null : <option value={group.value}>{group.value}</option>}
      {all.value.map((one) => <option value={one} key={one}>{one}</option>)}
    </select>
  );
}

export function Overview() {
  const list = useComputed(() => {
    const { by, down } = parseOrder(sort.value);
    return selected(streams.value, filter.value, only.value, by, down, group.value);
  });
  const host = useRef<HTMLDivElement>(null);
  const [adding, setAdding] = useState(false);
  useKeys(list.value, host);
  const all = streams.value.length;
  return (
    <div class="overview" ref={host}>
      <h1 class="hidden">Streams</h1>
      <div class="bar">
        <input
          type="search"
          placeholder="Filter streams  ( / )"
          aria-label="Filter streams"
          value={filter.value}
          onInput={(event) => {
            filter.value = event.currentTarget.value;
          }}
          onKeyDown={(event) => {
            const first = list.value[0];
            if (event.key === "Enter" && first) go({ page: "stream", name: first.name });
          }}
        />
        <GroupChoice />
        <Toggle value={only.value} label="Which streams" choices={[["all", "All"], ["live", "Live"], ["trouble", "Trouble"]]} set={(value) => { only.value = value; }} />
        <Toggle value={layout.value} label="Layout" choices={[["table", "Table"], ["wall", "Wall"]]} set={(value) => { layout.value = value; }} />
        <Toggle value={stills.value} label="Pictures" choices={[["on", "Pictures"], ["off", "None"]]} set={(value) => { stills.value = value; }} />
        <Ask open={() => setAdding(true)} needs="admin">New stream…</Ask>
        <span class="muted num" aria-live="polite">
          {list.value.length === all ? plural(all, "stream") : `${count(list.value.length)} of ${plural(all, "stream")}`}
        </span>
      </div>
      {all === 0 ? (
        <Empty title="No stream yet">
          Streams appear here when the configuration names them or somebody publishes one. <a href={href({ page: "connect", name: null })}>How to connect an encoder</a>.
        </Empty>
      ) : list.value.length === 0 ? (
        <Empty title="No stream matches">Change the filter, or choose All.</Empty>
      ) : layout.value === "table" ? (
        <Table list={list.value} />
      ) : (
        <Wall list={list.value} />
      )}
      {adding ? <NewStream close={() => setAdding(false)} /> : null}
    </div>
  );
}
