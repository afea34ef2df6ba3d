/** Where requests go: providers, their accounts and keys, each with its health; and the place kept for batch jobs. */
import { t } from "../i18n";
import { now } from "../live";
import type { Key, Provider, Snapshot } from "../model";
import { pause } from "../steer";
import { Card, ConfirmButton, Empty, Health, Icon, Until } from "./ui";

export function Providers({ of }: { of: Snapshot }) {
  return (
    <Card id="providers" title={t("providers.title")} class="providers">
      {of.providers.length === 0 && <Empty text={t("providers.empty")} />}
      {of.providers.map((each) => <ProviderBlock key={each.name} of={each} />)}
    </Card>
  );
}

function ProviderBlock({ of }: { of: Provider }) {
  return (
    <article class="provider" aria-label={of.name}>
      <div class="provider-head">
        <h3>{of.name}</h3>
        {of.default && <span class="tag">{t("providers.default")}</span>}
        {of.paused ? <span class="tag warn"><Icon name="pause" />{t("providers.paused")}</span> : <Health good={of.healthy} yes="providers.healthy" no="providers.unhealthy" />}
        {of.breaker !== "closed" && <span class="tag warn">{t(of.breaker === "open" ? "breaker.open" : "breaker.half")}</span>}
        <span class="host muted">{of.url_host}</span>
        <ConfirmButton
          class="small"
          label={<><Icon name={of.paused ? "play" : "pause"} />{t(of.paused ? "providers.resume" : "providers.pause")}</>}
          name={t(of.paused ? "providers.resumeOne" : "providers.pauseOne", { name: of.name })}
          onConfirm={() => void pause(of.name, !of.paused)}
        />
      </div>
      <ul class="keys-list">
        {of.accounts.flatMap((account) => account.keys.map((key) => <KeyLine key={`${account.name}/${key.alias}`} account={account.name} of={key} />))}
        {of.accounts.every((account) => account.keys.length === 0) && <li class="muted">{t("keys.none")}</li>}
      </ul>
    </article>
  );
}

function KeyLine({ account, of }: { account: string; of: Key }) {
  const benched = of.benched_until !== null && of.benched_until > now.value;
  return (
    <li class="key-line">
      <span class="mono">{of.alias}</span>
      <span class="muted">{account}</span>
      {benched ? <span class="health bad"><Icon name="pause" />{t("keys.benched")} <Until at={of.benched_until} /></span> : <Health good={of.healthy} yes="keys.good" no="keys.bad" />}
      {of.reason && <span class="reason muted">{of.reason}</span>}
    </li>
  );
}

export function Batches({ of }: { of: Snapshot }) {
  return (
    <Card id="batches" title={t("batches.title")} class="batches">
      {of.batches.length === 0 ? <Empty text={t("batches.empty")} hint={t("batches.hint")} /> : <p class="big num">{of.batches.length}</p>}
    </Card>
  );
}
