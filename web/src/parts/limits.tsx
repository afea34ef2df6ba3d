/** What holds for each account and model: windows and their countdowns, how sure it is, and what was refused. */
import { count, time } from "../format";
import { lang, maybe, t } from "../i18n";
import { now } from "../live";
import type { Limit, Snapshot, Window } from "../model";
import { Two } from "./queue";
import { Card, Empty, Meter, StateMark, Until } from "./ui";

export function Limits({ of }: { of: Snapshot }) {
  return (
    <Card id="limits" title={t("limits.title")} aside={t("limits.aside")} class="limits">
      {of.limits.length === 0 ? (
        <Empty text={t("limits.empty")} hint={t("limits.emptyHint")} />
      ) : (
        <div class="scroll" role="group" aria-label={t("limits.title")} tabIndex={0}>
          <table class="table stack">
            <thead>
              <tr>
                <th>{t("model")}</th>
                <th>{t("state.title")}</th>
                <th class="cell-windows">{t("limits.windows")}</th>
                <th>{t("limits.confidence")}</th>
                <th class="end">{t("limits.burst")}</th>
                <th class="end">{t("limits.inFlight")}</th>
                <th class="end">{t("limits.charged")}</th>
                <th class="end">{t("limits.refusals")}</th>
                <th class="end">{t("limits.lastRefusal")}</th>
              </tr>
            </thead>
            <tbody>
              {of.limits.map((each) => <LimitRow key={`${each.provider}/${each.account}/${each.model}`} of={each} />)}
            </tbody>
          </table>
        </div>
      )}
    </Card>
  );
}

function LimitRow({ of }: { of: Limit }) {
  const l = lang.value;
  const paused = of.paused_until !== null && of.paused_until > now.value;
  return (
    <tr>
      <td class="cell-scope"><Two first={of.model ?? t("limits.wholeAccount")} second={[of.provider, of.account].filter(Boolean).join(" / ")} /></td>
      <td class="cell-state" title={of.reason ?? undefined}>
        <StateMark of={of.state} />
        {paused && <span class="second">{t("limits.paused")} <Until at={of.paused_until} /></span>}
      </td>
      <td class="cell-windows">
        {of.windows.length === 0 ? <span class="muted">{t("limits.none")}</span> : of.windows.map((each) => <WindowLine key={each.period} of={each} />)}
      </td>
      <td data-label={t("limits.confidence")}>{of.confidence ? (maybe(`confidence.${of.confidence}`) ?? of.confidence) : "–"}</td>
      <td class="end num" data-label={t("limits.burst")}>{count(of.burst, l)}</td>
      <td class="end num" data-label={t("limits.inFlight")}>{count(of.in_flight, l)}{of.in_flight_max !== null && <span class="muted"> / {count(of.in_flight_max, l)}</span>}</td>
      <td class="end num" data-label={t("limits.charged")}>{count(of.charged, l)}</td>
      <td class="end num" data-label={t("limits.refusals")}>{count(of.refusals, l)}</td>
      <td class="end num" data-label={t("limits.lastRefusal")}>{of.last_refusal === null ? t("limits.never") : time(of.last_refusal, l, now.value)}</td>
    </tr>
  );
}

function WindowLine({ of }: { of: Window }) {
  const l = lang.value;
  const period = maybe(`period.${of.period}`) ?? of.period;
  const text = `${count(of.used, l)} / ${count(of.limit, l)} ${period}`;
  const source = of.learned ? t("limits.learned") : t("limits.told");
  const title = of.configured === null ? source : `${source} · ${t("limits.configured", { n: count(of.configured, l) })}`;
  const full = of.limit !== null && of.used >= of.limit;
  return (
    <div class="window" title={title}>
      <span class="window-text num">{count(of.used, l)} / <b>{count(of.limit, l)}</b> <span class="muted">{period}</span></span>
      <Meter value={of.used} max={of.limit ?? Math.max(of.used, 1)} label={t("limits.window", { period })} text={text} class={`thin ${full ? "full" : ""}`} />
      <span class="window-reset muted">{of.resets === null || of.resets <= now.value ? <span class="num">–</span> : <>{t("limits.resets")} <Until at={of.resets} /></>}</span>
    </div>
  );
}
