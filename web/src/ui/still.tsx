import { useEffect, useRef, useState } from "preact/hooks";
import type { Stream } from "../model";
import { stills } from "../state/settings";
import { forgetStill, still, watchStill, whyNone } from "./stills";

/** What to say where there is no picture. */
function instead(stream: Stream, on: boolean): string {
  if (stream.state !== "live") return stream.state;
  return on ? whyNone(stream.name) : "";
}

export function StillPicture({ stream }: { stream: Stream }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [shown, setShown] = useState(false);
  const [, setWhy] = useState("");
  const live = stream.state === "live";
  const on = stills.value === "on";
  useEffect(() => {
    const draw = () => {
      const bitmap = still(stream.name);
      const element = canvas.current;
      if (bitmap && element) {
        if (element.width !== bitmap.width) element.width = bitmap.width;
        if (element.height !== bitmap.height) element.height = bitmap.height;
        element.getContext("2d")?.drawImage(bitmap, 0, 0);
      }
      setShown(bitmap !== null);
      setWhy(whyNone(stream.name));
    };
    if (!live || !on) {
      if (!live) forgetStill(stream.name);
      setShown(false);
      return;
    }
    draw();
    return watchStill(stream.name, draw);
  }, [stream.name, live, on]);
  return (
    <div class="still">
      <canvas ref={canvas} width="320" height="180" hidden={!shown} role="img" aria-label={`Last keyframe of ${stream.name}`} />
      {shown ? null : <span>{instead(stream, on)}</span>}
    </div>
  );
}
