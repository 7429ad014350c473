"""What the bench and its workers say to each other: frozen values, which Ray carries."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from ..circuits.errors import Refusal
from ..engine.jobs import Job
from ..engine.trouble import FAULT_HINT, explain
from ..results import ModelInfo, ModelKey

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class About:
    """What a worker is made of: what must be the same on all of them for equal numbers."""

    node: str
    """The machine's name."""
    versions: tuple[tuple[str, str], ...]
    """Package → version, the model libraries' and our own."""
    device: str
    """Name of the accelerator; empty: none."""
    pid: int
    """Its process there."""


# --- to a worker ---


@dataclass(frozen=True)
class Start:
    """Compute a job, or open a model. Runs are counted, so that a stop meets the right one."""

    number: int
    job: Job
    mark: int
    """What the value is called where it cannot travel."""


@dataclass(frozen=True)
class Make:
    """To an ``Ask``: compute it yourself, and keep it under this mark where it cannot travel."""

    mark: int


@dataclass(frozen=True)
class Take:
    """To an ``Ask``: here it is."""

    value: Any


@dataclass(frozen=True)
class Batches:
    """The batches of a sweep, of which some will be asked for: sent once, since they share a file of prompts."""

    sweep: int
    jobs: tuple[Job, ...]


@dataclass(frozen=True)
class Batch:
    """Compute this one of them."""

    sweep: int
    index: int


@dataclass(frozen=True)
class Values:
    """To an ``AskEach``: values of batches by their index, or a ``Fault``."""

    values: tuple[tuple[int, Any], ...]


@dataclass(frozen=True)
class Adopt:
    """Call the open model by this key: the files are the same, their place on this node may be another."""

    key: ModelKey


@dataclass(frozen=True)
class Release:
    """Parts that nobody holds any more, by their marks."""

    marks: tuple[int, ...]


@dataclass(frozen=True)
class Free:
    """Give back what memory can be had again."""


@dataclass(frozen=True)
class Wake:
    """Look whether the run was stopped."""


Order = Start | Make | Take | Batches | Batch | Values | Adopt | Release | Free | Wake


# --- from a worker ---


@dataclass(frozen=True)
class Went:
    """How far the run is, as ``Context.progress`` has it."""

    stage: str
    done: int
    total: int


@dataclass(frozen=True)
class SoFar:
    """A partial result."""

    result: Any


@dataclass(frozen=True)
class Ask:
    """The value of a part is needed: answered by ``Make`` or ``Take``."""

    job: Job


@dataclass(frozen=True)
class AskEach:
    """The values of the batches of a sweep are needed, in this order: answered by ``Values``."""

    jobs: tuple[Job, ...]


@dataclass(frozen=True)
class Ended:
    """The job or the part asked for last is done."""

    value: Any


@dataclass(frozen=True)
class Stays:
    """In place of a value: it cannot travel, and stays with the worker."""

    mark: int
    nbytes: int


@dataclass(frozen=True)
class Opened:
    """The value of an ``Open``."""

    info: ModelInfo
    digest: str
    """Of a sample of the weights."""


@dataclass(frozen=True)
class BatchDone:
    """A batch's value, or the ``Fault`` that it ended in."""

    sweep: int
    index: int
    value: Any


@dataclass(frozen=True)
class Over:
    """The run of this number has ended in any way; or no batch of the sweep of this number runs any more."""

    number: int


@dataclass(frozen=True)
class Fault:
    """A run failed. The exception stays where it was raised: its frames hold tensors."""

    error: str
    hint: str
    memory: bool
    expected: bool
    traced: str = ""

    @classmethod
    def of(cls, error: BaseException, traced: str) -> Fault:
        """In words; ``traced``: the traceback, of what nobody expected."""
        trouble = explain(error)
        return cls(trouble.error, trouble.hint, trouble.memory, trouble.expected, "" if trouble.expected else traced)

    def raised(self, where: str = "") -> Exception:
        """The same as an exception here; ``where``: on which worker, for the log."""
        if self.expected:
            return Refusal(self.error, self.hint)
        if self.traced:
            log.error("on %s\n%s", where or "a worker", self.traced)
        return OutOfMemoryError(self) if self.memory else WorkerFault(self)


Report = Went | SoFar | Ask | AskEach | Ended | BatchDone | Over | Fault


class WorkerFault(Exception):
    """A fault of the program, on a worker."""

    fault = True

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.error)
        self.message, self.hint = fault.error, fault.hint or FAULT_HINT


class OutOfMemoryError(WorkerFault):
    """Memory ran out on a worker; the engine knows it by its name."""
