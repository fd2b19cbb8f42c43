"""Contract tests of the undocumented parts of Ray and DeepSpeed that kpray uses: at least one for each entry.

If a test fails after an upgrade, its entry in `ray_compat` must be adapted or is no longer needed.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import os
import threading
from contextlib import nullcontext, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
import torch
from pyarrow.fs import LocalFileSystem
from ray import tune
from ray.data import DataContext
from ray.tune.error import TuneError
from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search import Searcher
from ray.util.placement_group import PlacementGroup

from kpray.cluster.ray_compat import (
    FEW_CHUNKS,
    LOCAL_VARIABLES,
    STEERING_HEADERS,
    HiddenFromTune,
    WorkerGroups,
    crash_message,
    forget_checkpoints,
    forget_token,
    is_scale_exhausted,
    is_serve_error,
    loading_data_only,
    no_standard_error,
    on_loopback,
    open_no_port,
    replay_trial,
    skip_shared_memory,
    with_worker_group,
)
from kpray.sweep.sweep import _ENVIRONMENT

# --- Ray Core


def test_variables_of_a_local_ray_are_known() -> None:
    from ray.train.v2._internal import constants

    names = {constants.HEALTH_CHECK_INTERVAL_S_ENV_VAR, constants.ENABLE_PREEMPTION_WATCHER_ENV_VAR}
    assert {*LOCAL_VARIABLES} == names
    assert names <= constants.ENV_VARS_TO_PROPAGATE  # Ray Train's controller is another process


def test_file_descriptor_2_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    with no_standard_error():
        os.write(2, b"from C++")
    with suppress(KeyError), no_standard_error():
        raise KeyError
    os.write(2, b"afterwards")
    assert capfd.readouterr().err == "afterwards"


# --- Ray Data


def test_the_address_of_a_local_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray._private import services

    monkeypatch.setattr("ray._private.worker._global_node", None)
    monkeypatch.delenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", raising=False)
    outside = services.resolve_ip_for_localhost("127.0.0.1")  # why `ray.init` cannot be given 127.0.0.1
    assert outside != "127.0.0.1"
    with on_loopback():
        assert services.get_node_ip_address() == "127.0.0.1"
        assert os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"
    assert services.get_node_ip_address() == outside
    assert "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER" not in os.environ


def test_ray_keeps_a_token_until_it_forgets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray._raylet import AuthenticationTokenLoader  # type: ignore[attr-defined]

    def token() -> str:
        headers: dict[str, str] = AuthenticationTokenLoader.instance().get_token_for_http_header(ignore_auth_mode=True)
        return headers["authorization"]

    monkeypatch.setenv("RAY_AUTH_TOKEN", "first")
    forget_token()
    assert token() == "Bearer first"
    monkeypatch.setenv("RAY_AUTH_TOKEN", "second")
    assert token() == "Bearer first"
    forget_token()
    assert token() == "Bearer second"
    monkeypatch.undo()
    forget_token()


def test_ray_data_warns_of_few_chunks() -> None:
    from ray.data._internal.execution.operators import actor_pool_map_operator

    assert f'"{FEW_CHUNKS} for ' in inspect.getsource(actor_pool_map_operator)


def test_fields_of_ray_data_are_known() -> None:
    """`DataContext` accepts unknown fields silently."""
    assert {*dir(DataContext)} >= {"target_max_block_size", "use_datasource_v2", "enable_progress_bars"}


# --- Ray Train


@pytest.mark.filterwarnings("ignore:The `[a-z_]+` method is deprecated:DeprecationWarning")  # pydantic, used by Ray
def test_ray_train_starts_without_its_record_of_checkpoints(tmp_path: Path) -> None:
    from ray.train import Checkpoint, CheckpointConfig
    from ray.train.v2._internal.exceptions import CheckpointManagerInitializationError
    from ray.train.v2._internal.execution.checkpoint.checkpoint_manager import CheckpointManager
    from ray.train.v2._internal.execution.storage import StorageContext
    from ray.train.v2._internal.execution.training_report import _TrainingReport

    def manager() -> CheckpointManager:
        return CheckpointManager(CheckpointConfig(num_to_keep=2), StorageContext(tmp_path, "run"))

    async def register(report: _TrainingReport) -> None:
        manager().register_checkpoint(report)
        await asyncio.sleep(0)  # the manager notifies others in a task

    checkpoint = tmp_path / "run/step-1"
    checkpoint.mkdir(parents=True)
    asyncio.run(register(_TrainingReport(Checkpoint(str(checkpoint)), {"score": 1.0}, False)))
    assert manager().latest_checkpoint_result is not None
    checkpoint.rmdir()
    with pytest.raises(CheckpointManagerInitializationError, match="does not exist anymore"):
        manager()
    forget_checkpoints(tmp_path / "run")
    assert manager().latest_checkpoint_result is None
    forget_checkpoints(tmp_path / "run")  # nothing left to remove


def test_ray_train_asks_the_dashboard_whether_a_trial_is_alive() -> None:
    """If this no longer holds, `WorkerGroups` can be removed."""
    from ray.dashboard.modules.dashboard_sdk import SubmissionClient
    from ray.train.v2._internal.execution.controller import placement_group_cleaner
    from ray.train.v2._internal.state import util
    from ray.util.state import StateApiClient, get_actor

    assert "is_actor_alive(" in inspect.getsource(placement_group_cleaner.PlacementGroupCleaner)
    assert vars(placement_group_cleaner)["is_actor_alive"] is util.is_actor_alive
    assert "get_actor(" in inspect.getsource(util.is_actor_alive)
    assert vars(util)["get_actor"] is get_actor
    assert "StateApiClient(" in inspect.getsource(get_actor)
    assert issubclass(StateApiClient, SubmissionClient)  # over HTTP


def test_groups_of_killed_trials_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (PlacementGroup(ray.PlacementGroupID.from_random()) for _ in range(2))
    clock, removed = [0.0], list[PlacementGroup]()
    monkeypatch.setattr("kpray.cluster.ray_compat.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("ray.util.remove_placement_group", removed.append)
    groups = WorkerGroups(15.0)
    for name, group in {"a": first, "b": second, "c": None}.items():
        monkeypatch.setattr("ray.util.get_current_placement_group", lambda group=group: group)
        reported = with_worker_group({"score": 1.0})
        assert reported["score"] == 1.0
        groups.note(name, json.loads(json.dumps(reported)))  # metrics are sent to another process
    groups.end("a")
    groups.end("c")
    groups.end("d")  # it never reported
    clock[0] = 14.0
    groups.end("b")
    groups.free()
    assert removed == []
    clock[0] = 16.0
    groups.free()
    assert removed == [first]
    clock[0] = 30.0
    groups.free()
    groups.free()
    assert removed == [first, second]


# --- Ray Tune


def test_variables_of_tune_are_known() -> None:
    from ray.train.constants import RAY_CHDIR_TO_TRIAL_DIR
    from ray.tune.constants import TUNE_ENV_VARS

    assert {*_ENVIRONMENT} <= TUNE_ENV_VARS | {RAY_CHDIR_TO_TRIAL_DIR}


class Plain:
    pass


@pytest.mark.parametrize("base", [HiddenFromTune, Plain])
def test_tune_pickles_stoppers_callbacks_and_searchers(base: type, tmp_path: Path) -> None:
    """If the case `Plain` passes too, `HiddenFromTune` can be removed."""

    def locked(of: type) -> Any:
        made = type("Locked", (base, of), {"__call__": lambda *_: False, "stop_all": lambda _: True})()
        made.lock = threading.Lock()
        return made

    for stop, callbacks, search in (
        (locked(tune.Stopper), None, None),
        (None, [locked(tune.Callback)], None),
        (None, None, locked(Searcher)),
    ):
        run = tune.RunConfig("run", str(tmp_path), stop=stop, callbacks=callbacks)
        refused = pytest.raises(TypeError, match="cannot pickle") if base is Plain else nullcontext()
        with refused:
            tune.Tuner(print, run_config=run, tune_config=tune.TuneConfig(search_alg=search))


def test_asha_compares_with_trials_of_earlier_runs() -> None:
    controller: Any = None
    asha = ASHAScheduler("step", "score", "max", grace_period=10, max_t=40, reduction_factor=2)
    replay_trial(asha, "before", [{"step": 5, "score": 0.0}, {"step": 10, "score": 2.0}])
    worse, better = (Trial("", stub=True, trial_id=name) for name in ("worse", "better"))
    asha.on_trial_add(controller, worse)
    asha.on_trial_add(controller, better)
    assert asha.on_trial_result(controller, worse, {"step": 10, "score": 1.0}) == "STOP"
    assert asha.on_trial_result(controller, better, {"step": 10, "score": 3.0}) == "CONTINUE"


def test_crash_message_of_a_trial(tmp_path: Path) -> None:
    """If `get_error` returns the error too, `crash_message` can be removed."""
    (tmp_path / "here").mkdir()
    storage: Any = SimpleNamespace(  # a real storage context needs a running Ray session
        trial_driver_staging_path=str(tmp_path / "here"),
        trial_fs_path=str(tmp_path / "copied"),
        storage_filesystem=LocalFileSystem(),
    )
    trial = Trial("", stub=True, trial_id="a", storage=storage)
    assert crash_message(trial) == ""
    trial.handle_error(TuneError("first\nthe actor died"))
    assert crash_message(trial) == "the actor died"
    assert trial.get_error() is None


# --- Ray Serve


def test_serve_rejects_the_option_middlewares() -> None:
    """If Serve accepts the option, `PROXY_VARIABLE` can be removed."""
    from ray.serve.config import HTTPOptions

    with pytest.raises(ValueError, match="middlewares"):
        HTTPOptions(middlewares=["any"])


def test_headers_that_serve_obeys() -> None:
    from ray.serve._private import constants

    names = {value for name, value in vars(constants).items() if name.startswith("SERVE_") and name.endswith("_HEADER")}
    obeyed = names - {constants.SERVE_HTTP_REQUEST_ID_HEADER}  # kpray checks this header itself
    obeyed |= {constants.SERVE_SESSION_ID, constants.SERVE_MULTIPLEXED_MODEL_ID.replace("_", "-")}
    assert {name.encode() for name in obeyed} == STEERING_HEADERS


def test_serve_chooses_the_protocol_automatically() -> None:
    """If Serve passes limits to uvicorn, `use_protocol` can be removed. Otherwise it changes what "auto" means."""
    from ray.serve._private import http_util

    source = inspect.getsource(http_util.start_asgi_http_server)
    assert "uvicorn.Config(" in source
    for option in (" http=", "proxy_headers=", "forwarded_allow_ips=", "limit_concurrency=", "**http_options"):
        assert option not in source


def test_serve_opens_a_port_in_each_replica(monkeypatch: pytest.MonkeyPatch) -> None:
    """If Serve has an option for this port or its address, `open_no_port` can be removed."""
    from ray.serve._private import constants, replica

    source = inspect.getsource(replica.Replica._on_initialized)
    assert 'self._internal_grpc_port = add_port_to_grpc_server(self._server, "[::]:0")' in source
    monkeypatch.setattr(replica, "add_port_to_grpc_server", None)
    monkeypatch.setattr(constants, "RAY_SERVE_PROXY_USE_GRPC", True)
    open_no_port()
    assert vars(replica)["add_port_to_grpc_server"] is None  # Serve's own function stays
    monkeypatch.setattr(constants, "RAY_SERVE_PROXY_USE_GRPC", False)
    open_no_port()
    assert vars(replica)["add_port_to_grpc_server"](None, "[::]:0") == 0


def test_serve_answers_nothing_if_the_ingress_dies() -> None:
    """`Repeats` in the proxy's middleware sends a request without an answer again."""
    from ray.exceptions import ActorDiedError
    from ray.serve._private.http_util import get_http_response_status, send_http_response_on_exception

    status = get_http_response_status(ActorDiedError(), None, "id")
    assert status.code == 500
    assert send_http_response_on_exception(status, False) == []


