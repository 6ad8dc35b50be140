"""One worker per model: newest request wins, jobs can be cancelled, errors come back, nothing blocks for ever."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest
import torch

from interp_widgets.session.errors import Cancelled, SessionBusyError
from interp_widgets.session.session import Session
from interp_widgets.session.worker import current_job, worker_of
from tests.families import build

IDS = [3, 14, 15, 9, 26]


@pytest.fixture
def live():
    with Session(build("gpt2")) as session:
        yield session


def _hold(live):
    """Keep the worker busy until the returned event is set."""
    started, go = threading.Event(), threading.Event()
    job = live.submit(lambda: (started.set(), go.wait(10)), label="busy")
    assert started.wait(5)
    return job, go


def test_work_runs_on_one_long_lived_thread(live):
    threads = {live.submit(threading.current_thread).result(5) for _ in range(5)}
    assert len(threads) == 1
    assert threads != {threading.current_thread()}
    assert threads.pop().daemon


def test_the_newest_request_of_a_key_wins(live):
    busy, go = _hold(live)
    done, ran = [], []
    jobs = [
        live.submit(lambda n=n: ran.append(n), key="view", done=lambda job: done.append(job.state))
        for n in range(5)
    ]
    other = live.submit(lambda: ran.append("other"), key="another view")
    go.set()
    other.result(5)
    assert ran == [4, "other"]
    assert [j.state for j in jobs] == ["cancelled"] * 4 + ["done"]
    assert done == ["cancelled"] * 4 + ["done"]
    with pytest.raises(Cancelled, match="newer request"):
        jobs[0].result(1)
    assert busy.state == "done"


def test_a_running_job_of_the_key_is_asked_to_stop(live):
    started = threading.Event()

    def long(job):
        started.set()
        for step in range(10_000):
            job.progress(step, 10_000)
            time.sleep(0.002)

    first = live.submit(long, key="view")
    assert started.wait(5)
    second = live.submit(lambda: "new", key="view")
    assert second.result(5) == "new"
    assert first.state == "cancelled"
    assert first.progress_done < 10_000


def test_captures_are_cancel_points(live):
    started = threading.Event()

    def endless():
        started.set()
        for n in range(100_000):
            live.capture(live.prompt([3 + n % 50, 4]), "z")
            live.cache.clear()

    job = live.submit(endless)
    assert started.wait(5)
    job.cancel()
    with pytest.raises(Cancelled):
        job.result(10)


def test_an_error_comes_back_and_the_worker_lives_on(live):
    seen = []
    job = live.submit(lambda: 1 / 0, done=lambda job: seen.append(type(job.error)))
    with pytest.raises(ZeroDivisionError):
        job.result(5)
    assert live.submit(lambda: 7).result(5) == 7
    assert seen == [ZeroDivisionError]


def test_a_failing_callback_does_not_stop_the_worker(live, caplog):
    live.submit(lambda: 1, done=lambda job: 1 / 0, label="drawing").result(5)
    assert live.submit(lambda: 7).result(5) == 7
    assert "drawing" in caplog.text


def test_waiting_too_long_is_a_timeout_and_the_job_goes_on(live):
    job, go = _hold(live)
    with pytest.raises(TimeoutError, match="running"):
        job.result(0.05)
    go.set()
    job.result(5)


def test_run_waits_inlines_on_the_worker_and_passes_errors(live):
    assert live.run(lambda: live.run(lambda: threading.current_thread().name)).startswith(
        "interp-widgets"
    )
    with pytest.raises(ZeroDivisionError):
        live.run(lambda: 1 / 0)
    assert live.run(lambda job: job.progress(1, 2) or job is current_job())


def test_run_inside_a_trace_is_an_error_and_not_a_deadlock(live):
    prompt, caught = live.prompt(IDS), []

    def attempt(call):
        try:
            call()
        except SessionBusyError as error:
            caught.append(str(error))

    with live.trace(prompt):
        attempt(lambda: live.run(lambda: 1))
        attempt(lambda: live.capture(live.prompt(IDS[:2]), "logits"))
        logits = live.model.output.logits.save()
    assert len(caught) == 2
    assert all("before or after" in text for text in caught)
    assert torch.allclose(logits[0], live.capture(prompt, "logits")["logits"], atol=1e-6)


def test_a_trace_inside_a_trace_is_an_error(live):
    prompt = live.prompt(IDS)
    with pytest.raises(SessionBusyError, match="inside another trace"), live.trace(prompt):  # noqa: SIM117
        with live.trace(prompt):
            inner = live.model.output.logits.save()  # noqa: F841
    assert live.run(lambda: "alive") == "alive"


def test_an_error_in_a_users_trace_gives_the_lock_back(live):
    prompt = live.prompt(IDS)
    with pytest.raises(AttributeError), live.trace(prompt):
        live.model.transformer.h[1].nothing_here.output.save()
    with pytest.raises(ValueError, match="mine"), live.trace(prompt):
        raise ValueError("mine")
    other = threading.Thread(target=lambda: got.append(live.worker.acquire(timeout=2)))
    got = []
    other.start()
    other.join()
    assert got == [True]


def test_progress_is_a_queue_event(live):
    heard = threading.Event()
    live.listen(lambda event: heard.set() if event == "queue" else None)
    live.run(lambda job: job.progress(1, 3))
    assert heard.is_set()
    job, go = _hold(live)
    assert [j.label for j in live.worker.jobs] == ["busy"]
    go.set()
    job.result(5)


def test_two_sessions_on_one_model_share_worker_and_model_but_not_interventions():
    module = build("gpt2")
    with Session(module) as one, Session(module) as two:
        assert one.worker is two.worker is worker_of(module)
        assert one.model is two.model
        one.ablate("resid_post", layer=0)
        changed = one.capture(one.prompt(IDS), "logits")["logits"]
        clean = two.capture(two.prompt(IDS), "logits")["logits"]
        assert (changed - clean).abs().max() > 1e-3
        one.close()
        assert two.submit(lambda: 5).result(5) == 5


def test_the_worker_ends_with_its_last_session_and_begins_again_with_the_next():
    module = build("gpt2")
    live = Session(module)
    thread = live.submit(threading.current_thread).result(5)
    live.close()
    thread.join(5)
    assert not thread.is_alive()
    with Session(module) as again:
        assert again.submit(lambda: 3).result(5) == 3


def test_torch_modes_of_the_caller_do_not_reach_a_capture(live):
    prompt = live.prompt(IDS)
    with torch.inference_mode():
        value = live.capture(prompt, "logits")["logits"]
    assert not value.is_inference()
    assert not value.requires_grad
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert live.capture(live.prompt(IDS[:3]), "logits")["logits"].dtype == torch.float32


def test_the_process_ends_cleanly_with_work_in_the_queue():
    script = """
