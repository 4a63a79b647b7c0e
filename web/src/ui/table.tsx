import type { ComponentChildren } from "preact";
import { plural, times } from "../lib/format";
import type { Polled } from "../state/poll";
import { parameter } from "../state/router";
import { Empty, Section } from "./controls";
import { Time } from "./time";

export interface Column<T> {
  title: string;
  /** Stands before the cell where the table has no room for its head. */
  label?: string;
  className?: string;
  cell: (item: T) => ComponentChildren;
}

/** A table that becomes a list of named figures where the window is narrow. */
export function Table<T extends { id: string }>({ columns, list, className = "" }: { columns: Column<T>[]; list: T[]; className?: string }) {
  return (
    <div class="scroller">
      <table class={`list ${className}`}>
        <thead>
          <tr>
            {columns.map((column) => (
              <th class={column.className === "num" ? "num" : ""} key={column.title}>{column.title === "Actions" ? <span class="hidden">Actions</span> : column.title}</th>
            ))}
          </tr>
        </thead>
        <tbody>
          {list.map((item) => (
            <tr key={item.id}>
              {columns.map((column) => (
                <td class={column.className} data-label={column.title === "Actions" ? "" : (column.label ?? column.title)} key={column.title}>{column.cell(item)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** The last time of something that may have happened again and again. */
export function When({ at, first, count }: { at: Date; first: Date; count: number }) {
  return (
    <>
      <Time at={at} />
      {count > 1 ? <small>{times(count)} since <Time at={first} /></small> : null}
    </>
  );
}

/** The text that a page's list is filtered by. */
export const filter = parameter<string>("q", "");

export function Filter({ label, placeholder }: { label: string; placeholder: string }) {
  return (
    <input
      type="search"
      aria-label={label}
      placeholder={placeholder}
      value={filter.value}
      onInput={(event) => {
        filter.value = event.currentTarget.value;
      }}
    />
  );
}

/** No browser likes more rows at once; who looks for an older one filters. */
const SHOWN = 300;

interface Props<T> {
  title: string;
  lead: ComponentChildren;
  /** What one record is called. */
  noun: string;
  filterLabel: string;
  placeholder: string;
  polled: Polled<unknown>;
  list: T[];
  columns: Column<T>[];
  /** What stands instead of the table: when nothing matches, and when there is nothing. */
  nothing: [title: string, hint?: string];
  noMatch: string;
  children?: ComponentChildren;
}

/** A page that is a list of what happened, with a filter. */
export function Records<T extends { id: string }>({ title, lead, noun, filterLabel, placeholder, polled, list, columns, nothing, noMatch, children }: Props<T>) {
  const known = polled.value !== null;
  const [none, hint] = filter.value ? [noMatch, "Change the filter."] : nothing;
  return (
    <Section
      top
      title={title}
      aside={
        <>
          <Filter label={filterLabel} placeholder={placeholder} />
          <span class="muted num">{known ? plural(list.length, noun) : ""}</span>
        </>
      }
    >
      <p class="lead">{lead}</p>
      {polled.error ? <p class="problem" role="alert">{polled.error}</p> : null}
      {known && list.length === 0 ? <Empty title={none}>{hint}</Empty> : <Table className="records" columns={columns} list={list.slice(0, SHOWN)} />}
      {list.length > SHOWN ? <p class="muted">The {SHOWN} newest are shown. Filter to find older ones.</p> : null}
      {children}
    </Section>
  );
}
