import { useState } from "preact/hooks";
import * as api from "../api/client";
import { follow } from "../state/store";

export function Login() {
  const [token, setToken] = useState("");
  const refused = api.hasToken();
  const submit = (event: Event) => {
    event.preventDefault();
    api.setToken(token.trim());
    void follow();
  };
  return (
    <form class="login" onSubmit={submit}>
      <h1>SRT gateway</h1>
      <label>
        Token
        <input type="password" autocomplete="current-password" autofocus required value={token} onInput={(event) => setToken(event.currentTarget.value)} />
      </label>
      {refused ? <p class="problem" role="alert">The gateway does not accept this token.</p> : <p class="muted">The one under [api] in the gateway's configuration. It is forgotten when this tab is closed.</p>}
      <button type="submit" class="primary">Log in</button>
    </form>
  );
}
