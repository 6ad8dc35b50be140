"""Reading transcoders from safetensors, in the layouts that are in use."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

Parts = dict[str, Any]
NAMES = {"W_enc": "w_enc", "b_enc": "b_enc", "W_dec": "w_dec", "b_dec": "b_dec"}
OPTIONAL = {"threshold": "threshold", "W_skip": "skip"}


def read(path: Path) -> tuple[dict[int, Parts], str]:
    """Return of each layer the arguments of a ``SparseTranscoder``, and a name.

    Raises
    ------
    ValueError
        When the files are not of a known layout.
    """
    if path.is_file():
        return _one_file(path), path.stem
    if not path.is_dir():
        raise ValueError(f"there is no file or folder {path}")
    configs = sorted(path.rglob("cfg.json"))
    if configs:
        return dict(_saelens(config) for config in configs), path.name
    encoders = sorted(path.glob("W_enc_*.safetensors"))
    if encoders:
        return dict(_cross_layer(file) for file in encoders), path.name
    layers: dict[int, Parts] = {}
    for file in sorted(path.glob("*.safetensors")):
        numbers = re.findall(r"\d+", file.stem)
        if len(numbers) != 1:
            raise ValueError(f"{file.name} should have one number in its name, that of its layer")
        if int(numbers[0]) in layers:
            raise ValueError(f"two files in {path} are of layer {int(numbers[0])}")
        tensors, metadata = _tensors(file)
        layers[int(numbers[0])] = _parts(tensors, metadata, file.name)
    if not layers:
        raise ValueError(f"there are no .safetensors files in {path}")
    return layers, path.name


def _one_file(path: Path) -> dict[int, Parts]:
    tensors, metadata = _tensors(path)
    by_layer: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        layer, _, rest = name.partition(".")
        if not layer.isdigit() or not rest:
            raise ValueError(
                f'{path.name}: tensors of several layers are called "3.W_enc", not {name!r}'
            )
        by_layer.setdefault(int(layer), {})[rest] = tensor
    return {
        i: _parts(found, metadata, f"layer {i} of {path.name}") for i, found in by_layer.items()
    }


def _tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118 - not a dict
    except SafetensorError as error:
        raise ValueError(f"{path.name} is not a safetensors file: {error}") from error


def _parts(tensors: Mapping[str, Tensor], metadata: Mapping[str, str], where: str) -> Parts:
    missing = [name for name in NAMES if name not in tensors]
    if missing:
        raise ValueError(f"{where} has no {missing[0]}; it has {', '.join(tensors) or 'nothing'}")
    if tensors["W_dec"].ndim not in (2, 3):
        raise ValueError(
            f"{where}: W_dec is [n_features, d_model], or [n_features, steps, d_model] where it "
            f"writes into several layers, and has the shape {[*tensors['W_dec'].shape]}"
        )
    parts: Parts = {own: tensors[name].float() for name, own in NAMES.items()}
    for name, own in OPTIONAL.items():
        if name in tensors:
            parts[own] = tensors[name].float()
    if isinstance(parts.get("threshold"), Tensor):
        parts["threshold"] = parts["threshold"].flatten()
    features, width = parts["w_dec"].shape[0], parts["w_dec"].shape[-1]
    if features != width and tuple(parts["w_enc"].shape) == (features, width):
        parts["w_enc"] = parts["w_enc"].T
    if "k" in metadata:
        parts["k"] = int(metadata["k"])
    return parts


def _cross_layer(encoder: Path) -> tuple[int, Parts]:
    """Read one layer of a cross-layer transcoder, which circuit-tracer stores as two files."""
    layer = encoder.stem.removeprefix("W_enc_")
    decoder = encoder.with_name(f"W_dec_{layer}.safetensors")
    if not layer.isdigit() or not decoder.is_file():
        raise ValueError(f"beside {encoder.name} there is no {decoder.name}")
    tensors = {**_tensors(encoder)[0], **_tensors(decoder)[0]}
    plain = {name.removesuffix(f"_{layer}"): tensor for name, tensor in tensors.items()}
    return int(layer), _parts(plain, {}, f"layer {layer} of {encoder.parent.name}")


def _saelens(config: Path) -> tuple[int, Parts]:
    """Read a folder that SAELens wrote."""
    settings = json.loads(config.read_text(encoding="utf-8"))
    where = config.parent.name
    kind = str(settings.get("architecture", ""))
    if "transcoder" not in kind:
        raise ValueError(f"{where} is no transcoder but {kind or 'of no stated architecture'}")
    for name, plain in (("normalize_activations", "none"), ("reshape_activations", "none")):
        if settings.get(name, plain) not in (plain, None):
            raise ValueError(f"{where} needs {name}={settings[name]!r}, which is not done here")
    metadata = settings.get("metadata") or {}
    hook = str(metadata.get("hook_name") or settings.get("hook_name") or "")
    numbers = re.findall(r"\d+", hook)
    if not numbers:
        raise ValueError(f"{where}: its cfg.json names no hook with a layer ({hook!r})")
    tensors, _ = _tensors(config.parent / "sae_weights.safetensors")
    parts = _parts(tensors, {}, where)
    if settings.get("apply_b_dec_to_input"):
        raise ValueError(
            f"{where} subtracts b_dec from its input (apply_b_dec_to_input): fold it into b_enc"
        )
    if settings.get("k") is not None:
        parts["k"] = int(settings["k"])
    return int(numbers[0]), parts
