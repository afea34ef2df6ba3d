/** What has just been served: where each request's time went. */
import { useSignal } from "@preact/signals";
import { count, span, time } from "../format";
import { lang, maybe, t } from "../i18n";
import { now } from "../live";
import type { Request, Snapshot } from "../model";
import { timeline } from "../timeline";
import { Two } from "./queue";
import { Card, ClassMark, Empty, Icon } from "./ui";

export function Requests({ of }: { of: Snapshot }) {
  return (
    <Card id="requests" title={t("requests.title")} aside={<Legend />} class="requests">
      {of.requests.length === 0 ? (
        <Empty text={t("requests.empty")} hint={t("requests.emptyHint")} />
      ) : (
        <div class="scroll" role="group" aria-label={t("requests.title")} tabIndex={0}>
          <table class="table stack">
            <thead>
              <tr>
                <th>{t("requests.started")}</th>
                <th>{t("class")}</th>
                <th>{t("agent")}</th>
                <th>{t("model")}</th>
                <th>{t("requests.status")}</th>
                <th class="cell-line">{t("requests.line")}</th>
                <th class="end">{t("requests.queued")}</th>
                <th class="end">{t("requests.firstByte")}</th>
                <th class="end">{t("requests.total")}</th>
                <th class="end">{t("requests.tokens")}</th>
                <th><span class="unseen">{t("requests.details")}</span></th>
              </tr>
            </thead>
            <tbody>{of.requests.map((each) => <RequestRow key={each.id} of={each} />)}</tbody>
          </table>
        </div>
      )}
    </Card>
  );
}

function Legend() {
  return (
    <span class="legend">
      {(["queued", "refused", "silent", "answer"] as const).map((kind) => (
        <span key={kind}><i class={`swatch seg-${kind}`} />{t(`line.${kind}`)}</span>
      ))}
    </span>
  );
}

function RequestRow({ of }: { of: Request }) {
  const open = useSignal(false);
  const l = lang.value;
  const tokens = of.input_tokens === null && of.output_tokens === null ? "–" : `${count(of.input_tokens, l)} / ${count(of.output_tokens, l)}`;
  return (
    <>
      <tr class={open.value ? "opened" : undefined}>
        <td class="num cell-time">{time(of.started, l, now.peek())}</td>
        <td class="cell-class"><ClassMark of={of.class} /></td>
        <td class="cell-agent"><Two first={of.agent || "–"} /></td>
        <td class="cell-model"><Two first={of.model || "–"} /></td>
        <td class="cell-status"><Status of={of} /></td>
        <td class="cell-line"><Line of={of} /></td>
        <td class="end num" data-label={t("requests.queued")}>{span(of.queued_ms)}</td>
        <td class="end num" data-label={t("requests.firstByte")}>{span(of.first_byte_ms)}</td>
        <td class="end num" data-label={t("requests.total")}>{span(of.total_ms)}</td>
        <td class="end num" data-label={t("requests.tokens")}>{tokens}</td>
        <td class="end cell-act">
          <button type="button" class="button quiet" aria-expanded={open.value} aria-label={t("requests.detailsOf", { id: of.id })} onClick={() => (open.value = !open.value)}>
            <Icon name="more" />
          </button>
        </td>
      </tr>
      {open.value && <Details of={of} />}
    </>
  );
}

function Status({ of }: { of: Request }) {
  const good = of.status >= 200 && of.status < 400;
  return (
    <span class={`status ${good ? "good" : "bad"}`}>
      <span class="num">{of.status || "–"}</span>
      {of.reason && <span class="second" title={of.reason}>{of.reason}</span>}
    </span>
  );
}

/** The time line, in proportion; the numbers beside it say how long. */
function Line({ of }: { of: Request }) {
  const parts = timeline(of);
  const said = [`${t("line.queued")} ${span(of.queued_ms)}`, ...of.attempts.map((each) => `${outcome(each.outcome)} ${span(each.took_ms)}`), `${t("requests.total")} ${span(of.total_ms)}`];
  return (
    <div class="line" role="img" aria-label={said.join(", ")} title={said.join(" · ")}>
      {parts.map((part, i) => <span key={i} class={`seg seg-${part.kind}`} style={{ left: `${part.from}%`, width: `${part.width}%` }} />)}
    </div>
  );
}

const outcome = (word: string) => maybe(`outcome.${word}`) ?? word;

function Details({ of }: { of: Request }) {
  const facts: [string, string | null][] = [
    [t("requests.id"), of.id],
    [t("requests.path"), of.path],
    [t("provider"), of.provider],
    [t("requests.key"), of.key],
    [t("requests.mode"), t(of.stream ? "requests.stream" : "requests.whole")],
  ];
  return (
    <tr class="details">
      <td colSpan={11}>
        <dl class="facts">
          {facts.map(([name, value]) => value && <div key={name}><dt>{name}</dt><dd class="mono">{value}</dd></div>)}
        </dl>
        {of.attempts.length > 0 && (
          <ol class="attempts">
            {of.attempts.map((each, i) => (
              <li key={i}>
                <span class="num">+{span(each.at_ms)}</span> {outcome(each.outcome)} <span class="muted num">{span(each.took_ms)}</span>
              </li>
            ))}
          </ol>
        )}
      </td>
    </tr>
  );
}
