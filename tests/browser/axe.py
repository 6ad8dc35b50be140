"""The rules of axe-core, run on a page."""

from __future__ import annotations

from pathlib import Path

AXE = Path(__file__).parents[2] / "js" / "node_modules" / "axe-core" / "axe.min.js"

AUDIT = """async () => (await axe.run(document)).violations.flatMap(rule => rule.nodes.map(
    node => `${rule.id} (${rule.impact}): ${node.html.slice(0, 160)}`))"""
