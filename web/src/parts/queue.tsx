/** Who waits: a live bar for each class, and the list. */
import { memo } from "./memo";
import { bytes, count, roundUp, span } from "../format";
import { lang, t } from "../i18n";
import { type Class, classes, type ClassQueue, type Snapshot, type Waiter } from "../model";
import { cancel, leaving } from "../steer";
import { Card, ClassMark, ConfirmButton, Empty, Icon, Meter, Since, Until } from "./ui";

export function Bars({ of }: { of: Snapshot }) {
  const l = lang.value;
  const { queue } = of;
  const byClass = new Map(queue.classes.map((each) => [each.class, each]));
  const end = roundUp(Math.max(...queue.classes.map((each) => each.waiting), 0));
  const title = (
    <>
      {t("queue.title")} · <span class="num" data-total={queue.total}>{count(queue.total, l)}</span> {t("queue.waiting")}
    </>
  );
  return (
    <Card id="queue" title={title} aside={t("queue.room", { capacity: count(queue.capacity, l), bytes: bytes(queue.bytes, l) })} class="queue">
      <div class="bars">
        <div class="bar-row bar-head" aria-hidden="true">
          <span />
          <span class="scale num"><span>0</span><span>{count(end, l)}</span></span>
          <span />
          <span>{t("queue.oldest")}</span>
          <span>{t("wait.p50")}</span>
          <span>{t("wait.p95")}</span>
        </div>
        {classes.map((name) => <Bar key={name} name={name} of={byClass.get(name)} end={end} total={of.now} />)}
      </div>
    </Card>
  );
}

/** One class. Its oldest waiter's time counts on between two snapshots, the last of which was at `total`. */
function Bar({ name, of, end, total }: { name: Class; of: ClassQueue | undefined; end: number; total: number }) {
  const waiting = of?.waiting ?? 0;
  const text = t("queue.bar", { class: name, n: waiting });
  return (
    <div class={`bar-row bar-${name.toLowerCase()}`} data-class={name}>
      <ClassMark of={name} />
      <Meter value={waiting} max={end} label={name} text={text} class={`bar ${name.toLowerCase()}`} />
      <span class="bar-count num">{count(waiting, lang.value)}</span>
      <span class="fact" data-label={t("queue.oldest")}>{waiting > 0 ? <Since at={of?.oldest_ms == null ? null : total - of.oldest_ms} /> : <span class="num">–</span>}</span>
      <span class="fact num" data-label={t("wait.p50")}>{span(of?.p50_ms)}</span>
      <span class="fact num" data-label={t("wait.p95")}>{span(of?.p95_ms)}</span>
    </div>
  );
}

export function Waiting({ of }: { of: Snapshot }) {
  const hidden = of.waiting_more > 0 ? t("waiting.more", { n: count(of.waiting_more, lang.value) }) : null;
  return (
    <Card id="waiting" title={t("waiting.title")} aside={hidden ?? t("waiting.aside")} class="waiting">
      {of.waiting.length === 0 ? (
        <Empty text={t("waiting.empty")} hint={t("waiting.emptyHint")} />
      ) : (
        <div class="scroll" role="group" aria-label={t("waiting.title")} tabIndex={0}>
          <table class="table stack">
            <thead>
              <tr>
                <th class="end">{t("waiting.place")}</th>
                <th>{t("class")}</th>
                <th>{t("agent")}</th>
                <th>{t("model")}</th>
                <th class="end">{t("waiting.waited")}</th>
                <th class="end">{t("waiting.eta")}</th>
                <th><span class="unseen">{t("waiting.cancel")}</span></th>
              </tr>
            </thead>
            <tbody>
              {of.waiting.map((each) => (
                <WaitingRow key={each.id} of={each} since={of.now - each.waited_ms} due={each.eta_ms === null ? null : of.now + each.eta_ms} leaving={leaving.value.has(each.id)} lang={lang.value} />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Card>
  );
}

interface RowProps {
  of: Waiter;
  since: number;
  due: number | null;
  leaving: boolean;
  lang: string;
}

/** A row is drawn again only when something in it has changed; its two clocks tick on their own. */
const WaitingRow = memo(
  function WaitingRow({ of, since, due, leaving: going }: RowProps) {
    return (
      <tr class={going ? "going" : undefined}>
        <td class="end num place">{of.place ?? "–"}</td>
        <td class="cell-class"><ClassMark of={of.class} /></td>
        <td class="cell-agent"><Two first={of.agent || "–"} second={of.client} /></td>
        <td class="cell-model"><Two first={of.model || "–"} second={of.repeat ? `${of.provider ?? ""} · ${t("waiting.repeat")}` : of.provider} /></td>
        <td class="end cell-waited" data-label={t("waiting.waited")}><Since at={since} /></td>
        <td class="end cell-eta" data-label={t("waiting.eta")}><Until at={due} over={t("waiting.soon")} /></td>
        <td class="end cell-act">
          <ConfirmButton class="quiet" label={<Icon name="close" />} name={t("waiting.cancelOne", { agent: of.agent || "–", model: of.model || "–" })} sure={t("waiting.sure")} busy={going} onConfirm={() => void cancel(of.id)} />
        </td>
      </tr>
    );
  },
  (a, b) =>
    a.leaving === b.leaving && a.lang === b.lang && near(a.since, b.since) && near(a.due, b.due) &&
    (["id", "class", "agent", "client", "model", "provider", "place", "repeat"] as const).every((name) => a.of[name] === b.of[name]),
);

/** Whether two computed times are the same but for the rounding of the snapshots that they come from. */
const near = (a: number | null, b: number | null) => a === b || (a !== null && b !== null && Math.abs(a - b) < 250);

export function Two({ first, second }: { first: string; second?: string | null | undefined }) {
  return (
    <span class="two">
      <span class="first" title={first}>{first}</span>
      {second && <span class="second" title={second}>{second}</span>}
    </span>
  );
}
