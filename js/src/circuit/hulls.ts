// What open groups look like: a box around the members where nothing else stands in it, else a halo
// around each; the name on top is a button.
import { s } from "../core/dom.js";
import { type Group, groupId } from "./fold.js";
import { heightOf } from "./layout.js";
import type { Scene } from "./scene.js";

const ROOM = 7;

interface Box {
  x0: number;
  y0: number;
  x1: number;
  y1: number;
}

export interface HullEvents {
  veiled(group: Group): boolean;
  press(group: Group): void;
  key(group: Group, event: KeyboardEvent): void;
  focus(group: Group): void;
}

export function hulls(
  scene: Scene,
  groups: readonly Group[],
  { veiled, press, key, focus }: HullEvents,
): SVGElement[] {
  const { graph, layout } = scene;
  const shown = new Set(scene.shown);
  const boxOf = (i: number): Box => {
    const [x, y] = [layout.x[i] as number, layout.y[i] as number];
    const [w, hh] = [(layout.boxes[i] as number) / 2, heightOf(layout, i) / 2];
    return { x0: x - w - ROOM, y0: y - hh - ROOM, x1: x + w + ROOM, y1: y + hh + ROOM };
  };
  const found: SVGElement[] = [];
  groups.forEach((group, n) => {
    if (graph.find(groupId(group.name)) >= 0) return; // folded
    const members = group.members.map((id) => graph.find(id)).filter((i) => shown.has(i));
    const first = members[0];
    if (first === undefined) return;
    const each = members.map(boxOf);
    const all: Box = {
      x0: Math.min(...each.map((b) => b.x0)),
      y0: Math.min(...each.map((b) => b.y0)),
      x1: Math.max(...each.map((b) => b.x1)),
      y1: Math.max(...each.map((b) => b.y1)),
    };
    const inside = (i: number) => {
      const [x, y] = [layout.x[i] as number, layout.y[i] as number];
      return x > all.x0 && x < all.x1 && y > all.y0 && y < all.y1;
    };
    const crowded = scene.shown.some((i) => !members.includes(i) && inside(i));
    const boxes = crowded ? each : [all];
    const top = boxes.reduce((a, b) => (b.y0 < a.y0 || (b.y0 === a.y0 && b.x0 < a.x0) ? b : a));
    const name = veiled(group) ? "?" : group.at ? `${group.name}, at ${group.at}` : group.name;
    const wide = name.length * 7.4 + 8;
    const left = Math.max(0, Math.min(top.x0, layout.width - wide)); // the whole name in sight
    const g = s("g", {
      class: `iw-hull iw-class-${n % 6}`,
      role: "button",
      tabindex: 0,
      "aria-label": `group ${name}, ${members.length} shown, press to fold`,
    });
    for (const { x0, y0, x1, y1 } of boxes)
      g.append(
        s("rect", { class: "iw-hull-box", x: x0, y: y0, width: x1 - x0, height: y1 - y0, rx: 6 }),
      );
    g.append(
      s("rect", { class: "iw-hull-name", x: left, y: top.y0 - 16, width: wide, height: 16 }),
      s("text", { x: left + 2, y: top.y0 - 4 }, name),
    );
    g.addEventListener("keydown", (event) => key(group, event));
    g.addEventListener("focus", () => focus(group));
    g.addEventListener("click", (event) => {
      event.stopPropagation();
      press(group);
    });
    found.push(g);
  });
  return found;
}
