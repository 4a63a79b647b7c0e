import { bitrate, count, milliseconds, percent, pid } from "../lib/format";
import type { Check, Pid, Program, Transport } from "../model";
import { Empty, Figure, Section } from "../ui/controls";
import { Mark } from "../ui/icons";

function PidRow({ one }: { one: Pid }) {
  return (
    <tr>
      <td class="num" data-label="PID">{pid(one.pid)}</td>
      <td data-label="Carries">
        {one.codec || one.kind}
        {one.detail ? <small>{one.detail}</small> : null}
      </td>
      <td data-label="Language">{one.language ?? ""}</td>
      <td class="num" data-label="Bitrate">{bitrate(one.bps)}</td>
      <td class={`num ${(one.continuityErrors ?? 0) > 0 ? "warning" : ""}`} data-label="Continuity errors">{count(one.continuityErrors)}</td>
      <td data-label="Scrambled">{one.scrambled ? "scrambled" : ""}</td>
    </tr>
  );
}

function Pids({ title, list }: { title: string; list: Pid[] }) {
  return (
    <>
      <h3>{title}</h3>
      <div class="scroller">
        <table class="list">
          <thead>
            <tr>
              <th class="num">PID</th><th>Carries</th><th>Language</th><th class="num">Bitrate</th><th class="num">CC errors</th><th><span class="hidden">Scrambled</span></th>
            </tr>
          </thead>
          <tbody>{list.map((one) => <PidRow one={one} key={one.pid} />)}</tbody>
        </table>
      </div>
    </>
  );
}

function programTitle(program: Program): string {
  const service = [program.service, program.provider].filter(Boolean).join(" · ");
  const pids = [program.pmtPid === null ? "" : `PMT ${pid(program.pmtPid)}`, program.pcrPid === null ? "" : `PCR ${pid(program.pcrPid)}`];
  return [`Program ${program.number}`, service, ...pids].filter(Boolean).join(" · ");
}

function Checks({ list }: { list: Check[] }) {
  return (
    <div class="checks">
      {([1, 2] as const).map((priority) => (
        <div key={priority}>
          <h3>{priority === 1 ? "First priority: needed to decode" : "Second priority: watched continuously"}</h3>
          <ul>
            {list
              .filter((one) => one.priority === priority)
              .map((one) => {
                // What cannot be decoded is a fault; what is watched continuously is worth a look.
                const health = one.lastMinute > 0 ? (priority === 1 ? "bad" : "warning") : one.count > 0 ? "warning" : "good";
                const words = one.lastMinute > 0 ? `${count(one.lastMinute)} in the last minute` : one.count > 0 ? "none in the last minute" : "none";
                return (
                  <li key={one.code} class={health}>
                    <Mark health={health} label={words} />
                    <span class="num">{one.code}</span>
                    <span>{one.name.replaceAll("_", " ")}</span>
                    <span class="num" title={words}>
                      {count(one.count)}
                      {one.lastMinute > 0 ? <small> +{count(one.lastMinute)}/min</small> : null}
                    </span>
                  </li>
                );
              })}
          </ul>
        </div>
      ))}
    </div>
  );
}

function Facts({ transport }: { transport: Transport }) {
  return (
    <dl class="figures">
      <Figure name="Format" value={transport.format} />
      <Figure name="Transport rate" value={bitrate(transport.bps)} />
      <Figure name="Null packets" value={percent(transport.nullShare)} />
      <Figure
        name="Keyframe every"
        value={transport.gopSeconds === null ? "–" : `${transport.gopSeconds.toFixed(2)} s`}
        title={transport.gopMaxSeconds === null ? "" : `at most ${transport.gopMaxSeconds.toFixed(2)} s: so long may a viewer wait for a picture`}
      />
      <Figure name="PCR at most every" value={milliseconds(transport.pcrIntervalMs)} />
      <Figure name="PCR jitter" value={milliseconds(transport.pcrJitterMs)} title="peak to peak, in the last second" />
    </dl>
  );
}

/** What the stream carries, and what a TR 101 290 analyser says of it. */
export function TransportSections({ transport }: { transport: Transport }) {
  return (
    <div class="two">
      <Section title="Programs and PIDs">
        <Facts transport={transport} />
        {transport.isTs ? null : <Empty title={transport.format}>Its programs are unknown.</Empty>}
        {transport.programs.map((program) => (
          <Pids title={programTitle(program)} list={program.pids} key={program.number} />
        ))}
        {transport.otherPids.length > 0 ? <Pids title="Tables and others" list={transport.otherPids} /> : null}
      </Section>
      <Section title="TR 101 290" aside={<span class="muted">errors since the input began</span>}>
        <Checks list={transport.checks} />
      </Section>
    </div>
  );
}
