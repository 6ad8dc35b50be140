"""Transcoders: wide sparse stand-ins for MLPs, given as functions, weights or files."""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from interp_widgets.methods import arguments
from interp_widgets.methods.attribution_graph import files
from interp_widgets.methods.mlp_parts import MlpParts

if TYPE_CHECKING:
    from interp_widgets.session.prompts import Prompt
    from interp_widgets.session.session import Session

Map = Callable[[Tensor], Tensor]
ROWS = 256
"""Features whose rows are worked out at once."""


class Transcoder:
    """What stands in for one MLP: features from its input, its output from the features.

    Parameters
    ----------
    encode
        From the MLP's input, after the norm before it, to features:
        ``[..., d_model]`` to ``[..., n_features]``. Each row by itself; where a feature is active
        it has to have a derivative (ReLU, JumpReLU, TopK).
    decode
        From features to the MLP's output: ``[..., n_features]`` to ``[..., d_model]``; a matrix and
        a bias.
    skip
        Matrix ``[d_model, d_model]`` of a skip transcoder, which adds ``skip @ x``.

    Examples
    --------
    >>> iw.Transcoder(lambda x: torch.relu(x @ W_enc + b_enc), lambda z: z @ W_dec + b_dec)
    """

    steps = 1
    """MLPs that it writes into: its own layer's and those that follow it."""

    def __init__(self, encode: Map, decode: Map, skip: Tensor | None = None) -> None:
        self.encode = encode
        self.decode = decode
        self.skip = skip

    def bias(self, features: int, like: Tensor) -> Tensor:
        """Return what is written without any feature ``[d_model]``."""
        return self.decode(like.new_zeros(1, features))[0].detach()

    def writers(self, features: Tensor, count: int, like: Tensor, step: int = 0) -> Tensor:
        """Return what one unit of each feature writes, ``step`` layers later, ``[n, d_model]``."""
        assert step == 0  # functions decode for their own layer
        bias = self.bias(count, like)
        rows = []
        for some in features.split(ROWS):
            units = torch.nn.functional.one_hot(some, count).to(like)
            rows.append(self.decode(units).detach() - bias)
        return torch.cat(rows) if rows else like.new_zeros(0, like.shape[-1])

    def readers(self, x: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return rows ``[n, d_model]`` and constants ``[n]``: a feature is ``row · x + constant``.

        Parameters
        ----------
        x
            The input of each feature ``[n, d_model]``.
        features
            ``[n]``.
        """
        rows, constants = [], []
        for at, some in zip(x.split(ROWS), features.split(ROWS), strict=True):
            with torch.enable_grad():
                start = at.detach().clone().requires_grad_()
                value = self.encode(start).gather(-1, some[:, None])[:, 0]
                (row,) = torch.autograd.grad(value.sum(), start)
            rows.append(row)
            constants.append((value - (row * start).sum(-1)).detach())
        if not rows:
            return x.new_zeros(0, x.shape[-1]), x.new_zeros(0)
        return torch.cat(rows), torch.cat(constants)


class SparseTranscoder(Transcoder):
    """A transcoder from its weights: features ``f(x W_enc + b_enc)``, output ``f W_dec + b_dec``.

    With a decoder for each of several layers it is one layer of a cross-layer transcoder (Ameisen
    et al. 2025): an MLP's output is then what its own and all earlier layers' features write.

    Parameters
    ----------
    w_enc, b_enc
        ``[d_model, n_features]``, ``[n_features]``.
    w_dec, b_dec
        ``[n_features, d_model]``, or ``[n_features, steps, d_model]``: what is written into the
        output of the layer's own MLP, of the next layer's, …; ``[d_model]``, of its own MLP.
    threshold
        A feature is active above it (JumpReLU), ``[n_features]`` or one number; default 0 (ReLU).
    k
        Only the k largest features of a token stay (TopK).
    skip
        As of :class:`Transcoder`.

    Examples
    --------
    >>> iw.Transcoders({3: SparseTranscoder(W_enc, b_enc, W_dec, b_dec, k=32)})
    """

    def __init__(
        self,
        w_enc: Tensor,
        b_enc: Tensor,
        w_dec: Tensor,
        b_dec: Tensor,
        *,
        threshold: Tensor | float | None = None,
        k: int | None = None,
        skip: Tensor | None = None,
    ) -> None:
        fits = w_dec.ndim in (2, 3) and (w_dec.shape[-1], w_dec.shape[0]) == tuple(w_enc.shape)
        if not fits or 0 in w_dec.shape:
            raise ValueError(
                f"W_enc is [d_model, n_features] and W_dec [n_features, d_model] or "
                f"[n_features, steps, d_model], not {[*w_enc.shape]} and {[*w_dec.shape]}"
            )
        super().__init__(self._encode, self._decode, skip)
        self.w_enc, self.b_enc, self.w_dec, self.b_dec = w_enc, b_enc, w_dec, b_dec
        self.threshold = threshold
        self.k = k
        self.steps = 1 if w_dec.ndim == 2 else w_dec.shape[1]

    def _onto(self, step: int) -> Tensor:
        return self.w_dec if self.w_dec.ndim == 2 else self.w_dec[:, step]

    def _encode(self, x: Tensor) -> Tensor:
        self._follow(x)
        before = x.to(self.w_enc.dtype) @ self.w_enc + self.b_enc
        active = before > (0 if self.threshold is None else self.threshold)
        z = before * active
        if self.k is not None and self.k < z.shape[-1]:
            least = z.topk(self.k, dim=-1).values[..., -1:]
            z = z * (z >= least)
        return z

    def _decode(self, z: Tensor) -> Tensor:
        self._follow(z)
        return z.to(self.w_dec.dtype) @ self._onto(0) + self.b_dec

    def _follow(self, x: Tensor) -> None:
        """Move the weights to where they are needed, once."""
        if self.w_enc.device == x.device:
            return
        for name in ("w_enc", "b_enc", "w_dec", "b_dec", "threshold"):
            value = getattr(self, name)
            if isinstance(value, Tensor):
                setattr(self, name, value.to(x.device))

    def bias(self, features: int, like: Tensor) -> Tensor:
        """Return the decoder's bias ``[d_model]``."""
        del features
        self._follow(like)
        return self.b_dec

    def writers(self, features: Tensor, count: int, like: Tensor, step: int = 0) -> Tensor:
        """Return decoder rows ``[n, d_model]``."""
        del count
        self._follow(like)
        return self._onto(step)[features]

    def readers(self, x: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return encoder columns ``[n, d_model]`` and biases ``[n]``: the pre-activation."""
        self._follow(x)
        return self.w_enc.T[features], self.b_enc[features]


class Transcoders:
    """The transcoders of a model by layer; a layer without one is all error.

    Parameters
    ----------
    layers
        ``{layer: Transcoder}``, or ``{layer: (encode, decode)}`` with functions as
        :class:`Transcoder` takes them.
    name
        What files and captions call them.
    before_norm
        Where a norm follows the MLP (Gemma 2): whether the transcoders imitate what the MLP gives
        before that norm. Default: after it, what is added to the residual stream, as Gemma Scope.
    labels
        Names of features, ``{"3.17": "Mary"}``.

    Examples
    --------
    >>> mine = iw.Transcoders({0: (encode, decode), 1: (other_encode, other_decode)}, name="mine")
    >>> iw.Transcoders.load("folder/of/safetensors")
    """

    def __init__(
        self,
        layers: Mapping[int, Transcoder | tuple[Map, Map]],
        name: str = "transcoders",
        *,
        before_norm: bool = False,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        if not layers:
            raise ValueError("transcoders of no layer: give at least one, {0: (encode, decode)}")
        self.layers = {
            int(i): t if isinstance(t, Transcoder) else Transcoder(*t) for i, t in layers.items()
        }
        self.name = name
        self.before_norm = before_norm
        self.labels = dict(labels or {})
        self._path: str | None = None
        _known[self.fingerprint] = self

    def __getitem__(self, layer: int) -> Transcoder:
        return self.layers[layer]

    def __contains__(self, layer: object) -> bool:
        return layer in self.layers

    def __repr__(self) -> str:
        return f"Transcoders({self.name!r}: layers {', '.join(map(str, sorted(self.layers)))})"

    @property
    def fingerprint(self) -> str:
        """Short name of the weights; of functions, of these very objects."""
        digest = hashlib.blake2b(digest_size=8)
        for i, one in sorted(self.layers.items()):
            digest.update(f"{i}:".encode())
            if not isinstance(one, SparseTranscoder):
                digest.update(str(id(one)).encode())
                continue
            digest.update(f"{one.k}".encode())
            for value in (one.w_enc, one.b_enc, one.w_dec, one.b_dec, one.threshold, one.skip):
                if not isinstance(value, Tensor):
                    digest.update(f"{value}".encode())
                    continue
                sample = value.detach().flatten()[:: max(1, value.numel() // 1000)]
                digest.update(f"{[*value.shape]}".encode())
                digest.update(sample.float().cpu().numpy().tobytes())
        return digest.hexdigest()

    @classmethod
    def load(cls, path: str | Path, name: str | None = None) -> Self:
        """Read transcoders from safetensors; no pickle is opened and no code is run.

        Parameters
        ----------
        path
            One file with ``"<layer>.W_enc"``, ``W_dec``, ``b_enc``, ``b_dec`` (``threshold``,
            ``W_skip``); a folder with a file per layer, its number in the name, and the same
            names without it; a cross-layer transcoder as circuit-tracer stores it
            (``W_enc_3.safetensors`` with ``b_enc_3``, ``b_dec_3``, and ``W_dec_3.safetensors``
            ``[n_features, steps, d_model]``); or a folder of SAELens folders (``cfg.json``,
            ``sae_weights.safetensors``). ``W_enc`` may be stored either way round.
        name
            Default: the name of the file or folder.

        Raises
        ------
        ValueError
            When the files are not of such a layout, or need a processing of the activations that
            is not done here.
        """
        layers, stem = files.read(Path(path))
        made = cls({i: SparseTranscoder(**parts) for i, parts in layers.items()}, name=name or stem)
        made._path = str(path)
        return made

    @classmethod
    def neurons(cls, session: Session, prompt: Prompt) -> Self:
        """Return the model's own neurons as transcoders: nothing is left over, little is sparse.

        Raises
        ------
        SiteError
            When a block's MLP is of a form that is not known (a mixture of experts).
        """
        layers: dict[int, Transcoder | tuple[Map, Map]] = {}
        for i, parts in enumerate(MlpParts.of(session, prompt)):
            layers[i] = Transcoder(parts.neurons, _down(parts))
        return cls(layers, name="neurons", before_norm=True)

    # In recipes

    def to_recipe(self) -> dict[str, Any]:
        """Return how a recipe names them: by their file, or this object while it lives."""
        named = {"name": self.name, "fingerprint": self.fingerprint, "path": self._path}
        return {"$transcoders": named}

    @classmethod
    def from_recipe(cls, named: Mapping[str, Any]) -> Transcoders:
        """Return the transcoders that a recipe names.

        Raises
        ------
        ValueError
            When they were made in a process that has ended, or the file holds others now.
        """
        known = _known.get(str(named["fingerprint"]))
        if known is not None:
            return known
        if named.get("path") is None:
            raise ValueError(
                f"the recipe used the transcoders {named['name']!r}, which lived in a process that "
                "has ended: make them again and call the method with them"
            )
        found = cls.load(named["path"], named["name"])
        if found.fingerprint != named["fingerprint"]:
            raise ValueError(f"{named['path']} holds other transcoders than the recipe used")
        return found


_known: weakref.WeakValueDictionary[str, Transcoders] = weakref.WeakValueDictionary()
arguments.READERS["$transcoders"] = Transcoders.from_recipe


def _down(parts: MlpParts) -> Map:
    def decode(z: Tensor) -> Tensor:
        written = z @ parts.rows("down")
        bias = parts.bias("down")
        return written if bias is None else written + bias

    return decode
