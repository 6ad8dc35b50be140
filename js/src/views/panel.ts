// The session: model, device, memory, what runs, what is done to the model.
import { button } from "../core/controls.js";
import { download } from "../core/copying.js";
import { h, plural, signed, visible } from "../core/dom.js";
import { defineView, type View } from "../core/view.js";
import { countText } from "../modules/tree.js";
import { bytesText } from "../panel/format.js";
import { InterventionList } from "../panel/interventions.js";
import { meter, progress } from "../panel/meter.js";
import type { Item } from "../panel/row.js";

const KEYS = [
  ["Tab", "next control"],
  ["Space", "switch an intervention on or off"],
  ["Alt ↑ ↓", "move an intervention"],
  ["Delete", "on a switch: remove the intervention"],
] as const;

/** The logit difference of the last prompt with answer and foil (session/metric.py). */
interface Reading {
  name: string;
  prompt: string;
  answer: string;
  foil: string;
  base: number;
  before: number;
  now: number;
}

interface Job {
  id: number;
  label: string;
  state: string;
  done: number;
  total: number;
  cancelling: boolean;
}

class PanelView {
  private readonly facts = h("dl", { class: "iw-facts" });
  private readonly jobs = h("ul", { class: "iw-jobs", "aria-label": "Running and queued" });
  private readonly items: InterventionList;
  private readonly count = h("h3", { class: "iw-section" });
  private readonly tools = h("span", { class: "iw-item-tools" });
  private readonly empty = h("p", { class: "iw-hint" });
  private readonly metric = h("div", { class: "iw-metric" });
  private noted = "";

  constructor(private readonly view: View) {
    this.items = new InterventionList(
      (name, payload) => this.act(name, payload),
      () => this.live,
      view.signal,
    );
    view.body.append(
      this.facts,
      h("div", { class: "iw-section-row" }, this.count, this.tools),
      this.items.el,
      this.empty,
      this.metric,
      this.jobs,
    );
    view.onSpec(() => this.show());
    this.show();
  }

  private get live(): boolean {
    return Boolean(this.view.spec.live) && !this.view.spec.closed;
  }

  private act(name: string, payload: Record<string, unknown>, said = ""): void {
    const { view } = this;
    view.guard(async () => {
      try {
        await view.request(name, payload);
        view.note("");
        if (said) view.say(said);
      } catch (error) {
        view.report(error);
        this.show();
      }
    })();
  }

  private show(): void {
    this.showFacts();
    this.showNotes((this.view.spec.notes ?? []).join(". "));
    this.showJobs(this.view.spec.jobs ?? []);
    const items = (this.view.spec.interventions ?? []) as unknown as Item[];
    this.count.textContent = items.length ? plural(items.length, "intervention") : "Interventions";
    this.empty.textContent = items.length
      ? ""
      : this.live
        ? "None. Click a head, an edge or a cell in any view, or call session.ablate(…), session.steer(…)."
        : "None.";
    this.empty.hidden = items.length > 0;
    this.items.show(items);
    this.showMetric(this.view.spec.metric);
    this.showTools(items);
  }

  private showMetric(reading: Reading | null | undefined): void {
    this.metric.hidden = !reading;
    if (!reading) return;
    const { name, prompt, answer, foil, base, now } = reading;
    const moved = base.toFixed(2) !== now.toFixed(2);
    this.metric.replaceChildren(
      h("span", { class: "iw-metric-name" }, `${name[0]?.toUpperCase()}${name.slice(1)}`),
      h(
        "span",
        { class: "iw-metric-value" },
        moved ? h("span", { class: "iw-quiet" }, `${fixed(base)} → `) : "",
        h("strong", {}, fixed(now)),
        moved ? h("span", { class: "iw-metric-change" }, ` (${signed(now - base)})`) : "",
      ),
      h(
        "span",
        { class: "iw-quiet iw-metric-prompt", title: prompt },
        h("bdi", {}, `“${visible(answer)}” against “${visible(foil)}” after “${tail(prompt)}”`),
      ),
    );
  }

  /** Only when they changed: the panel is shown again five times a second while work runs. */
  private showNotes(text: string): void {
    if (text !== this.noted) this.view.note(text, "warning", undefined, "anatomy");
    this.noted = text;
  }

