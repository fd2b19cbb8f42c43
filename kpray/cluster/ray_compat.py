"""All uses of undocumented parts of Ray and DeepSpeed: private names, patches, message texts, behaviour.

No other module of kpray uses such parts. Each entry says why it is needed and what would replace it.
`tests/cluster/test_ray_compat.py` fails if Ray or DeepSpeed changes one of them. Ray and DeepSpeed are imported inside
the functions: some callers run without Ray, and a cluster that does not train has no DeepSpeed.
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
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",  # Ray Train notices sooner that a training has ended; the default is 2
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # saves a process that watches for preempted cloud nodes
}
"""Environment variables of a local Ray, so that it starts and ends quickly.

Needed: Ray ignores unknown variables silently, so a renamed one would go unnoticed. Replaced by: arguments of
`ray.train.RunConfig`.
"""


@contextmanager
def no_standard_error() -> Iterator[None]:
    """Discard everything that is written to file descriptor 2 in the block.

    Needed: while `ray.init` connects, its C++ code prints errors there that it also raises as exceptions. Replaced by:
    `ray.init(logging_level=...)`, once it applies to the C++ code. RAY_BACKEND_LOG_LEVEL would hide later errors too.
    """
    with os.fdopen(os.dup(2), "w") as kept, open(os.devnull, "w", encoding="utf-8") as null:
        # Lines of progress are written to `sys.stderr`, and must still appear.
        visible = kept if sys.stderr is sys.__stderr__ else sys.stderr
        os.dup2(null.fileno(), 2)
        try:
            with redirect_stderr(visible):
                yield
        finally:
            os.dup2(kept.fileno(), 2)


@contextmanager
def on_loopback() -> Iterator[None]:
    """Make a Ray that is started in the block listen only on 127.0.0.1.

    Needed: `ray.init` replaces 127.0.0.1 with the address of the machine, and opens its ports to the network. On macOS
    it does not; the variable that controls this is read when Ray is imported. Replaced by: an argument of `ray.init`.
    """
    from ray._private import ray_constants

    variable = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR  # for the processes that Ray starts
    before, enabled = os.environ.get(variable), ray_constants.ENABLE_RAY_CLUSTER
    os.environ[variable], ray_constants.ENABLE_RAY_CLUSTER = "0", False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = enabled
        if before is None:
            del os.environ[variable]
        else:
            os.environ[variable] = before


def forget_token() -> None:
    """Make Ray read its authentication token again from the environment or the file.

    Needed: Ray keeps the first token of a process. Replaced by: `ray.shutdown` forgetting it.
    """
    from ray._raylet import AuthenticationTokenLoader  # type: ignore[attr-defined]

    AuthenticationTokenLoader.instance().reset_cache()


# --- Ray Data

FEW_CHUNKS = "The minimum number of concurrent actors"
"""Start of Ray Data's warning that there are fewer chunks than actors, which is fine here.

Needed: the warning is a plain `UserWarning`. Replaced by: a separate warning category.
"""

# --- Ray Train

_GROUP = "placement_group"  # extra key among the metrics that workers report to Ray Train
_SNAPSHOT = "checkpoint_manager_snapshot.json"


def forget_checkpoints(run: Path) -> None:
    """Remove Ray Train's record of the checkpoints of a run.

    Needed: Ray Train does not start if a recorded checkpoint is missing, or if another version of Ray wrote the record.
    kpray finds checkpoints itself. Replaced by: an argument of `ray.train.RunConfig` that ignores earlier runs in the
    same folder.

    Args:
        run: `storage_path/name` of the run's `ray.train.RunConfig`.
    """
    (run / _SNAPSHOT).unlink(missing_ok=True)


def with_worker_group(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Add the placement group of this worker to the metrics that it reports.

    Needed: `WorkerGroups`, in another process, must know the group of each trial. Ray's table of placement groups does
    not name their owners. Replaced by: whatever replaces `WorkerGroups`.
    """
    from ray.util import get_current_placement_group

    group = get_current_placement_group()
    return {**metrics, _GROUP: group.id.hex() if group else None}


