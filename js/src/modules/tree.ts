// The module tree as rows: repeated blocks folded into one, filtered, opened and closed.

export interface ModuleNode {
  name: string;
  path: string;
  class: string;
  parameters: number;
  shape: readonly number[] | string | null;
  sites: readonly string[];
  children: readonly ModuleNode[];
}

export interface Row {
  /** Unique: the path, or the path of a run with its end. */
  key: string;
  node: ModuleNode;
  /** Name shown: `h`, or `h.1 … h.11`. */
  name: string;
  depth: number;
  /** Number of identical siblings this row stands for. */
  count: number;
  /** The sibling that the folded ones equal, for example `0`. */
  like: string;
  hasChildren: boolean;
  open: boolean;
  position: number;
  siblings: number;
  matches: boolean;
}

/** Everything about a module but its own name and path; equal text means an equal module. */
export function signature(node: ModuleNode, memo = new Map<ModuleNode, string>()): string {
  const known = memo.get(node);
  if (known !== undefined) return known;
  const own = JSON.stringify([node.class, node.parameters, node.shape, siteKinds(node)]);
  const text = `${own}(${node.children.map((c) => c.name + signature(c, memo)).join()})`;
  memo.set(node, text);
  return text;
}

/** Site names without their layer, so that blocks of different layers compare equal. */
const siteKinds = (node: ModuleNode): string[] =>
  node.sites.map((site) => site.replace(/[\s.]?\d+$/, ""));

interface Item {
  key: string;
  name: string;
  nodes: readonly ModuleNode[];
  like: string;
}

/** Children with runs of at least three equal siblings split into the first and the rest. */
export function foldChildren(node: ModuleNode, memo = new Map<ModuleNode, string>()): Item[] {
  const items: Item[] = [];
  const { children } = node;
  for (let i = 0; i < children.length; ) {
    let end = i + 1;
    const text = children[i]!.children.length ? signature(children[i]!, memo) : "";
    while (text && end < children.length && signature(children[end]!, memo) === text) end++;
    items.push(single(children[i]!));
    if (end - i >= 3) {
      const run = children.slice(i + 1, end);
      items.push({
        key: `${run[0]!.path}…${run[run.length - 1]!.name}`,
        name: `${run[0]!.name} … ${run[run.length - 1]!.name}`,
        nodes: run,
        like: children[i]!.name,
      });
    } else for (let j = i + 1; j < end; j++) items.push(single(children[j]!));
    i = end;
  }
  return items;
}

const single = (node: ModuleNode): Item => ({
  key: node.path || node.name,
  name: node.name,
  nodes: [node],
  like: "",
});

export function keyOf(node: ModuleNode): string {
  return node.path || node.name;
}

function textOf(node: ModuleNode): string {
  return `${node.path} ${node.name} ${node.class} ${node.sites.join(" ")}`.toLocaleLowerCase();
}

const wordsOf = (filter: string): string[] =>
  filter.trim().toLocaleLowerCase().split(/\s+/).filter(Boolean);

/** How many modules a filter finds, those in folded blocks included. */
export function matching(root: ModuleNode, filter: string): number {
  const words = wordsOf(filter);
  const count = (node: ModuleNode): number => {
    const text = textOf(node);
    const own = words.every((w) => text.includes(w)) ? 1 : 0;
    return node.children.reduce((n, child) => n + count(child), own);
  };
  return count(root);
}

/**
 * Rows in order. With a filter, rows that match and their ancestors, all open, nothing folded
 * unless the whole run matches alike.
 */
export function treeRows(root: ModuleNode, open: ReadonlySet<string>, filter = ""): Row[] {
  const rows: Row[] = [];
  const memo = new Map<ModuleNode, string>();
  const words = wordsOf(filter);
  const hits = new Map<ModuleNode, boolean>();
  const own = (node: ModuleNode): boolean => {
    const text = textOf(node);
    return words.every((w) => text.includes(w));
  };
  const within = (node: ModuleNode): boolean => {
    const known = hits.get(node);
    if (known !== undefined) return known;
    const hit = own(node) || node.children.some(within);
    hits.set(node, hit);
    return hit;
  };

  const visit = (item: Item, depth: number, position: number, siblings: number): void => {
    const run = item.nodes.length > 1;
    const node = item.nodes[0]!;
    const children = run ? item.nodes.map(single) : foldChildren(node, memo);
    const isOpen = words.length && !run ? true : open.has(item.key);
    const row: Row = {
      key: item.key,
      node,
      name: item.name,
      depth,
      count: item.nodes.length,
      like: item.like,
      hasChildren: children.length > 0,
      open: children.length > 0 && isOpen,
      position,
      siblings,
      matches: words.length > 0 && own(node),
    };
    rows.push(row);
    if (!row.open) return;
    const shown = words.length ? children.filter((child) => child.nodes.some(within)) : children;
    row.hasChildren = shown.length > 0 || !words.length;
    for (const [i, child] of shown.entries()) visit(child, depth + 1, i + 1, shown.length);
  };
  if (!words.length || within(root)) visit(single(root), 0, 1, 1);
  return rows;
}

/** What is open at first: the path from the root down to the first of the repeated blocks. */
export function firstOpen(root: ModuleNode): Set<string> {
  const open = new Set<string>();
  const visit = (node: ModuleNode, depth: number): void => {
    open.add(keyOf(node));
    const items = foldChildren(node);
    const folded = items.findIndex((item) => item.nodes.length > 1);
    if (folded > 0) {
      visit(items[folded - 1]!.nodes[0]!, depth + 1);
      return;
    }
    if (depth > 2) return;
    for (const child of node.children)
      if (child.children.some((c) => c.children.length)) visit(child, depth + 1);
  };
  visit(root, 0);
  return open;
}

/** `1.07 M`, `96.0 k`, `312`. */
export function countText(n: number): string {
  if (n >= 1e9) return `${(n / 1e9).toPrecision(3)} B`;
  if (n >= 1e6) return `${(n / 1e6).toPrecision(3)} M`;
  if (n >= 1e4) return `${(n / 1e3).toPrecision(3)} k`;
  return n.toLocaleString("en");
}

export function shapeText(shape: ModuleNode["shape"]): string {
  if (shape === null || shape === undefined) return "";
  return typeof shape === "string" ? shape : `[${shape.join(", ")}]`;
}
