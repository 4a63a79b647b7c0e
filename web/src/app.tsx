import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import * as api from "./api/client";
import { bitrate, count, duration, plural, zoneName } from "./lib/format";
import type { Health } from "./model";
import { Alarms } from "./pages/alarms";
import { Bans } from "./pages/bans";
import { Changes } from "./pages/changes";
import { Connect } from "./pages/connect";
import { Events } from "./pages/events";
import { GatewayPage } from "./pages/gateway";
import { Login } from "./pages/login";
import { Overview } from "./pages/overview";
import { Refused } from "./pages/refused";
import { StreamPage } from "./pages/stream";
import { dismiss, notices, takeBack } from "./state/notices";
import { type Route, back, go, route } from "./state/router";
import { theme, zone } from "./state/settings";
import { alarms, follow, gateway, lastHeard, link, pulse, stale, totals } from "./state/store";
import { Mark } from "./ui/icons";
import { Time } from "./ui/time";

const PAGES: { to: Route; word: string; also?: string }[] = [
  { to: { page: "overview" }, word: "Streams", also: "stream" },
  { to: { page: "alarms" }, word: "Alarms" },
  { to: { page: "refused" }, word: "Refused", also: "bans" },
  { to: { page: "events" }, word: "Events", also: "changes" },
  { to: { page: "connect", name: null }, word: "Connect" },
  { to: { page: "gateway" }, word: "Gateway" },
];

/** Two pages of one question: who is not let in. */
function RefusedTabs({ page, children }: { page: "refused" | "bans"; children: ComponentChildren }) {
  return (
    <>
      <nav class="sub" aria-label="Refused">
        <a href={back({ page: "refused" })} aria-current={page === "refused" ? "page" : undefined}>Refused callers</a>
        <a href={back({ page: "bans" })} aria-current={page === "bans" ? "page" : undefined}>Bans</a>
      </nav>
      {children}
    </>
  );
}

/** What happened, and what people did. */
function EventTabs({ page, children }: { page: "events" | "changes"; children: ComponentChildren }) {
  return (
    <>
      <nav class="sub" aria-label="Events">
        <a href={back({ page: "events" })} aria-current={page === "events" ? "page" : undefined}>Events</a>
        <a href={back({ page: "changes" })} aria-current={page === "changes" ? "page" : undefined}>Changes</a>
      </nav>
      {children}
    </>
  );
}

function Page({ at }: { at: Route }) {
  switch (at.page) {
    case "overview":
      return <Overview />;
    case "stream":
      return <StreamPage name={at.name} key={at.name} />;
    case "connect":
      return <Connect name={at.name} />;
    case "refused":
      return <RefusedTabs page="refused"><Refused /></RefusedTabs>;
    case "bans":
      return <RefusedTabs page="bans"><Bans /></RefusedTabs>;
    case "events":
      return <EventTabs page="events"><Events /></EventTabs>;
    case "changes":
      return <EventTabs page="changes"><Changes /></EventTabs>;
    case "alarms":
      return <Alarms />;
    case "gateway":
      return <GatewayPage />;
  }
}

/** How many streams need somebody; shows them when it is pressed. */
function Trouble({ health, number, one }: { health: Health; number: number; one: string }) {
  if (number === 0) return null;
  const show = () => go({ page: "overview" }, { only: "trouble" });
  return (
    <div>
      <dt class="hidden">{one}s</dt>
      <dd>
        <button type="button" class={health} onClick={show} title="Show them">
          <Mark health={health} label="" />
          {plural(number, one)}
        </button>
      </dd>
    </div>
  );
}

function Totals() {
  const sum = totals.value;
  return (
    <dl class={stale.value === null ? "totals num" : "totals num stale"}>
      <div><dt>live</dt><dd>{count(sum.live)}<small>/{count(sum.streams)}</small></dd></div>
      <div><dt>in</dt><dd>{bitrate(sum.inBps)}</dd></div>
      <div><dt>out</dt><dd>{bitrate(sum.outBps)}</dd></div>
      <div><dt>viewers</dt><dd>{count(sum.viewers)}</dd></div>
      <Trouble health="bad" number={sum.faults} one="fault" />
      <Trouble health="warning" number={sum.warnings} one="warning" />
    </dl>
  );
}

