/** One graph: uPlot draws it, we name it. Colours come from the style sheet, so it is made anew when the theme changes. */
import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { lang, t } from "../i18n";
import type { Row } from "../model";
import { dark } from "../theme";

export interface Line {
  name: string;
  /** A colour of the style sheet: "--accent". */
  color: string;
  data: Row;
  kind?: "line" | "area" | "bars" | "step" | "steparea";
  dash?: number[];
}

interface PlotProps {
  id: string;
  title: string;
  aside?: ComponentChildren;
  times: number[];
  lines: Line[];
  format: (value: number | null | undefined) => string;
  /** The least that the upper end of the scale shows. */
  least: number;
  most?: number;
  /** Waits reach from milliseconds to minutes: on a scale of powers, none of them hides the others. */
  powers?: boolean;
}

/** The step under the pointer, the same in all graphs; null when there is no pointer. */
const pointed = signal<number | null>(null);
const height = 132;
/** The lines of a scale of powers, in milliseconds; what is shorter lies on the first. */
const powersOf = [10, 100, 1_000, 10_000, 60_000, 600_000, 3_600_000, 36_000_000];

export function Plot({ id, title, aside, times, lines, format, least, most, powers = false }: PlotProps) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const drawn = (row: Row) => (powers ? row.map((value) => (value === null ? null : Math.max(value, powersOf[0] ?? 1))) : row);
  const data = [times, ...lines.map((line) => drawn(line.data))] as uPlot.AlignedData;
  const shape = lines.map((line) => line.name + line.color + line.kind).join();

  useEffect(() => {
    const parent = box.current;
    if (!parent) return;
    const made = new uPlot(options(parent, lines, format, powers ? powerScale(least) : plainScale(least, most)), data, parent);
    plot.current = made;
    const watch = new ResizeObserver(() => made.setSize({ width: parent.clientWidth, height }));
    watch.observe(parent);
    return () => {
      watch.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [dark.value, lang.value, shape]);
  useEffect(() => plot.current?.setData(data), [times]);

  const at = pointed.value !== null && pointed.value < times.length ? pointed.value : lastKnown(lines);
  const said = lines.map((line) => `${line.name} ${format(line.data[at])}`).join(", ");
  return (
    <figure class="graph" aria-labelledby={`${id}-title`}>
      <figcaption>
        <h3 id={`${id}-title`}>{title}</h3>
        {aside}
        <span class="legend">
          {lines.map((line) => (
            <span key={line.name}>
              <i class={`swatch swatch-${line.kind ?? "line"}`} style={{ color: `var(${line.color})` }} />
              {line.name} <b class="num">{format(line.data[at])}</b>
            </span>
          ))}
        </span>
      </figcaption>
      <div class="canvas" role="img" aria-label={`${title}: ${said}`}>
        <div ref={box} />
        {lines.every((line) => line.data.every((value) => value === null)) && <p class="no-data muted">{t("graphs.empty")}</p>}
      </div>
    </figure>
  );
}

/** The newest step of which anything is known. */
function lastKnown(lines: Line[]): number {
  return Math.max(0, ...lines.map((line) => line.data.findLastIndex((value) => value !== null)));
}

interface Scale {
  scale: uPlot.Scale;
  splits?: uPlot.Axis["splits"];
}

const plainScale = (least: number, most = Number.POSITIVE_INFINITY): Scale => ({
  scale: { range: (_, __, max) => [0, Math.min(most, Math.max(least, (max ?? 0) * 1.08))] },
});

const powerScale = (least: number): Scale => ({
  scale: { distr: 3, range: (_, __, max) => [powersOf[0] ?? 1, Math.max(least, (max ?? 0) * 1.3)] },
  splits: (_, __, min, max) => powersOf.filter((power) => power >= min && power <= max),
});

function options(parent: HTMLElement, lines: Line[], format: PlotProps["format"], { scale, splits }: Scale): uPlot.Options {
  const style = getComputedStyle(document.documentElement);
  const color = (name: string) => style.getPropertyValue(name).trim();
  const axis: uPlot.Axis = {
    stroke: color("--muted"),
    font: `11px ${style.getPropertyValue("--sans")}`,
    grid: { stroke: color("--grid"), width: 1 },
    ticks: { show: false },
  };
  const clock = new Intl.DateTimeFormat(lang.value, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  return {
    width: parent.clientWidth,
    height,
    ms: 1,
    padding: [8, 6, 0, 0],
    legend: { show: false },
    cursor: { sync: { key: "graphs" }, points: { size: 6 }, drag: { x: false, y: false }, y: false },
    scales: { y: scale },
    axes: [
      { ...axis, size: 22, gap: 2, space: 56, values: (_, ticks) => ticks.map((tick) => clock.format(tick)) },
      { ...axis, size: 46, gap: 4, space: 26, values: (_, ticks) => ticks.map((tick) => format(tick)), ...(splits ? { splits, filter: (_, all) => all } : {}) },
    ],
    series: [{}, ...lines.map((line) => series(line, color(line.color)))],
    hooks: { setCursor: [(u) => (pointed.value = u.cursor.idx ?? null)] },
  };
}

function series(line: Line, stroke: string): uPlot.Series {
  const common: uPlot.Series = { label: line.name, stroke, width: 1.75, points: { show: false }, spanGaps: false };
  if (line.dash) common.dash = line.dash;
  if (line.kind === "area" || line.kind === "steparea") common.fill = `${stroke}2e`;
  if (line.kind?.startsWith("step") && uPlot.paths.stepped) common.paths = uPlot.paths.stepped({ align: 1 });
  if (line.kind === "bars" && uPlot.paths.bars) return { ...common, width: 0, fill: stroke, paths: uPlot.paths.bars({ size: [0.8, 14] }) };
  return common;
}
