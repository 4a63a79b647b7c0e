import * as api from "../api/client";
import { usePolled } from "../state/poll";
import { href } from "../state/router";
import { Empty, Section } from "../ui/controls";
import { Mark } from "../ui/icons";
import { Filter, filter } from "../ui/table";
import { Time, inZone } from "../ui/time";

export function EventList({ stream, limit }: { stream?: string; limit: number }) {
  const polled = usePolled(`events ${stream ?? ""}`, 3_000, () => api.events(stream));
  const words = stream ? [] : filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  const list = (polled.value ?? []).filter((event) => {
    const text = `${event.kind} ${event.stream ?? ""} ${event.text}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
  if (polled.error) return <p class="problem" role="alert">{polled.error}</p>;
  if (polled.value && list.length === 0) return <Empty title={words.length > 0 ? "No event matches" : "Nothing has happened yet"} />;
  return (
    <ol class={stream ? "events of-one" : "events"}>
      {list.slice(0, limit).map((event) => (
        <li key={event.id}>
          <Time at={event.at} />
          <Mark health={event.health} label="" />
          <code>{event.kind}</code>
          {stream ? null : event.stream ? <a href={href({ page: "stream", name: event.stream })} title={event.stream}>{event.stream}</a> : <i />}
          <span>{event.text}</span>
        </li>
      ))}
    </ol>
  );
}

export function Events() {
  return (
    <Section
      top
      title="Events"
      aside={
        <>
          <Filter label="Filter events" placeholder="stream, kind…" />
          <span class="muted">{inZone("Times")}</span>
        </>
      }
    >
      <EventList limit={500} />
    </Section>
  );
}
