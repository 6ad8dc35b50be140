"""A scatter of two results is run again from their recipes."""

import numpy as np

import interp_widgets as iw


def test_both_results_run_again_with_the_interventions_of_now(session, prompt):
    norms = [iw.activations(prompt, f"resid_post.{layer}") for layer in (0, 1)]
    result = iw.scatter(*norms)
    assert result.session is session
    assert result.recipe.arguments["x"]["$result"]["recipe"]["method"] == "activations"
    with_cut = session.ablate("attn_out", layer=1)
    try:
        again = result.rerun()
    finally:
        session.interventions.remove(with_cut)
    np.testing.assert_array_equal(again.numpy("x"), result.numpy("x"))
    assert np.abs(again.numpy("y") - result.numpy("y")).max() > 1e-3


def test_a_tensor_of_the_readers_own_travels_in_the_recipe(session, prompt, tmp_path):
    x = iw.activations(prompt, "resid_post.1")
    mine = iw.show(x.values * 2, dims=x.dims, prompt=prompt)
    path = iw.scatter(x, mine).save(tmp_path / "mine")
    again = iw.load(path, session).rerun()
    np.testing.assert_allclose(again.numpy("y"), 2 * again.numpy("x"), rtol=1e-5)
