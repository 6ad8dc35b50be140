"""Cells, widget callbacks on short-lived threads and users' traces at once: nothing fails and every value is right."""

from __future__ import annotations

import random
import threading

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from interp_widgets.session.interventions import Ablate
from interp_widgets.session.session import Session

TRACES = 2_000
WAYS = 4


def test_two_thousand_traces_from_many_threads_are_all_right():
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=31,
        n_positions=12,
        n_embd=16,
        n_layer=2,
        n_head=2,
        bos_token_id=1,
        eos_token_id=2,
    )
    live = Session(GPT2LMHeadModel(config), cache_bytes=0)
    prompts = [live.prompt([3 + n, 7, 9, 4 + n][: 2 + n % 3]) for n in range(6)]
    zero = [Ablate(site="z", layer=1, head=0)]
    clean = [live.run_with(p, [])["logits"] for p in prompts]
    ablated = [live.run_with(p, zero)["logits"] for p in prompts]
    assert all((c - a).abs().max() > 1e-4 for c, a in zip(clean, ablated, strict=True))
    before, failures, lock = live.forward_passes, [], threading.Lock()
    share = TRACES // WAYS

    def check(which, got, expected, way):
        if not torch.allclose(got, expected[which], atol=1e-5):
            with lock:
                failures.append(f"{way}: wrong value for prompt {which}")

    def guarded(way, work):
        def run():
            try:
                work()
            except Exception as error:
                with lock:
                    failures.append(f"{way}: {type(error).__name__}: {error}")

        return run

    def cells():
        draw = random.Random(1)
        for _ in range(share):
            which = draw.randrange(6)
            check(
                which,
                live.run(lambda w=which: live.capture(prompts[w], "logits"))["logits"],
                clean,
                "cell",
            )

    def traces():
        draw = random.Random(2)
        for _ in range(share):
            which = draw.randrange(6)
            with torch.no_grad(), live.trace(prompts[which]):
                hidden = live.model.transformer.h[1].output.save()
                logits = live.model.output.logits.save()
            check(which, logits[0], clean, "trace")
            assert hidden.shape[-1] == 16

    def callbacks():
        """Each request on a thread of its own, as a notebook's subshells may do."""
        draw = random.Random(3)
        for _ in range(share):
            which = draw.randrange(6)
            done = threading.Event()

            def finished(job, w=which, event=done):
                check(w, job.result(0), ablated, "callback")
                event.set()

            def click(w=which, finished=finished):
                live.submit(lambda: live.run_with(prompts[w], zero)["logits"], done=finished)

            thread = threading.Thread(target=guarded("callback", click))
            thread.start()
            thread.join()
            assert done.wait(30), "a callback was never answered"

    def direct():
        draw = random.Random(4)
        for _ in range(share):
            which = draw.randrange(6)
            check(which, live.run_with(prompts[which], zero)["logits"], ablated, "direct")

    threads = [
        threading.Thread(target=guarded(work.__name__, work))
        for work in (cells, traces, callbacks, direct)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads)
    assert failures == []
    assert live.forward_passes - before == TRACES
    live.close()
