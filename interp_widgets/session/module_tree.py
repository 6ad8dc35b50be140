"""The module tree of a model as plain data, with the sites that live in each module."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from interp_widgets.session.anatomy import Anatomy


def module_tree(anatomy: Anatomy) -> dict[str, Any]:
    """Return nested plain data: `name, path, class, parameters, shape, sites, children`.

    `parameters` counts those of the children too, shared ones once; `shape` is the output's in the
    trial forward pass, None for modules that did not run; `sites` lists names such as `"z.3"`.
    """
    here: dict[str, list[str]] = {}
    for site in anatomy.expand(anatomy.sites):
        here.setdefault(anatomy.locate(site).path, []).append(str(site))
    return _node(anatomy.root, type(anatomy.root).__name__, "", here, anatomy.output_shapes)


def _node(
    module: nn.Module,
    name: str,
    path: str,
    here: Mapping[str, list[str]],
    shapes: Mapping[str, tuple[int, ...]],
) -> dict[str, Any]:
    shape = shapes.get(path)
    return {
        "name": name,
        "path": path,
        "class": type(module).__name__,
        "parameters": sum(p.numel() for p in module.parameters()),
        "shape": list(shape) if shape else None,
        "sites": here.get(path, []),
        "children": [
            _node(child, key, f"{path}.{key}" if path else key, here, shapes)
            for key, child in module.named_children()
        ],
    }
