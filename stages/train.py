"""train NAME: train one network and write the kept epoch's weights and its history.

If it is interrupted or killed, the next run continues after the last epoch that ended.
"""

import sys

from fakeprint import params, tracking
from fakeprint.errors import one_line_errors
from fakeprint.files import main_root
from fakeprint.params import NetworkSettings, Params
from fakeprint.training import device, distributed
from fakeprint.training.device import Execution
from fakeprint.training.inputs import load_training_data
from fakeprint.training.loop import train
from fakeprint.training.outputs import write_outputs
from fakeprint.training.reporting import announce, interruption_in_one_line
from fakeprint.training.start import start


@one_line_errors
def main(name: str) -> None:
    everything = params.load()
    settings = everything.network(name)
    execution = device.choose(settings.train.device, settings.train.precision)
    if settings.train.devices > 1 and not distributed.launched():
        sizes = [phase.batch_size for phase in settings.train.in_phases()]
        distributed.require_devices(settings.train.devices, execution.device, sizes)
        sys.exit(distributed.launch("stages.train", name, settings.train.devices))
    with distributed.joined(execution.device):
        train_network(everything, settings, execution)


def train_network(everything: Params, settings: NetworkSettings, execution: Execution) -> None:
    data = load_training_data(settings.train.augmented, everything.prepare.train_crops)
    run, checkpoint = start(settings, data, everything.training_seed(settings.name), execution, main_root())
    announce(run, data)
    if distributed.rank() > 0:  # only the first process logs and writes
        with interruption_in_one_line(run):
            train(run, data, checkpoint, lambda figures, epoch: None)
        return
    tracked = tracking.training_run(everything, settings.name, checkpoint.fingerprint)
    with interruption_in_one_line(run), tracked as tracked_run:
        train(run, data, checkpoint, tracked_run.log_epoch)
        tracked_run.finish(write_outputs(run, data.dataset))
    checkpoint.remove()


if __name__ == "__main__":
    main(sys.argv[1])
