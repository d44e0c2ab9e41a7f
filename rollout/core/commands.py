"""What `decide` may ask for. Each command is one thing to do in the world, through one port.

A command's identity is its value: the runner never has two equal commands under way.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rollout.core.events import Event


@dataclass(frozen=True, slots=True)
class RecordFact:
    """Append this decision to the journal: it is a fact from then on."""

    event: Event


@dataclass(frozen=True, slots=True)
class CreateJob:
    """Send the batch's create call; `attempt` counts from 1."""

    batch: int
    attempt: int


@dataclass(frozen=True, slots=True)
class FindJob:
    """Look for the batch's job by its unique name, and for tasks of its devices."""

    batch: int


@dataclass(frozen=True, slots=True)
class CountTasks:
    """Count devices by status over the jobs of one poll group."""

    group: int


@dataclass(frozen=True, slots=True)
class AuditWave:
    """List all jobs of the wave by their common name prefix and compare with what we believe."""

    wave: int


@dataclass(frozen=True, slots=True)
class StopJob:
    """Stop one job on the platform; an already stopped job is a success."""

    batch: int
    job_id: str


@dataclass(frozen=True, slots=True)
class CancelTasks:
    """Cancel the tasks of one job that wait (init or published)."""

    batch: int
    job_id: str


Command = RecordFact | CreateJob | FindJob | CountTasks | AuditWave | StopJob | CancelTasks


@dataclass(slots=True)
class UnderWay:
    """Commands handed out and not finished. Not history: it dies with the process, as the calls do."""

    creating: set[int] = field(default_factory=set)
    others: set[Command] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.creating) + len(self.others)

    def begin(self, command: Command) -> None:
        """Note that `command` was handed out."""
        if isinstance(command, CreateJob):
            self.creating.add(command.batch)
        else:
            self.others.add(command)

    def end(self, command: Command) -> None:
        """Note that `command` is finished, whatever came of it."""
        if isinstance(command, CreateJob):
            self.creating.discard(command.batch)
        else:
            self.others.discard(command)
