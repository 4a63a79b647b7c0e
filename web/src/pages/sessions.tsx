import { useMemo, useState } from "preact/hooks";
import * as api from "../api/client";
import { bitrate, bytes, count, duration, hostOf, milliseconds, perSecond, percent, plural } from "../lib/format";
import { ofSession } from "../lib/consequence";
import { lossHealth } from "../lib/select";
import type { Session, StreamDetail } from "../model";
import { href } from "../state/router";
import { BanDialog } from "../ui/ban";
import { Act, Ask, Empty, Section } from "../ui/controls";
import { State } from "../ui/icons";

interface RowProps {
  session: Session;
  blamed: boolean;
  consequence: string;
  again: () => void;
  ban: (session: Session) => void;
}

function SessionRow({ session, blamed, consequence, again, ban }: RowProps) {
  const publishes = session.role === "publisher" || session.role === "input";
  const health = blamed ? "bad" : publishes && !session.feeds ? "standby" : "good";
  return (
    <tr>
      <td data-label="Role">
        <State health={health} word={session.role} />
        {blamed ? <small>see the verdict</small> : null}
      </td>
      <td class="num" data-label="Peer">
        {session.peer}
        <small>{session.port}{session.version ? ` · SRT ${session.version}` : ""}</small>
        {session.streamId ? <small><code>{session.streamId}</code></small> : null}
        {session.labels.map((label) => <small key={label}>{label}</small>)}
        {session.links.map((link) => <small key={link}>link {link}</small>)}
      </td>
      <td data-label="Encryption">{session.encryption ?? "none"}</td>
      <td class="num" data-label="Latency">{milliseconds(session.latencyMs)}</td>
      <td class="num" data-label="RTT">{milliseconds(session.rttMs)}</td>
      <td class={`num ${lossHealth(session.loss)}`} data-label="Loss">{percent(session.loss)}</td>
      <td class={`num ${(session.dropped ?? 0) > 0 ? "bad" : ""}`} data-label="Too late">{perSecond(session.dropped)}</td>
      <td class="num" data-label="Buffer">{milliseconds(session.bufferMs)}</td>
      <td class="num" data-label="Rate">{bitrate(session.bps)}</td>
      <td class="num" data-label="Carried">{bytes(session.bytes)}</td>
      <td class={`num ${(session.skipped ?? 0) > 0 ? "warning" : ""}`} data-label="Skipped">{count(session.skipped)}</td>
      <td class="num" data-label="Since">{duration(session.age)}</td>
      <td class="tools-cell" data-label="">
        <div class="acts">
          <Act run={() => api.kick(session.id).finally(again)} done={`Session of ${session.peer} ended`} confirm="End it?" consequence={consequence} label={`End the session of ${session.peer}`} needs="operate">End</Act>
          <Ask open={() => ban(session)} danger label={`Ban ${session.peer}`} needs="operate">Ban…</Ask>
        </div>
      </td>
    </tr>
  );
}

const SHOWN = 100;

export function Sessions({ detail, again }: { detail: StreamDetail; again: () => void }) {
  const [all, setAll] = useState(false);
  const [banned, setBanned] = useState<Session | null>(null);
  const blamed = new Set(detail.stream.verdict?.sessions ?? []);
  const list = useMemo(
    () => [...detail.sessions].sort((a, b) => Number(b.feeds) - Number(a.feeds) || Number(blamed.has(b.id)) - Number(blamed.has(a.id)) || (b.loss ?? 0) - (a.loss ?? 0) || (b.age ?? 0) - (a.age ?? 0)),
    [detail.sessions],
  );
  const shown = all ? list : list.slice(0, SHOWN);
  return (
    <Section title="Sessions" aside={<span class="muted num">{list.length === 0 ? "" : list.length === 1 ? "1 session" : `${plural(list.length, "session")}, the worst first`}</span>}>
      {list.length === 0 ? (
        <Empty title="Nobody is connected">
          <a href={href({ page: "connect", name: detail.stream.name })}>How to publish or play this stream</a>
        </Empty>
      ) : (
        <div class="scroller">
          <table class="list">
            <thead>
              <tr>
                <th>Role</th><th>Peer</th><th>Encryption</th><th class="num">Latency</th><th class="num">RTT</th><th class="num">Loss</th>
                <th class="num">Too late</th><th class="num">Buffer</th><th class="num">Rate</th><th class="num">Carried</th><th class="num">Skipped</th><th class="num">Since</th><th><span class="hidden">Actions</span></th>
              </tr>
            </thead>
            <tbody>{shown.map((session) => <SessionRow session={session} blamed={blamed.has(session.id)} consequence={ofSession(session, detail)} again={again} ban={setBanned} key={session.id} />)}</tbody>
          </table>
        </div>
      )}
      {shown.length < list.length ? <button type="button" class="more" onClick={() => setAll(true)}>Show all {count(list.length)}</button> : null}
      {banned ? <BanDialog address={hostOf(banned.peer)} why={`Ban ${banned.peer}`} close={() => { setBanned(null); again(); }} /> : null}
    </Section>
  );
}
