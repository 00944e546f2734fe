"""Networks, classical classifiers, ensembles."""
