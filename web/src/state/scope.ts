import { gateway } from "./store";

/** What a token may do, each including those before it. */
const SCOPES = ["read", "operate", "admin"];

export type Needs = "operate" | "admin";

/** Why this page's token may not do that, for people; `null` if it may, or if it is not known: then the gateway says. */
export function lacks(needs: Needs): string | null {
  const scope = gateway.value?.scope;
  if (!scope || SCOPES.indexOf(scope) >= SCOPES.indexOf(needs)) return null;
  return `It needs a token with the scope ${needs}; this one has ${scope}.`;
}
