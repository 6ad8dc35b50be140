// Something that opens below a button and closes with Escape, Tab or a click elsewhere.
//
//   const popup = new Popup(panel, button, signal);    // both in one positioned element
//   popup.show();  popup.close();

export class Popup {
  private outside = new AbortController();

  constructor(
    private readonly panel: HTMLElement,
    private readonly button: HTMLElement,
    private readonly signal: AbortSignal,
  ) {
    panel.hidden = true;
    panel.classList.add("iw-popup");
    button.setAttribute("aria-expanded", "false");
    panel.addEventListener("keydown", (event) => this.onKey(event), { signal });
    signal.addEventListener("abort", () => this.outside.abort());
  }

  get open(): boolean {
    return !this.panel.hidden;
  }

  show(): void {
    this.panel.hidden = false;
    this.button.setAttribute("aria-expanded", "true");
    this.outside = new AbortController();
    const { signal } = this.outside;
    const away = (event: Event) => {
      const path = event.composedPath();
      if (!path.includes(this.panel) && !path.includes(this.button)) this.close(false);
    };
    window.addEventListener("pointerdown", away, { capture: true, signal });
  }

  /** Closes; the focus goes back to the button unless the reader took it elsewhere. */
  close(focus = true): void {
    if (!this.open || this.signal.aborted) return;
    this.panel.hidden = true;
    this.button.setAttribute("aria-expanded", "false");
    this.outside.abort();
    if (focus) this.button.focus();
  }

  private onKey(event: KeyboardEvent): void {
    if (event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      this.close();
    } else if (event.key === "Tab" && this.panel.getAttribute("role") === "menu") {
      this.close();
    }
  }
}
