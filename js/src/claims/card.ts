// One claim: words, lamps, effect against random ones, tests, what became of it.
import { button, slider } from "../core/controls.js";
import { h, plural } from "../core/dom.js";
import type { View } from "../core/view.js";
import {
  type Card,
  LAMPS,
  type Numbers,
  round,
  stateOf,
  type TestRow,
  valueText,
} from "./model.js";
import { frame, histogram, line, type Mark, padded, text } from "./plot.js";
import { Reasons } from "./reasons.js";

const HEIGHT = 190;
const METRICS: Record<string, string> = {
  accuracy: "accuracy",
  logit_difference: "logit difference",
  probability: "probability of the answer",
  log_probability: "log probability of the answer",
};

export class CardView {
  readonly el = h("section", { class: "iw-cl-card" });
  private readonly reasons: Reasons;
  private width = 640;

  constructor(private readonly view: View) {
    this.reasons = new Reasons(view);
  }

  show(card: Card, numbers: Numbers, at: number, width: number): void {
    this.width = width;
    this.el.setAttribute("aria-label", `Claim: ${card.statement}`);
    this.el.replaceChildren(
      this.heading(card),
      this.lamps(card),
      h("p", { class: "iw-cl-prediction" }, h("strong", {}, "Foretold: "), card.prediction),
      this.minimum(card, at),
      this.plots(card, numbers, at),
      this.tests(card),
      this.timeline(card),
    );
  }

  private heading(card: Card): HTMLElement {
    const facts = [
      card.model,
      card.kind,
      card.hash ? `sealed as ${card.hash.slice(0, 8)}` : "",
      card.runs ? plural(card.runs, "logged run") : "",
    ];
    return h(
      "div",
      { class: "iw-cl-head" },
      h("h3", { class: "iw-cl-statement" }, `“${card.statement}”`),
      h("span", { class: `iw-cl-status iw-cl-${card.status.replaceAll(" ", "-")}` }, card.status),
      h("span", { class: "iw-cl-facts" }, facts.filter(Boolean).join(" · ")),
    );
  }

  private lamps(card: Card): HTMLElement {
    const names = this.view.spec.lamp_names as Record<string, string>;
    return h(
      "ul",
      { class: "iw-cl-lamps", "aria-label": "Lamps" },
      ...LAMPS.map((lamp) => {
        const { word, sign, cls } = stateOf(card.lamps[lamp]);
        return h(
          "li",
          { class: `iw-cl-lamp ${cls}` },
          h("span", { class: "iw-cl-bulb", "aria-hidden": "true" }, sign),
          h("span", {}, h("strong", {}, names[lamp] ?? lamp), ` ${word}`),
        );
      }),
    );
  }

  private minimum(card: Card, at: number): HTMLElement {
    const what = card.effect === "stays" ? "Most change" : "Least change";
    if (!card.can_change && !card.can_test) {
      const why = card.rows.length ? "locked by the test" : "locked";
      return h("p", { class: "iw-cl-locked" }, `${what} ${round(card.minimum)}, ${why}`);
    }
    const row = h("div", { class: "iw-cl-open" });
    if (card.can_change) {
      const top = card.metric === "accuracy" || card.metric === "probability" ? 0.99 : 10;
      let waiting: ReturnType<typeof setTimeout> | undefined;
      const move = slider(
        what,
        0.01,
        Math.max(top, card.minimum),
        card.minimum,
        (value) => {
          clearTimeout(waiting);
          waiting = setTimeout(
            this.view.guard(() =>
              this.view.request("minimum", { claim: at, value }).then(() => {}),
            ),
            250,
          );
        },
        { step: 0.01 },
      );
      row.append(move.el);
    } else row.append(h("span", {}, `${what} ${round(card.minimum)}: its inputs were opened`));
    if (card.can_test) {
      const run = button("Open the sealed inputs and test", () => {
        run.disabled = true;
        this.view.guard(() => this.view.request("test", { claim: at }).then(() => {}))();
      });
      row.append(run);
    }
    return row;
  }

  private plots(card: Card, numbers: Numbers, at: number): HTMLElement {
    const el = h("div", { class: "iw-cl-plots" });
    const drawn = [numbers.null, numbers.score, numbers.calibration.length].filter(Boolean).length;
    if (!drawn) return el;
    const columns = this.width < 620 ? 1 : drawn;
    el.style.setProperty("--iw-columns", String(columns));
    const width = Math.floor((this.width - 16 * (columns - 1)) / columns);
    if (numbers.null)
      el.append(figure("Effect beside random ones", this.effect(card, numbers, width)));
    if (numbers.score && numbers.margin)
      el.append(this.reasons.show(card, numbers, at, width, HEIGHT));
    if (numbers.calibration.length)
      el.append(figure("Failures, foretold and seen", calibration(numbers, width)));
    return el;
  }

