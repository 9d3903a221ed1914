"""The status of a job: which there are, and which are the end."""

from enum import StrEnum


class JobStatus(StrEnum):
    """`receiving`: its input is still being uploaded. `queued`: waits for a worker, the first time or again."""

    RECEIVING = "receiving"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


UNFINISHED = (JobStatus.RECEIVING, JobStatus.QUEUED, JobStatus.RUNNING)
"""What may still come to something."""

ENDED = (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELED)
"""Nothing leads out of these."""