import torch; torch.set_num_threads(1)
from tests.families import build
from interp_widgets.session.session import Session
session = Session(build("gpt2"))
def work():
    n = 0
    while True:
        n += 1
        session.capture(session.prompt([3 + n % 50, 4, 5]), "z"); session.cache.clear()
for _ in range(3):
    session.submit(work)
session.submit(lambda: 1)
print("leaving")
"""
    found = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        cwd=".",
    )
    assert found.stdout.strip() == "leaving"
    assert found.returncode == 0, found.stderr[-2000:]
    assert "Traceback" not in found.stderr
    assert "Fatal" not in found.stderr


def test_ctrl_c_in_a_cell_cancels_the_work_and_the_session_lives_on():
    script = """
import _thread, signal, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
import torch; torch.set_num_threads(1)
from tests.families import build
from interp_widgets.session.session import Session
session = Session(build("gpt2"))
ended = []
def work(job):
    threading.Timer(0.2, _thread.interrupt_main).start()
    try:
        for n in range(5000):
            job.progress(n, 5000)
            time.sleep(0.01)
    finally:
        ended.append(job.progress_done)
try:
    session.run(work, "long work")
    print("not interrupted")
except KeyboardInterrupt:
    print("interrupted", bool(ended) and ended[0] < 5000, session.run(lambda: "alive"))
"""
    found = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        cwd=".",
    )
    assert found.stdout.strip() == "interrupted True alive", found.stderr[-2000:]


def test_a_progress_bar_comes_after_a_second_and_goes_again(monkeypatch, live):
    import io

    from interp_widgets.session import waiting as module

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(module.sys, "stderr", terminal)

    def work(job):
        for n in range(8):
            job.progress(n, 8)
            time.sleep(0.2)

    live.run(work, "patching")
    assert "patching: " in terminal.getvalue()
    assert " of 8" in terminal.getvalue()
    shown = terminal.getvalue()
    assert shown.endswith("\r")
    live.run(lambda: time.sleep(0.2), "quick")
    assert terminal.getvalue() == shown
