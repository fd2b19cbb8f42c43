"""Checks cluster.yaml against Ray's schema, and the KubeRay manifests against models of the fields that they use."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import jsonschema
import pytest
import ray.autoscaler
import yaml
from packaging.version import Version
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
CLUSTER: dict[str, Any] = yaml.safe_load((ROOT / "cluster.yaml").read_text("utf-8"))


def check_cluster(cluster: dict[str, Any]) -> None:
    schema = json.loads((Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text("utf-8"))
    jsonschema.validate(cluster, schema)


def test_cluster_fits_the_schema_of_ray() -> None:
    check_cluster(CLUSTER)
    with pytest.raises(jsonschema.ValidationError, match="min_worker"):
        check_cluster({**CLUSTER, "min_worker": 1})
    local = {name: value for name, value in CLUSTER.items() if name not in ("available_node_types", "head_node_type")}
    check_cluster({**local, "provider": {"type": "local", "head_ip": "10.0.0.1", "worker_ips": ["10.0.0.2"]}})


def test_head_runs_no_work_and_workers_are_bounded() -> None:
    types = dict(CLUSTER["available_node_types"])
    head = types.pop(CLUSTER["head_node_type"])
    assert head["resources"] == {"CPU": 0, "GPU": 0}
    assert "InstanceMarketOptions" not in head["node_config"]
    assert sum(node["max_workers"] for node in types.values()) == CLUSTER["max_workers"]
    for node in types.values():
        assert 0 <= node["min_workers"] <= node["max_workers"]
        assert node["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    start = " ".join(CLUSTER["head_start_ray_commands"])
    assert "--num-cpus=0" in start
    assert "--dashboard-host=127.0.0.1" in start


def test_token_is_on_and_no_port_is_open() -> None:
    assert "--env RAY_AUTH_MODE=token" in CLUSTER["docker"]["run_options"]
    assert "~/.ray/auth_token" in CLUSTER["file_mounts"]
    assert "security_group" not in CLUSTER["provider"]  # Ray's default allows SSH and traffic between the nodes
    assert "worker_image" not in CLUSTER["docker"]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Resources(Strict):
    requests: dict[str, str]
    limits: dict[str, str]

    @model_validator(mode="after")
    def _same(self) -> Resources:
        if self.requests != self.limits:  # Ray schedules by the limits, Kubernetes by the requests
            raise ValueError("requests and limits differ")
        return self


class Port(Strict):
    name: Annotated[str, Field(max_length=15)]
    containerPort: int


class Mount(Strict):
    name: str
    mountPath: str


class Container(Strict):
    name: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")]
    image: str
    ports: list[Port] = []
    resources: Resources
    volumeMounts: list[Mount]


class Claim(Strict):
    claimName: str


class Volume(Strict):
    name: str
    persistentVolumeClaim: Claim


class Pod(Strict):
    automountServiceAccountToken: bool = False
    containers: Annotated[list[Container], Field(min_length=1, max_length=1)]
    volumes: list[Volume]

    @model_validator(mode="after")
    def _mounts(self) -> Pod:
        if {m.name for c in self.containers for m in c.volumeMounts} != {v.name for v in self.volumes}:
            raise ValueError("mounts and volumes differ")
        return self


class Template(Strict):
    spec: Pod


class Head(Strict):
    serviceType: Literal["ClusterIP"]
    rayStartParams: dict[str, str]
    template: Template


class Group(Strict):
    groupName: str
    minReplicas: Annotated[int, Field(ge=0)]
    replicas: int
    maxReplicas: int
    rayStartParams: dict[str, str]
    template: Template

    @model_validator(mode="after")
    def _bounds(self) -> Group:
        if not self.minReplicas <= self.replicas <= self.maxReplicas:
            raise ValueError("replicas are out of bounds")
        return self


class Auth(Strict):
    mode: Literal["token"]


class Autoscaler(Strict):
    upscalingMode: Literal["Default", "Aggressive", "Conservative"]
    idleTimeoutSeconds: int


class ClusterSpec(Strict):
    rayVersion: str
    authOptions: Auth
    enableInTreeAutoscaling: bool
    autoscalerOptions: Autoscaler
    headGroupSpec: Head
    workerGroupSpecs: list[Group]


class JobSpec(Strict):
    entrypoint: str
    submissionMode: Literal["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]
    backoffLimit: int
    shutdownAfterJobFinishes: bool
    ttlSecondsAfterFinished: int
    rayClusterSpec: ClusterSpec


class ServiceSpec(Strict):
    serveConfigV2: str
    rayClusterConfig: ClusterSpec


class Metadata(Strict):
    name: str | None = None
    generateName: str | None = None


class Manifest(Strict):
    apiVersion: Literal["ray.io/v1"]
    kind: Literal["RayCluster", "RayJob", "RayService"]
    metadata: Metadata
    spec: ClusterSpec | JobSpec | ServiceSpec


SPECS = {"raycluster": ClusterSpec, "rayjob": JobSpec, "rayservice": ServiceSpec}


def cluster_of(spec: ClusterSpec | JobSpec | ServiceSpec) -> ClusterSpec:
    if isinstance(spec, JobSpec):
        return spec.rayClusterSpec
    return spec.rayClusterConfig if isinstance(spec, ServiceSpec) else spec


@pytest.mark.parametrize("name", SPECS)
def test_manifest(name: str) -> None:
    values = yaml.safe_load((DEPLOY / f"{name}.yaml").read_text("utf-8"))
    manifest = Manifest.model_validate(values)
    assert manifest.kind.lower() == name
    assert isinstance(manifest.spec, SPECS[name])
    assert bool(manifest.metadata.name) != bool(manifest.metadata.generateName)
    cluster = cluster_of(manifest.spec)
    assert Version(cluster.rayVersion).release[:2] == Version(ray.__version__).release[:2]
    assert cluster.headGroupSpec.rayStartParams["num-cpus"] == "0"
    groups = [cluster.headGroupSpec, *cluster.workerGroupSpecs]
    [image] = {container.image for group in groups for container in group.template.spec.containers}
    assert image == CLUSTER["docker"]["image"]
    assert [group.groupName for group in cluster.workerGroupSpecs] == ["cpu", "gpu"]
    for group in cluster.workerGroupSpecs:
        bounds = CLUSTER["available_node_types"][group.groupName]
        assert (group.minReplicas, group.maxReplicas) == (bounds["min_workers"], bounds["max_workers"])
    values["spec"]["externalStorageNamespace"] = "kpray"
    with pytest.raises(ValidationError):
        Manifest.model_validate(values)


def test_job_manifest_runs_an_existing_job() -> None:
    spec = yaml.safe_load((DEPLOY / "rayjob.yaml").read_text("utf-8"))["spec"]
    job = re.fullmatch(r"python /shared/(jobs/\w+\.py) .*", spec["entrypoint"])
    assert job
    assert (ROOT / job[1]).exists()


def test_service_manifest_agrees_with_serve_config() -> None:
    manifest = yaml.safe_load((DEPLOY / "rayservice.yaml").read_text("utf-8"))
    there = yaml.safe_load(manifest["spec"]["serveConfigV2"])
    here = yaml.safe_load((ROOT / "serve_config.yaml").read_text("utf-8"))
    assert there["http_options"].pop("host") == "0.0.0.0"  # inside the pod
    assert here["http_options"].pop("host") == "127.0.0.1"
    [application] = here["applications"]
    application["args"] = {"models": application["args"]["models"]}  # the rest: defaults
    assert there == here


def instructions(text: str) -> list[tuple[str, str]]:
    """Instructions of a Dockerfile with their arguments. Continued lines are joined."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines)).splitlines()
    return [(line.split()[0], line.partition(" ")[2]) for line in joined]


def test_dockerfile() -> None:
    found = instructions((DEPLOY / "Dockerfile").read_text("utf-8"))
    known = {"FROM", "ARG", "RUN", "COPY", "USER", "WORKDIR", "ENV"}
    assert {name for name, _ in found} <= known
    assert found[0][0] == "FROM"
    assert [rest for name, rest in found if name == "USER"] == ["ray"]  # nothing runs as root
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text("utf-8").split()
    for _, rest in [pair for pair in found if pair[0] == "COPY" and "--from" not in pair[1]]:
        for source in rest.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert f"!{source}" in ignored
    assert ("ENV", "RAY_AUTH_MODE=token") in [(name, part) for name, rest in found for part in rest.split()]
    python = next(rest for name, rest in found if name == "FROM").split()[0]
    assert python.startswith("python:3.11-")
