// Which way a text runs, and which tokens are no text.

const RTL = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]|[\ud802\ud803\ud83a\ud83b][\udc00-\udfff]/g;
const LTR = /[A-Za-z\u00c0-\u058f\u0900-\u1fff\u2c00-\ud7ff]/g;
const SPECIAL = /^(<[^<>\s]{1,40}>|\[[A-Z_]{2,20}\d*\]|▁?<unk>)$/;

/** Whether most letters of the text belong to a script that is written from the right. */
export function rightToLeft(tokens: readonly string[]): boolean {
  const text = tokens
    .slice(0, 2000)
    .filter((t) => !isSpecial(t))
    .join("");
  return (text.match(RTL)?.length ?? 0) > (text.match(LTR)?.length ?? 0);
}

/** A token that stands for no text: `<|endoftext|>`, `<bos>`, `[CLS]`. */
export function isSpecial(token: string): boolean {
  return SPECIAL.test(token);
}
