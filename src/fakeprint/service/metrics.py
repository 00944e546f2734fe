"""Figures for Prometheus, in a registry of the application's own."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector, generate_latest

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """All figures. What is labelled takes few values, whatever clients send."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self.requests = Counter(
            "fakeprint_requests", "Requests", ["method", "route", "status"], registry=self._registry
        )
        self.seconds = Histogram(
            "fakeprint_request_seconds", "Time of requests", ["route"], buckets=SECONDS, registry=self._registry
        )
        self.batches = Histogram(
            "fakeprint_batch_images", "Images per forward pass", buckets=SIZES, registry=self._registry
        )
        self.batch_seconds = Histogram(
            "fakeprint_batch_seconds", "Time of forward passes", buckets=SECONDS, registry=self._registry
        )
        self.images = Counter(
            "fakeprint_images",
            "Images by answer: label, unsure, unknown, unreadable",
            ["answer"],
            registry=self._registry,
        )
        self._queue = Gauge("fakeprint_queue_images", "Images that wait for an answer", registry=self._registry)
        self._model = Info("fakeprint_model", "The model that serves", registry=self._registry)

    def note_batch(self, images: int, seconds: float) -> None:
        """A forward pass has ended."""
        self.batches.observe(images)
        self.batch_seconds.observe(seconds)

    def watch_queue(self, length: Callable[[], float]) -> None:
        """Report this as the number of images that wait."""
        self._queue.set_function(length)

    def text(self, model: dict[str, str]) -> bytes:
        """All figures as Prometheus reads them. model: of the model that serves, name → value."""
        self._model.info(model)
        return generate_latest(self._registry)
