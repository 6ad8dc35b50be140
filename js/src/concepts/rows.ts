// Which concepts are shown, in which order, on which scale.

export const BUDGET = 32;

/** `[concept, layer]` tables in C order; missing ones are undefined. */
export interface ConceptTable {
  concepts: readonly string[];
  layers: readonly string[];
  effect: Float32Array;
  low?: Float32Array | undefined;
  high?: Float32Array | undefined;
  score?: Float32Array | undefined;
  scoreNull?: Float32Array | undefined;
  p?: Float32Array | undefined;
  pCorrected?: Float32Array | undefined;
  /** Mean projection of the examples with the concept minus those without. */
  gap?: Float32Array | undefined;
  /** 0 undefined, 1 not significant, 2 significant but negligible, 3 relevant. */
  flag: Uint8Array;
}

/** `given` keeps the order of the call, which tells nothing about the numbers. */
export type Sort = "effect" | "p" | "name" | "given";
export const FLAGS = [
  { name: "undefined", glyph: "?" },
  { name: "not significant", glyph: "○" },
  { name: "significant but negligible", glyph: "◐" },
  { name: "relevant", glyph: "●" },
] as const;

export interface Row {
  concept: number;
  name: string;
  effect: number;
  low: number;
  high: number;
  score: number;
  scoreNull: number;
  p: number;
  flag: number;
}

export function rowOf(table: ConceptTable, concept: number, layer: number): Row {
  const i = concept * table.layers.length + layer;
  const at = (values?: Float32Array): number => (values ? values[i]! : NaN);
  return {
    concept,
    name: table.concepts[concept]!,
    effect: table.effect[i]!,
    low: at(table.low),
    high: at(table.high),
    score: at(table.score),
    scoreNull: at(table.scoreNull),
    p: at(table.pCorrected ?? table.p),
    flag: table.flag[i]!,
  };
}

export interface Choice {
  rows: Row[];
  /** How many match the filter. */
  matching: number;
  total: number;
}

const last = (v: number): number => (Number.isFinite(v) ? v : Infinity);

export function chooseRows(
  table: ConceptTable,
  layer: number,
  sort: Sort,
  filter: string,
  budget = BUDGET,
): Choice {
  const wanted = filter.trim().toLocaleLowerCase();
  const rows = table.concepts
    .map((_, i) => rowOf(table, i, layer))
    .filter((row) => !wanted || row.name.toLocaleLowerCase().includes(wanted));
  const byEffect = (a: Row, b: Row): number =>
    (Number.isFinite(b.effect) ? Math.abs(b.effect) : -1) -
    (Number.isFinite(a.effect) ? Math.abs(a.effect) : -1);
  const kept = rows.length > budget ? [...rows].sort(byEffect).slice(0, budget) : rows;
  const order: Record<Sort, (a: Row, b: Row) => number> = {
    effect: byEffect,
    p: (a, b) => last(a.p) - last(b.p) || byEffect(a, b),
    name: (a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }),
    given: (a, b) => a.concept - b.concept,
  };
  return {
    rows: kept.sort((a, b) => order[sort](a, b) || a.concept - b.concept),
    matching: rows.length,
    total: table.concepts.length,
  };
}

/** Per cell the target with the largest |effect|: the order of concepts with several targets. */
export function strongest(tables: readonly ConceptTable[]): ConceptTable {
  const [first, ...others] = tables as [ConceptTable, ...ConceptTable[]];
  if (!others.length) return first;
  const effect = first.effect.map((value, i) =>
    others.reduce((best, t) => (size(t.effect[i]!) > size(best) ? t.effect[i]! : best), value),
  );
  return { ...first, effect };
}
const size = (v: number): number => (Number.isFinite(v) ? Math.abs(v) : -1);

/** `Showing the 32 largest of 1,204 concepts; filter to reach the others.` */
export function budgetNote(choice: Choice): string {
  if (choice.matching <= choice.rows.length) return "";
  const what = choice.matching === choice.total ? "concepts" : "matches";
  return (
    `Showing the ${choice.rows.length} largest of ${choice.matching.toLocaleString("en")} ` +
    `${what}; filter to reach the other ${(choice.matching - choice.rows.length).toLocaleString("en")}.`
  );
}

/** Range of the bars: zero, every effect and every interval, with a little air. */
export function domainOf(rows: readonly Row[]): [number, number] {
  let low = 0;
  let high = 0;
  for (const row of rows)
    for (const v of [row.effect, row.low, row.high])
      if (Number.isFinite(v)) {
        low = Math.min(low, v);
        high = Math.max(high, v);
      }
  if (low === high) return [-1, 1];
  const air = (high - low) * 0.04;
  return [low < 0 ? low - air : 0, high > 0 ? high + air : 0];
}

/** Numbers of a column with the same count of decimals, as many as the range deserves. */
export function steady([low, high]: readonly [number, number]): (
  x: number,
  plus?: boolean,
) => string {
  const span = high - low;
  const decimals = span > 0 ? Math.min(6, Math.max(0, 2 - Math.floor(Math.log10(span / 2)))) : 2;
  return (x, plus = false) => {
    const text = x.toFixed(decimals);
    const zero = Number(text) === 0;
    return `${!zero && x < 0 ? "−" : plus && !zero ? "+" : ""}${text.replace("-", "")}`;
  };
}

/** `p < 0.001`, `p = 0.03`. */
export function pText(p: number): string {
  if (!Number.isFinite(p)) return "p not known";
  if (p < 0.001) return "p < 0.001";
  return `p = ${p < 0.1 ? p.toPrecision(1) : p.toFixed(2)}`;
}
