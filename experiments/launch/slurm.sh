#!/bin/bash
# sbatch experiments/launch/slurm.sh --data mine.npz --out runs/mine     (docs/cluster.md; not yet run on a cluster)
#SBATCH --job-name=estag
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gres=gpu:4
#SBATCH --cpus-per-task=8
#SBATCH --time=12:00:00
#SBATCH --signal=TERM@180
#SBATCH --requeue
#SBATCH --open-mode=append
# One process a GPU. --gres shows every process all GPUs of its host, of which jax takes the one with its
# local number; with --gpus-per-task each sees a single one, and NCCL cannot reach the others (jax-ml/jax#16788).
# --signal reaches the processes of srun 180 s before the time is up.
set -u
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY # jax's coordinator is reached directly
devices=$((SLURM_JOB_NUM_NODES * 4))

# When one process is gone the others notice within 100 s and end; --wait is the last resort.
srun --kill-on-bad-exit=0 --wait=150 .venv/bin/estag train \
  --distributed.launcher slurm --distributed.devices "$devices" --distributed.grace 150 \
  --resume --take-over "$@"
code=$?

case $code in
  0) ;;     # done
  1 | 2) ;; # diverged, or bad input: the same again would give the same
  *)        # 75: saved; others: a process was killed, the latest checkpoint stands
    if [ "${SLURM_RESTART_COUNT:-0}" -lt 20 ]; then scontrol requeue "$SLURM_JOB_ID"; fi
    ;;
esac
exit $code
