"""Naming activations: what a user writes, and what they read when they mistype."""

from __future__ import annotations

import pytest

from interp_widgets.session.sites import DIMS, STANDARD, Site, SiteError


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("resid_post.3", Site("resid_post", 3)),
        ("resid_post", Site("resid_post")),
        (" z.11 ", Site("z", 11)),
        (("mlp_out", 0), Site("mlp_out", 0)),
        ("logits", Site("logits")),
        ("transformer.h.3.ln_1", Site("transformer.h.3.ln_1")),
        ("layers.0", Site("layers.0")),
        (Site("q", 2), Site("q", 2)),
    ],
)
def test_a_site_is_read_from_what_a_user_writes(written, meant):
    assert Site.parse(written) == meant


@pytest.mark.parametrize("name", STANDARD)
def test_every_standard_site_reads_back_from_its_own_text(name):
    site = Site(name, None if name in ("embed", "logits") else 4)
    assert Site.parse(str(site)) == site
    assert site.dims == DIMS[name]
    assert len(site.dims) >= 2


@pytest.mark.parametrize("bad", ["logits.2", "embed.0", ("transformer.h.0", 1), "", 3])
def test_a_layer_where_there_is_none_is_refused_with_a_reason(bad):
    if bad == "logits.2":
        with pytest.raises(SiteError, match="write 'logits' alone"):
            Site("logits", 2)
    with pytest.raises(SiteError, match=r"layer|name|written"):
        Site.parse(bad)


def test_sites_sort_and_serve_as_keys():
    sites = {Site("z", 1): "a", Site("z", 0): "b"}
    assert sites[Site.parse("z.0")] == "b"
    assert sorted(sites) == [Site("z", 0), Site("z", 1)]
