// Tokens: one value per token and channel, as coloured text or as bars.

import { diverging, legend, type Scale, sequential } from "../core/color.js";
import { h, num, signed, visible } from "../core/dom.js";
import { Tiles } from "../core/tiles.js";
import { Tooltip } from "../core/tooltip.js";
import { defineView, type View } from "../core/view.js";
import type { NdArray } from "../core/wire.js";
import { TokenBars } from "../tokens/bars.js";
import { ChannelBrowser } from "../tokens/browser.js";
import { addControls, MENU } from "../tokens/controls.js";
import { Phrases, type Unit } from "../tokens/phrases.js";
import type { Span } from "../tokens/span.js";
import { TokenStrip } from "../tokens/strip.js";
import {
  byMagnitude,
  divisor,
  type Normalisation,
  normalised,
  type Range,
  rangeOf,
  total,
} from "../tokens/values.js";

interface Answer {
  values: NdArray;
  name?: string;
  /** Smallest and largest finite value over all channels. */
  global: [number, number];
}

/** So many tokens can be large in full screen. */
const FEW = 60;

const KEYS = [
  ["← → ↑ ↓", "move between tokens"],
  ["Home End", "first and last token"],
  [
    "Enter, Space",
    "select the token in every view; of a text that is explained token by token, explain it",
  ],
  [
    "Shift + arrows",
    "mark words of a split by phrases; Enter makes them one phrase (also by dragging), Ctrl + Z goes back",
  ],
  ["[ ]", "previous and next channel"],
  ["Tab", "to the list of channels: arrows move, Page up and down turn, Enter shows one"],
] as const;

export default defineView("tokens", (view) => new TokensView(view).start(), {
  keys: KEYS,
  modes: true,
});

class TokensView {
  private readonly answers: Tiles<Answer>;
  private readonly strip: TokenStrip;
  private readonly bars: TokenBars;
  private readonly tip: Tooltip;
  private readonly target = h("p", { class: "iw-label iw-tokens-target" });
  private readonly main = h("div", { class: "iw-tokens-main" });
  private readonly legend = h("span", {});
  private readonly sum = h("span", {});
  private readonly phrases: Phrases;
  private browser: ChannelBrowser | undefined;
  private revision = -1;

  constructor(private readonly view: View) {
    this.answers = new Tiles(
      (key, signal) => view.request<Answer>("values", JSON.parse(key), { signal }),
      {
        done: () => this.update(),
        failed: (error) => view.report(error, () => this.update()),
        keep: 128,
      },
    );
    this.tip = new Tooltip(view.el, view.signal);
    const actions = {
      hover: (token: number | null, x: number, y: number) => this.hover(token, x, y),
      pin: (token: number) => this.pin(token),
      marking: (span: Span) => {
        this.tip.hide();
        this.phrases.offer(span);
      },
      span: view.guard((span: Span) => this.phrases.join(span)),
    };
    this.phrases = new Phrases(view);
    this.strip = new TokenStrip(actions, view.signal, true);
    this.bars = new TokenBars(actions, view.signal);
  }

  start(): void {
    const { view } = this;
    addControls(view, () => this.channel);
    this.phrases.start();
    const { spec } = view;
    const token = () => this.pinned ?? this.tokens.length - 1;
    if (spec.n_channels > MENU)
      this.browser = new ChannelBrowser(view, spec.channel_name, token, () => this.channel);
    const { strip, bars } = this;
    this.main.append(this.target, strip.pager, strip.el, bars.el, bars.note);
    view.body.append(this.main);
    if (this.browser) view.body.append(this.browser.el);
    view.body.classList.toggle("iw-tokens-browsed", this.browser !== undefined);
    view.foot.append(this.legend, this.sum);
    view.onSpec(() => this.update());
    view.onState(() => this.update());
    view.onTheme(() => this.update());
    view.onVeil(() => this.update());
    view.onHover((value) => strip.point(value?.token ?? null));
    view.onSelection(({ token }, changed) => {
      this.phrases.show();
      if (changed.has("token") && token !== null) strip.reveal(token);
      this.update();
    });
    this.main.addEventListener(
      "keydown",
      view.guard((event: KeyboardEvent) => this.key(event)),
      { signal: view.signal },
    );
    this.update();
  }

