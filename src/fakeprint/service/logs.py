"""The log: one JSON object per line on stderr."""

import json
import logging
from datetime import UTC, datetime
from typing import Any


class JsonLines(logging.Formatter):
    """A record as JSON: time, level, logger, message, a request's facts, a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        content: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        if hasattr(record, "request_id"):
            content["request_id"] = record.request_id
        if record.exc_info:
            content["traceback"] = self.formatException(record.exc_info)
        return json.dumps(content, ensure_ascii=True, default=str)


def configuration(level: str = "INFO") -> dict[str, Any]:
    """For `logging.config.dictConfig`: uvicorn's own lines and the service's. uvicorn's access log is left out."""
    loggers = {name: {"handlers": ["lines"], "level": level, "propagate": False} for name in ("fakeprint", "uvicorn")}
    # What is wrong with a body, its sender is told; python-multipart would log each odd byte.
    silent = {"python_multipart": {"handlers": [], "level": "CRITICAL", "propagate": False}}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": "fakeprint.service.logs.JsonLines"}},
        "handlers": {"lines": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stderr"}},
        "loggers": {**loggers, **silent, "uvicorn.access": {"handlers": [], "level": "WARNING", "propagate": False}},
    }
