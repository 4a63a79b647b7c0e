/** The page in view, from the part of the address behind `#`: works wherever the page is served from. */
export type Route =
  | { page: "overview" }
  | { page: "stream"; name: string }
  | { page: "connect"; name: string | null }
  | { page: "refused" }
  | { page: "bans" }
  | { page: "events" }
  | { page: "changes" }
  | { page: "gateway" };

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