function Tools() {
  const next = { auto: "dark", dark: "light", light: "auto" } as const;
  const signs = { auto: "◐", dark: "●", light: "○" };
  return (
    <div class="tools">
      <button type="button" onClick={() => { zone.value = zone.value === "utc" ? "local" : "utc"; }} title={zone.value === "utc" ? "Show times in this computer's zone" : "Show times in UTC"} aria-label={`Times: ${zone.value === "utc" ? "UTC" : `local, ${zoneName("local")}`}. Change`}>
        {zone.value === "utc" ? "UTC" : `Local, ${zoneName("local")}`}
      </button>
      <button type="button" onClick={() => { theme.value = next[theme.value]; }} title={`Colours: ${theme.value}`} aria-label={`Colours: ${theme.value}. Change`}>
        {signs[theme.value]}
      </button>
      {api.hasToken() ? (
        <button type="button" onClick={() => { api.setToken(""); void follow(); }}>
          Log out
        </button>
      ) : null}
    </div>
  );
}

function LinkState() {
  const draining = pulse.value?.draining ?? false;
  const old = stale.value;
  if (old === null && link.value === "live") {
    if (!draining) return null;
    return <div class="link-state" role="status">The gateway is draining: it refuses new callers and ends when {plural(pulse.value?.sessions ?? 0, "session")} {pulse.value?.sessions === 1 ? "is" : "are"} gone.</div>;
  }
  if (old === null && link.value !== "lost") return <div class="link-state connecting" role="status">Connecting…</div>;
  const heard = lastHeard();
  const lost = draining ? "The gateway has ended after its drain." : link.value === "live" ? "The gateway sends nothing." : "No connection to the gateway.";
  return (
    <div class="link-state lost">
      <span role="status">{lost} Reconnecting…</span>
      {/* Counted for the eye: read out each second it would be a nuisance. */}
      {heard ? <span class="num"> What you see is {duration(old ?? 0)} old, from <Time at={heard} named />.</span> : null}
    </div>
  );
}

function Notices() {
  return (
    <div class="notices" role="status" aria-live="polite">
      {notices.value.map((notice) => (
        <div class={notice.bad ? "notice bad" : "notice"} key={notice.id}>
          <span>{notice.text}</span>
          {notice.undo ? <button type="button" class="act" onClick={() => void takeBack(notice)}>Undo</button> : null}
          <button type="button" class="quiet" aria-label="Dismiss" onClick={() => dismiss(notice.id)}>×</button>
        </div>
      ))}
    </div>
  );
}

/** How many alarms nobody has acknowledged. */
function Badge() {
  const now = alarms.value;
  if (!now || now.unacknowledged === 0) return null;
  return (
    <span class={`badge num ${now.critical > 0 ? "bad" : "warning"}`}>
      {count(now.unacknowledged)}
      <span class="hidden"> not acknowledged</span>
    </span>
  );
}

export function App() {
  const at = route.value;
  const title = at.page === "stream" ? at.name : at.page === "bans" ? "Bans" : (PAGES.find((one) => one.to.page === at.page)?.word ?? "");
  const name = gateway.value?.name ?? "SRT gateway";
  const waiting = alarms.value?.unacknowledged ?? 0;
  useEffect(() => {
    document.title = `${stale.value === null ? (waiting > 0 ? `(${waiting}) ` : "") : "⚠ No connection · "}${title} · ${name}`;
  }, [title, name, waiting, stale.value === null]);
  const top = useRef<HTMLElement>(null);
  const loggedIn = link.value !== "login";
  useEffect(() => {
    // It may take two lines; what sticks below it must know.
    const observer = new ResizeObserver(([entry]) => document.documentElement.style.setProperty("--top", `${entry?.borderBoxSize[0]?.blockSize ?? 0}px`));
    if (top.current) observer.observe(top.current);
    return () => observer.disconnect();
  }, [loggedIn]);
  if (link.value === "login") return <main><Login /></main>;
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); document.getElementById("main")?.focus(); }}>Skip to the content</a>
      <header class="top" ref={top}>
        <a class="brand" href="#/">{name}</a>
        <nav aria-label="Pages">
          {PAGES.map((one) => (
            <a href={back(one.to)} aria-current={at.page === one.to.page || at.page === one.also ? "page" : undefined} key={one.word}>
              {one.word}
              {one.word === "Alarms" ? <> <Badge /></> : null}
            </a>
          ))}
        </nav>
        <Totals />
        <Tools />
      </header>
      <LinkState />
      <main id="main" tabIndex={-1} class={stale.value === null ? "" : "stale"}>
        <Page at={at} />
      </main>
      <Notices />
    </>
  );
}
