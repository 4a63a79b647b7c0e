import type { Definition, Value } from "../model";

/** Definitions as text, in the words of the configuration file: what is read here can be written there. */

const bare = /^[A-Za-z0-9_-]+$/;

function key(name: string): string {
  return bare.test(name) ? name : JSON.stringify(name);
}

function value(of: Value): string {
  if (Array.isArray(of)) {
    const items = of.map(value);
    const line = `[${items.join(", ")}]`;
    return line.length <= 90 ? line : `[\n${items.map((item) => `  ${item},\n`).join("")}]`;
  }
  if (typeof of === "object") {
    const entries = Object.entries(of).map(([name, inner]) => `${key(name)} = ${value(inner)}`);
    return entries.length === 0 ? "{}" : `{ ${entries.join(", ")} }`;
  }
  return typeof of === "string" ? JSON.stringify(of) : String(of);
}

/** A line for each key. */
export function toToml(definition: Definition): string {
  return Object.entries(definition)
    .map(([name, inner]) => `${key(name)} = ${value(inner)}`)
    .join("\n");
}

/** The whole configuration: a header for each table, and for each stream. */
export function wholeToml(config: Definition): string {
  const isTable = (of: Value): of is Definition => typeof of === "object" && !Array.isArray(of);
  const sections: string[] = [];
  const section = (header: string, table: Definition) => sections.push(`${header}\n${toToml(table)}`.trim());
  for (const [name, inner] of Object.entries(config)) {
    if ((name === "streams" || name === "templates") && isTable(inner)) {
      for (const [one, table] of Object.entries(inner)) if (isTable(table)) section(`[${name}.${key(one)}]`, table);
    } else if (isTable(inner)) section(`[${name}]`, inner);
    else if (Array.isArray(inner) && inner.length > 0 && inner.every(isTable)) {
      for (const table of inner) section(`[[${name}]]`, table);
    } else sections.push(`${key(name)} = ${value(inner)}`);
  }
  return sections.join("\n\n");
}
