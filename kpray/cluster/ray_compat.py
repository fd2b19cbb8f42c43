"""Whatever kpray uses of Ray and DeepSpeed that they do not document: private names, patches, texts, behaviour.

Nothing else in kpray does so. Each entry says why it is needed and which public call would replace it;
`tests/cluster/test_ray_compat.py` fails where Ray or DeepSpeed changes it. Both are imported where they are used: the
checks before a job starts do without them, and a cluster that does not train has no DeepSpeed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ray.tune.experiment import Trial
    from ray.tune.schedulers import TrialScheduler

# --- Ray Core

LOCAL_VARIABLES: Mapping[str, str] = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",  # how soon it sees that a training has ended; on clusters 2
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # a process more, to hear that the cloud takes back a node
}
"""Environment of a Ray on this machine only, which is to start and end soon.

Needed: Ray takes a variable that it does not know without a word. Replaced by: arguments of `ray.train.RunConfig`.
"""


@contextmanager
def no_standard_error() -> Iterator[None]:
    """Drop what is written to file descriptor 2 in the block.

    Needed: while `ray.init` connects, its C++ side reports there what ends as an exception anyway. Replaced by:
    `ray.init(logging_level=...)`, once it holds for C++ too; RAY_BACKEND_LOG_LEVEL would be for all that follows.
    """
    with os.fdopen(os.dup(2), "w") as kept, open(os.devnull, "w", encoding="utf-8") as null:
        own = kept if sys.stderr is sys.__stderr__ else sys.stderr  # progress goes on, but nothing else
        os.dup2(null.fileno(), 2)
        try:
            with redirect_stderr(own):
                yield
        finally:
            os.dup2(kept.fileno(), 2)


# --- Ray Data

FEW_CHUNKS = "The minimum number of concurrent actors"
"""Start of the warning that there are fewer chunks than actors, which is no mistake.

Needed: it is a `UserWarning` like any other. Replaced by: a category of its own.
"""

# --- Ray Train

_GROUP = "placement_group"  # beside the metrics that Ray Train is told
_SNAPSHOT = "checkpoint_manager_snapshot.json"


def forget_checkpoints(run: Path) -> None:
    """Remove what Ray Train noted about the checkpoints of a run.

    Needed: it does not start where a checkpoint is missing that it noted, or another Ray noted them; kpray finds
    checkpoints by itself. Replaced by: an argument of `ray.train.RunConfig` to begin anew in the same folder.

    Args:
        run: `storage_path/name` of its `ray.train.RunConfig`.
    """
    (run / _SNAPSHOT).unlink(missing_ok=True)


def with_worker_group(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """In a worker: the metrics that it reports, and beside them the placement group of the workers.

    Needed: for `WorkerGroups`, in another process; Ray's table of placement groups does not say whose they are.
    Replaced by: whatever replaces `WorkerGroups`.
    """
    from ray.util import get_current_placement_group

    group = get_current_placement_group()
    return {**metrics, _GROUP: group.id.hex() if group else None}


class WorkerGroups:
    """Placement groups of the workers of Tune's trials; those of killed trials are removed.

    Needed: a trial that is killed leaves the group of its workers behind, and the next trial waits forever for the
    same cores. Ray Train has an actor that removes the group, but it asks the dashboard whether the trial lives: a
    local Ray has none here, and where several run on a machine it may be another one's. Replaced by: a cleaner of Ray
    Train that asks the GCS.

    Args:
        seconds: after its end, for which a trial may still be alive; it would ask for another group.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._held: dict[str, str | None] = {}  # trial -> its group in hexadecimal digits
        self._ended: list[tuple[float, str]] = []  # when, and the group

    def note(self, trial: str, metrics: Mapping[str, Any]) -> None:
        """Take a trial's group out of what it reported (`with_worker_group`)."""
        self._held[trial] = metrics.get(_GROUP)

    def end(self, trial: str) -> None:
        """Note that a trial has ended, in whatever way."""
        if group := self._held.pop(trial, None):
            self._ended.append((time.monotonic(), group))

    def free(self) -> None:
        """Remove the groups of the trials that are surely gone; to be called again and again."""
        while self._ended and time.monotonic() - self._ended[0][0] > self._seconds:
            _remove_group(self._ended.pop(0)[1])


def _remove_group(digits: str) -> None:
    import ray
    from ray.util import remove_placement_group
    from ray.util.placement_group import PlacementGroup

    remove_placement_group(PlacementGroup(ray.PlacementGroupID(bytes.fromhex(digits))))


# --- Ray Tune


class HiddenFromTune:
    """Base of what Tune is given and shall not save.

    Needed: Tune pickles searchers, stoppers and callbacks again and again, for a way to go on that is not kpray's, and
    refuses those that hold a lock, as a terminal's does. Replaced by: an option of `tune.RunConfig` not to save.
    """

    def __getstate__(self) -> dict[str, Any]:
        """Nothing."""
        return {}


