/** Over the page while nothing comes: since when it is stale. It goes away by itself. */
import { clock, time } from "../format";
import { lang, t } from "../i18n";
import { silence, snapshot, staleSince } from "../live";
import { Icon } from "./ui";

export function Overlay() {
  const since = staleSince.value;
  if (since === null) return null;
  const seen = snapshot.value !== null;
  return (
    <div class="overlay">
      <section class="overlay-card" aria-labelledby="stale-title">
        <Icon name="warn" />
        <div>
          <h2 id="stale-title">{t(seen ? "stale.title" : "stale.never")}</h2>
          <p>
            {seen && <>{t("stale.since")} <time class="num">{time(since, lang.value, Date.now())}</time> · </>}
            <span class="num">{clock(silence.value)}</span> {t("stale.ago")}
          </p>
          <p class="muted">{t("stale.hint")}</p>
        </div>
      </section>
    </div>
  );
}
