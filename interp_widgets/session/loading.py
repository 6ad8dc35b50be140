"""Opening a model: a Hugging Face id or folder, a torch module or an nnsight model."""

from __future__ import annotations

import hashlib
import inspect
import os
import warnings
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from interp_widgets.session.errors import ModelError

if TYPE_CHECKING:
    from interp_widgets.session.worker import Worker

CHECK_ALL = 300_000_000  # parameters up to which every one is checked for NaN


def choose_device(device: str | torch.device | None) -> torch.device:
    """Return the device asked for, or the best there is: CUDA, then MPS, then the CPU.

    Raises
    ------
    ModelError
        When the device is not there.
    """
    if device is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        if torch.backends.mps.is_available():
            return torch.device("mps")
        return torch.device("cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"there is no device {str(device)!r} here: {error}") from error
    return chosen


def read_dtype(dtype: str | torch.dtype | None) -> torch.dtype | None:
    """Return a torch dtype from its name."""
    if dtype is None or isinstance(dtype, torch.dtype):
        return dtype
    found = getattr(torch, str(dtype).removeprefix("torch."), None)
    if not isinstance(found, torch.dtype):
        raise ModelError(f"{dtype!r} is no dtype; write 'float32', 'bfloat16' or 'float16'")
    return found


def open_model(
    source: Any,
    tokenizer: Any,
    device: str | torch.device | None,
    dtype: str | torch.dtype | None,
    *,
    remote: bool = False,
) -> tuple[Any, nn.Module, Any]:
    """Return nnsight model (None where one is to be made), torch module and tokenizer."""
    wanted = read_dtype(dtype)
    if isinstance(source, str | os.PathLike):
        module, found = load(os.fspath(source), wanted)
        module.to(choose_device(device))
        tokenizer = tokenizer if tokenizer is not None else found
        return _remotable(module, tokenizer) if remote else None, module, tokenizer
    envoy = None
    if isinstance(source, nn.Module):
        module = source
    elif isinstance(getattr(source, "_module", None), nn.Module):
        envoy = source
        if hasattr(envoy, "dispatch"):
            envoy.dispatch()
        module = envoy._module  # noqa: SLF001 - nnsight's name for the wrapped module
        tokenizer = tokenizer if tokenizer is not None else getattr(envoy, "tokenizer", None)
    else:
        raise ModelError(
            f"Session takes a Hugging Face id or folder, a torch module or an nnsight model, "
            f"not {type(source).__name__}"
        )
    if device is not None:
        module.to(choose_device(device))
    if wanted is not None:
        module.to(wanted)
    return envoy, module, tokenizer


def wrap(module: nn.Module, envoy: Any, worker: Worker) -> Any:
    """Return the nnsight model of a module: the given one, another session's, or a new one."""
    if envoy is None and worker.envoy is not None:
        envoy = worker.envoy()
    if envoy is None:
        import nnsight

        with warnings.catch_warnings():
            # BERT has submodules called "output"; locations know nnsight's other name for them
            warnings.filterwarnings("ignore", message="Module '.*' has a submodule named")
            envoy = nnsight.NNsight(module)
    worker.envoy = weakref.ref(envoy)
    return envoy


def _remotable(module: nn.Module, tokenizer: Any) -> Any:
    """Wrap a model so that nnsight can name it to a server."""
    from nnsight.modeling.transformers import TransformersModel

    try:
        return TransformersModel(module, tokenizer=tokenizer)
    except Exception as error:
        raise ModelError(f"nnsight cannot offer this model to a server: {error}") from error


def load(name: str, dtype: torch.dtype | None) -> tuple[nn.Module, Any]:
    """Load a model and its tokenizer (None without one) through transformers.

    Only safetensors weights are read and no code of the repository is run.

    Raises
    ------
    ModelError
        When it cannot be found or loaded.
    """
    import transformers

    if name.startswith((".", "~", os.sep)) and not Path(name).is_dir():
        raise ModelError(f"{name!r} cannot be loaded: there is no such folder")
    try:
        config = transformers.AutoConfig.from_pretrained(name, trust_remote_code=False)
        named = [getattr(transformers, a, None) for a in config.architectures or ()]
        kind = next((c for c in named if c is not None), transformers.AutoModel)
        module = kind.from_pretrained(
            name,
            dtype=dtype if dtype is not None else "auto",
            use_safetensors=True,
            **({} if kind is not transformers.AutoModel else {"trust_remote_code": False}),
        )
    except (OSError, ValueError) as error:
        hint = "check the name and the network" if not Path(name).exists() else "check the folder"
        raise ModelError(f"{name!r} cannot be loaded ({hint}): {error}") from error
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError):
        tokenizer = None  # images, or a model that takes ids
    return module, tokenizer


def check_weights(module: nn.Module) -> None:
    """Refuse weights that are not finite: everything computed with them would be NaN.

    Raises
    ------
    ModelError
        Naming the first such parameter.
    """
    budget = CHECK_ALL
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.is_meta or not parameter.is_floating_point():
                continue
            values = parameter.detach()
            budget -= values.numel()
            if budget < 0:
                values = _sample(values, 4096)
            if values.is_sparse or bool(torch.isfinite(values).all()):
                continue
            raise ModelError(
                f"the weights {name!r} hold NaN or infinity, so every activation after them would "
                "too; load the checkpoint again or in another dtype"
            )


