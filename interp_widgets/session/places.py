"""Where each standard site of a model lives, read off what the trial forward pass found."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from torch import nn

from interp_widgets.session.location import Location
from interp_widgets.session.sites import DIMS, STANDARD, WITHOUT_LAYER, Site, SiteError, missing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from interp_widgets.session.blocks import Block
    from interp_widgets.session.tap import AttentionFacts


ATTENTION_CALL = ("q", "k", "v", "bias", "pattern")
"""Sites that are read at the attention call."""


class Places:
    """The methods of an anatomy that say where an activation is, and in which order."""

    root: nn.Module
    stack: str | None
    blocks: list[Block]
    tried: bool
    trouble: str | None
    _unread: str | None
    _modules: set[str]
    _located: dict[Site, Location]
    _places: dict[str, Location]
    _why_not: dict[str, str]
    _order: dict[tuple[str, str], int]
    _shapes: dict[tuple[str, str], tuple[int, ...]]
    _facts: dict[int, AttentionFacts]
    _calls: dict[str, str]

    @property
    def n_layers(self) -> int:
        """Number of blocks."""
        return len(self.blocks)

    @property
    def sites(self) -> tuple[str, ...]:
        """Standard names that this model has, in the order of `STANDARD`."""
        return tuple(
            name for name in STANDARD if any(self._place(name, i) for i in self._layers(name))
        )

    @property
    def unread(self) -> str | None:
        """The error with which reading the attention calls failed; None where it did not."""
        return self._unread

    def layers_of(self, name: str) -> tuple[int, ...]:
        """Layers that have the standard site `name`; empty for `embed` and `logits`."""
        if name in WITHOUT_LAYER:
            return ()
        return tuple(i for i in range(self.n_layers) if self._place(name, i))

    def _layers(self, name: str) -> Iterable[int | None]:
        return (None,) if name in WITHOUT_LAYER else range(self.n_layers)

    def _place(self, name: str, layer: int | None) -> Location | None:
        if layer is None:
            return self._places.get(name)
        block, facts = self.blocks[layer], self._facts.get(layer)
        if name in ATTENTION_CALL:
            if facts is None:
                return None
            if name == "pattern":
                return Location(str(block.attention), "computed", layout="batch head query key")
            if name == "bias":
                if not facts.bias:
                    return None
                return Location(
                    str(block.attention),
                    "attention_call",
                    "position_bias",
                    call=self._calls[str(block.attention)],
                    heads=facts.heads,
                    layout=f"batch head query key{'' if facts.pairwise else ' bias'}",
                )
            return Location(
                str(block.attention),
                "attention_call",
                "_qkv".index(name),
                call=self._calls[str(block.attention)],
                heads=facts.heads if name == "q" else facts.kv_heads,
                d_head=facts.d_value if name == "v" else facts.d_head,
                layout="batch head position d_head",
            )
        place = block.places.get(name)
        if name in ("z", "cross_z") and place is not None:
            width = self._shapes[place.path, "input"][-1]
            config = getattr(self.root, "config", None)
            heads = facts.heads if facts else int(getattr(config, "num_attention_heads", 0) or 0)
            if not heads or width % heads:
                return None
            return replace(place, heads=heads, d_head=width // heads)
        return place

    def locate(self, site: str | Site, layer: int | None = None) -> Location:
        """Say where an activation lives.

        Parameters
        ----------
        site
            Standard name, Site, or path of a module.
        layer
            Layer, if the name does not hold it.

        Returns
        -------
        Location
            Plain data that reads, writes and prints it.

        Raises
        ------
        SiteError
            If the model does not have it; the message names the sites that are there.
        """
        wanted = Site.parse(site)
        if layer is not None:
            wanted = Site(wanted.name, layer)
        if wanted not in self._located:
            self._located[wanted] = self._locate(wanted)
        return self._located[wanted]

    def _locate(self, wanted: Site) -> Location:
        if wanted.name in self._modules:
            return self._locate_module(wanted)
        if wanted.name not in DIMS:
            raise missing(
                wanted, self.sites, "it is neither a standard name nor the path of a module"
            )
        if wanted.name in WITHOUT_LAYER:
            place = self._place(wanted.name, None)
        elif not self.blocks:
            raise missing(wanted, self.sites, self._no_blocks())
        elif wanted.layer is None:
            raise SiteError(
                f"{wanted.name!r} needs a layer: '{wanted.name}.0' to "
                f"'{wanted.name}.{self.n_layers - 1}'."
            )
        elif not 0 <= wanted.layer < self.n_layers:
            raise SiteError(
                f"There is no layer {wanted.layer}: this model has 0 to {self.n_layers - 1}."
            )
        else:
            place = self._place(wanted.name, wanted.layer)
        if place is None:
            raise missing(wanted, self.sites, self._reason(wanted))
        return place

    def _no_blocks(self) -> str:
        if self.stack is None:
            return "no list of repeated blocks was found"
        because = f" ({self.trouble})" if self.trouble else ""
        return f"it has not run yet{because}: give Anatomy.of(model, example=...) an input"

    def _reason(self, site: Site) -> str:
        if site.layer is None:
            return self._why_not.get(site.name, "")
        if site.name == "bias" and site.layer in self._facts:
            return "its attention adds no learned position bias to the scores"
        if self._unread is not None and site.name in ATTENTION_CALL:
            return f"its attention calls could not be read ({self._unread})"
        return self.blocks[site.layer].why_not.get(site.name, "")

    def _locate_module(self, site: Site) -> Location:
        shape = self._shapes.get((site.name, "output"))
        if self.tried and shape is None:
            raise missing(site, self.sites, "the module does not run in a forward pass")
        return Location(site.name, "output", layout="as the module returns it")

    def expand(self, sites: str | Site | Iterable[str | Site]) -> list[Site]:
        """Turn names into sites, one per layer where a name without a layer stands for all of them.

        Raises
        ------
        SiteError
            If one is not there.
        """
        if isinstance(sites, (str, Site)):
            sites = [sites]
        found: dict[Site, None] = {}
        for entry in sites:
            site = Site.parse(entry)
            every = site.layer is None and site.name in DIMS and site.name not in WITHOUT_LAYER
            if every and site.name not in self._modules:
                layers = self.layers_of(site.name)
                if not layers:
                    self.locate(site.name, 0 if self.blocks else None)
                found.update((Site(site.name, i), None) for i in layers)
            else:
                self.locate(site)
                found[site] = None
        return list(found)

    def order(self, place: Location) -> float:
        """Return when in a forward pass a place is reached; nnsight must be asked in this order."""
        if place.port in ("attention_call", "computed"):
            block = next(b for b in self.blocks if b.attention == place.path)
            ends = [self._order.get((place.path, "output"), 0)]
            if block.output_projection is not None:
                ends.append(self._order[block.output_projection, "input"])
            inside = self._order.get((f"{place.path}.pattern", "input"))  # HeadAttention
            ends += [] if inside is None else [inside]
            return min(ends) - 0.5
        return self._order.get((place.path, place.port), 0)

    @property
    def end(self) -> float:
        """When the model's own output is reached; places before it allow a trace to stop early."""
        return self._order.get(("", "output"), float("inf"))

    def pattern_needs(self, layer: int) -> tuple[str, ...]:
        """Names of the sites of this layer from which its pattern is computed."""
        return ("q", "k", "bias") if self.attention(layer).bias else ("q", "k")

    def cross_call(self, layer: int) -> Location | None:
        """Return the attention call of a layer's cross-attention (its k), None without."""
        path = self.blocks[layer].cross
        if path is None:
            return None
        return Location(path, "attention_call", 1, call=self._calls[path])

    @property
    def reads_two(self) -> bool:
        """Whether the blocks are the decoder's of an encoder–decoder."""
        return bool(self.blocks) and self.blocks[0].cross is not None

    def stack_lengths(self, lengths: tuple[int, ...], decoder: Tensor | None) -> tuple[int, ...]:
        """Return the number of positions of each row in the blocks.

        Of an encoder–decoder's decoder they are those of ``decoder [batch, position]``; anywhere
        else, and without one, the prompts' own ``lengths``.
        """
        if decoder is None or not self.reads_two:
            return lengths
        return (int(decoder.shape[-1]),) * len(lengths)

    def attention(self, layer: int) -> AttentionFacts:
        """Return how a layer turns q and k into a pattern.

        Raises
        ------
        SiteError
            If the layer has no attention.
        """
        self.locate("pattern", layer)
        return self._facts[layer]
