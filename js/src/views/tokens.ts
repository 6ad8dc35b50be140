// Tokens: one value per token and channel, as coloured text or as bars.

import { diverging, legend, type Scale, sequential } from "../core/color.js";
import { segmented, select, stepper } from "../core/controls.js";
import { h, num, signed, visible } from "../core/dom.js";
import { Tiles } from "../core/tiles.js";
import { Tooltip } from "../core/tooltip.js";
import { defineView, type View } from "../core/view.js";
import type { NdArray } from "../core/wire.js";
import { TokenBars } from "../tokens/bars.js";
import { TokenStrip } from "../tokens/strip.js";
import { byMagnitude, type Normalisation, type Range, rangeOf, total } from "../tokens/values.js";

interface Answer {
  values: NdArray;
  /** Smallest and largest finite value over all channels. */
  global: [number, number];
}

const KEYS = [
  ["← → ↑ ↓", "move between tokens"],
  ["Home End", "first and last token"],
  ["Enter, Space", "select the token in every view"],
] as const;

/** More channels than this get a stepper in the place of a menu. */
const MENU = 40;

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
  private readonly legend = h("span", {});
  private readonly sum = h("span", {});
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
      pin: (token: number) => view.selection.toggle({ token }),
    };
    this.strip = new TokenStrip(actions, view.signal, true);
    this.bars = new TokenBars(actions, view.signal);
  }

  start(): void {
    const { view } = this;
    this.controls();
    view.body.append(this.target, this.strip.pager, this.strip.el, this.bars.el, this.bars.note);
    view.foot.append(this.legend, this.sum);
    view.onSpec(() => this.update());
    view.onState(() => this.update());
    view.onTheme(() => this.update());
    view.onSelection(({ token }, changed) => {
      if (changed.has("token") && token !== null) this.strip.reveal(token);
      this.update();
    });
    this.update();
  }

  private get channel(): number {
    const last = this.view.spec.channels.length - 1;
    return Math.min(last, Math.max(0, Number(this.view.state.channel ?? 0)));
  }

  private get pinned(): number | null {
    const { token } = this.view.selection.get();
    return token !== null && token < this.view.spec.tokens.length ? token : null;
  }

  private get tokens(): readonly string[] {
    return this.view.spec.tokens;
  }

  private controls(): void {
    const { view } = this;
    const { channels, signed: sign } = view.spec;
    if (channels.length > 1) {
      const set = (channel: number): void => view.update({ channel });
      const options = channels.map((name: string, i: number) => [String(i), visible(name)]);
      const control =
        channels.length <= MENU
          ? select(view.spec.channel_name, options, String(this.channel), (i) => set(Number(i)))
          : stepper(view.spec.channel_name, channels.length, this.channel, set, {
              labels: channels,
            });
      view.toolbar.append(control.el);
      view.onState(() =>
        control.set((channels.length <= MENU ? String(this.channel) : this.channel) as never),
      );
      const scale = select(
        "Scale",
        [
          ["channel", "this channel"],
          ["global", "all channels"],
        ],
        view.state.normalise ?? "channel",
        (normalise) => view.update({ normalise }),
      );
      view.toolbar.append(scale.el);
      view.onState(() => scale.set(view.state.normalise));
    }
    const layout = segmented(
      "Layout",
      [
        ["text", "Text"],
        ["bars", "Bars"],
      ],
      view.state.layout ?? "text",
      (v) => view.update({ layout: v }),
    );
    const sort = select(
      "Order",
      [
        ["position", "as read"],
        ["size", sign ? "largest magnitude" : "largest"],
      ],
      view.state.sort ?? "position",
      (v) => view.update({ sort: v }),
    );
    view.toolbar.append(layout.el, sort.el);
    const show = (): void => {
      layout.set(view.state.layout);
      sort.set(view.state.sort);
      sort.el.hidden = view.state.layout !== "bars";
    };
    view.onState(show);
    show();
  }

  private key(mode: string): string {
    return JSON.stringify({ mode, channel: this.channel });
  }

  private update(): void {
    const { view } = this;
    if (view.spec.revision !== this.revision) {
      this.revision = view.spec.revision;
      this.answers.clear();
      const { values, global, channel } = view.first;
      if (values)
        this.answers.put(JSON.stringify({ mode: "current", channel }), { values, global });
      this.strip.setTokens(this.tokens);
      view.note(view.spec.note ?? "", "warning", undefined, "result");
    }
    const wanted = [this.key(view.mode)];
    if (view.spec.changed && view.mode === "current") wanted.push(this.key("base"));
    this.answers.show(wanted);
    const { target } = view.spec;
    this.target.textContent = target ? `What is explained: ${target}` : "";
    this.target.hidden = !target;
    const answer = this.answers.get(this.key(view.mode));
    const asBars = view.state.layout === "bars";
    this.strip.el.hidden = asBars;
    this.strip.pager.classList.toggle("iw-sr", asBars);
    this.bars.el.hidden = this.bars.note.hidden = !asBars;
    if (answer) this.draw(answer, asBars);
  }

  private range(answer: Answer): Range {
    const sign = this.isSigned;
    const all = (this.view.state.normalise ?? "channel") as Normalisation;
    return rangeOf(all === "global" ? answer.global : answer.values.data, sign);
  }

  private get isSigned(): boolean {
    return this.view.mode === "difference" || Boolean(this.view.spec.signed);
  }

  private scale(range: Range): Scale {
    return this.isSigned
      ? diverging(this.view.palette, range.high)
      : sequential(this.view.palette, range.low, range.high);
  }

  private draw(answer: Answer, asBars: boolean): void {
    const values = answer.values.data;
    const range = this.range(answer);
    const scale = this.scale(range);
    if (asBars) {
      const was =
        this.view.mode === "current" ? this.answers.get(this.key("base"))?.values.data : null;
      const sorted = this.view.state.sort === "size";
      this.bars.show(this.tokens, values, range, scale, sorted, this.pinned, was ?? null);
    } else {
      const share = (v: number): number =>
        Math.min(1, Math.max(0, (v - range.low) / (range.high - range.low || 1)));
      this.strip.colour(values, scale, share, null, this.pinned);
    }
    const what =
      this.view.mode === "difference"
        ? `${this.view.spec.quantity}, current − base`
        : this.view.spec.quantity;
    const { sum, missing } = total(values);
    const marks = [
      this.isSigned && !asBars && "hatched bar: negative",
      missing > 0 && `${missing} without a value: ${asBars ? "NaN" : "struck through"}`,
      this.view.spec.changed && this.view.mode === "current" && asBars && "line: base",
    ].filter((m): m is string => Boolean(m));
    this.legend.replaceChildren(legend(scale, what, marks));
    this.sum.textContent = `sum ${this.isSigned ? signed(sum) : num(sum)}`;
  }

  private hover(token: number | null, x: number, y: number): void {
    const { view } = this;
    const now = this.answers.get(this.key(view.mode))?.values.data;
    if (token === null || !now) {
      this.tip.leave();
      return;
    }
    const text = this.isSigned ? signed : num;
    const rank = byMagnitude(now).indexOf(token) + 1;
    const rows: [string, string][] = [[view.spec.quantity, text(now[token]!)]];
    const was =
      view.spec.changed && view.mode === "current" ? this.answers.get(this.key("base")) : undefined;
    if (was) rows.push(["base", text(was.values.data[token]!)]);
    rows.push(["rank by size", `${rank} of ${now.length}`]);
    this.tip.show(x, y, `“${visible(this.tokens[token] ?? "")}” (${token})`, rows);
  }
}