  private get channel(): number {
    const last = this.view.spec.n_channels - 1;
    return Math.min(last, Math.max(0, Number(this.view.state.channel ?? 0)));
  }

  private get pinned(): number | null {
    const { token } = this.view.selection.get();
    return token !== null && token < this.tokens.length ? token : null;
  }

  private get tokens(): readonly string[] {
    return this.view.spec.tokens;
  }

  private get targets(): number[] | null {
    return this.view.spec.targets ?? null;
  }

  /** The token that the channel in sight explains, in an attribution matrix. */
  private get subject(): number | null {
    return this.targets?.[this.channel] ?? null;
  }

  private key(event: KeyboardEvent): void {
    if (event.key === "z" && (event.ctrlKey || event.metaKey)) {
      if (!this.phrases.undo()) return;
      event.preventDefault();
      event.stopPropagation();
      return;
    }
    if ((event.key !== "[" && event.key !== "]") || event.ctrlKey || event.metaKey) return;
    const next = this.channel + (event.key === "]" ? 1 : -1);
    const known = this.view.spec.kept as [number, string][] | undefined;
    if (next < 0 || next >= this.view.spec.n_channels || known) return;
    this.view.update({ channel: next });
    event.preventDefault();
  }

  private pin(token: number): void {
    const { view } = this;
    if (view.veiled(String(token))) {
      view.reveal(String(token));
      return;
    }
    const row = this.targets?.indexOf(token) ?? -1;
    if (row >= 0 && row !== this.channel) {
      view.update({ channel: row });
      view.selection.set({ token });
      view.say(`Explaining ${visible(this.tokens[token]!)}`);
    } else view.selection.toggle({ token });
  }

  private keyOf(mode: string): string {
    return JSON.stringify({ mode, channel: this.channel });
  }

  private update(): void {
    const { view } = this;
    if (view.spec.revision !== this.revision) {
      this.revision = view.spec.revision;
      this.answers.clear();
      this.browser?.revise();
      const { values, global, name, channel } = view.first;
      if (values)
        this.answers.put(JSON.stringify({ mode: "current", channel }), { values, name, global });
      this.strip.setTokens(this.tokens);
      this.strip.choosing = this.phrases.asked !== null;
      this.main.toggleAttribute("data-iw-undoes", this.phrases.asked !== null);
      this.phrases.show();
      view.el.classList.toggle("iw-tokens-few", this.tokens.length <= FEW);
      view.note(view.spec.note ?? "", "warning", undefined, "result");
    }
    const wanted = [this.keyOf(view.mode)];
    if (view.spec.changed && view.mode === "current") wanted.push(this.keyOf("base"));
    this.answers.show(wanted);
    this.browser?.draw();
    const answer = this.answers.get(this.keyOf(view.mode));
    this.head(answer);
    const asBars = view.state.layout === "bars";
    this.strip.setLook({ wrap: view.state.wrap !== false, spaces: view.state.spaces === true });
    this.strip.el.hidden = asBars;
    this.strip.pager.classList.toggle("iw-sr", asBars);
    this.bars.el.hidden = this.bars.note.hidden = !asBars;
    if (answer) this.draw(answer, asBars);
  }

  /** What is explained, or which of many channels is shown. */
  private head(answer: Answer | undefined): void {
    const { target } = this.view.spec;
    const { subject } = this;
    const explained =
      subject !== null
        ? `What is explained: “${visible(this.tokens[subject] ?? "")}” (${subject}). Click another token to explain that one.`
        : target && `What is explained: ${target}`;
    const drag = this.phrases.asked ? ". Drag over words to make them one phrase." : "";
    const text =
      (explained && explained + drag) || (this.browser && answer?.name ? visible(answer.name) : "");
    this.target.textContent = text;
    this.target.hidden = !text;
  }

  private range(answer: Answer, values: ArrayLike<number>): Range {
    const all = this.view.state.scale === "global" && this.how === "none";
    return rangeOf(all ? answer.global : values, this.isSigned);
  }

  private get how(): Normalisation {
    return this.view.state.normalise ?? "none";
  }

  private get isSigned(): boolean {
    return this.view.mode === "difference" || Boolean(this.view.spec.signed);
  }

