// Beside an attribution graph: the selected node, what goes into it and comes out, what it stands for.
import { button } from "../core/controls.js";
import { h, num, signed, visible } from "../core/dom.js";
import type { GraphNode, Links } from "./graph.js";
import { spokenLabel } from "./graph.js";

const LISTED = 12;

export interface Card {
  type: string;
  top: string[];
  bottom: string[];
  examples: { tokens: string[]; activations: number[] }[];
}

export interface Facts {
  node: GraphNode;
  influence: number;
  activation: number;
  token: string;
}

interface Neighbours {
  links: Links;
  incoming: readonly number[];
  outgoing: readonly number[];
  press: (node: number) => void;
}

/** Inputs or outputs of a node, largest |weight| first, as buttons that go there. */
function list(title: string, edges: readonly number[], to: "from" | "to", of: Neighbours): Node {
  const { links } = of;
  const sorted = [...edges].sort(
    (a, b) => Math.abs(links.score[b] as number) - Math.abs(links.score[a] as number),
  );
  const largest = Math.abs(links.score[sorted[0] ?? 0] ?? 1) || 1;
  const rows = sorted.slice(0, LISTED).map((e) => {
    const other = links[to][e] as number;
    const weight = links.score[e] as number;
    const name = spokenLabel(links.graph.nodes[other] as GraphNode);
    const row = button("", () => of.press(other), { class: "iw-link-row" });
    row.setAttribute("aria-label", `${name}, ${signed(weight)}`);
    const share = `${((100 * Math.abs(weight)) / largest).toFixed(1)}%`;
    const bar = h("span", { class: weight < 0 ? "iw-bar-negative" : "iw-bar-positive" });
    bar.style.width = share;
    row.replaceChildren(
      h("span", { class: "iw-link-name" }, name),
      h("span", { class: "iw-link-bar" }, bar),
      h("span", { class: "iw-link-weight" }, signed(weight)),
    );
    return h("li", {}, row);
  });
  const more = sorted.length - rows.length;
  return h(
    "section",
    {},
    h("h4", {}, `${title} (${sorted.length})`),
    rows.length ? h("ul", {}, ...rows) : h("p", { class: "iw-hint" }, "none drawn"),
    more > 0 && h("p", { class: "iw-hint" }, `and ${more} weaker`),
  );
}

function words(title: string, tokens: readonly string[]): Node | null {
  if (!tokens.length) return null;
  const chips = tokens.map((t) => h("code", {}, visible(t)));
  return h("p", { class: "iw-logits" }, h("span", { class: "iw-hint" }, title), ...chips);
}

function examples(card: Card): Node | null {
  if (!card.examples.length) return null;
  const lines = card.examples.slice(0, 5).map(({ tokens, activations }) => {
    const top = Math.max(...activations.map(Math.abs), 1e-9);
    const parts = tokens.map((token, i) => {
      const a = activations[i] as number;
      const el = h("span", { title: num(a) }, token.replace(/\n/g, "↵"));
      if (a > 0) {
        el.className = "iw-lit-token";
        el.style.setProperty("--iw-share", `${Math.round((100 * a) / top)}%`);
      }
      return el;
    });
    return h("li", {}, ...parts);
  });
  return h("section", {}, h("h4", {}, "Examples"), h("ul", { class: "iw-examples" }, ...lines));
}

export function cardOf(facts: Facts, card: Card | null, of: Neighbours): Node[] {
  const { node, influence, activation, token } = facts;
  const rows: [string, string][] = [["type", card?.type ?? node.kind]];
  if (token) rows.push(["token", visible(token)]);
  if (Number.isFinite(activation)) rows.push(["activation", num(activation)]);
  if (Number.isFinite(influence)) rows.push(["cumulative influence", num(influence, 2)]);
  rows.push(["id", node.id]);
  const table = h("dl", {});
  for (const [name, value] of rows) table.append(h("dt", {}, name), h("dd", {}, value));
  const parts = [
    h("h3", {}, spokenLabel(node)),
    table,
    card && words("raises", card.top),
    card && words("lowers", card.bottom),
    list("Inputs", of.incoming, "from", of),
    list("Outputs", of.outgoing, "to", of),
    card && examples(card),
  ];
  return parts.filter((part): part is HTMLElement => part !== null);
}