class WorkerGroups:
    """Removes the placement groups of the workers of killed Tune trials.

    Needed: a killed trial leaves its placement group behind, and the next trial waits forever for the same cores. Ray
    Train has an actor that removes such groups, but it asks the dashboard whether the trial is alive. kpray's local Ray
    has no dashboard, and with several Rays on a machine the dashboard may belong to another one. Replaced by: a cleaner
    in Ray Train that asks the GCS.

    Args:
        seconds: how long a trial may stay alive after its end. A living trial would request a new group.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._held: dict[str, str | None] = {}  # trial -> hexadecimal id of its group
        self._ended: list[tuple[float, str]] = []  # (time of the end, hexadecimal id of the group)

    def note(self, trial: str, metrics: Mapping[str, Any]) -> None:
        """Record the group of a trial from its reported metrics (`with_worker_group`)."""
        self._held[trial] = metrics.get(_GROUP)

    def end(self, trial: str) -> None:
        """Record that a trial has ended, for whatever reason."""
        if group := self._held.pop(trial, None):
            self._ended.append((time.monotonic(), group))

    def free(self) -> None:
        """Remove the groups of trials that ended more than `seconds` ago. Call this regularly."""
        while self._ended and time.monotonic() - self._ended[0][0] > self._seconds:
            _remove_group(self._ended.pop(0)[1])


def _remove_group(hex_id: str) -> None:
    import ray
    from ray.util import remove_placement_group
    from ray.util.placement_group import PlacementGroup

    remove_placement_group(PlacementGroup(ray.PlacementGroupID(bytes.fromhex(hex_id))))


# --- Ray Tune


class HiddenFromTune:
    """Base class of searchers, stoppers and callbacks whose state Tune must not save.

    Needed: Tune pickles these objects regularly to resume from them, which kpray does not use. Pickling fails for
    objects that hold a lock, such as the progress display. Replaced by: an option of `tune.RunConfig` that turns saving
    off.
    """

    def __getstate__(self) -> dict[str, Any]:
        """Return an empty state."""
        return {}


def replay_trial(scheduler: TrialScheduler, trial: str, reports: Iterable[Mapping[str, Any]]) -> None:
    """Tell a Tune scheduler about a trial of an earlier run.

    Needed: ASHA compares a trial with all earlier trials, including those of earlier runs. Only Tune calls schedulers,
    and it passes its controller, which ASHA does not use. Replaced by: a method of schedulers that takes earlier
    results.

    Args:
        scheduler: a new scheduler.
        trial: any unique id of the trial.
        reports: the results that the trial reported, in order.
    """
    from ray.tune.experiment import Trial

    controller: Any = None
    earlier = Trial("", stub=True, trial_id=trial)
    scheduler.on_trial_add(controller, earlier)
    for report in reports:
        scheduler.on_trial_result(controller, earlier, dict(report))


def crash_message(trial: Trial) -> str:
    """The last line of the error of a crashed trial; empty if there is none.

    Needed: Tune calls the callbacks before it copies the error file to the folder that `Trial.get_error` reads.
    Replaced by: an argument of `Callback.on_trial_error` and `on_trial_recover`.
    """
    file = Path(trial.error_file or "")
    lines = file.read_text(encoding="utf-8").strip().splitlines() if file.is_file() else []
    return lines[-1] if lines else ""


# --- Ray Serve

PROXY_VARIABLE = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"
"""Environment variable with the import path of a function. Serve's proxy calls it to get its Starlette middlewares.

Needed: some requests must be handled before Serve's proxy sees them. Replaced by: `http_options.middlewares`, which
Serve rejects today.
"""

STEERING_HEADERS = frozenset(
    {b"x-request-timeout-seconds", b"x-request-disconnect-disabled", b"serve-multiplexed-model-id", b"x-session-id"}
)
"""Request headers that Serve's proxy obeys, in lower case and with hyphens.

