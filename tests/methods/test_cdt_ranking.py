"""Heads of models that repeat a string, ranked by CD-T and by mean ablation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from interp_widgets.methods.cdt import Source, decompose
from interp_widgets.session.session import Session
from interp_widgets.session.sites import Site
from tests.methods import repeat_toy
from tests.methods.repeat_toy import LENGTH, SEEDS, strings

HEADS = [(layer, head) for layer in range(2) for head in range(4)]


def means(model, ids):
    """What heads write on average, position by position, by plain hooks."""
    found = {}
    handles = [
        block.attn.c_proj.register_forward_pre_hook(
            lambda _, args, i=i: found.__setitem__(i, args[0].unflatten(-1, (4, -1)).mean(0))
        )
        for i, block in enumerate(model.transformer.h)
    ]
    with torch.no_grad():
        model(input_ids=ids)
    for handle in handles:
        handle.remove()
    return found


def right(logits, ids):
    """Mean logit of the right token beyond the mean logit, over the repetition."""
    logits, answers = logits[..., LENGTH - 1 :, :], ids[:, LENGTH:]
    answers = answers.expand(logits.shape[:-1])
    gap = logits.gather(-1, answers[..., None])[..., 0] - logits.mean(-1)
    return gap.mean(-1)


def drops(model, ids, mean):
    """What mean ablation of each head costs, by plain hooks."""

    def measured(layer=0, head=None):
        def replace(_, args):
            z = args[0].unflatten(-1, (4, -1)).clone()
            if head is not None:
                z[:, :, head] = mean[layer][:, head]
            return (z.flatten(-2),)

        handle = model.transformer.h[layer].attn.c_proj.register_forward_pre_hook(replace)
        with torch.no_grad():
            value = float(right(model(input_ids=ids[:, :-1]).logits, ids).mean())
        handle.remove()
        return value

    whole = measured()
    return np.array([whole - measured(*head) for head in HEADS])


@pytest.fixture(scope="module")
def ranked():
    """Of each model: drops, CD-T's scores and largest attention weights, by head."""
    found = []
    for seed in range(SEEDS):
        model = repeat_toy.load(seed)
        session, generator = Session(model), torch.Generator().manual_seed(5)
        mean = means(model, strings(256, generator)[:, :-1])
        reference = {Site("z", layer): value for layer, value in mean.items()}
        drop = drops(model, strings(96, generator), mean)
        sources, scores, weights = [Source(*head) for head in HEADS], [], []
        for ids in strings(5, generator):
            prompt = session.prompt(ids[:-1].tolist())
            parts = decompose(session, prompt, sources, reference=reference)
            scores.append(right(parts.relevant, ids[None]))
            patterns = session.capture(prompt, [Site("pattern", i) for i in range(2)])
            largest = [patterns[Site("pattern", i)][:, LENGTH - 1 :].amax(-1) for i in range(2)]
            weights.append(torch.cat(largest).mean(-1))
        found.append([drop, *(torch.stack(x).mean(0).numpy() for x in (scores, weights))])
    return found


def test_heads_are_ranked_as_mean_ablation_ranks_them(ranked):
    """|drop|: CD-T 0.98, 0.90, 0.83, the largest attention weight 0.86, 0.93, 0.60."""
    own, baseline = [], []
    for drop, score, weight in ranked:
        assert np.argmax(score) == np.argmax(drop)
        helping = drop > 0
        assert 2 <= helping.sum() < 8
        assert spearmanr(drop[helping], score[helping]).statistic == pytest.approx(1)
        assert score[~helping].max() < score[helping].min()
        own.append(spearmanr(np.abs(drop), score).statistic)
        baseline.append(spearmanr(np.abs(drop), weight).statistic)
    assert np.mean(own) >= 0.8
    assert np.mean(own) > np.mean(baseline)
    assert any(np.argmax(weight) != np.argmax(drop) for drop, _, weight in ranked)


def test_a_head_that_hurts_a_little_has_a_small_positive_score(ranked):
    """The rule for opposite signs leaves no negative relevance: a limit of the method."""
    for drop, score, _ in ranked:
        hurting = drop < 0
        assert hurting.any()
        assert (score[hurting] > 0).all()
        assert score[hurting].max() < 0.05 * score.max()
