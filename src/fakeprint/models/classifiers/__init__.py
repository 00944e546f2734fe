"""Classical classifiers on concatenated features: their estimators, how they are fitted, saved and loaded."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ClassifierEntry:
    """One method that `classifiers` in params.yaml can name."""

    summary: str
    source: str


CLASSIFIERS: dict[str, ClassifierEntry] = {
    "knn": ClassifierEntry("k nearest neighbours, k and distance chosen on validation", "Cover and Hart 1967; faiss"),
    "logistic": ClassifierEntry("multinomial logistic regression", "LogisticRegression's, streamed"),
    "svm_linear": ClassifierEntry("linear SVM with calibrated probabilities", "LinearSVC's, streamed; Platt 1999"),
    "svm_rbf": ClassifierEntry("RBF-kernel SVM with calibrated probabilities", "SVC, Nystroem; Platt 1999"),
    "lda": ClassifierEntry("linear discriminant analysis, shrunk covariance", "Ledoit and Wolf 2004"),
    "boosting": ClassifierEntry("gradient boosting of histogram trees", "scikit-learn HistGradientBoostingClassifier"),
    "forest": ClassifierEntry("random forest", "Breiman 2001; scikit-learn RandomForestClassifier"),
    "fingerprint": ClassifierEntry("correlation with the mean residual image of each class", "Marra et al. 2019"),
}
