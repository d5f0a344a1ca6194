import type { Offer } from "../../api/consent.ts";
import type { Terminal } from "../terminal.ts";
import { offerText } from "../render/words.ts";
import type { Presenter } from "./presenter.ts";

/** Asks the person at the terminal whether a run may cost what it can; undefined where nobody sits. */
export function askOffer(
  { confirm }: Terminal,
  presenter: Presenter,
): ((offer: Offer) => Promise<boolean>) | undefined {
  if (confirm === undefined) return undefined;
  return (offer) => {
    presenter.notify({ type: "info", text: offerText(offer) });
    return confirm("Start it?");
  };
}
