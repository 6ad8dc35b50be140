"""Circuits of many sizes: what is lost when more of a model is taken away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from interp_widgets.results.array import ArrayResult
from interp_widgets.results.base import Result
from interp_widgets.results.registry import VIEWS
from interp_widgets.results.scatter import ScatterResult
from interp_widgets.results.task_circuit import node_parts

if TYPE_CHECKING:
    import pandas as pd

PARTS = ("accuracy", "kl", "heads")


class ExtractionSweep(Result):
    """Circuits found at many thresholds, by zero or mean ablation, with or without MLPs.

    Arrays ``[setting, repeat, threshold]``: ``kl`` (nats), ``accuracy``, ``weights`` (left,
    without embeddings), ``n_heads``, ``n_mlps``; ``kept [setting, repeat, threshold, node]``;
    ``thresholds [threshold]``; ``baseline [setting, repeat]``, accuracy of the whole model.
    ``meta``: ``settings`` (``{"ablation", "mlps", "name"}``), ``nodes``, ``layers``, ``heads``,
    ``total`` (weights of the whole model), ``n_prompts``.

    Examples
    --------
    >>> sizes = iw.extraction_sweep(prompts, thresholds=[0.01, 0.1])
    >>> sizes.frame(), sizes.figure("aaai")
    """

    kind = "extraction_sweep"

    def _check(self) -> None:
        shape = tuple(self.arrays["kl"].shape)
        wanted = (len(self.meta["settings"]), shape[1], len(self.arrays["thresholds"]))
        if shape != wanted or tuple(self.arrays["kept"].shape) != (*shape, len(self.meta["nodes"])):
            raise ValueError(f"arrays of shape {shape} do not fit settings and thresholds {wanted}")

    @property
    def thresholds(self) -> np.ndarray:
        """Thresholds in nats ``[threshold]``."""
        return self.numpy("thresholds")

    @property
    def settings(self) -> list[str]:
        """Names of the settings."""
        return [str(setting["name"]) for setting in self.meta["settings"]]

    @property
    def size_reduction(self) -> np.ndarray:
        """Share of the weights without embeddings that is gone, in the arrays' shape."""
        return np.asarray(1 - self.numpy("weights") / self.meta["total"])

    def frame(self) -> pd.DataFrame:
        """Return one row per setting, repeat and threshold."""
        import pandas as pd

        rows = []
        reduction = self.size_reduction
        names = ("kl", "accuracy", "weights", "n_heads", "n_mlps")
        arrays = {name: self.numpy(name) for name in names}
        for s, r, t in np.ndindex(reduction.shape):
            rows.append(
                {
                    "setting": self.settings[s],
                    "repeat": r,
                    "threshold": float(self.thresholds[t]),
                    **{name: array[s, r, t].item() for name, array in arrays.items()},
                    "size_reduction": float(reduction[s, r, t]),
                    "baseline_accuracy": float(self.numpy("baseline")[s, r]),
                }
            )
        return pd.DataFrame(rows)

    def kept(self, threshold: float, setting: int | str = 0, repeat: int = 0) -> list[str]:
        """Return the nodes kept at the threshold nearest to this one, on a logarithmic scale.

        Raises
        ------
        ValueError
            For a threshold that is not positive, or an unknown setting.
        """
        if not threshold > 0:
            raise ValueError(f"the threshold is {threshold}; it has to be above 0")
        t = int(np.abs(np.log(self.thresholds / threshold)).argmin())
        chosen = self.numpy("kept")[self._setting(setting), repeat, t].astype(bool)
        return [name for name, own in zip(self.meta["nodes"], chosen, strict=True) if own]

    def _setting(self, setting: int | str) -> int:
        if isinstance(setting, int):
            return range(len(self.settings))[setting]
        if setting not in self.settings:
            raise ValueError(f"no setting {setting!r}; there are {', '.join(self.settings)}")
        return self.settings.index(setting)

    @property
    def stays(self) -> ArrayResult:
        """Whether each head is kept ``[setting, threshold, layer, head]``, share of the repeats."""
        shape = (int(self.meta["layers"]), int(self.meta["heads"]))
        share = self.numpy("kept").astype(np.float32).mean(1)
        values = np.full((*share.shape[:2], *shape), np.nan, np.float32)
        for i, name in enumerate(self.meta["nodes"]):
            layer, head = node_parts(name)
            if head is not None:
                values[:, :, layer, head] = share[:, :, i]
        arrays: dict[str, Any] = {"values": values}
        if np.isnan(values).any():
            arrays["mask"] = np.isnan(values)
        labels = {
            "setting": self.settings,
            "threshold": [f"{t:.3g}" for t in self.thresholds],
            "layer": [str(i) for i in range(shape[0])],
        }
        meta = {
            "dims": ["setting", "threshold", "layer", "head"],
            "labels": labels,
            "quantity": "share of runs that keep the head",
            "signed": False,
            "title": f"{self.title}: heads kept",
        }
        return ArrayResult(arrays, meta)

    def points(self, quantity: str = "accuracy") -> ScatterResult:
        """Return ``"accuracy"`` or ``"kl"`` against size reduction, a mean over repeats a point."""
        if quantity not in ("accuracy", "kl"):
            raise ValueError(f"quantity is accuracy or kl, not {quantity!r}")
        names = {
            "accuracy": ("Accuracy", "share of prompts answered rightly"),
            "kl": ("KL divergence", "nats"),
        }
        x = self.size_reduction.mean(1)
        y = self.numpy(quantity).mean(1)
        title, unit = names[quantity]
        circuits = [f"{name}, {t:.2g} nats" for name in self.settings for t in self.thresholds]
        meta = {
            "dims": ["circuit"],
            "labels": {"circuit": circuits},
            "x": {"title": "Size reduction", "quantity": "share of weights that is gone"},
            "y": {"title": title, "quantity": unit},
            "title": f"{self.title}: {title} against size reduction",
        }
        arrays = {
            "x": x.reshape(-1).astype(np.float32),
            "y": y.reshape(-1).astype(np.float32),
            "cell": np.arange(x.size, dtype=np.int64)[:, None],
        }
        return ScatterResult(arrays, meta)

    def rates(self, reference: Sequence[str], setting: int | str = 0) -> pd.DataFrame:
        """Return true and false positive rates of heads by threshold, mean over repeats.

        Parameters
        ----------
        reference
            Names of heads found by hand.
        setting
            Number or name of a setting.

        Returns
        -------
        DataFrame
            ``threshold``, ``true_positive_rate``, ``false_positive_rate``; ``attrs["auc"]`` is the
            area under them, with the ends (0, 0) and (1, 1) added.

        Raises
        ------
        ValueError
            When the reference has none, or all, of the heads.
        """
        import pandas as pd

        heads = [i for i, name in enumerate(self.meta["nodes"]) if ".h" in name]
        names = {f"a{a}.h{b}" for a, b in map(node_parts, reference) if b is not None}
        wanted = np.array([self.meta["nodes"][i] in names for i in heads])
        if not 0 < wanted.sum() < len(wanted):
            raise ValueError(f"the reference has {int(wanted.sum())} of {len(wanted)} heads")
        kept = self.numpy("kept")[self._setting(setting)][..., heads].astype(bool)
        hit = kept[..., wanted].mean(-1).mean(0)
        false = kept[..., ~wanted].mean(-1).mean(0)
        found = pd.DataFrame(
            {
                "threshold": self.thresholds,
                "true_positive_rate": hit,
                "false_positive_rate": false,
            }
        )
        order = np.lexsort((hit, false))
        x, y = np.r_[0, false[order], 1], np.r_[0, hit[order], 1]
        found.attrs["auc"] = float(np.trapezoid(y, x))
        return found

    def text(self) -> str:
        """Say what the smallest circuits of good accuracy are."""
        parts = [
            f"{self.title}: {len(self.thresholds)} thresholds, {self.meta['n_prompts']} prompts"
        ]
        accuracy, reduction = self.numpy("accuracy").mean(1), self.size_reduction.mean(1)
        kl, baseline = self.numpy("kl").mean(1), self.numpy("baseline").mean(1)
        for s, name in enumerate(self.settings):
            good = np.flatnonzero(accuracy[s] >= baseline[s] - 0.02)
            if not len(good):
                parts.append(f"{name}: no circuit within 2 points of the whole model's accuracy")
                continue
            t = good[reduction[s][good].argmax()]
            parts.append(
                f"{name}: {reduction[s, t]:.1%} fewer weights at accuracy {accuracy[s, t]:.3f} "
                f"(whole model {baseline[s]:.3f}), KL {kl[s, t]:.3g} nats, threshold "
                f"{self.thresholds[t]:.3g}"
            )
        return "; ".join(parts)

    def view(self, part: str = "accuracy", **state: Any) -> Any:
        """Open a part as a live view: ``"accuracy"``, ``"kl"`` (points) or ``"heads"``.

        ``"heads"`` is a grid with a stepper through the thresholds.

        Raises
        ------
        ValueError
            For another part.
        """
        if part not in PARTS:
            raise ValueError(f"part is one of {', '.join(PARTS)}, not {part!r}")
        if part != "heads":
            state.setdefault("identity", False)
        result: Result = self.stays if part == "heads" else self.points(part)
        return VIEWS.get(result.kind)(result, **state)
