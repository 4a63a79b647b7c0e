import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { clock } from "../lib/format";
import type { Point } from "../model";
import { colours, zone } from "../state/settings";

export interface Line {
  label: string;
  value: (point: Point) => number | null;
  /** Names a custom property of the style sheet: `--line-1`. */
  colour: string;
  dash?: number[];
  fill?: boolean;
}

interface Props {
  title: string;
  points: Point[];
  lines: Line[];
  format: (value: number | null) => string;
  /** The axis reaches at least to here: the noise of what is next to nothing must not look like an alarm. */
  least: number;
  /** Counts have no marks between whole numbers. */
  whole?: boolean;
  /** Seconds that the axis of time shows at most. */
  span: number;
  /** All charts with one key share the cursor. */
  sync: string;
}

const property = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function faded(colour: string): string {
  return `color-mix(in srgb, ${colour} 16%, transparent)`;
}

function options(props: Props, width: number, height: number): uPlot.Options {
  const muted = property("--muted");
  const grid = { stroke: property("--line"), width: 1 };
  const font = `11px ${property("--font")}`;
  return {
    width,
    height,
    ...(zone.value === "utc" ? { tzDate: (time: number) => uPlot.tzDate(new Date(time * 1000), "Etc/UTC") } : {}),
    legend: { live: true },
    cursor: { sync: { key: props.sync }, points: { size: 6 }, drag: { x: false, y: false } },
    scales: {
      x: { time: true, range: (plot) => timeRange(plot, props.span) },
      y: { range: (_plot, _min, max) => [0, Math.max(max * 1.15, props.least)] },
    },
    axes: [
      {
        stroke: muted,
        grid,
        ticks: grid,
        font,
        size: 26,
        values: (_plot, splits) => splits.map((split) => clockOf(split, splits)),
      },
      {
        stroke: muted,
        grid,
        ticks: grid,
        font,
        size: 68,
        values: (_plot, splits) => splits.map((split) => (props.whole && !Number.isInteger(split) ? "" : props.format(split))),
      },
    ],
    series: [
      { value: (_plot, time) => (time === null || time === undefined ? "–" : clockOf(time, [])) },
      ...props.lines.map((line): uPlot.Series => {
        const colour = property(line.colour);
        return {
          label: line.label,
          stroke: colour,
          width: 1.5,
          points: { show: false },
          spanGaps: false,
          ...(line.dash ? { dash: line.dash } : {}),
          ...(line.fill ? { fill: faded(colour) } : {}),
          value: (_plot, value) => props.format(value ?? null),
        };
      }),
    ],
  };
}

/** From the first point to the newest one, or to now: a tenth of the span at least, so that a few points are no needle. */
function timeRange(plot: uPlot, span: number): [number, number] {
  const times = plot.data[0] as number[] | undefined;
  const end = times?.at(-1) ?? Date.now() / 1000;
  return [Math.max(end - span, Math.min(times?.[0] ?? end, end - span / 10)), end];
}

/** Hours and minutes, with seconds where the marks are closer than that. */
function clockOf(time: number, splits: number[]): string {
  const close = splits.length < 2 || (splits[1] ?? 0) - (splits[0] ?? 0) < 60;
  const at = new Date(time * 1000);
  return clock(at, zone.value, at).slice(0, close ? 8 : 5);
}

/** While nobody points at it, the legend tells the newest figures. */
function tellNewest(plot: uPlot, points: number): void {
  if ((plot.cursor.left ?? -1) < 0 && points > 0) plot.setLegend({ idx: points - 1 }, false);
}

function columns(props: Props): uPlot.AlignedData {
  return [
    props.points.map((point) => point.t),
    ...props.lines.map((line) => props.points.map((point) => line.value(point))),
  ] as uPlot.AlignedData;
}

/** The last value of each line in words, for those who do not see the picture. */
function summary(props: Props): string {
  const last = props.points.at(-1);
  if (!last) return `${props.title}: no figures yet`;
  return `${props.title}: ${props.lines.map((line) => `${line.label} ${props.format(line.value(last))}`).join(", ")}`;
}

export function Chart(props: Props) {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const look = colours();
  useEffect(() => {
    const element = host.current;
    if (!element) return;
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize) || 14;
    const size = () => ({ width: Math.max(200, element.clientWidth), height: Math.round(10.5 * rem) });
    const { width, height } = size();
    const made = new uPlot(options(props, width, height), columns(props), element);
    plot.current = made;
    tellNewest(made, props.points.length);
    const observer = new ResizeObserver(() => {
      if (element.clientWidth !== made.width) made.setSize(size());
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = null;
    };
    // New points come below; only a new look or other lines need a new plot.
  }, [look, props.title, props.span]);
  useEffect(() => {
    plot.current?.setData(columns(props));
    if (plot.current) tellNewest(plot.current, props.points.length);
  }, [props.points]);
  return (
    <figure class="chart">
      <figcaption>{props.title}</figcaption>
      <div ref={host} role="img" aria-label={summary(props)} />
    </figure>
  );
}
