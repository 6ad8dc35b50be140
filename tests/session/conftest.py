"""Tiny models: one thread each, so that tests side by side do not wait for one another."""

from __future__ import annotations

import torch

torch.set_num_threads(1)
