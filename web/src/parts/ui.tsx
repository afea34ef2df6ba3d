/** The small pieces that every part of the page is made of. */
import { useSignal } from "@preact/signals";
import { Component, type ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { clock } from "../format";
import { type Key, t } from "../i18n";
import { now } from "../live";
import { type Class, classes, type State } from "../model";

const paths = {
  URGENT: "M3 8.5 8 4l5 4.5M3 13l5-4.5 5 4.5",
  HIGH: "M3 10.5 8 6l5 4.5",
  NORMAL: "M3.5 6h9M3.5 10h9",
  LOW: "M3 6l5 4.5L13 6",
  ok: "M3.5 8.5l3 3 6-7",
  down: "M8 3v9.5M4 9l4 4 4-4",
  up: "M8 13V3.5M4 7l4-4 4 4",
  close: "M4 4l8 8M12 4l-8 8",
  warn: "M8 2.5 14.5 13.5h-13zM8 6.5v3.2M8 11.6v.1",
  gear: "M2 4.5h7M13 4.5h1M2 11.5h2M8 11.5h6M11 2.8v3.4M6 9.8v3.4",
  sun: "M8 5.2a2.8 2.8 0 1 0 0 5.6 2.8 2.8 0 0 0 0-5.6M8 1.5v1.4M8 13.1v1.4M1.5 8h1.4M13.1 8h1.4M3.4 3.4l1 1M11.6 11.6l1 1M3.4 12.6l1-1M11.6 4.4l1-1",
  moon: "M13 9.6A5.6 5.6 0 0 1 6.4 3a5.6 5.6 0 1 0 6.6 6.6z",
  auto: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM8 2v12M8 5h4.6M8 8h6M8 11h4.6",
  more: "M6 3.5 10.5 8 6 12.5",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  play: "M5 3.5v9L12.5 8z",
  info: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM8 7.5v3.3M8 5.1v.1",
} as const;
export type IconName = keyof typeof paths;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d={paths[name]} />
    </svg>
  );
}

interface CardProps {
  id: string;
  title: ComponentChildren;
  aside?: ComponentChildren;
  class?: string;
  children: ComponentChildren;
}

/** A landmark with a heading. */
export function Card({ id, title, aside, class: extra = "", children }: CardProps) {
  return (
    <section id={id} class={`card ${extra}`} aria-labelledby={`${id}-title`}>
      <header class="card-head">
        <h2 id={`${id}-title`}>{title}</h2>
        {aside && <div class="card-aside">{aside}</div>}
      </header>
      {children}
    </section>
  );
}

/** Shows a sentence in place of a part that cannot be drawn, and soon tries again: what goes wrong in a part stays there. */
export class Boundary extends Component<{ part: string; children: ComponentChildren }, { broken: boolean }> {
  override state = { broken: false };
  override componentDidCatch(error: unknown) {
    console.error(error);
    this.setState({ broken: true });
    setTimeout(() => this.setState({ broken: false }), 2_000);
  }
  override render() {
    const { part, children } = this.props;
    return this.state.broken ? <div id={part} class={`card ${part}`}><Empty text={t("part.broken")} /></div> : children;
  }
}

export function Empty({ text, hint }: { text: string; hint?: string }) {
  return (
    <div class="empty">
      <p>{text}</p>
      {hint && <p class="hint">{hint}</p>}
    </div>
  );
}

/** The mark of a class: shape first, colour second. */
export function ClassMark({ of, plain = false }: { of: Class; plain?: boolean }) {
  const known = classes.includes(of);
  return (
    <span class={`class class-${known ? of.toLowerCase() : "low"}`}>
      <Icon name={known ? of : "NORMAL"} />
      {plain ? null : <span class="class-name">{of}</span>}
    </span>
  );
}

const stateIcons: Record<State, IconName> = { NORMAL: "ok", RETREAT: "down", RECOVER: "up" };