  private scale(range: Range): Scale {
    return this.isSigned
      ? diverging(this.view.palette, range.high)
      : sequential(this.view.palette, range.low, range.high);
  }

  private veiled(token: number): boolean {
    return this.view.veiled(String(token));
  }

  private draw(answer: Answer, asBars: boolean): void {
    const { view } = this;
    const by = divisor(answer.values.data, this.how);
    const values = new Float64Array(answer.values.data).map((v) => v / by);
    const range = this.range(answer, values);
    const scale = this.scale(range);
    const veiled = (token: number) => this.veiled(token);
    if (asBars) {
      const base = view.mode === "current" ? this.answers.get(this.keyOf("base")) : undefined;
      const was = base && new Float64Array(base.values.data).map((v) => v / by);
      const sorted = view.state.sort === "size";
      this.bars.show(this.tokens, values, range, scale, sorted, this.pinned, was ?? null, veiled);
    } else {
      const share = (v: number): number =>
        Math.min(1, Math.max(0, (v - range.low) / (range.high - range.low || 1)));
      this.strip.colour(values, scale, share, this.subject, this.pinned, veiled);
      this.strip.targets(this.targets, this.subject);
      this.strip.brackets(view.spec.units ?? []);
    }
    this.foot(values, by, scale, asBars);
  }

  private foot(values: ArrayLike<number>, by: number, scale: Scale, asBars: boolean): void {
    const { view } = this;
    const change = view.mode === "difference" ? ", current − base" : "";
    const { sum, missing } = total(values);
    const global = view.state.scale === "global" && this.how === "none";
    const marks = [
      normalised(this.how, by),
      global && `one scale for all ${view.spec.channel_name.toLowerCase()}s`,
      this.isSigned && !asBars && "hatched bar: negative",
      missing > 0 && `${missing} without a value: ${asBars ? "NaN" : "struck through"}`,
      view.spec.changed && view.mode === "current" && asBars && "line: base",
    ].filter((m): m is string => Boolean(m));
    this.legend.replaceChildren(legend(scale, `${view.spec.quantity}${change}`, marks));
    const hidden = this.tokens.some((_, i) => this.veiled(i));
    // Values of tokens that share one cannot be added up.
    this.sum.textContent =
      hidden || view.spec.units ? "" : `sum ${this.isSigned ? signed(sum) : num(sum)}`;
  }

  /** The two parts of the word or phrase that a token is in. */
  private unit(token: number): [string, string][] | undefined {
    const units = this.view.spec.units as Unit[] | null;
    const unit = this.view.mode === "current" && units?.find(({ at }) => at.includes(token));
    if (!unit) return undefined;
    const words = unit.at
      .map((i) => this.tokens[i])
      .join("")
      .trim();
    const text = this.isSigned ? signed : num;
    return [
      ["unit", words.length > 60 ? `${words.slice(0, 59)}…` : words],
      ["relevant", text(unit.score)],
      ["rest", text(unit.rest)],
      ["whole", text(unit.score + unit.rest)],
    ];
  }

  private hover(token: number | null, x: number, y: number): void {
    const { view } = this;
    const now = this.answers.get(this.keyOf(view.mode))?.values.data;
    view.hover(token === null ? null : { token });
    if (token === null || !now) {
      this.tip.leave();
      return;
    }
    const title = `“${visible(this.tokens[token] ?? "")}” (${token})`;
    if (this.veiled(token)) {
      this.tip.show(x, y, title, [["value", "hidden: predict, then click"]]);
      return;
    }
    const text = this.isSigned ? signed : num;
    const rank = byMagnitude(now).indexOf(token) + 1;
    const rows: [string, string][] = this.unit(token) ?? [[view.spec.quantity, text(now[token]!)]];
    const by = divisor(now, this.how);
    if (this.how !== "none") rows.push(["normalised", text(now[token]! / by)]);
    const was =
      view.spec.changed && view.mode === "current" ? this.answers.get(this.keyOf("base")) : null;
    if (was) rows.push(["base", text(was.values.data[token]!)]);
    rows.push(["rank by size", `${rank} of ${now.length}`]);
    this.tip.show(x, y, title, rows);
  }
}