@pytest.mark.parametrize("full", [True, False])
def test_errors_of_serve_are_plain_text(full: bool, caplog: pytest.LogCaptureFixture) -> None:
    from ray.serve._private.common import DeploymentID
    from ray.serve._private.http_util import convert_object_to_asgi_messages, get_http_response_status
    from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

    caplog.set_level(logging.CRITICAL)
    error: Exception
    if full:
        error = BackPressureError(num_queued_requests=1, max_queued_requests=1, status_code=503, retry_after_s=1.0)
    else:
        error = DeploymentUnavailableError(DeploymentID("a"))
    status = get_http_response_status(error, None, "id")
    start, _ = convert_object_to_asgi_messages(status.message, int(status.code), status.headers)
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    assert is_serve_error(start["status"], headers["content-type"])
    assert ("retry-after" in headers) is full
    assert not is_serve_error(404, headers["content-type"])
    assert not is_serve_error(503, "application/json")


# --- DeepSpeed


def test_deepspeed_compiles_no_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    import deepspeed.ops
    from deepspeed.comm.torch import build_shm_op
    from deepspeed.ops.op_builder.cpu import ShareMemCommBuilder

    monkeypatch.setattr(ShareMemCommBuilder, "load", lambda _: "compiled")
    monkeypatch.setitem(deepspeed.ops.__compatible_ops__, ShareMemCommBuilder.NAME, True)
    assert build_shm_op() == "compiled"
    skip_shared_memory()
    assert build_shm_op() is None


