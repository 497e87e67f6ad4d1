"""MLflow: a database in the run folder, or a server."""

import contextlib
import importlib.util
import os
import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from vaelab.registry import register
from vaelab.runs.folder import RunFolder
from vaelab.tracking.tracker import Tracker, recipe_of

ENDINGS = {"done": "FINISHED", "failed": "FAILED"}  # else KILLED
BATCH, PARAMS = 900, 90  # in one request; MLflow takes 1000 and 100
LONGEST = 500  # characters of a parameter that every version takes


@register("tracker", "mlflow")
class MLflow(Tracker):
    """A run in the store at `uri`, by default RUN/mlflow.db; the recipe's options become its parameters."""

    module = extra = "mlflow"
    elsewhere = "uri"

    def __init__(self, *, uri: str | None = None, experiment: str = "vaelab") -> None:
        self.uri, self.experiment = uri, experiment

    def missing(self) -> str:
        """Also what only the whole of MLflow has, not mlflow-skinny: a store of its own."""
        if (why := super().missing()) or self.uri or importlib.util.find_spec("sqlalchemy"):
            return why
        return "this mlflow has no store of its own; pip install 'vaelab[mlflow]', or give the uri of a server"

    def begin(self, run: RunFolder, memory: dict[str, Any], done: int | None) -> bool:
        """The run of before if the store still has it."""
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # else minutes without an answer
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        mlflow = import_module("mlflow")
        place = run.path.resolve()
        uri = self.uri or f"sqlite:///{place / 'mlflow.db'}"
        self.client, self.batch = mlflow.MlflowClient(tracking_uri=uri), []
        self.metric, self.param = mlflow.entities.Metric, mlflow.entities.Param
        self.view = f"mlflow ui --backend-store-uri {uri}"
        with contextlib.suppress(Exception):  # of a store that has lost it
            self.id = memory.get("id", "")
            if self.client.get_run(self.id).info.lifecycle_stage == "active":
                self.client.update_run(self.id, status="RUNNING")
                return True
        self.id = memory["id"] = self._new(run, None if self.uri else (place / "mlflow").as_uri())
        return False

    def scalars(self, values: Mapping[str, float], step: int, epoch: float) -> None:
        """Kept for the next batch."""
        now = int(1000 * time.time())
        self.batch += [self.metric(k, v, now, step) for k, v in values.items()]

    def image(self, name: str, path: Path, step: int) -> None:
        """A file of the run."""
        self.client.log_artifact(self.id, str(path), name.rpartition("/")[0] or None)

    def flush(self) -> None:
        """Send what was kept, in few requests."""
        while self.batch:
            self.client.log_batch(self.id, metrics=self.batch[:BATCH])
            self.batch = self.batch[BATCH:]

    def end(self, state: str) -> None:
        """Finished, failed or killed."""
        self.client.set_terminated(self.id, ENDINGS.get(state, "KILLED"))

    def _new(self, run: RunFolder, artifacts: str | None) -> str:
        """A run with the recipe as its parameters; pictures lie beside the database, or where a server keeps them."""
        found = self.client.get_experiment_by_name(self.experiment)
        experiment = found.experiment_id if found else self.client.create_experiment(self.experiment, artifacts)
        made = self.client.create_run(experiment, run_name=run.name).info.run_id
        params = [self.param(k, str(v)[:LONGEST]) for k, v in _flat(recipe_of(run)).items()]
        for first in range(0, len(params), PARAMS):
            self.client.log_batch(made, params=params[first : first + PARAMS])
        return made


def _flat(section: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested options by dotted keys."""
    pairs: dict[str, Any] = {}
    for key, value in section.items():
        pairs |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return pairs
