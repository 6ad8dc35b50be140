"""Top tokens of many vectors: the same as from the whole matrix, in memory that does not grow."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from interp_widgets.methods.weights import keep_k, right_inverse, top_pairs, top_tokens


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Largest(TorchDispatchMode):
    """The most entries of any tensor that is made."""

    def __init__(self):
        super().__init__()
        self.entries, self.given = 0, set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, (list, tuple)) else [made]:
            if isinstance(tensor, torch.Tensor) and tensor.data_ptr() not in self.given:
                self.entries = max(self.entries, tensor.numel())
        return made


@pytest.mark.parametrize("vocabulary", [503, 1000])
def test_chunks_give_what_the_whole_matrix_gives(vocabulary):
    rows, table = draw(70, 24), draw(vocabulary, 24, seed=1)
    found = top_tokens(rows, table, 9, chunk=64, tile=33, half=False)
    for i, sign in enumerate((1, -1)):
        whole = (sign * rows.double() @ table.double().T).float()
        values, ids = whole.topk(9, dim=1)
        assert (found.ids[:, i] == ids).all()
        log_p = whole.log_softmax(1)
        for ours, expected in (
            (found.logits[:, i], values),
            (found.lse[:, i], whole.logsumexp(1)),
            (found.entropy[:, i], -(log_p.exp() * log_p).sum(1)),
            (found.probability[:, i], log_p.exp().gather(1, ids)),
        ):
            torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)


def test_logits_too_large_for_plain_exponentials_are_summed_with_a_shift():
    rows, table = draw(20, 24), draw(640, 24, seed=1)
    table[64:128] *= 60  # one chunk of ten reaches into the thousands, for some of the rows
    rows[::2] *= 0.01
    found = top_tokens(rows, table, 5, chunk=64, tile=8, half=False)
    for i, sign in enumerate((1, -1)):
        whole = sign * rows.double() @ table.double().T
        assert whole.max() > 500
        log_p = whole.log_softmax(1)
        expected = whole.logsumexp(1), -(log_p.exp() * log_p).sum(1)
        for ours, exact in zip((found.lse[:, i], found.entropy[:, i]), expected, strict=True):
            torch.testing.assert_close(ours.double(), exact, atol=2e-4, rtol=1e-5)


def test_half_precision_gives_the_same_tokens_and_logits():
    rows, table = draw(300, 32), draw(2000, 32, seed=1)
    exact, rough = (top_tokens(rows, table, 20, half=half) for half in (False, True))
    assert (exact.ids == rough.ids).all()
    torch.testing.assert_close(exact.logits, rough.logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(exact.lse, rough.lse, atol=5e-3, rtol=0)


def test_memory_does_not_grow_with_the_vocabulary():
    peaks = []
    for vocabulary in (600, 6000):
        table, rows = draw(vocabulary, 16), draw(40, 16)
        with Largest() as seen:
            seen.given = {table.data_ptr(), rows.data_ptr()}
            top_tokens(rows, table, 5, chunk=128, tile=16, half=False)
        peaks.append(seen.entries)
    assert peaks[0] == peaks[1] <= 2 * 16 * 128


def test_what_cannot_be_ranked_is_refused():
    rows, table = draw(3, 4), draw(10, 4)
    with pytest.raises(ValueError, match="k=11 must be between 1"):
        top_tokens(rows, table, 11)
    with pytest.raises(ValueError, match="do not fit"):
        top_tokens(draw(3, 5), table)
    rows[1, 2] = torch.nan
    with pytest.raises(ValueError, match="NaN"):
        top_tokens(rows, table, 2)
    assert top_tokens(rows[:0], table, 2).ids.shape == (0, 2, 2)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("identical", [True, False])
def test_pairs_of_tokens_are_those_of_the_whole_matrix(monkeypatch, sign, identical):
    from interp_widgets.methods.weights import heads

    monkeypatch.setattr(heads, "ROWS", 60)
    monkeypatch.setattr(heads, "COLUMNS", 90)
    a, b = draw(500, 8), draw(500, 8, seed=1)
    values, places = top_pairs(a, b, 40, sign=sign, identical=identical)
    whole = a @ b.T
    if not identical:
        whole.fill_diagonal_(-sign * torch.inf)
    expected, flat = (sign * whole).flatten().topk(40)
    torch.testing.assert_close(values, sign * expected)
    assert places.tolist() == [[int(i) // 500, int(i) % 500] for i in flat]


def test_the_right_inverse_is_one():
    table = draw(120, 16)
    torch.testing.assert_close(table.T @ right_inverse(table), torch.eye(16), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("k", "cosine"), [(20, 0.56), (100, 0.80), (200, 0.90), (400, 0.96), (1000, 0.985)]
)
def test_inner_products_survive_keeping_the_largest_projections(k, cosine):
    x, table = draw(300, 64), draw(64, 2000, seed=1)
    grams = [x @ x.T, keep_k(x @ table, k) @ keep_k(x @ table, k).T]
    found = torch.nn.functional.cosine_similarity(*(g.flatten() for g in grams), dim=0)
    assert abs(float(found) - cosine) < 0.02
