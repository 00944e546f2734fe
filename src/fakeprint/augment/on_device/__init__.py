"""The transforms of `augment.transforms` on a whole batch on a device: the same draws, many images at once.

`pack_steps` packs the transforms of a batch, on the host, into one small tensor; `apply_batch` applies them
only with tensor operations: nothing is read back, and the host never waits for the device. The result of an image does
not depend on the other images of its batch: sums are of integers, or taken in a fixed order.

Results follow OpenCV (5.0) and its libjpeg-turbo, roundings included; docs/models.md says how close the two are. Values
that are drawn for each pixel (noise, random filling of erased rectangles) come from another generator than on a CPU:
counters hashed with the seed that the plan gives the image, so that the same plan gives the same values on every
device, to within the rounding of its logarithm and cosine.
"""

from fakeprint.augment.on_device.batch import BatchPlan, apply_batch, copy_to_device, pack_steps, unsupported

__all__ = ["BatchPlan", "apply_batch", "copy_to_device", "pack_steps", "unsupported"]
