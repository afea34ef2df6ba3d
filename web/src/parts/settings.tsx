/** The panel at the side: what may change while running, who changed it, and the brakes. */
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { token } from "../api";
import { time } from "../format";
import { changed, check, type Field, fieldOf, patch, show } from "../form";
import { lang, maybe, t } from "../i18n";
import { now, snapshot } from "../live";
import type { Settings } from "../model";
import { change, readSettings, settings, settingsFields, settingsProblem } from "../settings";
import { drain, panel, tokenWanted } from "../steer";
import { ConfirmButton, Empty, Icon } from "./ui";

export function Panel() {
  const dialog = useRef<HTMLDialogElement>(null);
  const open = panel.value;
  useEffect(() => {
    if (open) dialog.current?.showModal();
    else dialog.current?.close();
  }, [open]);
  const close = () => {
    panel.value = false;
  };
  return (
    <dialog ref={dialog} class="panel" aria-labelledby="settings-title" onClose={close} onClick={(event) => event.target === dialog.current && close()}>
      {open && (
        <div class="panel-body">
          <header class="panel-head">
            <h2 id="settings-title">{t("settings.title")}</h2>
            <button type="button" class="button quiet" aria-label={t("close")} onClick={close}><Icon name="close" /></button>
          </header>
          <Content />
        </div>
      )}
    </dialog>
  );
}

function Content() {
  const got = settings.value;
  if (!got) return settingsProblem.value ? <Failed /> : <Empty text={t("loading")} />;
  return (
    <>
      <Form of={got} />
      <Brakes />
      <Token />
      <Changes of={got} />
    </>
  );
}

function Failed() {
  return (
    <>
      <Empty text={t("settings.failed")} hint={settingsProblem.value?.message ?? ""} />
      <button type="button" class="button" onClick={() => void readSettings()}>{t("again")}</button>
      <Token />
    </>
  );
}

/** Drain has a button of its own, and so has a provider's pause. */
const hasButton = (of: Field) => of.word === "drain" || of.word.endsWith(".paused");

function Form({ of }: { of: Settings }) {
  const edits = useSignal<ReadonlyMap<string, string>>(new Map());
  const errors = useSignal<ReadonlyMap<string, string>>(new Map());
  const general = useSignal<string | null>(null);
  const busy = useSignal(false);
  const form = useRef<HTMLFormElement>(null);
  const all = settingsFields.value.filter((each) => !hasButton(each));
  const touched = changed(all, edits.value);

  const edit = (path: string, text: string) => {
    edits.value = new Map(edits.value).set(path, text);
    const rest = new Map(errors.value);
    rest.delete(path);
    errors.value = rest;
  };
  const fail = (found: Map<string, string>) => {
    errors.value = found;
    queueMicrotask(() => requestAnimationFrame(() => form.current?.querySelector<HTMLElement>("[aria-invalid=true]")?.focus()));
  };
  const reset = () => {
    edits.value = new Map();
    errors.value = new Map();
    general.value = null;
  };
  const apply = async (event: Event) => {
    event.preventDefault();
    if (touched.length === 0 || busy.value) return;
    general.value = null;
    const found = new Map<string, string>();
    for (const each of touched) {
      const error = check(each, edits.value.get(each.path) ?? "");
      if (error) found.set(each.path, t(error.key, error.values));
    }
    if (found.size > 0) return fail(found);
    busy.value = true;
    const problem = await change(patch(all, edits.value));
    busy.value = false;
    if (!problem) {
      reset();
      general.value = t("settings.applied", { version: settings.value?.version ?? 0 });
      return;
    }
    if (problem.status === 401) {
      tokenWanted.value = true;
      return;
    }
    const names = snapshot.value?.providers.map((each) => each.name) ?? [];
    const at = fieldOf(problem.param, all, names);
    if (at) fail(new Map([[at.path, problem.message]]));
    else general.value = problem.status === 409 ? t("settings.conflict") : problem.status === 0 ? t("error.network") : problem.message;
  };

  return (
    <form ref={form} class="settings" noValidate onSubmit={apply}>
      {of.read_only && <p class="note warn"><Icon name="warn" />{t("settings.readOnly")}</p>}
      {of.file.error && <p class="note warn"><Icon name="warn" />{t("banner.file", { error: of.file.error })}</p>}
      {groups(all).map(([name, members]) => (
        <fieldset key={name} class="group" disabled={of.read_only || busy.value}>
          <legend>{groupName(name, members)}</legend>
          {members.map((each) => (
            <Input key={each.path} of={each} text={edits.value.get(each.path) ?? show(each.value)} edited={touched.includes(each)} error={errors.value.get(each.path)} onEdit={(text) => edit(each.path, text)} />
          ))}
        </fieldset>
      ))}
      <div class="apply">
        <p role="status">{general.value ?? (touched.length > 0 ? t("settings.unsaved", { n: touched.length }) : "")}</p>
        <button type="button" class="button" disabled={touched.length === 0 || busy.value} onClick={reset}>{t("settings.reset")}</button>
        <button type="submit" class="button primary" disabled={touched.length === 0 || busy.value}>{t("settings.apply")}</button>
      </div>
    </form>
  );
}

