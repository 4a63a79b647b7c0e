import { render } from "preact";
import { App } from "./app";
import { follow } from "./state/store";
import { listenForAlarms } from "./ui/sound";
import "./style.css";

const root = document.getElementById("app");
if (root) render(<App />, root);
void follow();
listenForAlarms();