Needed: with these headers a client could lift Serve's time limit or choose the replica. Replaced by: an option of the
proxy that ignores them.
"""


def open_no_port() -> None:
    """Keep this replica from listening for gRPC requests of other deployments. Call this in its constructor.

    Needed: the port listens on all addresses, asks for no token, and unpickles what arrives. Nobody uses it unless a
    variable of Serve turns on gRPC between deployments; then it stays as Serve makes it. Replaced by: an option of
    Serve.
    """
    from ray.serve._private import constants, replica

    if not (constants.RAY_SERVE_USE_GRPC_BY_DEFAULT or constants.RAY_SERVE_PROXY_USE_GRPC):
        vars(replica)["add_port_to_grpc_server"] = lambda server, address: 0


def use_protocol(import_path: str) -> None:
    """Make Serve's proxy use another protocol class of uvicorn. Call this in the proxy, before it listens.

    Needed: uvicorn's protocol limits neither the length of headers, nor the time that they take, nor the number of
    connections, and Serve passes no such option to uvicorn. Replaced by: such options among Serve's `http_options`.

    Args:
        import_path: module and class, as "package.module:Class".
    """
    import uvicorn.config

    uvicorn.config.HTTP_PROTOCOLS["auto"] = import_path


def is_serve_error(status: int, content_type: str) -> bool:
    """Whether a response is an error of Serve itself: its queue is full, or the ingress died or does not exist.

    Needed: these errors are plain text, while kpray's errors are JSON. Replaced by: an error handler in the proxy.
    """
    return status >= 500 and content_type.startswith("text/plain")


# --- DeepSpeed

_DATA_ONLY = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"


def skip_shared_memory() -> None:
    """Keep DeepSpeed from compiling its shared-memory all-reduce.

    Needed: the compiler takes half a minute in every worker, and some machines have no compiler. Replaced by: a key in
    DeepSpeed's configuration, or an argument of `deepspeed.init_distributed`.
    """
    import deepspeed.ops

    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


def skipped_steps(engine: Any) -> int:
    """Number of optimizer steps that were skipped because of fp16 overflow since the training began.

    Needed: `engine.step()` does not report a skipped step. Replaced by: a documented method.
    """
    skipped: int = engine.skipped_steps
    return skipped


def zero_stage(engine: Any) -> int:
    """ZeRO stage of an engine, 0 to 3.

    Needed: at stage 3, no worker has whole parameters. Replaced by: a documented method.
    """
    stage: int = engine.zero_optimization_stage()
    return stage


def is_scale_exhausted(error: Exception) -> bool:
    """Whether `engine.step()` raised an error because fp16 overflowed at the lowest loss scale.

    Needed: DeepSpeed raises a bare `Exception`. Replaced by: a separate exception class.
    """
    return "loss scale already at minimum" in str(error)


@contextmanager
def recording_saves(
    engine: Any, is_recorded: Callable[[Exception], bool]
) -> Iterator[tuple[list[str], list[Exception]]]:
    """Record the files that `engine.save_checkpoint` writes in the block, and its write errors.

    Needed: kpray stores a checksum of each file. And `save_checkpoint` makes collective calls between its files: an
    exception between them would leave the other workers waiting. Replaced by: `save_checkpoint` returning its files and
    raising errors in all workers.

    Args:
        engine: DeepSpeed engine.
        is_recorded: whether an error is recorded and suppressed. Other errors are raised.

    Yields:
        The paths of the written files, and the recorded errors. Both lists fill while the block runs.
    """
    files: list[str] = []
    errors: list[Exception] = []
    save = engine.checkpoint_engine.save

    def recorded(state_dict: Any, path: str) -> None:  # DeepSpeed passes these by keyword
        try:
            save(state_dict, path)
            files.append(path)
        except Exception as error:
            if not is_recorded(error):
                raise
            errors.append(error)

    engine.checkpoint_engine.save = recorded
    try:
        yield files, errors
    finally:
        engine.checkpoint_engine.save = save


@contextmanager
def loading_data_only() -> Iterator[None]:
    """Let DeepSpeed read only data from checkpoints in the block: tensors, numbers and a few of its own classes.

    Needed: DeepSpeed passes `weights_only=False` to `torch.load`, which runs code in a file. torch's environment
    variable overrides this. Replaced by: `weights_only=True` in DeepSpeed.
    """
    import torch
    from deepspeed.runtime.fp16.loss_scaler import DynamicLossScaler, LossScaler
    from deepspeed.runtime.zero.config import ZeroStageEnum
    from deepspeed.utils.tensor_fragment import fragment_address

    before = {name: os.environ.pop(name, None) for name in ("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", _DATA_ONLY)}
    os.environ[_DATA_ONLY] = "1"
    try:
        with torch.serialization.safe_globals([DynamicLossScaler, LossScaler, ZeroStageEnum, fragment_address]):
            yield
    finally:
        del os.environ[_DATA_ONLY]
        os.environ.update({name: value for name, value in before.items() if value is not None})


def convert_checkpoint(source: Path, target: Path) -> str:
    """Convert a DeepSpeed checkpoint to the universal format, which any number of workers can load.

    Needed: the converter is only a script, and it fails with a traceback. `--inject_missing_state` adds a section that
    the script requires and that only Megatron trainings write. Replaced by: a function. The script reads data only, as
    in `loading_data_only`.

    Args:
        source: folder of the checkpoint's tag.
        target: folder to write.

    Returns:
        The last line of the script's error; empty on success.
    """
    program = f"from {__name__} import _run_converter; _run_converter()"
    command = [sys.executable, "-c", program, "--inject_missing_state"]
    folders = ["--input_folder", str(source), "--output_folder", str(target)]
    finished = subprocess.run([*command, *folders], capture_output=True, text=True, check=False)
    if not finished.returncode:
        return ""
    *_, reason = finished.stderr.strip().splitlines() or ["the converter gave no reason"]
    return reason


def _run_converter() -> None:
    from deepspeed.checkpoint import ds_to_universal

    with loading_data_only():
        ds_to_universal.main(ds_to_universal.parse_arguments())
