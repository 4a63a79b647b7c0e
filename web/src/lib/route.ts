/** The page in view, from the part of the address behind `#`: works wherever the page is served from. */
export type Route =
  | { page: "overview" }
  | { page: "stream"; name: string }
  | { page: "connect"; name: string | null }
  | { page: "refused" }
  | { page: "bans" }
  | { page: "events" }
  | { page: "changes" }
  | { page: "alarms" }
  | { page: "gateway" };

/** What follows `?` in the part of the address behind `#`: the filters, order and layout of the page in view. */
export function parseQuery(hash: string): URLSearchParams {
  const at = hash.indexOf("?");
  return new URLSearchParams(at < 0 ? "" : hash.slice(at + 1));
}

/** The same address with other parameters; `null` removes one. */
export function withQuery(hash: string, changes: Record<string, string | null>): string {
  const query = parseQuery(hash);
  for (const [key, value] of Object.entries(changes)) {
    if (value === null) query.delete(key);
    else query.set(key, value);
  }
  const page = hash.split("?")[0] || "#/";
  const text = query.toString();
  return text ? `${page}?${text}` : page;
}

export function parseRoute(hash: string): Route {
  const [page, ...rest] = hash.replace(/^#?\/?/, "").split("?")[0]?.split("/") ?? [];
  let name = "";
  try {
    name = decodeURIComponent(rest.join("/"));
  } catch {
    name = rest.join("/");
  }
  switch (page) {
    case "stream":
      return name ? { page, name } : { page: "overview" };
    case "connect":
      return { page, name: name || null };
    case "refused":
    case "bans":
    case "events":
    case "changes":
    case "alarms":
    case "gateway":
      return { page };
    default:
      return { page: "overview" };
  }
}

export function href(route: Route): string {
  if (route.page === "overview") return "#/";
  const name = "name" in route && route.name ? `/${encodeURIComponent(route.name)}` : "";
  return `#/${route.page}${name}`;
}
