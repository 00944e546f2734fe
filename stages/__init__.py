"""One file a stage: read params, call fakeprint, write outputs."""

import os

# OpenMP threads spin while they wait for each other. Where other work shares the cores (two queue workers, say), that
# made training four times slower than letting them sleep. Read when torch or scikit-learn load it, so set before them.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# OpenBLAS adds in another order when its threads meet a busy core: the last digits of a fit would then differ.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
