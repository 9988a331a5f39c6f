"""Ringing the worker: Celery by task name. A broker that is away delays a job, it never loses one."""

from __future__ import annotations

import logging
from functools import lru_cache

from celery import Celery

from api.jobs.models import Job
from api.jobs.service import TASKS

log = logging.getLogger("api.jobs")


@lru_cache(maxsize=4)
def _celery(broker_url: str) -> Celery:
    app = Celery("api", broker=broker_url)
    app.conf.update(
        task_ignore_result=True,
        broker_connection_retry_on_startup=False,
        broker_transport_options={"socket_connect_timeout": 2, "socket_timeout": 5},
    )
    return app


def ring(broker_url: str, job: Job) -> bool:
    """Sends the job's id to its queue; False when there is no broker or it does not answer."""
    if not broker_url:
        return False
    try:
        _celery(broker_url).send_task(TASKS[job.kind], [job.id], queue=job.queue, retry=False)
    except Exception as error:
        # Whatever the transport raises: the row is committed, and a worker finds it when it starts or looks.
        log.warning("job %s waits in its row: the broker does not answer (%s)", job.id, type(error).__name__)
        return False
    return True
