/** The page: what is at a glance first, what explains it below, what changes it at the side. */
import { lang, t } from "./i18n";
import { snapshot, staleSince } from "./live";
import { Glance } from "./parts/glance";
import { Graphs } from "./parts/graphs";
import { Header } from "./parts/header";
import { Limits } from "./parts/limits";
import { Banners, Notices } from "./parts/notices";
import { Overlay } from "./parts/overlay";
import { Batches, Providers } from "./parts/providers";
import { Bars, Waiting } from "./parts/queue";
import { Requests } from "./parts/requests";
import { Panel } from "./parts/settings";
import { Boundary } from "./parts/ui";

export function App() {
  const of = snapshot.value;
  const stale = staleSince.value !== null;
  return (
    <>
      <Header />
      <main id="main" tabIndex={-1} class={stale ? "stale" : undefined} inert={stale} aria-busy={of === null}>
        <Banners />
        {of === null ? (
          <Loading />
        ) : (
          <>
            <Boundary part="glance"><Glance of={of} /></Boundary>
            <Boundary part="queue"><Bars of={of} /></Boundary>
            <Boundary part="waiting"><Waiting of={of} /></Boundary>
            <Boundary part="limits"><Limits of={of} /></Boundary>
            <Boundary part="graphs"><Graphs /></Boundary>
            <Boundary part="requests"><Requests of={of} /></Boundary>
            <Boundary part="providers"><Providers of={of} /></Boundary>
            <Boundary part="batches"><Batches of={of} /></Boundary>
            <Foot version={of.version} />
          </>
        )}
      </main>
      <Overlay />
      <Notices />
      <Panel />
    </>
  );
}

function Loading() {
  return (
    <>
      <p class="unseen">{t("loading")}</p>
      {["glance", "queue", "waiting", "limits"].map((name) => <div key={name} class={`card bone ${name}`} aria-hidden="true" />)}
    </>
  );
}

function Foot({ version }: { version: string }) {
  return (
    <p class="foot muted" lang={lang.value}>
      nim-sidecar {version} · {t("foot.docs")} <a href="api/openapi.yaml">openapi.yaml</a>
    </p>
  );
}
