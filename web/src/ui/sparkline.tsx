import { useLayoutEffect, useRef } from "preact/hooks";
import type { Series } from "../lib/series";
import { colours } from "../state/settings";

/** Its course in a few pixels. Drawn on a canvas: hundreds of these are on a page, each second. */
export function Sparkline({ series, version, health }: { series: Series; version: number; health: string }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const look = colours();
  useLayoutEffect(() => {
    const element = canvas.current;
    const context = element?.getContext("2d");
    if (!element || !context) return;
    const ratio = Math.min(devicePixelRatio || 1, 2);
    const width = element.clientWidth;
    const height = element.clientHeight;
    if (width === 0 || height === 0) return;
    if (element.width !== Math.round(width * ratio)) element.width = Math.round(width * ratio);
    if (element.height !== Math.round(height * ratio)) element.height = Math.round(height * ratio);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const top = series.max();
    if (series.size < 2 || top <= 0) return;
    const colour = getComputedStyle(element).color;
    const step = width / (series.length - 1);
    const y = (value: number) => height - 1 - (value / top) * (height - 3);
    const left = width - (series.size - 1) * step;
    context.beginPath();
    for (let index = 0; index < series.size; index += 1) context.lineTo(left + index * step, y(series.at(index)));
    context.strokeStyle = colour;
    context.lineWidth = 1.25;
    context.lineJoin = "round";
    context.stroke();
    context.lineTo(width, height);
    context.lineTo(left, height);
    context.globalAlpha = 0.14;
    context.fillStyle = colour;
    context.fill();
    context.globalAlpha = 1;
  }, [series, version, health, look]);
  return <canvas ref={canvas} class={`spark ${health}`} aria-hidden="true" />;
}
