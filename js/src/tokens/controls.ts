// The toolbar of the tokens view; every control is a field of the state.
import { segmented, select, stepper, toggle } from "../core/controls.js";
import { visible } from "../core/dom.js";
import type { View } from "../core/view.js";

/** More channels than this get a stepper in the place of a menu, and the list to choose from. */
export const MENU = 40;

export function addControls(view: View, channel: () => number): void {
  const { spec } = view;
  const shows: (() => void)[] = [];
  const add = (el: HTMLElement, show: () => void) => {
    view.toolbar.append(el);
    shows.push(show);
  };
  const set = (patch: Record<string, unknown>) => view.update(patch);
  const names: string[] = spec.channels;
  const kept = spec.kept as [number, string][] | undefined;
  if (kept) {
    const options = kept.map(([i, name]) => [String(i), visible(name)] as const);
    const control = select(spec.channel_name, options, String(channel()), (i) =>
      set({ channel: Number(i) }),
    );
    add(control.el, () => control.set(String(channel())));
  } else if (spec.n_channels > MENU) {
    const control = stepper(
      spec.channel_name,
      spec.n_channels,
      channel(),
      (i) => set({ channel: i }),
      { labels: names.length ? names : undefined },
    );
    add(control.el, () => control.set(channel()));
  } else if (spec.n_channels > 1) {
    const options = names.map((name, i) => [String(i), visible(name)] as const);
    const control = select(spec.channel_name, options, String(channel()), (i) =>
      set({ channel: Number(i) }),
    );
    add(control.el, () => control.set(String(channel())));
  }
  const layout = segmented(
    "Layout",
    [
      ["text", "Text"],
      ["bars", "Bars"],
    ],
    view.state.layout ?? "text",
    (v) => set({ layout: v }),
  );
  add(layout.el, () => layout.set(view.state.layout));
  const sort = select(
    "Order",
    [
      ["position", "as read"],
      ["size", spec.signed ? "largest magnitude" : "largest"],
    ],
    view.state.sort ?? "position",
    (v) => set({ sort: v }),
  );
  add(sort.el, () => {
    sort.set(view.state.sort);
    sort.el.hidden = view.state.layout !== "bars";
  });
  const divide = select(
    "Normalise",
    [
      ["none", "no"],
      ["max", "largest = 1"],
      ["sum", "sum = 1"],
    ],
    view.state.normalise ?? "none",
    (v) => set({ normalise: v }),
  );
  add(divide.el, () => divide.set(view.state.normalise ?? "none"));
  if (spec.n_channels > 1) {
    const scale = select(
      "Scale",
      [
        ["channel", `this ${spec.channel_name.toLowerCase()}`],
        ["global", `all ${spec.channel_name.toLowerCase()}s`],
      ],
      view.state.scale ?? "channel",
      (v) => set({ scale: v }),
    );
    add(scale.el, () => {
      scale.set(view.state.scale ?? "channel");
      scale.el.hidden = (view.state.normalise ?? "none") !== "none";
    });
  }
  const wrap = toggle("Wrap", view.state.wrap !== false, (on) => set({ wrap: on }));
  const spaces = toggle("Spaces", view.state.spaces === true, (on) => set({ spaces: on }));
  wrap.el.title = "Break lines, or show the text in one line";
  spaces.el.title = "Draw white space: · space, ↵ line end, ⇥ tab";
  add(wrap.el, () => wrap.set(view.state.wrap !== false));
  add(spaces.el, () => spaces.set(view.state.spaces === true));
  const show = () => {
    for (const each of shows) each();
    wrap.el.hidden = spaces.el.hidden = view.state.layout === "bars";
  };
  view.onState(show);
  show();
}
