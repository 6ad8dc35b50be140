// The keyboard on a graph: everything that the mouse can do.
import type { View } from "../core/view.js";
import type { Arrangement } from "./arrange.js";
import type { ArrangeBar } from "./arrangebar.js";
import type { GraphNode } from "./graph.js";
import { edgesOf, follow, neighbour } from "./navigate.js";
import type { Nodes } from "./nodes.js";
import type { Scene } from "./scene.js";
import type { Stage } from "./stage.js";

export interface BoardKeys {
  view: View;
  scene: Scene;
  stage: Stage;
  nodes: Nodes;
  arrangement: Arrangement;
  bar: ArrangeBar;
  focused: number;
  edge: number;
  member: number;
  moving: boolean;
  /** First and last node, for Home and End. */
  ends(): [number, number];
  groupUnder(node: number): string;
  nameOf(node: number): string;
  act(node: number): void;
  pressLink(edge: number): void;
  pick(edge: number, node: number): void;
  light(node: number): void;
  veiled(node: GraphNode): boolean;
  pressGroup(name: string): void;
  pickMember(member: number): void;
  nudge(node: number, dx: number, dy: number): void;
}

export const KEYS = [
  ["← → ↑ ↓", "next node in the row, the row above or below"],
  ["Shift ↑ ↓", "along the strongest edge out or in"],
  ["E, Shift E", "next or previous edge of the node"],
  ["Home, End", "first and last node"],
  ["Space", "choose the node; Shift and drag draws a loop around several"],
  ["G", "group the chosen nodes"],
  ["P, N", "pin, note (of the chosen nodes or of this one)"],
  ["F, R, X", "fold or unfold, rename, take apart the group"],
  ["M", "move mode: arrows move the node"],
  ["O, Shift O", "next or previous member of the class; Enter presses it"],
  ["Tab", "to the boxes of open groups; Enter folds"],
  ["U, Ctrl Z", "take the last arrangement back"],
  ["+ − 0", "zoom in, out, all; Ctrl and wheel zoom too"],
] as const;

const ARROWS = {
  ArrowUp: "up",
  ArrowDown: "down",
  ArrowLeft: "left",
  ArrowRight: "right",
} as const;
const STEP = 1 / 50; // of the drawing, in move mode

type Arrow = (typeof ARROWS)[keyof typeof ARROWS];

export function boardKey(board: BoardKeys, event: KeyboardEvent): void {
  const target = event.target as Element;
  if (target.closest("input, textarea")) return;
  const chord = event.ctrlKey || event.metaKey;
  if (chord && event.key === "z" && board.arrangement.canUndo) board.arrangement.undo();
  else if (chord || event.altKey) return;
  else if (!whole(board, event.key) && !onNode(board, event)) return;
  event.preventDefault();
  event.stopPropagation();
}

function whole({ stage, arrangement }: BoardKeys, key: string): boolean {
  if (key === "+" || key === "=") stage.zoom(1.4);
  else if (key === "-") stage.zoom(1 / 1.4);
  else if (key === "0") stage.fit();
  else if (key.toLowerCase() === "u") arrangement.undo();
  else return false;
  return true;
}

function onNode(board: BoardKeys, event: KeyboardEvent): boolean {
  const { focused: node, nodes, view } = board;
  if (node < 0) return false;
  const { key } = event;
  if (key in ARROWS) move(board, node, ARROWS[key as keyof typeof ARROWS], event.shiftKey);
  else if (key === "Home") nodes.focus(board.ends()[0]);
  else if (key === "End") nodes.focus(board.ends()[1]);
  else if (key === "Enter") {
    if (board.edge >= 0) board.pressLink(board.edge);
    else if (board.member >= 0) board.act(board.member);
    else board.act(node);
  } else if (key === "Escape" && (board.edge >= 0 || board.member >= 0 || board.moving)) {
    board.pickMember(-1);
    board.edge = -1;
    board.moving = false;
    board.light(node);
  } else if (key.toLowerCase() === "e") nextEdge(board, node, event.shiftKey ? -1 : 1);
  else if (key.toLowerCase() === "o") nextMember(board, node, event.shiftKey ? -1 : 1);
  else if (key.toLowerCase() === "m") {
    board.moving = !board.moving;
    view.say(board.moving ? "Move mode: arrows move the node, Escape ends it" : "Move mode off");
  } else return arranging(board, node, key.toLowerCase());
  return true;
}

function arranging(board: BoardKeys, node: number, key: string): boolean {
  const { arrangement, bar, scene } = board;
  const name = board.nameOf(node);
  const isGroup = Boolean(scene.graph.nodes[node]?.members);
  const group = board.groupUnder(node);
  const chosen = [...arrangement.chosen];
  if (key === " ") {
    if (!isGroup) arrangement.toggle(name);
  } else if (key === "g") {
    if (!chosen.length && !isGroup) arrangement.choose([name]);
    bar.askGroup();
  } else if (key === "p") arrangement.pin(chosen.length ? chosen : [name]);
  else if (key === "n") bar.askNote(name);
  else if (key === "f" && group) arrangement.fold(group);
  else if (key === "r" && group) bar.askName(group);
  else if (key === "x" && group) arrangement.ungroup(group);
  else return false;
  return true;
}

function move(board: BoardKeys, node: number, way: Arrow, along: boolean): void {
  const { scene, nodes } = board;
  if (board.moving) {
    const far = along ? 4 : 1;
    const dx = way === "left" ? -1 : way === "right" ? 1 : 0;
    const dy = way === "down" ? -1 : way === "up" ? 1 : 0;
    board.nudge(node, dx * STEP * far, dy * STEP * far);
    return;
  }
  const to =
    along && (way === "up" || way === "down")
      ? follow(scene.edges, scene.circuit, node, way)
      : neighbour(scene.layout, scene.shown, node, way);
  nodes.focus(to);
}

function nextEdge(board: BoardKeys, node: number, by: 1 | -1): void {
  const list = edgesOf(board.scene.circuit, node);
  if (!list.length) return;
  const at = list.indexOf(board.edge);
  const first = by > 0 ? 0 : list.length - 1;
  board.pick(list[at < 0 ? first : (at + by + list.length) % list.length] as number, node);
}

/** Walks through the members that a box names. */
function nextMember(board: BoardKeys, node: number, by: 1 | -1): void {
  const box = board.scene.graph.nodes[node];
  const members = box?.members ?? [];
  if (!box || !members.length || board.veiled(box)) return;
  const at = members.indexOf(board.member);
  const first = by > 0 ? 0 : members.length - 1;
  board.edge = -1;
  board.pickMember(members[at < 0 ? first : (at + by + members.length) % members.length] as number);
}

/** Keys on the box of an open group. */
export function groupKey(board: BoardKeys, group: string, event: KeyboardEvent): void {
  const { key, ctrlKey, metaKey, altKey } = event;
  if (ctrlKey || metaKey || altKey) return;
  if (key === "Enter" || key === " " || key.toLowerCase() === "f") board.pressGroup(group);
  else if (key.toLowerCase() === "r") board.bar.askName(group);
  else if (key.toLowerCase() === "x") board.arrangement.ungroup(group);
  else if (key.toLowerCase() === "n") board.bar.askNote(group);
  else return;
  event.preventDefault();
  event.stopPropagation();
}
