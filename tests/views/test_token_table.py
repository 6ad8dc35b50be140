"""The table of neurons and tokens: list, search, one row, clamp, page, figure."""

import numpy as np
import pytest
import torch

import interp_widgets as iw
from interp_widgets.results.token_table import TokenTable, concept
from tests.models import tiny_gpt2
from tests.views.fakes import ask

TEXTS = ["</script><b>", " dog", "Dog", "dog", " cat", "fish"]


def table(session=None, rows=30):
    """A table of neurons of 3 layers whose first row reads `` dog`` with certainty."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 6, (rows, 2, 2, 3)).astype(np.int32)
    p = np.sort(rng.uniform(0, 0.6, ids.shape).astype(np.float32), axis=-1)[..., ::-1].copy()
    ids[0, 0, 0], p[0, 0, 0, 0] = [1, 4, 5], 0.97
    arrays = {
        "ids": ids,
        "logits": np.log(p),
        "probability": p,
        "entropy": 1 - p[..., 0],
        "layer": np.arange(rows, dtype=np.int32) // 10,
        "unit": np.arange(rows, dtype=np.int32) % 10,
        "used": np.arange(6, dtype=np.int32),
    }
    meta = {
        "columns": ["up", "down"],
        "signs": ["+", "−"],
        "texts": TEXTS,
        "roles": ["read", "write"],
        "title": "neurons",
    }
    return TokenTable(arrays, meta, session=session)


def test_one_concept_in_three_spellings_is_found():
    result = table()
    assert concept(" dog") == concept("Dog") == concept("dog")
    rows = result.find("dog", "up")
    reads = np.isin(result.numpy("ids")[:, 0], [1, 2, 3]).any(axis=(1, 2))
    assert set(rows) == set(np.flatnonzero(reads))
    assert rows[0] == 0
    assert len(result.find("elephant")) == 0
    first = result.specialised(3)
    assert first.iloc[0].tolist()[:3] == [0, 0, "dog cat fish"]
    assert result.at({"layer": 2, "unit": 3}).iloc[0][["layer", "unit"]].tolist() == [2, 3]
    assert len(result.frame()) == 30
    assert "L0N0: up + ' dog'" in result.text()
    assert (result.order(by="entropy")[:1] == 0).all()


def test_bad_input_is_refused_in_words():
    result = table()
    with pytest.raises(ValueError, match="no column 'gate'; there are up, down"):
        result.column("gate")
    with pytest.raises(ValueError, match="by is"):
        result.order(by="size")
    with pytest.raises(ValueError, match="no row 30"):
        result.view(row=30)
    with pytest.raises(ValueError, match="no layer 5"):
        result.view(layer=5)
    with pytest.raises(ValueError, match="logits has shape"):
        TokenTable({**result.arrays, "logits": np.zeros((1, 2, 2, 3))}, result.meta)


def test_a_table_survives_a_file(tmp_path):
    result = table()
    again = iw.load(result.save(tmp_path / "neurons"))
    assert again.frame().equals(result.frame())
    assert again.kind == "token_table"
    figure = again.figure(venue="acl", row=7, query="dog", layer=0)
    assert "dog" in figure.caption
    assert figure.png()[:4] == b"\x89PNG"


def test_the_list_is_paged_searched_and_told_to_the_browser():
    view = table().view(query="dog")
    payload = {"column": 0, "sort": "confidence", "layer": None, "query": "dog", "start": 0}
    message, _ = ask(view, "rows", payload)
    page = message["payload"]
    assert page["names"][0] == "L0N0"
    assert page["words"][0][0] == [" dog", " cat", "fish"]
    assert page["total"] == len(view.current.find("dog", 0))
    assert len(page["names"]) <= 12
    one = {**payload, "query": "", "layer": 1, "start": 0}
    assert ask(view, "rows", one)[0]["payload"]["total"] == 10
    message, buffers = ask(view, "row", {"row": 0})
    assert message["payload"]["tokens"][0][0][0] == " dog"
    assert len(buffers) == 3
    assert not ask(view, "row", {"row": 99})[0]["ok"]
    assert ask(view, "points", {"column": 1})[0]["payload"]["total"] == 30
    page = view.to_html()
    assert "</script><b>" not in page  # would end the script that holds the data
    view.close()
    assert view.current is None


def test_the_picture_of_many_neurons_stays_small():
    result = table(rows=30)
    big = {k: np.repeat(v, 2000, axis=0) if k != "used" else v for k, v in result.arrays.items()}
    view = TokenTable(big, result.meta).view()
    message, buffers = ask(view, "points", {"column": 0})
    count = message["payload"]["index"]["shape"][0]
    assert count <= 12_000
    assert message["payload"]["total"] == 60_000
    assert sum(map(len, buffers)) < 200_000
    view.close()


def test_a_clamp_moves_the_next_token_and_not_the_weights():
    session = iw.Session(tiny_gpt2())
    prompt = session.prompt([3, 7, 11, 2])
    view = iw.weights.decode(session, k=3).view(row=5)
    session.capture(prompt, ["logits"])
    before = view.answer("live", {"row": 5})
    assert before["now"] == before["base"]
    assert before["gate"] is None
    given = view.current
    view.answer("clamp", {"row": 5, "value": 40.0})
    view.answer("clamp", {"row": 5, "value": 50.0})
    assert len(session.interventions) == 1
    assert view.spec["clamped"] == {"L0N5": 50.0}
    after = view.answer("live", {"row": 5})
    changed = session.capture(prompt, ["logits"])["logits"][-1].softmax(-1)
    assert after["now"] == pytest.approx(
        sorted(changed.tolist(), reverse=True)[: len(after["now"])]
    )
    assert after["base"] != after["now"]
    assert view.current is given
    own = session.capture(prompt, ["mlp_post.0"], interventions="none")["mlp_post.0"]
    assert after["own"] == pytest.approx(float(own[-1, 5]))
    view.answer("clamp", {"row": 5, "value": None})
    assert not len(session.interventions)
    assert view.spec["clamped"] == {}
    with pytest.raises(ValueError, match="has to be finite"):
        view.answer("clamp", {"row": 5, "value": float("nan")})
    view.close()


def test_the_box_continues_a_prompt_with_and_without_the_clamp():
    session = iw.Session(tiny_gpt2())
    prompt = session.prompt([3, 7, 11, 2])
    view = iw.weights.decode(session, k=3).view(row=5)
    with pytest.raises(ValueError, match="type a prompt"):
        view.answer("generate", {"row": 5})
    session.capture(prompt, ["logits"])
    free = view.answer("generate", {"row": 5})
    assert free["now"] == free["base"]
    ids = torch.tensor([prompt.ids])
    for _ in range(16):  # the model itself, without us
        with torch.no_grad():
            last = session.model._module(ids).logits[0, -1]
        ids = torch.cat([ids, last.argmax()[None, None]], 1)
    text = "".join(session.token_string(i) for i in ids[0, 4:].tolist())
    assert free["base"] == text
    view.answer("clamp", {"row": 5, "value": 400.0})
    held = view.answer("generate", {"row": 5})
    assert held["base"] == text
    assert held["now"] != text
    assert session.recent is prompt
    view.close()


def test_the_distribution_counts_every_token_of_the_prompt():
    session = iw.Session(tiny_gpt2())
    prompt = session.prompt([3, 7, 11, 2, 9])
    own = session.capture(prompt, ["mlp_post.0"])["mlp_post.0"][:, 5]
    view = iw.weights.decode(session, k=3).view(row=5)
    seen = view.answer("live", {"row": 5})
    assert sum(seen["counts"]) == 5
    assert seen["range"] == pytest.approx([float(own.min()), float(own.max())])
    token, value = seen["highest"][0]
    assert token == prompt.tokens[int(own.argmax())]
    assert value == pytest.approx(float(own.max()))
    view.close()


def test_the_gate_is_shown_and_pairs_cannot_be_clamped():
    from interp_widgets.session.session import Session
    from tests import families

    session = Session(families.build("llama"))
    prompt = session.prompt([5, 9, 30, 7])
    session.capture(prompt, ["logits"])
    view = iw.weights.decode(session, layers=[1], k=3).view()
    seen = view.answer("live", {"row": 11})
    mlp = session.anatomy.root.model.layers[1].mlp
    gates = session.capture(prompt, ["model.layers.1.mlp.gate_proj"])[
        "model.layers.1.mlp.gate_proj"
    ]
    expected = torch.nn.functional.silu(gates.reshape(4, -1)[-1, 11])
    assert seen["gate"] == pytest.approx(float(expected), abs=1e-4)
    assert mlp.gate_proj.out_features == len(view.current.arrays["layer"])
    view.close()
    pairs = iw.weights.head(session, 0, 1, k=5).view()
    with pytest.raises(ValueError, match="cannot be clamped"):
        pairs.answer("clamp", {"row": 0, "value": 1.0})
    pairs.close()