export function StateMark({ of, big = false }: { of: State; big?: boolean }) {
  const icon = stateIcons[of];
  return (
    <span class={`state state-${icon ? of.toLowerCase() : "normal"}${big ? " state-big" : ""}`}>
      <Icon name={icon ?? "warn"} />
      {of}
    </span>
  );
}

/** A yes or no that must not rest on colour alone. */
export function Health({ good, yes, no }: { good: boolean; yes: Key; no: Key }) {
  return (
    <span class={good ? "health good" : "health bad"}>
      <Icon name={good ? "ok" : "warn"} />
      {t(good ? yes : no)}
    </span>
  );
}

/** How long since, counting. */
export function Since({ at }: { at: number | null | undefined }) {
  return <span class="num">{at == null ? clock(null) : clock(now.value - at)}</span>;
}

/** How long until, counting down; `over` in the last second and after it. */
export function Until({ at, over }: { at: number | null | undefined; over?: string }) {
  const left = at == null ? null : at - now.value;
  return <span class="num">{left !== null && left < 1000 && over ? over : clock(left)}</span>;
}

interface MeterProps {
  value: number;
  max: number;
  label: string;
  text: string;
  class?: string;
}

/** A level that moves by a transform, so that the browser animates it without laying anything out again. */
export function Meter({ value, max, label, text, class: extra = "" }: MeterProps) {
  const share = max > 0 ? Math.min(1, Math.max(0, value / max)) : 0;
  const moved = share === 0 ? -102 : share * 100 - 100; // a little more than all of it, or a line of it stays to be seen
  return (
    <div class={`meter ${extra}`} role="meter" aria-label={label} aria-valuemin={0} aria-valuemax={max} aria-valuenow={Math.min(max, Math.max(0, value))} aria-valuetext={text}>
      <div class="fill" style={{ transform: `translateX(${moved.toFixed(2)}%)` }} />
    </div>
  );
}

interface ConfirmProps {
  label: ComponentChildren;
  name: string;
  sure?: string;
  class?: string;
  busy?: boolean;
  onConfirm: () => void;
}

/** A button for what cannot be taken back: the first press asks, the second does it, anything else forgets. */
export function ConfirmButton({ label, name, sure, class: extra = "", busy = false, onConfirm }: ConfirmProps) {
  const armed = useSignal(false);
  const timer = useRef(0);
  const disarm = () => {
    clearTimeout(timer.current);
    armed.value = false;
  };
  useEffect(() => disarm, []);
  const press = () => {
    if (armed.value) {
      disarm();
      onConfirm();
      return;
    }
    armed.value = true;
    timer.current = window.setTimeout(disarm, 4_000);
  };
  const asking = armed.value;
  return (
    <button
      type="button"
      class={`button ${asking ? "danger" : ""} ${extra}`}
      aria-label={asking ? `${sure ?? t("confirm")}: ${name}` : name}
      title={asking ? undefined : name}
      disabled={busy}
      onClick={press}
      onBlur={disarm}
      onKeyDown={(event) => event.key === "Escape" && asking && (event.stopPropagation(), disarm())}
    >
      {asking ? (sure ?? t("confirm")) : label}
    </button>
  );
}

interface ChoiceProps<T extends string> {
  label: string;
  of: readonly T[];
  value: T;
  name: (item: T) => ComponentChildren;
  title?: (item: T) => string;
  onChoose: (item: T) => void;
}

/** One of a few: radio buttons that look like a switch, with the keyboard of radio buttons. */
export function Choice<T extends string>({ label, of, value, name, title, onChoose }: ChoiceProps<T>) {
  const group = useId();
  return (
    <fieldset class="choice">
      <legend class="unseen">{label}</legend>
      {of.map((item) => (
        <label key={item} title={title?.(item)}>
          <input type="radio" class="unseen" name={group} value={item} checked={item === value} aria-label={title?.(item)} onChange={() => onChoose(item)} />
          <span>{name(item)}</span>
        </label>
      ))}
    </fieldset>
  );
}
