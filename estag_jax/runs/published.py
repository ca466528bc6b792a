"""The figures of the published tables (arXiv 2405.12868), to stand beside ours and never among them.

Mean squared errors of 3 runs. MD17 in Å² (table 1), AdK in Å² (table 2), motion capture in the square
of the file's unit (table 3).
"""

from __future__ import annotations

_MOLECULES = (
    "aspirin",
    "benzene",
    "ethanol",
    "malonaldehyde",
    "naphthalene",
    "salicylic",
    "toluene",
    "uracil",
)

# 10⁻³ Å², in the order of _MOLECULES.
_MD17 = {
    "PT-s": (15.579, 4.457, 4.332, 13.206, 8.958, 12.256, 6.818, 10.269),
    "PT-m": (9.058, 2.536, 2.688, 6.749, 6.918, 8.122, 5.622, 7.257),
    "PT-t": (0.715, 0.114, 0.456, 0.596, 0.737, 0.688, 0.688, 0.674),
    "EGNN-s": (12.056, 3.290, 2.354, 10.635, 4.871, 8.733, 3.154, 6.815),
    "EGNN-m": (6.237, 1.882, 1.532, 4.842, 3.791, 4.623, 2.516, 3.606),
    "EGNN-t": (0.625, 0.112, 0.416, 0.513, 0.614, 0.598, 0.577, 0.568),
    "ST_TFN": (0.719, 0.122, 0.432, 0.569, 0.688, 0.684, 0.628, 0.669),
    "ST_GNN": (1.014, 0.210, 0.487, 0.664, 0.769, 0.789, 0.713, 0.680),
    "ST_SE(3)-Tr": (0.669, 0.119, 0.428, 0.550, 0.625, 0.630, 0.591, 0.597),
    "ST_EGNN": (0.735, 0.163, 0.245, 0.427, 0.745, 0.687, 0.553, 0.445),
    "EqMotion": (0.721, 0.156, 0.476, 0.600, 0.747, 0.697, 0.691, 0.681),
    "STGCN": (0.715, 0.106, 0.456, 0.596, 0.736, 0.682, 0.687, 0.673),
    "AGL-STAN": (0.719, 0.106, 0.459, 0.596, 0.601, 0.452, 0.683, 0.515),
    "ESTAG": (0.063, 0.003, 0.099, 0.101, 0.068, 0.047, 0.079, 0.066),
}
# Å².
_ADK = {
    "PT-s": 3.260,
    "PT-m": 3.302,
    "PT-t": 2.022,
    "EGNN-s": 3.254,
    "EGNN-m": 3.278,
    "EGNN-t": 1.983,
    "ST_GNN": 1.871,
    "ST_GMN": 1.526,
    "ST_EGNN": 1.543,
    "STGCN": 1.578,
    "AGL-STAN": 1.671,
    "ESTAG": 1.471,
}
# 10⁻¹ of the squared unit: walk, basketball.
_MOCAP = {
    "PT-s": (329.474, 886.023),
    "PT-m": (127.152, 413.306),
    "PT-t": (3.831, 15.878),
    "EGNN-s": (63.540, 749.486),
    "EGNN-m": (32.016, 335.002),
    "EGNN-t": (0.786, 12.492),
    "ST_GNN": (0.441, 15.336),
    "ST_TFN": (0.597, 13.709),
    "ST_SE(3)-Tr": (0.236, 13.851),
    "ST_EGNN": (0.538, 13.199),
    "EqMotion": (1.011, 4.893),
    "STGCN": (0.062, 4.919),
    "AGL-STAN": (0.037, 5.734),
    "ESTAG": (0.040, 0.746),
}


def _by_data() -> dict[str, dict[str, float]]:
    found = {
        molecule: {row: figures[i] * 1e-3 for row, figures in _MD17.items()}
        for i, molecule in enumerate(_MOLECULES)
    }
    found["adk"] = dict(_ADK)
    for i, name in enumerate(("walk", "basketball")):
        found[name] = {row: figures[i] * 1e-1 for row, figures in _MOCAP.items()}
    return found


PUBLISHED: dict[str, dict[str, float]] = _by_data()
"""By data set and row, the published mean squared error in the square of the data's unit."""
