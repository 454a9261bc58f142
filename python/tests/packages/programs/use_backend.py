"""scikit-learn on joblib's backend "phalanx": the same results as one after the other."""

import sys

import joblib
import numpy
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score


def work(n_jobs):
    x, y = make_classification(n_samples=600, n_features=12, random_state=0)
    forest = RandomForestClassifier(n_estimators=12, random_state=0, n_jobs=n_jobs)
    scores = cross_val_score(LogisticRegression(), x, y, cv=5, n_jobs=n_jobs)
    search = GridSearchCV(LogisticRegression(), {"C": [0.01, 0.1, 1.0, 10.0]}, cv=3, n_jobs=n_jobs).fit(x, y)
    # A forest within a cross-validation: its own calls are nested.
    nested = cross_val_score(forest, x, y, cv=3, n_jobs=n_jobs)
    return (
        scores,
        search.best_params_,
        search.cv_results_["mean_test_score"],
        forest.fit(x, y).predict(x),
        nested,
    )


def same(left, right):
    return all(
        numpy.array_equal(a, b) if not isinstance(a, dict) else a == b
        for a, b in zip(left, right, strict=True)
    )


def column_sums(array, start):
    assert not array.flags.writeable
    return float(array[:, start::4].sum())


def main():
    alone = work(None)
    with joblib.parallel_config(backend="phalanx"):
        assert type(joblib.parallel.get_active_backend()[0]).__name__ == "PhalanxBackend"
        for _ in range(2):
            assert same(work(2), alone)
        array = numpy.ones((50_000, 8))
        sums = joblib.Parallel(2)(joblib.delayed(column_sums)(array, start) for start in range(4))
        assert sums == [100_000.0] * 4
    with joblib.parallel_config(backend="phalanx", n_jobs=2, inner_max_num_threads=1):
        assert same(work(None)[:1], alone[:1])


if __name__ == "__main__":
    import multiprocessing

    multiprocessing.set_start_method(sys.argv[1])
    main()
    print("ok")