def replay_trial(scheduler: TrialScheduler, trial: str, reports: Iterable[Mapping[str, Any]]) -> None:
    """Let a scheduler of Tune know a trial that ran before this run.

    Needed: ASHA compares trials with all that came before, whenever that was. Schedulers are called by Tune only, with
    its controller, which ASHA does not look at. Replaced by: a method of schedulers that takes earlier results.

    Args:
        scheduler: new.
        trial: any id of it.
        reports: what it reported, in order.
    """
    from ray.tune.experiment import Trial

    nobody: Any = None  # where Tune's controller would be
    before = Trial("", stub=True, trial_id=trial)
    scheduler.on_trial_add(nobody, before)
    for report in reports:
        scheduler.on_trial_result(nobody, before, dict(report))


def crash_of(trial: Trial) -> str:
    """The last line of what a trial crashed with; empty where nothing is known.

    Needed: callbacks are called before Tune copies the file to where `Trial.get_error` looks. Replaced by: an argument
    of `Callback.on_trial_error` and `on_trial_recover`.
    """
    file = Path(trial.error_file or "")
    lines = file.read_text(encoding="utf-8").strip().splitlines() if file.is_file() else []
    return lines[-1] if lines else ""


# --- Ray Serve

PROXY_VARIABLE = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"
"""Variable of Serve's proxy that names a function without arguments, which gives its Starlette middlewares.

Needed: for what must come before Serve's proxy. Replaced by: `http_options.middlewares`, which Serve now refuses.
"""

STEERING_HEADERS = frozenset(
    {b"x-request-timeout-seconds", b"x-request-disconnect-disabled", b"serve-multiplexed-model-id", b"x-session-id"}
)
"""Headers of a request, in lower case and with hyphens, that Serve's proxy obeys.

Needed: with them a client would lift Serve's time limit, or choose the replica. Replaced by: an option of the proxy to
pass over them.
"""


def is_answer_of_serve(status: int, content_type: str) -> bool:
    """Whether an answer is an error of Serve itself: its queue is full, or the ingress died or is not there.

    Needed: it is plain text, while kpray's errors are JSON. Replaced by: a handler of the proxy's errors.
    """
    return status >= 500 and content_type.startswith("text/plain")


# --- DeepSpeed


def skip_shared_memory() -> None:
    """Keep DeepSpeed from compiling its all-reduce within one machine.

    Needed: every worker would run a compiler at its first start, for half a minute, and some machines have none.
    Replaced by: a key of its configuration, or an argument of `deepspeed.init_distributed`.
    """
    import deepspeed.ops

    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


def skipped_steps(engine: Any) -> int:
    """Steps that fp16 skipped for overflow since the training began.

    Needed: `engine.step()` does not say that it skipped. Replaced by: a documented method.
    """
    skipped: int = engine.skipped_steps
    return skipped


def zero_stage(engine: Any) -> int:
    """The stage of ZeRO, 0 to 3.

    Needed: at 3 no worker has whole parameters. Replaced by: a documented method.
    """
    stage: int = engine.zero_optimization_stage()
    return stage


def is_scale_exhausted(error: Exception) -> bool:
    """Whether `engine.step()` raised since fp16 overflowed at the lowest loss scale.

    Needed: it raises a bare `Exception`. Replaced by: a class of its own.
    """
    return "loss scale already at minimum" in str(error)


@contextmanager
def noting_files(engine: Any, is_noted: Callable[[Exception], bool]) -> Iterator[tuple[list[str], list[Exception]]]:
    """Note the files that `engine.save_checkpoint` writes in the block, and what kept it from writing them.

    Needed: for their checksums; and `save_checkpoint` has collective calls between its files, so an error that left it
    in the midst of them would leave the other workers waiting. Replaced by: a list of the files in what it returns,
    and errors raised in all workers.

    Args:
        engine: DeepSpeed's.
        is_noted: whether an error is noted; others are raised.
    """
    files: list[str] = []
    errors: list[Exception] = []
    save = engine.checkpoint_engine.save

    def noting(state_dict: Any, path: str) -> None:  # names by which DeepSpeed calls it
        try:
            save(state_dict, path)
            files.append(path)
        except Exception as error:
            if not is_noted(error):
                raise
            errors.append(error)

    engine.checkpoint_engine.save = noting
    try:
        yield files, errors
    finally:
        engine.checkpoint_engine.save = save


def convert_checkpoint(source: Path, target: Path) -> str:
    """Write a checkpoint of DeepSpeed in the form that any number of workers can load ("universal").

    Needed: the converter is a script only, which ends with a traceback; `--inject_missing_state` adds a section that
    Megatron's trainings write and it asks for. Replaced by: a function.

    Args:
        source: folder of the checkpoint's tag.
        target: folder to write.

    Returns:
        The last line of its error; empty where there was none.
    """
    command = [sys.executable, "-m", "deepspeed.checkpoint.ds_to_universal", "--inject_missing_state"]
    folders = ["--input_folder", str(source), "--output_folder", str(target)]
    finished = subprocess.run([*command, *folders], capture_output=True, text=True, check=False)
    if not finished.returncode:
        return ""
    *_, reason = finished.stderr.strip().splitlines() or ["no reason given"]
    return reason
