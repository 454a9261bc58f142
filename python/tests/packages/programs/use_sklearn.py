"""scikit-learn with two jobs: cross-validation, a grid search and a forest."""

import sys

import joblib
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score


def main():
    features, classes = make_classification(300, 8, random_state=1)
    for backend in ("multiprocessing", "loky"):
        with joblib.parallel_config(backend=backend):
            alone = cross_val_score(LogisticRegression(), features, classes, cv=4, n_jobs=1)
            both = cross_val_score(LogisticRegression(), features, classes, cv=4, n_jobs=2)
            assert (alone == both).all()
            search = GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, n_jobs=2, cv=3)
            search.fit(features, classes)
            assert search.best_score_ > 0.5
            forest = RandomForestClassifier(10, n_jobs=2, random_state=1).fit(features, classes)
            assert forest.score(features, classes) > 0.9
        print(backend, "done", flush=True)


if __name__ == "__main__":
    import multiprocessing

    multiprocessing.set_start_method(sys.argv[1])
    main()
    print("ok")
