// The clipboard, and numbers as a spreadsheet takes them.
import type { TableData } from "./table.js";

/** Tab-separated text; tabs and line ends inside a cell become spaces. */
export function tsv({ columns, rows }: TableData): string {
  const cell = (v: string | number | boolean | null): string =>
    v === null ? "" : String(v).replace(/[\t\r\n]+/g, " ");
  return [columns, ...rows].map((row) => row.map(cell).join("\t")).join("\n");
}

/** Copies text; false where the browser does not let us. */
export async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

/** Hands a file to the reader. */
export function download(name: string, mime: string, data: BlobPart): void {
  const url = URL.createObjectURL(new Blob([data], { type: mime }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
