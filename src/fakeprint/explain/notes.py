"""What each part of an image's card says, exactly: the text at the end of a page."""

from fakeprint.explain.grounds import Grounds
from fakeprint.explain.opened import OpenModel
from fakeprint.explain.pictures import SIDE, SPREAD

RESIDUAL = (
    "What a wavelet denoiser takes from the image: traces of a generator and little of the scene. Grey is 0, black and "
    f"white are ∓{SPREAD:g} grey levels. Of images larger than {SIDE} pixels per side, the middle."
)
SPECTRUM = (
    "The power of the residual at each spatial frequency, on a log scale, frequency 0 in the middle. Isolated bright "
    "points are periodic patterns, which upsampling leaves. Each picture has its own scale."
)
GRAD_CAM = (
    "Where the maps of layer {layer} of {name} spoke for the answer, by their gradient (Selvaraju et al. 2017). It "
    "shows places, not reasons, and is as coarse as the layer's maps. It leaves test-time augmentation out."
)
NO_MAP = "{name} has no layer whose maps could be shown."
FEATURE_SETS = (
    "The log-odds that {name} gives to the answer, minus those that it gives to the same class when all numbers of one "
    "feature set are replaced by their mean over the train images (of square roots, where it takes them). Above 0, the "
    "set spoke for the answer. The sets' numbers do not add up to a whole."
)
NEAREST = "By Euclidean distance between the {features} of {name}{lead}."
NOT_NEAREST = "Not shown: neighbours are switched off, or there are no train images of this model's classes and size."
MEMBERS = "Each member's own answer and its probability, before the ensemble combines them ({method})."
ANSWER = "Label, unsure or unknown, by the champion's decision file: {certificate}."
SUSPECTS = (
    "Labels that confident learning (cleanlab) finds in conflict with the probabilities, which come from a model that "
    "did not learn from the image. Quality is the probability of the label. Many of these labels are right: a person "
    "decides, in suspects.csv."
)


def notes(model: OpenModel, found: Grounds, has_suspects: bool, certificate: str | None) -> list[tuple[str, str]]:
    """Term and text of everything that the page shows."""
    network, classifier = model.network, model.classifier
    texts = [("Residual", RESIDUAL), ("Log spectrum", SPECTRUM)]
    if network:
        layer = network[1].layer
        texts.append(("Grad-CAM", (GRAD_CAM if layer else NO_MAP).format(layer=layer and layer[0], name=network[0])))
    if classifier and found.effects:
        texts.append(("Feature sets", FEATURE_SETS.format(name=classifier[0])))
    if model.method:
        texts.append(("Members", MEMBERS.format(method=model.method)))
    if found.rows is None:
        texts.append(("Nearest train images", NOT_NEAREST))
    else:
        features = "penultimate features" if network and model.lead.parts is network[1] else "scaled features"
        lead = ", the member with the largest weight" if model.method else ""
        texts.append(("Nearest train images", NEAREST.format(features=features, name=model.lead.name, lead=lead)))
    if certificate:
        texts.append(("Answer", ANSWER.format(certificate=certificate)))
    if has_suspects:
        texts.append(("Suspected labels", SUSPECTS))
    return texts
