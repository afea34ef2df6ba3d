/** Four graphs over one of four ranges. */
import { useSignal } from "@preact/signals";
import { count, percent, rate, span } from "../format";
import { chooseRange, history, historyProblem, range } from "../history";
import { lang, t } from "../i18n";
import { classes, ranges, type Row, type Series } from "../model";
import { type Line, Plot } from "./plot";
import { Card, Choice, Empty } from "./ui";

export function Graphs() {
  const got = history.value;
  const aside = <Choice label={t("graphs.range")} of={ranges} value={range.value} name={(each) => t(`range.${each}`)} onChoose={chooseRange} />;
  return (
    <Card id="graphs" title={t("graphs.title")} aside={aside} class="graphs">
      {got ? <Four of={got.series} step={got.step_s} /> : historyProblem.value ? <Empty text={t("graphs.failed")} hint={historyProblem.value.message} /> : <Empty text={t("loading")} />}
    </Card>
  );
}

const dashes = { URGENT: [], HIGH: [8, 3], NORMAL: [], LOW: [2, 3] };

function Four({ of, step }: { of: Series; step: number }) {
  const l = lang.value;
  const which = useSignal<"p50" | "p95">("p95");
  const waits = which.value === "p50" ? of.wait_p50 : of.wait_p95;
  const blank: Row = of.t.map(() => null);
  const perClass: Line[] = classes.map((each) => ({ name: each, color: `--${each.toLowerCase()}`, data: waits[each] ?? blank, dash: dashes[each] }));
  const each = step < 60 ? t("graphs.seconds", { n: step }) : t("graphs.minutes", { n: Math.round(step / 60) });
  return (
    <div class="graph-grid">
      <Plot id="graph-grants" title={t("graphs.grants")} aside={<span class="muted">{each}</span>} times={of.t} least={4} format={(v) => count(v, l)} lines={[
        { name: t("graphs.granted"), color: "--accent", data: of.granted, kind: "steparea" },
        { name: t("graphs.refused"), color: "--bad", data: of.refused, kind: "bars" },
      ]} />
      <Plot id="graph-rate" title={t("graphs.rate")} aside={<span class="muted">{t("rate.unit")}</span>} times={of.t} least={5} format={(v) => rate(v, l)} lines={[
        { name: t("graphs.effective"), color: "--accent", data: of.rate, kind: "area" },
        { name: t("rate.ceiling"), color: "--strong", data: of.ceiling, kind: "step", dash: [5, 3] },
      ]} />
      <Plot id="graph-wait" title={t("graphs.wait")} times={of.t} least={1000} powers format={span} lines={perClass} aside={
        <Choice label={t("graphs.which")} of={["p50", "p95"] as const} value={which.value} name={(p) => t(`wait.${p}`)} onChoose={(p) => (which.value = p)} />
      } />
      <Plot id="graph-utilisation" title={t("utilisation.title")} times={of.t} least={1} most={1.25} format={(v) => percent(v, l)} lines={[
        { name: t("utilisation.title"), color: "--accent", data: of.utilisation, kind: "area" },
      ]} />
    </div>
  );
}