  private effect(card: Card, numbers: Numbers, width: number): SVGSVGElement {
    const own = card.effect === "stays" ? Math.abs(card.value ?? 0) : (card.value ?? 0);
    const values = [...(numbers.null?.data ?? [])];
    const bound = card.effect === "stays" ? "most" : "least";
    const marks: Mark[] = [
      { at: card.minimum, words: `${bound} ${round(card.minimum)}`, cls: "iw-cl-bound" },
      { at: own, words: `this ${round(own)}`, cls: "iw-cl-own" },
    ];
    const metric = METRICS[card.metric] ?? card.metric;
    const word = { drops: "fall", rises: "rise", stays: "change" }[card.effect];
    return histogram(values, marks, {
      width,
      height: HEIGHT,
      xLabel: `${word} of ${metric}`,
      yLabel: "random ones",
      label:
        `${word} of ${metric}: ${round(own)} for this mechanism, ${bound} ${round(card.minimum)} foretold, ` +
        `${values.length} random ones up to ${round(Math.max(...values))}`,
    });
  }

  private tests(card: Card): HTMLElement {
    if (!card.rows.length)
      return h("p", { class: "iw-hint" }, "Not tested: the sealed inputs were not read.");
    const names = this.view.spec.lamp_names as Record<string, string>;
    const body = h("tbody");
    for (const lamp of LAMPS) {
      const rows = card.rows.filter((row) => row.lamp === lamp);
      for (const [i, row] of rows.entries())
        body.append(testRow(row, i === 0 ? (names[lamp] ?? lamp) : "", rows.length));
    }
    const heads = ["demand", "test", "had to be", "came out", "p", "verdict"];
    return table("Tests", heads, body);
  }

  private timeline(card: Card): HTMLElement {
    const events = card.timeline ?? [];
    return h(
      "details",
      { class: "iw-cl-history" },
      h(
        "summary",
        {},
        `What became of it: ${events.map((e) => e.what).join(" → ") || card.status}`,
      ),
      h(
        "ol",
        { "aria-label": "Timeline" },
        ...events.map((e) =>
          h(
            "li",
            {},
            h("time", { datetime: e.at }, e.at.replace("T", " ").replace("+00:00", " UTC")),
            h("strong", {}, ` ${e.what} `),
            h("code", {}, e.hash.slice(0, 8)),
            ` ${e.words}`,
          ),
        ),
      ),
    );
  }
}

export function figure(title: string, ...inside: Element[]): HTMLElement {
  return h("figure", { class: "iw-cl-figure" }, h("figcaption", {}, title), ...inside);
}

export function table(name: string, heads: readonly string[], body: HTMLElement): HTMLElement {
  const head = h("tr", {}, ...heads.map((word) => h("th", { scope: "col" }, word)));
  return h(
    "div",
    { class: "iw-table-scroll", tabindex: 0, role: "group", "aria-label": `${name}, table` },
    h("table", { class: "iw-cl-table" }, h("thead", {}, head), body),
  );
}

function testRow(row: TestRow, lamp: string, span: number): HTMLElement {
  const { word, sign, cls } = stateOf(row.passed);
  const told = row.passed === null && row.value !== null && !row.wanted ? "told beside" : word;
  return h(
    "tr",
    { class: lamp ? "" : "iw-cl-under" },
    lamp ? h("th", { scope: "rowgroup", rowspan: span, class: "iw-cl-lampname" }, lamp) : null,
    h("th", { scope: "row" }, row.name),
    h("td", {}, row.wanted),
    h("td", {}, h("span", { class: "iw-num" }, valueText(row, round)), h("small", {}, row.reading)),
    h("td", { class: "iw-num" }, row.p === null ? "" : pText(row.p)),
    h("td", { class: cls }, h("span", { "aria-hidden": "true" }, `${sign} `), told),
  );
}

export function pText(p: number): string {
  return p < 0.001 ? "< 0.001" : p.toFixed(3);
}

function calibration(numbers: Numbers, width: number): SVGSVGElement {
  const points = numbers.calibration;
  const [low, high] = padded([0, 1], 0.03);
  const plot = frame({
    width,
    height: HEIGHT,
    x: [low, high],
    y: [low, high],
    xLabel: "foretold",
    yLabel: "seen",
    label: points.map(([x, y, n]) => `foretold ${round(x)}, seen ${round(y)} of ${n}`).join("; "),
    xTicks: [0, 0.5, 1],
    yTicks: [0, 0.5, 1],
  });
  plot.svg.append(line(plot.x(0), plot.y(0), plot.x(1), plot.y(1), "iw-cl-rule"));
  for (const [x, y] of points) {
    const dot = document.createElementNS("http://www.w3.org/2000/svg", "circle");
    for (const [k, v] of Object.entries({ cx: plot.x(x), cy: plot.y(y), r: 4, class: "iw-cl-dot" }))
      dot.setAttribute(k, String(v));
    plot.svg.append(dot);
  }
  plot.svg.append(text(plot.x(1), plot.y(1) - 6, "as foretold", "end"));
  return plot.svg;
}