/** Fields under the first step of their path, or under the name of what they belong to. */
function groups(all: Field[]): [string, Field[]][] {
  const out = new Map<string, Field[]>();
  for (const each of all) {
    const name = each.named ? each.steps.slice(0, 2).join(" ") : (each.steps[0] ?? "");
    out.set(name, [...(out.get(name) ?? []), each]);
  }
  return [...out];
}

function groupName(name: string, members: Field[]): string {
  const first = members[0];
  const list = first?.steps[0] ?? name;
  const word = maybe(`group.${list}`) ?? list;
  return first?.named ? `${word} ${first.steps[1]}` : word;
}

interface InputProps {
  of: Field;
  text: string;
  edited: boolean;
  error: string | undefined;
  onEdit: (text: string) => void;
}

function Input({ of, text, edited, error, onEdit }: InputProps) {
  const id = `set-${of.path}`;
  const help = maybe(`setting.${of.word}.help`) ?? (lang.value === "en" ? of.schema.description : undefined);
  const common = {
    id,
    "aria-invalid": error ? ("true" as const) : undefined,
    "aria-describedby": `${error ? `${id}-error ` : ""}${id}-help`,
  };
  const typed = (event: Event) => onEdit((event.target as HTMLInputElement).value);
  return (
    <div class={`field ${edited ? "edited" : ""}`}>
      <label for={id}>{maybe(`setting.${of.word}`) ?? of.word}<code>{of.named ? of.steps.slice(2).join(".") : of.path}</code></label>
      {of.kind === "choice" ? (
        <select {...common} value={text} onChange={typed}>
          {!of.choices.includes(text) && <option value={text}>{text || "–"}</option>}
          {of.choices.map((choice) => <option key={choice} value={choice}>{choice}</option>)}
        </select>
      ) : of.kind === "switch" ? (
        <select {...common} value={text || "false"} onChange={typed}>
          <option value="true">{t("yes")}</option>
          <option value="false">{t("no")}</option>
        </select>
      ) : (
        <input {...common} type="text" inputMode={of.kind === "number" ? "numeric" : undefined} spellcheck={false} autocomplete="off" value={text} placeholder={t("settings.unset")} onInput={typed} />
      )}
      {error && <p class="error" id={`${id}-error`}><Icon name="warn" />{error}</p>}
      <p class="hint" id={`${id}-help`}>{help}</p>
    </div>
  );
}

function Brakes() {
  const draining = snapshot.value?.draining ?? false;
  return (
    <section class="group" aria-labelledby="drain-title">
      <h3 id="drain-title">{t("drain.title")}</h3>
      <p class="hint">{t("drain.hint")}</p>
      <ConfirmButton class={draining ? "primary" : ""} label={t(draining ? "drain.stop" : "drain.start")} name={t(draining ? "drain.stop" : "drain.start")} onConfirm={() => void drain(!draining)} />
    </section>
  );
}

function Token() {
  const wanted = tokenWanted.value;
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => {
    if (wanted) input.current?.focus();
  }, [wanted]);
  return (
    <section class={`group ${wanted ? "wanted" : ""}`} aria-labelledby="token-title">
      <h3 id="token-title">{t("token.title")}</h3>
      {wanted && <p class="error" role="alert"><Icon name="warn" />{t("token.wanted")}</p>}
      <form onSubmit={(event) => event.preventDefault()}>
        <label class="unseen" for="token">{t("token.title")}</label>
        <input ref={input} id="token" type="password" autofocus={wanted} autocomplete="off" value={token.value} onInput={(event) => {
          token.value = event.currentTarget.value.trim();
          tokenWanted.value = false;
        }} />
      </form>
      <p class="hint">{t("token.hint")}</p>
    </section>
  );
}

function Changes({ of }: { of: Settings }) {
  const l = lang.value;
  return (
    <section class="group" aria-labelledby="changes-title">
      <h3 id="changes-title">{t("changes.title")}</h3>
      {of.changed.length === 0 && <p class="hint">{t("changes.none")}</p>}
      <ul class="changes">
        {of.changed.map((each) => (
          <li key={`${each.at} ${each.by}`}>
            <span class="num">{time(each.at, l, now.value)}</span> <b>{each.by}</b>
            <span class="mono">{each.keys.join(", ")}</span>
          </li>
        ))}
      </ul>
      <p class="hint">
        {t("changes.version", { version: of.version })}
        {of.file.path_known && of.file.read !== null && ` ${t("changes.file", { time: time(of.file.read, l, now.value) })}`}
        {` ${t("changes.lasting")}`}
      </p>
    </section>
  );
}