def fingerprint(module: nn.Module) -> str:
    """Return a cheap fingerprint of the weights: names, shapes, dtypes and 16 values of each."""
    digest = hashlib.blake2b(digest_size=8)
    with torch.no_grad():
        for name, parameter in module.state_dict(keep_vars=True).items():
            digest.update(f"{name} {tuple(parameter.shape)} {parameter.dtype}".encode())
            if not parameter.is_meta and parameter.numel():
                digest.update(_sample(parameter.detach(), 16).double().cpu().numpy().tobytes())
    return digest.hexdigest()


def describe(module: nn.Module, name: str | None) -> dict[str, Any]:
    """Return what recipes say of a model; never a path of this machine."""
    config = getattr(module, "config", None)
    if name is None:
        name = getattr(config, "_name_or_path", "") or type(module).__name__
    if Path(name).is_absolute() or Path(name).exists() or "\\" in name:
        name = Path(name).name or type(module).__name__
    first = next(module.parameters(), None)
    return {
        "name": name,
        "class": type(module).__name__,
        "revision": getattr(config, "_commit_hash", None),
        "dtype": str(first.dtype).removeprefix("torch.") if first is not None else None,
        "parameters": sum(p.numel() for p in module.parameters()),
        "fingerprint": fingerprint(module),
    }


class Signature:
    """How a module wants to be called.

    Parameters
    ----------
    module
        The torch module.
    """

    def __init__(self, module: nn.Module) -> None:
        self.config = getattr(module, "config", None)
        self.main_input = getattr(module, "main_input_name", None)
        try:
            self.accepted = set(inspect.signature(module.forward).parameters)
        except (TypeError, ValueError):
            self.accepted = set()
        self.named = self.config is not None and "input_ids" in self.accepted | {self.main_input}
        embedding = None
        getter = getattr(module, "get_input_embeddings", None)
        if getter is not None:
            try:
                embedding = getter()
            except (NotImplementedError, AttributeError):
                embedding = None
        rows = getattr(embedding, "num_embeddings", None)
        self.vocabulary: int | None = rows or (_number(self.config, "vocab_size"))
        self.max_positions = self._limit(module)
        self.grid = self._image_grid()

    def call(self, values: Any, ids: Any, mask: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return ``(args, kwargs)`` for ids ``[batch, position]`` or float values."""
        extra: dict[str, Any] = {}
        if "use_cache" in self.accepted:
            extra["use_cache"] = False
        if values is not None:
            name = self.main_input if self.config is not None else None
            if name in self.accepted and name != "input_ids":
                return (), {name: values}
            if "pixel_values" in self.accepted and self.grid is not None:
                return (), {"pixel_values": values}
            return (values,), {}
        if "input_ids" not in self.accepted:
            return (ids,), {}
        if "attention_mask" in self.accepted:
            extra["attention_mask"] = torch.ones_like(ids) if mask is None else mask.to(ids.dtype)
        return (), {"input_ids": ids, **extra}

    def _limit(self, module: nn.Module) -> int | None:
        for name in ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len"):
            limit = _number(self.config, name)
            if limit:
                break
        else:
            return None
        offset = next(
            (
                m.padding_idx + 1
                for n, m in module.named_modules()
                if n.endswith("position_embeddings")
                and isinstance(m, nn.Embedding)
                and m.padding_idx is not None
                and m.num_embeddings == limit
            ),
            0,
        )
        return limit - offset

    def _image_grid(self) -> tuple[int, int, int] | None:
        config = getattr(self.config, "vision_config", None) or self.config
        size, patch = (getattr(config, n, None) for n in ("image_size", "patch_size"))
        if self.main_input != "pixel_values" or not size or not patch:
            return None
        sizes, patches = (x if isinstance(x, tuple | list) else (x, x) for x in (size, patch))
        rows, columns = sizes[0] // patches[0], sizes[1] // patches[1]
        return (1, rows, columns)


def _sample(values: torch.Tensor, count: int) -> torch.Tensor:
    flat = values.reshape(-1)
    step = max(1, flat.numel() // count)
    return flat[::step][:count]


def _number(config: Any, name: str) -> int | None:
    value = getattr(config, name, None)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def device_memory(device: torch.device) -> tuple[int | None, int | None]:
    """Return free and total bytes of a device, None where they are not known."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return free + reserved, total
    if device.type == "mps":
        total = int(torch.mps.recommended_max_memory())
        return total - int(torch.mps.driver_allocated_memory()), total
    try:
        page = os.sysconf("SC_PAGE_SIZE")
        return os.sysconf("SC_AVPHYS_PAGES") * page, os.sysconf("SC_PHYS_PAGES") * page
    except (ValueError, OSError, AttributeError):
        return None, None


def empty_device_cache(device: torch.device) -> None:
    """Give memory that torch keeps for itself back to the device."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def default_cache_bytes(device: torch.device) -> int:
    """Return a fifth of the free memory, at most 2 GiB and at least 64 MiB."""
    free, _total = device_memory(device)
    return int(min(2 * 2**30, max(64 * 2**20, (free or 2**30) / 5)))
