import { effect } from "@preact/signals";
import { render } from "preact";
import { App } from "./app";
import { count } from "./format";
import { followHistory } from "./history";
import normal from "./icons/normal.svg";
import recover from "./icons/recover.svg";
import retreat from "./icons/retreat.svg";
import stale from "./icons/stale.svg";
import { lang, speak, t } from "./i18n";
import { fresh, listen, snapshot } from "./live";
import { spoken } from "./notices";
import { followSettings } from "./settings";
import "./theme";
import "./style.css";

const icons = { NORMAL: normal, RETREAT: retreat, RECOVER: recover };

/** The tab tells the total, the state in words and the state in colour, so that the page need not be in front. */
function labelTab(): void {
  const of = snapshot.value;
  document.documentElement.lang = lang.value === "zh" ? "zh-CN" : "en";
  const where = "nim-sidecar";
  if (!of) document.title = where;
  else if (!fresh.value) document.title = `${t("title.stale")} · ${where}`;
  else document.title = `${t("title.waiting", { n: count(of.queue.total, lang.value) })} · ${of.state} · ${where}`;
  const link = document.querySelector<HTMLLinkElement>("link[rel=icon]");
  const icon = fresh.value && of ? (icons[of.state] ?? normal) : stale;
  if (link && link.getAttribute("href") !== icon) link.setAttribute("href", icon);
}

/** Screen readers hear of a change of state, never of numbers. */
function speakStates(): void {
  let heard = "";
  effect(() => {
    const of = snapshot.value;
    if (!of) return;
    const next = fresh.value ? of.state : "stale";
    if (heard && heard !== next) spoken.value = next === "stale" ? t("stale.title") : `${t("state.title")}: ${next}. ${of.state_reason ?? ""}`;
    heard = next;
  });
}

async function start(): Promise<void> {
  listen(); // the first snapshot is on its way while the words come
  await speak(lang.value).catch(() => speak("en"));
  effect(labelTab);
  speakStates();
  followSettings();
  followHistory();
  const root = document.getElementById("app");
  if (root) render(<App />, root);
}

void start();