def test_lowest_loss_scale() -> None:
    from deepspeed.runtime.fp16.loss_scaler import CreateLossScaler

    arguments = {
        "init_scale": 1,
        "scale_window": 1000,
        "min_scale": 1,
        "delayed_shift": 1,
        "consecutive_hysteresis": False,
    }
    scaler = CreateLossScaler(torch.half, 1.0, True, {**arguments})
    with pytest.raises(Exception, match="scale") as error:
        scaler.update_scale(True)
    assert is_scale_exhausted(error.value)
    assert not is_scale_exhausted(RuntimeError("CUDA out of memory"))


@pytest.mark.parametrize("dynamic", [True, False])
def test_loss_scale_is_data(dynamic: bool, tmp_path: Path) -> None:
    """What fp16 adds to a checkpoint. `tests/integration/test_tampered.py` has the rest, and code that is refused."""
    from deepspeed.runtime.fp16.loss_scaler import CreateLossScaler

    numbers = {"init_scale": 4, "scale_window": 1000, "min_scale": 1, "delayed_shift": 1}
    scaler = CreateLossScaler(torch.half, 1.0, dynamic, {**numbers, "consecutive_hysteresis": False})
    torch.save({"loss_scaler": scaler}, tmp_path / "a.pt")
    with loading_data_only():
        found = torch.load(tmp_path / "a.pt", weights_only=False)["loss_scaler"]
    assert type(found) is type(scaler)
    assert vars(found) == vars(scaler)
    with pytest.raises(Exception, match="Weights only load failed"):
        torch.load(tmp_path / "a.pt")  # the classes are allowed in the block only
