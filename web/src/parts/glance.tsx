/** The strip at the top: state and why, pace against its limits, and how well the quota is used. */
import type { ComponentChildren } from "preact";
import { count, percent, rate as perMinute } from "../format";
import { lang, t } from "../i18n";
import type { Rate, Snapshot } from "../model";
import { Meter, Since, StateMark } from "./ui";

export function Glance({ of }: { of: Snapshot }) {
  const l = lang.value;
  return (
    <section class="card glance" aria-label={t("glance.title")}>
      <Tile label={t("state.title")} class="tile-state">
        <div class="state-line">
          <StateMark of={of.state} big />
          {of.state_since !== null && <span class="muted">{t("state.for")} <Since at={of.state_since} /></span>}
        </div>
        <p class="why" title={of.state_reason ?? undefined}>{of.state_reason || t(`state.${of.state}`)}</p>
      </Tile>
      <Pace of={of.rate} />
      <Tile label={t("slots.title")} hint={t("slots.hint")}>
        <p class="big num">{count(of.tokens_available, l)}</p>
        <p class="muted">{t("slots.now")}</p>
      </Tile>
      <Tile label={t("utilisation.title")} hint={t("utilisation.hint")}>
        <p class="big num">{percent(of.utilisation, l)}</p>
        <Meter value={(of.utilisation ?? 0) * 100} max={100} label={t("utilisation.title")} text={percent(of.utilisation, l)} class="thin" />
      </Tile>
      <Tile label={t("refused.title")} hint={t("refused.hint")}>
        <p class="big num">{percent(of.refused_share, l)}</p>
        <p class="muted">{t("refused.of")}</p>
      </Tile>
    </section>
  );
}

interface TileProps {
  label: string;
  hint?: string;
  class?: string;
  children: ComponentChildren;
}

function Tile({ label, hint, class: extra = "", children }: TileProps) {
  return (
    <div class={`tile ${extra}`} title={hint}>
      <h2 class="label">{label}</h2>
      {children}
    </div>
  );
}

/** What is sent, on one scale with what may be: a bar, and a mark for each limit. */
function Pace({ of }: { of: Rate }) {
  const l = lang.value;
  const end = Math.max(of.sent ?? 0, of.effective ?? 0, of.ceiling ?? 0, of.configured ?? 0) * 1.12 || 1;
  const marks = [
    ["effective", of.effective],
    ["ceiling", of.ceiling],
    ["configured", of.configured],
  ] as const;
  return (
    <Tile label={t("rate.title")} hint={t("rate.hint")} class="tile-rate">
      <p class="big num effective">{perMinute(of.effective, l)}<span class="unit"> {t("rate.unit")}</span></p>
      <div class="bullet">
        <Meter value={of.sent ?? 0} max={end} label={t("rate.sent")} text={`${perMinute(of.sent, l)} ${t("rate.unit")}`} />
        {marks.map(([name, value]) => value !== null && <span key={name} class={`mark mark-${name}`} style={{ left: `${((value / end) * 100).toFixed(2)}%` }} />)}
      </div>
      <dl class="keys">
        <div class="key-sent"><dt>{t("rate.sent")}</dt><dd class="num">{perMinute(of.sent, l)}</dd></div>
        <div class="key-ceiling"><dt>{t("rate.ceiling")}</dt><dd class="num">{perMinute(of.ceiling, l)}</dd></div>
        <div class="key-configured"><dt>{t("rate.configured")}</dt><dd class="num">{perMinute(of.configured, l)}</dd></div>
      </dl>
    </Tile>
  );
}
