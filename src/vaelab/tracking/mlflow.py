"""MLflow: a database in the run folder, or a server."""

import contextlib
import importlib.util
import os
import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from vaelab.registry import register
from vaelab.tracking.tracker import Told, Tracker, flat

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

    def begin(self, run: Told) -> bool:
        """The run of before if the store still has it."""
        for name, value in (("MAX_RETRIES", "2"), ("TIMEOUT", "10")):  # else minutes without an answer
            os.environ.setdefault(f"MLFLOW_HTTP_REQUEST_{name}", value)
        mlflow = import_module("mlflow")
        place = run.folder.resolve()
        uri = self.uri or f"sqlite:///{place / 'mlflow.db'}"
        self.client, self.batch = mlflow.MlflowClient(tracking_uri=uri), []
        self.metric, self.param = mlflow.entities.Metric, mlflow.entities.Param
        self.view = f"mlflow ui --backend-store-uri {uri}"
        if known := self._known(run.memory.get("id")):
            self.client.update_run(run.memory["id"], status="RUNNING")
        else:
            run.memory["id"] = self._new(run, None if self.uri else (place / "mlflow").as_uri())
        self.id = run.memory["id"]
        return known

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

    def _known(self, run: str | None) -> bool:
        with contextlib.suppress(Exception):  # of a store that has lost it
            return bool(run) and self.client.get_run(run).info.lifecycle_stage == "active"
        return False

    def _new(self, run: Told, artifacts: str | None) -> str:
        """A run with the recipe as its parameters; pictures lie beside the database, or where a server keeps them."""
        found = self.client.get_experiment_by_name(self.experiment)
        experiment = found.experiment_id if found else self.client.create_experiment(self.experiment, artifacts)
        made = self.client.create_run(experiment, run_name=run.name).info.run_id
        params = [self.param(k, str(v)[:LONGEST]) for k, v in flat(run.recipe).items()]
        for first in range(0, len(params), PARAMS):
            self.client.log_batch(made, params=params[first : first + PARAMS])
        return made
