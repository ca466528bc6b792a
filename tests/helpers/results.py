"""Facts of a task, as results have them."""

FACTS = {
    "source": "a.npz",
    "provenance": "made up",
    "length_unit": "Å",
    "nodes": 3,
    "channels": 1,
    "edges": 6,
    "split": "blocked",
    "window": {"past": 4, "delta": 2},
    "windows": {"train": 10, "validation": 5, "test": 5},
    "overlap_with_train": {"test": {"count": 0, "share": 0.0}},
}
