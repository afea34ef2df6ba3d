import { useComputed } from "@preact/signals";
import { chooseLanguage, type Key, type Lang, lang, languages, t } from "../i18n";
import { fresh, snapshot } from "../live";
import { panel } from "../steer";
import { choose, type Theme, theme, themes } from "../theme";
import { Choice, Icon, type IconName, StateMark } from "./ui";

const themeIcons: Record<Theme, IconName> = { auto: "auto", light: "sun", dark: "moon" };
const sections: [string, Key][] = [
  ["queue", "nav.queue"],
  ["limits", "limits.title"],
  ["graphs", "graphs.title"],
  ["requests", "nav.requests"],
  ["providers", "providers.title"],
];

export function Header() {
  const state = useComputed(() => snapshot.value?.state);
  return (
    <header class="top">
      <a class="skip" href="#main">{t("nav.skip")}</a>
      <div class="brand">
        <svg class="logo" viewBox="0 0 16 16" aria-hidden="true">
          <path d="M2 3h4M2 6.4h6M2 9.8h9M2 13.2h12" />
        </svg>
        <h1>nim-sidecar</h1>
        <Live />
        {state.value && <span class="phone-only"><StateMark of={state.value} /></span>}
      </div>
      <nav class="sections" aria-label={t("nav.sections")}>
        {sections.map(([id, key]) => <a key={id} href={`#${id}`}>{t(key)}</a>)}
      </nav>
      <div class="tools">
        <Choice label={t("nav.language")} of={Object.keys(languages) as Lang[]} value={lang.value} name={(l) => (l === "en" ? "EN" : "中")} title={(l) => languages[l]} onChoose={chooseLanguage} />
        <Choice label={t("nav.theme")} of={themes} value={theme.value} name={(name) => <Icon name={themeIcons[name]} />} title={(name) => t(`theme.${name}`)} onChoose={choose} />
        <button type="button" class="button tool" aria-haspopup="dialog" aria-label={t("settings.title")} onClick={() => (panel.value = true)}>
          <Icon name="gear" />
          <span class="wide-only">{t("settings.title")}</span>
        </button>
      </div>
    </header>
  );
}

function Live() {
  const on = fresh.value;
  const waiting = snapshot.value === null;
  return (
    <span class={`live ${on ? "on" : "off"}`}>
      <span class="dot" />
      <span class="wide-only">{t(on ? "live.on" : waiting ? "live.connecting" : "live.off")}</span>
    </span>
  );
}
