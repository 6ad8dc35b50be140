"""The session's state as plain nnsight code, which gives the same logits without this package."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from interp_widgets.session.editing import (
    Op,
    choose_reference,
    groups_of,
    pattern_of_call,
    positions,
    roles_of,
)
from interp_widgets.session.errors import PromptError
from interp_widgets.session.interventions import Ablate, Clamp, Intervention, Patch, Scale, Steer
from interp_widgets.session.location import accessor
from interp_widgets.session.sites import Site

if TYPE_CHECKING:
    from torch import Tensor

    from interp_widgets.session.location import Location
    from interp_widgets.session.prompts import Prompt, PromptBatch
    from interp_widgets.session.session import Session


def write(
    session: Session, prompt: Prompt | PromptBatch | None, decoder: Tensor | None = None
) -> str:
    """Return runnable code for a session's active interventions on a prompt.

    ``decoder`` is what an encoder–decoder's decoder reads ``[batch, position]``.

    Raises
    ------
    PromptError
        When there is no prompt to run on.
    """
    if prompt is None:
        raise PromptError("code() needs a prompt to write out: session.code(prompt)")
    writer = Writer(session, prompt, decoder)
    return writer.text()


@dataclass
class Writer:
    """Writes one script.

    Parameters
    ----------
    session
        The session whose interventions are written.
    prompt
        What the model runs on.
    decoder
        What its decoder reads, of an encoder–decoder.
    """

    session: Session
    prompt: Prompt | PromptBatch
    decoder: Tensor | None = None
    sources: dict[tuple[str, Site], str] = field(default_factory=dict)
    head: list[str] = field(default_factory=list)
    patterns: bool = False

    def text(self) -> str:
        """Return the script."""
        anatomy = self.session.anatomy
        body: list[str] = []
        items = self.session.interventions.active
        for site, location, entries in self._places(items):
            body += self._stage(site, location, entries)
        if "logits" in anatomy.sites:
            body.append(f"logits = {anatomy.locate('logits').expression()}.save()")
        else:
            body += ["# this model has no output head: its first output stands for the logits"]
            body.append("logits = model.output[0].save()")
        state = self.session.interventions
        title = f"# {self.session.name}: " + (
            f"{len(items)} interventions" if items else "as it is"
        )
        if len(items) < len(state):
            title += f" ({len(state) - len(items)} more are off)"
        lines = [
            title,
            "# model is an nnsight model in evaluation mode: session.model",
            "import torch",
        ]
        if self.patterns:
            lines += ["", *pattern_source()]
        lines += ["", *self._inputs("inputs", self.prompt, self.decoder), *self.head, ""]
        lines += ["with torch.no_grad(), model.trace(*inputs[0], **inputs[1]):"]
        lines += [f"    {line}" if line else "" for line in body]
        return "\n".join(lines) + "\n"

    @property
    def _lengths(self) -> tuple[int, ...]:
        return self.session.anatomy.stack_lengths(self.prompt.lengths, self.decoder)

    # -- inputs and sources ------------------------------------------------------

    def _inputs(
        self, name: str, prompt: Prompt | PromptBatch, decoder: Tensor | None = None
    ) -> list[str]:
        args, kwargs = prompt.inputs()
        lines = [f"# {line}" for line in _prompt_comment(prompt)]
        if decoder is not None:
            kwargs = {**kwargs, "decoder_input_ids": decoder}
            read = self.session.prompts(decoder.tolist())
            lines += [f"# decoder: {line}" for line in _prompt_comment(read)]
        shown = ", ".join(_literal(a) for a in args)
        lines.append(f"{name} = (({shown}{',' if args else ''}), {{")
        lines += [f"    {key!r}: {_literal(value)}," for key, value in kwargs.items()]
        return [*lines, "})"]

    def _source(self, data: dict[str, Any], site: Site) -> str:
        """Return the name of a variable with a clean activation of another prompt, batch of one."""
        prompt = self.session.prompt(data)
        known = self.sources.get((prompt.key, site))
        if known is not None:
            return known
        name = self.sources[prompt.key, site] = f"source_{len(self.sources)}"
        self.head += ["", *self._inputs(f"{name}_inputs", prompt)]
        self.head.append(
            f"with torch.no_grad(), model.trace(*{name}_inputs[0], **{name}_inputs[1]):"
        )
        if site.name == "pattern":
            self.patterns = True
            call = _call(self.session.anatomy.locate("v", site.layer))
            self.head.append(f"    {name} = attention_pattern(*{call}.inputs).save()")
            return name
        location = self.session.anatomy.locate(site)
        self.head.append(f"    {name} = {location.expression()}.save()")
        if location.split:
            self.head.append(f"{name} = {_to_heads(name, location)}")
        return name

    # -- the trace ---------------------------------------------------------------

    def _places(
        self, items: Sequence[Intervention]
    ) -> list[tuple[Site, Location, list[Intervention]]]:
        anatomy = self.session.anatomy
        found: dict[Site, list[Intervention]] = {}
        for item in items:
            found.setdefault(Site(item.site, item.layer), []).append(item)

        def order(site: Site) -> float:
            name = "v" if site.name == "pattern" else site.name
            after = 0.1 * (site.name == "pattern")
            return float(anatomy.order(anatomy.locate(name, site.layer)) + after)

        return [
            (
                site,
                anatomy.locate("v" if site.name == "pattern" else site.name, site.layer),
                found[site],
            )
            for site in sorted(found, key=order)
        ]

    def _stage(self, site: Site, location: Location, items: list[Intervention]) -> list[str]:
        if site.name == "pattern":
            return self._pattern_stage(site, location, items)
        dims = roles_of(location.layout, location.layout.replace("(", "").count(" ") + 1)
        name = site.name if site.name.isidentifier() else "x"
        lines = [f"{name} = {_to_heads(location.expression(), location)}.clone()"]
        for item in items:
            lines += self._op(name, dims, item, site)
        value = f"{name}.flatten(-2)" if location.split else name
        return [*lines, *_write(location, value), ""]

    def _pattern_stage(
        self, site: Site, location: Location, items: list[Intervention]
    ) -> list[str]:
        self.patterns = True
        call = _call(location)
        lines = [
            f"args, kwargs = {call}.inputs",
            "pattern = attention_pattern(args, kwargs)",
        ]
        for item in items:
            lines += self._op("pattern", ("batch", "head", "position", "unit"), item, site)
        return [
            *lines,
            "v = args[3].repeat_interleave(pattern.shape[1] // args[3].shape[1], dim=1)",
            f"result = {call}.output",
            "z = (pattern.to(v.dtype) @ v).transpose(1, 2).reshape(result[0].shape)",
            f"{call}.output = (z, *result[1:])",
            "",
        ]

    def _op(self, name: str, dims: tuple[str, ...], item: Intervention, site: Site) -> list[str]:
        lengths = self._lengths
        ragged = isinstance(item, Ablate) and item.method == "mean" and not item.reference
        lines = [f"# {item.describe()}"]
        value, constants = self._value(name, item, site, dims)
        lines += constants
        groups = groups_of(Op(item), lengths, by_length=ragged)
        for group in groups:
            length = min(lengths[row] for row in group)
            wanted = {
                "batch": None if len(group) == len(lengths) else tuple(group),
                "position": positions(item.position, length, item),
                "head": item.head,
                "unit": item.unit,
            }
            target, before = _index(name, dims, wanted)
            lines += before
            if isinstance(item, Scale):
                lines.append(f"{target} = {target} * {item.factor!r}")
            elif isinstance(item, Steer):
                lines.append(f"{target} = {target} + {item.strength!r} * {value}")
            elif ragged:
                real = tuple(range(length)) if length < max(lengths) else None
                part, more = _index(name, dims, dict(wanted, position=real))
                at = dims.index("position")
                lines += [*more, f"mean = {part}.mean({at}, keepdim=True)"]
                if more:  # the index of the mean took the name of the target's
                    lines += before
                lines.append(f"{target} = mean")
            elif value.startswith(("source", "mean")):
                chosen = dict(wanted, batch=None)
                at_source = getattr(item, "source_position", None)
                if at_source is not None:
                    size = len(self.session.prompt(getattr(item, "source")))  # noqa: B009
                    chosen["position"] = positions(at_source, size, item)
                if getattr(item, "method", "") == "mean" and site.name != "pattern":
                    chosen["position"] = None
                if (
                    isinstance(item, Ablate)
                    and item.method == "resample"
                    and chosen["position"] is None
                    and site.name != "pattern"
                ):
                    chosen["position"] = tuple(range(max(lengths)))
                part, more = _index(value, dims, chosen, batch=1)
                lines += [m.replace("at =", "at_source =", 1) for m in more]
                part = part.replace("[at]", "[at_source]")
                lines.append(f"{target} = {part}.to({name}.device)")
            else:
                lines.append(f"{target} = {value}")
        return lines

    def _value(
        self, name: str, item: Intervention, site: Site, dims: tuple[str, ...]
    ) -> tuple[str, list[str]]:
        """Return the expression that an intervention puts in place, and lines to run before."""
        if isinstance(item, Clamp):
            return repr(item.value), []
        if isinstance(item, Steer):
            numbers = ", ".join(repr(x) for x in item.direction)
            made = (
                f"direction = torch.tensor([{numbers}], device={name}.device, dtype={name}.dtype)"
            )
            return "direction", [made]
        if isinstance(item, Patch):
            return self._source(item.source, site), []
        if isinstance(item, Ablate) and item.method == "resample":
            return self._source(choose_reference(item, max(self._lengths)), site), []
        if isinstance(item, Ablate) and item.reference and item.method.startswith("mean"):
            names = [self._source(p, site) for p in item.reference]
            aligned = site.name == "pattern" or item.method == "mean_positional"
            at = 0 if aligned else dims.index("position")
            made = f"mean_{len(self.head)}"
            self.head.append(
                f"{made} = torch.cat([{', '.join(names)}], {at}).mean({at}, keepdim=True)"
            )
            return made, []
        return "0", []


# -- pieces of text --------------------------------------------------------------


def pattern_source() -> list[str]:
    """Return the lines of the function that intervenes on patterns, without its annotations."""
    _signature, *body = inspect.getsource(pattern_of_call).splitlines()
    return ["def attention_pattern(args, kwargs):", *body]


def _call(location: Location) -> str:
    return f"model{accessor(location.path)}.source.{location.call}"


def _to_heads(expression: str, location: Location) -> str:
    if not location.split:
        return expression
    return f"{expression}.unflatten(-1, ({location.heads}, {location.d_head}))"


def _write(location: Location, value: str) -> list[str]:
    base = f"model{accessor(location.path)}"
    if location.shared:
        return [
            f"{location.expression()}[:] = {value}  # in place: the residual stream reads it too"
        ]
    if location.port == "attention_call":
        at = int(location.index or 0)
        call = _call(location)
        return [
            f"args, kwargs = {call}.inputs",
            f"{call}.inputs = ((*args[:{at}], {value}, *args[{at + 1}:]), kwargs)",
        ]
    whole = f"{base}.{location.port}"
    if location.index is None:
        return [f"{whole} = {value}"]
    if isinstance(location.index, str):
        return [f"{whole}[{location.index!r}] = {value}"]
    at = location.index
    before = f"*{whole}[:{at}], " if at else ""
    return [f"{whole} = ({before}{value}, *{whole}[{at + 1}:])"]


def _index(
    name: str, dims: tuple[str, ...], wanted: dict[str, Any], batch: int | None = None
) -> tuple[str, list[str]]:
    """Return ``x[:, 3:4]``, or ``x[at]`` with the line that makes ``at``."""
    parts: list[str] = []
    lists = 0
    for dim in dims:
        chosen = None if dim == "batch" and batch == 1 else wanted.get(dim)
        if chosen is None:
            parts.append(":")
        elif tuple(chosen) == tuple(range(chosen[0], chosen[0] + len(chosen))):
            parts.append(f"{chosen[0]}:{chosen[-1] + 1}")
        else:
            parts.append(str(list(chosen)))
            lists += 1
    if lists < 2:
        return f"{name}[{', '.join(parts)}]", []
    axes = [
        f"torch.arange({name}.shape[{at}])[{part}]"
        if part == ":" or part[0] != "["
        else f"torch.tensor({part})"
        for at, part in enumerate(parts)
    ]
    return f"{name}[at]", [f"at = torch.meshgrid({', '.join(axes)}, indexing='ij')"]


def _literal(value: Any) -> str:
    if hasattr(value, "tolist"):
        dtype = str(value.dtype)
        kind = "" if dtype in {"torch.int64", "torch.float32"} else f", dtype={dtype}"
        return f"torch.tensor({value.tolist()}{kind})"
    return repr(value)


def _prompt_comment(prompt: Prompt | PromptBatch) -> list[str]:
    rows = [prompt] if not prompt.is_batch else list(prompt)  # type: ignore[arg-type]
    return [repr("".join(row.tokens))[:110] for row in rows]  # type: ignore[union-attr]