  private showFacts(): void {
    const { spec } = this.view;
    const model = spec.model ?? {};
    const memory = spec.memory ?? {};
    const size = [
      model.class,
      model.layers ? plural(model.layers, "layer") : "",
      model.parameters ? `${countText(model.parameters)} parameters` : "",
    ];
    const place = [
      spec.device,
      spec.dtype,
      memory.model ? `${bytesText(memory.model)} of weights` : "",
    ];
    const row = (name: string, ...value: (Node | string)[]) => [
      h("dt", {}, name),
      h("dd", {}, ...value),
    ];
    const cache = meter("Cache", memory.cache ?? 0, memory.cache_capacity ?? 0);
    const held = this.facts.contains(document.activeElement);
    const clear = button("Clear", () => this.act("clear_cache", {}, "Cache cleared"), {
      title: "Forget all cached activations",
    });
    clear.disabled = !this.live || !memory.cache;
    const rows = [
      ...row("Model", join(size)),
      ...row("Runs on", join(place)),
      ...row(
        "Cache",
        cache,
        h("span", { class: "iw-quiet" }, plural(spec.cache_entries ?? 0, "tensor")),
        this.live ? clear : "",
      ),
    ];
    if (memory.total) {
      rows.push(
        ...row(
          onGpu(spec.device) ? "GPU memory" : "Memory",
          meter("Device memory", memory.total - (memory.free ?? 0), memory.total),
        ),
      );
    }
    rows.push(...row("Ran", plural(spec.forward_passes ?? 0, "forward pass")));
    this.facts.replaceChildren(...rows);
    if (held && !clear.disabled) clear.focus();
  }

  private showJobs(jobs: readonly Job[]): void {
    this.jobs.hidden = jobs.length === 0;
    const held = (document.activeElement as HTMLElement | null)?.dataset.job;
    this.jobs.replaceChildren(
      ...jobs.map((job) => {
        const running = job.state === "running";
        const words = job.cancelling
          ? "stopping"
          : running
            ? job.total
              ? `${job.done.toLocaleString("en")} of ${job.total.toLocaleString("en")}`
              : "running"
            : "queued";
        const cancel = button("Cancel", () =>
          this.act("cancel", { job: job.id }, `${job.label} cancelled`),
        );
        cancel.setAttribute("aria-label", `Cancel ${job.label}`);
        cancel.dataset.job = String(job.id);
        cancel.disabled = job.cancelling;
        return h(
          "li",
          { class: "iw-job" },
          h("span", { class: "iw-job-label" }, job.label),
          running ? progress(job.label, job.done, job.total) : null,
          h("span", { class: "iw-quiet" }, words),
          cancel,
        );
      }),
    );
    if (held) this.jobs.querySelector<HTMLElement>(`[data-job="${held}"]`)?.focus();
  }

  private showTools(items: readonly Item[]): void {
    this.tools.replaceChildren();
    if (!this.live) return;
    const load = h("input", {
      type: "file",
      accept: ".json,application/json",
      class: "iw-sr",
      tabindex: -1,
      "aria-hidden": "true",
    });
    load.addEventListener("change", () => this.load(load));
    const all = button("Remove all", () => this.act("reset", {}));
    const save = button(
      "Save",
      this.view.guard(() => this.save()),
      { title: "Save the interventions as JSON" },
    );
    all.disabled = save.disabled = items.length === 0;
    this.tools.append(
      all,
      save,
      button("Load", () => load.click(), { title: "Load interventions from JSON" }),
      load,
    );
  }

  private async save(): Promise<void> {
    const { interventions } = await this.view.request("save");
    const text = JSON.stringify(interventions, null, 2);
    download("interventions.json", "application/json", `${text}\n`);
    this.view.say("Interventions saved");
  }

  private load(input: HTMLInputElement): void {
    const file = input.files?.[0];
    if (!file) return;
    this.view.guard(async () => {
      let interventions: unknown;
      try {
        interventions = JSON.parse(await file.text());
      } catch {
        this.view.report(
          new Error(`${file.name} is not JSON. Choose a file that the panel saved.`),
        );
        return;
      }
      this.act("load", { interventions }, "Interventions loaded");
    })();
  }
}

const fixed = (x: number): string => x.toFixed(2).replace("-", "−");

const onGpu = (device: unknown): boolean => /^(cuda|mps)/.test(String(device));

/** The end of a prompt, where what matters stands. */
const tail = (text: string): string => visible(text.length > 60 ? `…${text.slice(-58)}` : text);

const join = (parts: unknown[]): string => parts.filter(Boolean).join(" · ");

export default defineView("panel", (view) => void new PanelView(view), {
  keys: KEYS,
  table: false,
  figure: false,
  predict: false,
});
