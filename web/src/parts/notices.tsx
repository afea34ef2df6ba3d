import { signal } from "@preact/signals";
import { t } from "../i18n";
import { snapshot } from "../live";
import { notice, spoken } from "../notices";
import { settings } from "../settings";
import { Icon } from "./ui";

/** One sentence at the foot of the window, and what is only spoken. */
export function Notices() {
  const said = notice.value;
  return (
    <>
      <p class="unseen" role="status" data-spoken>{spoken.value}</p>
      <div class="toast" role="status">
        {said && (
          <p class={said.bad ? "bad" : "good"}>
            <Icon name={said.bad ? "warn" : "ok"} />
            {said.text}
            <button type="button" class="button quiet" aria-label={t("close")} onClick={() => (notice.value = null)}><Icon name="close" /></button>
          </p>
        )}
      </div>
    </>
  );
}

const firstVersion = signal<string | null>(null);

/** What the whole page should know: lines under the header, most of the time none. */
export function Banners() {
  const of = snapshot.value;
  if (!of) return null;
  firstVersion.value ??= of.version;
  const wrong = of.settings_error ?? settings.value?.file.error;
  const lines: [boolean, string, "warn" | "info"][] = [
    [of.draining, t("banner.draining"), "warn"],
    [!of.healthy, t("banner.unhealthy"), "warn"],
    [of.store_degraded, t("banner.store"), "warn"],
    [Boolean(wrong), t("banner.file", { error: wrong ?? "" }), "warn"],
    [of.version !== firstVersion.value, t("banner.version", { version: of.version }), "info"],
    [of.demo, t("banner.demo"), "info"],
  ];
  const shown = lines.filter(([on]) => on);
  if (shown.length === 0) return null;
  return (
    <ul class="banners" aria-label={t("banner.title")}>
      {shown.map(([, text, kind]) => <li key={text} class={kind}><Icon name={kind} />{text}</li>)}
    </ul>
  );
}
