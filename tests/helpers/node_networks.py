"""Networks that know their nodes apart, small."""

from estag_jax.models.agl_stan import AglStanConfig
from estag_jax.models.simlpe import SiMlpeConfig
from estag_jax.models.stag import StagConfig
from estag_jax.models.stgcn import StgcnConfig

NODE_NETWORKS = {
    "stgcn": StgcnConfig(hidden=10, gated=16).build(),
    "agl_stan": AglStanConfig(hidden=4).build(),
    "stag": StagConfig().build(),
    "simlpe": SiMlpeConfig(layers=3).build(),
}
