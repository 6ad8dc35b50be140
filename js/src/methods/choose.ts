// Which methods are meant: one answer of each question that matters, and all the words.

export interface Method {
  name: string;
  title: string;
  summary: string;
  family: string;
  unit: string;
  cost: string;
  result: string;
  paper: string;
  template: string;
  tags: Record<string, readonly string[]>;
}

export type Facets = Record<string, readonly string[]>;
export type Answers = Record<string, readonly string[]>;

const wordsOf = ({ name, title, summary, unit, family, paper }: Method): string =>
  [name, title, summary, unit, family, paper].join(" ").toLowerCase();

export function chosen(methods: readonly Method[], answers: Answers, find: string): Method[] {
  const words = find.toLowerCase().split(/\s+/).filter(Boolean);
  const wanted = Object.entries(answers).filter(([, some]) => some.length > 0);
  return methods.filter(
    (method) =>
      wanted.every(([facet, some]) => some.some((a) => method.tags[facet]?.includes(a))) &&
      words.every((word) => wordsOf(method).includes(word)),
  );
}

/** How many methods each answer to a question would show, all other choices being as they are. */
export function counts(
  methods: readonly Method[],
  facets: Facets,
  answers: Answers,
  find: string,
): Record<string, Record<string, number>> {
  const found: Record<string, Record<string, number>> = {};
  for (const [facet, some] of Object.entries(facets)) {
    const others = chosen(methods, { ...answers, [facet]: [] }, find);
    found[facet] = Object.fromEntries(
      some.map((a) => [a, others.filter((m) => m.tags[facet]?.includes(a)).length]),
    );
  }
  return found;
}

/** The answers with one added, or taken away when it was there. */
export function toggled(answers: Answers, facet: string, answer: string): Answers {
  const some = answers[facet] ?? [];
  const next = some.includes(answer) ? some.filter((a) => a !== answer) : [...some, answer];
  const { [facet]: _, ...rest } = answers;
  return next.length ? { ...rest, [facet]: next } : rest;
}

/** A paper's words, with the arXiv numbers apart: they become links. */
export function links(paper: string): { text: string; arxiv?: string }[] {
  const parts: { text: string; arxiv?: string }[] = [];
  let end = 0;
  for (const match of paper.matchAll(/arXiv:(\d{4}\.\d{4,5})/g)) {
    if (match.index > end) parts.push({ text: paper.slice(end, match.index) });
    parts.push({ text: match[0], arxiv: match[1] as string });
    end = match.index + match[0].length;
  }
  if (end < paper.length) parts.push({ text: paper.slice(end) });
  return parts;
}
